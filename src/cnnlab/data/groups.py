"""Divide images so that all images of a group (a patient, a burst, a video) stay together."""

import warnings

import numpy as np
from numpy.typing import NDArray

from cnnlab.data.messages import unexpected

SHARES = 5
"""A part is about one in this many images."""


def divide(labels: NDArray[np.int64], groups: NDArray[np.int64], seed: int) -> list[NDArray[np.int64]]:
    """Take about a fifth of some images out, in whole groups and about with the shares of the classes.

    Each class stays in the rest, and is in that fifth where that is possible.

    Args:
        labels: (n,) class of each image.
        groups: (n,) number of its group.
        seed: Of all random choices.

    Returns:
        Indices of that fifth, and of the rest, both rising.

    Raises:
        DataError: There is one group, or each division would leave the rest without a class.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    classes, numbers = np.unique(labels, return_inverse=True)
    n_shares = min(SHARES, len(np.unique(groups)), int(np.bincount(numbers).max()))
    if n_shares < 2:
        raise unexpected("images of at least two groups", "one group", "Add groups, or remove their column.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class may have fewer images than there are shares: they are compared below
        folds = StratifiedGroupKFold(n_shares, shuffle=True, random_state=seed).split(numbers, numbers, groups)
        pairs = [(part, rest) for rest, part in folds if len(part)]
    complete = [(part, rest) for part, rest in pairs if len(np.unique(labels[rest])) == len(classes)]
    if not complete:
        received = f"{len(classes)} classes in {len(np.unique(groups))} groups"
        advice = "Add groups of each class, or remove their column."
        raise unexpected("groups that can be divided so that each part has images of each class", received, advice)
    part, rest = max(complete, key=lambda pair: len(np.unique(labels[pair[0]])))  # the first one of the best
    return [np.sort(part).astype(np.int64), np.sort(rest).astype(np.int64)]
