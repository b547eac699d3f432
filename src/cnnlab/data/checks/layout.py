"""Check that neighbouring pixels of the images are neighbours in the files too.

Neighbouring pixels of a photograph are alike. If the numbers of a row are read in a wrong order, the network still
trains, on scrambled images. So each part of the images is also read in other orders: if neighbours are much more alike
in one of them, it is probably the right one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnnlab.data.dataset import Dataset

SAMPLE = 256  # images that are read in other orders
GROUPS = 10  # of neighbouring images, which are also checked one by one: one batch may be wrong
SAME_SHAPE = 0.85
"""Share of the roughness as loaded below which another order of rows, columns and channels is suspected."""
OTHER_SHAPE = 0.78
"""The same for images of another width, or with another number of channels."""
SHUFFLED = 0.9
"""Share of the difference between pixels at any distance above which neighbours are suspected to be none."""
N_DISTANCES = 16
"""Distances that are compared."""
_AXES = {1: "lines", 2: "columns"}
MOST_BATCHES = 10
"""Parts in which the images may have been written, each as a transposed table."""


@dataclass(frozen=True)
class _Reading:
    """Another way to read the rows of the files.

    Attributes:
        seen: What the rows hold, read like that.
        advice: What to do.
        limit: Share of the roughness as loaded below which it is suspected.
        shape: The axes of an image in a row, from slow to fast.
        axes: The places of height, width and channels among them.
        columns: The order of the columns, if it differs.
    """

    seen: str
    advice: str
    limit: float
    shape: tuple[int, int, int]
    axes: tuple[int, int, int]
    columns: NDArray[np.int64] | None = None

    def read(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return images (n, h, w, c)."""
        rows = rows if self.columns is None else rows[:, self.columns]
        return rows.reshape(-1, *self.shape).transpose(0, *(axis + 1 for axis in self.axes))


_BY_CHANNEL, _BY_PIXEL, _BY_LINE = (1, 2, 0), (0, 1, 2), (0, 2, 1)
_KINDS = ((1, "grayscale"), (2, "grayscale with alpha"), (3, "colour"), (4, "RGBA"))


def layout(dataset: Dataset) -> Iterator[str]:
    """Yield a line for each part of the images whose pixels are probably in another order than they are read in."""
    readings = list(_readings(*dataset.image_shape))
    for part, images in dataset.parts:
        indices = np.unique(np.linspace(0, len(images) - 1, SAMPLE).astype(np.int64))
        sample = _Sample(images[indices].astype(np.float32), readings)
        line = sample.suspicion(f"{part} images", slice(None), images)
        groups = iter(np.array_split(np.arange(len(indices)), GROUPS) if len(indices) >= GROUPS else ())
        while not line and (group := next(groups, None)) is not None:
            first, last = indices[group[[0, -1]]]
            line = sample.suspicion(f"{part} images {first:,} to {last:,}, and perhaps of others,", group)
        if line:
            yield line


class _Sample:
    """Some images, and how much the pixels of each of them differ: as loaded, and read in other ways."""

    def __init__(self, images: NDArray[np.float32], readings: list[_Reading]) -> None:
        rows = _file_order(images)
        self._readings = readings
        self._loaded = _roughness(images)
        self._read = [_roughness(reading.read(rows)) for reading in readings]
        self._neighbours = {axis: _difference(images, axis) for axis in _AXES}
        self._usual = {axis: _usual_difference(images, axis) for axis in _AXES}

    def suspicion(self, shown: str, group: slice | NDArray[np.int64], images: NDArray[np.uint8] | None = None) -> str:
        """Return a line if a group of the sample looks wrong; empty if not.

        Args:
            shown: What the line calls the images.
            group: Which images of the sample.
            images: All images of that part, if they may be a transposed table.
        """
        loaded = float(self._loaded[group].mean())
        roughness = zip([float(read[group].mean()) for read in self._read], self._readings, strict=True)
        likely = [(rough, reading) for rough, reading in roughness if rough < reading.limit * loaded]
        if likely:
            best = min(rough for rough, _ in likely)
            rough, reading = next(pair for pair in likely if pair[0] <= 1.05 * best)  # the simplest comes first
            return (
                f"The pixels of the {shown} look {reading.seen}: read like that, neighbouring pixels differ by "
                f"{rough:.0f} on average, as loaded by {loaded:.0f}. {reading.advice}"
            )
        shuffled = [
            name
            for axis, name in _AXES.items()
            if 0 < SHUFFLED * self._usual[axis][group].mean() < self._neighbours[axis][group].mean()
        ]
        if not shuffled:
            return ""
        seen = f"the {'pixels' if len(shuffled) == 2 else shuffled[0] + ' of pixels'} look shuffled"
        advice = "Write them row by row, in the same order for all images."
        if images is not None and _is_transposed(images, loaded):
            seen, advice = "the table seems to have a row for each pixel", "Transpose it: a row is an image."
        return (
            f"Neighbouring pixels of the {shown} differ as much as distant ones ({loaded:.0f} on average): "
            f"{seen}. {advice}"
        )


def _file_order(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return images (n, h, w, c) as the rows of their files: channel after channel."""
    return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


def _readings(height: int, width: int, channels: int) -> Iterator[_Reading]:
    """Yield the other ways to read images of this shape."""
    if channels == 3:
        advice = f"Write an array of shape (n, {height}, {width}, 3), or all reds, then all greens, then all blues."
        pixel, line = "interleaved (red, green, blue, red, ...)", "interleaved by line (a line of reds, of greens, ...)"
        yield _Reading(pixel, advice, SAME_SHAPE, (height, width, 3), _BY_PIXEL)
        yield _Reading(line, advice, SAME_SHAPE, (height, 3, width), _BY_LINE)
    length = height * width * channels
    advice = (
        "Write an array of shape (n, height, width, 3)." if channels == 3 else "Write one number a pixel, and squares."
    )
    for n_channels, kind in _KINDS:
        for h, w in _sides(length // n_channels) if length % n_channels == 0 else ():
            if (h, w, n_channels) != (height, width, channels):
                seen = f"like {kind} images of {h} x {w}"
                yield _Reading(seen, advice, OTHER_SHAPE, (n_channels, h, w), _BY_CHANNEL)
                if n_channels > 1:
                    yield _Reading(seen, advice, OTHER_SHAPE, (h, w, n_channels), _BY_PIXEL)
    for first in (0, 1):
        names = sorted(str(place) for place in range(first, first + length))
        columns = np.argsort([int(name) for name in names])
        seen, advice = "sorted as text (1, 10, 100, 2, ...)", "Sort the columns by number."
        yield _Reading(seen, advice, OTHER_SHAPE, (channels, height, width), _BY_CHANNEL, columns)


def _sides(n_pixels: int) -> Iterator[tuple[int, int]]:
    """Yield heights and widths of images with this number of pixels; neither is more than four times the other."""
    for height in range(2, n_pixels // 2 + 1):
        if n_pixels % height == 0 and height <= 4 * (n_pixels // height) and n_pixels // height <= 4 * height:
            yield height, n_pixels // height


def _difference(images: NDArray[np.float32], axis: int, distance: int = 1) -> NDArray[np.float64]:
    """Return how much pixels at a distance along an axis differ, the mean of each of images (n, h, w, c): (n,)."""
    moved = images.swapaxes(1, axis)
    means: NDArray[np.float64] = np.abs(moved[:, distance:] - moved[:, :-distance]).mean(axis=(1, 2, 3), dtype=float)
    return means


def _usual_difference(images: NDArray[np.float32], axis: int) -> NDArray[np.float64]:
    """Return how much pixels at any distance along an axis differ, the mean of each of images (n, h, w, c): (n,)."""
    distances = np.unique(np.linspace(1, images.shape[axis] - 1, N_DISTANCES).astype(int)).tolist()
    weights = [images.shape[axis] - distance for distance in distances]  # how often each occurs
    return np.average([_difference(images, axis, distance) for distance in distances], axis=0, weights=weights)


def _roughness(images: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return how much neighbouring pixels differ, the mean of each of images (n, h, w, c): (n,)."""
    return (_difference(images, 1) + _difference(images, 2)) / 2


def _is_transposed(images: NDArray[np.uint8], loaded: float) -> bool:
    """Return whether the images, or equal batches of them, are smooth when each is read as a transposed table."""
    _, height, width, channels = images.shape
    rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    for n_batches in range(1, MOST_BATCHES + 1):
        n_images, rest = divmod(len(images), n_batches)
        if rest == 0:
            table = rows[:n_images].reshape(-1, n_images)[:, :SAMPLE].T.astype(np.float32)
            reading = _Reading("", "", OTHER_SHAPE, (channels, height, width), _BY_CHANNEL)
            if _roughness(reading.read(table)).mean() < reading.limit * loaded:
                return True
    return False
