"""Plots of the images."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from cnnlab.data import Dataset, Split
from cnnlab.report.plots.picture import COLOURS, FEW, STYLE, Picture, _figure, _picture, drawable, label_classes
from cnnlab.report.tables import visible_name


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
    many = n_classes > FEW
    names = drawable(dataset.class_names, 24)
    # The height of labels is that of the longest one: rotated by 30 degrees, or upright where there are many.
    figure, axes = _figure(10 if many else 7, 1.9 + (0.06 if many else 0.035) * max(map(len, names)))
    axis: Axes = axes[0, 0]
    for index, (part, values) in enumerate(counts.items()):
        axis.bar(np.arange(n_classes) + (index - 1) * 0.27, values, 0.25, label=part, color=COLOURS[index])
    if many:
        label_classes(axis.xaxis, names, rotation=90)
    else:
        axis.set_xticks(range(n_classes), names, rotation=30, ha="right", parse_math=False)
    axis.set_xlim(-0.6, n_classes - 0.4)
    axis.set_ylabel("images")
    axis.grid(False, axis="x")
    axis.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
    ranges = ", ".join(f"{part} {values.min()} to {values.max()}" for part, values in counts.items())
    return _picture(
        figure,
        f"Images per class, bars for each of {n_classes} classes: {ranges}.",
        pd.DataFrame({"class": list(map(visible_name, dataset.class_names)), **counts}),
    )


@mpl.rc_context(STYLE)
def images(pictures: NDArray[np.uint8], titles: Sequence[str], alt: str, columns: int = 10) -> Picture:
    """Draw images (n, h, w, c) uint8, 0 to 255, in a grid, each below its title of one or several lines."""
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    titles = ["\n".join(drawable(title.split("\n"), 14)) for title in titles]
    lines = 1 + max((title.count("\n") for title in titles), default=0)
    size = 8 if all(len(line) <= 11 for title in titles for line in title.split("\n")) else 7
    figure, axes = _figure(0.85 * columns, (0.83 + 0.17 * lines) * rows, rows, columns)
    for index, axis in enumerate(axes.flat):
        axis.axis("off")
        if index < len(pictures):
            image = pictures[index]
            axis.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255)
            axis.set_title(titles[index], fontsize=size, pad=2, parse_math=False)
    return _picture(figure, alt, photo=True)
