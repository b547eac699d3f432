"""Sealed archives: a zip with a JSON record and arrays, behind its own SHA-256."""

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

RECORD = "record.json"
SEAL_BYTES = hashlib.sha256().digest_size


UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError, ValueError)
"""What reading a zip, JSON or an array raises whose bytes were changed (RuntimeError includes RecursionError)."""


class BrokenSealError(ValueError):
    """The content is not what was written."""


def pack(record: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a sealed archive: 32 bytes of SHA-256, then a zip with `record.json` first and `<name>.npy` after it."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(RECORD, json.dumps(record, indent=1))
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
    blob = content.getvalue()
    return hashlib.sha256(blob).digest() + blob


def unpack(content: bytes, *names: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the record and the named arrays of a sealed archive.

    Args:
        content: A sealed archive.
        names: Names of the arrays to read; "*" reads all of them.

    Raises:
        BrokenSealError: The content is truncated, changed, or no sealed archive, or it lacks an array.
    """
    if hashlib.sha256(memoryview(content)[SEAL_BYTES:]).digest() != content[:SEAL_BYTES]:
        raise BrokenSealError("its content has changed")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            record, members = read_record(archive), archive.namelist()
            wanted = [name.removesuffix(".npy") for name in members[1:]] if names == ("*",) else names
            arrays = {name: np.load(io.BytesIO(archive.read(f"{name}.npy")), allow_pickle=False) for name in wanted}
    except UNREADABLE as error:
        raise BrokenSealError(f"it is no sealed archive, or lacks an array ({type(error).__name__})") from error
    return record, arrays


def read_record(archive: zipfile.ZipFile) -> dict[str, Any]:
    """Return the record of an open sealed archive, whose seal is not checked.

    Raises:
        ValueError: It is no JSON object.
    """
    record = json.loads(archive.read(RECORD))
    if not isinstance(record, dict):
        raise ValueError("the record is no JSON object")
    return record
