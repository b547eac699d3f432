"""How the time of a study falls with workers: real stages and a real Dask cluster, but runs that sleep."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from distributed import LocalCluster

from cnnlab.engine import dispatch
from cnnlab.engine.images import Images
from cnnlab.models import model_cost
from cnnlab.records import HISTORY, SCORES, Record, Run, RunStore, fit_code_digest
from cnnlab.study import Trial
from cnnlab.tuning import Tuning, distinct_records, progress
from cnnlab.tuning.run import run_study

FEWEST_EPOCHS = 0.3
"""Early stopping ends a run after this share of its epochs or more, at random."""


def _operations(trial: Trial) -> int:
    """Return the operations of a run that takes all its epochs, for each training image: those of predictions."""
    shape = (32, 32, 3 if trial.input.colour else 1)
    return trial.training.epochs * int(model_cost(trial.architecture, shape, 10).flops)


class Sleep:
    """A run that sleeps for as long as its operations ask for. Its scores and epochs follow from its digest.

    Args:
        rate: Operations a second.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate

    def __call__(self, run: Run, *_: Any) -> tuple[Record, dict[str, Any]]:
        """Replace `dispatch.fit_run`."""
        rng = np.random.default_rng(int(run.digest[:16], 16))
        seconds = _operations(run.trial) * rng.uniform(FEWEST_EPOCHS, 1) / self._rate
        time.sleep(seconds)
        record = Record(
            digest=run.digest,
            trial=run.trial.canonical(),
            seed=run.seed,
            data={"digest": run.data_digest, "class_names": list("0123456789"), "shape": [32, 32, 1]},
            split={"digest": run.split_digest, "pool": 400, "train": 200, "val": 200, "test": 200},
            params=1,
            history={name: [0.5] for name in HISTORY},
            best_epoch=1,
            train_seconds=seconds,
            scores=dict.fromkeys(SCORES, float(rng.normal(0.6, 0.01))),
            provenance={},
            code=fit_code_digest(),
        )
        labels = np.arange(200) % 10
        probs = 0.4 * np.eye(10)[labels] + 0.6 * rng.dirichlet(np.ones(10), len(labels))
        arrays = {"labels": labels.astype(np.int64), "probs": probs.astype(np.float32)}
        return record, {f"{part}_{name}": array for part in ("val", "test") for name, array in arrays.items()}


@contextmanager
def _cluster(workers: int, sleep: Sleep) -> Iterator[str]:
    """Start a scheduler and workers, as threads of this process; give its address."""
    with (
        patch.object(dispatch, "fit_run", sleep),
        patch.object(Images, "carry"),  # runs that sleep need no images
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=False,
            protocol="tcp://",
            dashboard_address=None,
            memory_limit=0,  # they share one process
        ) as cluster,
    ):
        yield str(cluster.scheduler_address)


@dataclass(frozen=True)
class Scaled:
    """A study on some workers.

    Attributes:
        workers: Their number.
        wall: Seconds that the study took.
        runs: Runs that were made.
        work: Seconds of all runs together.
        stages: Seconds that these stages cannot fall below, with as many workers: in each stage the longest run, or the
            work divided by the workers.
        longest: Seconds of the longest run of each stage together, which no number of workers changes.
    """

    workers: int
    wall: float
    runs: int
    work: float
    stages: float
    longest: float


def measure(data: str, profile: str, workers: int, seconds: float) -> Scaled:
    """Run a study with runs that sleep.

    Args:
        data: Folder of images.
        profile: Budget of the study.
        workers: Number of workers.
        seconds: What all runs together would take if each took all its epochs.
    """
    budget = {"skip": ["learning-curve"]}
    with tempfile.TemporaryDirectory() as folder:
        planned = Tuning(data, folder, profile, budget=budget).scope
        trials = [trial for stage in planned.expected_trials().values() for trial in stage]
        trials += [trial for group in planned.mistake_trials().values() for trial in group.values()]
        rate = sum(_operations(trial.settings) * len(trial.seeds) for trial in trials) / seconds
        with (
            _cluster(workers, Sleep(rate)) as address,
            Tuning(data, Path(folder) / "runs", profile, budget=budget, scheduler=address) as tuning,
        ):
            _ = tuning.images.folder, tuning.engine.client  # what follows is timed
            begin = time.perf_counter()
            with progress.Bar(tuning.planned_runs()) as bar:
                study = run_study(tuning, bar)
            wall = time.perf_counter() - begin
        made = {record.digest: record.train_seconds for record in RunStore(Path(folder) / "runs").records()}
    stages, longest, seen = 0.0, 0.0, set[str]()
    for result in study.stages:
        digests = distinct_records([result]).keys() - seen
        new = [made[digest] for digest in digests]
        seen |= digests
        longest += max(new, default=0.0)
        stages += max(max(new, default=0.0), sum(new) / workers)
    mistakes = [made[digest] for digest in made.keys() - seen]
    return Scaled(workers, wall, len(made), sum(made.values()), stages + sum(mistakes) / workers, longest)
