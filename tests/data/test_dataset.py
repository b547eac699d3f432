"""Digests and grayscale images of a dataset."""

import tracemalloc
from dataclasses import replace

import numpy as np

from cnnlab import data, models
from cnnlab.data import dataset


def test_luma():
    """Green weighs most; gray pixels keep their value."""
    pixels = np.array([[[[255, 0, 0], [0, 255, 0], [0, 0, 255], [77, 77, 77]]]], np.uint8)
    assert data.luma(pixels).ravel().tolist() == [76, 150, 29, 77]


def test_luma_needs_little_memory():
    """Floats of all pixels at once would take sixteen times as much as the result."""
    images = np.random.default_rng(0).integers(0, 256, (200, 200, 200, 3), np.uint8)
    tracemalloc.start()
    gray = data.luma(images)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < gray.nbytes + 32 * dataset._FLOATS // 4
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    np.testing.assert_array_equal(gray[::50, ..., 0], np.rint(images[::50].astype(np.float32) @ weights))


def test_gray(colour):
    """Only the images change."""
    gray = data.gray(colour)
    assert gray.train_images.shape == (200, 32, 32, 1)
    assert replace(gray, train_images=colour.train_images, test_images=colour.test_images).digest == colour.digest


def test_digest(tiny):
    """Any change of pixels, labels or names changes the digest."""
    pixels = tiny.train_images.copy()
    pixels[0, 0, 0, 0] += 1
    digests = {
        tiny.digest,
        replace(tiny, train_images=pixels).digest,
        replace(tiny, test_labels=1 - tiny.test_labels).digest,
        replace(tiny, class_names=("bright", "dark")).digest,
    }
    assert len(digests) == 4


def test_digests_of_the_sample(colour, gray):
    """Stored runs are found by these digests: the same images must have the same digest in every version."""
    assert colour.digest == "9f95eb646fe940d20b3aed4f9b1f3adc70500262f2ba79cece5e37ccd20a4572"
    assert gray.digest == data.gray(colour).digest


def test_published_layout(colour, gray):
    """It scrambles the channels of colour images and leaves grayscale images as they are."""
    scrambled = models.scramble_channels(colour.train_images[:1])
    np.testing.assert_array_equal(scrambled[0].ravel(), colour.train_images[0].transpose(2, 0, 1).ravel())
    np.testing.assert_array_equal(models.scramble_channels(gray.train_images), gray.train_images)
