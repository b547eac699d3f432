"""A folder per class, with or without folders for training, validation and test images above them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from cnnlab.data.dataset import Dataset
from cnnlab.data.finding import Finder
from cnnlab.data.formats.format import Format, Source, Wanted
from cnnlab.data.formats.listing import Picture, few, part_of, read_pictures
from cnnlab.data.messages import DataWarning, unexpected

_Path = tuple[str, ...]
_ADVICE = "Put each class into a folder of its own, or add a table of labels (data/README.md)."


@dataclass
class _Layout:
    """What the folders with images mean.

    Attributes:
        labels: Part and class of the images of each folder.
        above: Folders with the class folders in them, each with its part.
        unlabelled: Folders whose images are in no class folder.
        outside: Folders beside those of the parts.
    """

    labels: dict[_Path, tuple[str, str]] = field(default_factory=dict)
    above: dict[_Path, str] = field(default_factory=dict)
    unlabelled: list[_Path] = field(default_factory=list)
    outside: list[_Path] = field(default_factory=list)

    def add(self, above: _Path, part: str, paths: Sequence[_Path]) -> None:
        """Take the folders below `above` as those of the classes."""
        self.above[above] = part
        for path in paths:
            if len(path) > len(above):
                self.labels[path] = part, path[len(above)]
            else:
                self.unlabelled.append(path)


def _find(finder: Finder) -> Source | None:
    if not finder.pictures:
        return None
    paths = [tuple(folder.split("/")) if folder else () for folder in finder.pictures]
    top = _shared(paths)
    n_classes = len({path[: len(top) + 2] for path in paths if len(path) > len(top)})
    return Source(finder.shown, lambda wanted: _read(finder, paths, wanted), is_likely=n_classes > 1)


def _read(finder: Finder, paths: list[_Path], wanted: Wanted) -> Dataset:
    layout = _layout(paths, finder.shown)
    pictures = []
    for path, (part, label) in layout.labels.items():
        folder = "/".join(path)
        pictures += [Picture(f"{folder}/{name}", label, part) for name in finder.pictures[folder]]
    warnings = [*finder.warnings, *_warnings(finder, layout)]
    if not pictures:
        raise unexpected(f"a folder per class in {finder.shown}", "images that are in no class folder", _ADVICE)
    return read_pictures(pictures, finder.path, finder.shown, warnings, wanted)


def _shared(paths: Sequence[_Path], start: _Path = ()) -> _Path:
    """Return the deepest folder that holds all folders with images, and is no class or part itself."""
    above = {path[:depth] for path in paths for depth in range(len(path))}
    leaves = [path for path in paths if path not in above]
    top = start
    while all(len(path) > len(top) + 1 for path in leaves) and len({path[len(top)] for path in leaves}) == 1:
        name = leaves[0][len(top)]
        if not start and part_of(name):
            break
        top = (*top, name)
    return top


def _layout(paths: Sequence[_Path], shown: str) -> _Layout:
    top = _shared(paths)
    below: dict[str, list[_Path]] = {}
    layout = _Layout()
    for path in paths:
        if len(path) > len(top):
            below.setdefault(path[len(top)], []).append(path)
        else:
            layout.unlabelled.append(path)
    nested = {name for name, inner in below.items() if any(len(path) > len(top) + 1 for path in inner)}
    parts = {name: part for name in below if (part := part_of(name))}
    if "train" in {parts.get(name) for name in nested} and (len(parts) > 1 or len(below) == 1):
        _add_parts(layout, top, parts, below)
    elif parts and set(parts) == set(below) and (set(parts) == nested or "train" in parts.values()):
        received = f"{few(sorted(parts))}, {'without class folders' if 'train' in parts.values() else 'without train'}"
        raise unexpected(f"train, and folders per class in it, in {shown}", received, _ADVICE)
    else:
        _check_one_set(top, below, nested, shown)
        layout.add(top, "train", [path for inner in below.values() for path in inner])
    return layout


def _add_parts(layout: _Layout, top: _Path, parts: dict[str, str], below: dict[str, list[_Path]]) -> None:
    for part, count in Counter(parts.values()).items():
        if count > 1:
            names = few([name for name in parts if parts[name] == part])
            raise unexpected(f"one folder of {part} images", names, "Name the one to read, or move the other.")
    for name, inner in below.items():
        if name in parts:
            layout.add(_shared(inner, (*top, name)), parts[name], inner)
        else:
            layout.outside += inner


def _check_one_set(top: _Path, below: dict[str, list[_Path]], nested: set[str], shown: str) -> None:
    """Refuse folders that all have the same folders: which of the two are the classes is not clear."""
    if len(below) < 2 or nested != set(below):
        return
    inner = [{path[len(top) + 1] for path in paths if len(path) > len(top) + 1} for paths in below.values()]
    shared = set.intersection(*inner)
    if len(shared) > 1:
        received = f"{few(sorted(shared))} in each of {few(sorted(below))}"
        advice = "Name the folder to read, or call the folders above the classes train, val and test."
        if all(map(part_of, shared)):
            advice = f"Put the parts above the classes: {sorted(shared)[-1]}/{sorted(below)[0]}."
        raise unexpected(f"one set of class folders in {shown}", received, advice)


def _warnings(finder: Finder, layout: _Layout) -> list[DataWarning]:
    warnings = []
    for folders, what, advice in (
        (layout.unlabelled, "are in no class folder", "Move them into one"),
        (layout.outside, "are beside the folders of training, validation and test images", "Move them, or ignore this"),
    ):
        files = ["/".join((*path, name)) for path in folders for name in finder.pictures["/".join(path)]]
        if files:
            warnings.append(DataWarning("unlabelled-images", f"{len(files):,} images {what}: {few(files)}. {advice}."))
    used = {path[:depth] for path in layout.labels for depth in range(1, len(path) + 1)}
    empty = [
        folder
        for folder in finder.folders
        if (path := tuple(folder.split("/")))[:-1] in layout.above and folder and path not in used
    ]
    if empty:
        text = f"Folders without an image, which make no class: {few(empty)}. Add images, or ignore this."
        warnings.append(DataWarning("unused-classes", text))
    return warnings


FORMAT = Format("folders of classes", _find)
