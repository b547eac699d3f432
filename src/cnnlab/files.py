"""Write files whole or not at all, whatever is killed meanwhile."""

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

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


def write(target: Path, content: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        OSError: It cannot be written. What had that name before is still there.
    """
    path: Path | None = None
    try:
        path = scratch(target.parent)
        path.write_bytes(content)
        put(path, target)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from error  # of a full disk it would name no file
    finally:
        if path:
            path.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove scratch files that killed processes have left in a folder."""
    for path in folder.glob(f"{_PREFIX}*.part*"):
        remove_stale(path)


def remove_stale(path: Path) -> None:
    """Remove a file, unless it may be one that a process is still about to use."""
    with suppress(OSError):  # another process tidies up too
        if path.stat().st_mtime < time.time() - STALE_SECONDS:
            path.unlink()
