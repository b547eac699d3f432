"""Import image files: decode them, keep the result, and say what is unusual about them."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnnlab.data.messages import DataWarning, quote, unexpected
from cnnlab.data.photos import cache as caching
from cnnlab.data.photos import decoding
from cnnlab.data.photos.children import About, Decoders, Photo, Refused
from cnnlab.data.photos.pixels import Pixels
from cnnlab.data.size import Size
from cnnlab.errors import DataError

USUAL_SIZE = Size(32, 32)
"""Size of images whose own sizes differ, or are larger than MOST_OWN."""
MOST_OWN = 64
"""Height and width up to which images that are all alike keep their own size."""
MOST_BROKEN = 0.1
"""Share of broken files above which nothing is imported."""
_NAMED = 3
_CONVERT = "Convert them to JPEG or PNG."
_REPAIR = "Save them again, or remove them."


@dataclass(frozen=True)
class Imported:
    """Images as they were imported.

    Attributes:
        images: (k, h, w, c) uint8; c is 1 if all files are gray, else 3.
        kept: (k,) int64 indices of the files that could be read, rising.
        warnings: What a user should know: files that are broken or of another format, gray files among colour ones.
    """

    images: NDArray[np.uint8]
    kept: NDArray[np.int64]
    warnings: tuple[DataWarning, ...]


def import_images(
    files: Sequence[Path],
    size: Size | None,
    cache: Path | None,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> Imported:
    """Decode image files in child processes: upright, cropped around the centre, resized, transparent parts white.

    The images of one study are imported in one call, because all of them become gray or colour images together.

    Args:
        files: The files.
        size: Height and width. None: their own where all are alike and at most 64, else 32.
        cache: Folder where the result is kept, by the content of the files; None for none.
        on_progress: Called with the number of files that are done and the number of all. Without a size, the first
            number may return to 0 once.

    Raises:
        DataError: No file is an image that can be read, or too many are broken.
    """
    work = _Import(list(files), cache, on_progress)
    with Decoders(len(files)) as decoders:
        wanted = size or work.own_size(decoders)
        imported = work.run(wanted, decoders, only_own=not size and wanted != USUAL_SIZE)
        imported = imported or work.run(USUAL_SIZE, decoders)
    assert imported
    return imported


class _Import:
    """The import of some files."""

    def __init__(self, files: list[Path], cache: Path | None, on_progress: Callable[[int, int], None]) -> None:
        self._files, self._cache, self._on_progress = files, cache, on_progress
        self._entries = caching.entries(cache) if cache else []
        self._folder = os.path.commonpath([path.absolute().parent for path in files]) if files else ""
        self._digests: list[bytes] = []
        if self._entries:
            with ThreadPoolExecutor() as pool:
                self._digests = list(pool.map(_digest, files))

    def own_size(self, decoders: Decoders) -> Size:
        """Return the size that images may keep: that of the first one that can be read, if it is small."""
        known = {about.digest: about for entry in self._entries for about in entry.abouts}
        for index, path in enumerate(self._files):
            about = known.get(self._digests[index]) if known else None
            if about is None:
                outcome = next(decoders.decode([path], USUAL_SIZE))
                about = outcome.about if isinstance(outcome, Photo) else None
            if about is not None:
                return Size(*about.own) if max(about.own) <= MOST_OWN else USUAL_SIZE
        return USUAL_SIZE

    def run(self, size: Size, decoders: Decoders, *, only_own: bool = False) -> Imported | None:
        """Import the files.

        Args:
            size: Height and width.
            decoders: What decodes them.
            only_own: Return None as soon as the own size of an image is another one.

        Raises:
            DataError: No file is an image that can be read, or too many are broken.
        """
        n, n_broken = len(self._files), 0
        pixels = Pixels(n, size)
        outcomes: dict[int, About | Refused] = {**self._stored(size, pixels)}
        if only_own and any(isinstance(known, About) and known.own != size for known in outcomes.values()):
            return None
        todo = [index for index in range(n) if index not in outcomes]
        if outcomes:
            self._on_progress(len(outcomes), n)
        is_changed = False
        for index, outcome in zip(todo, decoders.decode((self._files[i] for i in todo), size), strict=True):
            if isinstance(outcome, Photo):
                if only_own and outcome.about.own != size:
                    return None
                pixels.put(index, outcome.pixels)
                outcomes[index], is_changed = outcome.about, True
            else:
                outcomes[index] = outcome
                n_broken += not outcome.format
                if n_broken > MOST_BROKEN * n:
                    raise self._too_many(outcomes)
            self._on_progress(len(outcomes), n)
        return self._finish(pixels, outcomes, is_changed=is_changed)

    def _stored(self, size: Size, pixels: Pixels) -> dict[int, About]:
        """Put the images that the cache holds into their places; return what is known of them."""
        places: dict[bytes, list[int]] = {}
        for index, digest in enumerate(self._digests):
            places.setdefault(digest, []).append(index)
        entries = [entry for entry in self._entries if entry.size == size]
        for entry in sorted(entries, key=lambda entry: -sum(about.digest in places for about in entry.abouts)):
            stored = {}
            with suppress(Exception):  # a damaged entry: what was put in is replaced
                for photo in entry.photos():
                    for index in places.get(photo.about.digest, ()):
                        pixels.put(index, photo.pixels)
                        stored[index] = photo.about
                caching.touch(entry.path)
                return stored
        return {}

    def _finish(self, pixels: Pixels, outcomes: dict[int, About | Refused], *, is_changed: bool) -> Imported:
        abouts = {index: about for index, about in sorted(outcomes.items()) if isinstance(about, About)}
        if not abouts:
            raise self._none(outcomes)
        images = pixels.take(list(abouts))
        if self._cache and is_changed:
            with suppress(OSError):  # the result is the same without it
                caching.write(self._cache, images, list(abouts.values()))
        warnings = (*self._other_formats(outcomes), *self._broken(outcomes), *self._mixed(abouts))
        return Imported(images, np.array(list(abouts), np.int64), warnings)

    def _too_many(self, outcomes: dict[int, About | Refused]) -> DataError:
        n = len(self._files)
        seen = self._reasons(outcomes)
        expected = f"at least {1 - MOST_BROKEN:.0%} of {n:,} image files to be whole"
        return unexpected(expected, f"{len(seen)} that cannot be read: {_listed(seen)}", _REPAIR)

    def _none(self, outcomes: dict[int, About | Refused]) -> DataError:
        formats = _formats(outcomes.values())
        received = f"{_counts(formats)} files" if formats else "none"
        return unexpected("images that can be read", received, _CONVERT)

    def _reasons(self, outcomes: dict[int, About | Refused]) -> list[str]:
        """Return the names of broken files, each with what is wrong."""
        broken = [(index, outcome) for index, outcome in sorted(outcomes.items()) if isinstance(outcome, Refused)]
        return [f"{self._name(index)} ({outcome.reason})" for index, outcome in broken if not outcome.format]

    def _name(self, index: int) -> str:
        """Return a file's name, relative to the folder that all of them are in."""
        return quote(os.path.relpath(self._files[index], self._folder), 80)

    def _other_formats(self, outcomes: dict[int, About | Refused]) -> Iterator[DataWarning]:
        if formats := _formats(outcomes.values()):
            first = next(
                i for i, outcome in sorted(outcomes.items()) if isinstance(outcome, Refused) and outcome.format
            )
            n = formats.total()
            files = f"{n:,} files are" if n > 1 else "1 file is"
            text = f"{files} in a format that is not read: {_counts(formats)}, as {self._name(first)}. {_CONVERT}"
            yield DataWarning("unread-files", text)

    def _broken(self, outcomes: dict[int, About | Refused]) -> Iterator[DataWarning]:
        if broken := self._reasons(outcomes):
            files = f"{len(broken):,} of {len(self._files):,} image files cannot be read, and"
            are = "are" if len(broken) > 1 else "is"
            yield DataWarning("broken-images", f"{files} {are} not used: {_listed(broken)}. {_REPAIR}")

    def _mixed(self, abouts: dict[int, About]) -> Iterator[DataWarning]:
        gray = [index for index, about in abouts.items() if about.has_gray_mode]
        colour = [index for index, about in abouts.items() if not about.is_gray]
        if gray and colour:
            few, kind, others = (
                (gray, "gray", "in colour") if len(gray) <= len(colour) else (colour, "in colour", "gray")
            )
            names = _listed([self._name(index) for index in few])
            are = "are" if len(few) > 1 else "is"
            text = f"{len(few):,} of {len(abouts):,} images {are} {kind}, the others {others}: {names}."
            yield DataWarning(
                "mixed-colour", f"{text} All are read as colour images. If that is a mistake, replace them."
            )


def _digest(path: Path) -> bytes:
    """Return the SHA-256 of a file; empty if it is not an image file that is read."""
    with suppress(OSError, decoding.ImageError), decoding.open_file(str(path)) as stream:
        return hashlib.file_digest(stream, "sha256").digest()
    return b""


def _formats(outcomes: Iterable[About | Refused]) -> Counter[str]:
    """Count the files of each format that is not read."""
    return Counter(outcome.format for outcome in outcomes if isinstance(outcome, Refused) and outcome.format)


def _counts(formats: Counter[str]) -> str:
    return ", ".join(f"{n:,} {name}" for name, n in sorted(formats.items()))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
