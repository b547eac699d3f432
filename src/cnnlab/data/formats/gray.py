"""Read pickled data frames of grayscale images."""

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cnnlab.data.formats.batch import Batch, _class_name, _content, _pixels, _shown, _side
from cnnlab.data.untrusted import pickles
from cnnlab.errors import DataError

_NUMBERED = re.compile(r"(.*?)(\d{1,9})")


def read_gray(path: Path) -> Batch:
    """Read a pickled data frame of grayscale images: a row an image, a column a pixel, and a column `label`.

    Pixel columns whose names end in numbers are put in the order of these.

    Raises:
        DataError: It is none, or not whole.
    """
    name = path.name
    frame = pickles.frame(_content(path), name)
    if list(frame.columns).count("label") != 1 or len(frame.columns) < 2:
        raise DataError(
            f"Expected rows of pixels and one column named label in {name}. Received: {len(frame)} rows, columns "
            f"{', '.join(map(_shown, frame.columns[:3]))} ... {', '.join(map(_shown, frame.columns[-1:]))}."
        )
    table = frame.drop(columns="label")
    order, names = _order(list(table.columns), name)
    values = table.to_numpy()
    if order != sorted(order):
        values = values[:, np.argsort(order)]
    images = _pixels(values, name)
    side = _side(images.shape[1], 1, name)
    return Batch(name, images.reshape(-1, side, side, 1), _labels(frame["label"], name), names)


def _order(columns: list[Any], name: str) -> tuple[list[int], tuple[str, ...]]:
    """Return the place of each pixel column by its number; where they have none, the order they have, and their names.

    Raises:
        DataError: A column is there twice, or one is missing.
    """
    column, count = Counter(map(str, columns)).most_common(1)[0]
    if count > 1:
        raise DataError(f"Expected each pixel column once in {name}. Received: {_shown(column)} {count} times.")
    found = [_NUMBERED.fullmatch(str(column)) for column in columns]
    if len({match and match[1] for match in found}) > 1 or None in found:
        return list(range(len(columns))), tuple(map(str, columns))
    numbers = [int(match[2]) for match in found if match]
    for number, after in pairwise(sorted(numbers)):
        if after != number + 1:
            raise DataError(
                f"Expected pixel columns in {name} that are numbered without a gap, each once. Received: {after} after "
                f"{number}. Write all pixels of an image."
            )
    return numbers, ()


def _labels(labels: "pd.Series[Any]", name: str) -> NDArray[Any]:
    if labels.isna().any():
        raise DataError(f"Expected a label in every row of {name}. Received: {labels.isna().sum()} without one.")
    values = labels.to_numpy()
    if values.dtype.kind in "fiu":
        whole = values.astype(np.float64)
        if not (np.abs(whole) < 2**53).all() or (whole % 1).any():
            raise DataError(f"Expected whole numbers or strings as labels in {name}. Received: {values[0]!r:.40}.")
        return values.astype(np.int64)
    names = [value.decode("ascii", "replace") if isinstance(value, bytes) else str(value) for value in values]
    for unusual in set(names):
        _class_name(unusual, name)
    return np.array(names)
