"""Files of arrays: `.npz`, with the names of Keras or MedMNIST."""

import lzma
import math
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from cnnlab.data.dataset import Dataset
from cnnlab.data.finding import Finder
from cnnlab.data.formats.arrays import join_arrays
from cnnlab.data.formats.format import Format, Source
from cnnlab.data.formats.listing import few
from cnnlab.data.messages import DataWarning, quote, unexpected
from cnnlab.data.untrusted import tar

ENDING = ".npz"
MAX_BYTES = 8 << 30  # of all arrays that are read
_NAMES: Mapping[str, Sequence[tuple[str, str]]] = {
    "train": (("x_train", "y_train"), ("train_images", "train_labels"), ("images", "labels"), ("x", "y")),
    "val": (("x_val", "y_val"), ("x_valid", "y_valid"), ("val_images", "val_labels")),
    "test": (("x_test", "y_test"), ("test_images", "test_labels")),
}
"""Names of the images and labels of each part."""
_BROKEN = (
    zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, OverflowError, RuntimeError, MemoryError, KeyError,
    SyntaxError, TypeError, IndexError, lzma.LZMAError, tokenize.TokenError,
)  # fmt: skip


def _find(finder: Finder) -> Source | None:
    files = [file for file in finder.others if file.lower().endswith(ENDING)]
    known = [file for file in files if _parts(finder.path / file)]
    if len(known) > 1:
        raise unexpected(f"one .npz file in {finder.shown}", few(known), "Name the one to read, or move the other.")
    if not known and not files:
        return None
    file = (known or files)[0]
    return Source(quote(file, 100), lambda _: _read(finder, file), is_likely=bool(known))


def _parts(path: Path) -> dict[str, tuple[str, str]]:
    """Return the names of the arrays of each part."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy").lower(): name for name in archive.namelist() if name.endswith(".npy")}
    except _BROKEN:
        return {}
    found = {
        part: next(((names[x], names[y]) for x, y in pairs if x in names and y in names), None)
        for part, pairs in _NAMES.items()
    }
    return {part: pair for part, pair in found.items() if pair} if found["train"] else {}


def _read(finder: Finder, file: str) -> Dataset:
    path, shown = finder.path / file, quote(file, 100)
    try:
        with zipfile.ZipFile(path) as archive:
            parts = _parts(path)
            if not parts:
                received = few([name.removesuffix(".npy") for name in archive.namelist()]) or "none"
                expected = f"arrays x_train, y_train, x_test, y_test, or train_images, train_labels, ..., in {shown}"
                raise unexpected(expected, received, "Rename them.")
            unused = _unused(archive, parts, shown)
            members = [archive.getinfo(name) for pair in parts.values() for name in pair]
            limit = min(MAX_BYTES, tar.FREE_BYTES + tar.MAX_RATIO * path.stat().st_size)
            if sum(member.file_size for member in members) > limit:
                advice = "If it is yours, save it with numpy.savez."
                raise unexpected(f"{shown} to unpack to at most {limit:,} bytes", "one with more", advice)
            arrays = {part: (_array(archive, x, shown), _array(archive, y, shown)) for part, (x, y) in parts.items()}
    except _BROKEN as error:
        received = f"one that cannot be read ({quote(str(error) or type(error).__name__, 120)})"
        raise unexpected(f"{shown} to be a whole .npz file", received, "Write it again with numpy.savez.") from error
    return join_arrays(arrays, shown, (*finder.warnings, *unused))


def _unused(archive: zipfile.ZipFile, parts: dict[str, tuple[str, str]], shown: str) -> list[DataWarning]:
    """Name the arrays that are of no part. A part of which only images or only labels are there is an error."""
    used = {name for pair in parts.values() for name in pair}
    others = {name.removesuffix(".npy"): name for name in archive.namelist() if name not in used}
    for part, pairs in _NAMES.items():
        if half := [name for pair in pairs for name in pair if part not in parts and name in map(str.lower, others)]:
            expected = f"images and labels of each part of {shown}"
            raise unexpected(expected, f"only {few(half)} for {part}", "Add the other array, or correct its name.")
    return [DataWarning("unread-files", f"Not read: {few(list(others))} in {shown}: no known names.")] if others else []


def _array(archive: zipfile.ZipFile, name: str, shown: str) -> NDArray[Any]:
    """Read an array, after its header: no memory is taken for a size that is only declared, and no pickle is read."""
    with archive.open(name) as stream:
        version = npy.read_magic(stream)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read_header(stream)
        size, start = archive.getinfo(name).file_size, stream.tell()
    if dtype.hasobject:
        expected = f"arrays of numbers or strings in {shown}"
        raise unexpected(expected, f"objects in {quote(name)}", "Convert them, for example with astype(str).")
    if any(length < 0 for length in shape) or math.prod(shape) * dtype.itemsize != size - start:
        raise ValueError(f"the size of {name} is not that of its header")
    with archive.open(name) as stream:
        array: NDArray[Any] = npy.read_array(stream, allow_pickle=False)
    return np.asarray(array)


FORMAT = Format("arrays (.npz)", _find)
