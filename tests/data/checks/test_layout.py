"""Pixels that are read in a wrong order are found, with the order that they probably have."""

import re
from dataclasses import replace

import numpy as np
import pytest

from cnnlab import data
from cnnlab.data import sample
from cnnlab.data.checks.layout import layout


@pytest.fixture(scope="module")
def colour():
    return sample.make(train=300, test=100)


@pytest.fixture(scope="module")
def gray(colour):
    return data.gray(colour)


def changed(dataset, change):
    return replace(dataset, train_images=change(dataset.train_images), test_images=change(dataset.test_images))


def as_read(rows, side, channels):
    """What the reader makes of rows: channel after channel, row after row."""
    return rows.reshape(-1, channels, side, side).transpose(0, 2, 3, 1)


def rows_of(images):
    return images.reshape(len(images), -1)


def sorted_as_text(first):
    return [int(name) - first for name in sorted(str(place + first) for place in range(1024))]


SHUFFLED_LINES = np.random.default_rng(0).permutation(32)
SHUFFLED = np.random.default_rng(0).permutation(1024)
GRAY = {
    "RGBA images of 32 x 32": lambda x: as_read(
        rows_of(np.concatenate([x, x, x, np.full_like(x, 255)], axis=3)), 64, 1
    ),
    "grayscale with alpha images of 16 x 32": lambda x: as_read(
        rows_of(np.concatenate([x[:, ::2], np.full_like(x[:, ::2], 255)], axis=3)), 32, 1
    ),
    "grayscale images of 16 x 64": lambda x: as_read(rows_of(np.concatenate([x[:, :16], x[:, 16:]], axis=2)), 32, 1),
    "grayscale images of 64 x 16": lambda x: as_read(
        rows_of(np.concatenate([x[:, :, :16], x[:, :, 16:]], axis=1)), 32, 1
    ),
    "sorted as text": lambda x: as_read(rows_of(x)[:, sorted_as_text(0)], 32, 1),
    "look sorted as text": lambda x: as_read(rows_of(x)[:, sorted_as_text(1)], 32, 1),
    "the pixels look shuffled": lambda x: as_read(rows_of(x)[:, SHUFFLED], 32, 1),
    "the lines of pixels look shuffled": lambda x: x[:, SHUFFLED_LINES],
    "the columns of pixels look shuffled": lambda x: x[:, :, SHUFFLED_LINES],
    "a row for each pixel": lambda x: as_read(np.ascontiguousarray(rows_of(x).T), 32, 1),
}
COLOUR = {
    "interleaved (red, green, blue": lambda x: as_read(rows_of(x), 32, 3),
    "interleaved by line": lambda x: as_read(rows_of(x.transpose(0, 1, 3, 2)), 32, 3),
    "the pixels look shuffled": lambda x: as_read(
        rows_of(x)[:, np.r_[SHUFFLED, SHUFFLED + 1024, SHUFFLED + 2048]], 32, 3
    ),
}


@pytest.mark.parametrize("seen", GRAY)
def test_grayscale(gray, seen):
    lines = list(layout(changed(gray, GRAY[seen])))
    assert len(lines) == 2
    assert all(seen in line for line in lines)


@pytest.mark.parametrize("seen", COLOUR)
def test_colour(colour, seen):
    lines = list(layout(changed(colour, COLOUR[seen])))
    assert len(lines) == 2
    assert all(seen in line for line in lines)


def test_batches_that_are_transposed_one_by_one(gray):
    """Each of five training batches was written with a row for each pixel."""
    batches = [GRAY["a row for each pixel"](batch) for batch in np.split(gray.train_images, 5)]
    (line,) = layout(replace(gray, train_images=np.concatenate(batches)))
    assert "a row for each pixel" in line


def test_only_the_part_that_is_wrong_is_named(gray):
    wrong = GRAY["the pixels look shuffled"](gray.test_images)
    (line,) = layout(replace(gray, test_images=wrong))
    assert "test images" in line


def test_images_in_the_right_order(gray, colour):
    from sklearn.datasets import load_digits

    digits = (load_digits().images * 15).astype(np.uint8)[..., None]
    for images in (gray, colour, replace(gray, train_images=digits, test_images=digits)):
        assert not list(layout(images))


def test_images_without_any_pattern(gray):
    """Plain images give no line."""
    assert not list(layout(changed(gray, lambda x: np.full_like(x, 9))))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (rows_of, "look interleaved"),
        (lambda x: rows_of(x)[:, np.random.default_rng(0).permutation(3072)], "look shuffled"),
    ],
)
def test_one_batch_is_wrong(colour, change, expected):
    """The images of the other batches must not hide it."""
    images = colour.train_images.copy()
    images[240:] = as_read(change(images[240:]), 32, 3)
    (line,) = layout(replace(colour, train_images=images))
    assert re.search(rf"training images 2[45]\d to 2\d\d, and perhaps of others,.* {expected}", line), line
