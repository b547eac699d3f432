"""Check the range of the pixels."""

from collections.abc import Iterator

from cnnlab.data.dataset import Dataset

LOW_RANGE = 63
"""Highest pixel of images that look scaled to another range than 0 to 255: a quarter of it."""
FEW = 0.02
"""Share of images of 0 and 1 only that may be as they should be, such as blank ones."""
_SCALED = (
    "If they were scaled before they were turned into whole numbers, their shades are lost: write them again, "
    "unscaled. If they are black and white, multiply them by 255."
)


def pixel_range(dataset: Dataset) -> Iterator[str]:
    """Yield a line for images whose pixels are all alike, or use only the lowest part of 0 to 255."""
    for part, images in dataset.parts:
        low, high = int(images.min()), int(images.max())
        n_dark = int((images.max(axis=(1, 2, 3)) <= 1).sum())
        if high <= 1:
            kinds = "0 or 1" if low < high else f"all {low}"
            yield f"The pixels of the {part} images are {kinds}, of 0 to 255. {_SCALED}"
        elif low == high:
            yield f"All pixels of the {part} images are {low}. Check how they were written."
        elif high <= LOW_RANGE:
            yield (
                f"The pixels of the {part} images are {low} to {high}, of 0 to 255. If their range is 0 to {high}, "
                f"multiply them by {255 / high:.3g}."
            )
        elif n_dark > FEW * len(images):
            yield (
                f"{n_dark:,} of {len(images):,} {part} images, perhaps those of a batch, have no other pixels than 0 "
                f"and 1, of 0 to 255. {_SCALED}"
            )
