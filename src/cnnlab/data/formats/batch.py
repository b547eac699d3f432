"""What the readers of all formats share. Files are untrusted."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnlab.data.untrusted import pickles
from cnnlab.errors import DataError

MAX_NAME = 200
"""Longest name of a class, in characters."""


@dataclass(frozen=True)
class Batch:
    """Images of one file.

    Attributes:
        name: The file's name.
        images: (n, side, side, channels) uint8.
        labels: (n,) int64, or strings.
        columns: Names of a data frame's pixel columns, where they do not tell their order by a number.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[Any]
    columns: tuple[str, ...] = ()


def _content(path: Path) -> bytes:
    """Return what a file holds, unless it is so large that no batch can be."""
    try:
        size = path.stat().st_size
        if not path.is_file() or size > pickles.MAX_BYTES:
            raise DataError(
                f"Expected {path.name} to be a file of at most {pickles.MAX_BYTES:,} bytes. Received: "
                f"{f'one of {size:,}' if path.is_file() else 'none'}. Split it into several batches."
            )
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"Expected to read {path.name}. Received: {error.strerror}.") from error


def _shown(value: object) -> str:
    return repr(value)[:30]


def _class_name(text: str, name: str) -> str:
    """Insist on a name that tables and messages can show."""
    if not text.isprintable() or len(text) > MAX_NAME:
        raise DataError(
            f"Expected class names of at most {MAX_NAME} printable characters in {name}. Received: {ascii(text)[:40]}."
        )
    return text


def _pixels(values: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Insist on pixels of 0 to 255 and return them as uint8."""
    if values.dtype == np.uint8:
        return values.astype(np.uint8)
    if values.dtype.kind not in "iuf":
        raise DataError(f"Expected numbers as pixels in {name}. Received: values of type {values.dtype}.")
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 255):  # written so that NaN fails too
        raise DataError(f"Expected pixels of 0 to 255 in {name}. Received: {low:g} to {high:g}. Scale them back.")
    if values.dtype.kind == "f" and high <= 1:
        raise DataError(f"Expected pixels of 0 to 255 in {name}. Received: 0 to {high:g}. Multiply them by 255.")
    rounded: NDArray[np.uint8] = np.rint(values).astype(np.uint8)
    return rounded


def _side(columns: int, channels: int, name: str) -> int:
    side = math.isqrt(columns // channels)
    if side * side * channels != columns or side == 0:
        raise DataError(
            f"Expected square images in {name}: {channels} x side x side numbers a row. Received: {columns}."
        )
    return side
