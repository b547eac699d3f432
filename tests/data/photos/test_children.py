"""Child processes decode untrusted images: one that hangs, dies or wants too much memory is one refused image."""

import io
import json
import subprocess
import sys
import threading

import numpy as np
import psutil
import pytest
from PIL import Image

from cnnlab.data.photos import children, decoding
from cnnlab.data.photos.children import Decoders, Photo, Refused
from cnnlab.data.size import Size

SIZE = Size(16, 12)
STUB = """
import importlib.util, os, sys
spec = importlib.util.spec_from_file_location("decoding", {file!r})
decoding = importlib.util.module_from_spec(spec)
sys.modules["decoding"] = decoding
spec.loader.exec_module(decoding)
decoding.SECONDS = {seconds}
decode = decoding.decode
def dies(path, *more):
    return os.abort() if b"abort" in path else decode(path, *more)
decoding.decode = dies
decoding.serve()
"""


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(children.surroundings, "cores", lambda: 2)


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """Decoders with a short time for an image, which a file named `abort` kills."""
    (tmp_path / "stub.py").write_text(STUB.format(file=decoding.__file__, seconds=2))
    monkeypatch.setattr(decoding, "SECONDS", 2)
    monkeypatch.setattr(decoding, "__file__", str(tmp_path / "stub.py"))


def plain(folder, shades):
    """Images of one shade of gray each, as files."""
    for shade in shades:
        Image.new("L", (20, 15), shade).save(folder / f"{shade:03d}.png")
    return [folder / f"{shade:03d}.png" for shade in shades]


def outcomes(paths, size=SIZE):
    with Decoders(len(paths)) as decoders:
        return list(decoders.decode(paths, size))


def shades(found):
    return [int(photo.pixels[0, 0, 0]) if isinstance(photo, Photo) else photo.reason for photo in found]


def test_images_come_in_the_order_of_their_files(tmp_path, two_cores):
    paths = plain(tmp_path, range(60))
    Image.effect_noise((1500, 1500), 50).convert("RGB").save(paths[3])  # the others overtake it
    found = outcomes(paths)
    assert shades(found)[:3] + shades(found)[4:] == [0, 1, 2, *range(4, 60)]
    assert {photo.pixels.shape for photo in found} == {(16, 12, 1)}


def bomb(side=4000, scans=300):
    """A JPEG file of 72 KB that takes a core many seconds: each of its scans passes over all pixels."""
    content = io.BytesIO()
    Image.new("L", (side, side), 128).save(content, "JPEG", progressive=True, quality=50)
    whole = content.getvalue()
    last, end = whole.rindex(b"\xff\xda"), whole.rindex(b"\xff\xd9")
    return whole[:end] + whole[last:end] * scans + whole[end:]


def test_images_that_hang_or_kill_their_process_are_refused_and_the_others_decoded(tmp_path, two_cores, stub):
    paths = plain(tmp_path, range(20))
    for name in ("abort-1.png", "abort-2.png"):
        (tmp_path / name).write_bytes(paths[0].read_bytes())
    (tmp_path / "bomb.jpg").write_bytes(bomb())
    bad = [tmp_path / name for name in ("abort-1.png", "bomb.jpg", "abort-2.png")]
    found = shades(outcomes([bad[0], *paths[:10], bad[1], *paths[10:], bad[2]]))
    dies, slow = "it ends the program that decodes it", "it takes more than 2 seconds"
    assert found == [dies, *range(10), slow, *range(10, 20), dies]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
def test_an_image_that_takes_too_much_memory_is_refused(tmp_path):
    """This PNG file of 50 KB has 49 million pixels, which need 400 MB as transparent colours."""
    Image.new("P", (7000, 7000)).save(tmp_path / "large.png", transparency=0)
    good = plain(tmp_path, [7])
    assert shades(outcomes([tmp_path / "large.png", *good])) == ["it takes more than 350 MB of memory", 7]


class CountedLock:
    def __init__(self):
        self.lock, self.count = threading.Lock(), 0

    def __enter__(self):
        self.lock.acquire()
        self.count += 1

    def __exit__(self, *_):
        self.lock.release()


@pytest.mark.parametrize(("side", "count"), [(3000, 4), (300, 0)])
def test_large_images_are_decoded_while_the_lock_is_held(side, count, tmp_path, two_cores):
    """All processes share it, so that no two of them hold a large image."""
    Image.new("RGB", (side, side), (9, 9, 9)).save(tmp_path / "a.png")
    paths = [tmp_path / f"{name}.png" for name in "abcd"]
    for path in paths[1:]:
        path.write_bytes(paths[0].read_bytes())
    with Decoders(100) as decoders:
        assert len(decoders._children) == 2
        assert len({id(child._large) for child in decoders._children}) == 1
        large = CountedLock()
        for child in decoders._children:
            child._large = large
        assert shades(decoders.decode(paths, SIZE)) == [9, 9, 9, 9]
    assert large.count == count


def test_a_child_process_loads_pillow_alone_and_ends_with_its_input(tmp_path):
    """NumPy, pandas or Keras would cost more memory than the images."""
    code = (
        "import runpy, sys\n"
        f"runpy.run_path({decoding.__file__!r}, run_name='__main__')\n"
        "print(*{'numpy', 'pandas', 'keras', 'sklearn', 'cnnlab'} & set(sys.modules), file=sys.stderr)"
    )
    [path] = plain(tmp_path, [33])
    request = {"path": str(path).encode().hex(), "height": 16, "width": 12, "may_take": 10**9}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], input=json.dumps(request).encode() + b"\n", capture_output=True, check=True
    )
    header, _, pixels = done.stdout.partition(b"\n")
    assert json.loads(header)["own"] == [15, 20]
    assert pixels == bytes([33] * 16 * 12)
    assert done.stderr.strip() == b""


def test_no_process_is_left(tmp_path, two_cores):
    paths = plain(tmp_path, range(30))
    before = {child.pid for child in psutil.Process().children()}
    with Decoders(len(paths)) as decoders:
        images = decoders.decode(paths, SIZE)
        next(images)
        started = {child.pid for child in psutil.Process().children()} - before
    assert 1 <= len(started) <= 2
    assert {child.pid for child in psutil.Process().children()} - before == set()


def test_a_process_that_something_else_ends_costs_no_image(tmp_path):
    paths = plain(tmp_path, range(3))
    with Decoders(3) as decoders:
        for number, path in enumerate(paths):
            assert shades(decoders.decode([path], SIZE)) == [number]
            [child] = decoders._children
            child._process.kill()
            child._process.wait()


def test_any_name_of_a_file(tmp_path):
    content = plain(tmp_path, [5])[0].read_bytes()
    paths = [tmp_path / name for name in ("line\nbreak.png", "\u732b.png", "-c.png", "byte\udc80.png", "quote'\".png")]
    for path in paths:
        path.write_bytes(content)
    assert shades(outcomes(paths)) == [5] * len(paths)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert outcomes([tmp_path / "none.png", tmp_path]) == [Refused("it is no file")] * 2


def test_colour_images_have_three_channels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 12, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    [photo] = outcomes([tmp_path / "image.png"])
    np.testing.assert_array_equal(photo.pixels, pixels)
    assert not photo.about.is_gray
