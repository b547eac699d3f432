"""Grayscale batches: pickled data frames."""

import math
import re
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from cnnlab.data.dataset import Dataset
from cnnlab.data.finding import Finder, Place
from cnnlab.data.formats.batch import Batch, image_side, join, to_pixels
from cnnlab.data.formats.format import Format, Source
from cnnlab.data.formats.labels import check_class_names, column_labels, decode
from cnnlab.data.messages import quote, unexpected
from cnnlab.data.untrusted.pickle_values import read_frame

_NUMBER = re.compile(r"\d{1,9}")
_OTHER_LABELS = {"label", "labels", "class", "classes", "target", "targets", "category", "y"}
_COLUMN_FIRST = re.compile(
    r"(.*[^a-z])?(x|c|col|column|w|width|left)[^a-z]*#[^a-z]*(y|r|row|h|height|top)[^a-z]*#.*", re.IGNORECASE
)
"""Names that give the column before the row, such as x3y7."""


def read_gray(content: bytes, name: str) -> Batch:
    """Read a pickled data frame with a row per image, a column per pixel, and a column `label`.

    Pixel columns whose names have one number (pixel17) are sorted by it, those with two (r3c7) by row and column.
    A number that is the same in all names does not count.

    Raises:
        DataError: The file is no such data frame, or parts of it are missing.
    """
    frame = read_frame(content, name)
    columns = [_plain_name(column) for column in frame.columns]
    if columns.count("label") != 1 or len(columns) < 2:
        others = [column for column in columns if str(column).strip().lower() in _OTHER_LABELS and column != "label"]
        received = f"{len(frame)} rows, columns {', '.join(map(quote, columns[:3]))} ... {quote(columns[-1:])[1:-1]}"
        advice = f"Rename the column {quote(others[0])} to label." if others else "Name the column of labels label."
        raise unexpected(f"rows of pixels and one column named label in {name}", received, advice)
    place = columns.index("label")
    labels = frame.iloc[:, place]
    if labels.isna().any():
        raise unexpected(f"a label in every row of {name}", f"{labels.isna().sum()} without one")
    plain_labels = column_labels(labels.to_numpy(object if labels.dtype == "string" else None), name)
    if plain_labels.dtype == object:
        check_class_names(list(pd.unique(plain_labels)), name)
    del columns[place]
    order, shape = _pixel_order(columns, name)
    values = frame.drop(columns=frame.columns[place]).to_numpy()
    if order is not None and not (np.diff(order) > 0).all():
        values = values[:, order]
    images = to_pixels(values, name)
    height, width = shape or (_square_side(columns, name),) * 2
    names = () if order is not None else tuple(map(str, columns))
    return Batch(name, images.reshape(-1, height, width, 1), plain_labels, names)


def _square_side(columns: list[Any], name: str) -> int:
    """Return height and width of square images; the error names columns that look like no pixels."""
    patterns = Counter(_NUMBER.sub("#", str(column)) for column in columns)
    usual = patterns.most_common(1)[0][0]
    others = [column for column in columns if _NUMBER.sub("#", str(column)) != usual]
    if 0 < len(others) < min(10, len(columns) / 2) and math.isqrt(len(columns)) ** 2 != len(columns):
        received = f"{len(columns)} columns beside it, among them {', '.join(map(quote, others[:3]))}"
        raise unexpected(f"only pixels beside label in {name}", received, "Drop the columns that are no pixels.")
    return image_side(len(columns), 1, name)


def _plain_name(column: Any) -> Any:
    """Return the name of a column without the empty levels that pandas adds to tuples."""
    if isinstance(column, tuple):
        parts = tuple(part for part in column if part != "")
        return parts[0] if len(parts) == 1 else parts
    return column


def _pixel_order(columns: list[Any], name: str) -> tuple["np.ndarray[Any, Any] | None", tuple[int, int] | None]:
    """Return the positions of the pixels in their order, and height and width if the names give them.

    Returns:
        None as the order if the names have no numbers: the order of the columns counts.
    """
    texts = [str(column) for column in columns]
    column, count = Counter(texts).most_common(1)[0]
    if count > 1:
        raise unexpected(f"each pixel column once in {name}", f"{quote(column)} {count} times")
    patterns = {_NUMBER.sub("#", text) for text in texts}
    if len(patterns) > 1 or "#" not in next(iter(patterns)):
        return None, None
    pattern = patterns.pop()
    table = np.array([[int(number) for number in _NUMBER.findall(text)] for text in texts], np.int64)
    varying = [axis for axis in range(table.shape[1]) if len(texts) == 1 or np.ptp(table[:, axis])]
    if len(varying) > 2:
        expected = f"pixel columns in {name} with one number, or with row and column, in their names"
        raise unexpected(expected, f"{len(varying)} numbers, as in {quote(texts[0])}", "Rename the columns.")
    table = table[:, varying]
    if table.shape[1] == 1:
        _check_run(table[:, 0], name)
        return np.argsort(table[:, 0], kind="stable"), None
    if _COLUMN_FIRST.fullmatch(pattern) and len(varying) == pattern.count("#"):
        table = table[:, ::-1]
    sizes = np.ptp(table, axis=0) + 1
    if len(np.unique(table, axis=0)) != len(texts):
        raise unexpected(f"pixel columns in {name} with each row and column once", f"{quote(texts[0])} twice")
    if np.prod(sizes.astype(float)) != len(texts):
        expected = f"a pixel column in {name} for each of {sizes[0]} rows and {sizes[1]} columns"
        raise unexpected(expected, f"{len(texts)} columns, as {quote(texts[0])}", "Write all pixels of an image.")
    return np.lexsort((table[:, 1], table[:, 0])), (int(sizes[0]), int(sizes[1]))


def _check_run(numbers: "np.ndarray[Any, Any]", name: str) -> None:
    for number, following in pairwise(sorted(numbers.tolist())):
        if following != number + 1:
            expected = f"pixel columns in {name} that are numbered without a gap, each once"
            raise unexpected(expected, f"{following} after {number}", "Write all pixels of an image.")


def read_frames(place: Place, finder: Finder) -> Dataset:
    """Read all data frames of a folder or an archive.

    Raises:
        DataError: One is missing, broken or does not fit the others.
    """
    train_names, test_names = place.names("train"), place.names("test")
    names = train_names + test_names
    batches = [read_gray(content, name) for name, content in zip(names, place.contents(names), strict=True)]
    train, test = batches[: len(train_names)], batches[len(train_names) :]
    _check_alike(batches)
    labels = [np.concatenate([batch.labels for batch in part]) for part in (train, test)]
    if labels[0].dtype == object:
        _check_decoding([*labels[0], *labels[1]])
        labels = [np.array([decode(label) for label in part]) for part in labels]
    classes = np.unique(labels[0])
    class_names = check_class_names([str(name) for name in classes.tolist()], "the training batches")
    return join(train, test, labels, classes, class_names, finder.warnings)


def _check_decoding(labels: list[str | bytes]) -> None:
    """Refuse two labels of different bytes that are the same text."""
    texts: dict[str, bytes] = {}
    for label in dict.fromkeys(label for label in labels if isinstance(label, bytes)):
        first = texts.setdefault(decode(label), label)
        if first != label:
            expected = "labels in one encoding, UTF-8 or Latin-1"
            raise unexpected(expected, f"{first!r} and {label!r}", "Write the labels as strings.")


def _check_alike(batches: list[Batch]) -> None:
    first = batches[0]
    for batch in batches:
        size, first_size = batch.images[0].size, first.images[0].size
        if size != first_size:
            raise unexpected(f"{first_size} pixel columns in {batch.name}, as in {first.name}", size)
        if batch.images.shape[1:] != first.images.shape[1:]:
            sizes = ["{} x {}".format(*one.images.shape[1:3]) for one in (first, batch)]
            raise unexpected(f"images of {sizes[0]} pixels in {batch.name}, as in {first.name}", sizes[1])
        if batch.columns != first.columns:
            expected = f"the same pixel columns in the same order in {batch.name} as in {first.name}"
            raise unexpected(expected, "others", "Write all batches alike, or number the columns.")
    kinds = {"numbers" if batch.labels.dtype.kind in "iu" else type(batch.labels[0]).__name__ for batch in batches}
    if len(kinds) > 1:
        kinds = {{"str": "strings"}.get(kind, kind) for kind in kinds}
        raise unexpected("labels of one kind in all batches", f"{' in some, '.join(sorted(kinds))} in others")


def _find(finder: Finder) -> Source | None:
    place = finder.place("gray")
    return Source(str(place), lambda _: read_frames(place, finder)) if place else None


FORMAT = Format("grayscale batches", _find)
