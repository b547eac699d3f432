"""Read grayscale batches and CIFAR-10 archives into a `Dataset`, check them, and split them.

Unpickling runs whatever a file asks for: open only files you trust.
"""

import hashlib
import math
import pickle
import re
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cnnlab.errors import ConfigError, DataError

ARCHIVE = "cifar-10-python.tar.gz"
FOLDER = "cifar-10-batches-py"
_GRAY_FILE = re.compile(r"(train|test)_batch(\d+)\.pkl")
_CIFAR_FILE = re.compile(r"(?:data_batch_(\d+)|test_batch|batches\.meta)")


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
        DataError: A class has too few images to stand in every part.
    """
    if kind not in ("stratified", "last"):
        raise ConfigError(f"Expected a split kind of stratified or last. Received: {kind!r}.")
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
    has_archive = (directory / ARCHIVE).exists() or (directory / FOLDER).exists()
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
    frames = {part: [_read_gray(path) for path in _numbered(directory, part)] for part in ("train", "test")}
    side = _side(frames["train"][0].pixels.shape[1], 1, _numbered(directory, "train")[0])
    labels = {part: np.concatenate([frame.labels for frame in frames[part]]) for part in frames}
    if len({frame.labels.dtype.kind in "iu" for part in frames for frame in frames[part]}) > 1:
        raise DataError("Expected labels of one kind in all batches. Received: strings in some, numbers in others.")
    classes = np.unique(labels["train"])
    unknown = set(labels["test"].tolist()) - set(classes.tolist())
    if unknown:
        raise DataError(
            f"Expected test labels among the {len(classes)} training classes. Received: {min(unknown)!r}. "
            "Correct the label, or add training images of that class."
        )
    for part in frames:
        for frame in frames[part]:
            if frame.pixels.shape[1] != side * side:
                raise DataError(
                    f"Expected {side * side} pixel columns in {frame.path.name}, as in the first batch. "
                    f"Received: {frame.pixels.shape[1]}."
                )
    images = {
        part: np.concatenate([frame.pixels for frame in frames[part]]).reshape(-1, side, side, 1) for part in frames
    }
    return Dataset(
        images["train"],
        np.searchsorted(classes, labels["train"]).astype(np.int64),
        images["test"],
        np.searchsorted(classes, labels["test"]).astype(np.int64),
        tuple(str(name) for name in classes),
    )


@dataclass(frozen=True)
class _Batch:
    path: Path
    pixels: NDArray[np.uint8]
    labels: NDArray[Any]


def _numbered(directory: Path, part: str) -> list[Path]:
    """Return the batches of one part in order, and insist that their numbers run from 1 without a gap."""
    found = {
        int(match[2]): path
        for path in directory.glob(f"{part}_batch*.pkl")
        if (match := _GRAY_FILE.fullmatch(path.name))
    }
    missing = sorted(set(range(1, max(found, default=1) + 1)) - set(found))
    if missing:
        raise DataError(
            f"Expected {part}_batch{missing[0]}.pkl in {str(directory)!r}. Received: "
            f"{', '.join(path.name for _, path in sorted(found.items())) or 'no such batch'}. Add the missing batch."
        )
    return [found[number] for number in sorted(found)]


def _read_gray(path: Path) -> _Batch:
    try:
        frame = pd.read_pickle(path)  # noqa: S301 - the module's docstring warns
    except Exception as error:
        raise DataError(
            f"Expected {path.name} to be a pickled pandas DataFrame. Received: a file that cannot be read "
            f"({type(error).__name__}: {str(error)[:80]}). Write it again with DataFrame.to_pickle."
        ) from error
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"Expected {path.name} to hold a DataFrame. Received: a {type(frame).__name__}.")
    if list(frame.columns).count("label") != 1 or frame.empty or len(frame.columns) < 2:
        raise DataError(
            f"Expected rows of pixels and one column named label in {path.name}. Received: {len(frame)} rows, columns "
            f"{', '.join(map(str, frame.columns[:3]))} ... {', '.join(map(str, frame.columns[-1:]))}."
        )
    labels = frame["label"]
    if labels.isna().any():
        raise DataError(f"Expected a label in every row of {path.name}. Received: {labels.isna().sum()} without one.")
    values = labels.to_numpy()
    if values.dtype.kind == "f":
        if (values % 1).any():
            raise DataError(f"Expected whole numbers or strings as labels in {path.name}. Received: {values[0]!r}.")
        values = values.astype(np.int64)
    elif values.dtype.kind not in "iu":
        values = labels.astype(str).to_numpy(dtype=np.str_)
    return _Batch(path, _pixels(frame.drop(columns="label").to_numpy(), path.name), values)


def _pixels(values: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Insist on pixels of 0 to 255 and return them as uint8."""
    if values.dtype == np.uint8:
        return values.astype(np.uint8)
    if values.dtype.kind not in "iuf":
        raise DataError(f"Expected numbers as pixels in {name}. Received: values of type {values.dtype}.")
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 255):  # written so that NaN fails too
        raise DataError(f"Expected pixels of 0 to 255 in {name}. Received: {low:g} to {high:g}. Scale them back.")
    if values.dtype.kind == "f" and high <= 1:
        raise DataError(f"Expected pixels of 0 to 255 in {name}. Received: 0 to {high:g}. Multiply them by 255.")
    rounded: NDArray[np.uint8] = np.rint(values).astype(np.uint8)
    return rounded


def _side(columns: int, channels: int, path: Path) -> int:
    side = math.isqrt(columns // channels)
    if side * side * channels != columns or side == 0:
        raise DataError(
            f"Expected square images in {path.name}: {channels} x side x side numbers a row. Received: {columns}."
        )
    return side


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
    if path.is_dir() and path.name != FOLDER:
        path = path / ARCHIVE if (path / ARCHIVE).exists() else path / FOLDER
    if not path.exists():
        raise DataError(f"Expected a CIFAR-10 archive or folder. Received: {str(path)!r}, which does not exist.")
    batches = dict(_folder_batches(path) if path.is_dir() else _archive_batches(path))
    last = max((int(name.rpartition("_")[2]) for name in batches if name.startswith("data_batch_")), default=1)
    train_names = [f"data_batch_{number}" for number in range(1, last + 1)]
    wanted = ["batches.meta", "test_batch", *train_names]
    missing = [name for name in wanted if name not in batches]
    if missing:
        raise DataError(
            f"Expected {missing[0]} in {path.name}. Received: {', '.join(sorted(batches)) or 'no batch at all'}. "
            "Fetch the archive again."
        )
    names = batches["batches.meta"].get("label_names")
    if not isinstance(names, list) or not names:
        raise DataError(f"Expected label_names in batches.meta of {path.name}. Received: {type(names).__name__}.")
    class_names = tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names)
    parts = [_cifar_batch(batches[name], name, len(class_names)) for name in [*train_names, "test_batch"]]
    if len({images.shape[1:] for images, _ in parts}) > 1:
        raise DataError(f"Expected images of one size in {path.name}. Received: several sizes.")
    return Dataset(
        np.concatenate([images for images, _ in parts[:-1]]),
        np.concatenate([labels for _, labels in parts[:-1]]),
        *parts[-1],
        class_names,
    )


def _archive_batches(path: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    try:
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                name = member.name.removeprefix("./").removeprefix(f"{FOLDER}/")
                stream = archive.extractfile(member) if _CIFAR_FILE.fullmatch(name) else None
                if stream is not None:
                    yield name, _unpickle(stream, name)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(
            f"Expected {path.name} to be a tar archive. Received: a file that cannot be read as one ({error}). "
            "Fetch it again."
        ) from error


def _folder_batches(path: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    for file in sorted(path.iterdir()):
        if _CIFAR_FILE.fullmatch(file.name):
            with file.open("rb") as stream:
                yield file.name, _unpickle(stream, file.name)


def _unpickle(stream: IO[bytes], name: str) -> dict[str, Any]:
    try:
        value = pickle.load(stream, encoding="bytes")  # noqa: S301 - the module's docstring warns
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"Expected a whole {name}. Received: one that ends early. Fetch it again.") from error
    except Exception as error:
        raise DataError(
            f"Expected {name} to be a CIFAR-10 batch. Received: a file that cannot be unpickled "
            f"({type(error).__name__}). Fetch it again."
        ) from error
    if not isinstance(value, Mapping):
        raise DataError(f"Expected {name} to hold a dictionary. Received: a {type(value).__name__}.")
    return {key.decode() if isinstance(key, bytes) else str(key): item for key, item in value.items()}


def _cifar_batch(batch: Mapping[str, Any], name: str, n_classes: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return a batch's images, (n, side, side, 3) uint8, and labels, (n,) int64."""
    data, labels = batch.get("data"), batch.get("labels")
    if not isinstance(data, np.ndarray) or data.ndim != 2 or not isinstance(labels, list | np.ndarray) or not len(data):
        raise DataError(f"Expected data (one row an image) and labels in {name}. Received: {', '.join(batch)}.")
    if len(labels) != len(data):
        raise DataError(f"Expected a label for each of {len(data)} images in {name}. Received: {len(labels)} labels.")
    try:
        numbers = np.asarray(labels, np.int64)
    except (TypeError, ValueError, OverflowError):
        numbers = np.array([-1])
    if numbers.ndim != 1 or not ((numbers >= 0) & (numbers < n_classes)).all():
        worst = next((label for label in labels if not isinstance(label, int) or not 0 <= label < n_classes), labels[0])
        raise DataError(
            f"Expected labels of 0 to {n_classes - 1} in {name}, one a class of batches.meta. Received: {worst!r}."
        )
    side = _side(data.shape[1], 3, Path(name))
    planes = _pixels(data, name).reshape(-1, 3, side, side)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), numbers


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
        scratch = directory / f".{name}.part"
        frame.to_pickle(scratch)
        scratch.replace(directory / name)
    return [directory / name for name in parts]
