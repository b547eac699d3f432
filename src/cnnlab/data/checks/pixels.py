"""Check the range of the pixels."""

from collections.abc import Iterator

from cnnlab.data.dataset import Dataset

LOW_RANGE = 63
"""Highest pixel of images that look scaled to another range than 0 to 255: a quarter of it."""


def pixel_range(dataset: Dataset) -> Iterator[str]:
    """Yield a line for images whose pixels are all alike, or use only the lowest part of 0 to 255."""
    for part, images in dataset.parts:
        low, high = int(images.min()), int(images.max())
        if low == high:
            yield f"All pixels of the {part} images are {low}. Check how they were written."
        elif high <= 1:
            yield (
                f"The pixels of the {part} images are 0 or 1, of 0 to 255. If they were scaled before they were turned "
                "into whole numbers, their shades are lost: write them again, unscaled. If they are black and white, "
                "multiply them by 255."
            )
        elif high <= LOW_RANGE:
            yield (
                f"The pixels of the {part} images are {low} to {high}, of 0 to 255. If their range is 0 to {high}, "
                f"multiply them by {255 / high:.3g}."
            )
