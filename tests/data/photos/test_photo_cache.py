"""Decoded images are kept by content; a damaged entry is made again, and old ones are removed."""

import os
import random
import time

import numpy as np
import pytest
from PIL import Image

from cnnlab import files
from cnnlab.data.photos import cache, children, import_images
from cnnlab.data.size import Size

SIZE = Size(8, 8)


@pytest.fixture
def paths(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for number in range(5):
        array = rng.integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(array).save(tmp_path / "images" / f"{number}.png")
    return sorted((tmp_path / "images").iterdir())


@pytest.fixture
def expected(paths):
    return np.stack([np.asarray(Image.open(path)) for path in paths])


def decoded_here(self, path, size):
    """What a child process answers, without one."""
    pixels = np.asarray(Image.open(path))
    return children.Photo(
        children.About(cache.hashlib.sha256(path.read_bytes()).digest(), (8, 8), False, False), pixels
    )


def test_an_entry_with_any_flipped_bit_gives_the_right_images(paths, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(children._Child, "decode", decoded_here)
    import_images(paths, SIZE, tmp_path / "cache")
    [entry] = (tmp_path / "cache").iterdir()
    content = entry.read_bytes()
    rng = random.Random(0)
    for _ in range(200):
        spoilt = bytearray(content)
        place = rng.randrange(len(spoilt))
        spoilt[place] ^= 1 << rng.randrange(8)
        entry.write_bytes(spoilt)
        imported = import_images(paths, SIZE, tmp_path / "cache")
        np.testing.assert_array_equal(imported.images, expected)
        assert imported.warnings == ()


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_an_entry_that_is_cut_off_is_made_again(content, paths, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(children._Child, "decode", decoded_here)
    import_images(paths, SIZE, tmp_path / "cache")
    [entry] = (tmp_path / "cache").iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(whole[: len(whole) // 2] if content is None else content)
    np.testing.assert_array_equal(import_images(paths, SIZE, tmp_path / "cache").images, expected)
    assert entry.read_bytes() == whole


def test_an_entry_of_another_version_is_not_used(paths, expected, tmp_path, monkeypatch):
    import_images(paths, SIZE, tmp_path / "cache")
    assert len(cache.entries(tmp_path / "cache")) == 1
    monkeypatch.setattr(cache, "_VERSION", "1, Pillow 0.0")
    assert cache.entries(tmp_path / "cache") == []


def test_the_entries_that_were_used_last_are_kept(paths, tmp_path, monkeypatch):
    monkeypatch.setattr(children._Child, "decode", decoded_here)
    folder, entries = tmp_path / "cache", []
    for age, path in zip((50, 40, 30, 20), paths, strict=False):
        import_images([path], SIZE, folder)
        entries += set(folder.iterdir()) - set(entries)
        os.utime(entries[-1], (time.time() - age,) * 2)
    assert len(entries) == cache.KEPT
    import_images(paths[:1], SIZE, folder)
    import_images(paths[4:], SIZE, folder)
    assert len(list(folder.iterdir())) == cache.KEPT
    assert [entry.exists() for entry in entries] == [True, False, True, True]


def test_what_a_killed_process_has_left_is_removed(paths, tmp_path, monkeypatch):
    monkeypatch.setattr(children._Child, "decode", decoded_here)
    (tmp_path / "cache").mkdir()
    left = files.temporary_file(tmp_path / "cache")
    os.utime(left, (time.time() - 2 * files.STALE_SECONDS,) * 2)
    import_images(paths, SIZE, tmp_path / "cache")
    assert not left.exists()
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_full_disk_leaves_no_part_of_an_entry(paths, expected, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.np, "savez", full)
    np.testing.assert_array_equal(import_images(paths, SIZE, tmp_path / "cache").images, expected)
    assert list((tmp_path / "cache").iterdir()) == []
