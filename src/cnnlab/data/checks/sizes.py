"""Check how many images of each class are scored."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cnnlab.data.dataset import Dataset
from cnnlab.data.splits import Split

FEWEST = 10
"""Images of a class in `val` or `test` below which one image moves the class's recall by more than a tenth."""
_NAMED = 5


def class_sizes(dataset: Dataset, split: Split) -> Iterator[str]:
    """Yield a line for each of `val` and `test` that has few images, or none, of some classes."""
    n_classes = len(dataset.class_names)
    for part, indices, labels in (
        ("val", split.val, dataset.train_labels),
        ("test", split.test, dataset.test_labels),
    ):
        counts = np.bincount(labels[indices], minlength=n_classes)
        few = np.flatnonzero((counts > 0) & (counts < FEWEST))
        if few.size:
            yield (
                f"{part} has fewer than {FEWEST} images of {_classes(dataset, few, counts)}: their scores are rough. "
                "Use a larger PROFILE, or add images."
            )
        none = np.flatnonzero(counts == 0)
        if none.size:
            yield f"{part} has no image of {_classes(dataset, none)}: {part} F1 is the mean of the other classes."


def _classes(dataset: Dataset, labels: NDArray[np.int64], counts: NDArray[np.int64] | None = None) -> str:
    """Return how many classes, with the names of the first, and their numbers of images."""
    names = [dataset.class_names[label] + ("" if counts is None else f": {counts[label]}") for label in labels[:_NAMED]]
    more = ", ..." if len(labels) > _NAMED else ""
    return f"{len(labels)} {'class' if len(labels) == 1 else 'classes'} ({', '.join(names)}{more})"
