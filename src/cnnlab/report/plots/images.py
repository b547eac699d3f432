"""Plots of the images."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from cnnlab.data import Dataset, Split
from cnnlab.report.plots.labels import fitting, text_width
from cnnlab.report.plots.picture import DPI, STYLE, WIDE, Canvas, Picture, photo, plot
from cnnlab.report.plots.svg import PALETTE, mark
from cnnlab.report.tables import visible_name

CELL = 78
"""Width of the title of a square image, in CSS pixels."""
SMALL = 7
"""Size of the font of titles that are long."""


@mpl.rc_context(STYLE)
def class_counts(dataset: Dataset, split: Split) -> Picture:
    """Draw the number of images of each class in each part of the split."""
    parts = {
        "train": dataset.train_labels[split.train],
        "val": dataset.train_labels[split.val],
        "test": dataset.test_labels[split.test],
    }
    n_classes = len(dataset.class_names)
    counts = {part: np.bincount(labels, minlength=n_classes) for part, labels in parts.items()}

    def draw(width: int) -> Canvas:
        whole = min(width, max(480, 70 * n_classes)) if width == WIDE else width
        step = -(-n_classes * 14 // (whole - 50))  # an upright label takes 14 pixels
        labels = [fitting(name, 110) for name in dataset.class_names[::step]]
        widest = max(map(text_width, labels))
        is_upright = widest > step * (whole - 50) / n_classes - 6
        text = "Images by class. Left: training. Middle: validation. Right: test."
        canvas = Canvas(whole, 140 + (widest + 8 if is_upright else 20), text)
        axis = canvas.axes(46, 10, whole - 50, 130)
        axis.set_xlim(-0.5, n_classes - 0.5)
        axis.set_ylim(0, 1.04 * max(values.max() for values in counts.values()) or 1)
        axis.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axis.grid(False, axis="x")
        axis.set_xticks(range(0, n_classes, step), labels, rotation=90 if is_upright else 0, parse_math=False)
        for index, name in enumerate(dataset.class_names):
            gid = mark(f"{visible_name(name)}: " + ", ".join(f"{values[index]:,} {p}" for p, values in counts.items()))
            for place, (values, colour) in enumerate(zip(counts.values(), ("c0", "c4", "soft"), strict=True)):
                left = index + 0.27 * (place - 1.5)
                axis.add_patch(Rectangle((left, 0), 0.25, values[index], facecolor=PALETTE[colour], gid=gid))
        return canvas

    ranges = ", ".join(f"{part} {values.min()} to {values.max()}" for part, values in counts.items())
    return plot(
        draw,
        f"Images per class, bars for each of {n_classes} classes: {ranges}.",
        pd.DataFrame({"class": list(map(visible_name, dataset.class_names)), **counts}),
    )


@mpl.rc_context(STYLE)
def images(pictures: NDArray[np.uint8], titles: Sequence[str], alt: str, columns: int = 10) -> Picture:
    """Draw images (n, h, w, c) uint8, 0 to 255, in a grid, each below its title of one or several lines.

    `columns` is how many images are side by side if they are square; of wider ones, fewer are.
    """
    height, width = pictures.shape[1:3]
    wide, tall = max(width / height, 1), max(height / width, 1)
    columns = min(max(round(columns / wide), 1), len(pictures))
    rows = -(-len(pictures) // columns)
    titles = [
        "\n".join(fitting(line, CELL * wide, int(14 * wide), size=SMALL) for line in title.split("\n"))
        for title in titles
    ]
    lines = 1 + max((title.count("\n") for title in titles), default=0)
    size = 8 if all(len(line) <= 11 * wide for title in titles for line in title.split("\n")) else SMALL
    figsize = (CELL + 4) / DPI * wide * columns, (0.83 * tall + 0.17 * lines) * rows
    figure = Figure(figsize=figsize, dpi=DPI, layout="constrained")
    for index, axis in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axis.axis("off")
        if index < len(pictures):
            image = pictures[index]
            axis.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255)
            axis.set_title(titles[index], fontsize=size, pad=2, parse_math=False)
    return photo(figure, alt)


def image_pairs(left: NDArray[np.uint8], right: NDArray[np.uint8], titles: Sequence[str], alt: str) -> Picture:
    """Draw pairs of images, (n, h, w, c) uint8 each, side by side, each pair below its title."""
    gap = np.full_like(left[:, :, : -(-left.shape[2] // 16)], 255)
    return images(np.concatenate([left, gap, right], axis=2), titles, alt)
