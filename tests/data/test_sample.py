"""The built-in sample is made offline, is the same every time, and comes in both real formats."""

import numpy as np
import pytest

from cnnlab import data
from cnnlab.data import sample


def test_the_same_seed_gives_the_same_images(colour):
    assert sample.make(train=200, test=100).digest == colour.digest
    assert sample.make(train=200, test=100, seed=1).digest != colour.digest


def test_the_sample_is_ten_balanced_classes_of_32x32_colour_images(colour):
    assert colour.train_images.shape == (200, 32, 32, 3)
    assert colour.train_images.dtype == np.uint8
    assert np.bincount(colour.train_labels).tolist() == [20] * 10
    assert np.bincount(colour.test_labels).tolist() == [10] * 10


def test_the_files_are_read_back_as_what_was_written(folder, colour, gray):
    assert data.load_cifar10(folder).digest == colour.digest
    read = data.load_gray_batches(folder)
    np.testing.assert_array_equal(read.train_images, gray.train_images)
    np.testing.assert_array_equal(read.test_labels, gray.test_labels)


def test_training_and_test_digits_are_different_ones(monkeypatch):
    seen = []

    def remember(digit, _photos, _rng):
        seen.append(digit.tobytes())
        return np.zeros((32, 32, 3), np.uint8)

    monkeypatch.setattr(sample, "_blend", remember)
    sample.make(train=3000, test=1500)
    assert not set(seen[:3000]) & set(seen[3000:])


def test_nothing_is_left_behind_when_writing_fails(tmp_path, colour, monkeypatch):
    monkeypatch.setattr(data, "write_gray_batches", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        sample.write(tmp_path / "sample", colour)
    assert list(tmp_path.iterdir()) == []
