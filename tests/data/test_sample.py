"""The built-in sample: made offline, always the same, written in both formats."""

import numpy as np
import pytest

from cnnlab import data
from cnnlab.data import sample
from conftest import ROOT


def test_seed(colour):
    assert sample.make(train=200, test=100).digest == colour.digest
    assert sample.make(train=200, test=100, seed=1).digest != colour.digest


def test_shapes_and_classes(colour):
    assert colour.train_images.shape == (200, 32, 32, 3)
    assert colour.train_images.dtype == np.uint8
    assert np.bincount(colour.train_labels).tolist() == [20] * 10
    assert np.bincount(colour.test_labels).tolist() == [10] * 10


def test_write_and_read(folder, colour, gray):
    assert data.load_cifar10(folder).digest == colour.digest
    read = data.load_gray_batches(folder)
    np.testing.assert_array_equal(read.train_images, gray.train_images)
    np.testing.assert_array_equal(read.test_labels, gray.test_labels)


def test_no_digit_is_in_both_parts(monkeypatch):
    seen = []

    def record(digit, _photos, _rng):
        seen.append(digit.tobytes())
        return np.zeros((32, 32, 3), np.uint8)

    monkeypatch.setattr(sample, "_blend", record)
    sample.make(train=3000, test=1500)
    assert not set(seen[:3000]) & set(seen[3000:])


def test_full_disk(tmp_path, colour, monkeypatch):
    """No file stays behind."""
    monkeypatch.setattr(sample, "write_gray_batches", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        sample.write(tmp_path / "sample", colour)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_starts_in_the_project_whatever_the_working_directory_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert data.find_folder("data/mine") == ROOT / "data" / "mine"
    assert data.find_folder(tmp_path / "mine") == tmp_path / "mine"
    assert not list(tmp_path.iterdir()), "only the sample is made"


def test_the_sample_is_written_if_its_folder_is_missing(tmp_path, colour, monkeypatch):
    monkeypatch.setattr(sample, "make", lambda: colour)
    folder = data.find_folder(tmp_path / "data" / "sample")
    assert data.load(folder).colour.digest == colour.digest
    written = (folder / "test_batch1.pkl").stat().st_mtime_ns
    assert data.find_folder(folder) == folder
    assert (folder / "test_batch1.pkl").stat().st_mtime_ns == written
