"""Images with a table of their labels: CSV, or separated by tabs or semicolons."""

import csv
import re
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

import pandas as pd

from cnnlab.data.dataset import Dataset
from cnnlab.data.finding import Finder
from cnnlab.data.finding.pictures import TABLES, ending, stem
from cnnlab.data.formats import folders
from cnnlab.data.formats.format import Format, Source, Wanted
from cnnlab.data.formats.listing import Picture, few, part_of, read_pictures
from cnnlab.data.messages import DataWarning, quote, unexpected
from cnnlab.errors import DataError

MAX_BYTES = 256 << 20  # of a table
MAX_TABLES = 100  # that are looked at
_COLUMNS: Mapping[str, Sequence[str]] = {
    "file": (
        "file", "filename", "filepath", "image", "imagefile", "imagefilename", "imagename", "imagepath", "imageid",
        "img", "imgname", "imgpath", "path", "photo", "picture", "id", "name",
    ),
    "label": (
        "label", "labels", "class", "classes", "classname", "classlabel", "target", "category", "categoryname",
        "diagnosis", "dx", "y", "species", "breed",
    ),
    "split": ("split", "set", "subset", "part", "partition"),
    "group": (
        "group", "groupid", "patient", "patientid", "subject", "subjectid", "burst", "burstid", "video", "videoid",
        "sequence", "sequenceid", "lesion", "lesionid",
    ),
}  # fmt: skip
"""Names of columns, in small letters without spaces and marks. The first one of each wins over the others."""
_WEAK = {"id", "name"}
"""Names of file columns that count only where there is no other."""
_USUAL = re.compile(r".*(label|meta ?data|annotation|train|test|val|class|ground.?truth).*", re.I)
_SAMPLE = 1_000  # rows whose files are looked for before a table is read
_MOST_MISSING = 0.5


@dataclass
class _Table:
    """A table, and where its files are."""

    finder: Finder
    file: str

    @property
    def shown(self) -> str:
        return quote(self.file, 100)

    @property
    def part(self) -> str | None:
        return part_of(re.sub(r"[ _-]*(labels?|metadata|annotations?)$", "", PurePosixPath(self.file).stem, flags=re.I))

    def read(self, n_rows: int | None = None) -> pd.DataFrame:
        """Return the rows as texts; empty cells are "". Bytes are UTF-8 (UTF-16 if the file says so), else Latin-1."""
        path = self.finder.path / self.file
        try:
            if not path.is_file() or path.stat().st_size > MAX_BYTES:
                raise unexpected(f"{self.shown} to be a file of at most {MAX_BYTES:,} bytes", "another", "Shorten it.")
            with path.open("rb") as stream:
                start = stream.read(1 << 16)
            encoding = "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
            first = start.decode(encoding, "replace").partition("\n")[0]
            separator = max(",;\t|", key=first.count)

            def parse(encoding: str) -> pd.DataFrame:
                return pd.read_csv(
                    path, sep=separator, dtype=str, keep_default_na=False, encoding=encoding, nrows=n_rows,
                    index_col=False, quoting=csv.QUOTE_MINIMAL,
                )  # fmt: skip

            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)
                try:
                    return parse(encoding)
                except UnicodeDecodeError:
                    if encoding == "utf-16":
                        raise
                    return parse("latin-1")
        except pd.errors.ParserWarning as error:  # it would cut them off
            raise unexpected(
                f"as many cells in each row of {self.shown} as in its first one", "rows with more",
                f"Put cells that contain {separator!r} in double quotes.",
            ) from error  # fmt: skip
        except (OSError, ValueError, pd.errors.ParserError) as error:  # an empty file is a ValueError
            reason = error.strerror if isinstance(error, OSError) else quote(str(error), 120)
            raise unexpected(f"{self.shown} to be a table with commas", reason, "Save it as CSV.") from error

    @cached_property
    def header(self) -> list[str]:
        return [str(column) for column in self.read(0).columns]

    def column(self, kind: str) -> str | None:
        """Return the column of a kind, such as "label"; None if there is none.

        Raises:
            DataError: Several columns may be meant.
        """
        known = _COLUMNS[kind]
        plain = {column: re.sub(r"[\W_]", "", column.lower()) for column in self.header}
        named = [column for column in self.header if plain[column] in known]
        named = [column for column in named if plain[column] == kind] or named
        named = [column for column in named if plain[column] not in _WEAK] or named
        if len(named) > 1:
            expected = f"one column for the {kind} of each image in {self.shown}"
            raise unexpected(expected, few(named), f"Rename the right one to {kind}.")
        return named[0] if named else None

    def missing(self, kind: str) -> DataError:
        """Return the error that a column is missing."""
        word = {"file": "the names of the files", "label": "the labels"}[kind]
        expected = f"a column with {word} in {self.shown}"
        return unexpected(expected, f"columns {few(self.header)}", f"Rename the right one to {kind}.")


class _Files:
    """The images of a folder by their paths and names, with and without their endings."""

    def __init__(self, finder: Finder) -> None:
        self.all = [
            f"{folder}/{name}" if folder else name for folder, names in finder.pictures.items() for name in names
        ]
        parts = {folder: next(filter(None, map(part_of, folder.split("/"))), "train") for folder in finder.pictures}
        # Without a folder of training images, one with the name of another part means something else.
        has_train = any(part_of(name) == "train" for folder in parts for name in folder.split("/"))
        self._parts = parts if has_train else {}
        self._by_path = defaultdict[str, list[str]](list)
        self._by_name = defaultdict[str, list[str]](list)
        for file in self.all:
            name = file.rpartition("/")[2]
            for keys, key in ((self._by_path, file), (self._by_name, name)):
                keys[key].append(file)
                if stem(key) != key:
                    keys[stem(key)].append(file)

    def part(self, file: str) -> str:
        """Return the part of an image by the folders above it."""
        return self._parts.get(file.rpartition("/")[0], "train")

    def find(self, text: str, folder: str, part: str | None) -> list[str]:
        """Return the images that a table names like this: it may give a path, a name, or one without its ending.

        Args:
            text: A cell of the table.
            folder: The table's folder.
            part: The part of the row; of several files, those below a folder of its name are meant.
        """
        parts = [part for part in text.strip().replace("\\", "/").split("/") if part not in ("", ".")]
        if not parts:
            return []
        found = self._by_path.get("/".join((folder, *parts)) if folder else "/".join(parts), [])
        for start in range(len(parts)):
            found = found or self._by_path.get("/".join(parts[start:]), [])
        found = found or self._by_name.get(parts[-1], [])
        if len(found) > 1 and part:
            found = [file for file in found if part in map(part_of, file.split("/")[:-1])] or found
        return found


def _find(finder: Finder) -> Source | None:
    files = [file for file in finder.others if ending(file) in TABLES and "submission" not in file.lower()]
    if not finder.pictures or not files:
        return None
    known: list[_Table] = []
    unclear: list[tuple[_Table, DataError]] = []
    images = _Files(finder)
    for table in (_Table(finder, file) for file in files[:MAX_TABLES]):
        try:
            for kind in ("file", "label"):
                if table.column(kind) is None:
                    raise table.missing(kind)
            if not _names_files(table, images):
                raise unexpected(f"names of files that exist in {table.shown}", "none", "Correct them.")
            known.append(table)
        except DataError as error:
            if _USUAL.fullmatch(PurePosixPath(table.file).name):
                unclear.append((table, error))
                finder.unread.setdefault(table.file, f"{str(error)[0].lower()}{str(error)[1:]}".rstrip("."))
    if not known and unclear:
        first, reason = unclear[0]
        return Source(first.shown, lambda _: _fail(reason), is_likely=False)
    if len(known) > 1 and len({table.part for table in known} - {None}) < len(known):
        received = " and ".join(table.shown for table in known[:3])
        raise unexpected(f"one table of labels in {finder.shown}, or one for each part", received, "Move the others.")
    shown = " and ".join(table.shown for table in known)
    return Source(shown, lambda wanted: _read(finder, known, images, wanted)) if known else None


def _fail(error: DataError) -> Dataset:
    raise error


def _names_files(table: _Table, images: _Files) -> bool:
    column, folder = table.column("file"), _folder(table)
    cells = table.read(_SAMPLE)[column].tolist()
    return any(images.find(cell, folder, table.part) for cell in cells)


def _folder(table: _Table) -> str:
    return table.file.rpartition("/")[0]


def _read(finder: Finder, tables: Sequence[_Table], images: _Files, wanted: Wanted) -> Dataset:
    pictures: dict[str, Picture] = {}
    warnings: list[DataWarning] = []
    for table in tables:
        rows = table.read()
        several = len(tables) > 1
        warnings += _add_rows(table, rows, images, pictures, (table.part or "train") if several else None)
    others = [file for file in images.all if file not in pictures]
    if others:
        text = f"{len(others):,} images without a label in the table: {few(others)}. Add their labels, or ignore this."
        warnings.append(DataWarning("unlabelled-images", text))
    shown = " and ".join(table.shown for table in tables)
    return read_pictures(list(pictures.values()), finder.path, shown, [*finder.warnings, *warnings], wanted)


def _add_rows(
    table: _Table, rows: pd.DataFrame, images: _Files, pictures: dict[str, Picture], part: str | None
) -> list[DataWarning]:
    """Add the images of a table's rows; return what is wrong with rows that are not used.

    Args:
        table: The table.
        rows: What it holds.
        images: The images that there are.
        pictures: Those that are used, by their files; added to.
        part: The part of all rows, if the table is that of one; None: a column says it, or else the folders do.
    """
    file, label, split, group = (table.column(kind) for kind in _COLUMNS)
    columns = [rows[column].tolist() if column else [""] * len(rows) for column in (file, label, split, group)]
    missing, unlabelled, twice = list[str](), list[str](), list[str]()
    for name, class_name, split_name, group_name in zip(*columns, strict=True):
        if split and not (part_of(split_name.strip()) and split_name.strip()):
            expected = f"train, val or test in column {quote(split, 100)} of {table.shown}"
            raise unexpected(expected, quote(split_name, 100), "Correct it, or rename the column.")
        of_part = part_of(split_name.strip()) or part
        found = images.find(name, _folder(table), of_part if split else table.part)
        if len(found) > 1:
            advice = "Write its path, with its ending."
            raise unexpected(f"one image {quote(name, 100)}, which {table.shown} names", few(found), advice)
        if not found:
            missing.append(name)
        elif not class_name.strip():
            unlabelled.append(found[0])
        else:
            picture = Picture(found[0], class_name.strip(), of_part or images.part(found[0]), group_name.strip())
            before = pictures.setdefault(picture.file, picture)
            if (before.label, before.part) != (picture.label, picture.part):
                received = f"{quote(before.label)} in {before.part} and {quote(picture.label)} in {picture.part}"
                raise unexpected(f"one label and one part for {quote(picture.file, 100)}", received, "Remove a row.")
            if before is not picture:
                twice.append(name)
    if len(missing) > _MOST_MISSING * len(rows):
        raise unexpected(
            f"the files that {table.shown} names", f"{len(missing):,} missing: {few(missing)}", "Add them."
        )
    texts = (
        ("missing-files", missing, "files are missing", "Add them, or remove their rows"),
        ("unlabelled-images", unlabelled, "rows have no label", "Add it, or remove the rows"),
        ("repeated-rows", twice, "rows repeat another one", "Remove them"),
    )
    return [
        DataWarning(kind, f"{len(names):,} of {len(rows):,} {what} in {table.shown}: {few(names)}. {advice}.")
        for kind, names, what, advice in texts
        if names
    ]


FORMAT = Format("images with a table", _find, explains=folders.FORMAT.name)
