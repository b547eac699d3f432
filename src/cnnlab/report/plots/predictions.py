"""Plots of predictions."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from cnnlab.report.plots.picture import COLOURS, STYLE, UNSETTLED, Picture, _figure, _picture

BINS = 10
"""Of a calibration curve (Guo et al. 2017, On Calibration of Modern Neural Networks, use 15 for 10,000 images)."""


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
    worst = f" Most frequent mistake: {class_names[true]} taken for {class_names[predicted]}, {mistakes.max()} times."
    numbers = pd.DataFrame(matrix, columns=list(class_names))
    numbers.insert(0, "true", list(class_names), allow_duplicates=True)
    return _picture(
        figure,
        f"Confusion matrix of {int(matrix.sum())} predictions, {int(np.trace(matrix))} of them right."
        + worst * bool(mistakes.any()),
        numbers,
    )


@mpl.rc_context(STYLE)
def calibration(probs: NDArray[np.float32], labels: NDArray[np.int64]) -> Picture:
    """Draw how often predictions of a certain confidence are right (Guo et al. 2017, arXiv:1706.04599, section 2).

    Args:
        probs: (n, n_classes) predicted probabilities.
        labels: (n,) true classes.
    """
    confidence, right = probs.max(axis=1).astype(float), probs.argmax(axis=1) == labels
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    rows = [
        {
            "from": number / BINS,
            "to": (number + 1) / BINS,
            "predictions": int((place == number).sum()),
            "mean confidence": float(confidence[place == number].mean()),
            "right": float(right[place == number].mean()),
        }
        for number in range(BINS)
        if (place == number).any()
    ]
    error = sum(row["predictions"] * abs(row["mean confidence"] - row["right"]) for row in rows) / len(labels)
    figure, axes = _figure(4.6, 4.6, 2, height_ratios=(3, 1), sharex=True)
    upper, lower = axes[:, 0]
    upper.plot([0, 1], [0, 1], color=UNSETTLED, linestyle="--", linewidth=1)
    upper.plot([row["mean confidence"] for row in rows], [row["right"] for row in rows], "o-", color=COLOURS[0])
    upper.set_ylabel("share that is right")
    upper.set_ylim(0, 1)
    lower.bar(
        [row["from"] + 0.5 / BINS for row in rows], [row["predictions"] for row in rows], 0.9 / BINS, color=COLOURS[0]
    )
    lower.set_xlim(0, 1)
    lower.set_xlabel("confidence (probability of the predicted class)")
    lower.set_ylabel("predictions")
    listed = ", ".join(f"{row['mean confidence']:.2f} {row['right']:.2f}" for row in rows)
    return _picture(
        figure,
        f"Share of right predictions by mean confidence: {listed}. Expected calibration error {error:.3f}.",
        rows,
        {"from": ".1f", "to": ".1f", "mean confidence": ".3f", "right": ".3f"},
    )
