"""Split a dataset into train, val and test."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cnnlab.data.dataset import Dataset
from cnnlab.data.messages import unexpected
from cnnlab.errors import ConfigError

SPLIT_SEED = 20220
"""Seed of the stratified split: a part of the protocol, so that all seeds of a trial use the same images."""


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


def split(dataset: Dataset, kind: str, train: int, val: int, test: int) -> Split:
    """Split a dataset's training images in two, and limit the number of images of each part.

    If there are too few images, a fifth of the training images is for validation.

    Args:
        dataset: The images to split.
        kind: "stratified" keeps the shares of the classes in every part; "last" validates on the last fifth of the
            training images, in the order of the files, as Keras's `validation_split` does.
        train: Most images to train on.
        val: Most images to validate on.
        test: Most images to test on.

    Raises:
        ConfigError: An unknown kind.
        DataError: There are too few images, in all or of one class, or there is only one class.
    """
    if kind not in ("stratified", "last"):
        raise ConfigError(f"Expected a split kind of stratified or last. Received: {kind!r}.")
    n_train, n_test = len(dataset.train_labels), len(dataset.test_labels)
    n_classes = len(np.unique(dataset.train_labels))
    if n_classes < 2:
        raise unexpected("training images of at least two classes", "one", "Add images of another class.")
    n_val = min(val, max(n_train // 5, 1))
    if kind == "last":
        start = n_train - n_train // 5
        val_indices = np.arange(start, min(start + n_val, n_train))
        result = Split(np.arange(min(train, start)), val_indices, np.arange(min(test, n_test)))
    else:
        val_indices, rest = _draw(dataset, "training", np.arange(n_train), n_val)
        result = Split(
            _draw(dataset, "training", rest, train)[0],
            val_indices,
            _draw(dataset, "test", np.arange(n_test), test)[0],
        )
    if not all(map(len, (result.train, result.val, result.test))):
        received = f"{n_train} training images of {n_classes} classes and {n_test} test images"
        raise unexpected("enough images to train on, to validate on and to test on", received, "Add images.")
    return result


def _draw(
    dataset: Dataset, part: str, indices: NDArray[np.int64], size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw a stratified sample of `size` indices into the "training" or "test" images; return it and the rest."""
    labels = (dataset.test_labels if part == "test" else dataset.train_labels)[indices]
    n_classes = len(np.unique(labels))
    if size < n_classes < len(indices):
        expected = f"a sample of at least as many images as there are classes, {n_classes}"
        raise unexpected(expected, f"one of {size}", "Use a larger profile.")
    if size > len(indices) - n_classes:  # all, or too few left for a stratified rest
        return indices, indices[:0]
    from sklearn.model_selection import train_test_split

    try:
        sample, rest = train_test_split(indices, train_size=size, stratify=labels, random_state=SPLIT_SEED)
    except ValueError as error:
        names = dataset.class_names
        counts = np.bincount(labels, minlength=len(names))
        rarest = int(np.argmin(np.where(counts, counts, counts.max())))
        raise unexpected(
            f"enough {part} images of each of {len(names)} classes for a stratified sample of {size} of {len(indices)}",
            f"{counts[rarest]} of class {names[rarest]!r}",
            "Add images, or remove the class.",
        ) from error
    return np.sort(sample), np.sort(rest)
