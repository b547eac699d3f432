"""Batches are found by one rule, wherever and however they are stored; what is not read is named."""

import bz2
import gzip
import io
import lzma
import pickle
import shutil
import tarfile
import zipfile

import numpy as np
import pandas as pd
import pytest

from cnnlab import data
from cnnlab.data.finding import finder
from cnnlab.errors import DataError

NAMES = [b"a", b"b", b"c"]


def frame(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 16), dtype=np.uint8)
    return pickle.dumps(pd.DataFrame(pixels).assign(label=[0, 1, 2] * 2))


def batch(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 48), dtype=np.uint8)
    return pickle.dumps({b"data": pixels, b"labels": [0, 1, 2] * 2}, 2)


def write(folder, *names, pack=lambda content: content):
    """Write batches of these names; the number of a batch is its seed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if "meta" in name:
            content = pickle.dumps({b"label_names": NAMES}, 2)
        else:
            seed = int("0" + "".join(filter(str.isdigit, name.partition(".")[0])))
            content = (
                batch(seed)
                if name.lower().startswith("data") or (name.startswith("test_batch") and not seed)
                else frame(seed)
            )
        (folder / name).write_bytes(pack(content))
    return folder


CIFAR = ("batches.meta", "data_batch_1", "data_batch_2", "test_batch")
GRAY = ("train_batch1.pkl", "train_batch2.pkl", "test_batch1.pkl")


def archive(path, folder, inside="mine", mode="w"):
    with tarfile.open(path, mode) as written:
        written.add(folder, arcname=inside)
    return path


def zipped(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr("train_batch", content)
    return file.getvalue()


def unread(dataset):
    return [warning.text for warning in dataset.warnings if warning.name == "unread-files"]


SPELLINGS = [
    "train_batch2.pkl", "train_batch_2.pkl", "Train_Batch2.pkl", "train-batch2.pkl", "train batch 2.pkl",
    "trainbatch2.pkl",
    "training_batch_2.pkl", "train_batch02.pkl", "train_batch2.pickle", "train_batch2.p",
    "train_batch2", "train_batch2.PKL",
]  # fmt: skip


@pytest.mark.parametrize("name", SPELLINGS)
def test_spellings(tmp_path, name):
    dataset = data.load_gray_batches(write(tmp_path, "train_batch1.pkl", name, "test_batch1.pkl"))
    assert len(dataset.train_images) == 12
    assert not dataset.warnings


PACKED = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zip": zipped}


@pytest.mark.parametrize("ending", PACKED)
@pytest.mark.parametrize("names", [CIFAR, GRAY], ids=["cifar", "gray"])
def test_compressed_batches(tmp_path, names, ending):
    """The content tells the compression: the name may have its ending or not."""
    plain = data.load(write(tmp_path / "plain", *names)).gray.digest
    assert (
        data.load(write(tmp_path / "named", *[f"{name}.{ending}" for name in names], pack=PACKED[ending])).gray.digest
        == plain
    )
    assert data.load(write(tmp_path / "inside", *names, pack=PACKED[ending])).gray.digest == plain


@pytest.mark.parametrize(
    "names", [("data_batch_0", "data_batch_1", "data_batch_2"), ("data_batch_1", "data_batch_2", "data_batch_3")]
)
def test_numbers_from_zero_or_one(tmp_path, names):
    assert len(data.load(write(tmp_path, "batches.meta", *names, "test_batch")).colour.train_images) == 18


@pytest.mark.parametrize("name", ["data_batch_0", "data_batch_1", "data_batch"])
def test_one_batch(tmp_path, name):
    assert len(data.load(write(tmp_path, "batches.meta", name, "test_batch")).colour.train_images) == 6


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["data_batch_0", "data_batch_2", "test_batch"], "Expected data_batch_1 in"),
        (["data_batch_2", "test_batch"], "Expected data_batch_1 in"),
        (["data_batch_1", "data_batch_3", "test_batch"], "Expected data_batch_2 in.*Add the missing batch"),
        (["data_batch_1"], "Expected test_batch in"),
        (["train_batch_1.pkl", "train_batch_3.pkl", "test_batch1.pkl"], "Expected train_batch_2.pkl in"),
        (["train_batch1.pkl", "train_batch01.pkl", "test_batch1.pkl"], "train_batch01.pkl and train_batch1.pkl"),
        (["train_batch1.pkl", "train_batch1.pkl.gz", "test_batch1.pkl"], "train_batch1.pkl and train_batch1.pkl.gz"),
        (["data_batch_1", "Data-Batch-1", "test_batch"], "one train batch per number"),
        (["data_batch", "data_batch_1", "test_batch"], "data_batch and data_batch_1"),
        (["data_batch_1", "test_batch", "test_batch_1"], "test_batch and test_batch_1"),
        (["data_batch_1", "test_batch", "batches.meta", "batches.meta.gz"], "one file with class names"),
    ],
)  # fmt: skip
def test_numbers_that_are_not_clear(tmp_path, names, words):
    """The error names the missing batch, or both batches of a number."""
    with pytest.raises(DataError, match=words) as caught:
        data.load(write(tmp_path, *names))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "name",
    [
        "train_batch2.bin", "train_batch2.csv", "train_batch2.npy", "train_batch2.pkl.zst", "train_batch1 (1).pkl",
        "val_batch1.pkl",
        "train_batch1.pkl.bak", "batch_2.pkl", "train2.pkl", "data_batch_2.mat", "mine.zip", "mine.tar.xz", "mine.7z",
        "cifar-10-batches-mat/data_batch_1.mat", "notes.tar",
    ],
)  # fmt: skip
def test_unread_files(tmp_path, name):
    """A file that looks like a batch or an archive is read or named."""
    write(tmp_path, *GRAY)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    write(tmp_path / "other", "notes.txt")
    if name == "notes.tar":
        archive(tmp_path / name, tmp_path / "other")
    else:
        (tmp_path / name).write_bytes(b"something")
    (text,) = unread(data.load(tmp_path).gray)
    assert name.rpartition("/")[2] in text
    assert text.isprintable()


def test_files_of_no_interest(tmp_path):
    write(tmp_path, *GRAY)
    for name in (
        "._train_batch1.pkl", ".DS_Store", "train_batch1.pkl.md5", f"{data.ARCHIVE}.part", "batches.meta.txt",
        "readme.html",
        "make_batches.py", ".hidden/train_batch1.pkl", "__MACOSX/._train_batch1.pkl", "pictures/1.png",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"something")
    assert not data.load(tmp_path).gray.warnings


@pytest.mark.parametrize("names", [CIFAR, GRAY], ids=["cifar", "gray"])
@pytest.mark.parametrize("inside", [".", "cifar-10-batches-py", "cifar-10-batches-py/cifar-10-batches-py", "a/b/c/d"])
def test_folders_at_any_level(tmp_path, inside, names):
    """The folder of batches or any folder above it may be named."""
    write(tmp_path / "root" / inside, *names)
    path, digests = tmp_path / "root" / inside, set()
    while path != tmp_path:
        digests.add(data.load(path).gray.digest)
        path = path.parent
    assert len(digests) == 1


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2"])
@pytest.mark.parametrize("name", ["mine.tar", "mine.tgz", "images", data.ARCHIVE])
@pytest.mark.parametrize("inside", ["mine", ".", "a/b"])
@pytest.mark.parametrize("names", [CIFAR, GRAY], ids=["cifar", "gray"])
def test_archives(tmp_path, names, inside, name, mode):
    """An archive is known by its content. It may be named itself, or a folder above it."""
    folder = write(tmp_path / "source", *names)
    expected = data.load(folder).gray.digest
    (tmp_path / "data/deep").mkdir(parents=True)
    path = archive(tmp_path / "data/deep" / name, folder, inside, mode)
    for place in (path, path.parent, path.parent.parent):
        assert data.load(place).gray.digest == expected


def test_compressed_batches_in_an_archive(tmp_path):
    folder = write(tmp_path / "source", *[f"{name}.gz" for name in GRAY], pack=gzip.compress)
    path = archive(tmp_path / "mine.tgz", folder, mode="w:gz")
    assert data.load(path).gray.digest == data.load(folder).gray.digest


def test_extracted_copy(tmp_path):
    """A folder that was extracted from the archive beside it is no second candidate; any other is."""
    folder = write(tmp_path / "data/mine", *CIFAR)
    path = archive(tmp_path / "data/images.tar", folder)
    assert len(data.load(tmp_path / "data").colour.train_images) == 12
    shutil.copytree(folder, tmp_path / "data/mine-2")
    with pytest.raises(DataError, match=r"images.tar.*mine-2.*Name the one to read"):
        data.load(tmp_path / "data")
    shutil.rmtree(tmp_path / "data/mine-2")
    shutil.copy(path, tmp_path / "data/images-2.tar")
    with pytest.raises(DataError, match=r"images-2.tar.* and .*images.tar"):
        data.load(tmp_path / "data")


def test_two_folders(tmp_path):
    write(tmp_path / "a", *GRAY)
    write(tmp_path / "b", *GRAY)
    with pytest.raises(DataError, match=r"/a' and '.*/b'"):
        data.load(tmp_path)


def test_both_kinds(tmp_path):
    """Data frames beside CIFAR batches are the grayscale images, in one folder or in two."""
    write(tmp_path / "one", *CIFAR, *GRAY)
    write(tmp_path / "two", *GRAY)
    archive(tmp_path / "two/mine.tar", write(tmp_path / "source", *CIFAR))
    for name in ("one", "two"):
        loaded = data.load(tmp_path / name)
        assert loaded.colour is not None
        assert not loaded.derived_gray


def test_broken_links_and_loops(tmp_path):
    write(tmp_path, *GRAY)
    (tmp_path / "more").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to(".")
    (text,) = unread(data.load(tmp_path).gray)
    assert "'more': it is a broken link" in text
    (tmp_path / "train_batch2.pkl").unlink()
    (tmp_path / "train_batch2.pkl").symlink_to("nowhere")
    with pytest.raises(DataError, match=r"train_batch2\.pkl.*a broken link"):
        data.load(tmp_path)


def test_unreadable_folder(tmp_path, monkeypatch):
    """It is named, or the error if it is the path itself. (Root may read any folder, so the refusal is made here.)"""
    write(tmp_path, *GRAY)
    (tmp_path / "locked").mkdir()
    scan = finder.os.scandir

    def refuse(path):
        if path.name == "locked":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(finder.os, "scandir", refuse)
    assert unread(data.load(tmp_path).gray) == ["Not read: 'locked/': Permission denied."]
    with pytest.raises(DataError, match=r"locked'.*Permission denied"):
        data.load(tmp_path / "locked")


@pytest.mark.parametrize("ending", ["csv", "pkl.zst", "bin"])
def test_nothing_but_unread_files(tmp_path, ending):
    """The error names them."""
    (tmp_path / f"train_batch1.{ending}").write_bytes(b"x")
    with pytest.raises(DataError, match=rf"Not read: 'train_batch1.{ending}'.*decompress or convert.*data sample"):
        data.load(tmp_path)


def test_a_file_that_is_no_archive(tmp_path):
    write(tmp_path, *GRAY)
    with pytest.raises(DataError, match="Name the folder that contains it"):
        data.load(tmp_path / "train_batch1.pkl")


def test_limits(tmp_path, monkeypatch):
    write(tmp_path / "/".join("abcdefgh"), *GRAY)
    with pytest.raises(DataError, match="more than 6 folders down"):
        data.load(tmp_path)
    monkeypatch.setattr(finder, "MAX_FILES", 3)
    with pytest.raises(DataError, match="at most 3 files"):
        data.load(tmp_path)


def test_two_encodings_of_a_label(tmp_path):
    """Two labels of different bytes never become one class."""
    write(tmp_path, *GRAY)
    for name, label in (("train_batch1", "\u00e4".encode()), ("train_batch2", b"\xe4"), ("test_batch1", b"\xe4")):
        labels = np.array([label, b"b"] * 2, object)
        pd.DataFrame(np.ones((4, 16)) * 9).assign(label=labels).to_pickle(tmp_path / f"{name}.pkl")
    with pytest.raises(DataError, match="one encoding"):
        data.load(tmp_path)


def test_content_of_the_other_kind(tmp_path):
    """The error says which name it should have."""
    for name, content, words in (
        ("train_batch1.pkl", batch(1), "data_batch_1"),
        ("data_batch_1", frame(1), "train_batch1"),
    ):
        folder = tmp_path / name
        write(folder, name, "test_batch1.pkl")
        (folder / name).write_bytes(content)
        with pytest.raises(DataError, match=f"Received: a d.*should have a name of .*{words}"):
            data.load(folder)


def test_gray_images_of_both_kinds(tmp_path):
    """Which are meant is not clear."""
    write(tmp_path, *GRAY)
    for name in ("data_batch_1", "test_batch"):
        images = np.zeros((3, 16), np.uint8)
        (tmp_path / name).write_bytes(pickle.dumps({"data": images, "labels": [0, 1, 2]}))
    with pytest.raises(DataError, match="grayscale images in one place"):
        data.load(tmp_path)


def test_broken_archives(tmp_path):
    """Only the archive of CIFAR-10's home page can be fetched again. Another one is named beside other images."""
    for name, words in ((data.ARCHIVE, "Fetch it again"), ("mine.tar.gz", "Not read: 'mine.tar.gz'")):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_bytes(gzip.compress(b"x" * 5000)[:-9])
        with pytest.raises(DataError, match=words) as caught:
            data.load(folder)
        assert ("etch it again" in str(caught.value)) == (name == data.ARCHIVE)
    write(folder, *GRAY)
    assert "mine.tar.gz" in unread(data.load(folder).gray)[0]


def test_archive_with_odd_paths(tmp_path):
    """Names that no folder has are refused in one line, or are no batches."""
    for path in (
        "a//train_batch1.pkl",
        "x/" * 2000 + "train_batch1.pkl",
        "a\nb/train_batch1.pkl",
        "../train_batch1.pkl",
    ):
        with tarfile.open(tmp_path / "mine.tar", "w") as written:
            for name in (path, path.replace("train", "test")):
                info = tarfile.TarInfo(name)
                info.size = len(frame(1))
                written.addfile(info, io.BytesIO(frame(1)))
        try:
            data.load(tmp_path)
        except DataError as error:
            assert str(error).isprintable()


@pytest.mark.parametrize("name", ["mine.pkl", "train_batch1.tar.gz", "data_batch.tar"])
def test_archives_with_names_of_batches(tmp_path, name):
    """The content tells that it is an archive."""
    folder = write(tmp_path / "source", *CIFAR)
    (tmp_path / "data").mkdir()
    archive(tmp_path / "data" / name, folder)
    assert data.load(tmp_path / "data").gray.digest == data.load(folder).gray.digest


def test_links_to_the_same_folder(tmp_path):
    """They are no second candidates, and a link to itself is no folder."""
    write(tmp_path / "a", *CIFAR)
    for name, target in (("batches", tmp_path / "a"), ("loop", tmp_path / "loop"), ("up", tmp_path)):
        (tmp_path / name).symlink_to(target)
    dataset = data.load(tmp_path).colour
    assert len(dataset.train_images) == 12
    assert not [text for text in unread(dataset) if "loop" not in text]


def test_a_broken_archive_beside_whole_batches(tmp_path):
    write(tmp_path / "cifar-10-batches-py", *CIFAR)
    path = archive(tmp_path / data.ARCHIVE, tmp_path / "cifar-10-batches-py", mode="w:gz")
    path.write_bytes(path.read_bytes()[:300])
    (text,) = unread(data.load(tmp_path).colour)
    assert data.ARCHIVE in text


def test_parts_in_two_folders(tmp_path):
    write(tmp_path / "train", "data_batch_1", "batches.meta")
    write(tmp_path / "test", "test_batch")
    with pytest.raises(DataError, match="Move all batches into one folder"):
        data.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("train_batch_one.pkl", "a name that is not read: 'train_batch_one.pkl'. Rename or convert it"),
        ("train_batch1.npy", "a name that is not read: 'train_batch1.npy'"),
    ],
)
def test_missing_batch_with_another_name(tmp_path, name, words):
    with pytest.raises(DataError, match=words):
        data.load(write(tmp_path, name, "test_batch1.pkl"))


def test_no_batches(tmp_path):
    """The message names an incomplete download, and a zip without its ending."""
    (tmp_path / "cifar.tgz.part").write_bytes(b"something")
    with pytest.raises(DataError, match=r"a download that is not complete \('cifar.tgz.part'\)"):
        data.load(tmp_path)
    (tmp_path / "cifar").write_bytes(zipped(b"something"))
    with pytest.raises(DataError, match=r"'cifar'.* packed by zip: extract it"):
        data.load(tmp_path)
    with pytest.raises(DataError, match="which does not exist"):
        data.load(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"label,0,1,2\n7,0,0,0\n", "a table of text, such as CSV"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"\x93NUMPY\x01\x00", "np.save"),
    ],
)
def test_files_of_other_formats(tmp_path, content, words):
    write(tmp_path, *GRAY)
    (tmp_path / "train_batch2.pkl").write_bytes(content)
    with pytest.raises(DataError, match=f"train_batch2.pkl .*{words}"):
        data.load(tmp_path)


def test_a_part_of_cifar_100(tmp_path):
    """The message names the missing file as CIFAR-100 does, and why its files are not read beside other batches."""
    write(tmp_path / "part", "train", "meta")
    with pytest.raises(DataError, match=r"Expected test in .*Received: meta, train"):
        data.load(tmp_path / "part")
    write(tmp_path / "both", *CIFAR, "train", "test", "meta")
    (text,) = unread(data.load(tmp_path / "both").colour)
    assert "there are other batches in its folder" in text
