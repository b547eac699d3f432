"""Decode one image, which may be malicious. Run as a program, this module decodes images for another process.

It imports Pillow alone, and is run as a file: a process of it takes 20 MB, and starts in a moment.
"""

import faulthandler
import hashlib
import io
import json
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import PurePath
from typing import Any, NamedTuple

from PIL import Image, UnidentifiedImageError

MAX_BYTES = 100 << 20
"""Size of an image file."""
MAX_PIXELS = 50_000_000
"""Pixels of an image as it is decoded. Pillow itself refuses JPEG files of more than 179 million."""
SECONDS = 30
"""Time that a child process has for an image."""
MEMORY = 350 << 20
"""Bytes of a child process. Linux alone keeps to it."""
LARGE_JPEG = 1_000_000
"""Pixels above which a JPEG file is decoded at a half, a quarter or an eighth of its size, which is much faster."""
MARGIN = 4
"""How much larger than the result it still is then. Its pixels differ from those of the whole image by 0.3 on average,
and by 8 at most."""
_TURNS = {
    2: (Image.Transpose.FLIP_LEFT_RIGHT, False, True, False),
    3: (Image.Transpose.ROTATE_180, False, True, True),
    4: (Image.Transpose.FLIP_TOP_BOTTOM, False, False, True),
    5: (Image.Transpose.TRANSPOSE, True, False, False),
    6: (Image.Transpose.ROTATE_270, True, True, False),
    7: (Image.Transpose.TRANSVERSE, True, True, True),
    8: (Image.Transpose.ROTATE_90, True, False, True),
}
"""What turns an image upright, by its EXIF orientation: whether height and width change places, and whether left and
right, and then top and bottom."""
_ORIENTATION = 0x0112
_Box = tuple[float, float, float, float]
_GRAY_MODES = ("1", "L", "LA", "La", "I")
_HIGH_BYTE = [value >> 8 for value in range(1 << 16)]
SUFFIXES = {
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".ico", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".jpx", ".mpo",
    ".pbm", ".pcx", ".pgm", ".png", ".pnm", ".ppm", ".psd", ".qoi", ".tga", ".tif", ".tiff", ".webp",
}  # fmt: skip
"""How the names of images end that are read. Those named in another way are read too, where a user names them."""
_RAW = (".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".srw")
UNREAD_PHOTOS = {
    **dict.fromkeys(_RAW, "camera RAW"),
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIC"),
    ".jxl": "JPEG XL",
}
"""Formats of photographs that are not read, by the suffix of the file."""
_OTHER_FORMATS = {
    **UNREAD_PHOTOS,
    **dict.fromkeys((".eps", ".ps", ".ai"), "PostScript"),
    **dict.fromkeys((".mov", ".mp4", ".avi", ".webm"), "video"),
    ".pdf": "PDF",
    ".svg": "SVG",
}
"""Likewise of everything else that has a name of its own."""
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


class ImageError(ValueError):
    """A file that is no usable image; the text says why.

    Attributes:
        format: Name of its format, if it is one that is not read; else "".
    """

    def __init__(self, reason: str, format: str = "") -> None:  # noqa: A002 - an image's format
        super().__init__(reason)
        self.format = format


class Decoded(NamedTuple):
    """An image as a model takes it.

    Attributes:
        image: A Pillow image of the wanted size: mode "L" if all its pixels are gray, else "RGB".
        own: Height and width of the file's image, upright.
        has_gray_mode: Whether the file says that it is gray: colour files may show gray too.
        digest: SHA-256 of the file's content, in hex digits.
    """

    image: Image.Image
    own: tuple[int, int]
    has_gray_mode: bool
    digest: str


def open_file(path: str | bytes, reserve: Callable[[int], None] = lambda _: None) -> io.BufferedReader:
    """Open an image file.

    Args:
        path: The file.
        reserve: Called with its size before it is opened.

    Raises:
        ImageError: It is larger than MAX_BYTES, or no file.
        OSError: It cannot be read.
    """
    if not os.path.isfile(path):  # noqa: PTH113 - a pipe would never end
        raise ImageError("it is no file")
    size = os.path.getsize(path)  # noqa: PTH202 - the path may be bytes
    if size > MAX_BYTES:
        raise ImageError(f"it has {size:,} bytes; at most {MAX_BYTES:,} are read")
    reserve(size)
    return open(path, "rb")  # noqa: PTH123


def decode(path: str | bytes, size: tuple[int, int], reserve: Callable[[int], None] = lambda _: None) -> Decoded:
    """Return an image upright (EXIF orientation), cropped around its centre to the proportions of a size, and resized.

    Transparent parts become white. Of an animation, the first frame is decoded.

    Args:
        path: A file in any of Pillow's formats, except PostScript.
        size: Height and width.
        reserve: Called with the bytes that decoding is expected to take, before it does.

    Raises:
        ImageError: It is no image, or too large, or its pixels have no known range.
        Exception: A damaged or malicious file may break Pillow anywhere.
    """
    with open_file(path, reserve) as stream:
        content = stream.read(MAX_BYTES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _open(content, os.fsdecode(path)) as image:
            width, height = image.size
            is_reduced = image.format in ("JPEG", "MPO") and width * height > LARGE_JPEG
            draft = image.draft(None, (MARGIN * max(size),) * 2) if is_reduced else None
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(f"it has {image.width} x {image.height} pixels; at most {MAX_PIXELS:,} are decoded")
            coefficients = 6 * width * height if image.info.get("progressive") else 0
            reserve(len(content) + 8 * image.width * image.height + coefficients)
            image.load()
            if not draft:
                width, height = image.size  # an icon's size is known only now
            orientation = 1
            with suppress(Exception):  # broken EXIF data: the image stays as it is
                orientation = image.getexif().get(_ORIENTATION, 1)
            has_gray_mode = image.mode.split(";")[0] in _GRAY_MODES
            # Of a reduced image, the last row and column may be filled in part.
            box = draft[1] if draft else (0.0, 0.0, float(width), float(height))
            upright, box = _turn(_eight_bits(image), box, orientation)
    small = fit(upright, size, box)
    if small.mode == "RGBA":
        small = Image.alpha_composite(Image.new("RGBA", small.size, "white"), small).convert("RGB")
    first, *others = small.split()
    is_gray = all(other.tobytes() == first.tobytes() for other in others)
    own = (width, height) if orientation in (5, 6, 7, 8) else (height, width)
    return Decoded(first if is_gray else small, own, has_gray_mode, hashlib.sha256(content).hexdigest())


def _open(content: bytes, name: str) -> Image.Image:
    suffix = PurePath(name).suffix.lower()
    if suffix in _RAW:  # Pillow would read the small preview in it
        raise ImageError("it is camera RAW", _OTHER_FORMATS[suffix])
    Image.init()
    try:
        # EPS is a program, which Pillow would pass to another program.
        return Image.open(io.BytesIO(content), formats=[known for known in Image.ID if known != "EPS"])
    except UnidentifiedImageError as error:
        is_heic = content[4:8] == b"ftyp" and content[8:12] in _HEIC
        other = "HEIC" if is_heic else _OTHER_FORMATS.get(suffix, "") if content else ""
        reason = f"it is {other}" if other else "it is no image" if content else "it is empty"
        raise ImageError(reason, other) from error


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return an image of any mode as RGB, or RGBA where it has transparent parts, of 8 bits a channel."""
    if image.mode == "F":
        raise ImageError("it has floats, whose maximum is not known")
    if image.mode.startswith("I"):  # I;16 and similar; also I, of 32 bits, as Pillow reads a 16-bit PGM
        image = image.convert("I")
        low, high = image.getextrema()
        if not 0 <= int(low) <= int(high) < 1 << 16:  # type: ignore[arg-type]
            raise ImageError("it has numbers of more than 16 bits, whose maximum is not known")
        image = image.point(_HIGH_BYTE, "L")  # as Pillow does for colours
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _turn(image: Image.Image, box: _Box, orientation: int) -> tuple[Image.Image, _Box]:
    """Return an image turned upright, and a box in it, which turns with it."""
    if orientation not in _TURNS:
        return image, box
    method, is_swapped, mirrors_x, mirrors_y = _TURNS[orientation]
    image = image.transpose(method)
    left, top, right, bottom = (box[1], box[0], box[3], box[2]) if is_swapped else box
    if mirrors_x:
        left, right = image.width - right, image.width - left
    if mirrors_y:
        top, bottom = image.height - bottom, image.height - top
    return image, (left, top, right, bottom)


def fit(image: Image.Image, size: tuple[int, int], box: _Box | None = None) -> Image.Image:
    """Return an image cropped around its centre to the proportions of a size, and resized (Lanczos).

    It does what Pillow's `ImageOps.fit` does, which knows no box.

    Args:
        image: The image.
        size: Height and width.
        box: Left, top, right and bottom of the part that is used; None for the whole image.
    """
    left, top, right, bottom = box or (0.0, 0.0, float(image.width), float(image.height))
    width, height, ratio = right - left, bottom - top, size[1] / size[0]
    if width / height >= ratio:
        margin = max((width - ratio * height) / 2, 0)
        left, right = left + margin, right - margin
    else:
        margin = max((height - width / ratio) / 2, 0)
        top, bottom = top + margin, bottom - margin
    return image.resize(size[::-1], Image.Resampling.LANCZOS, (left, top, right, bottom))


def serve() -> None:
    """Answer the requests on standard input, a line each, until it ends.

    A request is JSON: path (hex), height, width, and the bytes that it may take without asking. An answer is a line of
    JSON, and the pixels if there are any. A process that asks for more bytes waits for an empty line.
    """
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever a library prints
    with suppress(ImportError, OSError, ValueError):  # Windows has no limits
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    with suppress(ImportError):
        from PIL import AvifImagePlugin

        AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # images are decoded side by side

    def answer(header: dict[str, Any], pixels: bytes = b"") -> None:
        answers.write(json.dumps(header).encode() + b"\n" + pixels)
        answers.flush()

    may_take = 0

    def reserve(n_bytes: int) -> None:
        nonlocal may_take
        if n_bytes > may_take:
            faulthandler.cancel_dump_traceback_later()
            answer({"waits": True})
            requests.readline()
            may_take = sys.maxsize
            faulthandler.dump_traceback_later(SECONDS, exit=True)

    for line in requests:
        request = json.loads(line)
        may_take = request["may_take"]
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        header, pixels = _answer(bytes.fromhex(request["path"]), (request["height"], request["width"]), reserve)
        faulthandler.cancel_dump_traceback_later()
        answer(header, pixels)


def _answer(path: bytes, size: tuple[int, int], reserve: Callable[[int], None]) -> tuple[dict[str, Any], bytes]:
    """Return the answer to a request, and the pixels."""
    try:
        decoded = decode(path, size, reserve)
    except MemoryError:
        return {"reason": f"it takes more than {MEMORY >> 20} MB of memory", "format": ""}, b""
    except Exception as error:  # a damaged or malicious file may break Pillow anywhere
        return {"reason": why(error), "format": getattr(error, "format", "")}, b""
    header = {
        "own": decoded.own,
        "has_gray_mode": decoded.has_gray_mode,
        "channels": len(decoded.image.getbands()),
        "digest": decoded.digest,
    }
    return header, decoded.image.tobytes()


def why(error: Exception) -> str:
    """Return an error as one printable line."""
    if isinstance(error, ImageError):
        return str(error)
    text = error.strerror or "" if isinstance(error, OSError) and error.strerror else str(error)
    line = f"{type(error).__name__}: {' '.join(text.split())}"[:200]
    return line if line.isprintable() else ascii(line)


if __name__ == "__main__":
    serve()
