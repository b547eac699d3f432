"""Read pickled data frames of grayscale images."""

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cnnlab.data.formats.batch import Batch, check_class_name, image_side, read_content, to_pixels
from cnnlab.data.messages import quote, unexpected
from cnnlab.data.untrusted.pickle_values import read_frame

_NUMBERED = re.compile(r"(.*?)(\d{1,9})")


def read_gray(path: Path) -> Batch:
    """Read a pickled data frame with a row per image, a column per pixel, and a column `label`.

    Pixel columns whose names end in numbers are sorted by these numbers.

    Raises:
        DataError: The file is no such data frame, or parts of it are missing.
    """
    name = path.name
    frame = read_frame(read_content(path), name)
    columns = list(frame.columns)
    if columns.count("label") != 1 or len(columns) < 2:
        received = (
            f"{len(frame)} rows, columns {', '.join(map(quote, columns[:3]))} ... {', '.join(map(quote, columns[-1:]))}"
        )
        raise unexpected(f"rows of pixels and one column named label in {name}", received)
    pixels = frame.drop(columns="label")
    numbers, names = _column_order(list(pixels.columns), name)
    values = pixels.to_numpy()
    if numbers != sorted(numbers):
        values = values[:, np.argsort(numbers)]
    images = to_pixels(values, name)
    side = image_side(images.shape[1], 1, name)
    return Batch(name, images.reshape(-1, side, side, 1), _read_labels(frame["label"], name), names)


def _column_order(columns: list[Any], name: str) -> tuple[list[int], tuple[str, ...]]:
    """Return the numbers in the names of the pixel columns, or the order and names of columns without numbers."""
    column, count = Counter(map(str, columns)).most_common(1)[0]
    if count > 1:
        raise unexpected(f"each pixel column once in {name}", f"{quote(column)} {count} times")
    matches = [_NUMBERED.fullmatch(str(column)) for column in columns]
    if None in matches or len({match and match[1] for match in matches}) > 1:
        return list(range(len(columns))), tuple(map(str, columns))
    numbers = [int(match[2]) for match in matches if match]
    for number, following in pairwise(sorted(numbers)):
        if following != number + 1:
            expected = f"pixel columns in {name} that are numbered without a gap, each once"
            raise unexpected(expected, f"{following} after {number}", "Write all pixels of an image.")
    return numbers, ()


def _read_labels(labels: "pd.Series[Any]", name: str) -> NDArray[Any]:
    """Return labels as int64, or as strings."""
    if labels.isna().any():
        raise unexpected(f"a label in every row of {name}", f"{labels.isna().sum()} without one")
    values = labels.to_numpy()
    if values.dtype.kind in "fiu":
        numbers = values.astype(np.float64)
        if not (np.abs(numbers) < 2**53).all() or (numbers % 1).any():
            raise unexpected(f"whole numbers or strings as labels in {name}", f"{values[0]!r:.40}")
        return values.astype(np.int64)
    names = [value.decode("ascii", "replace") if isinstance(value, bytes) else str(value) for value in values]
    for class_name in set(names):
        check_class_name(class_name, name)
    return np.array(names)
