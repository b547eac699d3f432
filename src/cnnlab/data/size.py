"""Height and width that images are resized to."""

import re
from typing import NamedTuple

from cnnlab.errors import ConfigError

LEAST, MOST = 8, 512
"""Bounds of height and width, in pixels."""


class Size(NamedTuple):
    """Height and width of images, in pixels."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"


def parse_size(text: str) -> Size | None:
    """Read a size: "48" for squares, "48x64" for height x width, "" for none.

    Raises:
        ConfigError: It is no such text, or a number is out of range.
    """
    if not text.strip():
        return None
    match = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text.strip().lower())
    if match:
        size = Size(int(match[1]), int(match[2] or match[1]))
        if LEAST <= min(size) <= max(size) <= MOST:
            return size
    raise ConfigError(
        f"Expected a size of {LEAST} to {MOST} pixels, as 48, or 48x64 (height x width). Received: {text!r}."
    )
