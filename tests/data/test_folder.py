"""Folders of grayscale batches and archives: read as a checked `Dataset`, or refused in one line."""

import os
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from cnnlab import data
from cnnlab.cli import main
from cnnlab.errors import CnnlabError, DataError


def write_batch(path, images, labels):
    images = np.asarray(images)
    pd.DataFrame(images.reshape(len(images), np.prod(images.shape[1:], dtype=int))).assign(label=labels).to_pickle(path)


def small_batches(path, *, batches=2, side=4, labels=(0, 1, 2)):
    rng = np.random.default_rng(0)
    for name in [f"train_batch{i}.pkl" for i in range(1, batches + 1)] + ["test_batch1.pkl"]:
        write_batch(path / name, rng.integers(0, 256, (9, side, side), dtype=np.uint8), list(labels) * 3)
    return path


@pytest.mark.parametrize(("batches", "side"), [(1, 4), (3, 5), (11, 8)])
def test_number_of_batches_and_image_side(tmp_path, batches, side):
    dataset = data.load_gray_batches(small_batches(tmp_path, batches=batches, side=side))
    assert dataset.train_images.shape == (9 * batches, side, side, 1)
    assert dataset.train_images.dtype == np.uint8
    assert dataset.test_images.shape == (9, side, side, 1)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (("cat", "dog", "ape"), ("ape", "cat", "dog")),
        ((10, 30, 20), ("10", "20", "30")),
        ((1.0, 0.0, 2.0), ("0", "1", "2")),
    ],
)
def test_labels(tmp_path, labels, names):
    dataset = data.load_gray_batches(small_batches(tmp_path, labels=labels))
    assert dataset.class_names == names
    assert [dataset.class_names[i] for i in dataset.train_labels[:3]] == [
        str(getattr(v, "__int__", lambda v=v: v)()) for v in labels
    ]


def test_class_names_of_the_archive(folder):
    """Batches with whole numbers as labels take their class names from it."""
    assert data.load(folder).gray.class_names[:2] == ("zero", "one")
    assert data.load_gray_batches(folder).class_names[:2] == ("0", "1")


def test_archive_only(folder, tmp_path):
    """Grayscale images are derived from the colour ones."""
    shutil.copy(folder / data.ARCHIVE, tmp_path)
    loaded = data.load(tmp_path)
    assert loaded.derived_gray
    assert loaded.gray.digest == data.load(folder).gray.digest


def test_batches_of_images_that_are_not_square_name_row_and_column(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 24, 40, 1), dtype=np.uint8)
    labels = np.arange(20) % 2
    dataset = data.Dataset(images, labels, images[:6], labels[:6], ("a", "b"))
    for written in (dataset, data.Dataset(images[:, :, :24], labels, images[:6, :, :24], labels[:6], ("a", "b"))):
        data.write_gray_batches(written, tmp_path, n_batches=2)
        loaded = data.load_gray_batches(tmp_path)
        np.testing.assert_array_equal(loaded.train_images, written.train_images)
        np.testing.assert_array_equal(loaded.test_images, written.test_images)
        assert loaded.train_labels.tolist() == written.train_labels.tolist()
    assert pd.read_pickle(tmp_path / "test_batch1.pkl").columns[1] == "pixel1", "squares as before"


def test_batches_only(tmp_path):
    assert data.load(small_batches(tmp_path)).colour is None


def test_empty_and_missing_folder(tmp_path):
    with pytest.raises(DataError, match="cnnlab data sample"):
        data.load(tmp_path)
    with pytest.raises(DataError, match="a data folder"):
        data.load(tmp_path / "nowhere")


def damage_pickle(path):
    (path / "train_batch2.pkl").write_bytes(b"\x80\x04nonsense")


def damage_gap(path):
    (path / "train_batch1.pkl").unlink()


def damage_test(path):
    (path / "test_batch1.pkl").unlink()


def damage_label(path):
    write_batch(path / "test_batch1.pkl", np.ones((2, 4, 4)) * 9, [0, 7])


def damage_no_label(path):
    write_batch(path / "train_batch1.pkl", np.ones((2, 4, 4)) * 9, [0, np.nan])


def damage_column(path):
    pd.DataFrame(np.ones((2, 16))).to_pickle(path / "train_batch1.pkl")


def damage_range(path):
    write_batch(path / "train_batch1.pkl", np.full((2, 4, 4), 256), [0, 1])


def damage_nan(path):
    write_batch(path / "train_batch1.pkl", np.full((2, 4, 4), np.nan), [0, 1])


def damage_scaled(path):
    write_batch(path / "train_batch1.pkl", np.full((2, 4, 4), 0.5), [0, 1])


def damage_text(path):
    write_batch(path / "train_batch1.pkl", np.full((2, 4, 4), "x"), [0, 1])


def damage_shape(path):
    write_batch(path / "train_batch1.pkl", np.ones((2, 15)) * 9, [0, 1])


def damage_size(path):
    write_batch(path / "train_batch2.pkl", np.ones((3, 5, 5)) * 9, [0, 1, 2])


def damage_kind(path):
    write_batch(path / "test_batch1.pkl", np.ones((2, 4, 4)) * 9, ["0", "1"])


def damage_no_pixels(path):
    pd.DataFrame({"label": [0, 1]}).to_pickle(path / "train_batch1.pkl")


def damage_one_kind(path):
    write_batch(path / "train_batch2.pkl", np.ones((2, 4, 4)) * 9, ["0", "1"])


def damage_type(path):
    (path / "train_batch1.pkl").write_bytes(pickle.dumps([1, 2]))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (damage_pickle, "train_batch2.pkl.*Received: a file that is broken.*to_pickle"),
        (damage_gap, "Expected train_batch1.pkl.*Received: train_batch2.pkl.*Add the missing batch"),
        (damage_test, "Expected test_batch1.pkl"),
        (damage_label, "among the 3 training classes.*Received: 7"),
        (damage_no_label, "a label in every row"),
        (damage_column, "one column named label"),
        (damage_range, "0 to 255.*256"),
        (damage_nan, "0 to 255.*nan"),
        (damage_scaled, "Multiply them by 255"),
        (damage_text, "numbers as pixels"),
        (damage_shape, "square images.*15"),
        (damage_size, "16 pixel columns in train_batch2.pkl.*25"),
        (damage_kind, "labels of one kind"),
        (damage_one_kind, "labels of one kind"),
        (damage_no_pixels, "rows of pixels"),
        (damage_type, "Received: a list"),
    ],
)
def test_wrong_batch(tmp_path, damage, words):
    damage(small_batches(tmp_path))
    with pytest.raises(DataError, match=words) as caught:
        data.load_gray_batches(tmp_path)
    assert "\n" not in str(caught.value)


def write_study(path, train, test, side=24):
    """Write a training and a test batch with these labels; the images are noise."""
    for name, labels in (("train_batch1", train), ("test_batch1", test)):
        images = np.random.default_rng(len(labels)).integers(0, 256, (len(labels), side * side), dtype=np.uint8)
        write_batch(path / f"{name}.pkl", images, labels)


@pytest.mark.parametrize(
    ("train", "test", "side", "words"),
    [
        ([0, 1, 2], [0, 1, 2], 24, "1 of class '0'"),
        ([0, 1, 2] * 20, [], 24, "without rows"),
        ([0] * 60, [0] * 10, 24, "at least two classes"),
        ([0, 1, 2] * 20, [0, 1, 2] * 5, 8, "images of at least 22 x 22 pixels.*8 x 8"),
        ([0, 1] * 30 + [2], [0, 1, 2] * 5, 24, "1 of class '2'"),
    ],
    ids=["three images", "no test image", "one class", "small images", "a class with one image"],
)
def test_check_unusable_folder(tmp_path, train, test, side, words):
    """`cnnlab data check` says in one line why."""
    write_study(tmp_path, train, test, side)
    done = CliRunner().invoke(main, ["data", "check", str(tmp_path)])
    assert done.exit_code == 2
    (line,) = done.output.splitlines()
    assert pd.Series([line]).str.contains(words, regex=True).all(), line


@pytest.mark.parametrize("side", [22, 28, 40])
def test_check_usable_folder(tmp_path, side):
    """Other sizes, and a class without test images, are accepted."""
    write_study(tmp_path, [0, 1, 2] * 20, [0, 1] * 10, side)
    done = CliRunner().invoke(main, ["data", "check", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert f"{side} x {side}, 3 classes" in done.output
    assert "Test has no image of 1 class (2)" in done.output


def test_no_regular_or_a_huge_file(tmp_path, monkeypatch):
    """It is refused before it is read."""
    write_study(tmp_path, [0, 1] * 20, [0, 1] * 10)
    monkeypatch.setattr("cnnlab.data.untrusted.pickle_values.MAX_BYTES", 1000)
    with pytest.raises(DataError, match="at most 1,000 bytes"):
        data.load_gray_batches(tmp_path)
    (tmp_path / "train_batch1.pkl").unlink()
    os.mkfifo(tmp_path / "train_batch1.pkl")
    with pytest.raises(CnnlabError, match="Received: none"):
        data.load_gray_batches(tmp_path)
