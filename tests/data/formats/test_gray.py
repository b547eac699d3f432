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
    return gray.read_gray((path / "train_batch1.pkl").read_bytes(), "train_batch1.pkl")


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


def two_numbers(name, height=4, width=4):
    return [name.format(row=row, column=column) for row in range(height) for column in range(width)]


GRIDS = {
    "row by column": [f"{row}x{column}" for row in range(1, 5) for column in range(1, 5)],
    "letters": two_numbers("r{row}c{column}"),
    "underscores": two_numbers("px_{row}_{column}"),
    "text of tuples": two_numbers("({row}, {column})"),
    "x before y": two_numbers("x{column}y{row}"),
    "column before row": two_numbers("col_{column}_row_{row}"),
    "a number in all names": two_numbers("layer2_{row}_{column}"),
    "no zeros in front": [f"{row}-{column}" for row in range(8, 12) for column in range(8, 12)],
}


@pytest.mark.parametrize("columns", GRIDS.values(), ids=GRIDS)
def test_columns_with_two_numbers(tmp_path, columns):
    """They are sorted by row and column, whatever their order is."""
    for order in (sorted(columns), list(np.random.default_rng(2).permutation(columns))):
        batch = read(tmp_path, frame(columns)[[*order[:5], "label", *order[5:]]])
        np.testing.assert_array_equal(batch.images.reshape(9, 16), IMAGES)
        assert batch.labels.tolist() == LABELS


def test_tuples_as_columns(tmp_path):
    """A MultiIndex, or an index of tuples."""
    places = [(row, column) for row in range(4) for column in range(4)]
    several = pd.DataFrame(IMAGES, columns=pd.MultiIndex.from_tuples(places))[places[::-1]]
    several[("label", "")] = LABELS
    flat = frame([*places])
    for table in (several, flat[[*places[::-1], "label"]]):
        np.testing.assert_array_equal(read(tmp_path, table).images.reshape(9, 16), IMAGES)


def test_height_and_width_of_the_names(tmp_path):
    """Two numbers in the names give both; one number means a square."""
    table = frame(two_numbers("r{row}c{column}", 2, 8))
    assert read(tmp_path, table[sorted(table.columns)]).images.shape == (9, 2, 8, 1)
    assert (
        read(tmp_path, frame(two_numbers("r{row}c{column}", 8, 2))).images[0, :, 0, 0].tolist()
        == IMAGES[0, ::2].tolist()
    )


def test_columns_without_numbers(tmp_path):
    """They keep their order, also where read_csv made numbers to tell equal names apart."""
    for columns in (list("abcdefghijklmnop"), ["0", *(f"0.{number}" for number in range(1, 15)), "7"]):
        batch = read(tmp_path, frame(columns))
        np.testing.assert_array_equal(batch.images.reshape(9, 16), IMAGES)
        assert batch.columns == tuple(columns)


PIXEL_TYPES = ["u1", "i8", "f4", "Int64", "UInt8", "Float64", "category", "object"]


@pytest.mark.parametrize("dtype", PIXEL_TYPES)
def test_pixel_types(tmp_path, dtype):
    table = pd.DataFrame(IMAGES).astype(dtype).assign(label=LABELS)
    np.testing.assert_array_equal(read(tmp_path, table).images.reshape(9, 16), IMAGES)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (pd.array(LABELS, "Int64"), LABELS),
        (pd.array(LABELS, "UInt8"), LABELS),
        (pd.array(LABELS, "Float64"), LABELS),
        (pd.array([True, False, True] * 3, "boolean"), ["True", "False", "True"] * 3),
        (pd.array(["a", "b", "c"] * 3, "string"), ["a", "b", "c"] * 3),
        (pd.Categorical(["a", "b", "c"] * 3), ["a", "b", "c"] * 3),
        (pd.Categorical(LABELS, ordered=True), LABELS),
        (pd.Categorical([10, 20, 30] * 3), [10, 20, 30] * 3),
        (np.array(LABELS, object), LABELS),
        (np.array([b"a", b"b", b"c"] * 3, object), [b"a", b"b", b"c"] * 3),
    ],
    ids=str,
)
def test_label_columns(tmp_path, labels, expected):
    """Nullable and categorical columns are read as plain ones if no value is missing."""
    assert read(tmp_path, frame(labels=labels)).labels.tolist() == expected


def test_nullable_frame(tmp_path):
    table = frame(labels=["a", "b", "c"] * 3).convert_dtypes()
    np.testing.assert_array_equal(read(tmp_path, table).images.reshape(9, 16), IMAGES)


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
        (frame(np.arange(16)).assign(id=range(9)), "only pixels beside label.*17 columns.*'id'. Drop"),
        (frame(images=np.where(IMAGES > 100, np.nan, 7.0)), "nan to nan. Replace missing values"),
        (frame(labels=["", "a", "b"] * 3), "not empty"),
        (frame(images=np.where(IMAGES > 100, np.inf, 7.0)), "0 to 255.*inf"),
        (frame(images=IMAGES.astype(str)), "numbers as pixels"),
        (frame(images=IMAGES.astype(complex)), "Received: one that needs|array of type 'c16'"),
        (frame(labels=[0.5, 1, 2] * 3), "whole numbers or strings"),
        (frame(labels=[1e300, 1, 2] * 3), "whole numbers or strings"),
        (frame(labels=["a", None, "b"] * 3), "a label in every row"),
        (frame(labels=pd.Categorical(["a", None, "c"] * 3)), "a column with 3 missing values.*df.dropna"),
        (frame(labels=pd.array([1, 2, None] * 3, "Int64")), "a column with 3 missing values"),
        (frame(labels=pd.array(["a", "b", None] * 3, "string")), "a label in every row"),
        (frame(labels=np.array([1, "a", 2] * 3, object)), "labels of one kind.*numbers and strings"),
        (frame(labels=np.array([b"a", "a", "b"] * 3, object)), "labels of one kind.*bytes and strings"),
        (frame(labels=["cat", "cat ", "dog"] * 3), "differ visibly.*'cat' as number 0 and 'cat ' as number 1"),
        (frame(labels=["B\u00e4r", "Ba\u0308r", "dog"] * 3), "differ visibly"),
        (frame().rename(columns={"label": "Label"}), "Rename the column 'Label' to label"),
        (frame().rename(columns={"label": "class"}), "Rename the column 'class' to label"),
        (frame(two_numbers("r{row}c{column}")).drop(columns="r1c2"), "each of 4 rows and 4 columns.*15 columns"),
        (frame([f"{i}_{j}_{k}" for i in range(2) for j in range(2) for k in range(4)]), "3 numbers, as in '0_0_0'"),
        (frame(images=IMAGES).astype(pd.SparseDtype("u1")), "sparse columns"),
        (frame(labels=pd.cut(range(9), 3)), "intervals"),
        (frame(labels=pd.date_range("2020", periods=9)), "dates or times.*Write it again"),
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


@pytest.mark.parametrize("pattern", ["w{column}h{row}", "left{column}top{row}", "Width {column} Height {row}"])
def test_column_before_row(tmp_path, pattern):
    np.testing.assert_array_equal(read(tmp_path, frame(two_numbers(pattern))).images.reshape(9, 16), IMAGES)
