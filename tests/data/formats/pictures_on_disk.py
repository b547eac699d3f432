"""Small image files for the tests of formats, written by Pillow."""

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("cat", "dog")


def pixels(number: int, side: int = 12) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)


def draw(path: Path, number: int, side: int = 12) -> Path:
    """Write an image without loss; its number tells its pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(number, side)).save(path)
    return path


def folders(root: Path, *above: str, n: int = 10, classes: tuple[str, ...] = CLASSES) -> Path:
    """Write a folder per class below each of some folders ("" for the root itself)."""
    number = 0
    for part in above or ("",):
        for name in classes:
            for _ in range(n):
                draw(root / part / name / f"{number:04d}.png", number)
                number += 1
    return root
