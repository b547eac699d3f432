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
        (lambda path: make_archive(path, ROWS, [[0], [1]]), "Received: a list in an unusual place"),
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
