"""What a study will take, stage by stage, before it is run; and the time left while it runs."""

import math
import os
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnlab.records import Record
from cnnlab.study import Budget, Trial
from cnnlab.tuning.calibration import Calibration
from cnnlab.tuning.planner import PlannedRun, Planner, stage_seconds
from cnnlab.tuning.results import StageResult

if TYPE_CHECKING:
    from cnnlab.tuning.tuning import Tuning

NOTEBOOK_SECONDS = 5
"""CPU time of executing a notebook."""
OTHER_NOTEBOOKS = 3
"""Notebooks beside those of stages and mistakes: images, comparison, noise."""
LAST_NOTEBOOKS = 3
"""Notebooks that are executed after the last run."""
PAGE_SECONDS = 6
"""Writing the page, the tables and the model, after the last notebook."""
TRUST_SECONDS = 30
"""After so many seconds of runs, their times count as much as the estimates."""
Range = tuple[float, float]


@dataclass(frozen=True)
class StageEstimate:
    """A stage, or the mistakes, before it is run. Ranges are from the smallest to the largest number.

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
        stages: Its stages, and the mistakes.
        start_seconds: Starting the workers and reading the images, before the first run.
        report_seconds: What notebooks and page add; 0 without a report.
    """

    budget: Budget
    stages: tuple[StageEstimate, ...]
    start_seconds: float
    report_seconds: float

    @property
    def seconds(self) -> Range:
        """Wall time of the whole command, from the smallest to the largest."""
        fixed = self.start_seconds + self.report_seconds
        return (
            fixed + sum(stage.seconds[0] for stage in self.stages),
            fixed + sum(stage.seconds[1] for stage in self.stages),
        )


def estimate(
    tuning: "Tuning", calibration: Calibration, budget: Budget | None = None, *, report: bool = True
) -> Estimate:
    """Estimate a study.

    The smallest numbers are those of runs that early stopping ends as soon as it can, with stages that select their
    cheapest trials; the largest those of runs of all epochs, with stages that select their costliest trials. Stages
    whose runs are stored select what these say.

    Args:
        tuning: The study.
        calibration: What its workers take.
        budget: Another budget than the study's own; no run of it counts as stored.
        report: Whether notebooks and page are made.

    Raises:
        DataError: The images cannot be used.
    """
    planner = Planner(tuning, calibration.speed, budget)
    selected = planner.selected()
    cases = [_plan_stages(planner, costliest=costliest, selected=selected) for costliest in (False, True)]
    seconds: list[dict[str, float]] = []
    for case, by_stage in enumerate(cases):
        keys: list[Hashable] = [None] * calibration.workers
        seconds.append({name: stage_seconds(_missing(runs), case, keys) for name, runs in by_stage.items()})
    stages = []
    for name, runs in cases[1].items():
        low, high = _missing(cases[0].get(name, runs)), _missing(runs)
        stages.append(
            StageEstimate(
                name,
                runs=len(runs),
                stored=len(runs) - len(high),
                epochs=(sum(run.epochs[0] for run in low), sum(run.epochs[1] for run in high)),
                images=(
                    sum(run.epochs[0] * run.images for run in low),
                    sum(run.epochs[1] * run.images for run in high),
                ),
                disk_bytes=sum(run.disk_bytes for run in high),
                seconds=(seconds[0].get(name, seconds[1][name]), seconds[1][name]),
            )
        )
    start = calibration.start_seconds if any(stage.runs > stage.stored for stage in stages) else 0.0
    notebooks = _report_seconds(calibration, len(stages) + OTHER_NOTEBOOKS) if report else 0.0
    return Estimate(budget or tuning.budget, tuple(stages), start + calibration.read_seconds, notebooks)


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


def _missing(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    return [run for run in runs if not run.is_stored]


def _report_seconds(calibration: Calibration, notebooks: int) -> float:
    """Return what a report adds to the time of its runs: notebooks are executed beside them, on the same cores."""
    beside_runs = LAST_NOTEBOOKS if calibration.is_remote else notebooks
    return NOTEBOOK_SECONDS * beside_runs / min(4, os.cpu_count() or 1) + PAGE_SECONDS


def plan_table(estimate: Estimate) -> list[str]:
    """Return an estimate as lines for a terminal of 100 columns."""
    stages, fixed = estimate.stages, (estimate.start_seconds, estimate.report_seconds)
    rows: list[tuple[str, ...]] = [("stage", "runs", "stored", "epochs", "image passes", "disk", "time")]
    for stage in (*stages, _total(estimate)):
        numbers = _show(stage.epochs, _count), _show(stage.images, _count), _bytes(stage.disk_bytes)
        time_shown = _show(stage.seconds, duration)
        rows.append((stage.name[:24], f"{stage.runs:,}", f"{stage.stored:,}", *numbers, time_shown))
    shown = [("start", *[""] * 5, duration(fixed[0])), ("notebooks and page", *[""] * 5, duration(fixed[1]))]
    rows[-1:-1] = [row for row, seconds in zip(shown, fixed, strict=True) if seconds]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    if any(stage.seconds[0] < stage.seconds[1] for stage in stages):
        lines.append("From: runs stop as early as they may, stages select cheap trials. To: all epochs, costly trials.")
    return lines


def _total(estimate: Estimate) -> StageEstimate:
    stages = estimate.stages

    def add(ranges: Iterable[Range]) -> Range:
        low, high = zip(*ranges, strict=True) if stages else ((), ())
        return sum(low), sum(high)

    return StageEstimate(
        "total",
        sum(stage.runs for stage in stages),
        sum(stage.stored for stage in stages),
        add(stage.epochs for stage in stages),
        add(stage.images for stage in stages),
        sum(stage.disk_bytes for stage in stages),
        estimate.seconds,
    )


def duration(seconds: float) -> str:
    """Return a time in words: seconds, minutes, hours or days."""
    for unit, size, most in (("s", 1, 100), ("min", 60, 100), ("h", 3600, 72)):
        if seconds < most * size:
            return f"{seconds / size:.{1 if unit == 'h' and seconds < 10 * size else 0}f} {unit}"
    return f"{seconds / 86400:.0f} days"


def _count(number: float) -> str:
    if number < 10_000:
        return f"{number:,.0f}"
    return f"{number / 1e3:.0f} k" if number < 1e6 else f"{number / 1e6:,.1f} M"


def _bytes(number: float) -> str:
    return f"{number / 1e6:.{0 if number >= 1e7 else 1}f} MB" if number < 1e9 else f"{number / 1e9:.1f} GB"


def _show(numbers: Range, show: Callable[[float], str]) -> str:
    """Return a range: 2-7 min, 90 s-5 min, or one number if both look the same."""
    low, high = map(show, numbers)
    if low == high:
        return high
    return f"{low.removesuffix(high[high.find(' ') :]) if ' ' in high else low}-{high}"


class TimeLeft:
    """The time left of a study that runs, from the estimates of the runs to come and the times of those made.

    Each stage that ends selects a trial, so that the stages after it are estimated again.

    Args:
        tuning: The study.
        calibration: What its workers take.
        report: Whether notebooks and page are made.
    """

    def __init__(self, tuning: "Tuning", calibration: Calibration, *, report: bool = True) -> None:
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
            name: sum(_likely(run) for by_stage in cases for run in _missing(by_stage.get(name, ()))) / 2
            for name in names
        }
        self._looked = time.monotonic()

    def start_stage(self, name: str, missing: int) -> None:
        """A stage starts, of which some runs are missing."""
        self._started.append(name)
        self._left = {other: seconds for other, seconds in self._left.items() if other not in self._started[:-1]}
        if not missing:
            self._left.pop(name, None)
        self._looked = time.monotonic()

    def end_run(self, record: Record) -> None:
        """A run has been made."""
        likely = _likely(self._planner.new_run(Trial.from_canonical(record.trial)))
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
