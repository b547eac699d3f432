"""Images share one array, which grows to three channels where it must; arrays are resized as files are."""

import numpy as np
import pytest
from PIL import Image

from cnnlab.data.photos import decode, resize
from cnnlab.data.photos.pixels import Pixels
from cnnlab.data.size import Size

RNG = np.random.default_rng(0)
SIZE = Size(4, 5)


def random_images(n, channels):
    return RNG.integers(0, 256, (n, *SIZE, channels), np.uint8)


@pytest.mark.parametrize("place", [0, 3, 6])
def test_the_first_colour_image_makes_all_of_them_colour(place):
    images = list(random_images(7, 1))
    images[place] = random_images(1, 3)[0]
    pixels = Pixels(7, SIZE)
    for index, image in enumerate(images):
        pixels.put(index, image)
    np.testing.assert_array_equal(pixels.take(range(7)), [np.broadcast_to(image, (*SIZE, 3)) for image in images])


def test_gray_images_stay_gray_and_some_can_be_taken():
    images = random_images(6, 1)
    pixels = Pixels(6, SIZE)
    for index in (5, 1, 3, 4):
        pixels.put(index, images[index])
    np.testing.assert_array_equal(pixels.take([1, 3, 4, 5]), images[[1, 3, 4, 5]])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [Size(16, 16), Size(10, 25), Size(60, 41)])
def test_an_array_is_resized_as_a_file_is(channels, size, tmp_path):
    images = RNG.integers(0, 256, (3, 28, 36, channels), np.uint8)
    resized = resize(images, size)
    assert (resized.shape, resized.dtype) == ((3, *size, channels), np.uint8)
    for image, expected in zip(images, resized, strict=True):
        Image.fromarray(image[..., 0] if channels == 1 else image).save(tmp_path / "image.png")
        pixels = np.asarray(decode(str(tmp_path / "image.png"), size).image)
        np.testing.assert_array_equal(pixels.reshape(expected.shape), expected)


def test_images_of_the_wanted_size_stay_as_they_are():
    images = random_images(4, 3)
    assert resize(images, SIZE) is images
