"""Read batches in the format of CIFAR-10 and CIFAR-100: pickled dictionaries."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnlab.data.formats.batch import Batch, image_side, to_pixels
from cnnlab.data.formats.labels import check_class_names, number_labels
from cnnlab.data.messages import quote, unexpected
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
    return Batch(name, np.ascontiguousarray(to_pixels(_channels_last(data, name), name)), labels), class_names


def _channels_last(data: NDArray[Any], name: str) -> NDArray[Any]:
    """Return images as (n, height, width, channels): rows, (n, h, w), (n, h, w, c) and (n, c, h, w) are clear."""
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
