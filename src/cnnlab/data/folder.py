"""Read and write folders of grayscale batches and CIFAR-10 archives."""

import io
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cnnlab import files
from cnnlab.data.dataset import Dataset, gray
from cnnlab.data.formats import cifar
from cnnlab.data.formats.batch import Batch
from cnnlab.data.formats.gray import read_gray
from cnnlab.data.messages import unexpected

ARCHIVE = "cifar-10-python.tar.gz"
_GRAY_FILE = re.compile(r"(train|test)_batch(\d{1,4})\.pkl")


@dataclass(frozen=True)
class DataFolder:
    """The images of a data folder.

    Attributes:
        gray: Grayscale images.
        colour: Colour images, if there is an archive.
        derived_gray: Whether the grayscale images are the luma of the colour ones.
    """

    gray: Dataset
    colour: Dataset | None
    derived_gray: bool


def load(directory: str | Path) -> DataFolder:
    """Read grayscale batches, a CIFAR-10 archive or folder, or both.

    Without batches, the grayscale images are the luma of the colour ones. Batches with whole numbers as labels take
    their class names from the archive, if there is one.

    Raises:
        DataError: There are no images, or a file is broken.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise unexpected("a data folder", f"{str(directory)!r}, which is not one", "See data/README.md.")
    has_archive = (directory / ARCHIVE).exists() or (directory / cifar.FOLDER).exists()
    has_gray = any(_GRAY_FILE.fullmatch(path.name) for path in directory.iterdir())
    if not has_archive and not has_gray:
        raise unexpected(
            f"train_batch1.pkl ... and test_batch1.pkl, or {ARCHIVE}, in {str(directory)!r}",
            "none of them",
            "`cnnlab data sample` makes a small set, `cnnlab data fetch` downloads CIFAR-10.",
        )
    colour = load_cifar10(directory) if has_archive else None
    if colour and not has_gray:
        return DataFolder(gray(colour), colour, derived_gray=True)
    batches = load_gray_batches(directory)
    if colour and batches.class_names == tuple(map(str, range(len(colour.class_names)))):
        batches = replace(batches, class_names=colour.class_names)
    return DataFolder(batches, colour, derived_gray=False)


def load_gray_batches(directory: str | Path) -> Dataset:
    """Read grayscale batches: `train_batch<N>.pkl` and `test_batch<N>.pkl`, each a pickled pandas DataFrame.

    A batch has one column per pixel, row by row, 0 to 255, and a column `label` (whole numbers or strings). The image
    side is the square root of the number of pixel columns; the classes are the sorted training labels.

    Raises:
        DataError: A batch is missing, broken or does not fit the others.
    """
    directory = Path(directory)
    paths = [_numbered_batches(directory, part) for part in ("train", "test")]
    train, test = ([read_gray(path) for path in part] for part in paths)
    _check_alike(train + test)
    train_labels, test_labels = (np.concatenate([batch.labels for batch in part]) for part in (train, test))
    classes = np.unique(train_labels)
    unknown = set(test_labels.tolist()) - set(classes.tolist())
    if unknown:
        advice = "Correct the label, or add training images of that class."
        raise unexpected(f"test labels among the {len(classes)} training classes", repr(min(unknown)), advice)
    return Dataset(
        np.concatenate([batch.images for batch in train]),
        np.searchsorted(classes, train_labels).astype(np.int64),
        np.concatenate([batch.images for batch in test]),
        np.searchsorted(classes, test_labels).astype(np.int64),
        tuple(str(name) for name in classes),
    )


def _numbered_batches(directory: Path, part: str) -> list[Path]:
    """Return the batches of "train" or "test", numbered from 1 without a gap."""
    matches = ((path, _GRAY_FILE.fullmatch(path.name)) for path in directory.glob(f"{part}_batch*.pkl"))
    paths = dict(sorted((int(match[2]), path) for path, match in matches if match))
    missing = next(number for number in range(1, len(paths) + 2) if number not in paths)
    if missing <= max(paths, default=1):
        received = ", ".join(path.name for path in paths.values()) or "no such batch"
        raise unexpected(f"{part}_batch{missing}.pkl in {str(directory)!r}", received, "Add the missing batch.")
    return list(paths.values())


def _check_alike(batches: list[Batch]) -> None:
    first = batches[0]
    for batch in batches:
        size, first_size = batch.images[0].size, first.images[0].size
        if size != first_size:
            raise unexpected(f"{first_size} pixel columns in {batch.name}, as in {first.name}", size)
        if batch.columns != first.columns:
            expected = f"the same pixel columns in the same order in {batch.name} as in {first.name}"
            raise unexpected(expected, "others", "Write all batches alike, or number the columns.")
    if len({batch.labels.dtype.kind in "iu" for batch in batches}) > 1:
        raise unexpected("labels of one kind in all batches", "strings in some, numbers in others")


def load_cifar10(path: str | Path) -> Dataset:
    """Read CIFAR-10 in the format of its home page, or your own images in that format.

    Args:
        path: The archive (`cifar-10-python.tar.gz`), the extracted folder (`cifar-10-batches-py`), or a folder that
            contains one of them.

    Returns:
        Colour images, channels last.

    Raises:
        DataError: A batch is missing or broken, or the archive is not one.
    """
    path = Path(path)
    if path.is_dir() and path.name != cifar.FOLDER:
        path = path / ARCHIVE if (path / ARCHIVE).exists() else path / cifar.FOLDER
    if not path.exists():
        raise unexpected("a CIFAR-10 archive or folder", f"{str(path)!r}, which does not exist")
    class_names, batches = cifar.read_cifar(path)
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
    for name, (images, labels) in batches.items():
        pixels = images.reshape(len(images), -1)
        columns = [f"pixel{number}" for number in range(pixels.shape[1])]
        content = io.BytesIO()
        pd.DataFrame(pixels, columns=columns).assign(label=labels).to_pickle(content)
        files.write(directory / name, content.getvalue())
    return [directory / name for name in batches]
