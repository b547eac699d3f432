"""Find images that occur twice: exactly, or nearly."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnnlab.data.checks.thumbnails import hashes, standardised, thumbnails
from cnnlab.data.dataset import Dataset, image_name

HASH_DISTANCE = 8
"""Most bits in which the hashes of two images differ if the images are compared further."""
CORRELATION = 0.97
"""Least correlation of the pixels of near copies. docs/images.md says what this finds on CIFAR-10."""
MOST_CANDIDATES = 50
"""Images that an image is compared with, pixel by pixel: plain images may all have similar hashes."""
NAMED = 3
"""Pairs that a warning names."""
_ROWS, _COLUMNS = 64, 4096
"""Hashes that are compared at a time: each of the ones with each of the others, in the processor's cache."""
_BLOCK = 4096  # pairs of images compared at a time


@dataclass(frozen=True)
class Pairs:
    """Images that are copies of others: one pair for each copy, with the image that it resembles most.

    Attributes:
        parts: "training" or "test", of the originals and of the copies.
        indices: (n, 2) int64, those of an original and of its copy; pairs of different labels first, then in the order
            of the copies. In one part, the original is the earlier image.
        is_exact: (n,) whether all pixels are equal. Other pairs are near copies.
        is_mixed: (n,) whether the two labels differ.
    """

    parts: tuple[str, str]
    indices: NDArray[np.int64]
    is_exact: NDArray[np.bool_]
    is_mixed: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.indices)

    def of_kind(self, *, exact: bool) -> "Pairs":
        """Return the exact copies or the near ones."""
        kept = self.is_exact == exact
        return Pairs(self.parts, self.indices[kept], self.is_exact[kept], self.is_mixed[kept])


_found: dict[tuple[str, bytes], tuple[Pairs, Pairs, Pairs]] = {}
"""The copies in the last dataset, by its digest and its groups: checks and pictures ask for the same ones."""


def find_copies(dataset: Dataset) -> tuple[Pairs, Pairs, Pairs]:
    """Find the copies among the training images, among the test images, and of training images in the test part.

    Near copies are equal up to brightness, contrast and small changes. Each image is shrunk to at most 32 x 32 gray
    pixels. Pairs whose perceptual hashes differ little are compared pixel by pixel, each image with the first
    `MOST_CANDIDATES` of them. A copy of several images is in one pair, with the one that it resembles most.
    """
    key = dataset.digest, b"" if dataset.groups is None else dataset.groups.tobytes()
    if key not in _found:
        labels = dataset.train_labels, dataset.test_labels
        parts = [_part(name, images, labels[place]) for place, (name, images) in enumerate(dataset.parts)]
        train, test = parts
        _found.clear()
        _found[key] = _copies(train, train, dataset.groups), _copies(test, test), _copies(train, test)
    return _found[key]


def identical(dataset: Dataset) -> Iterator[str]:
    """Yield a line if training images or test images are identical to others of the same part."""
    for (part, images), pairs in zip(dataset.parts, find_copies(dataset), strict=False):
        copies = pairs.of_kind(exact=True)
        if len(copies) == len(images) - 1 > 0:
            yield f"All {len(images):,} {part} images are identical. Check how they were written."
        elif len(copies):
            yield (
                f"{part} images identical to another one: {len(copies):,} of {len(images):,}{_mixed(copies)}. "
                f"{_named(dataset, copies)} Remove them."
            )


def copies_in_test(dataset: Dataset) -> Iterator[str]:
    """Yield a line if test images are also training images."""
    copies = find_copies(dataset)[2].of_kind(exact=True)
    if len(copies):
        yield (
            f"test images that are also training images: {len(copies):,} of {len(dataset.test_images):,}"
            f"{_mixed(copies)}. {_named(dataset, copies)} Test scores are too high. Remove them from one of the "
            "two."
        )


def near_copies(dataset: Dataset) -> Iterator[str]:
    """Yield a line for each two parts of which images are nearly, but not exactly, equal."""
    results = (
        "Validation scores may be too high, because one of a pair may be in train and the other in val.",
        "They count twice in the test scores.",
        "Test scores may be too high.",
    )
    for pairs, result in zip(find_copies(dataset), results, strict=True):
        copies, (other, part) = pairs.of_kind(exact=False), pairs.parts
        if len(copies):
            n_images = len(dict(dataset.parts)[part])
            others = f"{other} images" if other != part else "others"
            yield (
                f"{part} images that are near copies of {others} (correlation of the pixels at least {CORRELATION}): "
                f"{len(copies):,} of {n_images:,}{_mixed(copies)}. {_named(dataset, copies)} {result} Look at "
                "them, and remove those that show the same thing."
            )


def _named(dataset: Dataset, pairs: Pairs) -> str:
    """Return a sentence with the names of the first pairs."""
    named = [
        " and ".join(image_name(dataset, part, index) for part, index in zip(pairs.parts, pair, strict=True))
        for pair in pairs.indices[:NAMED].tolist()
    ]
    return f"Pairs: {'; '.join(named)}{'; ...' if len(pairs) > NAMED else '.'}"


def _mixed(pairs: Pairs) -> str:
    n_mixed = int(pairs.is_mixed.sum())
    return f" ({n_mixed:,} with another label)" if n_mixed else ""


@dataclass(frozen=True)
class _Part:
    """The training or the test images, as they are compared: `exact` is equal where all pixels are."""

    name: str
    labels: NDArray[np.int64]
    exact: NDArray[np.uint64]
    small: NDArray[np.uint8]
    codes: NDArray[np.uint64]


def _part(name: str, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> _Part:
    small = thumbnails(images)
    return _Part(name, labels, _digests(images), small, hashes(small))


def _copies(part: _Part, other: _Part, groups: NDArray[np.int64] | None = None) -> Pairs:
    """Find images of a part that have copies in another one, or in the same one.

    Near copies in one group do not count. A near copy is compared with the first one of exact copies only.
    """
    unique, first, inverse = np.unique(part.exact, return_index=True, return_inverse=True)
    originals, others = np.sort(first), np.unique(other.exact, return_index=True)[1]
    if other is part:
        copies = np.flatnonzero(first[inverse] != np.arange(len(inverse)))
        exact = np.stack([first[inverse[copies]], copies], axis=1)
    else:
        place = np.searchsorted(unique, other.exact).clip(max=len(unique) - 1)
        copies = np.flatnonzero(unique[place] == other.exact)
        exact = np.stack([first[place[copies]], copies], axis=1)
    others = np.setdiff1d(others, copies)
    near = _near(part, originals, other, others, groups)
    indices, is_exact = np.concatenate([exact, near]), np.arange(len(exact) + len(near)) < len(exact)
    is_mixed = part.labels[indices[:, 0]] != other.labels[indices[:, 1]]
    order = np.lexsort([indices[:, 1], ~is_mixed])
    return Pairs((part.name, other.name), indices[order], is_exact[order], is_mixed[order])


def _digests(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return a digest of each image, which is equal where all pixels are: (n,)."""
    whole = (hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=8).digest() for image in images)
    return np.frombuffer(b"".join(whole), np.uint64)


def _near(
    part: _Part,
    originals: NDArray[np.int64],
    other: _Part,
    others: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
) -> NDArray[np.int64]:
    """Return the near copies of originals among others, both given as sorted indices: (k, 2) indices.

    In one part, both are the same images, and each is compared with earlier ones, but not with those of its group.
    """
    best, score = np.zeros(len(others), np.int64), np.full(len(others), -1.0, np.float32)
    codes, other_codes = part.codes[originals], other.codes[others]
    for start in range(0, len(others), _ROWS):
        pairs = _candidates(codes, other_codes[start : start + _ROWS], start if other is part else None)
        for block in np.array_split(pairs, len(pairs) // _BLOCK + 1):
            i, j = block[:, 0], block[:, 1] + start
            if groups is not None:
                are_apart = groups[originals[i]] != groups[others[j]]
                i, j = i[are_apart], j[are_apart]
            first, second = standardised(part.small[originals[i]]), standardised(other.small[others[j]])
            correlations = np.einsum("np,np->n", first, second)
            order = np.argsort(correlations, kind="stable")  # the highest one of each `j` is assigned last
            i, j, correlations = i[order], j[order], correlations[order]
            higher = correlations > score[j]
            best[j[higher]], score[j[higher]] = i[higher], correlations[higher]
    found = np.flatnonzero(score >= CORRELATION)
    return np.stack([originals[best[found]], others[found]], axis=1)


def _candidates(codes: NDArray[np.uint64], rows: NDArray[np.uint64], start: int | None) -> NDArray[np.int64]:
    """Return the pairs of similar hashes: (k, 2) indices into `codes` and `rows`, at most `MOST_CANDIDATES` a row.

    If `start` is given, the rows are those of `codes` from there, and each is paired with earlier ones only.
    """
    counts = np.zeros(len(rows), np.int64)
    pairs = [np.empty((0, 2), np.int64)]
    end = len(codes) if start is None else start + len(rows)
    for column in range(0, end, _COLUMNS):
        open_rows = np.flatnonzero(counts < MOST_CANDIDATES)
        if not len(open_rows):
            break
        others = codes[column : min(column + _COLUMNS, end)]
        similar = np.flatnonzero(np.bitwise_count(rows[open_rows, None] ^ others) <= HASH_DISTANCE)
        if not len(similar):
            continue
        row, other = open_rows[similar // len(others)], similar % len(others) + column
        if start is not None:
            is_earlier = other < row + start
            row, other = row[is_earlier], other[is_earlier]
        place = counts[row] + np.arange(len(row)) - np.searchsorted(row, row)  # `row` is sorted
        few = place < MOST_CANDIDATES
        counts += np.bincount(row, minlength=len(rows))
        pairs.append(np.stack([other[few], row[few]], axis=1))
    return np.concatenate(pairs)
