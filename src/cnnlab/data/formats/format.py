"""What a format is, and the choice among those that are found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cnnlab.data.dataset import Dataset
from cnnlab.data.finding import Finder
from cnnlab.data.messages import unexpected
from cnnlab.data.size import Size


@dataclass(frozen=True)
class Wanted:
    """How images are read.

    Attributes:
        size: Height and width; None for their own, or 32 x 32.
        cache: Folder where decoded images are kept; None for none.
        on_progress: Called with the number of files that are decoded and the number of all.
    """

    size: Size | None = None
    cache: Path | None = None
    on_progress: Callable[[int, int], None] = lambda *_: None


@dataclass(frozen=True)
class Source:
    """Images of a format that were found.

    Attributes:
        shown: Where, for messages.
        read: Reads them; the size of formats that hold arrays may be another one than is wanted.
        is_likely: Whether they look complete. If nothing does, what was found is read and its error tells why.
    """

    shown: str
    read: Callable[[Wanted], Dataset]
    is_likely: bool = True


@dataclass(frozen=True)
class Format:
    """A format of images.

    Attributes:
        name: What messages call it, as "folders of classes".
        find: Returns the images of this format, None if there are none. It raises DataError if it is not clear which
            of several are meant.
        explains: Name of a format that does not count beside this one, because this one says what its files are.
    """

    name: str
    find: Callable[[Finder], Source | None]
    explains: str = ""


def find_all(finder: Finder, formats: Sequence[Format]) -> dict[str, Source]:
    """Return what is found of each format, by its name: all that looks complete, or else all."""
    sources = {known.name: source for known in formats if (source := known.find(finder))}
    sources = {name: source for name, source in sources.items() if source.is_likely} or sources
    explained = {known.explains for known in formats if known.name in sources}
    return {name: source for name, source in sources.items() if name not in explained}


def choose(finder: Finder, sources: dict[str, Source]) -> tuple[str, Source]:
    """Return the only format that is found, and its images.

    Raises:
        DataError: There is none, or there are several.
    """
    if not sources:
        raise finder.missing("images (a folder per class, a table of labels, .npz, idx files or batches)")
    if len(sources) > 1:
        received = ", ".join(f"{name} ({source.shown})" for name, source in sources.items())
        raise unexpected(
            f"images of one format in {finder.shown}", received, "Name the one to read, or move the other."
        )
    [(name, source)] = sources.items()
    return name, source
