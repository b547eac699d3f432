"""Folders of image files become arrays; what is unusual about them is a warning, and too much of it an error."""

import numpy as np
import pytest
from PIL import Image

from cnnlab.data.photos import children, import_images, importing
from cnnlab.data.size import Size
from cnnlab.errors import DataError

RNG = np.random.default_rng(0)


def colour(side=40, high=None):
    return Image.fromarray(RNG.integers(0, 256, (high or side, side, 3), np.uint8))


def gray(side=40):
    return Image.fromarray(RNG.integers(0, 256, (side, side), np.uint8))


def save(folder, **images):
    """Write images as PNG files; return their paths in the order of their names."""
    for name, image in images.items():
        image.save(folder / f"{name}.png")
    return [folder / f"{name}.png" for name in images]


def numbered(folder, n, make=colour):
    return save(folder, **{f"i{number:03d}": make() for number in range(n)})


def count_decoded(monkeypatch):
    """The names of the files that child processes are asked for."""
    asked, decode = [], children._Child.decode

    def counted(self, path, size):
        asked.append(path.name)
        return decode(self, path, size)

    monkeypatch.setattr(children._Child, "decode", counted)
    return asked


def test_images_of_one_small_size_are_taken_pixel_by_pixel(tmp_path):
    arrays = RNG.integers(0, 256, (12, 20, 64, 3), np.uint8)
    paths = save(tmp_path, **{f"i{place:02d}": Image.fromarray(array) for place, array in enumerate(arrays)})
    imported = import_images(paths, None, None)
    np.testing.assert_array_equal(imported.images, arrays)
    assert imported.kept.tolist() == list(range(12))
    assert (imported.kept.dtype, imported.images.dtype) == (np.int64, np.uint8)
    assert imported.warnings == ()


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(40, 30), (40, 30)], (40, 30)),
        ([(64, 64), (64, 64)], (64, 64)),
        ([(65, 64), (65, 64)], (32, 32)),
        ([(40, 40), (40, 40), (41, 40)], (32, 32)),
        ([(600, 400), (40, 30)], (32, 32)),
        ([(32, 32), (50, 50)], (32, 32)),
        ([(5, 3), (5, 3)], (5, 3)),
    ],
)
def test_without_a_size_images_keep_their_own_where_all_are_alike_and_small(sizes, expected, tmp_path):
    paths = save(tmp_path, **{f"i{place}": colour(width, high) for place, (high, width) in enumerate(sizes)})
    assert import_images(paths, None, None).images.shape == (len(sizes), *expected, 3)
    assert import_images(paths, Size(9, 14), None).images.shape == (len(sizes), 9, 14, 3)


def test_the_own_size_of_an_image_is_that_after_it_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    colour(30, 20).save(tmp_path / "turned.png", exif=exif)
    colour(20, 30).save(tmp_path / "upright.png")
    assert import_images(sorted(tmp_path.iterdir()), None, None).images.shape == (2, 30, 20, 3)


def test_where_all_files_are_gray_the_images_have_one_channel(tmp_path):
    """A file in colour whose pixels are gray counts as gray then."""
    shades = gray()
    paths = save(tmp_path, a=shades, b=shades.convert("RGB"), c=shades.convert("LA"))
    imported = import_images(paths, None, None)
    np.testing.assert_array_equal(imported.images, np.stack([np.asarray(shades)[..., None]] * 3))
    assert imported.warnings == ()


def test_gray_images_in_colour_files_among_colour_images_are_nothing_unusual(tmp_path):
    shades = gray()
    imported = import_images(save(tmp_path, a=shades.convert("RGB"), b=colour()), None, None)
    np.testing.assert_array_equal(imported.images[0], np.stack([np.asarray(shades)] * 3, axis=-1))
    assert imported.warnings == ()


@pytest.mark.parametrize(
    ("n_gray", "n_colour", "words"),
    [
        (2, 9, "2 of 11 images are gray, the others in colour: 'gray0.png', 'gray1.png'. All are read as colour"),
        (9, 1, "1 of 10 images is in colour, the others gray: 'colour0.png'. All are read as colour"),
        (5, 9, "'gray2.png' and 2 more. All"),
    ],
)
def test_gray_and_colour_files_all_become_colour_with_a_warning(n_gray, n_colour, words, tmp_path):
    grays = {f"gray{place}": gray() for place in range(n_gray)}
    colours = {f"colour{place}": colour() for place in range(n_colour)}
    imported = import_images(save(tmp_path, **grays, **colours), None, None)
    for pixels, image in zip(imported.images, [*grays.values(), *colours.values()], strict=True):
        np.testing.assert_array_equal(pixels, np.asarray(image.convert("RGB")))
    [warning] = imported.warnings
    assert warning.name == "mixed-colour"
    assert words in warning.text


def test_broken_files_are_named_and_the_others_imported(tmp_path):
    paths = numbered(tmp_path, 30)
    expected = import_images(paths, Size(16, 16), None)
    paths[4].write_bytes(b"")
    paths[9].write_bytes(paths[10].read_bytes()[:500])
    paths[29].write_text("no image")
    imported = import_images(paths, Size(16, 16), None)
    assert imported.kept.tolist() == [place for place in range(30) if place not in (4, 9, 29)]
    np.testing.assert_array_equal(imported.images, expected.images[imported.kept])
    [warning] = imported.warnings
    assert warning.name == "broken-images"
    assert warning.text.startswith(
        "3 of 30 image files cannot be read, and are not used: 'i004.png' (it is empty), 'i009"
    )
    assert "'i029.png' (it is no image). Save them again, or remove them." in warning.text
    assert warning.text.isprintable()


def test_too_many_broken_files_are_an_error_and_nothing_is_written(tmp_path):
    paths = numbered(tmp_path, 20)
    for path in paths[::5]:
        path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError) as caught:
        import_images(paths, None, tmp_path / "cache")
    text = str(caught.value)
    assert text.startswith(
        "Expected at least 90% of 20 image files to be whole. Received: 3 that cannot be read: 'i000"
    )
    assert text.isprintable()
    assert not (tmp_path / "cache").exists()


def test_files_of_formats_that_are_not_read_are_counted_by_format_in_one_warning(tmp_path):
    paths = numbered(tmp_path, 4)
    for number in range(7):
        (tmp_path / f"x{number}.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(99))
    (tmp_path / "y.NEF").write_bytes(b"II*\0")
    others = sorted(tmp_path.glob("[xy]*"))
    imported = import_images([others[0], *paths, *others[1:]], None, None)
    assert imported.kept.tolist() == [1, 2, 3, 4]
    [warning] = imported.warnings
    assert warning.name == "unread-files"
    assert warning.text == (
        "8 files are in a format that is not read: 7 HEIC, 1 camera RAW, as 'x0.heic'. Convert them to JPEG or PNG."
    )
    with pytest.raises(DataError, match=r"images that can be read. Received: 7 HEIC, 1 camera RAW files\. Convert"):
        import_images(others, None, None)


def test_names_are_those_in_the_common_folder_of_the_files(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
    paths = numbered(tmp_path / "cat", 12) + numbered(tmp_path / "dog", 12)
    paths[13].write_bytes(b"")
    [warning] = import_images(paths, None, None).warnings
    assert "'dog/i001.png' (it is empty)" in warning.text


def test_no_file_is_an_error():
    with pytest.raises(DataError, match="Expected images that can be read"):
        import_images([], None, None)


def test_progress_is_told_for_each_file(tmp_path):
    told = []
    paths = numbered(tmp_path, 5)
    for _ in range(2):
        import_images(paths, Size(16, 16), tmp_path / "cache", lambda *numbers: told.append(numbers))
    assert told == [*[(done, 5) for done in range(1, 6)], (5, 5)]


@pytest.mark.parametrize("size", [None, Size(24, 20)])
def test_a_second_import_decodes_nothing(size, tmp_path, monkeypatch):
    asked = count_decoded(monkeypatch)
    paths = [*numbered(tmp_path, 6), *save(tmp_path, z=gray())]
    first = import_images(paths, size, tmp_path / "cache")
    assert len(asked) >= 7
    asked.clear()
    second = import_images(paths, size, tmp_path / "cache")
    assert asked == []
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.kept, second.kept)
    assert first.warnings == second.warnings
    import_images(paths, Size(10, 10), tmp_path / "cache")
    assert len(asked) == 7, "another size"


def test_only_new_files_are_decoded_whatever_their_names_and_order(tmp_path, monkeypatch):
    paths = numbered(tmp_path, 6)
    first = import_images(paths, Size(16, 16), tmp_path / "cache")
    asked = count_decoded(monkeypatch)
    paths[2].rename(tmp_path / "renamed.png")
    more = [*save(tmp_path, new=colour()), tmp_path / "renamed.png", paths[5], paths[0], paths[5]]
    second = import_images(more, Size(16, 16), tmp_path / "cache")
    assert asked == ["new.png"]
    np.testing.assert_array_equal(second.images[1:], first.images[[2, 5, 0, 5]])


def test_a_changed_file_is_decoded_again(tmp_path):
    paths = numbered(tmp_path, 3)
    import_images(paths, Size(40, 40), tmp_path / "cache")
    changed = colour()
    changed.save(paths[1])
    images = import_images(paths, Size(40, 40), tmp_path / "cache").images
    np.testing.assert_array_equal(images[1], np.asarray(changed))


def test_gray_files_of_the_cache_fit_colour_ones(tmp_path):
    """They are kept with one channel where all were gray, and with three elsewhere."""
    one, two, three = gray(), gray(), colour()
    paths = save(tmp_path, one=one, two=two, three=three)
    cache = tmp_path / "cache"
    assert import_images(paths[:2], None, cache).images.shape[3] == 1
    assert import_images(paths, None, cache).images.shape[3] == 3
    again = import_images(paths[:2], None, cache).images
    np.testing.assert_array_equal(again, np.stack([np.asarray(one), np.asarray(two)])[..., None])


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    paths = numbered(tmp_path, 3)
    assert len(import_images(paths, None, tmp_path / "file" / "cache").images) == 3


def test_one_process_gives_the_same_as_several(tmp_path, monkeypatch):
    paths = numbered(tmp_path, 40)
    several = import_images(paths, Size(20, 20), None)
    monkeypatch.setattr(importing, "Decoders", lambda _: children.Decoders(1))
    np.testing.assert_array_equal(import_images(paths, Size(20, 20), None).images, several.images)
