"""A file is there whole, or as it was."""

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


def test_only_old_scratch_files_are_swept(tmp_path):
    old, young = files.temporary_file(tmp_path), files.temporary_file(tmp_path, ".part.ipynb")
    other = tmp_path / "mine.part"
    other.write_text("")
    for path in (old, other):
        os.utime(path, (1, 1))
    files.remove_stale_files(tmp_path)
    assert [path.exists() for path in (old, young, other)] == [False, True, True]
