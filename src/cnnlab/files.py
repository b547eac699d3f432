"""Write files atomically."""

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

_PREFIX = ".cnnlab-"
STALE_SECONDS = 3600
"""Age at which a temporary file belongs to a process that was killed. (A notebook's may be older in a long cell, but is
written again at its end.)"""


def temporary_file(folder: Path, suffix: str = ".part") -> Path:
    """Make an empty temporary file with a unique name: two writers of one file would mix their content."""
    handle, name = tempfile.mkstemp(suffix, _PREFIX, folder)
    os.close(handle)
    return Path(name)


def commit(source: Path, target: Path, *, replace: bool = True) -> None:
    """Sync a temporary file to the disk and rename it to its target, so that no reader sees a part of it.

    Args:
        source: The temporary file.
        target: Its final name.
        replace: Whether it replaces a file of that name.

    Raises:
        FileExistsError: The target exists and is not to be replaced.
        OSError: The disk is full, for example. An existing target stays as it was.
    """
    source.chmod(0o644)
    with source.open("r+b") as stream:  # Windows syncs only files that are open for writing
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
    with suppress(OSError):  # Windows cannot sync folders: a power cut may then lose the new name, but no content
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write(target: Path, content: bytes, *, replace: bool = True) -> None:
    """Write a file atomically.

    Raises:
        FileExistsError: The target exists and is not to be replaced.
        OSError: It cannot be written. An existing target stays as it was.
    """
    path: Path | None = None
    try:
        path = temporary_file(target.parent)
        path.write_bytes(content)
        commit(path, target, replace=replace)
    except FileExistsError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from error  # a full disk's error names no file
    finally:
        if path:
            path.unlink(missing_ok=True)


def remove_stale_files(folder: Path) -> None:
    """Remove the temporary files that killed processes have left in a folder."""
    for path in folder.glob(f"{_PREFIX}*.part*"):
        remove_stale(path)


def remove_stale(path: Path) -> None:
    """Remove a file, unless it is so new that a process may still use it."""
    with suppress(OSError):  # another process may remove it at the same time
        if path.stat().st_mtime < time.time() - STALE_SECONDS:
            path.unlink()
