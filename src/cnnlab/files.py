"""Write files whole or not at all, whatever is killed meanwhile."""

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

_PREFIX = ".cnnlab-"


STALE_SECONDS = 3600
"""Age at which a scratch file belongs to a process that was killed. (A notebook's may rest for longer in a long cell,
but is written anew at its end.)"""


def temporary_file(folder: Path, suffix: str = ".part") -> Path:
    """Make an empty scratch file of a name of its own; two writers that shared one would tear each other's."""
    handle, name = tempfile.mkstemp(suffix, _PREFIX, folder)
    os.close(handle)
    return Path(name)


def commit(source: Path, target: Path, *, replace: bool = True) -> None:
    """Give a scratch file its name, once it is on the disk; nobody ever sees half of it.

    Args:
        source: The scratch file.
        target: Its name to be.
        replace: Whether it takes the place of a file that has that name.

    Raises:
        FileExistsError: There is one, and it is not to be replaced.
        OSError: The disk is full, say. What had that name before is still there.
    """
    source.chmod(0o644)
    with source.open("r+b") as stream:  # Windows syncs only what may be written
        os.fsync(stream.fileno())
    try:
        if not replace:
            os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        replace = True
    if replace:
        source.replace(target)
    with suppress(OSError):  # where folders cannot be synced (Windows), the name may be lost with the power, no more
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write(target: Path, content: bytes, *, replace: bool = True) -> None:
    """Write a file, whole or not at all.

    Raises:
        FileExistsError: There is one, and it is not to be replaced.
        OSError: It cannot be written. What had that name before is still there.
    """
    path: Path | None = None
    try:
        path = temporary_file(target.parent)
        path.write_bytes(content)
        commit(path, target, replace=replace)
    except FileExistsError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from error  # of a full disk it would name no file
    finally:
        if path:
            path.unlink(missing_ok=True)


def remove_stale_files(folder: Path) -> None:
    """Remove scratch files that killed processes have left in a folder."""
    for path in folder.glob(f"{_PREFIX}*.part*"):
        remove_stale(path)


def remove_stale(path: Path) -> None:
    """Remove a file, unless it may be one that a process is still about to use."""
    with suppress(OSError):  # another process tidies up too
        if path.stat().st_mtime < time.time() - STALE_SECONDS:
            path.unlink()
