"""Labels and names of classes, as untrusted files write them."""

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnlab.data.messages import quote, unexpected

MAX_NAME = 200
"""Longest name of a class, in characters."""


def decode(name: str | bytes) -> str:
    """Return the name of a class as text: bytes are UTF-8, else Latin-1, so that no byte is dropped."""
    if isinstance(name, str):
        return name
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("latin-1")


def check_class_names(names: Sequence[str | bytes], file: str) -> tuple[str, ...]:
    """Return the names of classes as text, if they can be shown and told apart.

    Raises:
        DataError: A name is empty, too long or has characters that cannot be printed, or two of them look alike.
    """
    seen: dict[str, int] = {}
    texts = tuple(decode(name) for name in names)
    for number, text in enumerate(texts):
        if not text.isprintable() or not text.strip() or len(text) > MAX_NAME:
            raise unexpected(
                f"class names of at most {MAX_NAME} printable characters, not empty, in {file}", ascii(text)[:40]
            )
        # Spaces at the ends, and the two ways to write an accent, cannot be seen.
        first = seen.setdefault(unicodedata.normalize("NFC", " ".join(text.split())), number)
        if first != number:
            received = f"{quote(names[first])} as number {first} and {quote(names[number])} as number {number}"
            raise unexpected(f"class names in {file} that differ visibly", received, "Give each class its own name.")
    return texts


def column_labels(values: NDArray[Any], name: str) -> NDArray[Any]:
    """Return the labels of a data frame as int64, or as an object array of strings or of bytes.

    Raises:
        DataError: They are of several kinds, or numbers that are not whole.
    """
    if values.dtype.kind == "O":
        kinds = {_kind(value) for value in values}
        if len(kinds) > 1:
            received = " and ".join(sorted(kinds))
            raise unexpected(f"labels of one kind in {name}", received, "Convert them, for example with astype(str).")
        if kinds == {"numbers"}:
            values = np.array(values.tolist())
        elif kinds == {"booleans"}:
            values = values.astype(bool)
        elif kinds & {"strings", "bytes"}:
            return values
    if values.dtype.kind == "b":
        return values.astype(str).astype(object)
    numbers = values.astype(np.float64) if values.dtype.kind in "fiu" else np.array([np.nan])
    if not (np.abs(numbers) < 2**53).all() or (numbers % 1).any():
        raise unexpected(f"whole numbers or strings as labels in {name}", f"{values[0]!r:.40}")
    return values.astype(np.int64)


def _kind(value: object) -> str:
    match value:
        case bool():
            return "booleans"
        case int() | float():
            return "numbers"
        case str() | bytes():
            return "strings" if isinstance(value, str) else "bytes"
    return f"values of type {type(value).__name__}"


def number_labels(labels: Any, n_images: int, n_classes: int | None, name: str) -> NDArray[np.int64]:
    """Return the labels of a CIFAR batch as (n,) int64.

    Args:
        labels: A list (also of lists with one number each) or an array of shape (n,), (n, 1) or (1, n).
        n_images: How many labels there must be.
        n_classes: Labels must be below this number, if it is known.
        name: What errors call the batch.

    Raises:
        DataError: They have another shape, or are not whole numbers in that range.
    """
    try:
        values = np.array(labels.tolist() if isinstance(labels, np.ndarray) else labels)
    except ValueError as error:  # lists of different lengths
        raise unexpected(f"one number as the label of each image in {name}", "lists of different lengths") from error
    if values.ndim == 2 and 1 in values.shape and values.size == n_images:
        values = values.ravel()
    if values.ndim != 1:
        shape = f"shape ({', '.join('n' if size == n_images else str(size) for size in values.shape)})"
        is_one_hot = values.ndim == 2 and values.dtype.kind in "biuf" and _is_one_hot(values)
        received = f"one-hot labels of {shape}" if is_one_hot else f"labels of {shape}"
        advice = "Store np.argmax(labels, axis=1) instead." if is_one_hot else ""
        raise unexpected(f"labels of shape (n,) in {name}", received, advice)
    if len(values) != n_images:
        raise unexpected(f"a label for each of {n_images} images in {name}", f"{len(values)} labels")
    top = "" if n_classes is None else f" to {n_classes - 1}"
    expected = f"labels of 0{top} in {name}" + (", one for each class name" if top else "")
    if values.dtype.kind not in "biuf":
        wrong = [label for label in labels if not isinstance(label, int | float | np.number)]
        raise unexpected(expected, f"{wrong[0] if wrong else values[0]!r:.30}")
    bad = ~((values >= 0) & (values < (2**31 if n_classes is None else n_classes)))
    if values.dtype.kind == "f":
        bad |= values % 1 != 0
    if bad.any():
        raise unexpected(expected, f"{values[bad][0].item()!r:.30}")
    return values.astype(np.int64)


def _is_one_hot(values: NDArray[Any]) -> bool:
    return bool(np.isin(values, (0, 1)).all() and (values.sum(axis=1) == 1).all())
