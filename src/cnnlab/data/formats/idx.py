"""MNIST's idx files: train-images-idx3-ubyte and so on, gzipped or not."""

import math
import re
import struct
from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnlab.data.dataset import Dataset
from cnnlab.data.finding import Finder
from cnnlab.data.formats.arrays import join_arrays
from cnnlab.data.formats.batch import read_content
from cnnlab.data.formats.format import Format, Source
from cnnlab.data.messages import quote, unexpected
from cnnlab.data.untrusted import compressed

_NAME = re.compile(
    r"(?P<prefix>(?:.*[-_])?)(?P<part>train|t10k|test|val|valid|validation)[-_.]"
    r"(?P<kind>images|labels)[-_.]idx[1-4][-_.]ubyte(?:\.gz)?",
    re.I,
)
MOST_DIMENSIONS = 4
_PARTS = {"train": "train", "t10k": "test", "test": "test"}  # others are "val"


def _find(finder: Finder) -> Source | None:
    places: dict[str, dict[tuple[str, str], list[str]]] = defaultdict(lambda: defaultdict(list))
    for file in finder.others:
        folder, _, name = file.rpartition("/")
        if match := _NAME.fullmatch(name):
            part = _PARTS.get(match["part"].lower(), "val")
            places[f"{folder}/{match['prefix']}"][part, match["kind"].lower()].append(file)
    if not places:
        return None
    if len(places) > 1:
        received = " and ".join(quote(next(iter(files.values()))[0], 100) for files in list(places.values())[:2])
        raise unexpected(
            f"idx files of one set in {finder.shown}", received, "Name the folder to read, or move one set."
        )
    [found] = places.values()
    return Source(quote(next(iter(found.values()))[0], 100), lambda _: _read(finder, found))


def _read(finder: Finder, found: dict[tuple[str, str], list[str]]) -> Dataset:
    arrays: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
    for part in dict.fromkeys(("train", *(part for part, _ in found))):
        pair = []
        for kind in ("images", "labels"):
            files = found.get((part, kind), [])
            name = f"{part}-{kind}-idx{'3' if kind == 'images' else '1'}-ubyte"
            if not files:
                received = ", ".join(file for files in found.values() for file in files)
                raise unexpected(f"{name} in {finder.shown}", received, "Add it.")
            contents = [compressed.unpack(read_content(finder.path / file), file) for file in files]
            if any(content != contents[0] for content in contents):  # the file and its gzipped copy are one
                raise unexpected(f"one {name}", " and ".join(files), "Remove one.")
            pair.append(_array(contents[0], files[0]))
        arrays[part] = pair[0], pair[1]
    return join_arrays(arrays, f"the idx files of {finder.shown}", finder.warnings)


def _array(content: bytes, file: str) -> NDArray[np.uint8]:
    """Return the numbers of a file: a header with their type and the shape, then bytes."""
    if len(content) < 4 or content[:3] != b"\0\0\x08" or len(content) < 4 + 4 * content[3]:
        expected = f"{quote(file, 100)} to be an idx file of bytes"
        raise unexpected(expected, f"one that starts with {content[:4].hex() or 'nothing'}", "Fetch it again.")
    start = 4 + 4 * content[3]
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    if not 0 < len(shape) <= MOST_DIMENSIONS or 0 in shape:
        expected = f"1 to {MOST_DIMENSIONS} dimensions without zeros in {quote(file, 100)}"
        raise unexpected(expected, f"the shape {quote(str(shape), 60)}", "Fetch it again.")
    if math.prod(shape) != len(content) - start:
        expected = f"{math.prod(shape):,} numbers in {quote(file, 100)}, as its header says"
        raise unexpected(expected, f"{len(content) - start:,}", "Fetch it again.")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


FORMAT = Format("idx files", _find)
