"""Splits into train, val and test: their sizes, their shares of the classes, and their digest."""

from dataclasses import replace

import numpy as np
import pytest

from cnnlab import data
from cnnlab.errors import ConfigError, DataError


def test_stratified(gray):
    """Every part has the same share of each class, no two parts share an image, and the split is reproducible."""
    split = data.split(gray, "stratified", 100, 40, 50)
    assert not set(split.train) & set(split.val)
    for indices, labels, size in (
        (split.train, gray.train_labels, 100),
        (split.val, gray.train_labels, 40),
        (split.test, gray.test_labels, 50),
    ):
        assert len(indices) == size
        assert np.bincount(labels[indices]).tolist() == [size // 10] * 10
    assert data.split(gray, "stratified", 100, 40, 50).digest == split.digest


def test_draws(gray):
    """Each draw has other training and validation images, in the same numbers, and the same test images."""
    draws = [data.split(gray, "stratified", 100, 40, 50, draw) for draw in range(3)]
    assert len({split.digest for split in draws}) == 3
    for split in draws:
        assert not set(split.train) & set(split.val)
        assert np.bincount(gray.train_labels[split.train]).tolist() == [10] * 10
        assert np.bincount(gray.train_labels[split.val]).tolist() == [4] * 10
        np.testing.assert_array_equal(split.test, draws[0].test)
    assert data.split(gray, "stratified", 100, 40, 50).digest == draws[0].digest, "the fixed split"


def test_digest(gray):
    """Stored runs are found by these digests: the same split must have the same digest in every version."""
    parts = [np.arange(3, dtype=np.int64), np.arange(3, 5, dtype=np.int64), np.arange(4, dtype=np.int64)]
    assert data.Split(*parts).digest == "e093bad30701c063e587b2b63706789a2f50a00e4ef0c7bab4e679ebcdb56add"
    assert data.Split(parts[1], parts[0], parts[2]).digest != data.Split(*parts).digest


def test_more_images_than_there_are(gray):
    """A fifth is for validation."""
    split = data.split(gray, "stratified", 40_000, 10_000, 10_000)
    assert (len(split.train), len(split.val), len(split.test)) == (160, 40, 100)


@pytest.mark.parametrize("size", [91, 99, 100, 101])
def test_few_images_left(gray, size):
    """A part takes all images if fewer than one per class would be left."""
    assert len(data.split(gray, "stratified", 100, 40, size).test) == 100


def test_fewer_images_than_classes(gray):
    with pytest.raises(DataError, match=r"as many images as there are classes, 10. Received: one of 7"):
        data.split(gray, "stratified", 100, 40, 7)


def test_last(gray):
    """The published split validates on the last fifth."""
    split = data.split(gray, "last", 40_000, 10_000, 10_000)
    assert split.val.tolist() == list(range(160, 200))
    assert split.train.tolist() == list(range(160))


def test_class_with_one_image(tiny):
    single = replace(tiny, train_labels=np.array([0] * 29 + [1]))
    with pytest.raises(DataError, match="1 of class 'bright'"):
        data.split(single, "stratified", 20, 5, 5)


def test_class_with_one_test_image(gray):
    """It is always in the sample, and the other classes keep their shares."""
    rare = replace(gray, test_labels=np.array([0] * 60 + [1] * 39 + [2]))
    split = data.split(rare, "stratified", 100, 40, 50)
    assert np.bincount(rare.test_labels[split.test]).tolist() == [30, 19, 1]


def test_a_rare_class_is_in_every_part(gray):
    """Its share of a small part would be no image."""
    rare = replace(gray, train_labels=np.array([0] * 198 + [1] * 2), test_labels=np.array([0] * 97 + [1] * 3))
    split = data.split(rare, "stratified", 100, 10, 10)
    for labels, part, size in (
        (rare.train_labels, split.train, 100),
        (rare.train_labels, split.val, 10),
        (rare.test_labels, split.test, 10),
    ):
        assert np.bincount(labels[part]).tolist() == [size - 1, 1]
    assert not set(split.train) & set(split.val)


def test_unknown_kind(tiny):
    with pytest.raises(ConfigError, match="stratified or last"):
        data.split(tiny, "random", 20, 5, 5)


def test_many_classes_of_few_images(gray):
    """Where a fifth is less than one image of each class, each class gives one image."""
    few = replace(gray, train_labels=np.arange(200) // 2, test_labels=np.arange(100))
    split = data.split(few, "stratified", 40_000, 10_000, 10_000)
    assert np.bincount(few.train_labels[split.val]).tolist() == [1] * 100
    assert np.bincount(few.train_labels[split.train]).tolist() == [1] * 100


def test_a_smaller_split_has_part_of_the_training_images_with_the_shares_of_the_classes(gray):
    split = data.split(gray, "stratified", 160, 40, 50, draw=2)
    smaller = data.smaller(gray, split, 80, draw=2)
    assert len(smaller.train) == 80
    assert set(smaller.train) < set(split.train)
    counts, of_half = (np.bincount(gray.train_labels[part.train]) for part in (split, smaller))
    assert np.abs(counts / 2 - of_half).max() < 1
    assert (smaller.val.tolist(), smaller.test.tolist()) == (split.val.tolist(), split.test.tolist())
    with pytest.raises(DataError, match="classes"):
        data.smaller(gray, split, 5)
