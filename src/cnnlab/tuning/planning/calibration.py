"""Measure how fast the workers are, with some trials of a study."""

import time
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnlab.errors import CnnlabError, ConfigError, RunError
from cnnlab.models.cost import Speed, Timing, measure
from cnnlab.study import Architecture, Trial
from cnnlab.tuning.planning.planner import Planner

if TYPE_CHECKING:
    from cnnlab.tuning.tuning import Tuning

CALIBRATION_SECONDS = 30
"""Most seconds of a calibration: after two thirds of them, no further trial is measured."""
MOST_THREADS = 16
"""Workers that are measured at the same time. More workers of a cluster would show nothing new."""


@dataclass(frozen=True)
class Calibration:
    """What the workers take.

    Attributes:
        workers: Threads of all workers.
        is_remote: Whether they belong to a cluster, so that notebooks do not slow them down.
        start_seconds: Starting the workers, and loading Keras.
        read_seconds: Reading the images and checking them.
        seconds: What the calibration took, with both.
        speed: Estimates the time of a trial.
    """

    workers: int
    is_remote: bool
    start_seconds: float
    read_seconds: float
    seconds: float
    speed: Speed


def unmeasured(tuning: "Tuning") -> Calibration:
    """Return what workers usually take, without measuring these."""
    return Calibration(tuning.engine.size, tuning.engine.is_remote, 0.0, 0.0, 0.0, Speed(()))


def calibrate(tuning: "Tuning", most_seconds: float = CALIBRATION_SECONDS) -> Calibration:
    """Measure some of a study's trials on all workers at the same time, because the workers of a machine share it.

    Args:
        tuning: The study. Its workers are started, and stay.
        most_seconds: Without the time for reading the images. After two thirds of it, no further trial
            is measured.

    Raises:
        ConfigError: There is no stage to run, no scheduler, or no worker.
        DataError: The images cannot be used.
        RunError: No trial could be measured.
        WorkerError: A worker has other versions.
    """
    started = time.monotonic()
    assert tuning.images.warnings is not None, "reads the images and checks them"
    read = time.monotonic()
    trials = _trials_to_measure(tuning)
    workers = max(1, sum(tuning.engine.client.nthreads().values()))
    start_seconds, n_threads = time.monotonic() - read, min(workers, MOST_THREADS)
    waiting = iter(trials * -(-n_threads // len(trials)))  # at least one for every worker
    timings, failures = list[Timing](), list[Exception]()

    def work(_: int) -> None:
        for trial in waiting:
            dataset = tuning.images.dataset(trial.input.colour)
            try:
                timings.append(tuning.engine.call(measure, trial, dataset.image_shape, len(dataset.class_names)))
            except Exception as error:  # the study itself will report a trial that fails
                failures.append(error)
            if time.monotonic() - read > most_seconds * 2 / 3:
                break

    with ThreadPoolExecutor(n_threads) as threads:
        list(threads.map(work, range(n_threads)))
    if not timings:
        if isinstance(failures[0], CnnlabError):
            raise failures[0]
        reason = f"{type(failures[0]).__name__}: {' '.join(str(failures[0]).split())[:300]}"
        raise RunError(f"Expected to measure a trial. Received: {reason}.") from failures[0]
    start_seconds += max(timing.load_seconds for timing in timings)
    seconds = time.monotonic() - started
    speed = Speed(tuple(timings))
    return Calibration(workers, tuning.engine.is_remote, start_seconds, read - started, seconds, speed)


def _trials_to_measure(tuning: "Tuning") -> list[Trial]:
    """Return a study's trials: own models first, then the cheapest, the most expensive, and those between them."""
    planner, different = Planner(tuning, Speed(())), dict[Hashable, Trial]()
    for costliest in (False, True):
        for _, of_stage in planner.chain(costliest=costliest):
            for trial in (trial.settings for trial in of_stage):
                key = trial.architecture, trial.training.batch_size, trial.training.optimizer, trial.input.colour
                different.setdefault(key, trial)
    if not different:
        raise ConfigError("Expected a stage to run. Received: none. Name one (STAGES=...).")
    trials = list(different.values())
    own = [trial for trial in trials if not isinstance(trial.architecture, Architecture)]
    others = [trial for trial in trials if isinstance(trial.architecture, Architecture)]
    others.sort(key=lambda trial: planner.seconds(trial).step / trial.training.batch_size)
    return own + [others[index] for index in _spread(len(others))]


def _spread(size: int) -> list[int]:
    """Return the indices of a list in an order whose beginnings are spread over it: 0, 8, 4, 2, 6, 1, 3, 5, 7."""
    order, gaps = [0, size - 1], [(0, size - 1)]
    while gaps:
        low, high = gaps.pop(0)
        middle = (low + high) // 2
        if low < middle:
            order.append(middle)
            gaps += [(low, middle), (middle, high)]
    return list(dict.fromkeys(order))[:size]
