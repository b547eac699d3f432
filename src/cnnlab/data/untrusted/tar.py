"""Read tar archives of strangers: nothing is written to disk, and none takes more than a bounded time and memory.

Of `tarfile`, only the reader of a single header is used. Its reader of archives, in versions of Python that cnnlab runs
on, holds extended headers in memory however long they are, takes quadratic time and memory to parse them
(CVE-2024-6232), goes back for ever where a size is negative (CVE-2025-8194), and takes a broken header for the end.
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
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from cnnlab.errors import DataError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


MAX_MEMBER = 2 << 30
"""Bytes of the largest file that is read."""


MAX_BYTES = 8 << 30
"""Bytes of the longest archive, unpacked."""


MAX_RATIO = 100
"""Bytes that a byte of the archive may unpack to, beyond `FREE_BYTES`. Photographs hardly shrink; a bomb, to 1/1000."""


FREE_BYTES = 64 << 20
"""Bytes that any archive may unpack to: a few blank images shrink as much as a bomb."""


MAX_HEADERS = 10_000
"""Headers of an archive, among them those that only extend the next one."""


MAX_OVERHEAD = 4 << 20
"""Bytes of what belongs to no file: of all extended headers together, and of the padding at the end."""


SECONDS = 300
"""How long an archive may be read, not counting what the caller does between two of its files."""


_PIECE = 1 << 20


_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)


_EXTENSIONS = (*_PAX, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)


_LENGTH = re.compile(rb"[0-9]{1,8} ")


_SPARSE, _SPARSE_NAME = b"GNU.sparse.", b"GNU.sparse.name"


_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE)


_EMPTY = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.DIRTYPE: "a folder",
    tarfile.FIFOTYPE: "a pipe",
}
"""What has no content, whatever size its header gives."""


_BROKEN = (tarfile.TarError, zlib.error, OSError, EOFError, ValueError, OverflowError, struct.error, MemoryError)


def members(path: Path, wanted: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the wanted files of a tar archive, in its order; others are skipped.

    An archive is known to be whole only once all has been yielded.

    Args:
        path: A .tar, .tar.gz or .tar.bz2; its content tells which, not its name.
        wanted: Matches the whole name of a wanted file, with its folders.

    Yields:
        The last part of a file's name, and its content.

    Raises:
        DataError: The archive is broken, or larger than honest ones, or something wanted is there twice or is no
            regular file.
    """
    shown = _show(path.name)
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe could take for ever
            raise DataError(f"Expected {shown} to be a file. Received: a folder, a pipe or a device. Check the path.")
        with _TimedFile(path) as file, io.BufferedReader(file) as packed:
            yield from _files(_Tape(packed, shown), wanted)
    except _BROKEN as error:
        system = error.strerror if isinstance(error, OSError) else None
        raise DataError(
            f"Expected {shown} to be a whole tar archive (.tar, .tar.gz or .tar.bz2). Received: one that cannot be "
            f"read ({system or repr(error)[:120]}). {'Check the path.' if system else 'Fetch it again.'}"
        ) from error


class _TimedFile(io.FileIO):
    """A file that cannot be read for ever, also where `gzip` or `bz2` read on and on to unpack a single byte."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.deadline = time.monotonic() + SECONDS

    def check_time(self) -> None:
        if time.monotonic() > self.deadline:
            raise TimeoutError(f"it takes more than {SECONDS} seconds")

    def readinto(self, buffer: "WriteableBuffer", /) -> int | None:
        self.check_time()
        return super().readinto(buffer)


class _Tape:
    """What an archive unpacks to: read from front to back, and only so much of it."""

    def __init__(self, packed: "io.BufferedReader[_TimedFile]", shown: str) -> None:
        start = packed.peek(3)
        self.unpacked: IO[bytes] | io.BufferedIOBase = packed
        if start.startswith(b"\x1f\x8b"):
            self.unpacked = gzip.GzipFile(fileobj=packed)
        elif start.startswith(b"BZh"):
            self.unpacked = bz2.BZ2File(packed)
        self.file, self.shown, self.overhead = packed.raw, shown, 0
        self.limit = self.left = min(MAX_BYTES, FREE_BYTES + MAX_RATIO * os.fstat(packed.fileno()).st_size)

    def piece(self, size: int) -> bytes:
        """Return at most so many bytes; none at the end."""
        self.file.check_time()  # a few packed bytes may unpack for minutes
        piece = self.unpacked.read(min(size, _PIECE))
        self.left -= len(piece)
        return piece

    def read(self, size: int, keep: bool = True) -> bytes:
        """Return so many bytes, or skip them; padding to whole blocks is skipped too."""
        rest = size + -size % tarfile.BLOCKSIZE
        if rest > self.left:  # said at once, before gigabytes are read in vain
            raise DataError(
                f"Expected {self.shown} to unpack to at most {self.limit:,} bytes. Received: one with more. Fetch it "
                "again; if it is yours, pack it without compression."
            )
        content = io.BytesIO()  # grows with what comes: a size that is only declared takes no memory
        while rest:
            piece = self.piece(rest)
            if not piece:
                raise EOFError("it ends early")
            rest -= len(piece)
            if keep:
                content.write(piece)
        content.truncate(size)
        return content.getvalue()

    def end(self) -> None:
        """Insist on nothing but padding up to the end, where `gzip` and `bz2` compare their checksums."""
        padding = 0
        while piece := self.piece(_PIECE):
            padding += len(piece)
            if padding > MAX_OVERHEAD or piece.strip(b"\0"):
                raise DataError(f"Expected {self.shown} to end after its last file. Received: more. Fetch it again.")


def _files(tape: _Tape, wanted: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    seen: set[str] = set()
    more: dict[bytes, bytes] = {}  # what extended headers say of the next file
    for _ in range(MAX_HEADERS):
        block = tape.read(tarfile.BLOCKSIZE)
        if not block.strip(b"\0"):
            tape.end()
            return
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        if header.type in _EXTENSIONS:
            more |= _extension(tape, header)
            continue
        long_name = more.get(_SPARSE_NAME, more.get(b"path", b""))
        path = long_name.decode("utf-8", "surrogateescape") or header.name
        name = path.rpartition("/")[2]
        size = 0 if header.type in _EMPTY else header.size
        sparse = header.type == tarfile.GNUTYPE_SPARSE  # has blocks that its size does not count, so cannot be skipped
        is_wanted = wanted.fullmatch(path) is not None
        trouble = None
        if sparse or (is_wanted and _SPARSE in more):
            trouble = "to be a regular file", "a sparse one"
        elif is_wanted and header.type not in _REGULAR:
            trouble = "to be a regular file", _EMPTY.get(header.type, f"a member of type {header.type!r}")
        elif is_wanted and name in seen:
            trouble = "once", "it twice"
        elif size < 0 or (is_wanted and size > MAX_MEMBER):
            trouble = f"to have 0 to {MAX_MEMBER:,} bytes", f"{size:,}"
        elif header.type not in _EMPTY and more.get(b"size", b"%d" % size) != b"%d" % size:
            trouble = f"to have {size:,} bytes", "an extended header that says otherwise"
        if trouble:
            raise DataError(
                f"Expected {_show(path)} in {tape.shown} {trouble[0]}. Received: {trouble[1]}. Fetch it again."
            )
        if is_wanted:
            seen.add(name)
            content = tape.read(size)
            paused = time.monotonic()
            yield name, content
            del content
            tape.file.deadline += time.monotonic() - paused
        else:
            tape.read(size, keep=False)
        more = {}
    raise DataError(f"Expected at most {MAX_HEADERS:,} headers in {tape.shown}. Received: more. Fetch it again.")


def _extension(tape: _Tape, header: tarfile.TarInfo) -> dict[bytes, bytes]:
    """Read an extended header: those of its pax records that matter here, or GNU's long name as if it were one."""
    tape.overhead += max(header.size, 0)
    if header.size < 0 or tape.overhead > MAX_OVERHEAD:
        raise DataError(
            f"Expected extended headers of at most {MAX_OVERHEAD:,} bytes in {tape.shown}. Received: one of "
            f"{header.size:,}. Fetch it again."
        )
    body = tape.read(header.size)
    if header.type == tarfile.GNUTYPE_LONGNAME:
        return {b"path": body.partition(b"\0")[0]}
    records: dict[bytes, bytes] = {}
    at = 0
    while header.type in _PAX and at < len(body):  # a link's long name and the archive's comment do not matter
        length = _LENGTH.match(body, at)
        start, end = (length.end(), at + int(length[0])) if length else (at, at)
        key, equals, value = body[start : end - 1].partition(b"=")
        if not equals or body[end - 1 : end] != b"\n":
            raise tarfile.ReadError("broken pax record")
        if key in (b"path", b"size", _SPARSE_NAME):
            records[key] = value
        if key.startswith(_SPARSE):
            records[_SPARSE] = b""
        at = end
    return records


def _show(name: str) -> str:
    return repr(name if len(name) <= 80 else f"{name[:80]}...")
