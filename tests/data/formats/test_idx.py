"""MNIST's idx files are read, gzipped or not; broken ones are refused in one line."""

import gzip
import struct

import numpy as np
import pytest

from cnnlab import data
from cnnlab.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 9, 7), dtype=np.uint8)
LABELS = (np.arange(30) % 3).astype(np.uint8)


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write(folder, dot="-", pack=lambda content: content, ending="", prefix="", test="t10k"):
    folder.mkdir(exist_ok=True)
    for part, rows in (("train", slice(0, 20)), (test, slice(20, 30))):
        for kind, array in (("images", IMAGES), ("labels", LABELS)):
            name = f"{prefix}{part}-{kind}{dot}idx{array.ndim}-ubyte{ending}"
            (folder / name).write_bytes(pack(idx(array[rows])))
    return folder


@pytest.mark.parametrize(
    "options",
    [{}, {"dot": "."}, {"pack": gzip.compress, "ending": ".gz"}, {"prefix": "emnist-letters-"}, {"test": "test"}],
)
def test_spellings(tmp_path, options):
    loaded = data.load(write(tmp_path, **options))
    assert (loaded.format, loaded.colour) == ("idx files", None)
    np.testing.assert_array_equal(loaded.gray.train_images[..., 0], IMAGES[:20])
    np.testing.assert_array_equal(loaded.gray.test_labels, LABELS[20:])


def test_a_file_and_its_gzipped_copy_are_one(tmp_path):
    write(write(tmp_path), pack=gzip.compress, ending=".gz")
    assert len(data.load(tmp_path).gray.train_images) == 20


def test_without_test_files_a_fifth_is_held_out(tmp_path):
    for path in write(tmp_path).glob("t10k*"):
        path.unlink()
    assert len(data.load(tmp_path).gray.test_images) == 4


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("train-labels-idx1-ubyte", None, "train-labels-idx1-ubyte in .*Add it"),
        ("t10k-images-idx3-ubyte", None, "test-images-idx3-ubyte in .*Add it"),
        ("train-images-idx3-ubyte", b"", "an idx file of bytes.*nothing"),
        ("train-images-idx3-ubyte", b"\x00\x00\x0d\x03" + bytes(12), "starts with 00000d03"),
        ("train-images-idx3-ubyte", struct.pack(">BBBB3I", 0, 0, 8, 3, 2**31, 28, 28), "as its header says"),
        ("train-images-idx3-ubyte", b"\x00\x00\x08\xff" + bytes(12), "an idx file of bytes"),
        ("train-images-idx3-ubyte", b"\x00\x00\x08\x46" + struct.pack(">70I", *[1] * 70) + b"\0", "1 to 4 dimensions"),
        ("train-images-idx3-ubyte", struct.pack(">BBBB4I", 0, 0, 8, 4, 0, *[2**32 - 1] * 3), "1 to 4 dimensions"),
        ("train-labels-idx1-ubyte", idx(LABELS[:7]), "a label for each of 20 images"),
        ("train-images-idx3-ubyte", gzip.compress(idx(IMAGES[:20]))[:-20], "to be a whole gzip file"),
    ],
)
def test_broken_files(tmp_path, name, content, words):
    path = write(tmp_path) / name
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        data.load(tmp_path)
    assert str(caught.value).isprintable()


def test_two_sets_are_named(tmp_path):
    write(tmp_path / "mnist")
    write(tmp_path / "fashion")
    with pytest.raises(DataError, match=r"idx files of one set.*fashion.*mnist"):
        data.load(tmp_path)
