"""An image of any mode and format becomes upright, cropped, resized pixels; what is too large is refused unread."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_image

from cnnlab.data.photos import decode, decoding, why
from cnnlab.data.photos.decoding import ImageError

RNG = np.random.default_rng(0)
SIZE = (16, 24)


def ramp(mode, size=(60, 40)):
    """A smooth image of a mode, black at its left and white at its right."""
    values = np.tile(np.linspace(0, 255, size[0], dtype=np.uint8), (size[1], 1))
    if mode == "I;16":
        return Image.fromarray(values.astype(np.uint16) * 257)
    gray = Image.fromarray(values)
    return gray.convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE) if mode == "P" else gray.convert(mode)


def pixels(decoded):
    return np.asarray(decoded.image.convert("RGB")).astype(int)


@pytest.mark.parametrize(
    ("mode", "suffix", "has_gray_mode", "tolerance"),
    [
        ("L", "png", True, 0), ("LA", "png", True, 0), ("I;16", "png", True, 0), ("RGB", "png", False, 0),
        ("RGBA", "png", False, 0), ("P", "png", False, 3), ("L", "jpg", True, 3), ("RGB", "jpg", False, 3),
        ("CMYK", "jpg", False, 3), ("P", "gif", False, 3), ("L", "bmp", True, 0), ("RGB", "bmp", False, 0),
        ("RGB", "webp", False, 8), ("RGBA", "webp", False, 8), ("L", "tif", True, 0), ("I;16", "tif", True, 0),
        ("CMYK", "tif", False, 0), ("RGB", "tif", False, 0), ("L", "pgm", True, 0), ("I;16", "pgm", True, 0),
        ("RGB", "avif", False, 8), ("RGB", "jp2", False, 3), ("RGB", "tga", False, 0), ("RGB", "qoi", False, 0),
    ],
)  # fmt: skip
def test_gray_is_seen_by_the_pixels_and_the_mode_of_the_file_is_told_too(
    mode, suffix, has_gray_mode, tolerance, tmp_path
):
    ramp(mode).save(tmp_path / f"image.{suffix}")
    decoded = decode(str(tmp_path / f"image.{suffix}"), SIZE)
    expected = np.asarray(ImageOps.fit(ramp("RGB"), SIZE[::-1], Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(pixels(decoded) - expected).max() <= tolerance
    assert decoded.own == (40, 60)
    if tolerance == 0:
        assert decoded.image.mode == "L"
    assert decoded.has_gray_mode == has_gray_mode


def test_colours_stay_colours(tmp_path):
    image = Image.fromarray(RNG.integers(0, 256, (*SIZE, 3), np.uint8))
    image.save(tmp_path / "image.png")
    decoded = decode(str(tmp_path / "image.png"), SIZE)
    assert decoded.image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(decoded.image), np.asarray(image))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_upright(orientation, suffix, tmp_path):
    stored = Image.fromarray(np.kron(RNG.integers(0, 256, (5, 7), np.uint8), np.ones((8, 8), np.uint8)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / f"image.{suffix}", exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    # Read from a file and not from memory, Pillow 13 scrambles TIFF images that are turned.
    with Image.open(io.BytesIO((tmp_path / f"image.{suffix}").read_bytes())) as image:
        upright = ImageOps.exif_transpose(image)
        expected = np.asarray(ImageOps.fit(upright, (16, 24), Image.Resampling.LANCZOS).convert("RGB")).astype(int)
    decoded = decode(str(tmp_path / f"image.{suffix}"), (24, 16))
    assert decoded.own == upright.size[::-1] == ((56, 40) if orientation > 4 else (40, 56))
    assert np.abs(pixels(decoded) - expected).max() == 0


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize(("size", "most", "mean"), [((32, 32), 3, 0.3), ((64, 48), 4, 0.3), ((150, 100), 8, 0.4)])
def test_a_large_jpeg_is_decoded_at_a_part_of_its_size_with_almost_the_same_pixels(
    size, most, mean, orientation, tmp_path
):
    photo = Image.fromarray(np.tile(load_sample_image("china.jpg"), (3, 3, 1))[:1277, :1915])
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo.save(tmp_path / "photo.jpg", quality=92, exif=exif)
    with Image.open(tmp_path / "photo.jpg") as image:
        upright = ImageOps.exif_transpose(image)
        expected = np.asarray(ImageOps.fit(upright, size[::-1], Image.Resampling.LANCZOS)).astype(int)
    decoded = decode(str(tmp_path / "photo.jpg"), size)
    assert decoded.own == upright.size[::-1]
    difference = np.abs(pixels(decoded) - expected)
    assert difference.max() <= most
    assert 0 < difference.mean() <= mean, "it was reduced"


@pytest.mark.parametrize(
    ("mode", "clear"), [("RGBA", (0, 0, 0, 0)), ("LA", (0, 0)), ("P", 0), ("L", 0), ("RGB", (0, 0, 0))]
)
def test_transparent_parts_become_white(mode, clear, tmp_path):
    image = Image.new(mode, (40, 40), clear)
    image.save(tmp_path / "image.png", **({"transparency": clear} if mode in ("P", "L", "RGB") else {}))
    assert (pixels(decode(str(tmp_path / "image.png"), SIZE)) == 255).all()


def test_the_first_frame_of_an_animation_is_decoded(tmp_path):
    frames = [Image.new("L", (20, 20), shade) for shade in (40, 250, 250)]
    for suffix in ("gif", "webp", "png", "tif"):
        frames[0].save(tmp_path / f"moving.{suffix}", save_all=True, append_images=frames[1:])
        assert abs(pixels(decode(str(tmp_path / f"moving.{suffix}"), SIZE)).mean() - 40) < 3


@pytest.mark.parametrize("own", [(1, 1), (1, 500), (500, 1), (3, 2), (2000, 3)])
def test_images_of_extreme_sizes(own, tmp_path):
    Image.new("RGB", own, (10, 200, 30)).save(tmp_path / "image.png")
    decoded = decode(str(tmp_path / "image.png"), SIZE)
    assert (pixels(decoded) == (10, 200, 30)).all()
    assert decoded.own == own[::-1]


def reason(path, size=SIZE):
    with pytest.raises(Exception) as caught:
        decode(str(path), size)
    return why(caught.value), getattr(caught.value, "format", "")


def header(width, height, bits=8):
    """The beginning of a PNG file of a size."""
    parts = ((b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0")))
    chunks = [struct.pack(">I", len(c)) + kind + c + struct.pack(">I", zlib.crc32(kind + c)) for kind, c in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    Image.new("1", (9000, 6000)).save(tmp_path / "bomb.png")
    assert (tmp_path / "bomb.png").stat().st_size < 100_000
    (tmp_path / "huge.png").write_bytes(header(2**31 - 1, 2**31 - 1))
    jpeg = io.BytesIO()
    Image.new("L", (8, 8)).save(jpeg, "JPEG")
    start = jpeg.getvalue().index(b"\xff\xc0") + 5
    (tmp_path / "huge.jpg").write_bytes(jpeg.getvalue()[:start] + b"\xff\xdc\xff\xdc" + jpeg.getvalue()[start + 4 :])
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("it is decoded"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reason(tmp_path / "bomb.png")[0] == "it has 9000 x 6000 pixels; at most 50,000,000 are decoded"
        assert reason(tmp_path / "huge.png")[0].startswith("DecompressionBombError")
        assert reason(tmp_path / "huge.jpg")[0].startswith("DecompressionBombError")


def test_a_file_of_too_many_bytes_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "MAX_BYTES", 1000)
    (tmp_path / "large.png").write_bytes(bytes(1001))
    assert reason(tmp_path / "large.png")[0] == "it has 1,001 bytes; at most 1,000 are read"


def heic(brand):
    return struct.pack(">I", 24) + b"ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(500)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.HEIC", heic(b"heic"), ("it is HEIC", "HEIC")),
        ("renamed.jpg", heic(b"heix"), ("it is HEIC", "HEIC")),
        ("a.dng", None, ("it is camera RAW", "camera RAW")),
        ("a.svg", b"<svg></svg>", ("it is SVG", "SVG")),
        ("a.jxl", b"\xff\x0a" + bytes(90), ("it is JPEG XL", "JPEG XL")),
        ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", ("it is PostScript", "PostScript")),
        ("empty.heic", b"", ("it is empty", "")),
        ("text.jpg", b"no image\n" * 9, ("it is no image", "")),
        ("missing.png", "", ("it is no file", "")),
    ],
)
def test_what_is_not_read_is_named(name, content, expected, tmp_path):
    """The preview in a RAW file, which Pillow could read, is not its image."""
    if content is None:
        ramp("L").save(tmp_path / name, "TIFF")
    elif content != "":
        (tmp_path / name).write_bytes(content)
    assert reason(tmp_path / name) == expected


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "webp", "tif", "bmp", "jp2"])
def test_a_file_that_is_cut_off_is_an_error_and_never_half_an_image(suffix, tmp_path):
    image = Image.fromarray(RNG.integers(0, 256, (50, 50, 3), np.uint8))
    image.save(tmp_path / f"image.{suffix}")
    content = (tmp_path / f"image.{suffix}").read_bytes()
    for part in (0.05, 0.5, 0.9):
        (tmp_path / f"cut.{suffix}").write_bytes(content[: int(part * len(content))])
        text, other = reason(tmp_path / f"cut.{suffix}")
        assert (text.isprintable(), other) == (True, "")


def test_a_pipe_is_no_image(tmp_path):
    os = pytest.importorskip("os")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="it is no file"):
        decode(str(tmp_path / "pipe.png"), SIZE)
