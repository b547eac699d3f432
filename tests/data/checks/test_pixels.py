"""Pixels that do not use the range of 0 to 255 are named, with what to do."""

from dataclasses import replace

import numpy as np
import pytest

from cnnlab.data.checks.pixels import pixel_range


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda x: (x / 255).astype(np.uint8), "The pixels of the test images are 0 or 1, of 0 to 255."),
        (lambda x: (x > 100).astype(np.uint8), "The pixels of the test images are 0 or 1, of 0 to 255."),
        (lambda x: (x / 256).astype(np.uint8), "are all 0, of 0 to 255. If they were scaled"),
        (lambda x: np.full_like(x, 7), "All pixels of the test images are 7."),
        (lambda x: x // 17, "are 0 to 15, of 0 to 255. If their range is 0 to 15, multiply them by 17."),
        (lambda x: x // 4, "of 0 to 255. If their range is 0 to 63, multiply them by 4.05."),
    ],
)
def test_pixel_range(gray, change, expected):
    images = gray.test_images.copy()
    images[0, 0, 0] = 255
    (line,) = pixel_range(replace(gray, test_images=change(images)))
    assert expected in line


def test_one_batch_was_scaled(gray):
    """The other batches use the whole range."""
    images = gray.train_images.copy()
    images[50:100] //= 255
    (line,) = pixel_range(replace(gray, train_images=images))
    assert line.startswith("50 of 200 training images, perhaps those of a batch, have no other pixels than 0 and 1")
    images = gray.train_images.copy()
    images[:4] = 0  # a few blank images may be right
    assert not [*pixel_range(replace(gray, train_images=images))]


def test_the_sample(gray, colour):
    assert not [*pixel_range(gray), *pixel_range(colour)]
