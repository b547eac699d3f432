"""Which files of a folder are batches, by their names: one rule for all formats."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from cnnlab.data.formats.batch import read_content
from cnnlab.data.messages import quote, unexpected
from cnnlab.data.untrusted import compressed, tar

ARCHIVE = "cifar-10-python.tar.gz"
_ENDING = r"(?P<ending>(?:\.(?:pkl|pickle|p))?(?:\.(?:gz|gzip|bz2|xz|zip))?)"
_BATCH = re.compile(
    r"(?P<part>train|training|data|test|testing)[ _.-]*batch(?:[ _.-]*(?P<number>\d{1,9}))?(?P<rest>.*)", re.I
)
_META = re.compile(rf"batch(es)?[ _.-]*meta{_ENDING}", re.I)
_CIFAR100 = re.compile(rf"(?P<part>train|test|meta){_ENDING}", re.I)
_PICKLE = re.compile(r".+\.(pkl|pickle|p)(\.[a-z0-9]{1,4})?", re.I)
_READABLE = (
    "decompress or convert it: cnnlab reads pickles (.pkl, .pickle, .p or no ending), also as .gz, .bz2, .xz or .zip"
)


@dataclass
class Place:
    """Batches of one kind in one folder.

    Attributes:
        path: The folder, or the archive that contains it.
        inside: The folder in the archive.
        kind: "gray" (data frames) or "cifar".
        files: Each batch's name, number (if it has one) and part: "train", "test" or "meta".
        unread: Names of other files there that look like batches.
    """

    path: Path
    inside: str
    kind: str
    files: list[tuple[str, int | None, str]] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{str(self.path)!r}" + (f" ({quote(self.inside, 100)})" if self.inside and self.path.is_file() else "")

    @property
    def is_official(self) -> bool:
        """Whether this is the archive of CIFAR-10's home page, which can be fetched again."""
        return self.path.name == ARCHIVE

    @property
    def advice(self) -> str:
        """What to do if a file is broken."""
        return "Fetch it again." if self.is_official else "Write it again with pickle.dump, as plain arrays and lists."

    def names(self, part: str) -> list[str]:
        """Return the files of "train" or "test" in the order of their numbers, from 0 or 1 without a gap.

        Raises:
            DataError: One is missing, or two have the same number.
        """
        files = sorted((number, name) for name, number, of in self.files if of == part and number is not None)
        plain = [name for name, number, of in self.files if of == part and number is None]
        if len(plain) == 1 and not files:
            return plain
        present = [name for name, _, of in self.files if of == part] or [name for name, *_ in self.files]
        received = ", ".join(sorted(present)[:20]) or "no batch at all"
        if plain and (files or len(plain) > 1):
            pair = [*sorted(plain), *(name for _, name in files)][:2]
            raise unexpected(f"one {part} batch per number in {self}", " and ".join(pair), "Rename or remove one.")
        for (number, first), (following, second) in pairwise(files):
            if number == following:
                advice = "Rename or remove one."
                raise unexpected(f"one {part} batch per number in {self}", f"{first} and {second}", advice)
        numbers = [number for number, _ in files]
        start = 0 if numbers[:1] == [0] else 1
        missing = next((number for number in range(start, start + len(numbers)) if number not in numbers), None)
        if not files or missing is not None:
            name = self._spell(part, 1 if missing is None else missing, files)
            advice = "Fetch the archive again." if self.is_official else "Add the missing batch."
            if self.unread:
                received += f", and a name that is not read: {', '.join(quote(name, 60) for name in self.unread[:3])}"
                advice = "Rename or convert it."
            raise unexpected(f"{name} in {self}", received, advice)
        return [name for _, name in files]

    def _spell(self, part: str, number: int, files: list[tuple[int, str]]) -> str:
        """Return the name of a missing batch, spelled as the others are."""
        if files:
            return re.sub(r"\d+", str(number), files[-1][1], count=1)
        if self.kind == "gray":
            return f"{part}_batch{number}.pkl"
        if any(_CIFAR100.fullmatch(name) for name, *_ in self.files):
            return part
        return "test_batch" if part == "test" else f"data_batch_{number}"

    def contents(self, names: list[str]) -> Iterator[bytes]:
        """Yield the unpacked content of each of some files.

        Raises:
            DataError: One cannot be read.
        """
        if self.path.is_dir():
            for name in names:
                yield compressed.unpack(read_content(self.path / name), name)
            return
        before = re.escape(f"{self.inside}/" if self.inside else "")
        wanted = re.compile(rf"(\./)?{before}({'|'.join(map(re.escape, names))})")
        packed = dict(tar.members(self.path, wanted, pack_advice(self.path)))
        for name in names:
            if name not in packed:
                raise unexpected(f"{name} in {self}", "an unusual path to it", pack_advice(self.path))
            yield compressed.unpack(packed.pop(name), name)


def pack_advice(path: Path) -> str:
    """Return what to do if an archive is broken."""
    return tar.REFETCH if path.name == ARCHIVE else "Pack it again."


def group(path: Path, inside: str, names: list[str]) -> tuple[list[Place], dict[str, str]]:
    """Return the batches among the names of a folder's files, and why others that look like batches are not read."""
    found: dict[str, Place] = {}
    unread: dict[str, str] = {}
    tests: list[tuple[str, int | None, str]] = []

    def place(kind: str) -> Place:
        return found.setdefault(kind, Place(path, inside, kind))

    for name in names:
        match = _BATCH.fullmatch(name)
        if match and re.fullmatch(_ENDING, match["rest"], re.I):
            part, number = match["part"].lower(), None if match["number"] is None else int(match["number"])
            if part.startswith("test"):
                tests.append((name, number, "test"))
            else:
                place("cifar" if part == "data" else "gray").files.append((name, number, "train"))
        elif _META.fullmatch(name):
            place("cifar").files.append((name, None, "meta"))
        elif match or "batch" in name.lower():
            unread[name] = (
                _READABLE if match else "its name is not clear: use train_batch<N>, data_batch_<N> or test_batch<N>"
            )
    if len(found) == 1 and tests:
        next(iter(found.values())).files += tests
    else:  # both kinds, or tests only: tests of gray batches have numbers
        for entry in tests:
            is_numbered = entry[1] is not None or Path(entry[0]).suffix
            place("gray" if is_numbered else "cifar").files.append(entry)
    large = {name: match["part"].lower() for name in names if (match := _CIFAR100.fullmatch(name))}
    if "cifar" not in found and ("meta" in large.values() or {"train", "test"} <= set(large)):
        place("cifar").files += [(name, None, part) for name, part in large.items()]
    else:
        reason = "there are other batches in its folder" if "cifar" in found else "it needs train, test and meta"
        unread |= dict.fromkeys(large, reason)
    read = {name for place in found.values() for name, *_ in place.files}
    for one in found.values():
        one.unread = sorted(unread)
    unread |= {
        name: "it is no batch by its name"
        for name in names
        if name not in read | set(unread) and _PICKLE.fullmatch(name)
    }
    return list(found.values()), unread
