"""Small gray copies of images, by which near copies are found."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cnnlab.data.dataset import luma

SIDE = 32
"""Largest height and width of a thumbnail."""
HASH_SIDE = 8
"""A hash has a bit for each of the 8 x 8 lowest frequencies but the first, which is the mean brightness."""
_PIXELS = 1 << 22  # worked on at a time


def thumbnails(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the brightness of images (n, h, w, c) in at most 32 x 32 pixels, each the mean of an area: (n, y, x)."""
    rows, columns = map(_areas, images.shape[1:3])
    small = np.empty((len(images), len(rows), len(columns)), np.uint8)
    for block in _blocks(images):
        gray = (luma(images[block]) if images.shape[3] == 3 else images[block])[..., 0]
        if gray.shape[1:] == small.shape[1:]:
            small[block] = gray
        else:
            small[block] = np.rint(rows @ gray.astype(np.float32) @ columns.T)
    return small


def hashes(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return a hash of each thumbnail (n, h, w): (n,).

    It has a bit for each of the lowest frequencies of an image: whether it is above their median (pHash; Zauner 2010,
    Implementation and Benchmarking of Perceptual Image Hash Functions, section 3.2.1).
    """
    from scipy.fft import dct

    rows, columns = (dct(np.eye(side, dtype=np.float32), axis=0)[:HASH_SIDE] for side in images.shape[1:])
    bits = np.zeros((len(images), HASH_SIDE**2), np.bool_)
    for block in _blocks(images):
        low = (rows @ images[block].astype(np.float32) @ columns.T).reshape(-1, len(rows) * len(columns))[:, 1:]
        bits[block, : low.shape[1]] = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(np.uint64)[:, 0]


def standardised(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return thumbnails (n, h, w) as rows with mean 0 and length 1; a plain image becomes zeros."""
    rows = images.reshape(len(images), math.prod(images.shape[1:])).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows /= np.where(lengths > 1e-3, lengths, np.inf)
    return rows


def _blocks(images: NDArray[np.uint8]) -> Iterator[slice]:
    """Yield the images a few at a time, so that little memory is needed beside them."""
    step = max(_PIXELS // max(images[:1].size, 1), 1)
    yield from (slice(start, start + step) for start in range(0, len(images), step))


def _areas(side: int) -> NDArray[np.float32]:
    """Return the weights (at most 32, side) by which the pixels of a line are averaged."""
    pixels, edges = np.arange(side), np.linspace(0, side, min(side, SIDE) + 1)[:, None]
    overlap = (np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)).clip(0)
    weights: NDArray[np.float32] = (overlap / overlap.sum(axis=1, keepdims=True)).astype(np.float32)
    return weights
