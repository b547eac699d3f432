"""Plots of one stage."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from cnnlab.evidence import Comparison
from cnnlab.records import Record
from cnnlab.report.plots.picture import COLOURS, GREY, INCUMBENT, INK, STYLE, Picture, _figure, _picture, drawable
from cnnlab.report.tables import mean_sd
from cnnlab.tuning import StageResult

LISTED_EPOCHS = 20
"""Epochs of a trial's curves in the table of numbers; of longer fits, evenly spaced ones."""
_METRICS = ("loss", "val_loss", "accuracy", "val_accuracy")


def colours(result: StageResult) -> dict[str, str]:
    """Return the colour of each of a stage's trials, the same in all its pictures."""
    palette = cycle(COLOURS)
    return {trial.name: INCUMBENT if trial.incumbent else next(palette) for trial in result.trials}


@mpl.rc_context(STYLE)
def scores(result: StageResult) -> Picture:
    """Draw each trial's `val_f1`: a dot a run, a bar for the mean with its pooled standard error."""
    frame = pd.DataFrame(
        [(name, record.seed, record.scores["val_f1"]) for (name, _), record in result.runs.items()],
        columns=["trial", "seed", "val_f1"],
    )
    se = result.decision.val_f1_se
    values = {trial.name: frame.loc[frame["trial"] == trial.name, "val_f1"].tolist() for trial in result.trials}
    figure, axes = _figure(7, 0.6 + 0.34 * len(values))
    axis: Axes = axes[0, 0]
    for index, (name, runs) in enumerate(values.items()):
        colour = colours(result)[name]
        axis.plot(runs, [index] * len(runs), "o", color=colour, alpha=0.45, markersize=5, markeredgewidth=0)
        axis.errorbar(np.mean(runs), index, xerr=se, fmt="|", color=colour, markersize=14, markeredgewidth=2.2)
        if name == result.decision.selected:
            axis.axhspan(index - 0.45, index + 0.45, color=colour, alpha=0.1, linewidth=0)
    axis.set_yticks(range(len(values)), drawable(values), parse_math=False)
    axis.set_ylim(len(values) - 0.4, -0.6)
    axis.set_xlabel("val_f1 (dot: one run; bar: mean with one standard error)")
    means = ", ".join(f"{name} {mean_sd(runs)}" for name, runs in values.items())
    error = f" One standard error {se:.3f}." if result.decision.n_seeds > 1 else ""
    alt = (
        f"val_f1 by {result.stage.title.lower()}, mean over runs: {means}.{error} Selected: {result.decision.selected}."
    )
    return _picture(figure, alt, frame, {"val_f1": ".4f"})


@mpl.rc_context(STYLE)
def differences(comparisons: Mapping[str, Comparison], difference: str) -> Picture:
    """Draw differences with their 95 % intervals; conclusive ones are filled.

    Args:
        comparisons: Label to comparison.
        difference: What is drawn, as "mean val_f1, less that of the incumbent".
    """
    figure, axes = _figure(7, 0.7 + 0.3 * len(comparisons))
    axis: Axes = axes[0, 0]
    axis.axvline(0, color=INK, linewidth=1)
    shown = []
    for index, (name, one) in enumerate(comparisons.items()):
        colour, face = (COLOURS[0], COLOURS[0]) if one.is_conclusive else (GREY, "white")
        axis.plot([one.low, one.high], [index, index], color=colour, linewidth=1.6)  # nothing where they are NaN
        axis.plot(one.difference, index, "o", color=colour, markerfacecolor=face)
        interval = f", {one.low:+z.3f} to {one.high:+z.3f}, {one.verdict}" if one.has_interval else ""
        shown.append(f"{name} {one.difference:+z.3f}{interval}")
    axis.set_yticks(range(len(comparisons)), drawable(comparisons, 60), parse_math=False)
    axis.set_ylim(len(comparisons) - 0.5, -0.5)
    axis.set_xlabel(f"{difference}\n(95 % interval; filled: better or worse)")
    columns = ("difference", "low", "high", "verdict")
    return _picture(
        figure,
        f"Differences with 95 % intervals, {difference}: {'; '.join(shown)}.",
        [{"trial": name, **{c: getattr(one, c) for c in columns}} for name, one in comparisons.items()],
        dict.fromkeys(columns[:3], "+z.4f"),
    )


@mpl.rc_context(STYLE)
def curves(groups: Mapping[str, Sequence[Record]], colour: Mapping[str, str] | None = None) -> Picture:
    """Draw loss and accuracy by epoch for every trial and seed: training dashed, validation solid.

    Args:
        groups: Name of a trial to its records.
        colour: Name of a trial to its colour, as `colours` returns; None for the palette in order.
    """
    colour = colour or dict(zip(groups, cycle(COLOURS), strict=False))
    columns = min(4, len(groups))
    blocks = -(-len(groups) // columns)
    figure, axes = _figure(0.6 + 2.1 * columns, 2.9 * blocks, 2 * blocks, columns)
    for axis in axes.flat:
        axis.axis("off")
    lasts = []
    for index, (name, records) in enumerate(groups.items()):
        block, column = divmod(index, columns)
        loss, accuracy = axes[2 * block : 2 * block + 2, column]
        _draw_curves(loss, records, "loss", colour[name])
        _draw_curves(accuracy, records, "accuracy", colour[name])
        loss.set_title(*drawable([name], 34), fontsize=8, parse_math=False)
        accuracy.set_ylim(0, 1)
        accuracy.set_xlabel("epoch")
        if column == 0:
            loss.set_ylabel("loss")
            accuracy.set_ylabel("accuracy")
        train, val = (np.mean([record.history[part][-1] for record in records]) for part in _METRICS[2:])
        lasts.append(f"{name} train {train:.2f}, val {val:.2f}")
    handles = [mpl.lines.Line2D([], [], color=INK, linestyle=style, label=label) for label, style in _LINES.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=2)
    return _picture(
        figure,
        f"Loss and accuracy by epoch, training dashed, validation solid. Last accuracy: {'; '.join(lasts)}.",
        [row for name, records in groups.items() for row in _mean_curves(name, records)],
        dict.fromkeys(_METRICS, ".3f"),
    )


_LINES = {"train": "--", "val": "-"}


def _draw_curves(axis: Axes, records: Sequence[Record], metric: str, colour: str) -> None:
    axis.axis("on")
    longest = max(record.epochs for record in records)
    for record in records:
        epochs = range(1, record.epochs + 1)
        marker = "." if record.epochs == 1 else ""  # a line of one point is invisible
        axis.plot(epochs, record.history[metric], color=colour, linestyle="--", linewidth=1, marker=marker, alpha=0.6)
        axis.plot(epochs, record.history[f"val_{metric}"], color=colour, linewidth=1.3, marker=marker)
        axis.axvline(record.best_epoch, color=colour, linewidth=0.6, linestyle=":", alpha=0.6)
    axis.set_xlim(0.5, longest + 0.5)  # so that a fit of one epoch has an axis of whole epochs too
    axis.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5, integer=True, min_n_ticks=1))


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
