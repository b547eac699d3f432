"""Unpack the images of untrusted zip and tar archives into a folder: names, sizes and numbers are bounded."""

import lzma
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from cnnlab import files
from cnnlab.data.messages import quote, unexpected
from cnnlab.data.untrusted import tar

MAX_MEMBER = 256 << 20  # bytes of the largest image or table
MAX_FILES = 1_000_000
_ADVICE = "Pack it again, or extract it."
_BROKEN = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, OverflowError, RuntimeError,
    MemoryError,
)  # fmt: skip
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
"""How a zip starts. Python looks at its end only, which is that of a tar whose last file is a zip."""


def is_zip(path: Path) -> bool:
    """Return whether a regular file is a zip archive."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            return stream.read(4) in _ZIP and zipfile.is_zipfile(path)
    except OSError:
        return False


def zip_names(path: Path) -> list[str]:
    """Return the names of the files of a zip archive.

    Raises:
        DataError: It is broken.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return [member.filename for member in archive.infolist() if not member.is_dir()]
    except _BROKEN as error:
        raise _broken(path, error) from error


def unpack(path: Path, folder: Path, is_wanted: Callable[[str], bool]) -> None:
    """Write the wanted files of a zip or tar archive into a folder, under their own paths.

    Args:
        path: The archive.
        folder: An empty folder.
        is_wanted: Whether the file of a whole name is wanted.

    Raises:
        DataError: The archive is broken or larger than valid ones, or a wanted file would be outside the folder, is a
            link, or occurs twice; or the disk is full.
    """

    def safe(name: str) -> str:
        return _safe(path, name)

    pairs = _zip_members(path, is_wanted) if is_zip(path) else tar.chosen(path, is_wanted, safe, MAX_MEMBER, _ADVICE)
    for n_files, (name, content) in enumerate(pairs, 1):
        target = folder / name
        if n_files > MAX_FILES:
            raise unexpected(f"at most {MAX_FILES:,} files in {quote(path.name, 100)}", "more", "Remove some.")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as stream:
                stream.write(content)
        except OSError as error:
            raise unexpected(f"to unpack {quote(name, 100)}", error.strerror, files.advice(error)) from error


def _zip_members(path: Path, is_wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    shown, seen = quote(path.name, 100), set()
    try:
        with zipfile.ZipFile(path) as archive:
            members = [item for item in archive.infolist() if not item.is_dir() and is_wanted(item.filename)]
            limit = min(tar.MAX_BYTES, tar.FREE_BYTES + tar.MAX_RATIO * path.stat().st_size)
            if sum(member.file_size for member in members) > limit:
                raise unexpected(f"{shown} to unpack to at most {limit:,} bytes", "one with more", _ADVICE)
            for member in members:
                name = _safe(path, member.filename)
                subject = f"{quote(name, 100)} in {shown}"
                if stat.S_ISLNK(member.external_attr >> 16):
                    raise unexpected(f"{subject} to be a regular file", "a symbolic link", _ADVICE)
                if member.file_size > MAX_MEMBER:
                    expected = f"{subject} to have at most {MAX_MEMBER:,} bytes"
                    raise unexpected(expected, f"{member.file_size:,}", "Remove it.")
                if name in seen:
                    raise unexpected(f"{subject} once", "it twice", _ADVICE)
                if member.flag_bits & 1:
                    raise unexpected(f"{shown} without a password", "one with a password", "Extract it.")
                seen.add(name)
                with archive.open(member) as stream:  # reads no more than the size that was compared
                    content = stream.read(member.file_size + 1)
                yield name, content
    except _BROKEN as error:
        raise _broken(path, error) from error


def _safe(path: Path, name: str) -> str:
    """Return the path of a member, relative to the folder that it is unpacked into."""
    parts = PurePosixPath(name).parts
    is_outside = not parts or name.startswith("/") or ".." in parts or ":" in parts[0]
    if is_outside or "\\" in name or "\0" in name or len(name) > 1_000:
        expected = f"files inside the archive's own folder in {quote(path.name, 100)}"
        raise unexpected(expected, quote(name, 100), "Do not trust it, or pack it again.")
    return "/".join(parts)


def _broken(path: Path, error: BaseException) -> Exception:
    system = error.strerror if isinstance(error, OSError) else None
    received = f"one that cannot be read ({system or quote(str(error) or type(error).__name__, 120)})"
    return unexpected(f"{quote(path.name, 100)} to be a whole zip archive", received, _ADVICE)
