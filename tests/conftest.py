"""What several tests share: small folders of real files, and one pair of real workers."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cnnlab import data, evidence, records
from cnnlab.data import Dataset, sample
from cnnlab.engine import Engine, Work
from cnnlab.records import HISTORY, SCORES, Record, Run
from cnnlab.study import (
    CIFAR10_NAMES,
    Dimension,
    OracleKind,
    Search,
    StageTrial,
    Trial,
    built_in,
    published_choice,
)
from cnnlab.study.stages import with_search
from cnnlab.surroundings import ADDRESS
from cnnlab.tuning import CurvePoint, LearningCurve, StageResult, Tuning
from cnnlab.tuning.search import QUASI_RANDOM, Proposal, SearchResult, Status

ROOT = Path(__file__).parents[1]


def pytest_configure(config: pytest.Config) -> None:
    """Make the tests independent of how they were started, of the user's Dask scheduler, and of a slow disk."""
    os.environ.pop(ADDRESS, None)
    # Dask warns if its folders take more than a second, and a warning is an error here.
    config.addinivalue_line("filterwarnings", "ignore:Creating scratch directories:UserWarning")
    # What the tests start must react to these signals, but `nohup` and the `&` of a shell ignore some.
    for name, handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) == signal.SIG_IGN:
            signal.signal(getattr(signal, name), handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow files: side by side with the others, the last of them would run alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def own_log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The log of this test alone: Dask may still log the end of an earlier test's connections, at any moment."""
    with caplog.filtering(lambda record: not record.name.startswith("distributed")):
        yield caplog


@pytest.fixture(scope="session")
def colour() -> Dataset:
    """A small colour sample: 200 + 100 images."""
    return sample.make(train=200, test=100)


@pytest.fixture(scope="session")
def gray(colour: Dataset) -> Dataset:
    return data.gray(colour)


@pytest.fixture(scope="session")
def folder(colour: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with both formats. Read-only by custom: tests that spoil files copy it."""
    path = tmp_path_factory.mktemp("data") / "sample"
    sample.write(path, colour)
    return path


@pytest.fixture(scope="session")
def cifar10(colour: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same images with CIFAR-10's names, so that the published study concerns them. Read-only by custom."""
    path = tmp_path_factory.mktemp("data") / "cifar10"
    sample.write(path, replace(colour, class_names=CIFAR10_NAMES))
    return path


@pytest.fixture(scope="session")
def tiny() -> Dataset:
    """Forty 12x12 grayscale images in two classes that one pixel tells apart: trained in a second."""
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    images = rng.integers(0, 80, (40, 12, 12, 1), dtype=np.uint8)
    images[labels == 1, 4:8, 4:8] = 255
    return Dataset(images[:30], labels[:30], images[30:], labels[30:], ("dark", "bright"))


@pytest.fixture
def work(tiny: Dataset) -> Callable[[Trial, int], Work]:
    """Makes runs of trials on the tiny images, with their images, as engines take them."""
    split = data.split(tiny, "stratified", 20, 8, 10)
    return lambda trial, seed: (Run(trial, seed, tiny.digest, split.digest), tiny, split)


@pytest.fixture
def two_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let engines of this process start two workers, whatever cores and memory the machine has."""
    start_two(monkeypatch)


def start_two(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("cnnlab.engine.workers.CPU_COUNT", 2)
    patch.setattr("cnnlab.engine.workers.MEMORY_LIMIT", 1 << 40)


@pytest.fixture(scope="session")
def shared_engine() -> Iterator[Engine]:
    with Engine() as shared:
        with pytest.MonkeyPatch.context() as patch:
            start_two(patch)
            assert shared.client, "starts them"
        yield shared


@pytest.fixture
def engine(shared_engine: Engine) -> Engine:
    """Two real Dask workers, started once for all tests that need some; those that a test has killed are back."""
    end = time.monotonic() + 300
    while len(shared_engine._cluster.look()) < 2:
        assert time.monotonic() < end, "killed workers were not replaced"
        time.sleep(0.1)
    return shared_engine


def made_up_run(run: Run, dataset: Dataset, split: data.Split, *_: Any) -> tuple[Record, dict[str, Any]]:
    """What `fit.run` returns, with weights that are not trained, and predictions and curves drawn at random."""
    from cnnlab.models import build, checkpoint, fit

    rng, n_classes = np.random.default_rng(int(run.digest[:16], 16)), len(dataset.class_names)
    skill, arrays = rng.uniform(0.2, 0.4), {}
    for part, labels in (("val", dataset.train_labels[split.val]), ("test", dataset.test_labels[split.test])):
        probs = skill * np.eye(n_classes)[labels] + (1 - skill) * rng.dirichlet(np.ones(n_classes), len(labels))
        arrays |= {f"{part}_labels": labels, f"{part}_probs": probs.astype(np.float32)}
    scores = {
        name: value
        for part in ("val", "test")
        for name, value in fit.score(
            arrays[f"{part}_probs"], arrays[f"{part}_labels"], run.trial.training, part
        ).items()
    }
    model = build(run.trial.architecture, dataset.image_shape, n_classes)
    arrays |= {f"weight_{number:04d}": value for number, value in enumerate(model.get_weights())}
    sizes = {"train": len(split.train), "val": len(split.val), "test": len(split.test)}
    about = {
        "digest": run.digest, "params": model.count_params(), "best_epoch": 2, "scores": scores,
        "history": {name: sorted(rng.uniform(0.2, 0.9, 2), reverse="loss" in name) for name in HISTORY},
        "data": {
            "digest": run.data_digest, "class_names": list(dataset.class_names), "shape": list(dataset.image_shape)
        },
        "split": {"digest": run.split_digest, **sizes, "pool": len(dataset.train_labels)},
        "provenance": checkpoint.provenance(),
    }  # fmt: skip
    return make_record(run.trial, run.seed, **about), arrays


@contextmanager
def made_up_workers() -> Iterator[str]:
    """A real scheduler with a worker whose runs are made up: what is about pages and notebooks needs no fits."""
    from distributed import LocalCluster

    from cnnlab.models import fit

    with (
        pytest.MonkeyPatch.context() as patch,
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, protocol="tcp://", dashboard_address=None,
            memory_limit=0,
        ) as cluster,
    ):  # fmt: skip
        patch.setattr(fit, "run", made_up_run)
        yield str(cluster.scheduler_address)


def seconds_to_end() -> float:
    """How long processes may run after their command has ended: two seconds, and more where the cores are busy."""
    return 2 + 4 * os.getloadavg()[0] / (os.cpu_count() or 1)


@pytest.fixture(scope="session")
def smoke_report(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Any, list[Any]]:
    """A smoke report of every stage: its folder, its run store, the finished command, and the command's words."""
    place = tmp_path_factory.mktemp("report")
    words = ["report", "--profile", "smoke", "--data", folder, "--runs", place / "runs", "--report", place / "out"]
    command = [sys.executable, "-m", "cnnlab", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return place / "out", place / "runs", done, words


def make_record(trial: Trial, seed: int = 1, **changes: Any) -> Record:
    """A record made up by hand: two epochs, all scores 0.5 unless told."""
    scores = dict.fromkeys(SCORES, 0.5) | changes.pop("scores", {})
    rising = {"accuracy": [0.3, 0.6], "val_f1": [0.3, 0.5], "val_accuracy": [0.3, 0.5]}
    history = {"loss": [2.0, 1.0], "val_loss": [2.0, 1.5], **rising}
    values = {
        "trial": trial.canonical(), "seed": seed,
        "data": {"digest": "d", "class_names": ["a", "b"], "shape": [12, 12, 1]},
        "split": {"digest": "s", "pool": 26, "train": 20, "val": 6, "test": 10},
        "params": 100, "history": history, "best_epoch": 2, "train_seconds": 1.0, "scores": scores,
        "provenance": {}, "code": records.fit_code_digest(),
    }  # fmt: skip
    values |= changes
    digest = records.run_digest(
        values["trial"], seed, values["data"]["digest"], values["split"]["digest"], values["code"]
    )
    return Record(**{"digest": digest, **values})


def make_result(stage: str, **val_f1: tuple[float, ...]) -> StageResult:
    """A stage's result made up from the val_f1 of each of its trials; the first one is the incumbent."""
    row = built_in().stage(stage)
    trials, runs = [], {}
    for place, (name, values) in enumerate(val_f1.items()):
        trial = Trial().change(dense_units=10 + place, colour=row.on_colour)
        seeds = tuple(range(1, len(values) + 1))
        trials.append(StageTrial(name, trial, seeds, place == 0 and row.keeps_incumbent, None))
        for seed, value in zip(seeds, values, strict=True):
            digest = f"{place + 1000 * row.on_colour:032x}{seed:032x}"
            run_scores = {"val_f1": value, "test_f1": value}
            runs[name, seed] = make_record(trial, seed, digest=digest, params=100 + place, scores=run_scores)
    scores = {name: evidence.Scores(np.array(values)) for name, values in val_f1.items()}
    params = {name: 100 + place for place, name in enumerate(val_f1)}
    incumbent = trials[0].name if row.keeps_incumbent else None
    return StageResult(
        row, tuple(trials), runs, evidence.decide(stage, scores, params, incumbent, published_choice(stage)), ()
    )


SEARCH = Search(OracleKind.BAYESIAN, (Dimension("dense_units", (16, 32, 64)), Dimension("dropout", (0.0, 0.25))))
"""The search of `make_search`: dense layers with and without dropout."""


def make_search(
    incumbent: tuple[float, ...],
    winner: tuple[float, ...] = (),
    found: Sequence[float | tuple[Status, str]] = (0.3, 0.5),
    **changes: Any,
) -> SearchResult:
    """A joint search's result made up from the val_f1 of the incumbent and the winner, and its ledger.

    Each proposal has the val_f1 of its one run, or a status and a reason. The first half is quasi-random.
    """
    stage = with_search((), SEARCH)[0]
    result = make_result("dense", unchanged=incumbent, **({"winner": winner} if winner else {}))
    scores = {name: scores_of(of, "val") for name, of in result.records_by_trial.items()}
    params = {name: 100 + place for place, name in enumerate(scores)}
    decision = evidence.decide("search", scores, params, "unchanged", only_if_better=True)
    ledger = []
    for number, one in enumerate(found, 1):
        part, point = QUASI_RANDOM if 2 * number <= len(found) else SEARCH.oracle, (number / 100, 0.9)
        row = Proposal(number, part, point, SEARCH.settings(point), Trial().change(dense_units=number), Status.PLANNED)
        if isinstance(one, tuple):
            status, reason = one
            has_settings = status != Status.STOPPED
            ledger.append(replace(row, status=status, reason=reason, settings=row.settings if has_settings else {}))
            continue
        made = {"params": 50 + number, "digest": f"f{number:063x}", "scores": {"val_f1": one, "test_f1": one}}
        records = (make_record(row.trial, SEARCH.seed_numbers[0], **made),)
        ledger.append(replace(row, status=Status.RUN, records=records, cost=0.25))
    fields = {name: getattr(result, name) for name in ("trials", "runs", "skipped")}
    values = {
        "stage": stage, "decision": decision, **fields, "search": SEARCH, "ledger": tuple(ledger), "unit": "TFLOP",
        "path_cost": 1.0, "path_runs": 8, "importance": None,
    }  # fmt: skip
    return SearchResult(**values | changes)


def scores_of(records: list[Record], part: str = "test") -> evidence.Scores:
    """The scores of records that are not stored: their images add no noise."""
    runs = np.array([record.scores[f"{part}_f1"] for record in records])
    return evidence.Scores(runs, np.zeros((len(runs), 5)))


@pytest.fixture
def made_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of images for results that are made up: their scores are read from the records."""
    monkeypatch.setattr(
        "cnnlab.report.words.opening.read_scores", lambda _, records, part, **__: scores_of(records, part)
    )
    return folder


def name_val(tuning: Tuning, indices: Sequence[int] = range(50)) -> None:
    """Change a study's images as if their files named these as the validation images."""
    folder = tuning.images.folder
    tuning.images.folder = replace(folder, gray=replace(folder.gray, given_val=np.array(indices)))


def at_chance(result: StageResult, name: str) -> StageResult:
    """The result as if a trial had the accuracy of guessing."""
    runs = {
        key: replace(record, scores=record.scores | {"val_accuracy": 0.05}) if key[0] == name else record
        for key, record in result.runs.items()
    }
    return replace(result, runs=runs)


def make_arrays(val_labels: np.ndarray, test_labels: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A run's arrays made up by hand: probabilities drawn at random."""
    n_classes = int(val_labels.max()) + 1
    return {
        "val_labels": val_labels,
        "test_labels": test_labels,
        "val_probs": rng.dirichlet(np.ones(n_classes), len(val_labels)).astype(np.float32),
        "test_probs": rng.dirichlet(np.ones(n_classes), len(test_labels)).astype(np.float32),
    }


def fake_runs(study: Tuning, scores: Callable[[Trial], float], test_seed: int = 0) -> list[Run]:
    """Replace a study's workers: each run gets a record whose val_f1 comes from its trial. Returns the runs made."""
    made: list[Run] = []

    def run_all(work, store, on_run_end, on_epoch):
        records = {}
        for run, dataset, split in work:
            made.append(run)
            values = dict.fromkeys(SCORES, scores(run.trial) + run.seed / 1000)
            rng = np.random.default_rng([run.seed, test_seed])
            values |= {"test_f1": rng.random(), "test_loss": rng.random()}
            size = sum(run.trial.architecture.filters)
            about = {
                "data": {"digest": run.data_digest, "class_names": ["a", "b"]},
                "split": {
                    "digest": run.split_digest, "pool": len(dataset.train_labels), "train": len(split.train),
                    "val": len(split.val), "test": len(split.test),
                },
            }  # fmt: skip
            curve = [scores(run.trial)] * min(run.trial.training.epochs, 6)
            history = dict.fromkeys(HISTORY, curve)
            record = make_record(run.trial, run.seed, scores=values, params=size, history=history, **about)
            arrays = make_arrays(dataset.train_labels[split.val], dataset.test_labels[split.test], rng)
            fixed = make_arrays(arrays["val_labels"], arrays["test_labels"], np.random.default_rng(run.seed))
            records[run.digest] = store.put(record, arrays | {"val_probs": fixed["val_probs"]})
            on_epoch(run, 1, {name: of_epochs[0] for name, of_epochs in history.items()})
            on_run_end(records[run.digest], False)
        return records

    study.engine.run_all = run_all
    return made


def predicting_runs(study: Tuning, truth: Dataset) -> None:
    """Replace a study's workers: each run gets the predictions of a model that knows the true labels of `truth`."""

    def run_all(work, store, on_run_end, on_epoch):
        records = {}
        for run, dataset, split in work:
            rng, arrays, scores = np.random.default_rng([run.seed, len(records)]), {}, {}
            for part, labels, true in (
                ("val", dataset.train_labels[split.val], truth.train_labels[split.val]),
                ("test", dataset.test_labels[split.test], truth.test_labels[split.test]),
            ):
                probs = rng.dirichlet(np.ones(len(truth.class_names)), len(true)) + 1.5 * np.eye(10)[true]
                arrays |= {f"{part}_labels": labels, f"{part}_probs": (probs / 2.5).astype(np.float32)}
                scores[f"{part}_accuracy"] = float(np.mean(probs.argmax(axis=1) == labels))
            about = {
                "data": {"digest": run.data_digest, "class_names": list(dataset.class_names)},
                "split": {
                    "digest": run.split_digest, "pool": len(dataset.train_labels), "train": len(split.train),
                    "val": len(split.val), "test": len(split.test),
                },
            }  # fmt: skip
            records[run.digest] = store.put(make_record(run.trial, run.seed, scores=scores, **about), arrays)
            on_run_end(records[run.digest], False)
        return records

    study.engine.run_all = run_all


def make_curve(n_seeds: int) -> LearningCurve:
    """A learning curve on 1,000, 2,000 and 4,000 images whose second half brings 0.1."""
    points = []
    for images, mean in ((1_000, 0.3), (2_000, 0.4), (4_000, 0.5)):
        split = {"digest": "s", "pool": 9_000, "train": images, "val": 6, "test": 10}
        records = [make_record(Trial(), seed, split=split) for seed in range(1, n_seeds + 1)]
        interval = (mean - 0.05, mean + 0.05) if n_seeds > 1 else (np.nan, np.nan)
        points.append(CurvePoint(f"{images}", records, mean, interval, mean, interval))
    noise = np.linspace(0, 0.01, n_seeds)
    [gain] = evidence.compare({"half": evidence.Scores(0.4 + noise), "all": evidence.Scores(0.5 + noise)})
    return LearningCurve(tuple(points), gain)


def write_report(path, selected, scores, *, keras="3.15.1", images="abc", first_digest=0):
    """A report's folder with what `diff` reads: one run a score."""
    path.mkdir()
    manifest = {
        "versions": {"keras": keras}, "data": {"gray_digest": images}, "protocol": {"split": "stratified"},
        "budget": {"test": 10}, "wall_seconds": 1.5,
    }  # fmt: skip
    (path / "manifest.json").write_text(json.dumps(manifest))
    pd.DataFrame({"stage": list(selected), "selected": list(selected.values())}).to_csv(
        path / "decisions.csv", index=False
    )
    rows = [(stage, selected[stage], score) for stage, runs in scores.items() for score in runs]
    frame = pd.DataFrame(rows, columns=["stage", "trial", "test_f1"])
    frame.assign(digest=[f"d{first_digest + i}" for i in range(len(frame))]).to_csv(path / "results.csv", index=False)
    return path


def write_history(folder: Path) -> None:
    """Make a git repository of a folder, with one commit of all its files."""
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "First"]):
        subprocess.run(["git", *who, "-C", str(folder), *words], check=True)
