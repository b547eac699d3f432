"""A file is there whole, or as it was."""

import errno
import os

import pytest

from cnnlab import files


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path):
    target = tmp_path / "x.json"
    for content in (b"old", b"new"):
        files.write(target, content)
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_a_file_that_cannot_be_written_is_named_and_stays_as_it_was(tmp_path, monkeypatch):
    target = tmp_path / "x.json"
    files.write(target, b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device.*x\.json"):
        files.write(target, b"new")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_a_file_whose_content_fails_halfway_stays_as_it_was(tmp_path):
    target = tmp_path / "x.npz"
    files.write(target, b"old")
    with pytest.raises(ValueError, match="no array"), files.writing(target) as stream:
        stream.write(b"ne")
        raise ValueError("no array")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]


def test_only_old_scratch_files_are_swept(tmp_path):
    old, young = files.temporary_file(tmp_path), files.temporary_file(tmp_path)
    other = tmp_path / "mine.part"
    other.write_text("")
    for path in (old, other):
        os.utime(path, (1, 1))
    files.remove_stale_files(tmp_path)
    assert [path.exists() for path in (old, young, other)] == [False, True, True]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EXDEV])
@pytest.mark.parametrize("replace", [True, False])
def test_a_file_system_without_permissions_sync_links_or_renames_takes_files_too(
    tmp_path, monkeypatch, number, replace
):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    for name in ("chmod", "fsync", "link", "replace", "rename"):
        monkeypatch.setattr(os, name, refuse)
    files.write(tmp_path / "x.json", b"content", replace=replace)
    assert (tmp_path / "x.json").read_bytes() == b"content"
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG])
@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_disk_that_does_not_take_the_content_is_an_error(tmp_path, monkeypatch, name, number):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, name, refuse)
    with pytest.raises(OSError, match=os.strerror(number)):
        files.write(tmp_path / "x.json", b"content")
    assert not list(tmp_path.iterdir())


def test_advice_names_the_setting():
    assert files.advice(OSError(errno.EROFS, ""), "RUNS=...") == "Name a folder that can be written (RUNS=...)."
