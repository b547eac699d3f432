"""Plots of scores and of differences, a row for each trial."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import blended_transform_factory

from cnnlab.evidence import Comparison
from cnnlab.report.plots.labels import fitting, text_width
from cnnlab.report.plots.picture import INK, SOFT, STYLE, WIDE, Canvas, Picture, plot
from cnnlab.report.plots.svg import PALETTE, mark
from cnnlab.report.tables import interval_end, mean_sd
from cnnlab.tuning import StageResult

N_COLOURS = 8
_LARGEST_RANGE = 3
"""Of an axis, in ranges of the dots: a longer interval would push them together, and ends in an arrow."""
_SMALLEST_RANGE = 0.02
"""Of the dots in `val_f1`: a smaller one would make noise look large."""


def colours(result: StageResult) -> dict[str, str]:
    """Return the name of the colour of each of a stage's trials, the same in all its pictures."""
    palette = cycle(f"c{number}" for number in range(N_COLOURS))
    return {trial.name: "incumbent" if trial.incumbent else next(palette) for trial in result.trials}


@mpl.rc_context(STYLE)
def scores(result: StageResult) -> Picture:
    """Draw each trial's `val_f1`, the best mean first, with the evidence.

    A dot is a run and a tick the mean of a trial. The line is the mean of the reference. A bar is the interval of a
    trial's difference from it, so a bar that crosses the line is inconclusive, and grey.
    """
    frame = pd.DataFrame(
        [(name, record.seed, record.scores["val_f1"]) for (name, _), record in result.runs.items()],
        columns=["trial", "seed", "val_f1"],
    )
    runs = {name: [(one.seed, one.scores["val_f1"]) for one in ones] for name, ones in result.records_by_trial.items()}
    means = {name: float(np.mean([score for _, score in ones])) for name, ones in runs.items()}
    same_as = result.same_as
    ranked = sorted(means, key=lambda name: (-means[name], name in same_as))
    reference = (result.incumbent or result.trials[0]).name
    role = "incumbent" if result.incumbent else "reference"
    comparisons = {one.trial: one for one in result.decision.comparisons}
    labels = {name: name + (f" (same as {same_as[name]})" if name in same_as else "") for name in ranked}
    if len(ranked) > 1:
        labels[reference] = f"{reference} ({role})"
    colour = {name: PALETTE[shown] for name, shown in colours(result).items()}
    ends = [means[reference] + end for one in comparisons.values() for end in _interval(one)]
    low, high = _limits(list(frame["val_f1"]), ends)
    limits = max(low, -0.03), min(high, 1.03)  # no F1 lies beyond; an interval that does ends in an arrow

    def draw(width: int) -> Canvas:
        rows = _Rows(list(labels.values()), _score_caption(result, role), width, ranked.index(result.decision.selected))
        rows.axis.set_xlim(*limits)
        if len(ranked) > 1:
            rows.line(means[reference])
        for row, name in enumerate(ranked):
            if one := comparisons.get(name):
                text = f"{name} less {role} {reference}: {_difference(one)}"
                rows.interval(row, means[reference], one, colour[name], mark(text, name))
            for seed, score in runs[name]:
                rows.dot(row, score, colour[name], mark(f"{name}, seed {seed}: val_f1 {score:.3f}", name))
            if len(runs[name]) > 1:
                text = f"{name}: mean val_f1 {means[name]:.3f} of {len(runs[name])} runs"
                rows.tick(row, means[name], colour[name], mark(text, name))
        return rows.canvas

    shown = ", ".join(f"{name} {mean_sd([score for _, score in ones])}" for name, ones in runs.items())
    differences = "; ".join(f"{name} {_difference(one)}" for name, one in comparisons.items())
    against = f" Differences from the {role} {reference}: {differences}." if differences else ""
    alt = f"val_f1 by {result.stage.title.lower()}, mean over runs: {shown}.{against}"
    return plot(draw, f"{alt} Selected: {result.decision.selected}.", frame, {"val_f1": ".4f"})


@mpl.rc_context(STYLE)
def differences(comparisons: Mapping[str, Comparison], difference: str) -> Picture:
    """Draw differences with their 95 % intervals; grey ones are inconclusive.

    Args:
        comparisons: Label to comparison.
        difference: What is drawn, as "mean val_f1, less that of the incumbent".
    """
    ends = [end for one in comparisons.values() for end in (*_interval(one), one.difference)]
    has_intervals = any(one.has_interval for one in comparisons.values())
    about = f"Tick: {difference}." + (" Bar: 95 % interval, grey if inconclusive." if has_intervals else "")
    what = "Differences with 95 % intervals" if has_intervals else "Differences between single runs"

    def draw(width: int) -> Canvas:
        rows = _Rows(list(comparisons), about, width)
        rows.axis.set_xlim(*_limits([0, *ends], []))
        rows.axis.xaxis.set_major_formatter(lambda value, _: f"{value:+z.3g}" if value else "0")
        rows.line(0)
        for row, (name, one) in enumerate(comparisons.items()):
            gid = mark(f"{name}: {_difference(one)}")
            rows.interval(row, 0, one, PALETTE["c0"], gid)
            rows.tick(row, one.difference, PALETTE["c0"] if one.is_conclusive else SOFT, gid)
        return rows.canvas

    columns = ("difference", "low", "high", "verdict")
    shown = "; ".join(f"{name} {_difference(one, ', ', '')}" for name, one in comparisons.items())
    return plot(
        draw,
        f"{what}, {difference}: {shown}.",
        [{"trial": name, **{c: getattr(one, c) for c in columns}} for name, one in comparisons.items()],
        dict.fromkeys(columns[:3], "+z.4f"),
    )


def _interval(one: Comparison) -> tuple[float, ...]:
    return (one.low, one.high) if one.has_interval else ()


def _difference(one: Comparison, opening: str = " (", closing: str = ")") -> str:
    interval = (
        f"{opening}{interval_end(one.low)} to {interval_end(one.high)}{closing}, {one.verdict}"
        if one.has_interval
        else ""
    )
    return f"{one.difference:+z.3f}{interval}"


def _limits(dots: Sequence[float], intervals: Sequence[float]) -> tuple[float, float]:
    """Return the ends of an axis for dots and the ends of intervals, the longest intervals cut."""
    low, high = min(dots), max(dots)
    middle, size = (low + high) / 2, max(high - low, _SMALLEST_RANGE)
    room = size * (_LARGEST_RANGE - 1) / 2
    low = max(min([low, *intervals]), middle - size / 2 - room)
    high = min(max([high, *intervals]), middle + size / 2 + room)
    low, high = min(low, middle - size / 2), max(high, middle + size / 2)
    margin = 0.03 * (high - low)
    return low - margin, high + margin


def _score_caption(result: StageResult, role: str) -> str:
    if result.decision.n_seeds == 1:
        line = f" Line: the run of the {role}." if len(result.distinct_trials) > 1 else ""
        return f"val_f1. Dot: the run of a trial.{line} One run each has no interval."
    if len(result.trials) == 1:
        return "val_f1. Dot: a run. Tick: their mean."
    return (
        f"val_f1. Dot: a run. Tick: mean of a trial. Line: mean of the {role}. "
        "Bar: 95 % interval of the difference from it, grey if inconclusive."
    )


@dataclass
class _Rows:
    """A figure with one row a label and a common axis. Heights are CSS pixels, from the top."""

    labels: Sequence[str]
    text: str
    width: int
    selected: int | None = None

    def __post_init__(self) -> None:
        wide = self.width == WIDE
        self.row = 28 if wide else 42
        weights = ["bold" if index == self.selected else "normal" for index in range(len(self.labels))]
        room = 330 if wide else self.width - 16
        labels = [fitting(label, room, weight=weight) for label, weight in zip(self.labels, weights, strict=True)]
        widest = max(text_width(label, weight=weight) for label, weight in zip(labels, weights, strict=True))
        left = widest + 24 if wide else 22
        height = self.row * len(labels)
        self.canvas = Canvas(self.width, height + 24, self.text)
        self.axis = self.canvas.axes(left, 0, self.width - left - 22, height)
        self.axis.set_ylim(height, 0)
        self.axis.set_yticks([])
        self.axis.xaxis.set_major_locator(MaxNLocator(8 if wide else 4))
        for index, (label, weight) in enumerate(zip(labels, weights, strict=True)):
            self.canvas.write(8, self.row * index + (self.row / 2 if wide else 12), label, fontweight=weight)
        if self.selected is not None and len(labels) > 1:
            across = blended_transform_factory(self.canvas.figure.transFigure, self.axis.transData)
            place = (0, self.row * self.selected)
            self.axis.add_patch(
                Rectangle(place, 1, self.row, transform=across, clip_on=False, facecolor=SOFT, alpha=0.13, zorder=0)
            )

    def height(self, row: int) -> float:
        """Return the middle of what is drawn in a row: above it, a narrow picture has the label."""
        return self.row * row + (self.row / 2 if self.width == WIDE else 29)

    def line(self, value: float) -> None:
        """Draw the line from which differences are measured, below the labels of a narrow picture."""
        top = 0 if self.width == WIDE else 18
        for row in range(len(self.labels)):
            ends = [self.row * row + top, self.row * (row + 1)]
            self.axis.plot([value] * 2, ends, color=INK, linewidth=0.9, solid_capstyle="butt", zorder=2)

    def dot(self, row: int, value: float, colour: str, gid: str) -> None:
        self.axis.plot(
            value, self.height(row), "o", color=colour, alpha=0.75, markersize=5.2, markeredgewidth=0, gid=gid, zorder=4
        )

    def tick(self, row: int, value: float, colour: str, gid: str) -> None:
        middle = self.height(row)
        self.axis.plot(
            [value] * 2, [middle - 8, middle + 8], color=colour, linewidth=2.2, solid_capstyle="butt", gid=gid, zorder=5
        )

    def interval(self, row: int, start: float, one: Comparison, colour: str, gid: str) -> None:
        """Draw a comparison's interval from `start`, in grey if it is inconclusive; an arrow where the axis cuts it."""
        if not one.has_interval:
            return
        low, high = self.axis.get_xlim()
        shown = colour if one.is_conclusive else SOFT
        ends, middle = np.clip([start + one.low, start + one.high], low, high), self.height(row)
        self.axis.add_patch(
            Rectangle((ends[0], middle - 4), ends[1] - ends[0], 8, facecolor=shown, alpha=0.3, gid=gid, zorder=3)
        )
        for end, limit, shape in ((start + one.low, low, "<"), (start + one.high, high, ">")):
            if end < low or end > high:
                self.axis.plot(
                    limit, middle, shape, color=shown, markersize=7, markeredgewidth=0, clip_on=False, gid=gid, zorder=3
                )
