"""Plots of one stage."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from cnnlab.evidence import Comparison, pooled_sd
from cnnlab.records import Record
from cnnlab.report.plots.picture import COLOURS, INCUMBENT, STYLE, UNSETTLED, Picture, _figure, _picture
from cnnlab.report.tables import mean_sd
from cnnlab.tuning import StageResult

LISTED_EPOCHS = 20
"""Most epochs of a trial's curves that are listed in numbers; of longer fits, evenly spaced ones."""


def colours(result: StageResult) -> dict[str, str]:
    """Return the colour of each of a stage's trials, the same in all its pictures."""
    incumbent = next((trial.name for trial in result.trials if trial.incumbent), None)
    others = [trial.name for trial in result.trials if trial.name != incumbent]
    found = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(others)}
    return found if incumbent is None else {incumbent: INCUMBENT, **found}


@mpl.rc_context(STYLE)
def scores(result: StageResult) -> Picture:
    """Draw each trial's `val_f1`: a dot a run, a bar for the mean with its pooled standard error."""
    names = [trial.name for trial in result.trials]
    values = [[record.scores["val_f1"] for record in result.records(name)] for name in names]
    frame = pd.DataFrame([(name, score) for name, of in zip(names, values, strict=True) for score in of])
    sd, _ = pooled_sd(frame.set_axis(["trial", "val_f1"], axis=1))
    figure, axes = _figure(7, 0.6 + 0.34 * len(names))
    axis: Axes = axes[0, 0]
    for place, (name, of) in enumerate(zip(names, values, strict=True)):
        colour = colours(result)[name]
        axis.plot(of, [place] * len(of), "o", color=colour, alpha=0.45, markersize=5, markeredgewidth=0)
        axis.errorbar(
            np.mean(of), place, xerr=sd / np.sqrt(len(of)), fmt="|", color=colour, markersize=14, markeredgewidth=2.2
        )
        if name == result.decision.selected:
            axis.axhspan(place - 0.45, place + 0.45, color=colour, alpha=0.1, linewidth=0)
    axis.set_yticks(range(len(names)), names, parse_math=False)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.set_xlabel("val_f1 (dot: one run; bar: mean with one standard error)")
    listed = ", ".join(f"{name} {mean_sd(of)}" for name, of in zip(names, values, strict=True))
    spread = f" One standard error {sd / np.sqrt(len(values[0])):.3f}." if len(values[0]) > 1 else ""
    return _picture(
        figure,
        f"val_f1 by {result.stage.title.lower()}, mean over runs: {listed}.{spread} Selected: {result.decision.selected}.",
        [
            {"trial": name, "seed": record.seed, "val_f1": record.scores["val_f1"]}
            for name in names
            for record in result.records(name)
        ],
        {"val_f1": ".4f"},
    )


@mpl.rc_context(STYLE)
def differences(comparisons: Mapping[str, Comparison], score: str) -> Picture:
    """Draw differences of mean F1 with their 95 % intervals; those with a verdict are filled.

    Args:
        comparisons: Label to comparison.
        score: What was compared, as "val_f1".
    """
    figure, axes = _figure(7, 0.7 + 0.3 * len(comparisons))
    axis: Axes = axes[0, 0]
    axis.axvline(0, color="#555555", linewidth=1)
    for place, one in enumerate(comparisons.values()):
        colour = COLOURS[0] if one.is_conclusive else UNSETTLED
        if not np.isnan(one.low):
            axis.plot([one.low, one.high], [place, place], color=colour, linewidth=1.6)
        axis.plot(one.difference, place, "o", color=colour, markerfacecolor=colour if one.is_conclusive else "white")
    axis.set_yticks(range(len(comparisons)), list(comparisons), parse_math=False)
    axis.set_ylim(len(comparisons) - 0.5, -0.5)
    axis.set_xlabel(f"difference of mean {score}\n(95 % interval; filled: better or worse)")
    listed = "; ".join(
        f"{name} {one.difference:+.3f}, {one.low:+.3f} to {one.high:+.3f}, {one.verdict}"
        if not np.isnan(one.low)
        else f"{name} {one.difference:+.3f}"
        for name, one in comparisons.items()
    )
    return _picture(
        figure,
        f"Differences of mean {score} with 95 % intervals: {listed}.",
        [
            {"comparison": name, "difference": one.difference, "low": one.low, "high": one.high, "verdict": one.verdict}
            for name, one in comparisons.items()
        ],
        dict.fromkeys(("difference", "low", "high"), "+.4f"),
    )


@mpl.rc_context(STYLE)
def curves(groups: Mapping[str, Sequence[Record]], colour: Mapping[str, str] | None = None) -> Picture:
    """Draw loss and accuracy by epoch for every trial and seed: training dashed, validation solid.

    Args:
        groups: Each trial's records, by its name.
        colour: Each trial's colour, see `colours`; None to take them in order.
    """
    colour = colour or {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(groups)}
    names = list(groups)
    columns = min(4, len(names))
    blocks = -(-len(names) // columns)
    figure, axes = _figure(0.6 + 2.1 * columns, 2.9 * blocks, 2 * blocks, columns)
    for axis in axes.flat:
        axis.axis("off")
    for place, name in enumerate(names):
        block, column = divmod(place, columns)
        for row, metric in enumerate(("loss", "accuracy")):
            axis = axes[2 * block + row, column]
            axis.axis("on")
            for record in groups[name]:
                _curve(axis, record, metric, colour[name])
            if metric == "accuracy":
                axis.set_ylim(0, 1)
                axis.set_xlabel("epoch")
            else:
                axis.set_title(name, fontsize=8, parse_math=False)
            if column == 0:
                axis.set_ylabel(metric)
    figure.legend(
        handles=[
            mpl.lines.Line2D([], [], color="#555555", linestyle="--", label="train"),
            mpl.lines.Line2D([], [], color="#555555", label="val"),
        ],
        loc="outside upper center",
        ncols=2,
    )
    lasts = []
    for name in names:
        histories = [record.history for record in groups[name]]
        final = [np.mean([history[part][-1] for history in histories]) for part in ("accuracy", "val_accuracy")]
        lasts.append(f"{name} train {final[0]:.2f}, val {final[1]:.2f}")
    return _picture(
        figure,
        f"Loss and accuracy by epoch, training dashed, validation solid. Last accuracy: {'; '.join(lasts)}.",
        [row for name in names for row in _mean_curve(name, groups[name])],
        dict.fromkeys(_METRICS, ".3f"),
    )


_METRICS = ("loss", "val_loss", "accuracy", "val_accuracy")


def _mean_curve(name: str, found: Sequence[Record]) -> list[dict[str, Any]]:
    """Return a trial's curves as rows: means over the runs that have come so far, for some of the epochs."""
    longest = max(record.epochs for record in found)
    listed = np.unique(np.linspace(1, longest, min(longest, LISTED_EPOCHS)).round().astype(int))
    rows = []
    for epoch in listed.tolist():
        still = [record.history for record in found if record.epochs >= epoch]
        means = {metric: float(np.mean([history[metric][epoch - 1] for history in still])) for metric in _METRICS}
        rows.append({"trial": name, "epoch": epoch, "runs": len(still), **means})
    return rows


def _curve(axis: Axes, record: Record, metric: str, colour: str) -> None:
    epochs = range(1, record.epochs + 1)
    marker = "." if record.epochs == 1 else ""  # a line of one point cannot be seen
    axis.plot(epochs, record.history[metric], color=colour, linestyle="--", linewidth=1, marker=marker, alpha=0.6)
    axis.plot(epochs, record.history[f"val_{metric}"], color=colour, linewidth=1.3, marker=marker)
    axis.axvline(record.best_epoch, color=colour, linewidth=0.6, linestyle=":", alpha=0.6)
    # Room on both sides, so that a fit of one epoch has an axis of whole epochs too.
    axis.set_xlim(min(axis.get_xlim()[0], 0.5), max(axis.get_xlim()[1], record.epochs + 0.5))
    axis.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5, integer=True, min_n_ticks=1))
