"""Images with their labels."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cnnlab.data.messages import DataWarning

_BLOCK = 1_000  # images that are turned to grayscale at a time


@dataclass(frozen=True)
class Dataset:
    """Images with their labels, as read: nothing is scaled or removed.

    Attributes:
        train_images: (n, h, w, c) uint8, 0 to 255; c is 1 (gray) or 3 (red, green, blue).
        train_labels: (n,) int64, 0 to `len(class_names) - 1`.
        test_images: (m, h, w, c) uint8.
        test_labels: (m,) int64.
        class_names: Name of each class, in the order of the labels.
        warnings: What reading the files has shown, such as a file that was not read; not a part of the digest.
        given_val: (k,) int64 indices of the training images that the files name as validation images; None if they
            name none. Not a part of the digest, nor are the following.
        groups: (n,) int64 number of the group (a patient, a burst, a video) of each training image; None if the files
            name no groups. All images of a group are in the same part of a split.
        is_test_held_out: Whether the files have no test part, so that the test images were drawn from the others.
        train_files: Name of the file of each training image, relative to the folder; empty where a file holds several.
        test_files: Likewise of the test images.
    """

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    warnings: tuple[DataWarning, ...] = ()
    given_val: NDArray[np.int64] | None = None
    groups: NDArray[np.int64] | None = None
    is_test_held_out: bool = False
    train_files: tuple[str, ...] = ()
    test_files: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """SHA-256 (64 hex digits) of shapes, pixels, labels and class names."""
        sha = hashlib.sha256(repr(self.class_names).encode())
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            sha.update(repr(array.shape).encode())
            sha.update(np.ascontiguousarray(array).data)
        return sha.hexdigest()

    @property
    def parts(self) -> tuple[tuple[str, NDArray[np.uint8]], tuple[str, NDArray[np.uint8]]]:
        """The "training" and the "test" images, each with this name."""
        return ("training", self.train_images), ("test", self.test_images)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        height, width, channels = self.train_images.shape[1:]
        return height, width, channels


def luma(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn colour images (n, h, w, 3) into grayscale ones (n, h, w, 1), both uint8 (ITU-R BT.601 luma)."""
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    result = np.empty((*images.shape[:3], 1), np.uint8)
    for start in range(0, len(images), _BLOCK):  # four bytes a pixel for all images at once may be too much memory
        gray: NDArray[np.float32] = np.rint(images[start : start + _BLOCK].astype(np.float32) @ weights)
        result[start : start + _BLOCK, ..., 0] = gray.clip(0, 255)
    return result


def gray(dataset: Dataset) -> Dataset:
    """Return the same images in grayscale."""
    if dataset.image_shape[2] == 1:
        return dataset
    return replace(dataset, train_images=luma(dataset.train_images), test_images=luma(dataset.test_images))
