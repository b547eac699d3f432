"""Split a dataset into train, val and test."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cnnlab.data.dataset import Dataset
from cnnlab.errors import ConfigError, DataError


@dataclass(frozen=True)
class Split:
    """Which images a run trains on, chooses by and is tested on.

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


SPLIT_SEED = 20220
"""Seed of the stratified split: a part of the protocol, so that all seeds of a trial see the same images."""


def split(dataset: Dataset, kind: str, train: int, val: int, test: int) -> Split:
    """Split a dataset's training images in two, and cut each part to at most the given number of images.

    Where there are too few images, a fifth of the training images is for validation.

    Args:
        dataset: What to split.
        kind: "stratified" keeps the classes' shares in every part; "last" validates on the last fifth of the
            training images, in the order of the files, as Keras's `validation_split` does.
        train: Most images to train on.
        val: Most images to validate on.
        test: Most images to test on.

    Raises:
        ConfigError: An unknown kind.
        DataError: There are too few images, or a class has too few to stand in every part, or there is only one.
    """
    if kind not in ("stratified", "last"):
        raise ConfigError(f"Expected a split kind of stratified or last. Received: {kind!r}.")
    n_classes = len(np.unique(dataset.train_labels))
    if n_classes < 2:
        raise DataError("Expected training images of at least two classes. Received: one. Add images of another class.")
    drawn = _split(dataset, kind, train, val, test)
    if not all(map(len, (drawn.train, drawn.val, drawn.test))):
        raise DataError(
            f"Expected enough images to train on, to validate on and to test on. Received: {len(dataset.train_labels)} "
            f"training images of {n_classes} classes and {len(dataset.test_labels)} test images. Add images."
        )
    return drawn


def _split(dataset: Dataset, kind: str, train: int, val: int, test: int) -> Split:
    available = len(dataset.train_labels)
    held_out = min(val, max(available // 5, 1))
    if kind == "last":
        border = available - available // 5
        return Split(
            np.arange(min(train, border)),
            np.arange(border, min(border + held_out, available)),
            np.arange(min(test, len(dataset.test_labels))),
        )
    val_indices, rest = _draw(dataset.train_labels, np.arange(available), held_out, dataset.class_names)
    train_indices, _ = _draw(dataset.train_labels, rest, train, dataset.class_names)
    test_indices, _ = _draw(
        dataset.test_labels, np.arange(len(dataset.test_labels)), test, dataset.class_names, whole=True
    )
    return Split(train_indices, val_indices, test_indices)


def _draw(
    labels: NDArray[np.int64], among: NDArray[np.int64], size: int, names: tuple[str, ...], *, whole: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw a stratified sample of `size` indices out of `among`; return it and the rest."""
    present = len(np.unique(labels[among]))
    if size < present < len(among):
        raise DataError(
            f"Expected a sample of at least as many images as there are classes, {present}. Received: one of {size}. "
            "Use a larger profile."
        )
    if size > len(among) - present:  # all, or too few left over for a stratified rest
        return among, among[:0]
    from sklearn.model_selection import train_test_split

    try:
        drawn, rest = train_test_split(among, train_size=size, stratify=labels[among], random_state=SPLIT_SEED)
    except ValueError as error:
        counts = np.bincount(labels[among], minlength=len(names))
        rarest = int(np.argmin(np.where(counts, counts, counts.max())))
        part = "test" if whole else "training"
        raise DataError(
            f"Expected enough {part} images of each of {len(names)} classes for a stratified sample of {size} of "
            f"{len(among)}. Received: {counts[rarest]} of class {names[rarest]!r}. Add images, or leave the class out."
        ) from error
    return np.sort(drawn), np.sort(rest)
