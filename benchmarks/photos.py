"""Many photos, made up, and a program that imports them: `python -m benchmarks.photos FOLDER CACHE SIZE OUT`."""

import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from cnnlab.data.photos import image_files, import_images
from cnnlab.data.size import parse_size

SIDE = 200
_CLASSES = 10


def write(folder: Path, n: int) -> None:
    """Write JPEG files of 200 x 200 pixels in ten folders."""
    for number in range(_CLASSES):
        (folder / f"class {number}").mkdir()
    with ProcessPoolExecutor() as pool:
        list(pool.map(_write, ((folder, number) for number in range(n)), chunksize=100))


def _write(place: tuple[Path, int]) -> None:
    """Write a smooth picture with some noise, which compresses about as a photo does."""
    folder, number = place
    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8))
    smooth = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    noisy = smooth + rng.normal(0, 6, smooth.shape)
    image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    image.save(folder / f"class {number % _CLASSES}" / f"{number:06d}.jpg", quality=85)


def main(folder: str, cache: str, size: str, out: str) -> None:
    """Import the images of a folder; write the seconds, and the bytes of their pixels."""
    files = image_files(Path(folder))
    begin = time.perf_counter()
    imported = import_images(files, parse_size(size), Path(cache))
    seconds = time.perf_counter() - begin
    assert len(imported.kept) == len(files)
    Path(out).write_text(json.dumps([seconds, imported.images.nbytes]))


if __name__ == "__main__":
    main(*sys.argv[1:])
