"""Unpack compressed files that may be malicious: size, memory and time are bounded."""

import bz2
import gzip
import io
import lzma
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from typing import IO

from cnnlab.data.messages import quote, unexpected
from cnnlab.data.untrusted import pickle_values, tar

XZ_MEMORY = 128 << 20  # bytes that unpacking xz may take; its strongest level takes 65 MiB
_CHUNK = 1 << 20
_XZ = b"\xfd7zXZ\0"
_BROKEN = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, OSError, EOFError, ValueError, OverflowError,
    RuntimeError, MemoryError, KeyError,
)  # fmt: skip
_OTHER = {
    b"\x28\xb5\x2f\xfd": "Zstandard", b"\x04\x22\x4d\x18": "LZ4", b"7z\xbc\xaf\x27\x1c": "7-Zip", b"Rar!": "RAR",
    b"LZIP": "lzip", b"\x1f\x9d": "compress (.Z)", b"\xff\x06\x00\x00sNaPpY": "Snappy",
}  # fmt: skip


class _Packed(io.BytesIO):
    """Packed bytes. Each read checks the time and returns at most a chunk: a list in a zip file may be huge."""

    deadline = 0.0

    def read(self, size: int | None = -1, /) -> bytes:
        if time.monotonic() > self.deadline:
            raise TimeoutError(f"it takes more than {tar.SECONDS} seconds")
        return super().read(_CHUNK if size is None or size < 0 else min(size, _CHUNK))


class _Xz:
    """The unpacked bytes of an xz file, which may have several streams. `lzma.open` has no limit of memory."""

    def __init__(self, packed: _Packed) -> None:
        self._packed, self._decoder = packed, lzma.LZMADecompressor(lzma.FORMAT_XZ, XZ_MEMORY)

    def read(self, size: int) -> bytes:
        data = b""
        while True:
            if self._decoder.eof:
                data = self._decoder.unused_data  # zeros may follow a stream
                while len(data := data.lstrip(b"\0")) < len(_XZ) and (more := self._packed.read(_CHUNK)):
                    data += more
                if not data:
                    return b""
                if not data.startswith(_XZ):
                    raise ValueError("something follows its end")
                self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, XZ_MEMORY)
            elif self._decoder.needs_input and not (data := self._packed.read(_CHUNK)):
                raise EOFError("it ends early")
            if chunk := self._decoder.decompress(data, size):
                return chunk
            data = b""


def _open_zip(packed: _Packed) -> IO[bytes]:
    """Open the only file of a zip, as pandas writes it."""
    archive = zipfile.ZipFile(packed)
    members = [item for item in archive.infolist() if not item.is_dir() and not item.filename.startswith("__MACOSX/")]
    if len(members) != 1:
        raise ValueError(f"it holds {len(members)} files, not one: extract it")
    if members[0].flag_bits & 1 or members[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("it is encrypted or uses an unusual compression")
    return archive.open(members[0])


_OPENERS: dict[bytes, tuple[str, Callable[[_Packed], IO[bytes] | gzip.GzipFile | bz2.BZ2File | _Xz]]] = {
    b"\x1f\x8b": ("gzip", lambda packed: gzip.GzipFile(fileobj=packed)),
    b"BZh": ("bzip2", bz2.BZ2File),
    _XZ: ("xz", _Xz),
    b"PK\3\4": ("zip", _open_zip),
}
"""How a compressed file starts, what it is called, and what unpacks it."""


def unsupported(start: bytes) -> str:
    """Return the name of a compression that is not read, by the first bytes of a file; empty for any other file."""
    return next((name for magic, name in _OTHER.items() if start.startswith(magic)), "")


def unpack(content: bytes, name: str) -> bytes:
    """Return the content of a file, unpacked if it is compressed; errors call it `name`.

    The content tells the compression, not the name: gzip, bzip2, xz, or a zip with one file.

    Raises:
        DataError: It is broken, compressed in another way, or unpacks to more than a valid file.
    """
    shown = quote(name, 100)
    if other := unsupported(content[:16]):
        expected = f"{shown} to be plain, or compressed by gzip, bzip2, xz or zip"
        raise unexpected(expected, f"a file of {other}", "Decompress it.")
    opener = next((opener for magic, opener in _OPENERS.items() if content.startswith(magic)), None)
    if opener is None:
        return content
    kind, open_packed = opener
    limit = min(pickle_values.MAX_BYTES, tar.FREE_BYTES + tar.MAX_RATIO * len(content))
    packed = _Packed(content)
    packed.deadline = time.monotonic() + tar.SECONDS
    unpacked, size = io.BytesIO(), 0
    try:
        stream = open_packed(packed)
        while chunk := stream.read(_CHUNK):
            size += len(chunk)
            if size > limit:
                raise unexpected(f"{shown} to unpack to at most {limit:,} bytes", "more", "Store it uncompressed.")
            unpacked.write(chunk)
    except _BROKEN as error:
        received = f"one that cannot be read ({quote(str(error) or type(error).__name__, 120)})"
        raise unexpected(f"{shown} to be a whole {kind} file", received, "Decompress it, or write it again.") from error
    inside = unpacked.getvalue()
    if inside.startswith(tuple(_OPENERS)):
        raise unexpected(f"{shown} to be compressed once", "a compressed file in it", "Decompress it.")
    return inside
