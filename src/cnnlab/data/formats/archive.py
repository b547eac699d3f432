"""Zip and tar archives of images: folders of classes, or images with a table."""

import hashlib
import json
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import PIL

from cnnlab import files
from cnnlab.data import photos
from cnnlab.data.dataset import Dataset
from cnnlab.data.finding import Finder
from cnnlab.data.finding.finder import is_data
from cnnlab.data.finding.pictures import TABLES, ending, is_picture
from cnnlab.data.formats import folders, table
from cnnlab.data.formats.format import Format, Source, Wanted, choose, find_all
from cnnlab.data.messages import DataWarning, unexpected
from cnnlab.data.untrusted import packed

_VERSION = f"1, Pillow {PIL.__version__}"
"""What determines the result, apart from the archive and the size. Raise the number when reading changes it."""
_PREFIX = ".cnnlab-unpacked-"
_STALE_SECONDS = 24 * 3600
_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels", "given_val", "groups")


def _find(finder: Finder) -> Source | None:
    archives = {path: names for path, names in finder.packed.items() if not _is_extracted(finder, path, names)}
    if len(archives) > 1:
        received = " and ".join(map(repr, sorted(path.name for path in archives)[:3]))
        advice = "Name the one to read, or extract them into one folder."
        raise unexpected(f"one archive of images in {finder.shown}", received, advice)
    if not archives:
        return None
    [(path, names)] = archives.items()
    return Source(repr(str(path)), lambda wanted: _read(path, wanted), is_likely=len(names) > 1)


def _is_extracted(finder: Finder, path: Path, names: list[str]) -> bool:
    """Return whether all images of an archive are in the folder beside it too, or in one of the archive's name."""
    if path == finder.path:
        return False
    parent = path.parent.relative_to(finder.path)
    for above in (parent, parent / path.name.partition(".")[0]):
        present = {
            (Path(folder) / name).as_posix()
            for folder, of_folder in finder.pictures.items()
            if Path(folder).is_relative_to(above)
            for name in of_folder
        }
        if all((above / PurePosixPath(name)).as_posix() in present for name in names):
            return True
    return False


def _is_wanted(name: str) -> bool:
    """Return whether a member is an image or a table, and not what a system left behind."""
    last = PurePosixPath(name).name
    return is_data(name) and (is_picture(last) or ending(last) in TABLES)


def _read(path: Path, wanted: Wanted) -> Dataset:
    store = _stored_path(path, wanted) if wanted.cache else None
    if store and (stored := _load(store)):
        return stored
    parent = wanted.cache.parent if wanted.cache and wanted.cache.parent.is_dir() else Path(tempfile.gettempdir())
    _remove_stale(parent)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent, ignore_cleanup_errors=True) as name:
        packed.unpack(path, Path(name), _is_wanted)
        finder = Finder(Path(name), shown=str(path))
        sources = find_all(finder, (table.FORMAT, folders.FORMAT))
        # The archive is unpacked for one import: its result is kept here, and not once more by its images.
        dataset = choose(finder, sources)[1].read(Wanted(wanted.size, None, wanted.on_progress))
    if store:
        with suppress(OSError):  # a full disk, for example: nothing is kept then
            _save(dataset, store)
    return dataset


def _remove_stale(parent: Path) -> None:
    """Remove the unpacked files that a killed process has left."""
    for path in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another process may remove it at the same time
            if path.stat().st_mtime < time.time() - _STALE_SECONDS:
                shutil.rmtree(path, ignore_errors=True)


def stored(path: Path, wanted: Wanted) -> Dataset | None:
    """Return the images of an archive that was read before, by its content; None if they are not kept."""
    if not wanted.cache or not path.is_file():
        return None
    with suppress(OSError):
        kept = _stored_path(path, wanted)
        if dataset := _load(kept):
            photos.touch(kept)
            return dataset
    return None


def _stored_path(path: Path, wanted: Wanted) -> Path:
    assert wanted.cache
    with path.open("rb") as stream:
        content = hashlib.file_digest(stream, "sha256").hexdigest()
    key = hashlib.sha256(f"{content} {wanted.size} {_VERSION}".encode()).hexdigest()
    return wanted.cache / f"archive-{key[:32]}.npz"


def _save(dataset: Dataset, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    files.remove_stale_files(target.parent)
    arrays = {name: array for name in _ARRAYS if (array := getattr(dataset, name)) is not None}
    about = {
        "class_names": dataset.class_names,
        "warnings": [asdict(warning) for warning in dataset.warnings],
        "is_test_held_out": dataset.is_test_held_out,
        "train_files": dataset.train_files,
        "test_files": dataset.test_files,
    }
    with files.writing(target) as stream:
        np.savez(stream, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)
    photos.remove_oldest(target.parent, "archive-*.npz")


def _load(path: Path) -> Dataset | None:
    """Return what `_save` has written; None if it is missing or damaged: the parts have checksums."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as parts:
            about = json.loads(parts["about"].tobytes())
            arrays: dict[str, Any] = {name: parts[name] for name in _ARRAYS if name in parts}
        warnings = tuple(DataWarning(**warning) for warning in about.pop("warnings"))
        texts: dict[str, Any] = {name: tuple(about.pop(name)) for name in ("class_names", "train_files", "test_files")}
        return Dataset(**arrays, **texts, warnings=warnings, is_test_held_out=bool(about["is_test_held_out"]))
    except Exception:  # a damaged file may raise nearly anything; the archive is read again
        return None


FORMAT = Format("an archive of images", _find)
