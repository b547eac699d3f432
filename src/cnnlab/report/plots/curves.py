"""Learning curves: scores by epoch, and by the number of training images."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from cnnlab.records import Record
from cnnlab.report.plots.labels import fitting
from cnnlab.report.plots.picture import INK, LINE, SMALLEST_RANGE, SOFT, STYLE, WIDE, Canvas, Picture, plot
from cnnlab.report.plots.stage import N_COLOURS
from cnnlab.report.plots.svg import PALETTE, mark
from cnnlab.tuning import CurvePoint, LearningCurve

LISTED_EPOCHS = 20
"""Epochs of a trial's curves in the table of numbers; of longer fits, evenly spaced ones."""
_METRICS = ("loss", "val_loss", "val_f1")
_SMALLEST_F1 = 0.05
"""Of the upper end of the scale of `val_f1`: a smaller one would make noise look large."""
_PANEL, _TITLE, _GAP, _TICKS = 66, 20, 10, 20  # heights, in CSS pixels


@mpl.rc_context(STYLE)
def curves(
    groups: Mapping[str, Sequence[Record]], colours: Mapping[str, str] | None = None, reference: str = ""
) -> Picture:
    """Draw loss and `val_f1` by epoch for every trial and seed, all on the same scales.

    Args:
        groups: Name of a trial to its records.
        colours: Name of a trial to its colour, as `plots.colours` returns; None for the palette in order.
        reference: Name of the trial whose mean is drawn behind the others; "" for none.
    """
    shown = colours or dict(zip(groups, cycle(f"c{number}" for number in range(N_COLOURS)), strict=False))
    tops = _largest_losses(groups, reference)
    best = {name: [_at_best(record, "val_f1") for record in records] for name, records in groups.items()}

    def draw(width: int) -> Canvas:
        grid = _Grid(groups, width, _caption(reference if len(groups) > 1 else ""), len(set(tops.values())) > 1)
        for index, (name, records) in enumerate(groups.items()):
            for metric in ("loss", "val_f1"):
                axis = grid.panel(index, metric, tops[name] if metric == "loss" else _top_f1(groups))
                if reference and name != reference and (metric == "val_f1" or tops[name] == tops[reference]):
                    _draw_mean(axis, groups[reference], f"val_{metric}" if metric == "loss" else metric)
                for record in records:
                    _draw_run(axis, name, record, metric, PALETTE[shown[name]])
                if metric == "loss" and (note := _note(records, tops[name])):
                    axis.text(0.03, 0.08, note, transform=axis.transAxes)
        return grid.canvas

    means = "; ".join(f"{name} {np.mean(scores):.3f}" for name, scores in best.items())
    return plot(
        draw,
        f"Loss and val_f1 by epoch, training dashed, validation solid. Mean val_f1 of the best epochs: {means}.",
        [row for name, records in groups.items() for row in _mean_curves(name, records)],
        dict.fromkeys(_METRICS, ".3f"),
    )


def _caption(reference: str) -> str:
    behind = f" Grey: mean of {fitting(reference, 150)}." if reference else ""
    return f"By epoch, a line a run. Dashed: training. Solid: validation. Dot: epoch with the lowest val_loss.{behind}"


def _note(records: Sequence[Record], top: float) -> str:
    """Return why nothing of the losses of a trial is in its panel; "" if something is."""
    if not any(np.isfinite(record.history["val_loss"]).any() for record in records):
        return "diverged: no loss"
    losses = [loss for record in records for part in ("loss", "val_loss") for loss in record.history[part]]
    return f"all losses above {top:.1f}" if np.nanmin(losses) > top else ""


def _at_best(record: Record, metric: str) -> float:
    return float(record.history[metric][record.best_epoch - 1])


def _loss(records: Sequence[Record]) -> str:
    return str(records[0].trial["training"]["loss"])


def _largest_losses(groups: Mapping[str, Sequence[Record]], reference: str) -> dict[str, float]:
    """Return the upper end of the scale of each trial's loss: the same where trials have the same loss function.

    It is at most 1.5 times the largest loss of the reference, or of the median trial without one: a trial that diverges
    would make the curves of the others flat.
    """
    tops: dict[str, float] = {}
    for name, records in groups.items():
        losses = [loss for record in records for part in ("loss", "val_loss") for loss in record.history[part]]
        tops[name] = max((0.0, *filter(np.isfinite, losses)))
    scales: dict[str, float] = {}
    for function in {_loss(records) for records in groups.values()}:
        some = [name for name, records in groups.items() if _loss(records) == function]
        usual = tops.get(reference, 0.0) if reference in some else float(np.median([tops[name] for name in some]))
        top = max(tops[name] for name in some)
        scales |= dict.fromkeys(some, 1.04 * (min(top, 1.5 * usual) or top or 1.0))
    return scales


def _top_f1(groups: Mapping[str, Sequence[Record]]) -> float:
    scores = (score for records in groups.values() for record in records for score in record.history["val_f1"])
    return 1.04 * max(_SMALLEST_F1, *filter(np.isfinite, scores))


class _Grid:
    """A figure with two panels for each trial, some trials side by side."""

    def __init__(self, groups: Mapping[str, Sequence[Record]], width: int, text: str, has_scales: bool) -> None:
        most = 4 if width == WIDE else 2
        self.names = list(groups)
        self.columns = -(-len(groups) // -(-len(groups) // most))
        self.epochs = max(record.epochs for records in groups.values() for record in records)
        self.has_scales, self.left = has_scales, 60  # room for "0.0025"
        self.space = 48 if has_scales else 14  # between panels
        self.panel_width = min(290, (width - self.left - 8 - self.space * (self.columns - 1)) / self.columns)
        used = self.left + self.columns * (self.panel_width + self.space) - self.space + 8
        whole = max(used, 480) if width == WIDE else width
        self.block = _TITLE + 2 * _PANEL + _GAP + _TICKS
        rows = -(-len(groups) // self.columns)
        self.canvas = Canvas(whole, rows * self.block, text)

    def panel(self, index: int, metric: str, top: float) -> Axes:
        """Return the axes of a trial's loss or F1, from 0 to `top`."""
        row, column = divmod(index, self.columns)
        left, up = self.left + column * (self.panel_width + self.space), row * self.block
        is_lower = metric != "loss"
        if not is_lower:
            label = fitting(self.names[index], self.panel_width, weight="bold")
            self.canvas.write(left, up + 12, label, fontweight="bold")
        place = up + _TITLE + is_lower * (_PANEL + _GAP)
        axis = self.canvas.axes(left, place, self.panel_width, _PANEL)
        axis.set_xlim(0.5, self.epochs + 0.5)  # so that a fit of one epoch has an axis of whole epochs too
        axis.set_ylim(0, top)
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
        axis.yaxis.set_major_locator(MaxNLocator(3))
        axis.grid(False, axis="x")
        axis.spines["bottom"].set(visible=True, color=LINE)
        is_last = index + self.columns >= len(self.names)
        axis.tick_params(labelleft=column == 0 or (self.has_scales and not is_lower), labelbottom=is_lower and is_last)
        if column == 0:
            self.canvas.write_upright(9, place + _PANEL / 2, metric)
        return axis


def _draw_run(axis: Axes, name: str, record: Record, metric: str, colour: str) -> None:
    best = record.best_epoch
    validation = "val_loss" if metric == "loss" else metric
    value = _at_best(record, validation)
    text = f"{name}, seed {record.seed}: {validation} {value:.3f} in epoch {best}"
    if metric == "loss":
        text += f" of {record.epochs}, training loss {_at_best(record, 'loss'):.3f}"
        _draw_line(axis, record.history["loss"], colour, mark(text, name), linestyle=(0, (3, 2)), linewidth=1)
    _draw_line(axis, record.history[validation], colour, mark(text, name), linewidth=1)
    if value <= axis.get_ylim()[1]:
        axis.plot(best, value, "o", color=colour, markersize=3.4, markeredgewidth=0, gid=mark(text, name))


def _draw_mean(axis: Axes, records: Sequence[Record], metric: str) -> None:
    """Draw the mean over runs while at least half of them continue: the mean of a few others would jump."""
    lengths = sorted(record.epochs for record in records)
    means = [
        float(np.mean([record.history[metric][epoch] for record in records if record.epochs > epoch]))
        for epoch in range(lengths[len(lengths) // 2])
    ]
    _draw_line(axis, means, SOFT, linewidth=2.6, alpha=0.4)


def _draw_line(axis: Axes, values: ArrayLike, colour: str, gid: str | None = None, **look: Any) -> None:
    """Draw values by epoch, and nothing where they leave the panel: the page's SVG has no clip paths."""
    line = np.asarray(values, float)
    places = np.column_stack([np.arange(1, len(line) + 1), np.where(np.isfinite(line), line, np.nan)])
    path = Path(axis.transData.transform(places))
    path.simplify_threshold = 0.5  # pixels
    inside = path.cleaned(clip=axis.bbox.extents, remove_nans=True, simplify=True)
    vertices, codes = np.asarray(inside.vertices), np.asarray(inside.codes)
    seen = codes != Path.STOP
    if seen.sum() > 1:
        path = Path(axis.transData.inverted().transform(vertices[seen]), codes[seen])
        axis.add_patch(PathPatch(path, fill=False, edgecolor=colour, capstyle="butt", gid=gid, zorder=2, **look))


def _mean_curves(name: str, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return a trial's curves as rows: for some epochs, the means over the runs that have them."""
    longest = max(record.epochs for record in records)
    listed = np.unique(np.linspace(1, longest, min(longest, LISTED_EPOCHS)).round().astype(int))
    rows = []
    for epoch in listed.tolist():
        histories = [record.history for record in records if record.epochs >= epoch]
        means = {metric: float(np.mean([history[metric][epoch - 1] for history in histories])) for metric in _METRICS}
        rows.append({"trial": name, "epoch": epoch, "runs": len(histories), **means})
    return rows


_SCORES = {"val_f1": "c1", "test_f1": "c0"}


@mpl.rc_context(STYLE)
def learning_curve(curve: LearningCurve) -> Picture:
    """Draw the F1 of the final model by its number of training images: a dot a run, a line through the means.

    Bars are 95 % intervals of the means.
    """
    images = [point.images for point in curve.points]
    alt = f"Macro-F1 of the final model by training images: {_points(curve)}."
    text = "Macro-F1 of the final model by training images. Dot: a run."
    if len(curve.points[0].records) > 1:
        alt = alt.replace("images:", "images, means with 95 % intervals:", 1)
        text += " Line: mean. Bar: its 95 % interval."

    def draw(width: int) -> Canvas:
        whole = min(width, 520)
        canvas = Canvas(whole, 228, text)
        axis = canvas.axes(44, 10, whole - 44 - 66, 190)
        axis.set_xscale("log", base=2)
        axis.set_xlim(images[0] / 1.15, images[-1] * 1.08)
        axis.set_xticks(images, [f"{number:,}" for number in images])
        axis.minorticks_off()
        axis.yaxis.set_major_locator(MaxNLocator(5))
        axis.grid(False, axis="x")
        means = {score: [getattr(point, score) for point in curve.points] for score in _SCORES}
        for score, name in _SCORES.items():
            _draw_points(axis, curve, score, PALETTE[name], 0.985 if score == "val_f1" else 1.015)
        low, high = axis.get_ylim()
        more = max(0.0, SMALLEST_RANGE - (high - low)) / 2
        axis.set_ylim(low - more, high + more)
        apart = 0.09 * (high - low + 2 * more)
        ends = [means[score][-1] for score in _SCORES]
        push = max(0.0, apart - abs(ends[0] - ends[1])) / 2 * (1 if ends[0] >= ends[1] else -1)
        for score, end, shift in zip(_SCORES, ends, (push, -push), strict=True):
            axis.annotate(
                score, (1, end + shift), (8, 0), ("axes fraction", "data"), "offset points", va="center",
                color=INK, annotation_clip=False,
            )  # fmt: skip
        return canvas

    formats = {f"{score}{end}": ".4f" for score in _SCORES for end in ("", " low", " high")}
    return plot(draw, alt, [_point(point) for point in curve.points], {"training images": ",d"} | formats)


def _draw_points(axis: Axes, curve: LearningCurve, score: str, colour: str, shift: float) -> None:
    """Draw a score; shifted, or the intervals of the two scores would cover each other."""
    places = [shift * point.images for point in curve.points]
    axis.plot(places, [getattr(point, score) for point in curve.points], color=colour, linewidth=1.4)
    for place, point in zip(places, curve.points, strict=True):
        low, high = _interval_of(point, score)
        if np.isfinite(low):  # one run has no interval
            gid = mark(f"{point.images:,} images: {_mean(point, score)}")
            axis.plot([place] * 2, [low, high], color=colour, linewidth=5, alpha=0.35, solid_capstyle="butt", gid=gid)
        for record in point.records:
            text = mark(f"{point.images:,} images, seed {record.seed}: {score} {record.scores[score]:.3f}")
            axis.plot(
                place, record.scores[score], "o", color=colour, alpha=0.6, markersize=5, markeredgewidth=0, gid=text
            )


def _interval_of(point: CurvePoint, score: str) -> tuple[float, float]:
    return point.val_interval if score == "val_f1" else point.test_interval


def _mean(point: CurvePoint, score: str) -> str:
    low, high = _interval_of(point, score)
    return f"{score} {getattr(point, score):.3f}" + (f" ({low:.3f} to {high:.3f})" if len(point.records) > 1 else "")


def _points(curve: LearningCurve) -> str:
    return "; ".join(
        f"{point.images:,} images: {', '.join(_mean(point, score) for score in _SCORES)}" for point in curve.points
    )


def _point(point: CurvePoint) -> dict[str, object]:
    row: dict[str, object] = {"training images": point.images, "runs": len(point.records)}
    for score in _SCORES:
        low, high = _interval_of(point, score)
        row |= {score: getattr(point, score), f"{score} low": low, f"{score} high": high}
    return row
