"""Read and write folders of grayscale batches and CIFAR-10 archives."""

import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cnnlab import files
from cnnlab.data.dataset import Dataset, gray
from cnnlab.data.formats import cifar
from cnnlab.data.formats.gray import read_gray
from cnnlab.errors import DataError

ARCHIVE = "cifar-10-python.tar.gz"


_GRAY_FILE = re.compile(r"(train|test)_batch(\d{1,4})\.pkl")


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
    has_archive = (directory / ARCHIVE).exists() or (directory / cifar.FOLDER).exists()
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
    parts = {part: [read_gray(path) for path in of] for part, of in paths.items()}
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
    if path.is_dir() and path.name != cifar.FOLDER:
        path = path / ARCHIVE if (path / ARCHIVE).exists() else path / cifar.FOLDER
    if not path.exists():
        raise DataError(f"Expected a CIFAR-10 archive or folder. Received: {str(path)!r}, which does not exist.")
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
