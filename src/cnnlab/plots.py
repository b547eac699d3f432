"""From results to pictures, each with its text alternative made from the same numbers."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import matplotlib.lines
import matplotlib.ticker
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from cnnlab.data import Dataset, Split
from cnnlab.evidence import Comparison, pooled_sd
from cnnlab.records import Record
from cnnlab.tuning import StageResult

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#882255", "#999933")
"""Okabe and Ito's palette for colour-blind readers, less its yellow and black, with two of Tol's (muted) after it."""

STYLE = {
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "savefig.bbox": "tight",
}
DPI = 96
SHARPNESS = 2
"""Pixels of a picture for each pixel it takes on the page."""


@dataclass(frozen=True)
class Picture:
    """A PNG picture with its text alternative, shown by Jupyter and by the report.

    Attributes:
        png: The file's content.
        alt: What it shows, in words and numbers.
        width: Width on the page, in pixels.
    """

    png: bytes
    alt: str
    width: int

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Any:  # noqa: ARG002 - IPython's
        return {"image/png": self.png, "text/plain": self.alt}, {"image/png": {"alt": self.alt, "width": self.width}}


def _picture(figure: Figure, alt: str) -> Picture:
    raw = io.BytesIO()
    figure.savefig(raw, format="png", dpi=DPI * SHARPNESS, facecolor="white")
    image = Image.open(raw).convert("RGB")
    small = io.BytesIO()
    # A palette of 256 colours makes a chart's file a third as large; nobody can see the difference.
    image.quantize(256, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return Picture(small.getvalue(), alt, image.width // SHARPNESS)


def _figure(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


@mpl.rc_context(STYLE)
def class_counts(dataset: Dataset, split: Split) -> Picture:
    """Draw how many images of each class stand in each part of the split."""
    parts = {
        "train": dataset.train_labels[split.train],
        "val": dataset.train_labels[split.val],
        "test": dataset.test_labels[split.test],
    }
    n_classes = len(dataset.class_names)
    counts = {part: np.bincount(labels, minlength=n_classes) for part, labels in parts.items()}
    figure, axes = _figure(7, 2.4)
    axis: Axes = axes[0, 0]
    for place, (part, values) in enumerate(counts.items()):
        axis.bar(np.arange(n_classes) + (place - 1) * 0.27, values, 0.25, label=part, color=COLOURS[place])
    axis.set_xticks(range(n_classes), dataset.class_names, rotation=30, ha="right", parse_math=False)
    axis.set_ylabel("images")
    axis.grid(False, axis="x")
    axis.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
    ranges = ", ".join(f"{part} {values.min()} to {values.max()}" for part, values in counts.items())
    return _picture(figure, f"Images per class, bars for each of {n_classes} classes: {ranges}.")


@mpl.rc_context(STYLE)
def images(pictures: NDArray[np.uint8], titles: Sequence[str], alt: str, columns: int = 10) -> Picture:
    """Draw images (n, h, w, c) uint8 in a grid, each under its title."""
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    figure, axes = _figure(0.85 * columns, 1.0 * rows, rows, columns)
    for place, axis in enumerate(axes.flat):
        axis.axis("off")
        if place < len(pictures):
            image = pictures[place]
            axis.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255)
            axis.set_title(titles[place], fontsize=8, pad=2, parse_math=False)
    return _picture(figure, alt)


@mpl.rc_context(STYLE)
def scores(result: StageResult) -> Picture:
    """Draw each trial's `val_f1`: a dot a run, a bar for the mean with its pooled standard error."""
    names = [candidate.name for candidate in result.candidates]
    values = [[record.scores["val_f1"] for record in result.records(name)] for name in names]
    frame = pd.DataFrame([(name, score) for name, of in zip(names, values, strict=True) for score in of])
    sd, _ = pooled_sd(frame.set_axis(["trial", "val_f1"], axis=1))
    figure, axes = _figure(7, 0.6 + 0.34 * len(names))
    axis: Axes = axes[0, 0]
    for place, (name, of) in enumerate(zip(names, values, strict=True)):
        colour = COLOURS[place % len(COLOURS)]
        axis.plot(of, [place] * len(of), "o", color=colour, alpha=0.45, markersize=5, markeredgewidth=0)
        axis.errorbar(
            np.mean(of), place, xerr=sd / np.sqrt(len(of)), fmt="|", color=colour, markersize=14, markeredgewidth=2.2
        )
        if name == result.decision.chosen:
            axis.axhspan(place - 0.45, place + 0.45, color=colour, alpha=0.1, linewidth=0)
    axis.set_yticks(range(len(names)), names, parse_math=False)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.set_xlabel("val_f1 (dot: one run; bar: mean with one standard error)")
    listed = ", ".join(f"{name} {np.mean(of):.3f}" for name, of in zip(names, values, strict=True))
    spread = f" One standard error {sd / np.sqrt(len(values[0])):.3f}." if len(values[0]) > 1 else ""
    return _picture(figure, f"Mean val_f1 of each trial: {listed}.{spread} Chosen: {result.decision.chosen}.")


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
        colour = COLOURS[0] if one.settled else "#777777"
        if not np.isnan(one.low):
            axis.plot([one.low, one.high], [place, place], color=colour, linewidth=1.6)
        axis.plot(one.difference, place, "o", color=colour, markerfacecolor=colour if one.settled else "white")
    axis.set_yticks(range(len(comparisons)), list(comparisons), parse_math=False)
    axis.set_ylim(len(comparisons) - 0.5, -0.5)
    axis.set_xlabel(f"difference of mean {score}\n(95 % interval; filled: better or worse)")
    listed = "; ".join(
        f"{name} {one.difference:+.3f}, {one.low:+.3f} to {one.high:+.3f}, {one.verdict}"
        if not np.isnan(one.low)
        else f"{name} {one.difference:+.3f}"
        for name, one in comparisons.items()
    )
    return _picture(figure, f"Differences of mean {score} with 95 % intervals: {listed}.")


@mpl.rc_context(STYLE)
def curves(groups: Mapping[str, Sequence[Record]]) -> Picture:
    """Draw loss and accuracy by epoch for every trial and seed: training dashed, validation solid.

    Args:
        groups: Each trial's records, by its name.
    """
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
                _curve(axis, record, metric, COLOURS[place % len(COLOURS)])
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
        figure, f"Loss and accuracy by epoch, training dashed, validation solid. Last accuracy: {'; '.join(lasts)}."
    )


def _curve(axis: Axes, record: Record, metric: str, colour: str) -> None:
    epochs = range(1, record.epochs + 1)
    marker = "." if record.epochs == 1 else ""  # a line of one point cannot be seen
    axis.plot(epochs, record.history[metric], color=colour, linestyle="--", linewidth=1, marker=marker, alpha=0.6)
    axis.plot(epochs, record.history[f"val_{metric}"], color=colour, linewidth=1.3, marker=marker)
    axis.axvline(record.best_epoch, color=colour, linewidth=0.6, linestyle=":", alpha=0.6)
    # Room on both sides, so that a fit of one epoch has an axis of whole epochs too.
    axis.set_xlim(min(axis.get_xlim()[0], 0.5), max(axis.get_xlim()[1], record.epochs + 0.5))
    axis.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5, integer=True, min_n_ticks=1))


@mpl.rc_context(STYLE)
def confusion(matrix: NDArray[np.int64], class_names: Sequence[str]) -> Picture:
    """Draw a confusion matrix.

    Args:
        matrix: (n_classes, n_classes) counts, true classes in rows.
        class_names: Their names.
    """
    n_classes = len(class_names)
    size = min(1.6 + 0.42 * n_classes, 8)
    figure, axes = _figure(size, size)
    axis: Axes = axes[0, 0]
    rows = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axis.imshow(rows, cmap="Blues", vmin=0, vmax=1)
    axis.grid(False)
    axis.set_xticks(range(n_classes), class_names, rotation=45, ha="right", parse_math=False)
    axis.set_yticks(range(n_classes), class_names, parse_math=False)
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    if n_classes <= 20:
        for (row, column), count in np.ndenumerate(matrix):
            axis.text(
                column, row, f"{count}", ha="center", va="center", fontsize=7,
                color="white" if rows[row, column] > 0.5 else "#333333",
            )  # fmt: skip
    mistakes = matrix - np.diag(np.diag(matrix))
    true, predicted = divmod(int(mistakes.argmax()), n_classes)
    return _picture(
        figure,
        f"Confusion matrix of {int(matrix.sum())} predictions, {int(np.trace(matrix))} of them right. Most frequent "
        f"mistake: {class_names[true]} taken for {class_names[predicted]}, {int(mistakes.max())} times.",
    )


@mpl.rc_context(STYLE)
def path(results: Sequence[StageResult]) -> Picture:
    """Draw the model that each stage hands on: a dot a run, val hollow and test filled, with their means."""
    names = [result.stage.name for result in results]
    figure, axes = _figure(7.4, 3)
    axis: Axes = axes[0, 0]
    lines = {}
    for part, colour, face in (("val_f1", COLOURS[1], "white"), ("test_f1", COLOURS[0], COLOURS[0])):
        scores = [[record.scores[part] for record in result.records(result.decision.chosen)] for result in results]
        lines[part] = [float(np.mean(of)) for of in scores]
        axis.plot(range(len(names)), lines[part], color=colour, linewidth=1.4, label=part)
        for place, of in enumerate(scores):
            axis.plot(
                [place] * len(of),
                of,
                "o",
                color=colour,
                markerfacecolor=face,
                markersize=4,
                alpha=0.7,
                linestyle="none",
            )
    axis.set_xticks(range(len(names)), names, rotation=35, ha="right")
    axis.set_ylabel("macro-F1")
    axis.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
    listed = ", ".join(f"{name} {score:.3f}" for name, score in zip(names, lines["test_f1"], strict=True))
    return _picture(figure, f"Mean test_f1 of the model that each stage hands on: {listed}.")
