"""What a user should know about images before any fit: each check returns its warnings as plain lines."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from cnnlab.data.checks.copies import copies_in_test, identical, near_copies
from cnnlab.data.checks.layout import layout
from cnnlab.data.checks.pixels import pixel_range
from cnnlab.data.checks.sizes import class_sizes
from cnnlab.data.dataset import Dataset
from cnnlab.data.messages import DataWarning
from cnnlab.data.splits import Split
from cnnlab.errors import lookup, split_names

_CHECKS: Mapping[str, Callable[[Dataset, Split], Iterator[str]]] = {
    "pixel-range": lambda dataset, _: pixel_range(dataset),
    "layout": lambda dataset, _: layout(dataset),
    "identical-images": lambda dataset, _: identical(dataset),
    "test-copies": lambda dataset, _: copies_in_test(dataset),
    "near-copies": lambda dataset, _: near_copies(dataset),
    "small-classes": class_sizes,
}
_READING = (
    "unread-files", "broken-images", "mixed-colour", "unused-classes", "unlabelled-images", "missing-files",
    "repeated-rows",
)  # fmt: skip
"""Names of the warnings that come from reading the files."""
KINDS = (*_READING, *_CHECKS)
"""Names of all warnings about images."""


def accepted_kinds(names: str | Iterable[str]) -> frozenset[str]:
    """Return the kinds of warnings that a user accepts, given as a list or with commas between them.

    Raises:
        ConfigError: There is no such kind.
    """
    known = {kind: kind for kind in KINDS}
    return frozenset(lookup(known, name, "warning about images") for name in split_names("accept", names))


def check(dataset: Dataset, split: Split, accepted: str | Iterable[str] = ()) -> list[DataWarning]:
    """Return all warnings about images, except for kinds that the user accepts.

    Args:
        dataset: The images.
        split: Which of them the runs use.
        accepted: Kinds of warnings to leave out. Their checks are not made.

    Raises:
        ConfigError: There is no such kind.
    """
    kinds = accepted_kinds(accepted)
    warnings = [warning for warning in dataset.warnings if warning.name not in kinds]
    for name, find in _CHECKS.items():
        if name not in kinds:
            warnings += [DataWarning(name, text[0].upper() + text[1:]) for text in find(dataset, split)]
    return warnings
