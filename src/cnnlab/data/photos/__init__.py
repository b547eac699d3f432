"""Stand-in: decode images with Pillow, in this process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from cnnlab.data.messages import DataWarning
from cnnlab.data.size import Size


@dataclass(frozen=True)
class Imported:
    """Images as they were imported."""

    images: NDArray[np.uint8]
    kept: NDArray[np.int64]
    warnings: tuple[DataWarning, ...]


def import_images(
    files: Sequence[Path],
    size: Size | None,
    cache: Path | None,  # noqa: ARG001
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> Imported:
    """Decode image files."""
    opened, kept = [], []
    for index, path in enumerate(files):
        try:
            image = Image.open(path)
            opened.append(image.convert("L" if image.mode == "L" else "RGB"))
            kept.append(index)
        except OSError:
            pass
        on_progress(index + 1, len(files))
    if size is None:
        sizes = {image.size for image in opened}
        size = Size(*next(iter(sizes))[::-1]) if len(sizes) == 1 and max(next(iter(sizes))) <= 64 else Size(32, 32)
    mode = "L" if all(image.mode == "L" for image in opened) else "RGB"
    arrays = [np.asarray(ImageOps.fit(image.convert(mode), size[::-1])) for image in opened]
    images = np.stack(arrays).reshape(len(arrays), *size, -1)
    missing = len(files) - len(kept)
    warnings = (DataWarning("unread-files", f"{missing} broken"),) if missing else ()
    return Imported(images, np.array(kept, np.int64), warnings)


def resize(images: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Resize images (n, h, w, c)."""
    squeezed = [image[..., 0] if images.shape[3] == 1 else image for image in images]
    arrays = [np.asarray(ImageOps.fit(Image.fromarray(image), size[::-1])) for image in squeezed]
    return np.stack(arrays).reshape(len(arrays), *size, images.shape[3])
