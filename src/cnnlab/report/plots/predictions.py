"""Plots of predictions."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from cnnlab.report.plots.labels import fitting, text_width
from cnnlab.report.plots.picture import FEW, LINE, NARROW, SOFT, STYLE, WIDE, Canvas, Picture, plot
from cnnlab.report.plots.svg import FONT_SIZE, PALETTE, mark
from cnnlab.report.tables import visible_name

BINS = 10
"""Bins of a calibration curve (Guo et al. 2017 use 15 for 10,000 images)."""
_DARKEST = 0.55
"""Opacity of a cell with all of a class: a number on it is legible in the colour of the other texts."""
LISTED_ERRORS = 100
"""Errors in the numbers of a confusion matrix of many classes, the most frequent ones."""


@mpl.rc_context(STYLE)
def confusion(matrix: NDArray[np.int64], class_names: Sequence[str]) -> Picture:
    """Draw a confusion matrix: the share of each true class, in percent and as a colour.

    Args:
        matrix: (n_classes, n_classes) counts, true classes in rows.
        class_names: Names of the classes.
    """
    n_classes = len(class_names)
    many, shown = n_classes > FEW, [visible_name(name) for name in class_names]
    errors = matrix - np.diag(np.diag(matrix))
    true, predicted = divmod(int(errors.argmax()), n_classes)
    alt = f"Confusion matrix of {matrix.sum()} predictions, {np.trace(matrix)} of them right."
    if errors.any():
        alt += f" Most frequent error: {class_names[true]} predicted as {class_names[predicted]}, {errors.max()} times."
    numbers = pd.DataFrame(matrix, columns=shown)
    numbers.insert(0, "true", shown, allow_duplicates=True)
    if many:  # the square table would have thousands of cells
        pairs = [divmod(int(cell), n_classes) for cell in errors.ravel().argsort(kind="stable")[::-1][:LISTED_ERRORS]]
        rows = [(shown[label], shown[other], errors[label, other]) for label, other in pairs if errors[label, other]]
        numbers = pd.DataFrame(rows, columns=["true", "predicted", "times"])
    return plot(lambda width: _matrix(matrix, shown, width), alt, numbers, has_svg=not many)


def _matrix(matrix: NDArray[np.int64], names: Sequence[str], width: int) -> Canvas:
    n_classes, many = len(names), len(names) > FEW
    step = -(-n_classes // 60)  # of many classes, every second or third has a label
    font = 7 if many or (n_classes > 16 and width == NARROW) else FONT_SIZE  # of the classes
    labels = [fitting(name, 100 if width == WIDE else 80, size=font) for name in names[::step]]
    widest = max(text_width(label, font) for label in labels)
    left = 24 + widest + 6
    side = min(36 * n_classes, 330, width - left - 4) if not many else max(330, 12 * len(labels))
    canvas = Canvas(max(left + side + 4, 220), 24 + side + widest + 8, "Percent of the true class.")
    canvas.write(left + side / 2, 10, "predicted", ha="center")
    canvas.write_upright(14, 24 + side / 2, "true")
    axis = canvas.axes(left, 24, side, side)
    axis.set_xlim(0, n_classes)
    axis.set_ylim(n_classes, 0)
    axis.grid(False)
    places = np.arange(0, n_classes, step) + 0.5
    axis.set_xticks(places, labels, rotation=90, fontsize=font, parse_math=False)
    axis.set_yticks(places, labels, fontsize=font, parse_math=False)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    if many:
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, extent=(0, n_classes, n_classes, 0), aspect="auto")
    else:
        _draw_cells(axis, matrix, shares, names, side / n_classes)
    return canvas


def _draw_cells(
    axis: Axes, matrix: NDArray[np.int64], shares: NDArray[np.float64], names: Sequence[str], size: float
) -> None:
    """Draw the cells of a matrix, `size` CSS pixels wide; those that are wide enough with their percentage."""
    for (row, column), count in np.ndenumerate(matrix):
        if not count:
            continue
        share = shares[row, column]
        gid = mark(f"true {names[row]}, predicted {names[column]}: {count} of {matrix[row].sum()}, {100 * share:.0f} %")
        look: Any = {"facecolor": PALETTE["c0"], "alpha": _DARKEST * float(share)}
        axis.add_patch(Rectangle((column, row), 1, 1, gid=gid, **look))
        if size >= 16:
            axis.text(
                column + 0.5, row + 0.5, f"{100 * share:.0f}", ha="center", va="center_baseline",
                fontsize=FONT_SIZE if size >= 24 else 6.5,
            )  # fmt: skip
    for place in range(len(names) + 1):
        for xs, ys in (([place] * 2, [0, len(names)]), ([0, len(names)], [place] * 2)):
            axis.plot(xs, ys, color=LINE, linewidth=0.6, zorder=2)


@mpl.rc_context(STYLE)
def calibration(probs: NDArray[np.float32], true: NDArray[np.int64]) -> Picture:
    """Draw the share of right predictions by confidence (Guo et al. 2017, arXiv:1706.04599, section 2).

    Args:
        probs: (n, n_classes) predicted probabilities, 0 to 1; NaN, as from a fit that diverged, is not drawn.
        true: (n,) true classes.
    """
    from sklearn.calibration import calibration_curve  # takes 1 s

    is_number = ~np.isnan(probs).any(axis=1)
    if not is_number.any():
        return plot(_nothing, "No calibration: all probabilities are NaN, because the fit diverged.")
    probs, true = probs[is_number], true[is_number]
    confidence, is_right = probs.max(axis=1).astype(float).clip(max=1), probs.argmax(axis=1) == true
    share, mean = calibration_curve(is_right, confidence, n_bins=BINS, strategy="uniform")
    # Counted as calibration_curve does; it leaves out empty bins.
    counts = np.bincount(np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], confidence), minlength=BINS)
    low = counts.nonzero()[0] / BINS
    counts = counts[counts > 0]
    error = np.average(abs(mean - share), weights=counts)
    bins = pd.DataFrame(
        {"from": low, "to": low + 1 / BINS, "predictions": counts, "mean confidence": mean, "right": share}
    )
    points = ", ".join(f"{x:.2f} {y:.2f}" for x, y in zip(mean, share, strict=True))
    return plot(
        lambda width: _calibration(bins, min(width, 420)),
        f"Share of right predictions by mean confidence: {points}. Expected calibration error {error:.3f}.",
        bins,
        {"from": ".1f", "to": ".1f", "mean confidence": ".3f", "right": ".3f"},
    )


def _nothing(_width: int) -> Canvas:
    return Canvas(280, 8, "No probabilities: the fit diverged.")


def _calibration(bins: pd.DataFrame, width: int) -> Canvas:
    text = (
        "Share of right predictions by confidence, the probability of the predicted class (below: how many "
        "predictions). On the dashed line, confidence is right."
    )
    canvas = Canvas(width, 296, text)
    upper, lower = (canvas.axes(46, top, width - 56, height) for top, height in ((8, 200), (222, 50)))
    upper.plot([0, 1], [0, 1], color=SOFT, linestyle=(0, (4, 3)), linewidth=1)
    upper.plot(bins["mean confidence"], bins["right"], color=PALETTE["c0"], linewidth=1.4)
    upper.set_ylim(0, 1)
    upper.tick_params(labelbottom=False)
    lower.yaxis.set_major_locator(MaxNLocator(2, integer=True, prune="lower"))
    lower.set_ylim(0, 1.04 * bins["predictions"].max())
    for axis in (upper, lower):
        axis.set_xlim(0, 1)
        axis.grid(False, axis="x")
    for row in bins.to_dict("records"):
        gid = mark(
            f"confidence {row['from']:.1f} to {row['to']:.1f}: {100 * row['right']:.0f} % of "
            f"{row['predictions']} predictions right, mean confidence {100 * row['mean confidence']:.0f} %"
        )
        upper.plot(
            row["mean confidence"], row["right"], "o", color=PALETTE["c0"], markersize=6, markeredgewidth=0, gid=gid,
            clip_on=False,
        )  # fmt: skip
        left = row["from"] + 0.05 / BINS
        lower.add_patch(Rectangle((left, 0), 0.9 / BINS, row["predictions"], facecolor=PALETTE["c0"], gid=gid))
    return canvas
