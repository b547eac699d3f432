"""Write files whole or not at all, whatever is killed meanwhile."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_PREFIX = ".cnnlab-"
STALE_SECONDS = 3600
"""Age at which a scratch file belongs to a process that was killed: none is written to for so long."""


def scratch(folder: Path, suffix: str = ".part") -> Path:
    """Make an empty scratch file of a name of its own; two writers that shared one would tear each other's."""
    handle, name = tempfile.mkstemp(suffix, _PREFIX, folder)
    os.close(handle)
    return Path(name)


def put(source: Path, target: Path) -> None:
    """Give a scratch file its name, once it is on the disk; nobody ever sees half of it.

    Raises:
        OSError: The disk is full, say. What had that name before is still there.
    """
    source.chmod(0o644)
    with source.open("rb") as stream:
        os.fsync(stream.fileno())
    source.replace(target)
    with suppress(OSError):  # where folders cannot be synced (Windows), the name may be lost with the power, no more
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def replacing(target: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes the target's place when the block ends without an error.

    Raises:
        OSError: It cannot be written. What had that name before is still there.
    """
    path = scratch(target.parent)
    try:
        with path.open("wb") as stream:
            yield stream
        put(path, target)
    finally:
        path.unlink(missing_ok=True)


def write(target: Path, content: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        OSError: It cannot be written. What had that name before is still there.
    """
    with replacing(target) as stream:
        stream.write(content)


def sweep(folder: Path) -> None:
    """Remove scratch files that killed processes have left in a folder."""
    for path in folder.glob(f"{_PREFIX}*.part*"):
        remove_stale(path)


def remove_stale(path: Path) -> None:
    """Remove a file, unless it may be one that a process is still about to use."""
    with suppress(OSError):  # another process tidies up too
        if path.stat().st_mtime < time.time() - STALE_SECONDS:
            path.unlink()
