"""Read data folders and archives, and write grayscale batches."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cnnlab import files
from cnnlab.data.dataset import Dataset, gray
from cnnlab.data.finding import ARCHIVE, Finder, Place
from cnnlab.data.formats import cifar
from cnnlab.data.formats.batch import Batch
from cnnlab.data.formats.gray import read_gray
from cnnlab.data.formats.labels import check_class_names, decode
from cnnlab.data.messages import DataWarning, unexpected
from cnnlab.data.size import Size

_GRAY = "train_batch1.pkl ... and test_batch1.pkl"


@dataclass(frozen=True)
class DataFolder:
    """The images of a data folder.

    Attributes:
        gray: Grayscale images.
        colour: Colour images, if there are any.
        derived_gray: Whether the grayscale images are the luma of the colour ones.
    """

    gray: Dataset
    colour: Dataset | None
    derived_gray: bool


def load(
    directory: str | Path,
    size: Size | None = None,
    cache: str | Path | None = None,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> DataFolder:
    """Read grayscale batches, batches in the format of CIFAR-10 or CIFAR-100, or both.

    Without data frames, the grayscale images are the luma of the colour ones. Data frames with whole numbers as labels
    take their class names from the archive, if there is one.

    Args:
        directory: An archive, the folder of batches, or a folder above it.
        size: Height and width to crop and resize the images to. None: their own where all are alike and at most 64,
            else 32.
        cache: Folder where resized images are kept, so that the next call need not decode them; None for none.
        on_progress: Called with the number of files that are decoded and the number of all.

    Raises:
        DataError: There are no images, or two places with images of one kind, or a file is broken.
    """
    finder = Finder(Path(directory))
    frames, batches = finder.place("gray"), finder.place("cifar")
    if not frames and not batches:
        raise finder.missing(f"{_GRAY}, or {ARCHIVE}")
    colour, numbers = _read_cifar(batches, finder) if batches else (None, [])
    if colour and not frames:
        is_gray = colour.image_shape[2] == 1
        return DataFolder(colour if is_gray else gray(colour), None if is_gray else colour, derived_gray=not is_gray)
    assert frames
    dataset = _read_frames(frames, finder)
    if colour and dataset.class_names == tuple(map(str, numbers)):
        dataset = replace(dataset, class_names=colour.class_names)
    if colour and colour.image_shape[2] == 1:
        expected = f"grayscale images in one place in {str(directory)!r}"
        received = f"data frames in {frames} and grayscale CIFAR batches in {batches}"
        raise unexpected(expected, received, "Name the one to read, or remove the other.")
    return DataFolder(dataset, colour, derived_gray=False)


def load_gray_batches(directory: str | Path) -> Dataset:
    """Read grayscale batches: `train_batch<N>.pkl` and `test_batch<N>.pkl`, each a pickled pandas DataFrame.

    A batch has one column per pixel, row by row, 0 to 255, and a column `label` (whole numbers or strings). The names
    of the columns give height and width; otherwise images are square. The classes are the sorted training labels.

    Args:
        directory: The folder of batches, a folder above it, or an archive of it.

    Raises:
        DataError: A batch is missing, broken or does not fit the others.
    """
    finder = Finder(Path(directory))
    place = finder.place("gray")
    if not place:
        raise finder.missing(_GRAY)
    return _read_frames(place, finder)


def load_cifar10(path: str | Path) -> Dataset:
    """Read CIFAR-10 or CIFAR-100 in the format of their home page, or your own images in that format.

    Args:
        path: The archive (`cifar-10-python.tar.gz`), the extracted folder (`cifar-10-batches-py`), or a folder above
            one of them.

    Returns:
        Images, channels last: colour, or grayscale if the batches are.

    Raises:
        DataError: A batch is missing or broken, or the archive is not one.
    """
    finder = Finder(Path(path))
    place = finder.place("cifar")
    if not place:
        raise finder.missing("a CIFAR archive or folder")
    return _read_cifar(place, finder)[0]


def _read_frames(place: Place, finder: Finder) -> Dataset:
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
    return _join(train, test, labels, classes, class_names, finder.warnings)


def _read_cifar(place: Place, finder: Finder) -> tuple[Dataset, list[int]]:
    """Return the images, and the numbers that the files give to its classes."""
    train_names, test_names = place.names("train"), place.names("test")
    meta = [name for name, _, part in place.files if part == "meta"]
    if len(meta) > 1:
        raise unexpected(f"one file with class names in {place}", " and ".join(meta), "Remove one.")
    if not meta and place.is_official:
        raise unexpected(f"batches.meta in {place}", ", ".join(train_names + test_names), "Fetch the archive again.")
    contents = place.contents(meta + train_names + test_names)
    names = cifar.read_names(next(contents), meta[0], place.advice) if meta else None
    pairs = zip(train_names + test_names, contents, strict=True)
    read = [cifar.read_cifar(content, name, place.advice, names) for name, content in pairs]
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
    return _join(train, test, labels, classes, used, warnings, class_names or ()), numbers


def _unused(names: list[str], n_names: int) -> list[DataWarning]:
    if not names:
        return []
    shown = ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    text = f"{len(names)} of {n_names} class names have no image and were removed: {shown}. Add images, or ignore this."
    return [DataWarning("unused-classes", text)]


def _join(
    train: Sequence[Batch],
    test: Sequence[Batch],
    labels: Sequence[NDArray[Any]],
    classes: NDArray[Any],
    class_names: tuple[str, ...],
    warnings: tuple[DataWarning, ...],
    all_names: tuple[str, ...] = (),
) -> Dataset:
    """Join batches; the labels become the places of the classes among `classes`."""
    unknown = set(labels[1].tolist()) - set(classes.tolist())
    if unknown:
        first = min(unknown)
        name = f"{first} ({all_names[first]!r})" if all_names else repr(first)
        advice = "Correct the label, or add training images of that class."
        raise unexpected(f"test labels among the {len(classes)} training classes", name, advice)
    return Dataset(
        np.concatenate([batch.images for batch in train]),
        np.searchsorted(classes, labels[0]).astype(np.int64),
        np.concatenate([batch.images for batch in test]),
        np.searchsorted(classes, labels[1]).astype(np.int64),
        class_names,
        warnings,
    )


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


def write_gray_batches(dataset: Dataset, directory: str | Path, n_batches: int = 5) -> list[Path]:
    """Write grayscale images as `train_batch1.pkl` ... and `test_batch1.pkl`; return their paths.

    Columns of pixels are named by their number; where images are not square, by row and column, as "r3c7", from which
    `load_gray_batches` reads height and width.

    Args:
        dataset: Grayscale images (one channel).
        directory: The folder; made if missing.
        n_batches: Number of training batches.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    batches = {
        f"train_batch{number}.pkl": (dataset.train_images[rows], dataset.train_labels[rows])
        for number, rows in enumerate(np.array_split(np.arange(len(dataset.train_labels)), n_batches), 1)
    }
    batches["test_batch1.pkl"] = dataset.test_images, dataset.test_labels
    height, width, _ = dataset.image_shape
    columns = [f"pixel{number}" for number in range(height * width)]
    if height != width:
        columns = [f"r{row}c{column}" for row in range(height) for column in range(width)]
    for name, (images, labels) in batches.items():
        content = io.BytesIO()
        pd.DataFrame(images.reshape(len(images), -1), columns=columns).assign(label=labels).to_pickle(content)
        files.write(directory / name, content.getvalue())
    return [directory / name for name in batches]
