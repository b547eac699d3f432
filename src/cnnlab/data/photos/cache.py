"""Decoded images, kept in a folder by the content of their files.

An entry is one `.npz` file, written atomically, whose parts have checksums. It is a copy of what can be made again: an
entry that is damaged, or of another version, is ignored.
"""

import hashlib
import math
import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
from numpy.lib import format as npy
from numpy.typing import NDArray

from cnnlab import files
from cnnlab.data.photos.children import About, Photo
from cnnlab.data.size import Size

KEPT = 4
"""Entries of a folder, the newest or last used ones."""
_PATTERN = "photos-*.npz"
_VERSION = f"1, Pillow {PIL.__version__}"
"""What determines the pixels, apart from the file and the size. Raise the number when `decoding.py` changes them."""


@dataclass(frozen=True)
class Entry:
    """What an entry holds, without its pixels.

    Attributes:
        path: Its file.
        size: Height and width of its images.
        abouts: What is known of each of them.
    """

    path: Path
    size: Size
    abouts: tuple[About, ...]

    @classmethod
    def read(cls, path: Path) -> "Entry":
        """Read all but the pixels; raise an exception of any kind if that is not possible."""
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as parts:
            if str(parts["version"]) != _VERSION:
                raise ValueError("another version")
            digests = [row.tobytes() for row in parts["digests"]]
            own = [(height, width) for height, width in parts["own"].tolist()]
            columns = zip(digests, own, parts["has_gray_mode"].tolist(), parts["is_gray"].tolist(), strict=True)
            return cls(path, Size(*parts["size"].tolist()), tuple(About(*row) for row in columns))

    def photos(self) -> Iterator[Photo]:
        """Yield its images; raise an exception of any kind if it is damaged, perhaps after the last one."""
        with zipfile.ZipFile(self.path) as archive, archive.open("images.npy") as stream:
            npy.read_magic(stream)
            shape, _, _ = npy.read_array_header_1_0(stream)
            if shape[:3] != (len(self.abouts), *self.size):
                raise ValueError("other shapes")
            for about in self.abouts:
                pixels = np.frombuffer(stream.read(math.prod(shape[1:])), np.uint8).reshape(shape[1:])
                yield Photo(about, pixels[..., :1] if about.is_gray else pixels)


def entries(folder: Path) -> list[Entry]:
    """Return the entries of a folder that can be read, the newest first."""
    found = []
    for path in _newest(folder):
        with suppress(Exception):  # damaged, or of another version
            found.append(Entry.read(path))
    return found


def write(folder: Path, images: NDArray[np.uint8], abouts: Sequence[About]) -> None:
    """Write an entry, and remove the oldest ones.

    Args:
        folder: The folder; made if missing.
        images: (n, h, w, c) uint8.
        abouts: What is known of each.

    Raises:
        OSError: It cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files.remove_stale_files(folder)
    digests = np.frombuffer(b"".join(about.digest for about in abouts), np.uint8).reshape(-1, 32)
    name = hashlib.sha256(repr((_VERSION, images.shape)).encode() + digests.tobytes()).hexdigest()[:16]
    with files.writing(folder / f"photos-{name}.npz") as stream:
        np.savez(
            stream,
            version=np.array(_VERSION),
            size=np.array(images.shape[1:3]),
            digests=digests,
            own=np.array([about.own for about in abouts], np.int64).reshape(-1, 2),
            has_gray_mode=np.array([about.has_gray_mode for about in abouts], np.bool_),
            is_gray=np.array([about.is_gray for about in abouts], np.bool_),
            images=images,
        )
    remove_oldest(folder, _PATTERN)


def remove_oldest(folder: Path, pattern: str) -> None:
    """Remove the files of a name that were not used for longest, so that `KEPT` stay."""
    for old in _newest(folder, pattern)[KEPT:]:
        with suppress(OSError):  # another process may read it
            old.unlink()


def touch(path: Path) -> None:
    """Note that a file was used."""
    with suppress(OSError):
        os.utime(path)


def _newest(folder: Path, pattern: str = _PATTERN) -> list[Path]:
    with suppress(OSError):  # another process may remove one at the same time
        return sorted(folder.glob(pattern), key=lambda path: -path.stat().st_mtime_ns)
    return []
