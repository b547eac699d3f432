"""Find images that occur twice: exactly, or nearly."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cnnlab.data.dataset import Dataset, luma

HASH_SIDE = 8
"""The hash has a bit for each of the 8 x 8 lowest frequencies but the first, which is the mean brightness."""
HASH_DISTANCE = 8
"""Most bits in which the hashes of two images differ if the images are compared further."""
CORRELATION = 0.97
"""Least correlation of the pixels of near copies. docs/images.md says what this finds on CIFAR-10."""
MOST_CANDIDATES = 50
"""Training images that a test image is compared with, pixel by pixel: plain images may all have similar hashes."""
_BLOCK = 1 << 22  # pairs of hashes compared at a time


def identical(dataset: Dataset) -> Iterator[str]:
    """Yield a line if training images or test images are identical to others of the same part."""
    for (part, images), labels in zip(dataset.parts, (dataset.train_labels, dataset.test_labels), strict=True):
        rows = _rows(images)
        unique, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
        if len(unique) == 1 and len(images) > 1:
            yield f"All {len(images):,} {part} images are identical. Check how they were written."
            continue
        n_copies = len(images) - len(unique)
        if n_copies:
            n_mixed = int((labels != labels[first][inverse]).sum())
            mixed = f" ({n_mixed:,} with another label)" if n_mixed else ""
            yield f"{part} images identical to another one: {n_copies:,} of {len(images):,}{mixed}. Remove them."


def copies_in_test(dataset: Dataset) -> Iterator[str]:
    """Yield a line if test images are also training images."""
    n_copies = int(_is_copy(dataset).sum())
    if n_copies:
        yield (
            f"test images that are also training images: {n_copies:,} of {len(dataset.test_images):,}. Test scores are "
            "too high. Remove them from one of the two."
        )


def near_copies(dataset: Dataset) -> Iterator[str]:
    """Yield a line if test images are nearly, but not exactly, training images."""
    pairs = near_copy_pairs(dataset)
    pairs = pairs[~_is_copy(dataset)[pairs[:, 0]]]
    if len(pairs):
        (test, train), n_near = pairs[0], len(np.unique(pairs[:, 0]))
        yield (
            f"test images that are near copies of training images (correlation of the pixels at least {CORRELATION}): "
            f"{n_near:,} of {len(dataset.test_images):,}. Test scores may be too high. Look at them, for example at "
            f"test image {test} and training image {train}, and remove them if they show the same thing."
        )


def near_copy_pairs(dataset: Dataset) -> NDArray[np.int64]:
    """Find test images that equal a training image up to brightness, contrast and small changes.

    Pairs whose perceptual hashes differ little are compared pixel by pixel. The hash has a bit for each of the lowest
    frequencies of an image: whether it is above their median (pHash; Zauner 2010, Implementation and Benchmarking of
    Perceptual Image Hash Functions, section 3.2.1).

    Returns:
        (n, 2) int64: the index of a test image, and of a training image.
    """
    train, test = (_brightness(images) for _, images in dataset.parts)
    train_hashes, test_hashes = _hashes(train), _hashes(test)
    pairs = [np.empty((0, 2), np.int64)]
    step = max(_BLOCK // len(train), 1)
    for start in range(0, len(test), step):
        distances = np.bitwise_count(train_hashes ^ test_hashes[start : start + step, None])
        i, j = np.nonzero(distances <= HASH_DISTANCE)
        few = np.arange(len(i)) - np.searchsorted(i, i) < MOST_CANDIDATES  # `i` is sorted
        candidates = np.stack([i[few] + start, j[few]], axis=1)
        for part in np.array_split(candidates, len(candidates) // 10_000 + 1):
            correlations = np.einsum("np,np->n", _standardised(test[part[:, 0]]), _standardised(train[part[:, 1]]))
            pairs.append(part[correlations >= CORRELATION])
    return np.concatenate(pairs)


def _is_copy(dataset: Dataset) -> NDArray[np.bool_]:
    """Return whether each test image is also a training image: (n_test,)."""
    return np.isin(_rows(dataset.test_images), _rows(dataset.train_images))


def _rows(images: NDArray[np.uint8]) -> NDArray[np.void]:
    """Return each image as one value, which can be compared with others: (n,)."""
    flat = np.ascontiguousarray(images).reshape(len(images), -1)
    return flat.view(np.dtype((np.void, flat.shape[1])))[:, 0]


def _brightness(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return (luma(images) if images.shape[3] == 3 else images)[..., 0].astype(np.float32)


def _hashes(images: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Return a hash of each image (n, h, w): (n,)."""
    from scipy.fft import dct

    rows, columns = (dct(np.eye(side, dtype=np.float32), axis=0)[:HASH_SIDE] for side in images.shape[1:])
    low = np.einsum("ih,nhw,jw->nij", rows, images, columns, optimize=True).reshape(len(images), -1)[:, 1:]
    bits = np.zeros((len(images), HASH_SIDE**2), np.bool_)
    bits[:, : low.shape[1]] = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(np.uint64)[:, 0]


def _standardised(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return images (n, h, w) as rows with mean 0 and length 1; a plain image becomes zeros."""
    rows = images.reshape(len(images), math.prod(images.shape[1:]))
    rows = rows - rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    standardised: NDArray[np.float32] = rows / np.where(lengths > 1e-3, lengths, np.inf)
    return standardised
