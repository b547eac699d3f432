"""Write files atomically, and say what to do where a file cannot be written."""

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_PREFIX = ".cnnlab-"
STALE_SECONDS = 3600
"""Age at which a temporary file belongs to a process that was killed."""
_LOST = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""Errors after which content may be missing. Other errors mean that the file system lacks an operation."""
_ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "Free space there, or name another folder"),
    errno.EFBIG: "Allow larger files (ulimit -f), or name a folder on another file system",
    errno.EROFS: "Name a folder that can be written",
    **dict.fromkeys((errno.EACCES, errno.EPERM), "Allow cnnlab to write there, or name another folder"),
    errno.ENAMETOOLONG: "Name a shorter path",
    errno.ENOENT: "Check the name, or make the folder",
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "A file has the name of a folder: name another folder"),
    errno.EISDIR: "A folder has the name of the file: rename it, or name another folder",
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "Allow more open files (ulimit -n)"),
    **dict.fromkeys((errno.ENOMEM, errno.EAGAIN), "End other programs: memory or processes are short"),
    errno.EIO: "Check the disk, or name a folder on another one",
    errno.ENOEXEC: "Install the program again",
}


def advice(error: OSError, setting: str = "") -> str:
    """Return one sentence that says what to do about an error of the file system.

    Args:
        error: The error.
        setting: What names the folder, as "RUNS=..."; "" for none.
    """
    sentence = _ADVICE.get(error.errno or 0, "Check that folder, or name another one")
    return f"{sentence} ({setting})." if setting else f"{sentence}."


def temporary_file(folder: Path) -> Path:
    """Make an empty temporary file with a unique name: two writers of one file would mix their content."""
    handle, name = tempfile.mkstemp(".part", _PREFIX, folder)
    os.close(handle)
    return Path(name)


def _commit(source: Path, target: Path, *, replace: bool) -> None:
    """Sync a temporary file to the disk and rename it to its target, so that no reader sees a part of it."""
    with suppress(OSError):  # a file system without permissions
        source.chmod(0o644)
    try:
        with source.open("r+b") as stream:  # Windows syncs only files that are open for writing
            os.fsync(stream.fileno())
    except OSError as error:  # a file system that cannot sync
        if error.errno in _LOST:
            raise
    try:
        if not replace:
            os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        replace = True
    if replace:
        _rename(source, target)
    with suppress(OSError):  # Windows cannot sync folders: a power cut may then lose the new name, but no content
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _rename(source: Path, target: Path) -> None:
    """Rename a file, or copy it where the file system cannot rename: then a reader may see a part of it."""
    try:
        source.replace(target)
    except OSError as error:
        if error.errno in _LOST or target.is_dir():
            raise
        try:
            shutil.copyfile(source, target)
        except OSError:
            raise error from None  # the true reason


@contextmanager
def writing(target: Path, *, replace: bool = True) -> Iterator[BinaryIO]:
    """Open a file that becomes `target` at the end of the block, unless an error ends the block.

    Raises:
        FileExistsError: The target exists and is not to be replaced.
        OSError: It cannot be written. An existing target stays as it was.
    """
    path: Path | None = None
    try:
        path = temporary_file(target.parent)
        with path.open("wb") as stream:
            yield stream
        _commit(path, target, replace=replace)
    except FileExistsError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from error  # a full disk's error names no file
    finally:
        if path:
            path.unlink(missing_ok=True)


def write(target: Path, content: bytes, *, replace: bool = True) -> None:
    """Write a file at once. It raises what `writing` does."""
    with writing(target, replace=replace) as stream:
        stream.write(content)


def remove_stale_files(folder: Path) -> None:
    """Remove the temporary files that killed processes have left in a folder."""
    for path in folder.glob(f"{_PREFIX}*.part"):
        remove_stale(path)


def remove_stale(path: Path) -> None:
    """Remove a file, unless it is so new that a process may still use it."""
    with suppress(OSError):  # another process may remove it at the same time
        if path.stat().st_mtime < time.time() - STALE_SECONDS:
            path.unlink()
