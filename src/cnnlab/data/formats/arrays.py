"""Arrays of images and labels, as the formats with several images a file hold them: checked, in parts."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnlab.data.dataset import Dataset
from cnnlab.data.formats.batch import to_pixels
from cnnlab.data.formats.cifar import channels_last
from cnnlab.data.formats.labels import check_class_names, decode, number_labels
from cnnlab.data.messages import DataWarning, unexpected
from cnnlab.data.splits import hold_out


def join_arrays(
    parts: Mapping[str, tuple[NDArray[Any], NDArray[Any]]], shown: str, warnings: tuple[DataWarning, ...]
) -> Dataset:
    """Return images and labels in their parts. Without test images, a fifth is held out.

    Args:
        parts: Images (n, ...) and labels of "train", and of "val" and "test" if they are given.
        shown: What messages call the file.
        warnings: What finding it has shown.

    Raises:
        DataError: Images or labels have a shape or values that are not clear, or do not fit each other.
    """
    images = {part: _images(pair[0], f"{shown} ({part})") for part, pair in parts.items()}
    shapes = {array.shape[1:] for array in images.values()}
    if len(shapes) > 1:
        raise unexpected(f"images of one size in {shown}", " and ".join(map(str, sorted(shapes))))
    labels = {part: _labels(pair[1], len(images[part]), f"{shown} ({part})") for part, pair in parts.items()}
    classes = np.unique(labels["train"])
    if len({array.dtype.kind for array in labels.values()}) > 1:
        raise unexpected(f"labels of one kind in {shown}", "numbers in some, strings in others")
    names = check_class_names([str(name) for name in classes.tolist()], shown)
    if len(names) < 2:
        raise unexpected(f"training images of at least two classes in {shown}", "one", "Add images of another class.")
    for part in labels:
        unknown = np.setdiff1d(labels[part], classes)
        if unknown.size:
            expected = f"{part} labels among the {len(classes)} training classes"
            raise unexpected(expected, repr(unknown[0].item()), "Correct the label, or add training images of it.")
    numbers = {part: np.searchsorted(classes, array).astype(np.int64) for part, array in labels.items()}
    is_held_out = "test" not in parts
    if is_held_out:
        counts = np.bincount(numbers["train"])
        if counts.min() < 3:
            expected = "at least three images of each class where there is no test part"
            received = f"{counts.min()} of class {names[int(counts.argmin())]!r}"
            raise unexpected(expected, received, "Add images, or remove the class.")
        held, rest = hold_out(numbers["train"])
        images |= {"train": images["train"][rest], "test": images["train"][held]}
        numbers |= {"train": numbers["train"][rest], "test": numbers["train"][held]}
    n_train, given_val = len(numbers["train"]), None
    if "val" in parts:
        given_val = np.arange(n_train, n_train + len(numbers["val"]))
        images["train"] = np.concatenate([images["train"], images["val"]])
        numbers["train"] = np.concatenate([numbers["train"], numbers["val"]])
    return Dataset(
        images["train"], numbers["train"], images["test"], numbers["test"], names, warnings, given_val,
        is_test_held_out=is_held_out,
    )  # fmt: skip


def _images(array: NDArray[Any], shown: str) -> NDArray[np.uint8]:
    if array.ndim < 3 or not array.size:
        shape = f"shape ({', '.join(map(str, array.shape))})"
        raise unexpected(f"images of shape (n, h, w), (n, h, w, 1), (n, h, w, 3) or (n, 3, h, w) in {shown}", shape)
    return np.ascontiguousarray(to_pixels(channels_last(array, shown), shown))


def _labels(array: NDArray[Any], n_images: int, shown: str) -> NDArray[Any]:
    if array.dtype.kind not in "US":
        return number_labels(array, n_images, None, shown)
    if array.size != n_images:
        raise unexpected(f"a label for each of {n_images} images in {shown}", f"{array.size} labels")
    return np.array([decode(label) for label in array.ravel().tolist()])
