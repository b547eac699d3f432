"""Image files with their labels, as the formats with a file an image list them: ordered, decoded, in parts."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from cnnlab.data import photos
from cnnlab.data.dataset import Dataset
from cnnlab.data.formats.format import Wanted
from cnnlab.data.formats.labels import check_class_names
from cnnlab.data.messages import DataWarning, quote, unexpected
from cnnlab.data.splits import hold_out

_PARTS = {"train": "train|training", "val": "val|valid|validation|dev", "test": "test|testing|eval|evaluation|holdout"}
_OTHER_WORDS = r"(?:[ _-]?(?:set|data|dataset|images?|imgs?|split|part))?"
"""What may follow the name of a part, as in training_set."""
_IS_PART = {
    part: re.compile(rf"(?:(?:{names}){_OTHER_WORDS}|(?:images?|data)[ _-](?:{names}))", re.I)
    for part, names in _PARTS.items()
}
_NAMED = 3


@dataclass(frozen=True)
class Picture:
    """An image file.

    Attributes:
        file: Its path, relative to the folder that is read.
        label: The name of its class.
        part: "train", "val" or "test".
        group: What it must stay together with, such as a patient; "" for nothing.
    """

    file: str
    label: str
    part: str = "train"
    group: str = ""


def part_of(name: str) -> str | None:
    """Return the part that a folder, a table or a word names: "train", "val" or "test"; None for another name."""
    return next((part for part, pattern in _IS_PART.items() if pattern.fullmatch(name)), None)


def few(names: Sequence[str]) -> str:
    """Return the first of some names, in quotes, and how many follow."""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(quote(name, 100) for name in names[:_NAMED]) + more


def read_pictures(
    pictures: Sequence[Picture], folder: Path, shown: str, warnings: Sequence[DataWarning], wanted: Wanted
) -> Dataset:
    """Decode image files and return them in their parts.

    Within a part, the images are in the order of the names of their files, if each has its own, else of their paths.
    Without test images, a fifth is held out.

    Args:
        pictures: The files.
        folder: Where they are.
        shown: What messages call that.
        warnings: What listing them has shown.
        wanted: How they are read.

    Raises:
        DataError: There are fewer than two classes, classes without training images, or groups in two parts.
    """
    names = _class_names(pictures, shown)
    _check_groups(pictures)
    is_held_out = not any(picture.part == "test" for picture in pictures)
    train = _ordered(pictures, "train")
    if is_held_out:
        train, test = _hold_out(train, names, has_val=any(picture.part == "val" for picture in pictures))
    else:
        test = _ordered(pictures, "test")
    every = [*train, *_ordered(pictures, "val"), *test]
    imported = photos.import_images(
        [folder / picture.file for picture in every], wanted.size, wanted.cache, wanted.on_progress
    )
    kept = [every[index] for index in imported.kept]
    n_train = sum(picture.part != "test" for picture in kept)
    labels = np.array([names.index(picture.label) for picture in kept], np.int64)
    _check_kept(kept, names, every, shown)
    val = [index for index, picture in enumerate(kept) if picture.part == "val"]
    files = tuple(picture.file for picture in kept)
    return Dataset(
        imported.images[:n_train],  # no copies: the images are in the order of the parts
        labels[:n_train],
        imported.images[n_train:],
        labels[n_train:],
        names,
        (*warnings, *imported.warnings),
        np.array(val, np.int64) if val else None,
        _group_numbers(kept[:n_train]),
        is_held_out,
        files[:n_train],
        files[n_train:],
    )


def class_order(names: set[str]) -> list[str]:
    """Return names of classes in their order: as numbers if all are, else as texts."""
    are_numbers = all(re.fullmatch(r"-?[0-9]{1,15}", name) for name in names)
    return sorted(names, key=lambda name: (int(name) if are_numbers else 0, name))


def _class_names(pictures: Sequence[Picture], shown: str) -> tuple[str, ...]:
    names = check_class_names(class_order({one.label for one in pictures if one.part == "train"}), shown)
    if len(names) < 2:
        received = f"one, {names[0]!r}" if names else "none"
        raise unexpected(f"training images of at least two classes in {shown}", received, "Add another class.")
    for part in ("val", "test"):
        unknown = sorted({one.label for one in pictures if one.part == part} - set(names))
        if unknown:
            expected = f"{part} labels among the {len(names)} training classes"
            raise unexpected(expected, few(unknown), "Correct the label, or add training images of that class.")
    return names


def _check_groups(pictures: Sequence[Picture]) -> None:
    first: dict[str, str] = {}
    for picture in pictures:
        part = first.setdefault(picture.group, picture.part)
        if picture.group and part != picture.part:
            received = f"{quote(picture.group, 100)} in {part} and in {picture.part}"
            raise unexpected("all images of a group in one part", received, "Move its images into one part.")


def _ordered(pictures: Sequence[Picture], part: str) -> list[Picture]:
    chosen = [picture for picture in pictures if picture.part == part]
    names = {PurePosixPath(picture.file).name for picture in chosen}
    if len(names) == len(chosen):
        return sorted(chosen, key=lambda picture: PurePosixPath(picture.file).name)
    return sorted(chosen, key=lambda picture: picture.file)


def _hold_out(pictures: list[Picture], names: tuple[str, ...], *, has_val: bool) -> tuple[list[Picture], list[Picture]]:
    """Return the images without those that are held out to test on, and these."""
    labels = np.array([names.index(picture.label) for picture in pictures])
    groups = _group_numbers(pictures)
    counts = np.bincount(labels)
    least = 2 if has_val or groups is not None else 3
    if counts.min() < least and groups is None:
        expected = f"at least {least} images of each class where there is no test part"
        received = f"{counts.min()} of class {names[int(counts.argmin())]!r}"
        raise unexpected(expected, received, "Add images, or remove the class.")
    held, rest = hold_out(labels, groups)
    return [pictures[index] for index in rest], [replace(pictures[index], part="test") for index in held]


def _check_kept(kept: Sequence[Picture], names: tuple[str, ...], every: Sequence[Picture], shown: str) -> None:
    counts = Counter(picture.label for picture in kept if picture.part == "train")
    missing = [name for name in names if not counts[name]]
    if missing:
        received = f"none of class {few(missing)}"
        raise unexpected(f"training images of each class that can be read in {shown}", received, "Replace the files.")
    for part, called in (("val", "validation"), ("test", "test")):
        if any(picture.part == part for picture in every) and not any(picture.part == part for picture in kept):
            raise unexpected(f"{called} images that can be read in {shown}", "none", "Replace the files.")


def _group_numbers(pictures: Sequence[Picture]) -> NDArray[np.int64] | None:
    """Return the number of each image's group; an image without one is its own group. None if none has one."""
    if not any(picture.group for picture in pictures):
        return None
    numbers: dict[object, int] = {}
    keys = [picture.group or index for index, picture in enumerate(pictures)]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
