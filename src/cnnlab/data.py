"""Read grayscale batches and CIFAR-10 archives into a `Dataset`, check them, and split them."""

import hashlib
import io
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cnnlab import files, formats
from cnnlab.errors import ConfigError, DataError

ARCHIVE = "cifar-10-python.tar.gz"
_GRAY_FILE = re.compile(r"(train|test)_batch(\d{1,4})\.pkl")


@dataclass(frozen=True)
class Dataset:
    """Images with their labels, as they came: nothing scaled, nothing left out.

    Attributes:
        train_images: (n, h, w, c) uint8, 0 to 255; c is 1 (gray) or 3 (red, green, blue).
        train_labels: (n,) int64, 0 to `len(class_names) - 1`.
        test_images: (m, h, w, c) uint8.
        test_labels: (m,) int64.
        class_names: Name of each class, in the order of the labels.
    """

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    class_names: tuple[str, ...]

    @cached_property
    def digest(self) -> str:
        """SHA-256 (64 hex digits) of shapes, pixels, labels and class names."""
        sha = hashlib.sha256(repr(self.class_names).encode())
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            sha.update(repr(array.shape).encode())
            sha.update(np.ascontiguousarray(array).data)
        return sha.hexdigest()

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        height, width, channels = self.train_images.shape[1:]
        return height, width, channels


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


def lay_out(images: NDArray[np.uint8], layout: str) -> NDArray[np.uint8]:
    """Return images (n, h, w, c) as a network sees them: as they are, or "published", scrambled like the study's."""
    return images.transpose(0, 3, 1, 2).reshape(images.shape) if layout == "published" else images


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


def luma(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn colour images (n, h, w, 3) into grayscale ones (n, h, w, 1), both uint8 (ITU-R BT.601 luma)."""
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    gray: NDArray[np.float32] = np.rint(images.astype(np.float32) @ weights)
    return gray[..., None].clip(0, 255).astype(np.uint8)


def gray(dataset: Dataset) -> Dataset:
    """Return a colour dataset's grayscale twin."""
    return Dataset(
        luma(dataset.train_images),
        dataset.train_labels,
        luma(dataset.test_images),
        dataset.test_labels,
        dataset.class_names,
    )


@dataclass(frozen=True)
class DataFolder:
    """What a data folder offers: grayscale images always, colour ones (Part B) where there is an archive."""

    gray: Dataset
    colour: Dataset | None
    derived_gray: bool


def load(directory: str | Path) -> DataFolder:
    """Read whatever a data folder holds: grayscale batches, a CIFAR-10 archive or folder, or both.

    With only the archive, the grayscale images are its luma. Whole-number labels of grayscale batches take their
    names from the archive, if one lies beside them.

    Raises:
        DataError: Nothing usable is there, or a file is broken.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise DataError(f"Expected a data folder. Received: {str(directory)!r}, which is not one. See data/README.md.")
    has_archive = (directory / ARCHIVE).exists() or (directory / formats.FOLDER).exists()
    has_gray = any(_GRAY_FILE.fullmatch(path.name) for path in directory.iterdir())
    if not has_archive and not has_gray:
        raise DataError(
            f"Expected train_batch1.pkl ... and test_batch1.pkl, or {ARCHIVE}, in {str(directory)!r}. Received: none "
            "of them. `cnnlab data sample` makes a small set, `cnnlab data fetch` downloads CIFAR-10."
        )
    colour = load_cifar10(directory) if has_archive else None
    if not has_gray:
        assert colour is not None
        return DataFolder(gray(colour), colour, derived_gray=True)
    batches = load_gray_batches(directory)
    if colour is not None and batches.class_names == tuple(str(i) for i in range(len(colour.class_names))):
        batches = Dataset(
            batches.train_images,
            batches.train_labels,
            batches.test_images,
            batches.test_labels,
            colour.class_names,
        )
    return DataFolder(batches, colour, derived_gray=False)


def load_gray_batches(directory: str | Path) -> Dataset:
    """Read grayscale batches: `train_batch<N>.pkl` and `test_batch<N>.pkl`, each a pickled pandas DataFrame.

    A batch has one column a pixel, row by row, 0 to 255, and a column `label` (whole numbers or strings). The image
    side is the square root of the number of pixel columns; the classes are the sorted training labels.

    Raises:
        DataError: A batch is missing, broken or does not fit the others.
    """
    directory = Path(directory)
    paths = {part: _numbered(directory, part) for part in ("train", "test")}
    parts = {part: [formats.read_gray(path) for path in of] for part, of in paths.items()}
    batches = [batch for of in parts.values() for batch in of]
    first = batches[0]
    for batch in batches:
        if batch.images.shape[1:] != first.images.shape[1:]:
            raise DataError(
                f"Expected {first.images[0].size} pixel columns in {batch.name}, as in {first.name}. "
                f"Received: {batch.images[0].size}."
            )
        if batch.columns != first.columns:
            raise DataError(
                f"Expected the same pixel columns in the same order in {batch.name} as in {first.name}. Received: "
                "others. Write all batches alike, or number the columns."
            )
    if len({batch.labels.dtype.kind in "iu" for batch in batches}) > 1:
        raise DataError("Expected labels of one kind in all batches. Received: strings in some, numbers in others.")
    labels = {part: np.concatenate([batch.labels for batch in of]) for part, of in parts.items()}
    classes = np.unique(labels["train"])
    unknown = set(labels["test"].tolist()) - set(classes.tolist())
    if unknown:
        raise DataError(
            f"Expected test labels among the {len(classes)} training classes. Received: {min(unknown)!r}. "
            "Correct the label, or add training images of that class."
        )
    images = {part: np.concatenate([batch.images for batch in of]) for part, of in parts.items()}
    return Dataset(
        images["train"],
        np.searchsorted(classes, labels["train"]).astype(np.int64),
        images["test"],
        np.searchsorted(classes, labels["test"]).astype(np.int64),
        tuple(str(name) for name in classes),
    )


def _numbered(directory: Path, part: str) -> list[Path]:
    """Return the batches of one part in order, and insist that their numbers run from 1 without a gap."""
    found = {
        int(match[2]): path
        for path in directory.glob(f"{part}_batch*.pkl")
        if (match := _GRAY_FILE.fullmatch(path.name))
    }
    missing = next((number for number in range(1, len(found) + 2) if number not in found), 0)
    if missing <= max(found, default=1):
        raise DataError(
            f"Expected {part}_batch{missing}.pkl in {str(directory)!r}. Received: "
            f"{', '.join(path.name for _, path in sorted(found.items())) or 'no such batch'}. Add the missing batch."
        )
    return [found[number] for number in sorted(found)]


def load_cifar10(path: str | Path) -> Dataset:
    """Read CIFAR-10 as its home page gives it, or images of your own in that format.

    Args:
        path: The archive (`cifar-10-python.tar.gz`), the extracted folder (`cifar-10-batches-py`), or a folder that
            holds one of them.

    Returns:
        Colour images, channels last: a row of a batch holds all reds, then all greens, then all blues.

    Raises:
        DataError: A batch is missing or broken, or the archive is not one.
    """
    path = Path(path)
    if path.is_dir() and path.name != formats.FOLDER:
        path = path / ARCHIVE if (path / ARCHIVE).exists() else path / formats.FOLDER
    if not path.exists():
        raise DataError(f"Expected a CIFAR-10 archive or folder. Received: {str(path)!r}, which does not exist.")
    class_names, batches = formats.read_cifar(path)
    *train, test = batches.values()
    return Dataset(
        np.concatenate([batch.images for batch in train]),
        np.concatenate([batch.labels for batch in train]),
        test.images,
        test.labels,
        class_names,
    )


def write_gray_batches(dataset: Dataset, directory: str | Path, n_batches: int = 5) -> list[Path]:
    """Write grayscale images as `train_batch1.pkl` ... and `test_batch1.pkl`; return their paths.

    Args:
        dataset: Grayscale images (one channel).
        directory: Where to; made if missing.
        n_batches: Number of training batches.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    pieces = np.array_split(np.arange(len(dataset.train_labels)), n_batches)
    parts = {
        f"train_batch{number}.pkl": (dataset.train_images[rows], dataset.train_labels[rows])
        for number, rows in enumerate(pieces, 1)
    }
    parts["test_batch1.pkl"] = dataset.test_images, dataset.test_labels
    for name, (images, labels) in parts.items():
        flat = images.reshape(len(images), -1)
        frame = pd.DataFrame(flat, columns=[f"pixel{i}" for i in range(flat.shape[1])]).assign(label=labels)
        content = io.BytesIO()
        frame.to_pickle(content)
        files.write(directory / name, content.getvalue())
    return [directory / name for name in parts]
