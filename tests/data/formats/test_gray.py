"""Pickled data frames of grayscale images: columns in other orders, pixels and labels of other types, wrong ones."""

import numpy as np
import pandas as pd
import pytest

from cnnlab import data
from cnnlab.data.formats import gray
from cnnlab.errors import DataError

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
def test_shuffled_columns(tmp_path, columns):
    """Numbered columns are sorted by their numbers."""
    table = frame(columns)
    shuffled = table[[*np.random.default_rng(1).permutation(columns), "label"]] if columns[0] != 0 else table[
        [15, "label", *range(15)]
    ]  # fmt: skip
    batch = read(tmp_path, shuffled)
    np.testing.assert_array_equal(batch.images.reshape(9, 16), IMAGES)
    assert batch.labels.tolist() == LABELS


def test_columns_sorted_as_text(tmp_path):
    batch = read(tmp_path, frame(NUMBERED["prefix"]).sort_index(axis=1))
    np.testing.assert_array_equal(batch.images.reshape(9, 16), IMAGES)


def test_columns_without_numbers(tmp_path):
    """They keep their order."""
    columns = [f"{row}x{column}" for row in range(1, 5) for column in range(1, 5)]
    batch = read(tmp_path, frame(columns))
    np.testing.assert_array_equal(batch.images.reshape(9, 16), IMAGES)
    assert batch.columns == tuple(columns)


def test_unnumbered_columns_in_two_orders(tmp_path):
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
def test_wrong_frame(tmp_path, table, words):
    """The error has one line."""
    with pytest.raises(DataError, match=words) as caught:
        read(tmp_path, table)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("labels", [[0.0, 1.0, 2.0], ["a", "b", "c"], [True, False, True], [np.uint8(4), 5, 6]])
def test_label_types(tmp_path, labels):
    assert len(set(read(tmp_path, frame(labels=labels * 3)).labels.tolist())) == len(set(labels))
