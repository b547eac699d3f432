"""Zip and tar archives of images are read like the folder they hold; malicious ones are refused in one line."""

import io
import tarfile
import zipfile

import pandas as pd
import pytest
from pictures_on_disk import draw, folders
from PIL import Image

from cnnlab import data
from cnnlab.data.formats import listing
from cnnlab.data.untrusted import packed, tar
from cnnlab.errors import DataError


def pack_zip(path, folder, inside=""):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, f"{inside}{file.relative_to(folder)}")
    return path


def pack_tar(path, folder, inside="", mode="w"):
    with tarfile.open(path, mode) as archive:
        archive.add(folder, arcname=inside or ".")
    return path


PACK = {
    "photos.zip": pack_zip,
    "photos.tar": pack_tar,
    "photos.tar.gz": lambda *words: pack_tar(*words, mode="w:gz"),
    "photos.tar.bz2": lambda *words: pack_tar(*words, mode="w:bz2"),
}


@pytest.mark.parametrize("name", PACK)
@pytest.mark.parametrize("inside", ["", "photos/"])
def test_class_folders_in_an_archive(tmp_path, name, inside):
    source = folders(tmp_path / "source", "train", "test", n=4)
    (tmp_path / "data").mkdir()
    PACK[name](tmp_path / "data" / name, source, inside)
    expected = data.load(source)
    before = sorted(tmp_path.rglob("*"))
    for path in (tmp_path / "data" / name, tmp_path / "data"):
        loaded = data.load(path)
        assert loaded.format == "an archive of images"
        assert loaded.colour.digest == expected.colour.digest
        assert loaded.colour.train_files[0] == f"{inside}train/cat/0000.png"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_tar_that_ends_with_a_zip_is_a_tar(tmp_path):
    """Python takes a file for a zip by its end."""
    source = folders(tmp_path / "source", n=10)
    expected = data.load(source).colour.class_names
    pack_zip(tmp_path / "more.zip", folders(tmp_path / "other", classes=("x", "y"), n=10))
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        archive.add(source, arcname=".")
        archive.add(tmp_path / "more.zip", arcname="more.zip")
    assert data.load(tmp_path / "photos.tar").colour.class_names == expected == ("cat", "dog")


@pytest.mark.parametrize("name", PACK)
def test_a_table_in_an_archive(tmp_path, name):
    source = tmp_path / "source"
    names = [draw(source / "images" / f"{number}.png", number).name for number in range(20)]
    pd.DataFrame({"file": names, "label": ["cat", "dog"] * 10, "patient": range(20)}).to_csv(source / "labels.csv")
    loaded = data.load(PACK[name](tmp_path / name, source))
    assert loaded.colour.digest == data.load(source).colour.digest
    assert len(loaded.colour.groups) == len(loaded.colour.train_images)


def test_a_second_load_neither_unpacks_nor_decodes(tmp_path, monkeypatch):
    """The archive is known by its content, and each size is kept on its own."""
    path = pack_zip(tmp_path / "photos.zip", folders(tmp_path / "source", "train", "val"))
    cache = tmp_path / "runs" / "images"
    cache.mkdir(parents=True)
    first = data.load(path, cache=cache).colour
    assert [found.name for found in tmp_path.iterdir()].count("photos.zip") == 1
    assert not list((tmp_path / "runs").glob(".cnnlab-*")), "unpacked files are removed"

    def refuse(*_):
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr(packed, "unpack", refuse)
        patch.setattr(listing.photos, "import_images", refuse)
        renamed = path.rename(tmp_path / "other.zip")
        for place in (renamed, tmp_path):
            if place == tmp_path:
                (tmp_path / "source").rename(tmp_path / "runs" / "source")
                (tmp_path / "alone").mkdir()
                renamed = renamed.rename(tmp_path / "alone" / "photos.zip")
                place = tmp_path / "alone"
            again = data.load(place, cache=cache).colour
            assert again.digest == first.digest
            assert again.given_val.tolist() == first.given_val.tolist()
            assert (again.train_files, again.is_test_held_out) == (first.train_files, True)
        with pytest.raises(AssertionError):
            data.load(renamed, data.Size(16, 16), cache)
    [stored] = cache.glob("archive-*.npz")
    content = bytearray(stored.read_bytes())
    content[len(content) // 2] ^= 1
    stored.write_bytes(content)
    assert data.load(renamed, cache=cache).colour.digest == first.digest, "a damaged copy is made again"


@pytest.mark.parametrize("beside", ["photos", "."])
def test_an_archive_beside_its_extracted_folder_is_no_second_candidate(tmp_path, beside):
    source = folders(tmp_path / "source", "train", "test", n=4)
    (tmp_path / "data").mkdir()
    path = pack_zip(tmp_path / "data/photos.zip", source)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "data" / beside)
    assert data.load(tmp_path / "data").format == "folders of classes"
    (tmp_path / "data" / beside / "train/cat/0000.png").unlink()
    with pytest.raises(DataError, match="images of one format"):
        data.load(tmp_path / "data")


def test_two_archives_are_named(tmp_path):
    source = folders(tmp_path / "source", n=4)
    (tmp_path / "data").mkdir()
    for name in ("train.zip", "test.tar"):
        PACK[f"photos.{name[-3:]}"](tmp_path / "data" / name, source)
    with pytest.raises(DataError, match=r"one archive of images.*'test.tar' and 'train.zip'"):
        data.load(tmp_path / "data")


def picture():
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9)).save(buffer, "png")
    return buffer.getvalue()


def zip_with(path, name, content=None, mode=0):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(8):
            archive.writestr(f"{'cat' if number % 2 else 'dog'}/{number}.png", picture())
        info = zipfile.ZipInfo(name)
        info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
        archive.writestr(info, picture() if content is None else content)


def tar_with(path, name, kind=tarfile.REGTYPE):
    with tarfile.open(path, "w") as archive:
        for member in ("cat/1.png", "dog/1.png", name):
            info = tarfile.TarInfo(member)
            if member == name:
                info.type, info.linkname = kind, "/etc/passwd"
            info.size = len(picture()) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(picture()))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda path: zip_with(path, "../outside.png"), "files inside the archive's own folder.*outside"),
        (lambda path: zip_with(path, "cat/../../../outside.png"), "files inside the archive's own folder"),
        (lambda path: zip_with(path, "/tmp/outside.png"), "files inside the archive's own folder"),
        (lambda path: zip_with(path, "C:/outside.png"), "files inside the archive's own folder"),
        (lambda path: zip_with(path, "cat/link.png", b"/etc/passwd", 0o120777), "Received: a symbolic link"),
        (lambda path: zip_with(path, "cat/1.png"), "once. Received: it twice"),
        (lambda path: zip_with(path, "cat/bomb.png", bytes(80 << 20)), "to unpack to at most"),
        (lambda path: tar_with(path, "../outside.png"), "files inside the archive's own folder.*outside"),
        (lambda path: tar_with(path, "/tmp/outside.png"), "files inside the archive's own folder"),
        (lambda path: tar_with(path, "cat/link.png", tarfile.SYMTYPE), "Received: a symbolic link"),
        (lambda path: tar_with(path, "cat/link.png", tarfile.LNKTYPE), "Received: a hard link"),
        (lambda path: tar_with(path, "cat/1.png"), "once. Received: it twice"),
        (lambda path: tar_with(path, "cat/device.png", tarfile.CHRTYPE), "Received: a device"),
    ],
)
def test_a_malicious_archive_is_refused_in_one_line_and_writes_nothing(tmp_path, write, words):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "cache").mkdir()
    write(tmp_path / "photos.packed.zip")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match=words) as caught:
        data.load(tmp_path / "photos.packed.zip", cache=tmp_path / "in" / "cache")
    assert str(caught.value).isprintable()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("module", "limit", "words"),
    [(packed, "MAX_MEMBER", "at most 20 bytes|to have 0 to 20 bytes"), (packed, "MAX_FILES", "at most 20 files")],
)
@pytest.mark.parametrize("name", ["photos.zip", "photos.tar"])
def test_limits(tmp_path, monkeypatch, module, limit, words, name):
    path = PACK[name](tmp_path / name, folders(tmp_path / "source", n=12))
    monkeypatch.setattr(module, limit, 20)
    with pytest.raises(DataError, match=words):
        data.load(path)


def test_a_large_tar_may_have_more_headers_than_a_small_one(tmp_path, monkeypatch):
    path = pack_tar(tmp_path / "photos.tar", folders(tmp_path / "source"))
    monkeypatch.setattr(tar, "MAX_HEADERS", 3)
    assert len(data.load(path).colour.train_images) == 16


@pytest.mark.parametrize("size", [100, 900])
def test_a_broken_archive_is_named(tmp_path, size):
    path = pack_zip(tmp_path / "photos.zip", folders(tmp_path / "source"))
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match=r"photos\.zip") as caught:
        data.load(path)
    assert str(caught.value).isprintable()
