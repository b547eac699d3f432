"""List and remove stored runs."""

from collections.abc import Iterator
from pathlib import Path

from cnnlab.errors import RecordError
from cnnlab.records.store import (
    CHECKPOINTS,
    FAILURES,
    IMAGES,
    PROPOSALS,
    QUARANTINE,
    SUFFIX,
    is_of_older_format,
    is_of_other_code,
)

_KINDS = {
    "used": "usable by this version",
    "unused": "of other code or another format",
    "quarantined": "damaged, moved aside",
    "unfinished": "unfinished, to be resumed",
    "proposals": "proposals of joint searches",
    "images": "folders and archives of photos, decoded and resized, which are not decoded again",
    "failures": "reasons why trials of joint searches failed, which are not tried again",
}


def describe_runs(path: str | Path) -> list[str]:
    """Return how many runs of each kind a folder has, and their size, as lines of text."""
    files = list(_files(Path(path)))
    lines = []
    for kind, text in _KINDS.items():
        sizes = [_size(file) for file, its_kind in files if its_kind == kind]
        if sizes or kind == "used":
            lines.append(f"{len(sizes):8,} {text}: {sum(sizes) / 1e6:,.1f} MB")
    return [f"Stored runs in {str(path)!r}:", *lines]


def remove_runs(path: str | Path, *, only_unused: bool) -> str:
    """Remove stored runs and say what was removed.

    Args:
        path: The folder.
        only_unused: Keep runs that this version can use, unfinished ones, and photos.

    Raises:
        RecordError: A file cannot be removed.
    """
    kept = {"used", "unfinished", "proposals", "images"} if only_unused else set[str]()
    count, size = 0, 0
    for file, kind in list(_files(Path(path))):
        if kind not in kept:
            size += _size(file)
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                raise RecordError(
                    f"Expected to remove {str(file)!r}. Received: {error.strerror}. Allow cnnlab to write there."
                ) from error
            count += 1
    return f"Removed {count:,} files, {size / 1e6:,.1f} MB."


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files of a run store and what each is, a key of `_KINDS`; other files are left alone."""
    for file in folder.glob(f"*{SUFFIX}"):
        yield file, "unused" if is_of_other_code(file) else "used"
    for file in folder.glob("*.json"):
        if is_of_older_format(file):
            yield file, "unused"
    folders = (
        (QUARANTINE, f"*{SUFFIX}", "quarantined"),
        (CHECKPOINTS, "*.ckpt", "unfinished"),
        (PROPOSALS, "*.json", "proposals"),
        (FAILURES, "*.txt", "failures"),
        (IMAGES, "photos-*.npz", "images"),
        (IMAGES, "archive-*.npz", "images"),
    )
    for name, pattern, kind in folders:
        for file in (folder / name).glob(pattern):
            yield file, kind


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # removed meanwhile
        return 0
