"""Split a dataset into train, val and test."""

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cnnlab.data import groups as grouping
from cnnlab.data.dataset import Dataset
from cnnlab.data.messages import unexpected
from cnnlab.errors import ConfigError

SPLIT_SEED = 20220
"""Seed of the fixed stratified split, and of the test images of all draws."""


@dataclass(frozen=True)
class Split:
    """Which images a run trains on, selects by and is tested on.

    Attributes:
        train: Indices into a dataset's `train_images`, int64.
        val: Likewise, none of them in `train`.
        test: Indices into its `test_images`.
    """

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]

    @cached_property
    def digest(self) -> str:
        """SHA-256 (64 hex digits) of the three index arrays."""
        sha = hashlib.sha256()
        for indices in (self.train, self.val, self.test):
            sha.update(repr(indices.shape).encode() + indices.tobytes())
        return sha.hexdigest()


def split(dataset: Dataset, kind: str, train: int, val: int, test: int, draw: int = 0) -> Split:
    """Split a dataset's training images in two, and limit the number of images of each part.

    If there are too few images, a fifth of the training images is for validation, at least one image of each class.
    All draws have the same sizes and the same test images. Validation images that the files name are validated on, and
    no others; all draws share them. Images of one group are in one part; about a fifth of them is for validation, in
    whole groups.

    Args:
        dataset: The images to split.
        kind: "stratified" keeps the shares of the classes in every part; "last" validates on the last fifth of the
            training images, in the order of the files, as Keras's `validation_split` does.
        train: Most images to train on.
        val: Most images to validate on.
        test: Most images to test on.
        draw: Which stratified draw of training and validation images: 0 is the fixed split.

    Raises:
        ConfigError: An unknown kind.
        DataError: There are too few images, in all or of one class, or there is only one class, or groups cannot be
            divided.
    """
    if kind not in ("stratified", "last"):
        raise ConfigError(f"Expected a split kind of stratified or last. Received: {kind!r}.")
    n_train, n_test = len(dataset.train_labels), len(dataset.test_labels)
    n_classes = len(np.unique(dataset.train_labels))
    if n_classes < 2:
        raise unexpected("training images of at least two classes", "one", "Add images of another class.")
    if kind == "last":
        pool, rest = _last(dataset)
        result = Split(rest[:train], pool[:val], np.arange(min(test, n_test)))
    else:
        pool, rest = _pools(dataset, val, draw)
        # Without given images and groups, the pool is the sample itself. All draws share the given images.
        val_draw = draw if dataset.given_val is None else 0
        val_indices = pool if len(pool) <= val else _draw(dataset.train_labels, pool, val, val_draw)[0]
        train_indices, _ = _draw(dataset.train_labels, rest, train, draw)
        test_indices, _ = _draw(dataset.test_labels, np.arange(n_test), test, 0)
        result = Split(train_indices, val_indices, test_indices)
    if not all(map(len, (result.train, result.val, result.test))):
        received = f"{n_train} training images of {n_classes} classes and {n_test} test images"
        raise unexpected("enough images to train on, to validate on and to test on", received, "Add images.")
    return result


def part_sizes(dataset: Dataset, train: int, val: int, test: int) -> tuple[int, int, int]:
    """Return how many images `split` trains on, validates on and tests on; its arguments are the same."""
    n_train, n_test = len(dataset.train_labels), len(dataset.test_labels)
    if dataset.given_val is None and dataset.groups is None:
        n_val = min(val, max(n_train // 5, len(dataset.class_names)))
        return min(train, n_train - n_val), n_val, min(test, n_test)
    pool, rest = _pools(dataset, val, 0)
    return min(train, len(rest)), min(val, len(pool)), min(test, n_test)


def hold_out(labels: NDArray[np.int64], groups: NDArray[np.int64] | None = None) -> list[NDArray[np.int64]]:
    """Hold a fifth of some images out to test on: stratified, seeded and in whole groups.

    Args:
        labels: (n,) class of each image; at least two of each class.
        groups: (n,) number of the group of each image; None for none.

    Returns:
        Indices of the test images, and of the rest, both rising.

    Raises:
        DataError: The groups cannot be divided.
    """
    if groups is not None:
        return grouping.divide(labels, groups, SPLIT_SEED)
    return _draw(labels, np.arange(len(labels)), max(len(labels) // 5, len(np.unique(labels))), 0)


def _pools(dataset: Dataset, val: int, draw: int) -> list[NDArray[np.int64]]:
    """Return the indices of images to validate on, and of those to train on, before their numbers are limited."""
    labels = dataset.train_labels
    indices, counts = np.arange(len(labels)), np.bincount(labels)
    if dataset.given_val is not None:
        rest = np.setdiff1d(indices, dataset.given_val)
        missing = np.setdiff1d(labels, labels[rest])
        if missing.size:
            name = dataset.class_names[missing[0]]
            raise unexpected("training images of each class", f"none of class {name!r}", "Add some.")
        return [dataset.given_val, rest]
    if dataset.groups is not None:
        return grouping.divide(labels, dataset.groups, SPLIT_SEED + draw)
    if 1 in counts:
        expected = "at least two training images of each class, one to train on and one to validate on"
        name = dataset.class_names[counts.tolist().index(1)]
        raise unexpected(expected, f"1 of class {name!r}", "Add images, or remove the class.")
    return _draw(labels, indices, min(val, max(len(labels) // 5, len(np.unique(labels)))), draw)


def _last(dataset: Dataset) -> list[NDArray[np.int64]]:
    """Return the same for the split that validates on the last images."""
    indices = np.arange(len(dataset.train_labels))
    start = len(indices) - len(indices) // 5
    if dataset.given_val is not None:
        return [dataset.given_val, np.setdiff1d(indices, dataset.given_val)]
    if dataset.groups is None:
        return [indices[start:], indices[:start]]
    in_both = np.isin(dataset.groups, dataset.groups[start:])
    return [indices[start:], indices[~in_both]]


def smaller(dataset: Dataset, split: Split, train: int, draw: int = 0) -> Split:
    """Return a split with fewer training images, drawn with the shares of the classes; the other parts stay.

    Args:
        dataset: The images that are split.
        split: The split.
        train: Images to train on, at least one of each class.
        draw: Which stratified draw.

    Raises:
        DataError: There are fewer training images than classes.
    """
    return replace(split, train=_draw(dataset.train_labels, split.train, train, draw)[0])


def _draw(labels: NDArray[np.int64], indices: NDArray[np.int64], size: int, draw: int) -> list[NDArray[np.int64]]:
    """Draw a stratified sample of `size` indices with at least one of each class; return it and the rest."""
    classes, counts = np.unique(labels[indices], return_counts=True)
    if size < len(classes) < len(indices):
        expected = f"a sample of at least as many images as there are classes, {len(classes)}"
        raise unexpected(expected, f"one of {size}", "Use a larger PROFILE, as full.")
    if size > len(indices) - len(classes):  # all of them, or the rest would have fewer images than classes
        return [indices, indices[:0]]
    from sklearn.model_selection import train_test_split

    alone = np.isin(labels[indices], classes[counts < 2])  # scikit-learn cannot divide classes of one image
    others = indices[~alone]
    sample, rest = train_test_split(
        others, train_size=size - alone.sum(), stratify=labels[others], random_state=SPLIT_SEED + draw
    )
    parts = [set(indices[alone].tolist()) | set(sample.tolist()), set(rest.tolist())]
    for part, other in (parts, reversed(parts)):
        _complete(labels, part, other)
    return [np.array(sorted(part), np.int64) for part in parts]


def _complete(labels: NDArray[np.int64], part: set[int], other: set[int]) -> None:
    """Give a part an image of each class that only the other part has, unless the other has just one of it.

    In return, the part gives an image of its most frequent class, so that the sizes stay. scikit-learn may put all
    images of a rare class into one part.
    """
    of_part, of_other = (Counter(labels[sorted(indices)].tolist()) for indices in (part, other))
    for label in sorted(label for label, count in of_other.items() if count > 1 and label not in of_part):
        frequent = max(of_part, key=of_part.__getitem__)
        given, taken = (
            min(index for index in indices if labels[index] == wanted)
            for indices, wanted in ((other, label), (part, frequent))
        )
        part ^= {given, taken}
        other ^= {given, taken}
        of_part[frequent] -= 1
        of_part[label] += 1
