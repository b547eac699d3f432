"""Batches in the format of CIFAR-10 and CIFAR-100: pickled dictionaries."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnlab.data.dataset import Dataset
from cnnlab.data.finding import Finder, Place
from cnnlab.data.formats.batch import Batch, image_side, join, to_pixels
from cnnlab.data.formats.format import Format, Source
from cnnlab.data.formats.labels import check_class_names, number_labels
from cnnlab.data.messages import DataWarning, quote, unexpected
from cnnlab.data.untrusted.pickle_values import LABEL_KEYS, read_batch

FOLDER = "cifar-10-batches-py"


def read_names(content: bytes, name: str, advice: str) -> dict[str, tuple[str, ...]]:
    """Read `batches.meta` or `meta`: the names of the classes, by the entry that lists them ("label_names").

    Raises:
        DataError: It lists no names, or two that look alike.
    """
    meta = read_batch(content, name, advice)
    names = {}
    for key in LABEL_KEYS.values():
        entry = meta.get(key)
        values = entry.tolist() if isinstance(entry, np.ndarray) else entry
        if isinstance(values, list) and values and all(isinstance(text, str | bytes) for text in values):
            names[key] = check_class_names(values, name)
        elif values is not None:
            raise unexpected(f"{key}, a list of strings, in {name}", f"{quote(values)}", advice)
    if not names:
        raise unexpected(f"label_names, a list of strings, in {name}", "none", advice)
    return names


def read_cifar(
    content: bytes, name: str, advice: str, names: dict[str, tuple[str, ...]] | None
) -> tuple[Batch, tuple[str, ...] | None]:
    """Read one batch; return it and the names of the classes that its labels mean, if there are names.

    Its labels are `labels`, else `fine_labels`, else `coarse_labels`.

    Raises:
        DataError: The batch is broken, or its images or labels have a shape that is not clear.
    """
    batch = read_batch(content, name, advice)
    key = next((key for key in LABEL_KEYS if key in batch), None)
    data = batch.get("data")
    if isinstance(data, list):
        try:
            data = np.array(data)
        except ValueError as error:
            raise unexpected(f"images of one size in {name}", "several sizes") from error
    if key is None or not isinstance(data, np.ndarray) or data.ndim < 2 or not data.size:
        received = "no image" if isinstance(data, np.ndarray) and not data.size else ", ".join(batch) or "neither"
        raise unexpected(f"data (one row an image) and labels in {name}", received, "Store arrays under these names.")
    if names is not None and LABEL_KEYS[key] not in names:
        raise unexpected(f"{LABEL_KEYS[key]} beside {name}, for its {key}", ", ".join(names))
    class_names = None if names is None else names[LABEL_KEYS[key]]
    labels = number_labels(batch[key], len(data), None if class_names is None else len(class_names), name)
    return Batch(name, np.ascontiguousarray(to_pixels(channels_last(data, name), name)), labels), class_names


def channels_last(data: NDArray[Any], name: str) -> NDArray[Any]:
    """Return images as (n, height, width, channels): rows, (n, h, w), (n, h, w, c) and (n, c, h, w) are clear.

    Args:
        data: (n, ...) pixels.
        name: What errors call the file.

    Raises:
        DataError: The shape can be read in two ways, or in none.
    """
    count, *shape = data.shape
    if data.ndim == 2:
        if math.isqrt(shape[0]) ** 2 == shape[0]:  # three times a square is never a square
            side = math.isqrt(shape[0])
            return data.reshape(count, side, side, 1)
        side = image_side(shape[0], 3, name)
        return data.reshape(count, 3, side, side).transpose(0, 2, 3, 1)  # all reds, all greens, all blues
    if data.ndim == 3 and not {1, 3} & set(shape):
        return data[..., None]
    first, last = (data.ndim == 4 and shape[place] in (1, 3) for place in (0, -1))
    if first == last:
        shown = f"shape ({', '.join(map(str, data.shape))})" + (", which can be read in two ways" if first else "")
        expected = f"data of shape (n, 3 x h x w), (n, h, w), (n, h, w, 3) or (n, 3, h, w) in {name}"
        raise unexpected(expected, shown, "Store the images in one of these shapes.")
    return data if last else data.transpose(0, 2, 3, 1)


def read_place(place: Place, finder: Finder) -> tuple[Dataset, list[int]]:
    """Return the images of a folder or an archive, and the numbers that the files give to its classes.

    Raises:
        DataError: A batch is missing or broken, or does not fit the others.
    """
    train_names, test_names = place.names("train"), place.names("test")
    meta = [name for name, _, part in place.files if part == "meta"]
    if len(meta) > 1:
        raise unexpected(f"one file with class names in {place}", " and ".join(meta), "Remove one.")
    if not meta and place.is_official:
        raise unexpected(f"batches.meta in {place}", ", ".join(train_names + test_names), "Fetch the archive again.")
    contents = place.contents(meta + train_names + test_names)
    names = read_names(next(contents), meta[0], place.advice) if meta else None
    pairs = zip(train_names + test_names, contents, strict=True)
    read = [read_cifar(content, name, place.advice, names) for name, content in pairs]
    batches, class_names = [batch for batch, _ in read], read[0][1]
    if len({batch.images.shape[1:] for batch in batches}) > 1:
        raise unexpected(f"images of one size in {place}", "several sizes")
    if any(other != class_names for _, other in read):
        raise unexpected(f"labels of one kind in all batches of {place}", "fine labels in some, coarse ones in others")
    train, test = batches[: len(train_names)], batches[len(train_names) :]
    labels = [np.concatenate([batch.labels for batch in part]) for part in (train, test)]
    classes = np.unique(labels[0])
    numbers: list[int] = classes.tolist()
    warnings = finder.warnings
    if class_names is None:
        used = tuple(map(str, numbers))
    else:
        used = tuple(class_names[number] for number in numbers)
        unused = [name for number, name in enumerate(class_names) if number not in {*numbers, *labels[1].tolist()}]
        warnings += tuple(_unused(unused, len(class_names)))
    return join(train, test, labels, classes, used, warnings, class_names or ()), numbers


def _unused(names: list[str], n_names: int) -> list[DataWarning]:
    if not names:
        return []
    shown = ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    text = f"{len(names)} of {n_names} class names have no image and were removed: {shown}. Add images, or ignore this."
    return [DataWarning("unused-classes", text)]


def _find(finder: Finder) -> Source | None:
    place = finder.place("cifar")
    return Source(str(place), lambda _: read_place(place, finder)[0]) if place else None


FORMAT = Format("batches in CIFAR's format", _find)
