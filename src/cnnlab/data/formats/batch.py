"""What the readers of all formats share. Files are untrusted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnlab.data.dataset import Dataset
from cnnlab.data.messages import DataWarning, unexpected
from cnnlab.data.untrusted import pickle_values


@dataclass(frozen=True)
class Batch:
    """Images of one file.

    Attributes:
        name: The file's name.
        images: (n, height, width, channels) uint8.
        labels: (n,) int64, or an object array of strings or of bytes.
        columns: Names of a data frame's pixel columns, unless their numbers give the order.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[Any]
    columns: tuple[str, ...] = ()


def read_content(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        DataError: It is larger than a batch may be, or cannot be read.
    """
    try:
        size, is_file = path.stat().st_size, path.is_file()
        if not is_file or size > pickle_values.MAX_BYTES:
            expected = f"{path.name} to be a file of at most {pickle_values.MAX_BYTES:,} bytes"
            raise unexpected(expected, f"one of {size:,}" if is_file else "none", "Split it into several batches.")
        return path.read_bytes()
    except OSError as error:
        received = "a broken link" if path.is_symlink() and not path.exists() else error.strerror
        raise unexpected(f"to read {path.name}", received) from error


def to_pixels(values: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Return numbers of 0 to 255 as uint8, of the same shape.

    Raises:
        DataError: They are no numbers, or have another range.
    """
    if values.dtype == np.uint8:
        return values.astype(np.uint8)
    if values.dtype.kind == "O" and all(type(value) in (int, float) for value in values.flat):
        values = values.astype(np.float64)
    if values.dtype.kind not in "iuf":
        kind = {"O": "strings, missing or other values", "b": "true and false"}.get(values.dtype.kind, "other values")
        raise unexpected(f"numbers as pixels in {name}", kind)
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 255):  # refuses NaN too
        advice = "Scale them back." if low <= high else "Replace missing values, or drop their rows."
        raise unexpected(f"pixels of 0 to 255 in {name}", f"{low:g} to {high:g}", advice)
    if values.dtype.kind == "f" and high <= 1:
        raise unexpected(f"pixels of 0 to 255 in {name}", f"0 to {high:g}", "Multiply them by 255.")
    pixels: NDArray[np.uint8] = np.rint(values).astype(np.uint8)
    return pixels


def image_side(row_length: int, channels: int, name: str) -> int:
    """Return height and width, in pixels, of square images with this number of values in a row.

    Raises:
        DataError: No square image has so many.
    """
    side = math.isqrt(row_length // channels)
    if side * side * channels != row_length or side == 0:
        raise unexpected(f"square images in {name}: {channels} x side x side numbers a row", row_length)
    return side


def join(
    train: Sequence[Batch],
    test: Sequence[Batch],
    labels: Sequence[NDArray[Any]],
    classes: NDArray[Any],
    class_names: tuple[str, ...],
    warnings: tuple[DataWarning, ...],
    all_names: tuple[str, ...] = (),
) -> Dataset:
    """Join batches; the labels become the places of the classes among `classes`.

    Raises:
        DataError: A test label is not among the classes.
    """
    unknown = set(labels[1].tolist()) - set(classes.tolist())
    if unknown:
        first = min(unknown)
        name = f"{first} ({all_names[first]!r})" if all_names else repr(first)
        advice = "Correct the label, or add training images of that class."
        raise unexpected(f"test labels among the {len(classes)} training classes", name, advice)
    return Dataset(
        np.concatenate([batch.images for batch in train]),
        np.searchsorted(classes, labels[0]).astype(np.int64),
        np.concatenate([batch.images for batch in test]),
        np.searchsorted(classes, labels[1]).astype(np.int64),
        class_names,
        warnings,
    )
