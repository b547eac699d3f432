"""Find what a folder, the folders below it, or an archive hold.

Each file is an image or a batch by its name, an archive by its content, or of no interest. What looks like a batch or
an archive and cannot be read is listed with the reason. Each folder is read once, and images are not opened.
"""

import os
import re
from collections import defaultdict
from collections.abc import Callable
from functools import cached_property
from pathlib import Path, PurePosixPath

from cnnlab.data.finding import archives
from cnnlab.data.finding.batches import ARCHIVE, Place, group, pack_advice
from cnnlab.data.finding.pictures import is_picture
from cnnlab.data.messages import DataWarning, quote, unexpected
from cnnlab.data.photos.listing import LEFT_BEHIND
from cnnlab.data.untrusted import packed, tar
from cnnlab.errors import DataError

MAX_DEPTH = 6  # folders below the one that is named
MAX_FILES = 20_000  # in all these folders, without images
MAX_PICTURES = 1_000_000  # images in all these folders
MAX_NAME = 1_000  # characters of the name of a member of an archive, folders included
_INCOMPLETE = re.compile(r".+\.(part|partial|crdownload|download)", re.I)
_NO_DATA = re.compile(
    r"\..*|.*\.(part|md5|sha1|sha256|sha512|asc|sig|py|ipynb|md|html?|log|sh)|.*meta\.txt|"
    + "|".join(map(re.escape, sorted(LEFT_BEHIND))),
    re.I,
)
"""Names of files and folders that hold no images: hidden files, checksums, downloads that are not complete, text, and
what systems leave behind."""
ARRAYS = ".npz"


class Finder:
    """What is found at a path.

    Attributes:
        places: Folders with batches, also those in archives.
        pictures: Names of the images of each folder that has some, sorted, by its path relative to the one named.
        folders: Relative paths of all folders, "" for the one named.
        others: Relative paths of the other files.
        packed: Names of the images of each archive that has some.
        unread: Why files that look like batches or archives are not read, by their paths.
    """

    def __init__(self, path: Path, shown: str = "") -> None:
        """Look for images.

        Args:
            path: A folder, an archive, or a file of arrays.
            shown: What errors call it; its path by default.

        Raises:
            DataError: The path does not exist or cannot be read, or there are too many files.
        """
        self.path, self.shown = path, repr(shown or str(path))
        self.places: list[Place] = []
        self.pictures: dict[str, list[str]] = {}
        self.folders: list[str] = []
        self.others: list[str] = []
        self.packed: dict[Path, list[str]] = {}
        self.unread: dict[str, str] = {}
        self._failure: DataError | None = None
        self._n_files = self._n_pictures = 0
        self._seen: set[Path] = set()
        self._incomplete: list[str] = []
        try:
            is_dir, is_file = path.is_dir(), path.is_file()
            if not is_dir and not is_file:
                received = "which does not exist" if not os.path.lexists(path) else "which is not one"
                received = "a broken link" if path.is_symlink() else received
                raise unexpected("a data folder", f"{str(path)!r}, {received}", "See data/README.md.")
            if is_file and path.suffix.lower() == ARRAYS:
                self.path, self.others = path.parent, [path.name]
                return
            if is_file and not archives.is_archive(path):
                received = f"{str(path)!r}, which is another file"
                raise unexpected("a data folder or an archive", received, "Name the folder that contains it.")
            self._root = path.resolve()
            self._is_new(path)
            if is_file:
                self._open(path)
            else:
                self._walk(path, 0)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise unexpected(f"to read {str(path)!r}", reason, "Check the path.") from error

    def _is_new(self, path: Path) -> bool:
        """Return whether a folder or an archive is met for the first time: links may lead to it again."""
        real = path.resolve()
        is_new = real not in self._seen
        self._seen.add(real)
        return is_new

    def _walk(self, folder: Path, depth: int) -> None:
        if depth > MAX_DEPTH:
            self.unread[str(folder.relative_to(self.path))] = f"it is more than {MAX_DEPTH} folders down"
            return
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            if not depth:
                raise
            self.unread[f"{folder.relative_to(self.path)}/"] = str(error.strerror)
            return
        self.folders.append(self._relative(folder))
        pictures = [entry for entry in entries if is_picture(entry.name) and _is(entry.is_file)]
        if pictures:
            self._add_pictures(folder, pictures)
            names_of_pictures = {entry.name for entry in pictures}
            entries = [entry for entry in entries if entry.name not in names_of_pictures]
        self._n_files += len(entries)
        if self._n_files > MAX_FILES:
            raise unexpected(
                f"at most {MAX_FILES:,} files in {self.shown}", "more", "Name the folder of batches or images."
            )
        self._incomplete += [entry.name for entry in entries if _INCOMPLETE.fullmatch(entry.name)]
        kept = [entry for entry in entries if not _NO_DATA.fullmatch(entry.name)]
        folders = [entry.name for entry in kept if _is(entry.is_dir)]
        names = [entry.name for entry in kept if entry.name not in set(folders)]
        self._sort_files(folder, names)
        for name in folders:
            before = len(self.places) + len(self.unread) + self._n_pictures
            if not self._is_new(folder / name):
                continue
            self._walk(folder / name, depth + 1)
            if "batch" in name.lower() and len(self.places) + len(self.unread) + self._n_pictures == before:
                self.unread[self._shown(folder / name)] = "it contains no batches that cnnlab reads"

    def _add_pictures(self, folder: Path, pictures: list[os.DirEntry[str]]) -> None:
        """Add the images of a folder. Links may not lead out of the folder that was named."""
        leaves = "it is a link that leaves the folder: copy the images into it"
        if not folder.resolve().is_relative_to(self._root):
            self.unread[f"{self._shown(folder)}/"] = leaves
            return
        for entry in [entry for entry in pictures if entry.is_symlink()]:
            if not Path(entry.path).resolve().is_relative_to(self._root):
                self.unread[self._shown(Path(entry.path))] = leaves
                pictures.remove(entry)
        self._n_pictures += len(pictures)
        if self._n_pictures > MAX_PICTURES:
            raise unexpected(f"at most {MAX_PICTURES:,} images in {self.shown}", "more", "Remove some.")
        if pictures:
            self.pictures[self._relative(folder)] = [entry.name for entry in pictures]

    def _relative(self, path: Path) -> str:
        relative = path.relative_to(self.path).as_posix()
        return "" if relative == "." else relative

    def _sort_files(self, folder: Path, names: list[str]) -> None:
        """Look for batches and archives among the files of a folder that are no images."""
        places, unread = group(folder, "", names)
        self.places += places
        read = {name for place in places for name, *_ in place.files}
        for name in names:
            path = folder / name
            if name in read:
                continue
            self.others.append(self._relative(path))
            if not path.exists():
                self.unread[self._shown(path)] = "it is a broken link"
            elif path.is_file() and (
                tar.is_tar(path) or archives.has_pictures(path) or (name not in unread and archives.is_archive(path))
            ):
                if self._is_new(path):
                    self._open(path)
            elif name in unread:
                self.unread[self._shown(path)] = unread[name]

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(self.path)) if path != self.path else path.name

    def _open(self, path: Path) -> None:
        """Look for images and batches in an archive."""
        try:
            is_zip = packed.is_zip(path)
            members = packed.zip_names(path) if is_zip else tar.names(path, pack_advice(path))
        except DataError as error:
            if path.name == ARCHIVE:
                self._failure = error
            self.unread[self._shown(path)] = (
                f"no tar archive (.tar, .tar.gz or .tar.bz2) that can be read: {archives.reason(path, error)}"
            )
            return
        pictures = [name for name in members if is_data(name) and is_picture(PurePosixPath(name).name)]
        if pictures:
            self.packed[path] = pictures
        if is_zip:
            if not pictures:
                self.unread[self._shown(path)] = "it is packed by zip: extract it"
            return
        files: dict[str, list[str]] = defaultdict(list)
        paths = {PurePosixPath(member) for member in members if len(member) < MAX_NAME}
        folders = {parent for member_path in paths for parent in member_path.parents}
        for member_path in sorted(paths - folders):
            if is_data(str(member_path)):
                parent = str(member_path.parent)
                files["" if parent == "." else parent].append(member_path.name)
        before = len(self.places)
        for inside, names in files.items():
            places, unread = group(path, inside, names)
            self.places += places
            self.unread |= {f"{self._shown(path)}: {name}": reason for name, reason in unread.items()}
        if len(self.places) == before and not pictures:
            self.unread.setdefault(self._shown(path), "it contains no batches that cnnlab reads")
            if path.name == ARCHIVE:
                self.places.append(Place(path, "", "cifar"))

    def place(self, kind: str) -> Place | None:
        """Return the only place with batches of a kind; None if there is none.

        Raises:
            DataError: There are several, or there is only CIFAR-10's own archive, and it is broken. A folder that was
                extracted from an archive beside it does not count.
        """
        places = [place for place in self.places if place.kind == kind]
        if self._failure and kind == "cifar" and not places:
            raise self._failure
        packed_places = [place for place in places if place.path.is_file()]
        places = [place for place in places if not any(_is_copy(place, archive) for archive in packed_places)]
        if len(places) > 1:
            expected = f"one folder or archive with batches in {self.shown}"
            is_whole = any({"train", "test"} <= {part for *_, part in place.files} for place in places)
            advice = "Name the one to read, or remove the other." if is_whole else "Move all batches into one folder."
            raise unexpected(expected, " and ".join(map(str, places[:2])), advice)
        return places[0] if places else None

    @cached_property
    def warnings(self) -> tuple[DataWarning, ...]:
        """Files that look like batches or archives and are not read: one line for each reason."""
        paths: dict[str, list[str]] = defaultdict(list)
        for path, reason in self.unread.items():
            paths[reason].append(path)
        return tuple(
            DataWarning("unread-files", f"Not read: {_list(names)}: {reason}.") for reason, names in paths.items()
        )

    def missing(self, expected: str) -> DataError:
        """Return the error that there are no batches; it names what looks like some."""
        received = " ".join(warning.text for warning in self.warnings)[:800].removesuffix(".") or "none of them"
        advice = (
            "data/README.md shows what is read, `cnnlab data sample` makes a small set, `cnnlab data fetch` "
            "downloads CIFAR-10."
        )
        if self._incomplete:
            received += f", except for a download that is not complete ({quote(self._incomplete[0], 100)})"
        return unexpected(f"{expected}, in {self.shown}", received, advice)


def is_data(path: str) -> bool:
    """Return whether no part of the path of an archive's member says that it holds no images."""
    return not any(_NO_DATA.fullmatch(part) for part in PurePosixPath(path).parts if part not in ("..", "."))


def _is(test: Callable[[], bool]) -> bool:
    try:
        return test()
    except OSError:  # a link to itself, for example
        return False


def _list(names: list[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(quote(name, 100) for name in names[:4]) + more


def _is_copy(place: Place, archive: Place) -> bool:
    """Return whether a folder has the files of an archive and its name, beside or below it."""
    if place is archive or place.path.is_file() or archive.path.parent not in place.path.parents:
        return False
    name = PurePosixPath(archive.inside).name or archive.path.name.partition(".")[0]
    return place.path.name == name and {file for file, *_ in place.files} == {file for file, *_ in archive.files}
