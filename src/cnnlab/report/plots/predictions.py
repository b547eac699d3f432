"""Plots of predictions."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from cnnlab.report.plots.picture import COLOURS, FEW, GREY, STYLE, Picture, _figure, _picture, drawable, label_classes
from cnnlab.report.tables import visible_name

BINS = 10
"""Bins of a calibration curve (Guo et al. 2017 use 15 for 10,000 images)."""
LISTED_ERRORS = 100
"""Errors in the numbers of a confusion matrix of many classes, the most frequent ones."""


@mpl.rc_context(STYLE)
def confusion(matrix: NDArray[np.int64], class_names: Sequence[str]) -> Picture:
    """Draw a confusion matrix; the colour is the share of the true class.

    Args:
        matrix: (n_classes, n_classes) counts, true classes in rows.
        class_names: Names of the classes.
    """
    n_classes = len(class_names)
    many, names = n_classes > FEW, drawable(class_names, 24)
    size = min(0.9 + 0.42 * n_classes, 9) + 0.07 * max(map(len, names))
    figure, axes = _figure(size, size)
    axis: Axes = axes[0, 0]
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axis.grid(False)
    if many:
        label_classes(axis.xaxis, names, rotation=90)
        label_classes(axis.yaxis, names, rotation=0)
    else:
        axis.set_xticks(range(n_classes), names, rotation=45, ha="right", parse_math=False)
        axis.set_yticks(range(n_classes), names, parse_math=False)
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    # Not sklearn's ConfusionMatrixDisplay: importing it takes 1 s in each notebook.
    for (row, column), count in np.ndenumerate(np.empty((0, 0)) if many else matrix):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axis.text(column, row, f"{count}", ha="center", va="center", fontsize=7, color=colour)
    errors = matrix - np.diag(np.diag(matrix))
    true, predicted = divmod(int(errors.argmax()), n_classes)
    alt = f"Confusion matrix of {matrix.sum()} predictions, {np.trace(matrix)} of them right."
    if errors.any():
        alt += f" Most frequent error: {class_names[true]} predicted as {class_names[predicted]}, {errors.max()} times."
    shown = list(map(visible_name, class_names))
    numbers = pd.DataFrame(matrix, columns=shown)
    numbers.insert(0, "true", shown, allow_duplicates=True)
    if many:  # the square table would have thousands of cells
        pairs = [divmod(int(cell), n_classes) for cell in errors.ravel().argsort(kind="stable")[::-1][:LISTED_ERRORS]]
        rows = [(shown[label], shown[other], errors[label, other]) for label, other in pairs if errors[label, other]]
        numbers = pd.DataFrame(rows, columns=["true", "predicted", "times"])
    return _picture(figure, alt, numbers)


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
        figure, axes = _figure(4.6, 1.2)
        axes[0, 0].axis("off")
        axes[0, 0].text(0.5, 0.5, "no probabilities: the fit diverged", ha="center", va="center")
        return _picture(figure, "No calibration: all probabilities are NaN, because the fit diverged.")
    probs, true = probs[is_number], true[is_number]
    confidence, is_right = probs.max(axis=1).astype(float).clip(max=1), probs.argmax(axis=1) == true
    share, mean = calibration_curve(is_right, confidence, n_bins=BINS, strategy="uniform")
    # Counted as calibration_curve does; it leaves out empty bins.
    counts = np.bincount(np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], confidence), minlength=BINS)
    low = counts.nonzero()[0] / BINS
    counts = counts[counts > 0]
    error = np.average(abs(mean - share), weights=counts)
    figure, axes = _figure(4.6, 4.6, 2, height_ratios=(3, 1), sharex=True)
    upper, lower = axes[:, 0]
    upper.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    upper.plot(mean, share, "o-", color=COLOURS[0])
    upper.set_ylabel("share of right predictions")
    upper.set_ylim(0, 1)
    lower.bar(low + 0.5 / BINS, counts, 0.9 / BINS, color=COLOURS[0])
    lower.set_xlim(0, 1)
    lower.set_xlabel("confidence (probability of the predicted class)")
    lower.set_ylabel("predictions")
    points = ", ".join(f"{x:.2f} {y:.2f}" for x, y in zip(mean, share, strict=True))
    return _picture(
        figure,
        f"Share of right predictions by mean confidence: {points}. Expected calibration error {error:.3f}.",
        pd.DataFrame(
            {"from": low, "to": low + 1 / BINS, "predictions": counts, "mean confidence": mean, "right": share}
        ),
        {"from": ".1f", "to": ".1f", "mean confidence": ".3f", "right": ".3f"},
    )
