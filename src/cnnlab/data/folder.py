"""Read data folders, archives and files of arrays, and write grayscale batches."""

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cnnlab import files
from cnnlab.data import photos
from cnnlab.data.dataset import Dataset, gray
from cnnlab.data.finding import Finder
from cnnlab.data.formats import archive, cifar, registry
from cnnlab.data.formats import gray as frames
from cnnlab.data.formats.format import Wanted, choose, find_all
from cnnlab.data.messages import unexpected
from cnnlab.data.size import Size


@dataclass(frozen=True)
class DataFolder:
    """The images of a data folder.

    Attributes:
        gray: Grayscale images.
        colour: Colour images, if there are any.
        derived_gray: Whether the grayscale images are the luma of the colour ones.
        format: What the files are, as "folders of classes".
    """

    gray: Dataset
    colour: Dataset | None
    derived_gray: bool
    format: str = ""


def load(
    directory: str | Path,
    size: Size | None = None,
    cache: str | Path | None = None,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> DataFolder:
    """Read images in any format of `formats.registry`.

    The grayscale images are the luma of the colour ones, unless there are grayscale batches beside batches in CIFAR's
    format. Data frames with whole numbers as labels then take their class names from those.

    Args:
        directory: An archive, a file of arrays, the folder of the images, or a folder above it.
        size: Height and width to crop and resize the images to. None: their own where all are alike and at most 64,
            else 32.
        cache: Folder where decoded images are kept, so that the next call need not decode them; None for none.
        on_progress: Called with the number of files that are decoded and the number of all.

    Raises:
        DataError: There are no images, or images in several places or formats, or a file is broken.
    """
    wanted = Wanted(size, Path(cache) if cache else None, on_progress)
    if stored := archive.stored(Path(directory), wanted):
        return _folder(stored, wanted, archive.FORMAT.name)
    finder = Finder(Path(directory))
    sources = find_all(finder, registry.FORMATS)
    if set(sources) == {frames.FORMAT.name, cifar.FORMAT.name}:
        return _both(finder, wanted)
    name, source = choose(finder, sources)
    return _folder(source.read(wanted), wanted, name)


def _folder(dataset: Dataset, wanted: Wanted, name: str) -> DataFolder:
    dataset = _resized(dataset, wanted)
    if dataset.image_shape[2] == 1:
        return DataFolder(dataset, None, derived_gray=False, format=name)
    return DataFolder(gray(dataset), dataset, derived_gray=True, format=name)


def _both(finder: Finder, wanted: Wanted) -> DataFolder:
    """Read grayscale batches that are beside batches in CIFAR's format."""
    frames_place, batches = finder.place("gray"), finder.place("cifar")
    assert frames_place
    assert batches
    colour, numbers = cifar.read_place(batches, finder)
    dataset = frames.read_frames(frames_place, finder)
    if dataset.class_names == tuple(map(str, numbers)):
        dataset = replace(dataset, class_names=colour.class_names)
    if colour.image_shape[2] == 1:
        expected = f"grayscale images in one place in {finder.shown}"
        received = f"data frames in {frames_place} and grayscale CIFAR batches in {batches}"
        raise unexpected(expected, received, "Name the one to read, or remove the other.")
    name = f"{frames.FORMAT.name} and {cifar.FORMAT.name}"
    return DataFolder(_resized(dataset, wanted), _resized(colour, wanted), derived_gray=False, format=name)


def _resized(dataset: Dataset, wanted: Wanted) -> Dataset:
    """Return the images in the wanted size; files of images have it from the start."""
    if not wanted.size or dataset.image_shape[:2] == wanted.size:
        return dataset
    train, test = (photos.resize(images, wanted.size) for _, images in dataset.parts)
    return replace(dataset, train_images=train, test_images=test)


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
        raise finder.missing("train_batch1.pkl ... and test_batch1.pkl")
    return frames.read_frames(place, finder)


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
    return cifar.read_place(place, finder)[0]


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
