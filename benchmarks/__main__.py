"""The commands: `python -m benchmarks --help`."""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np
import psutil

import cnnlab.data as cnnlab_data
from benchmarks import coverage as covering
from benchmarks import importance as searches
from benchmarks import photos as many_photos
from benchmarks import published as full_size
from benchmarks import scaling as many_workers
from benchmarks import simulate
from benchmarks import tables as results_tables
from benchmarks.fits import Fits, of_report
from benchmarks.machine import Usage, about, flops, measure, sgemm
from benchmarks.tables import table
from cnnlab.data import parse_size, sample
from cnnlab.engine import Engine, Work, dispatch
from cnnlab.evidence import choose
from cnnlab.evidence import compare as compare_scores
from cnnlab.records import HISTORY, SCORES, Record, Run, RunStore, fit_code_digest
from cnnlab.study import PRECISIONS, Training, Trial, make_budget, published_architecture
from cnnlab.tuning import Tuning, progress, read_scores
from cnnlab.tuning.halving import MIN_TRIALS, rungs, successive_halving, val_accuracy_at
from cnnlab.tuning.runner import Runner

RESULTS = Path(__file__).parent / "results"
WAYS = {
    "cnnlab": "`make report`'s runs",
    "plain": "the study's loop, a plain script",
    "tuner": "Keras Tuner, the same grid",
}
MODULES = {"cnnlab": "benchmarks.ours", "plain": "benchmarks.plain", "tuner": "benchmarks.tuner"}


def publish(name: str, title: str, *parts: str) -> None:
    """Print a result and write it to `results/`."""
    text = "\n\n".join([f"# {title}", f"{about()}.", *parts]) + "\n"
    click.echo(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text)


def timed(way: str, fits: Fits) -> tuple[Usage, list[tuple[int, float]]]:
    """Make fits in one of the ways; return its cost, and each fit's epochs and test F1."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        usage = measure(["-m", MODULES[way], str(fits.write(Path(folder) / "fits.json")), str(out)])
        click.echo(f"{way}: {len(fits.fits)} fits of {fits.sizes[0]} images in {usage.wall_seconds:.0f} s", err=True)
        return usage, [(epochs, score) for epochs, score in json.loads(out.read_text())]


@click.group()
def main() -> None:
    """Timings of cnnlab beside what people would run instead. Results are also written to benchmarks/results/."""


def _of_report(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--data", default="data/sample", show_default=True, help="Folder of images."),
        click.option("--runs", default="reports/runs", show_default=True, help="Stored runs of a report of them."),
        click.option("--every", default=4, show_default=True, help="Take every n-th trial of that report."),
    ):
        command = option(command)
    return command


@main.command()
@_of_report
@click.option("--passes", default=2, show_default=True, help="Number of passes; each reverses the order.")
def compare(data: str, runs: str, every: int, passes: int) -> None:
    """Make the same fits in three ways, one after the other, each in its own processes."""
    fits, rates = of_report(data, runs, every), [sgemm()]
    found: dict[str, list[tuple[Usage, list[tuple[int, float]]]]] = {way: [] for way in WAYS}
    for number in range(passes):
        for way in list(WAYS)[:: 1 - 2 * (number % 2)]:
            found[way].append(timed(way, fits))
            rates.append(sgemm())
    rate, rows = statistics.mean(rates), []

    def mean(way: str, what: str) -> float:
        return statistics.mean(getattr(usage, what) for usage, _ in found[way])

    for way, what in WAYS.items():
        ratios = [
            plain.wall_seconds / usage.wall_seconds
            for (usage, _), (plain, _) in zip(found[way], found["plain"], strict=True)
        ]
        epochs = [n_epochs for n_epochs, _ in found[way][0][1]]
        wall = mean(way, "wall_seconds")
        rows.append(
            [
                what,
                f"{statistics.mean(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
                f"{wall:.0f} s",
                f"{mean(way, 'cpu_seconds'):.0f} s",
                f"{mean(way, 'peak_mb'):.0f} MB",
                sum(epochs),
                f"{sum(epochs) * fits.sizes[0] / wall:.0f}",
                f"{fits.flops(epochs) / wall / rate:.0%}",
            ]
        )
    scores = {way: np.array([score for _, score in of[0][1]]) for way, of in found.items()}
    differences = []
    for way in ("cnnlab", "tuner"):
        gap = scores[way] - scores["plain"]
        error = gap.std(ddof=1) / np.sqrt(len(gap))
        differences.append(
            f"- Test macro-F1, {way} minus plain, over {len(gap)} fits: {gap.mean():+.4f}, standard error {error:.4f} "
            f"(means {scores[way].mean():.4f} and {scores['plain'].mean():.4f})."
        )
    publish(
        "compare",
        f"{len(fits.fits)} fits, three ways",
        f"One of every {every} trials among the stored runs of a report, with all its seeds; {fits.sizes[0]} training, "
        f"{fits.sizes[1]} validation and {fits.sizes[2]} test images of {Path(data).name}; n = {passes} passes, "
        f"each in reverse order: means, and the range of the ratio. sgemm of all cores: {rate:.0f} gigaflops a second "
        f"({min(rates):.0f} to {max(rates):.0f}, measured before, between and after).",
        table(
            rows,
            ["way", "times as fast", "wall", "CPU", "peak memory", "epochs", "images/s", "share of sgemm"],
        ),
        "\n".join(differences),
    )


@main.command()
@_of_report
def growth(data: str, runs: str, every: int) -> None:
    """Time both loops at several numbers of fits, and of images."""
    fits, rows = of_report(data, runs, every, colour=False), []
    points = [(n, None) for n in (2, 4, 8, 16)] + [(4, n) for n in (96, 192, 384, 768)]
    for n_fits, n_images in points:
        some = fits.limited(n_fits, n_images)
        seconds = {way: timed(way, some)[0].wall_seconds for way in ("cnnlab", "plain")}
        ratio = seconds["plain"] / seconds["cnnlab"]
        rows.append(
            [len(some.fits), some.sizes[0], f"{seconds['cnnlab']:.1f} s", f"{seconds['plain']:.1f} s", f"{ratio:.2f}"]
        )
    publish(
        "growth",
        "How cost grows with the number of runs, and with images",
        table(rows, ["fits", "training images", "cnnlab", "plain script", "times as fast"]),
    )


@main.command()
@click.option("--images", default=2048, show_default=True, help="Training images of a run.")
@click.option("--repeats", default=5, show_default=True, help="How often it is measured.")
def rate(images: int, repeats: int) -> None:
    """Train CNN-9 on all workers at once; say what share that is of the rate of matrix multiplication."""
    dataset = sample.make(train=images + 256, test=64)
    gray = cnnlab_data.gray(dataset)
    split = cnnlab_data.split(gray, "stratified", images, 64, 64)
    trial = Trial(published_architecture(9), Training(epochs=1, batch_size=32)).change(augmentation="flip-shift")
    shape, n_classes = gray.image_shape, len(gray.class_names)
    epoch = (
        images * flops(trial.architecture, shape, n_classes, training=True)
        + len(split.val) * flops(trial.architecture, shape, n_classes, training=False)
    ) / 1e9
    rows, shares = [], []
    with Engine() as engine, tempfile.TemporaryDirectory() as folder:
        store, seeds = RunStore(folder), iter(range(1, 1000))

        def train(trial: Trial) -> tuple[float, float, float]:
            """Do one run on each worker; return images and gigaflops a second in the fits, and those in whole runs."""
            workers = engine.client.nthreads()
            work = [(Run(trial, next(seeds), gray.digest, split.digest), gray, split) for _ in workers]
            begin = time.perf_counter()
            found = engine.run_all(work, store).values()
            wall, epochs = time.perf_counter() - begin, trial.training.epochs
            fits = sum(1 / record.train_seconds for record in found)
            return fits * epochs * images, fits * epochs * epoch, len(found) * epochs * epoch / wall

        train(trial)  # imports Keras and traces the model
        for _ in range(repeats):
            before = sgemm()
            speed, fitted, whole = train(trial.change(epochs=2))
            peak = (before + sgemm()) / 2
            shares.append(fitted / peak)
            rows.append([f"{speed:.0f}", f"{fitted:.0f}", f"{peak:.0f}", f"{shares[-1]:.0%}", f"{whole / peak:.0%}"])
    publish(
        "rate",
        "CNN-9 in training on all workers",
        f"{images} grayscale images a run with flips and shifts, {len(split.val)} for validation, batch size 32, two "
        "epochs, one run a worker at once: their rates in the fits (with validation), added up; beside it, whole runs "
        f"(with model, prediction and storing). Share of sgemm in the fits: {statistics.mean(shares):.1%}, SD "
        f"{statistics.stdev(shares):.1%}, n = {repeats}.",
        table(rows, ["images/s", "gigaflops/s", "sgemm gigaflops/s", "share", "share, whole runs"]),
    )


def _nothing(run: Run, *_: Any) -> tuple[Record, dict[str, Any]]:
    """Replace the fit by a record made up by hand."""
    record = Record(
        digest=run.digest,
        trial=run.trial.canonical(),
        seed=run.seed,
        data={"digest": run.data_digest, "class_names": ["a", "b"], "shape": [32, 32, 1]},
        split={"digest": run.split_digest, "train": 2, "val": 2, "test": 2},
        params=1,
        history={name: [1.0] for name in HISTORY},
        best_epoch=1,
        train_seconds=0.0,
        scores=dict.fromkeys(SCORES, 0.5),
        provenance={},
        code=fit_code_digest(),
    )
    return record, {"val_probs": np.zeros((2, 2), np.float32)}


@main.command()
def overhead() -> None:
    """Send runs that do nothing to the workers, to measure the overhead of a run."""
    gray = cnnlab_data.gray(sample.make(train=100, test=20))
    split = cnnlab_data.split(gray, "stratified", 60, 20, 20)
    rows = []
    dispatch.fit_run = _nothing
    with Engine() as engine, tempfile.TemporaryDirectory() as folder:
        for number, runs in enumerate((1, 1, 100, 10_000)):
            work = [
                (Run(Trial(), 100_000 * number + seed, gray.digest, split.digest), gray, split) for seed in range(runs)
            ]
            store, seconds = RunStore(Path(folder)), []
            for _ in ("made", "found"):
                begin = time.perf_counter()
                engine.run_all(work, store)
                seconds.append((time.perf_counter() - begin) / runs * 1000)
            if number:  # the first one started the workers
                rows.append([f"{runs:,}", f"{seconds[0]:.2f} ms", f"{seconds[1]:.3f} ms"])
    publish(
        "overhead",
        "Overhead of a run",
        "Runs that do nothing, sent to the workers, brought back and stored (one file, flushed to the disk).",
        table(rows, ["runs", "a run", "a stored run"]),
    )


def _study(data: str, runs: str, profile: str, seeds: int, skip: Sequence[str], precision: str = "float32") -> Tuning:
    """Return a study with as many seeds as asked for."""
    tuning = Tuning(data, runs, profile, budget={"seeds": seeds, "skip": skip, "precision": precision})
    tuning.callback = progress.Bar(tuning.planned_runs())
    return tuning


def _study_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--data", default="data/sample", show_default=True, help="Folder of images."),
        click.option("--runs", default="reports/runs", show_default=True, help="Folder of stored runs."),
        click.option("--profile", default="quick", show_default=True, help="Profile."),
        click.option("--seeds", default=10, show_default=True, help="Seeds of each trial; missing runs are made."),
        click.option("--skip", multiple=True, help="Stages to skip."),
    ):
        command = option(command)
    return command


@main.command()
@_study_options
@click.option("--draws", default=1000, show_default=True, help="Resamples of the seeds of each stage.")
def halving(draws: int, **settings: Any) -> None:
    """Select by successive halving and by the whole stage, on resampled seeds; tell how often it is the same trial.

    Each resample draws three of a trial's stored runs, another three for each trial. Only their curves and scores are
    used, so no run is made for it: a shorter fit has the same curve as far as it goes.
    """
    rng, rows, all_same, all_lost, saved, whole = np.random.default_rng(0), [], [], [], 0, 0
    with _study(**settings) as tuning:
        results = tuning.results()
    for result in results:
        names = [trial.name for trial in result.trials]
        incumbent = next((trial.name for trial in result.trials if trial.incumbent), None)
        if incumbent is None or len(names) < MIN_TRIALS:
            continue
        same, lost, cost, full = [], [], 0, 0
        mean = {name: np.mean([one.scores["val_f1"] for one in of]) for name, of in result.records_by_trial.items()}
        for _ in range(draws):
            drawn = {
                name: [of[i] for i in rng.permutation(len(of))[:3]] for name, of in result.records_by_trial.items()
            }
            selected, epochs = _both(drawn, incumbent)
            same.append(selected[0] == selected[1])
            lost.append(mean[selected[0]] - mean[selected[1]])
            full, cost = full + epochs[0], cost + epochs[1]
        rows.append(
            [result.stage.name, len(names), f"{1 - cost / full:.0%}", f"{np.mean(same):.0%}", f"{np.mean(lost):+.4f}"]
        )
        all_same, all_lost, saved, whole = all_same + same, all_lost + lost, saved + full - cost, whole + full
    rows.append(["all of them", "", f"{saved / whole:.0%}", f"{np.mean(all_same):.0%}", f"{np.mean(all_lost):+.4f}"])
    publish(
        "halving",
        "Successive halving against the whole stage",
        f"Profile {settings['profile']} on {Path(settings['data']).name}, {settings['seeds']} stored seeds a trial, "
        f"{draws} resamples of three of them a stage. The incumbent's epochs are counted in neither way. The loss "
        "is the mean val_f1, over all seeds, of the trial that the whole stage selects minus that of halving's trial.",
        table(rows, ["stage", "trials", "epochs saved", "same trial selected", "val_f1 lost"]),
    )


def _both(drawn: dict[str, list[Record]], incumbent: str) -> tuple[tuple[str, str], tuple[int, int]]:
    """Return the trials that the whole stage and halving select, and the epochs that each takes."""
    spent, whole = dict.fromkeys(drawn, 0), set[str]()

    def evaluate(names: Sequence[str], epochs: int | None) -> dict[str, float]:
        for name in names:
            spent[name] += min(epochs or drawn[name][0].epochs, drawn[name][0].epochs)
        whole.update(names if epochs is None else ())
        return {name: val_accuracy_at(drawn[name][0].history, epochs) for name in names}

    rung_epochs = rungs([one.epochs for one in drawn[incumbent]])
    dropped = {one.name for one in successive_halving(list(drawn), incumbent, rung_epochs, evaluate)}
    left = {name: of for name, of in drawn.items() if name not in dropped}
    cost = sum(spent[name] for name in drawn if name != incumbent)
    cost += sum(one.epochs for name, of in left.items() if name != incumbent for one in of[name in whole :])
    full = sum(one.epochs for name, of in drawn.items() if name != incumbent for one in of)
    return (_select(drawn), _select(left)), (full, cost)


def _select(groups: dict[str, list[Record]]) -> str:
    scores = {name: np.array([one.scores["val_f1"] for one in of]) for name, of in groups.items()}
    n_seeds = min(map(len, scores.values()))
    error = np.sqrt(np.mean([of.var(ddof=1) for of in scores.values()]) / n_seeds)
    means = {name: float(of.mean()) for name, of in scores.items()}
    return choose(means, {name: of[0].params for name, of in groups.items()}, float(error))[0]


@main.command()
@_study_options
def precision(**settings: Any) -> None:
    """Run every trial of a study with activations of 16 bits too; compare scores and seconds, trial by trial.

    The study is that of the stored runs. All its runs are made again for the comparison, in a separate store.
    """
    with _study(**settings) as tuning, tempfile.TemporaryDirectory() as folder:
        results = tuning.results()
        trials = {trial.settings: trial for result in results for trial in result.trials}
        # All in one queue, and none from an earlier time, so that both kinds run under the same load.
        pairs = [
            replace(trial, name=f"{number} {bits}", settings=settings.change(precision=bits))
            for number, (settings, trial) in enumerate(trials.items())
            for bits in PRECISIONS
        ]
        store = RunStore(folder)
        runs = Runner(tuning.images, tuning.engine, store).run("precision", pairs)
        rows, gaps, ratios = [], [], []
        for number, trial in enumerate(trials.values()):
            both = [[runs[f"{number} {bits}", seed] for seed in trial.seeds] for bits in PRECISIONS]
            scores = {name: read_scores(store, found, "test") for name, found in zip(("32", "16"), both, strict=True)}
            (one,) = compare_scores(scores)
            seconds = [np.median([record.train_seconds / record.epochs for record in found]) for found in both]
            gaps.append(one.difference)
            ratios.append(seconds[0] / seconds[1])
            rows.append(
                [
                    trial.name,
                    f"{both[0][0].params:,}",
                    f"{one.difference:+.3f} ({one.low:+.3f} to {one.high:+.3f})",
                    one.verdict,
                    f"{ratios[-1]:.2f}",
                ]
            )
    publish(
        "precision",
        "Activations of 16 bits (mixed_bfloat16) against 32",
        f"Profile {settings['profile']} on {Path(settings['data']).name}, n = {settings['seeds']} seeds a trial. Test "
        f"macro-F1 with 16 bits less that with 32, with the 95 % interval over seeds and images: mean of {len(gaps)} "
        f"trials {np.mean(gaps):+.4f}, SD {np.std(gaps, ddof=1):.4f}. Seconds an epoch (median over seeds) with "
        f"32 bits over those with 16: median of all trials {np.median(ratios):.2f}.",
        table(rows, ["trial", "params", "difference", "verdict", "times as fast"]),
    )


@main.command()
@click.option("--data", default="data/cifar10", show_default=True, help="Folder of images.")
@click.option("--runs", default="reports/runs", show_default=True, help="Folder of stored runs.")
@click.option("--draws", default=60, show_default=True, help="Draws of training and validation images.")
@click.option("--epochs", default=8, show_default=True, help="Epochs of a run of profile quick.")
def coverage(data: str, runs: str, draws: int, epochs: int) -> None:
    """Count how often intervals cover a difference over other training images; missing runs are made."""
    budget = make_budget("quick", {"epochs": epochs})
    made = covering.make(data, runs, budget, draws)
    scores = RESULTS / "coverage.csv"
    made.table().to_csv(scores, index=False, float_format="%.4f")
    heads = ["covers, fixed", "half-width", "covers, resampled", "half-width"]
    publish(
        "coverage",
        "Intervals over other training images",
        f"Grayscale images of {Path(data).name}, {budget.train} training, {budget.val} validation and {budget.test} "
        f"test images, at most {epochs} epochs. {draws} studies of {covering.SEEDS} seeds of each kind; the true "
        f"difference is the mean over {covering.SEEDS * draws} draws. Each trial less the first model of the built-in "
        f"study. All {len(made.records):,} scores: {scores.name}.",
        table(covering.pairs(made), ["trial, pair alone", "on", "true", *heads, "ratio of half-widths"]),
        table(covering.together(made), ["all three as a stage, on", *heads]),
    )


@main.command()
@click.option("--stages", default=4000, show_default=True, help="Simulated stages of each kind.")
def verdicts(stages: int) -> None:
    """Simulate stages: how often equal trials get a verdict, and a better trial is found."""
    rng, sizes, seeds = np.random.default_rng(0), (2, 3, 5, 8), (2, 3, 5, 10)
    false = [
        [
            spread,
            n_seeds,
            *(
                " / ".join(
                    f"{100 * simulate.share(simulate.stages(rng, spread, size, n_seeds, stages, 0.0, draw_sd)):.1f}"
                    for draw_sd in (0.0, 1.0)
                )
                for size in sizes
            ),
        ]
        for spread in simulate.SPREADS
        for n_seeds in seeds
    ]
    power = []
    for spread in ("equal", "half at chance", "one very noisy trial"):
        for n_seeds in seeds:
            cells = []
            for size, draw_sd in ((size, draw_sd) for size in (3, 5, 8) for draw_sd in (0.0, 1.0)):
                drawn = list(simulate.stages(rng, spread, size, n_seeds, stages // 4, 3.0, draw_sd))
                cells.append(
                    f"{100 * simulate.share(drawn, only_better=True):.0f} / {100 * simulate.share_by_holm(drawn):.0f}"
                )
            power.append([spread, n_seeds, *cells])
    publish(
        "verdicts",
        "Verdicts of simulated stages",
        f"Stages without a difference in which any trial gets a verdict, in %, of {stages:,} of each kind: where the "
        "images of a seed change no trial / all trials alike.",
        table(false, ["spread", "seeds", *(f"{size} trials" for size in sizes)]),
        "Stages in which one trial is better by three SDs of a run and gets that verdict, in %, of "
        f"{stages // 4:,} of each kind: now / by the rule of version 0.1.0. *Images*: those of a seed change all "
        "trials alike.",
        table(
            power, ["spread", "seeds", *(f"{size} trials{images}" for size in (3, 5, 8) for images in ("", ", images"))]
        ),
    )


@main.command()
@click.option("--noise", default=100, show_default=True, help="Simulated searches of each size without an effect.")
@click.option("--effects", default=30, show_default=True, help="Simulated searches of each size and kind of effect.")
def importance(noise: int, effects: int) -> None:
    """Simulate searches: how often settings that matter are shown, and settings that do not."""
    rows, began = [], time.process_time()
    for kind in searches.EFFECTS:
        n_searches = effects if searches.EFFECTS[kind].settings else noise
        for n_settings in (4, 10):
            cells: list[str] = []
            for n in (12, 24, 48):
                found = searches.simulate(kind, n, n_settings, n_searches)
                shares = (found.shown, found.wrong, found.covered)
                cells.append(" / ".join("-" if np.isnan(share) else f"{100 * share:.0f}" for share in shares))
            rows.append([kind, n_settings, n_searches, *cells])
    n_calls = 3 * sum(row[2] for row in rows)
    publish(
        "importance",
        "Which settings matter, in simulated searches",
        f"Configurations from a scrambled Halton sequence, with a noise of SD {searches.SD} in macro-F1. In %: "
        "settings that matter and are shown / searches in which another setting is shown / intervals of the "
        "settings that matter that cover the mean importance over all searches of their kind. Effects: strong, "
        "0.12 from the ends of the range to its middle; choice, the second of three is better by 0.06; "
        "interacting, 0.12 times the product of two places in [0, 1]; weak, 0.03 from end to end.",
        table(rows, ["effect", "settings", "searches", *(f"{n} configurations" for n in (12, 24, 48))]),
        f"{(time.process_time() - began) / n_calls:.1f} s of one core a search on average.",
    )


@main.command()
@click.option("--runs", default=300, show_default=True, help="Different runs for each worker.")
def memory(runs: int) -> None:
    """Make many different short runs, and see how the workers' memory grows."""
    dataset = cnnlab_data.gray(sample.make(train=400, test=200))
    split = cnnlab_data.split(dataset, "stratified", 128, 64, 64)

    def work(numbers: range) -> list[Work]:
        small = Trial(published_architecture(9), Training(epochs=1)).change(filters=(8, 16, 16))
        trials = [small.change(dense_units=units) for units in numbers]
        return [(Run(trial, 1, dataset.digest, split.digest), dataset, split) for trial in trials]

    with tempfile.TemporaryDirectory() as folder, Engine() as engine:
        store, n_workers, rows = RunStore(folder), len(engine.client.nthreads()), []
        for start, end in pairwise((0, 10, runs // 3, 2 * runs // 3, runs)):
            engine.run_all(work(range(1 + start * n_workers, 1 + end * n_workers)), store)
            resident = [size / 1e6 for size in engine.client.run(lambda: psutil.Process().memory_info().rss).values()]
            rows.append([end, f"{statistics.mean(resident):.0f} MB", f"{max(resident):.0f} MB"])
    publish(
        "memory",
        "Memory of a worker",
        f"Resident memory of {n_workers} workers after different runs: CNN-9 with filters 8-16-16 and another number "
        "of dense units each, one epoch of 128 images.",
        table(rows, ["runs of each worker", "mean", "largest"]),
    )


@main.command()
@click.option("--images", default=20_000, show_default=True, help="JPEG files of 200 x 200 pixels.")
@click.option("--size", default="48", show_default=True, help="Height and width that they are resized to.")
def photos(images: int, size: str) -> None:
    """Import many photos twice, each time in a new process: decoded, and from the cache."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name), Path(name) / "out.json"
        (folder / "images").mkdir()
        many_photos.write(folder / "images", images)
        for way in ("decoded", "from the cache"):
            usage = measure(["-m", "benchmarks.photos", *map(str, (folder / "images", folder / "cache", size, out))])
            seconds, n_bytes = json.loads(out.read_text())
            rate, pixels = f"{images / seconds:,.0f}", f"{n_bytes / 1e6:.0f} MB"
            rows.append(
                [way, f"{seconds:.1f} s", rate, f"{usage.cpu_seconds:.0f} s", pixels, f"{usage.peak_mb:.0f} MB"]
            )
    publish(
        "photos",
        "Import of photos",
        f"{images:,} JPEG files of {many_photos.SIDE} x {many_photos.SIDE} pixels, resized to {parse_size(size)}. "
        "The peak is the resident memory of all processes together, with their programs, taken every 0.2 s; pages that "
        "they share count in each.",
        table(rows, ["", "time", "files a second", "CPU time", "pixels", "peak memory"]),
    )


@main.command()
@click.option("--data", default="data/cifar10", show_default=True, help="Folder of images.")
@click.option("--profile", default="full", show_default=True, help="Profile.")
@click.option("--workers", default=(1, 4, 16, 64), multiple=True, show_default=True, help="Numbers of workers.")
@click.option("--seconds", default=900.0, show_default=True, help="What all runs would take if none stopped early.")
def scaling(data: str, profile: str, workers: Sequence[int], seconds: float) -> None:
    """Run the stages of a study with more and more workers, with runs that sleep."""
    measured = [many_workers.measure(data, profile, number, seconds) for number in workers]
    rows = [
        [
            one.workers,
            f"{one.wall:.0f} s",
            f"{one.work / one.wall:.1f}",
            f"{one.work / one.wall / one.workers:.0%}",
            f"{one.stages:.0f} s",
            f"{one.longest:.0f} s",
        ]
        for one in measured
    ]
    publish(
        "scaling",
        "A study with more workers",
        f"The stages and mistakes of profile {profile} ({measured[-1].runs} runs, without the learning curve) on a "
        "Dask cluster whose workers are threads of one process. A run sleeps in proportion to its operations, and "
        f"stops after {many_workers.FEWEST_EPOCHS:.0%} to 100% of its epochs, at random: {measured[-1].work:.0f} s for "
        "all of them. *Stage by stage*: the sum over the stages of the longest run, or of the work divided by the "
        "workers where that is more; the mistakes are divided. *Longest runs*: the sum of the longest run of each "
        "stage, below which no number of workers comes while a stage waits for the one before.",
        table(rows, ["workers", "time", "workers kept busy", "share", "stage by stage", "longest runs"]),
    )


@main.command()
@click.option("--data", default="data/cifar10", show_default=True, help="Folder of CIFAR-10.")
@click.option("--runs", default="reports/runs", show_default=True, help="Where the runs are stored.")
@click.option("--stored", is_flag=True, help="Show the fits that are stored; make none.")
def published(data: str, runs: str, stored: bool) -> None:
    """Make the fits that the published study chose, at full size: hours. The same command continues."""

    def on_run_end(record: Record, cached: bool) -> None:
        if not cached:
            minutes, score = record.train_seconds / 60, record.scores["test_f1"]
            click.echo(f"{record.epochs} epochs, {minutes:.0f} min, test F1 {score:.3f}", err=True)

    with full_size.study(data, runs) as tuning:
        if not stored:
            trials = [trial for _, trial in full_size.chosen(tuning)]
            tuning.engine.run_all(full_size.work(tuning, trials), tuning.store, on_run_end)
        made = full_size.table(tuning)
    if made.empty:
        raise click.ClickException(
            f"Expected stored fits in {runs!r}. Received: none. Leave out --stored to make them."
        )
    made.to_csv(RESULTS / "published-full-size.csv", index=False, float_format="%.4f")
    click.echo(table(full_size.rows(made), full_size.HEADS))


@main.command("tables")
@click.argument("report", type=click.Path(exists=True, file_okay=False, path_type=Path))
def tables_command(report: Path) -> None:
    """Print the tables of docs/results.md for a report: its folder, or what `export` has kept of it."""
    click.echo("\n\n".join(results_tables.of_report(report)))


@main.command()
@click.argument("report", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("name")
def export(report: Path, name: str) -> None:
    """Keep the tables and the manifest of a report in benchmarks/results/NAME."""
    results_tables.export(report, RESULTS / name)


if __name__ == "__main__":
    sys.exit(main(prog_name="python -m benchmarks"))
