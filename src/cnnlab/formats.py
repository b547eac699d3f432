"""Read single batches of images: pickled data frames, and those of a CIFAR-10 archive or folder. All may be hostile."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cnnlab import archive, unpickle
from cnnlab.errors import DataError

FOLDER = "cifar-10-batches-py"
_CIFAR_FILE = re.compile(r"data_batch_\d{1,4}|test_batch|batches\.meta")
_CIFAR_MEMBER = re.compile(rf"(\./)?({FOLDER}/)?({_CIFAR_FILE.pattern})")
MAX_NAME = 200
"""Longest name of a class, in characters."""
_NUMBERED = re.compile(r"(.*?)(\d{1,9})")


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


def read_gray(path: Path) -> Batch:
    """Read a pickled data frame of grayscale images: a row an image, a column a pixel, and a column `label`.

    Pixel columns whose names end in numbers are put in the order of these.

    Raises:
        DataError: It is none, or not whole.
    """
    name = path.name
    frame = unpickle.frame(_content(path), name)
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


def _content(path: Path) -> bytes:
    """Return what a file holds, unless it is so large that no batch can be."""
    try:
        size = path.stat().st_size
        if not path.is_file() or size > unpickle.MAX_BYTES:
            raise DataError(
                f"Expected {path.name} to be a file of at most {unpickle.MAX_BYTES:,} bytes. Received: "
                f"{f'one of {size:,}' if path.is_file() else 'none'}. Split it into several batches."
            )
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"Expected to read {path.name}. Received: {error.strerror}.") from error


def _shown(value: object) -> str:
    return repr(value)[:30]


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


def read_cifar(path: Path) -> tuple[tuple[str, ...], dict[str, Batch]]:
    """Read the archive or the folder of CIFAR-10: the names of its classes, and its batches by name.

    Raises:
        DataError: A batch is missing or broken, or the archive is not one.
    """
    found = dict(_folder(path) if path.is_dir() else archive.members(path, _CIFAR_MEMBER))
    last = max((int(name.rpartition("_")[2]) for name in found if name.startswith("data_batch_")), default=1)
    wanted = ["batches.meta", *(f"data_batch_{number}" for number in range(1, last + 1)), "test_batch"]
    missing = [name for name in wanted if name not in found]
    if missing:
        raise DataError(
            f"Expected {missing[0]} in {path.name}. Received: {', '.join(sorted(found)) or 'no batch at all'}. "
            "Fetch the archive again."
        )
    names = unpickle.batch(found["batches.meta"], "batches.meta").get("label_names")
    if not isinstance(names, list) or not names or not all(isinstance(name, str | bytes) for name in names):
        raise DataError(
            f"Expected label_names, a list of strings, in batches.meta of {path.name}. Received: "
            f"{type(names).__name__}. Fetch the archive again."
        )
    decoded = (name.decode(errors="replace") if isinstance(name, bytes) else name for name in names)
    class_names = tuple(_class_name(text, "batches.meta") for text in decoded)
    batches = {name: _cifar_batch(unpickle.batch(found.pop(name), name), name, len(names)) for name in wanted[1:]}
    if len({batch.images.shape[1:] for batch in batches.values()}) > 1:
        raise DataError(f"Expected images of one size in {path.name}. Received: several sizes.")
    return class_names, batches


def _folder(path: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(path.iterdir()):
        if _CIFAR_FILE.fullmatch(file.name):
            yield file.name, _content(file)


def _cifar_batch(batch: Mapping[str, Any], name: str, n_classes: int) -> Batch:
    data, labels = batch.get("data"), batch.get("labels")
    if not isinstance(data, np.ndarray) or data.ndim != 2 or not isinstance(labels, list | np.ndarray) or not data.size:
        raise DataError(f"Expected data (one row an image) and labels in {name}. Received: {', '.join(batch)}.")
    if len(labels) != len(data):
        raise DataError(f"Expected a label for each of {len(data)} images in {name}. Received: {len(labels)} labels.")
    wrong = next((one for one in labels if not isinstance(one, int | np.integer) or not 0 <= one < n_classes), None)
    if wrong is not None:
        raise DataError(
            f"Expected labels of 0 to {n_classes - 1} in {name}, one a class of batches.meta. Received: {wrong!r:.30}."
        )
    side = _side(data.shape[1], 3, name)
    planes = _pixels(data, name).reshape(-1, 3, side, side)
    return Batch(name, np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), np.asarray(labels, np.int64))
