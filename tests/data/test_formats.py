"""Batches as they come: in other orders, shapes and types, with pieces missing; each read right, or named in a line."""

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from cnnlab import data
from cnnlab.cli import main
from cnnlab.data.formats import gray
from cnnlab.errors import CnnlabError, DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (9, 16), dtype=np.uint8)
LABELS = [0, 1, 2] * 3


def frame(columns=None, images=IMAGES, labels=LABELS):
    return pd.DataFrame(images, columns=columns).assign(label=labels)


def read(path, table):
    table.to_pickle(path / "train_batch1.pkl")
    return gray.read_gray(path / "train_batch1.pkl")


NUMBERED = {
    "numbers": list(range(16)),
    "numbers from one": list(range(1, 17)),
    "text": [str(number) for number in range(16)],
    "prefix": [f"pixel{number}" for number in range(16)],
    "zeros in front": [f"px_{number:04d}" for number in range(16)],
}


@pytest.mark.parametrize("columns", NUMBERED.values(), ids=NUMBERED)
def test_numbered_columns_in_another_order_are_put_into_theirs(tmp_path, columns):
    table = frame(columns)
    shuffled = table[[*np.random.default_rng(1).permutation(columns), "label"]] if columns[0] != 0 else table[
        [15, "label", *range(15)]
    ]  # fmt: skip
    batch = read(tmp_path, shuffled)
    np.testing.assert_array_equal(batch.images.reshape(9, 16), IMAGES)
    assert batch.labels.tolist() == LABELS


def test_columns_sorted_as_text_are_put_into_the_order_of_their_numbers(tmp_path):
    batch = read(tmp_path, frame(NUMBERED["prefix"]).sort_index(axis=1))
    np.testing.assert_array_equal(batch.images.reshape(9, 16), IMAGES)


def test_columns_without_numbers_keep_their_order(tmp_path):
    columns = [f"{row}x{column}" for row in range(1, 5) for column in range(1, 5)]
    batch = read(tmp_path, frame(columns))
    np.testing.assert_array_equal(batch.images.reshape(9, 16), IMAGES)
    assert batch.columns == tuple(columns)


def test_batches_whose_unnumbered_columns_differ_in_order_are_refused(tmp_path):
    columns = list("abcdefghijklmnop")
    frame(columns).to_pickle(tmp_path / "train_batch1.pkl")
    frame(columns)[[*columns[::-1], "label"]].to_pickle(tmp_path / "test_batch1.pkl")
    with pytest.raises(DataError, match="same pixel columns in the same order in test_batch1"):
        data.load_gray_batches(tmp_path)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (frame([*NUMBERED["prefix"][:-1], "pixel3"]), "each pixel column once.*'pixel3' 2 times"),
        (frame([*NUMBERED["prefix"][:-1], "pixel20"]), "without a gap, each once.*20 after 14"),
        (frame([*NUMBERED["prefix"][:-1], "pixel03"]), "each once.*3 after 3"),
        (frame(labels=["a", "b\n", "c"] * 3), r"printable characters.*'b\\n'"),
        (frame(labels=["a", "b" * 300, "c"] * 3), "at most 200 printable"),
        (pd.concat([frame(), frame()["label"]], axis=1), "one column named label"),
        (frame(images=IMAGES[:, :15]), "square images.*15"),
        (frame(images=np.where(IMAGES > 100, np.inf, 7.0)), "0 to 255.*inf"),
        (frame(images=IMAGES.astype(str)), "numbers as pixels"),
        (frame(images=IMAGES.astype(complex)), "Received: one that needs|array of type 'c16'"),
        (frame(labels=[0.5, 1, 2] * 3), "whole numbers or strings"),
        (frame(labels=[1e300, 1, 2] * 3), "whole numbers or strings"),
        (frame(labels=["a", None, "b"] * 3), "a label in every row"),
        (frame(labels=pd.Categorical(["a", "b", "c"] * 3)), "Categorical.*df.astype"),
        (frame(labels=pd.date_range("2020", periods=9)), "Received: .*Write it again"),
        (frame().set_index(pd.MultiIndex.from_product([[0, 1, 2], [0, 1, 2]])), "MultiIndex.*df.reset_index"),
    ],
)  # fmt: skip
def test_a_frame_that_cannot_be_right_is_named_in_a_line(tmp_path, table, words):
    with pytest.raises(DataError, match=words) as caught:
        read(tmp_path, table)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("labels", [[0.0, 1.0, 2.0], ["a", "b", "c"], [True, False, True], [np.uint8(4), 5, 6]])
def test_labels_of_other_types_are_read(tmp_path, labels):
    assert len(set(read(tmp_path, frame(labels=labels * 3)).labels.tolist())) == len(set(labels))


def write_study(path, train, test, side=24):
    """Two batches with labels as told; the images are noise."""
    for name, labels in (("train_batch1", train), ("test_batch1", test)):
        images = np.random.default_rng(len(labels)).integers(0, 256, (len(labels), side * side), dtype=np.uint8)
        frame(None, images, labels).to_pickle(path / f"{name}.pkl")


@pytest.mark.parametrize(
    ("train", "test", "side", "words"),
    [
        ([0, 1, 2], [0, 1, 2], 24, "enough images to train on"),
        ([0, 1, 2] * 20, [], 24, "without rows"),
        ([0] * 60, [0] * 10, 24, "at least two classes"),
        ([0, 1, 2] * 20, [0, 1, 2] * 5, 8, "images large enough for 3 blocks.*8x8"),
        ([0, 1] * 30 + [2], [0, 1, 2] * 5, 24, "1 of class '2'"),
    ],
    ids=["three images", "no test image", "one class", "small images", "a lonely class"],
)
def test_check_says_in_a_line_why_a_folder_cannot_be_studied(tmp_path, train, test, side, words):
    write_study(tmp_path, train, test, side)
    done = CliRunner().invoke(main, ["data", "check", str(tmp_path)])
    assert done.exit_code == 2
    (line,) = done.output.splitlines()
    assert pd.Series([line]).str.contains(words, regex=True).all(), line


@pytest.mark.parametrize("side", [22, 28, 40])
def test_a_class_without_test_images_and_other_sizes_can_be_studied(tmp_path, side):
    write_study(tmp_path, [0, 1, 2] * 20, [0, 1] * 10, side)
    done = CliRunner().invoke(main, ["data", "check", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert f"{side} x {side}, 3 classes" in done.output
    assert "No test image of 2" in done.output


def test_a_batch_that_is_a_folder_a_pipe_or_huge_is_refused_before_it_is_read(tmp_path, monkeypatch):
    import os

    write_study(tmp_path, [0, 1] * 20, [0, 1] * 10)
    monkeypatch.setattr("cnnlab.data.untrusted.pickles.MAX_BYTES", 1000)
    with pytest.raises(DataError, match="at most 1,000 bytes"):
        data.load_gray_batches(tmp_path)
    (tmp_path / "train_batch1.pkl").unlink()
    os.mkfifo(tmp_path / "train_batch1.pkl")
    with pytest.raises(CnnlabError, match="Received: none"):
        data.load_gray_batches(tmp_path)
