"""What a study will take, stage by stage, before it is run; and the time left while it runs."""

import math
import os
import time
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnlab.records import Record
from cnnlab.study import Budget, Trial
from cnnlab.tuning.planning.calibration import Calibration, unmeasured
from cnnlab.tuning.planning.planner import PlannedRun, Planner, stage_seconds
from cnnlab.tuning.results import StageResult

if TYPE_CHECKING:
    from cnnlab.tuning.tuning import Tuning

NOTEBOOK_SECONDS = 5
"""CPU time of executing a notebook."""
OTHER_NOTEBOOKS = 3
"""Notebooks beside those of stages and mistakes: images, comparison, noise. The published study has an appendix too."""
LAST_NOTEBOOKS = 3
"""Notebooks that are executed after the last run."""
PAGE_SECONDS = 6
"""Writing the page after the last notebook."""
TRUST_SECONDS = 30
"""After so many seconds of runs, their times count as much as the estimates."""
Range = tuple[float, float]


@dataclass(frozen=True)
class StageEstimate:
    """A stage, or the mistakes, before it is run.

    Early stopping decides how many epochs a run takes, so that what depends on it has a smallest and a largest number.

    Attributes:
        name: Its name.
        runs: Its runs, without those that an earlier stage makes.
        stored: How many of them are stored. What follows is about the others.
        epochs: Epochs of all these runs.
        images: Images that pass through the models, for training and validation, in all these epochs.
        disk_bytes: What the runs will take when they are stored.
        seconds: Wall time.
    """

    name: str
    runs: int
    stored: int
    epochs: Range
    images: Range
    disk_bytes: int
    seconds: Range


@dataclass(frozen=True)
class Estimate:
    """A study before it is run.

    Attributes:
        budget: The budget.
        stages: Its stages, and the mistakes, if every stage selects its costliest trial.
        cheapest: The same if every stage selects its cheapest trial.
        start_seconds: Starting the workers and reading the images, before the first run.
        report_seconds: What notebooks and page add; 0 without a report.
    """

    budget: Budget
    stages: tuple[StageEstimate, ...]
    cheapest: tuple[StageEstimate, ...]
    start_seconds: float
    report_seconds: float

    @property
    def seconds(self) -> Range:
        """Wall time of the whole command, if every stage selects its costliest trial."""
        return self._add(self.stages)

    @property
    def cheapest_seconds(self) -> Range:
        """Wall time of the whole command, if every stage selects its cheapest trial."""
        return self._add(self.cheapest)

    def _add(self, stages: Iterable[StageEstimate]) -> Range:
        low, high = _sum(stage.seconds for stage in stages)
        return low + self.start_seconds + self.report_seconds, high + self.start_seconds + self.report_seconds


def _sum(ranges: Iterable[Range]) -> Range:
    ranges = tuple(ranges)
    return sum(low for low, _ in ranges), sum(high for _, high in ranges)


def estimate(
    tuning: "Tuning", calibration: Calibration, budget: Budget | None = None, *, report: bool = True
) -> Estimate:
    """Estimate a study.

    Stages whose runs are all stored select what these say. The others are estimated twice: each selects its costliest
    trial, or its cheapest one.

    Args:
        tuning: The study. If it repeats stored runs (`fresh`), these tell how many epochs the runs take.
        calibration: What its workers take.
        budget: Another budget than the study's own; no run of it counts as stored.
        report: Whether notebooks and page are made.

    Raises:
        DataError: The images cannot be used.
    """
    planner = Planner(tuning, calibration.speed, budget)
    selected = planner.selected()
    costliest, cheapest = (
        _estimate_stages(_plan_stages(planner, costliest=is_costliest, selected=selected), calibration.workers)
        for is_costliest in (True, False)
    )
    start = calibration.start_seconds if any(stage.runs > stage.stored for stage in costliest) else 0.0
    notebooks = (
        _report_seconds(calibration, len(costliest) + OTHER_NOTEBOOKS + tuning.study.is_built_in) if report else 0.0
    )
    return Estimate(budget or tuning.budget, costliest, cheapest, start + calibration.read_seconds, notebooks)


def _estimate_stages(by_stage: Mapping[str, Sequence[PlannedRun]], workers: int) -> tuple[StageEstimate, ...]:
    traced: tuple[list[Hashable], ...] = ([None] * workers, [None] * workers)  # in either case, by worker
    stages = []
    for name, runs in by_stage.items():
        missing = [run for run in runs if not run.is_stored]
        low, high = (stage_seconds(missing, case, keys) for case, keys in enumerate(traced))
        stages.append(
            StageEstimate(
                name,
                runs=len(runs),
                stored=len(runs) - len(missing),
                epochs=_sum(run.epochs for run in missing),
                images=_sum((run.epochs[0] * run.images, run.epochs[1] * run.images) for run in missing),
                disk_bytes=sum(run.disk_bytes for run in missing),
                seconds=(low, high),
            )
        )
    return tuple(stages)


def _plan_stages(
    planner: Planner, *, costliest: bool, selected: Mapping[str, Trial]
) -> dict[str, Sequence[PlannedRun]]:
    """Return the runs of each stage, without those of earlier stages."""
    seen: set[Hashable] = set()
    stages: dict[str, Sequence[PlannedRun]] = {}
    for name, trials in planner.chain(costliest=costliest, selected=selected):
        runs = planner.runs(trials)
        stages[name] = [planned for run, planned in runs.items() if run not in seen]
        seen.update(runs)
    return stages


def _report_seconds(calibration: Calibration, notebooks: int) -> float:
    """Return what a report adds to the time of its runs: notebooks are executed beside them, on the same cores."""
    beside_runs = LAST_NOTEBOOKS if calibration.is_remote else notebooks
    return NOTEBOOK_SECONDS * beside_runs / min(4, os.cpu_count() or 1) + PAGE_SECONDS


def plan_table(estimate: Estimate) -> list[str]:
    """Return an estimate as lines for a terminal of 100 columns."""
    stages = estimate.stages
    total = StageEstimate(
        "total",
        sum(stage.runs for stage in stages),
        sum(stage.stored for stage in stages),
        _sum(stage.epochs for stage in stages),
        _sum(stage.images for stage in stages),
        sum(stage.disk_bytes for stage in stages),
        estimate.seconds,
    )
    rows = [["stage", "runs", "stored", "epochs", "image passes", "disk", "time"], *map(_row, stages)]
    for name, seconds in (("start", estimate.start_seconds), ("notebooks and page", estimate.report_seconds)):
        rows += [[name, *[""] * 5, duration(seconds)]] if seconds else []
    rows.append(_row(total))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([name.ljust(widths[0]), *map(str.rjust, cells, widths[1:])]) for name, *cells in rows]
    if total.epochs[0] < total.epochs[1]:
        lines.append("Ranges: early stopping decides how many epochs a run takes, from patience + 1 to all of them.")
    if (cheapest := duration(*estimate.cheapest_seconds)) != duration(*estimate.seconds):
        lines.append(f"Each stage counts as if it selected its costliest trial. With the cheapest: {cheapest}.")
    return lines


def _row(stage: StageEstimate) -> list[str]:
    counts = _show(stage.epochs, _COUNTS), _show(stage.images, _COUNTS)
    disk = _show((stage.disk_bytes, stage.disk_bytes), _BYTES)
    return [stage.name[:24], f"{stage.runs:,}", f"{stage.stored:,}", *counts, disk, duration(*stage.seconds)]


def duration(seconds: float, most: float | None = None) -> str:
    """Return a time, or a range of times, in the unit that suits it: 45 s, 12 min, 0.4-5.8 h, 4 days."""
    return _show((seconds, seconds if most is None else most), _TIMES)


_TIMES = ((100, 1, "s"), (100 * 60, 60, "min"), (72 * 3600, 3600, "h"), (math.inf, 86400, "days"))
_COUNTS = ((10_000, 1, ""), (1e6, 1e3, "k"), (math.inf, 1e6, "M"))
_BYTES = ((1e9, 1e6, "MB"), (math.inf, 1e9, "GB"))


def _show(numbers: Range, units: Sequence[tuple[float, float, str]]) -> str:
    """Return a range in one unit; units are below which number they are used, their size, and their name."""
    _, size, unit = next(row for row in units if numbers[1] < row[0])
    low, high = (f"{n / size:,.{1 if size > 1 and 0 < n < 10 * size else 0}f}" for n in numbers)
    return f"{low if low == high else f'{low}-{high}'} {unit}".rstrip()


class TimeLeft:
    """The time left of a study that runs, from the estimates of the runs to come and the times of those made.

    Each stage that ends selects a trial, so that the stages after it are estimated again.

    Args:
        tuning: The study.
        calibration: What its workers take; None if they were not measured.
        report: Whether notebooks and page are made.
    """

    def __init__(self, tuning: "Tuning", calibration: Calibration | None = None, *, report: bool = True) -> None:
        calibration = calibration or unmeasured(tuning)
        self._planner, self._workers = Planner(tuning, calibration.speed), calibration.workers
        self._after = _report_seconds(calibration, LAST_NOTEBOOKS) if report else 0.0
        self._selected: dict[str, Trial] = {}
        self._started: list[str] = []
        self._estimated = self._took = 0.0
        self._left: dict[str, float] = {}
        self._plan()

    def _plan(self) -> None:
        """Estimate the seconds of one worker for the runs of each stage that has not started."""
        cases = [
            _plan_stages(self._planner, costliest=costliest, selected=self._selected) for costliest in (False, True)
        ]
        names = [name for name in cases[1] if name not in self._started]
        self._left = {
            name: sum(_likely(run) for by_stage in cases for run in by_stage.get(name, ()) if not run.is_stored) / 2
            for name in names
        }
        self._looked = time.monotonic()

    def start_stage(self, name: str, missing: int) -> None:
        """A stage starts, or a part of one (see `Callback.on_stage_start`), of which some runs are missing."""
        stage, _, part = name.partition(", ")
        if self._started[-1:] != [stage]:
            self._started.append(stage)
        self._left = {other: seconds for other, seconds in self._left.items() if other not in self._started[:-1]}
        if not missing and not part:
            self._left.pop(stage, None)
        self._looked = time.monotonic()

    def end_run(self, record: Record) -> None:
        """A run has been made."""
        likely = _likely(self._planner.new_run(Trial.from_canonical(record.trial), record.split["train"]))
        self._estimated += likely
        self._took += record.train_seconds
        if self._started:
            name = self._started[-1]
            self._left[name] = max(0.0, self._left.get(name, 0.0) - likely)
        self._looked = time.monotonic()

    def end_stage(self, result: StageResult) -> None:
        """A stage has selected its trial."""
        self._selected[result.stage.name] = result.selected.settings
        self._plan()

    @property
    def seconds(self) -> float:
        """Seconds until the command ends, at least 0."""
        ratio = (self._took + TRUST_SECONDS) / (self._estimated + TRUST_SECONDS)
        left = sum(self._left.values()) * ratio / self._workers + self._after
        return max(0.0, left - (time.monotonic() - self._looked))


def _likely(run: PlannedRun) -> float:
    """Return the seconds of a run with an epoch number between the smallest and the largest."""
    return run.trace_seconds / 2 + run.seconds(math.sqrt(run.epochs[0] * run.epochs[1]))
