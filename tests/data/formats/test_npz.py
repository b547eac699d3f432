"""Arrays in `.npz` files, as Keras and MedMNIST name them, are read; malicious ones are refused in one line."""

import io
import pickle
import zipfile

import numpy as np
import pytest

from cnnlab import data
from cnnlab.data import Size
from cnnlab.data.formats import npz
from cnnlab.errors import DataError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (30, 8, 8), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(30) % 3


def keras(path, images=IMAGES, **changes):
    arrays = {"x_train": images[:20], "y_train": LABELS[:20], "x_test": images[20:], "y_test": LABELS[20:]} | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_names_of_keras(tmp_path, save):
    save(tmp_path / "mnist.npz", x_train=IMAGES[:20], y_train=LABELS[:20], x_test=IMAGES[20:], y_test=LABELS[20:])
    for path in (tmp_path, tmp_path / "mnist.npz"):
        loaded = data.load(path)
        assert (loaded.format, loaded.colour) == ("arrays (.npz)", None)
        np.testing.assert_array_equal(loaded.gray.train_images[..., 0], IMAGES[:20])
        assert loaded.gray.test_labels.tolist() == LABELS[20:].tolist()
        assert loaded.gray.class_names == ("0", "1", "2")


def test_names_of_medmnist(tmp_path):
    labels = LABELS[:, None]
    np.savez(
        tmp_path / "bloodmnist.npz", train_images=COLOUR[:12], train_labels=labels[:12], val_images=COLOUR[12:21],
        val_labels=labels[12:21], test_images=COLOUR[21:], test_labels=labels[21:],
    )  # fmt: skip
    dataset = data.load(tmp_path).colour
    assert dataset.given_val.tolist() == list(range(12, 21))
    np.testing.assert_array_equal(dataset.train_images, COLOUR[:21])
    split = data.split(dataset, "stratified", 100, 6, 100)
    assert set(split.val) < set(range(12, 21))
    assert len(split.val) == 6
    assert split.train.tolist() == list(range(12))


@pytest.mark.parametrize("name", ["x_test", "y_test", "x_val"])
def test_a_part_without_its_labels_or_images_is_named(tmp_path, name):
    keras(tmp_path / "x.npz", **{name: None if name.endswith("test") else IMAGES})
    with pytest.raises(DataError, match=r"images and labels of each part of 'x\.npz'\. Received: only '"):
        data.load(tmp_path)


def test_arrays_of_other_names_are_named(tmp_path):
    keras(tmp_path / "x.npz", x_validation=IMAGES, ages=LABELS)
    [warning] = data.load(tmp_path).gray.warnings
    assert (warning.name, warning.text) == (
        "unread-files", "Not read: 'x_validation', 'ages' in 'x.npz': no known names."
    )  # fmt: skip


def test_without_test_images_a_fifth_is_held_out(tmp_path):
    keras(tmp_path / "a.npz", x_test=None, y_test=None)
    dataset = data.load(tmp_path).gray
    assert dataset.is_test_held_out
    assert (len(dataset.train_images), len(dataset.test_images)) == (16, 4)


def test_labels_of_words_and_another_size(tmp_path):
    words = np.array(["cat", "dog", "owl"])[LABELS]
    keras(tmp_path / "a.npz", COLOUR, y_train=words[:20], y_test=words[20:])
    loaded = data.load(tmp_path, Size(16, 24))
    assert loaded.colour.class_names == ("cat", "dog", "owl")
    assert loaded.gray.image_shape == (16, 24, 1)
    assert loaded.colour.image_shape == (16, 24, 3)


def declared(path, shape, dtype="u1", content=b""):
    """Write an array whose header declares more than there is."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": dtype, "fortran_order": False, "shape": shape})
    keras(path)
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, old in contents.items():
            archive.writestr(name, header.getvalue() + content if name == "x_train.npy" else old)


class Trap:
    def __reduce__(self):
        return exec, ("raise SystemExit('run')",)


def objects(path):
    array = np.array([Trap()] * 20, object)
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=True)
    assert pickle.dumps(array)
    keras(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x_val.npy", buffer.getvalue())
        archive.writestr("y_val.npy", buffer.getvalue())


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_bytes(b"nonsense"), "to be a whole .npz file"),
        (lambda path: keras(path).write_bytes(path.read_bytes()[:-50]), "to be a whole .npz file"),
        (lambda path: np.savez(path, a=IMAGES, b=LABELS), "arrays x_train, y_train.*Received: 'a', 'b'. Rename them"),
        (objects, "arrays of numbers or strings.*objects in 'x_val.npy'"),
        (lambda path: declared(path, (10**9, 1000, 1000)), "size of x_train.npy is not that of its header"),
        (lambda path: declared(path, (-1, 8, 8)), "to be a whole .npz file"),
        (lambda path: keras(path, IMAGES / 255), "pixels of 0 to 255.*Multiply them by 255"),
        (lambda path: keras(path, y_train=LABELS[:19]), "a label for each of 20 images"),
        (lambda path: keras(path, y_train=np.eye(3)[LABELS[:20]]), "one-hot labels.*argmax"),
        (lambda path: keras(path, y_train=LABELS[:20] * 0), "at least two classes"),
        (lambda path: keras(path, y_test=LABELS[20:] + 7), "test labels among the 3 training classes. Received: 7"),
        (lambda path: keras(path, x_test=IMAGES[20:, 1:]), "images of one size"),
        (lambda path: keras(path, IMAGES.reshape(30, 64)), r"images of shape \(n, h, w\).*shape \(20, 64\)"),
        (lambda path: keras(path, x_test=None, y_test=None, y_train=np.array([0] * 18 + [1] * 2)), "at least three"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(tmp_path, spoil, words):
    spoil(tmp_path / "mine.npz")
    with pytest.raises(DataError, match=words) as caught:
        data.load(tmp_path)
    assert str(caught.value).isprintable()


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(npz.tar, "FREE_BYTES", 1 << 10)
    np.savez_compressed(
        tmp_path / "bomb.npz", x_train=np.zeros((2_000, 64, 64), np.uint8), y_train=np.zeros(2_000),
    )  # fmt: skip
    with pytest.raises(DataError, match="to unpack to at most"):
        data.load(tmp_path)


def test_two_files_are_named(tmp_path):
    keras(tmp_path / "a.npz")
    keras(tmp_path / "b.npz")
    with pytest.raises(DataError, match=r"one .npz file.*'a.npz', 'b.npz'"):
        data.load(tmp_path)
