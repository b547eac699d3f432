"""Archives and folders in the format of CIFAR-10: valid ones are read, the error about any other has one line."""

import io
import pickle
import tarfile

import numpy as np
import pytest

from cnnlab import data
from cnnlab.data.formats import cifar
from cnnlab.errors import DataError

ROWS = np.zeros((2, 48), np.uint8)


def make_archive(path, rows, labels, names=(b"a", b"b"), without=()):
    with tarfile.open(path, "w:gz") as archive:
        for name in ["batches.meta", *[f"data_batch_{i}" for i in range(1, 6)], "test_batch"]:
            value = {b"label_names": list(names)} if name == "batches.meta" else {b"data": rows, b"labels": labels}
            if name not in without:
                content = pickle.dumps(value, protocol=2)
                member = tarfile.TarInfo(f"{cifar.FOLDER}/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def test_channel_order(tmp_path):
    """A row has all reds, then all greens, then all blues; an image has channels last."""
    image = np.zeros((3, 4, 4), np.uint8)
    image[0], image[1, 0], image[2, :, 0] = 10, 20, 30
    make_archive(tmp_path / data.ARCHIVE, image.reshape(1, -1), [0])
    first = data.load_cifar10(tmp_path).train_images[0]
    assert first[0, 0].tolist() == [10, 20, 30]
    assert first[3, 3].tolist() == [10, 0, 0]


def test_extracted_folder(folder, tmp_path):
    """The archive, its folder, and a folder that contains one of them are the same dataset."""
    with tarfile.open(folder / data.ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    digest = data.load_cifar10(folder / data.ARCHIVE).digest
    for path in (folder, tmp_path, tmp_path / cifar.FOLDER):
        assert data.load_cifar10(path).digest == digest


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_bytes(b"<html>not found</html>"), "to be a whole tar archive"),
        (lambda path: make_archive(path, ROWS, [0, 1], without=["data_batch_3"]), "Expected data_batch_3"),
        (lambda path: make_archive(path, ROWS, [0, 2]), "labels of 0 to 1.*Received: 2"),
        (lambda path: make_archive(path, ROWS, [0]), "a label for each of 2 images"),
        (lambda path: make_archive(path, ROWS[:, :-1], [0, 1]), "square images"),
        (lambda path: make_archive(path, [1], [0]), "data .one row an image"),
        (lambda path: make_archive(path, ROWS, ["a", "b"]), "Received: 'a'"),
        (lambda path: make_archive(path, ROWS, [[0, 1], [1, 0]]), r"one-hot labels of shape \(n, 2\)|one-hot"),
        (
            lambda path: make_archive(path, ROWS, np.eye(10, dtype="u1")[[3, 5]]),
            r"one-hot labels of shape \(n, 10\).*argmax",
        ),
        (lambda path: make_archive(path, ROWS, np.zeros((2, 3))), r"Received: labels of shape \(n, 3\)"),
        (lambda path: make_archive(path, ROWS, [[0], [1, 0]]), "lists of different lengths"),
        (lambda path: make_archive(path, ROWS, [0.5, 1]), "labels of 0 to 1.*Received: 0.5"),
        (lambda path: make_archive(path, ROWS, [-1, 1]), "labels of 0 to 1.*Received: -1"),
        (lambda path: make_archive(path, ROWS, [None, 1]), "labels of 0 to 1.*Received: None"),
        (lambda path: make_archive(path, np.zeros((2, 3, 3, 3), "u1"), [0, 1]), "read in two ways"),
        (lambda path: make_archive(path, np.zeros((2, 4, 4, 4), "u1"), [0, 1]), r"shape \(2, 4, 4, 4\)"),
        (lambda path: make_archive(path, np.zeros((2, 3, 1024), "u1"), [0, 1]), r"shape \(2, 3, 1024\)"),
        (lambda path: make_archive(path, [ROWS[0], ROWS[1, :5]], [0, 1]), "one size.*several"),
        (lambda path: make_archive(path, ROWS, [0, 1], names=("a", "a")), "'a' as number 0 and 'a' as number 1"),
        (
            lambda path: make_archive(path, ROWS, [0, 1], without=["batches.meta"]),
            "batches.meta.*Fetch the archive again",
        ),
        (lambda path: make_archive(path, ROWS, [0, 1], names=()), "label_names"),
    ],
)
def test_wrong_archive(tmp_path, make, words):
    make(tmp_path / data.ARCHIVE)
    with pytest.raises(DataError, match=words) as caught:
        data.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_truncated_archive(folder, tmp_path):
    content = (folder / data.ARCHIVE).read_bytes()
    (tmp_path / data.ARCHIVE).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="Fetch it again"):
        data.load(tmp_path)


SHAPES = {
    "rows": lambda images: images.transpose(0, 3, 1, 2).reshape(len(images), -1),
    "channels last": lambda images: images,
    "channels first": lambda images: images.transpose(0, 3, 1, 2),
    "in Fortran's order": lambda images: np.asfortranarray(images.transpose(0, 3, 1, 2)),
    "a list of images": list,
    "a list of rows": lambda images: list(images.transpose(0, 3, 1, 2).reshape(len(images), -1)),
    "lists of numbers": lambda images: images.transpose(0, 3, 1, 2).reshape(len(images), -1).tolist(),
    "floats": lambda images: images.astype("f8"),
}
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
LABELS = [1, 0, 2, 1]


def write(
    folder, data, labels, key="labels", names=(b"a", b"b", b"c"), protocol=2, batches=("data_batch_1", "test_batch")
):
    folder.mkdir(parents=True, exist_ok=True)
    for name in batches:
        (folder / name).write_bytes(pickle.dumps({"data": data, key: labels}, protocol))
    if names is not None:
        (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": list(names)}, protocol))
    return folder


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_shapes_of_images(tmp_path, shape, protocol):
    dataset = data.load_cifar10(write(tmp_path, shape(IMAGES), LABELS, protocol=protocol))
    np.testing.assert_array_equal(dataset.train_images, IMAGES)
    assert dataset.train_labels.tolist() == LABELS


@pytest.mark.parametrize("images", [IMAGES[..., 0], IMAGES[..., :1], IMAGES[..., 0].reshape(4, 64)], ids=str)
def test_gray_images(tmp_path, images):
    """Batches may hold grayscale images: there are no colour ones then."""
    loaded = data.load(write(tmp_path, images, LABELS))
    np.testing.assert_array_equal(loaded.gray.train_images, IMAGES[..., :1])
    assert loaded.colour is None
    assert not loaded.derived_gray


def test_images_that_are_not_square(tmp_path):
    wide = np.concatenate([IMAGES, IMAGES], 2)
    for images in (wide, wide.transpose(0, 3, 1, 2)):
        np.testing.assert_array_equal(data.load_cifar10(write(tmp_path, images, LABELS)).train_images, wide)


@pytest.mark.parametrize(
    "labels",
    [
        LABELS, tuple(LABELS), np.array(LABELS, "u1"), np.array(LABELS)[:, None], np.array(LABELS)[None],
        [[y] for y in LABELS],
        np.array(LABELS, "f4"), [float(y) for y in LABELS], np.array(LABELS, object), [np.array([y]) for y in LABELS],
        list(np.array(LABELS, "i8")), [(y,) for y in LABELS],
    ],
    ids=repr,
)  # fmt: skip
def test_shapes_of_labels(tmp_path, labels):
    assert data.load_cifar10(write(tmp_path, IMAGES, labels)).train_labels.tolist() == LABELS


def test_true_and_false_as_labels(tmp_path):
    dataset = data.load_cifar10(write(tmp_path, IMAGES, [True, False, True, True], names=("no", "yes")))
    assert dataset.train_labels.tolist() == [1, 0, 1, 1]


def test_fine_and_coarse_labels(tmp_path):
    """CIFAR-100 has both: the fine ones are read. Coarse ones alone are read with their names."""
    meta = {b"fine_label_names": [b"a", b"b", b"c"], b"coarse_label_names": [b"x", b"y"]}
    both = {b"data": IMAGES, b"fine_labels": LABELS, b"coarse_labels": [0, 0, 1, 0]}
    for batch, names in ((both, ("a", "b", "c")), ({k: v for k, v in both.items() if k != b"fine_labels"}, ("x", "y"))):
        for name, value in (("train", batch), ("test", batch), ("meta", meta)):
            (tmp_path / name).write_bytes(pickle.dumps(value, 2))
        assert data.load(tmp_path).colour.class_names == names


def test_names_without_images(tmp_path):
    """They are removed, the labels are numbered again, and a warning lists the names."""
    dataset = data.load_cifar10(write(tmp_path, IMAGES, [5, 3, 5, 3], names=[f"class {i}".encode() for i in range(9)]))
    assert dataset.class_names == ("class 3", "class 5")
    assert dataset.train_labels.tolist() == [1, 0, 1, 0]
    (warning,) = dataset.warnings
    assert warning.name == "unused-classes"
    assert "7 of 9" in warning.text


def test_test_labels_without_training_images(tmp_path):
    write(tmp_path, IMAGES, [0, 1, 0, 1])
    write(tmp_path, IMAGES, [0, 1, 0, 2], batches=["test_batch"])
    with pytest.raises(DataError, match=r"among the 2 training classes.*2 .'c'.*add training images"):
        data.load_cifar10(tmp_path)


def test_names_in_other_encodings(tmp_path):
    """Bytes are UTF-8, else Latin-1."""
    names = ["K\u00e4fer".encode(), b"K\xf6ter", "\u732b"]
    assert data.load_cifar10(write(tmp_path, IMAGES, LABELS, names=names)).class_names == (
        "K\u00e4fer",
        "K\u00f6ter",
        "\u732b",
    )


def test_no_names(tmp_path):
    """Numbers are the names then."""
    assert data.load_cifar10(write(tmp_path, IMAGES, [5, 3, 5, 3], names=None)).class_names == ("3", "5")


def test_advice_for_own_batches(tmp_path):
    """Only the official archive can be fetched again."""
    write(tmp_path, IMAGES, LABELS)
    (tmp_path / "data_batch_1").write_bytes(b"nonsense")
    with pytest.raises(DataError, match=r"pickle\.dump") as caught:
        data.load(tmp_path)
    assert "etch" not in str(caught.value)


def test_lists_of_numbers_as_images(tmp_path):
    """A list takes more memory than an array, but not more than a file of its size may take."""
    images = np.random.default_rng(0).integers(0, 256, (300, 3072), dtype=np.uint8)
    for name in ("lists", "arrays"):
        write(tmp_path / name, images.tolist() if name == "lists" else images, [0, 1, 2] * 100)
    assert data.load_cifar10(tmp_path / "lists").digest == data.load_cifar10(tmp_path / "arrays").digest


def test_batch_without_images(tmp_path):
    with pytest.raises(DataError, match=r"data_batch_1\. Received: no image"):
        data.load_cifar10(write(tmp_path, IMAGES[:0], []))
