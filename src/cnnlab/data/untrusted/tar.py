"""Read untrusted tar archives: nothing is written to disk, and time and memory are bounded.

Only `tarfile`'s parser of a single header is used. Its reader of archives, in Python 3.11 and 3.12, loads extended
headers of any length and parses them in quadratic time (CVE-2024-6232), loops on negative sizes (CVE-2025-8194), and
takes a broken header for the end of the archive.
"""

import bz2
import gzip
import io
import os
import re
import stat
import struct
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from cnnlab.data.messages import quote, unexpected
from cnnlab.errors import DataError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_MEMBER = 2 << 30  # bytes of the largest file that is read
MAX_BYTES = 8 << 30  # bytes of the largest archive, unpacked
MAX_RATIO = 100  # bytes that a byte may unpack to, beyond FREE_BYTES; a photograph hardly shrinks, a bomb to 1/1000
FREE_BYTES = 64 << 20  # bytes that any archive may unpack to: a few blank images shrink as much as a bomb
MAX_HEADERS = 10_000  # headers of an archive, extended ones included, or more in a large one
HEADER_BYTES = 300  # packed bytes of an archive for each header beyond that; a photo takes more
MAX_OVERHEAD = 4 << 20  # bytes that belong to no file: all extended headers, and the padding at the end
SECONDS = 300  # for reading an archive, without the time that the caller takes between two files
REFETCH = "Fetch it again."
_CHUNK = 1 << 20
_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_EXTENDED = (*_PAX, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE)
_EMPTY = {  # members without content, whatever size their header gives
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.DIRTYPE: "a folder",
    tarfile.FIFOTYPE: "a pipe",
}
_PAX_LENGTH = re.compile(rb"[0-9]{1,8} ")
_BROKEN = (tarfile.TarError, zlib.error, OSError, EOFError, ValueError, OverflowError, struct.error, MemoryError)


def members(path: Path, wanted: re.Pattern[str], advice: str = REFETCH) -> Iterator[tuple[str, bytes]]:
    """Yield the wanted files of a tar archive, in its order; others are skipped.

    Whether the archive is whole is known only after the last one.

    Args:
        path: A .tar, .tar.gz or .tar.bz2; its content tells which, not its name.
        wanted: Matches the whole name of a wanted file, folders included.
        advice: What to do if the archive is broken.

    Yields:
        The last part of a file's name, and its content.

    Raises:
        DataError: The archive is broken or larger than valid ones, or a wanted file occurs twice or is not regular.
    """
    return _read(
        path, lambda name: wanted.fullmatch(name) is not None, advice, lambda name: name.rpartition("/")[2], MAX_MEMBER
    )


def chosen(
    path: Path, is_wanted: Callable[[str], bool], name_of: Callable[[str], str], most: int, advice: str
) -> Iterator[tuple[str, bytes]]:
    """Yield the wanted files of a tar archive, in its order, as `members` does.

    Args:
        path: As in `members`.
        is_wanted: Whether the file of a whole name is wanted.
        name_of: Returns what a wanted file is called; it may raise an error.
        most: Bytes of the largest file that is read.
        advice: What to do if the archive is broken.

    Yields:
        What a file is called, and its content.

    Raises:
        DataError: As in `members`.
    """
    return _read(path, is_wanted, advice, name_of, most)


def names(path: Path, advice: str = REFETCH) -> list[str]:
    """Return the name of every member of a tar archive, folders included.

    Raises:
        DataError: The archive is broken or larger than valid ones.
    """
    found: list[str] = []

    def add(name: str) -> bool:
        found.append(name)
        return False

    for _ in _read(path, add, advice, str, MAX_MEMBER):
        pass
    return found


def is_tar(path: Path) -> bool:
    """Return whether a regular file starts as a tar archive does, compressed or not."""
    try:
        with _TimedFile(path) as file, io.BufferedReader(file) as packed:
            block = _ArchiveStream(packed, path.name, "").read(tarfile.BLOCKSIZE)
            return bool(tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape").name)
    except (*_BROKEN, DataError):
        return False


def _read(
    path: Path, is_wanted: Callable[[str], bool], advice: str, name_of: Callable[[str], str], most: int
) -> Iterator[tuple[str, bytes]]:
    shown = quote(path.name, 100)
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe could take forever
            raise unexpected(f"{shown} to be a file", "a folder, a pipe or a device", "Check the path.")
        with _TimedFile(path) as file, io.BufferedReader(file) as packed:
            yield from _files(_ArchiveStream(packed, shown, advice), is_wanted, name_of, most)
    except _BROKEN as error:
        system = error.strerror if isinstance(error, OSError) else None
        raise unexpected(
            f"{shown} to be a whole tar archive (.tar, .tar.gz or .tar.bz2)",
            f"one that cannot be read ({system or repr(error)[:120]})",
            "Check the path." if system else advice,
        ) from error


class _TimedFile(io.FileIO):
    """A file with a deadline, even while `gzip` or `bz2` read many packed bytes to unpack one."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.deadline = time.monotonic() + SECONDS

    def check_time(self) -> None:
        if time.monotonic() > self.deadline:
            raise TimeoutError(f"it takes more than {SECONDS} seconds")

    def readinto(self, buffer: "WriteableBuffer", /) -> int | None:
        self.check_time()
        return super().readinto(buffer)


class _ArchiveStream:
    """The unpacked bytes of an archive, from front to back, up to a limit."""

    def __init__(self, packed: "io.BufferedReader[_TimedFile]", shown: str, advice: str) -> None:
        start = packed.peek(3)
        self.unpacked: IO[bytes] | io.BufferedIOBase = packed
        if start.startswith(b"\x1f\x8b"):
            self.unpacked = gzip.GzipFile(fileobj=packed)
        elif start.startswith(b"BZh"):
            self.unpacked = bz2.BZ2File(packed)
        self.file, self.shown, self.advice, self.overhead = packed.raw, shown, advice, 0
        self.limit = self.left = min(MAX_BYTES, FREE_BYTES + MAX_RATIO * os.fstat(packed.fileno()).st_size)

    def read_chunk(self, size: int) -> bytes:
        """Return at most `size` bytes; none at the end."""
        self.file.check_time()  # a few packed bytes may unpack for minutes
        chunk = self.unpacked.read(min(size, _CHUNK))
        self.left -= len(chunk)
        return chunk

    def read(self, size: int, keep: bool = True) -> bytes:
        """Return `size` bytes, or skip them; the padding to whole blocks is skipped too."""
        rest = size + -size % tarfile.BLOCKSIZE
        if rest > self.left:  # now, not after gigabytes
            advice = f"{self.advice.rstrip('.')}; if it is yours, pack it without compression."
            raise unexpected(f"{self.shown} to unpack to at most {self.limit:,} bytes", "one with more", advice)
        content = io.BytesIO()  # grows with the content: a size that is only declared takes no memory
        while rest:
            chunk = self.read_chunk(rest)
            if not chunk:
                raise EOFError("it ends early")
            rest -= len(chunk)
            if keep:
                content.write(chunk)
        content.truncate(size)
        return content.getvalue()

    def check_end(self) -> None:
        """Read the rest up to the end, where `gzip` and `bz2` compare their checksums; only padding may follow."""
        padding = 0
        while chunk := self.read_chunk(_CHUNK):
            padding += len(chunk)
            if padding > MAX_OVERHEAD or chunk.strip(b"\0"):
                raise self.refused("to end after its last file", "more")

    def refused(self, expected: str, received: str, path: str = "") -> DataError:
        subject = f"{quote(path, 100)} in {self.shown}" if path else self.shown
        return unexpected(f"{subject} {expected}", received, self.advice)


def _files(
    stream: _ArchiveStream, is_wanted_name: Callable[[str], bool], name_of: Callable[[str], str], most: int
) -> Iterator[tuple[str, bytes]]:
    seen: set[str] = set()
    pax: dict[bytes, bytes] = {}  # from extended headers, for the next file
    limit = max(MAX_HEADERS, os.fstat(stream.file.fileno()).st_size // HEADER_BYTES)
    for _ in range(limit):
        block = stream.read(tarfile.BLOCKSIZE)
        if not block.strip(b"\0"):
            stream.check_end()
            return
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        if header.type in _EXTENDED:
            pax |= _read_extended(stream, header)
            continue
        long_name = pax.get(b"GNU.sparse.name", pax.get(b"path", b""))
        path = long_name.decode("utf-8", "surrogateescape") or header.name
        size = 0 if header.type in _EMPTY else header.size
        is_wanted = is_wanted_name(path)
        name = name_of(path) if is_wanted else ""
        is_sparse = is_wanted and any(key.startswith(b"GNU.sparse.") for key in pax)
        if is_sparse or header.type == tarfile.GNUTYPE_SPARSE:  # the latter has blocks that its size does not count
            raise stream.refused("to be a regular file", "a sparse one", path)
        if is_wanted and header.type not in _REGULAR:
            kind = _EMPTY.get(header.type, f"a member of type {header.type!r}")
            raise stream.refused("to be a regular file", kind, path)
        if is_wanted and name in seen:
            raise stream.refused("once", "it twice", path)
        if size < 0 or (is_wanted and size > most):
            raise stream.refused(f"to have 0 to {most:,} bytes", f"{size:,}", path)
        if header.type not in _EMPTY and pax.get(b"size", b"%d" % size) != b"%d" % size:
            raise stream.refused(f"to have {size:,} bytes", "an extended header with another size", path)
        content = stream.read(size, keep=is_wanted)
        if is_wanted:
            seen.add(name)
            paused = time.monotonic()
            yield name, content
            stream.file.deadline += time.monotonic() - paused
        del content
        pax = {}
    raise stream.refused(f"to have at most {limit:,} headers", "more")


def _read_extended(stream: _ArchiveStream, header: tarfile.TarInfo) -> dict[bytes, bytes]:
    """Read the pax records that matter here, or GNU's long name as if it were one."""
    stream.overhead += max(header.size, 0)
    if header.size < 0 or stream.overhead > MAX_OVERHEAD:
        raise stream.refused(f"to have extended headers of at most {MAX_OVERHEAD:,} bytes", f"one of {header.size:,}")
    body = stream.read(header.size)
    if header.type == tarfile.GNUTYPE_LONGNAME:
        return {b"path": body.partition(b"\0")[0]}
    records: dict[bytes, bytes] = {}
    start = 0
    while header.type in _PAX and start < len(body):  # records for all files, and long names of links, do not matter
        match = _PAX_LENGTH.match(body, start)
        end = start + int(match[0]) if match else start
        key, equals, value = body[match.end() if match else start : end - 1].partition(b"=")
        if not equals or body[end - 1 : end] != b"\n":
            raise tarfile.ReadError("broken pax record")
        if key in (b"path", b"size") or key.startswith(b"GNU.sparse."):
            records[key] = value
        start = end
    return records
