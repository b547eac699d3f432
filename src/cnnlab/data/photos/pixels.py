"""The pixels of many images in one array, and images of an array in another size."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnlab.data.photos.decoding import fit
from cnnlab.data.size import Size


class Pixels:
    """An array of images that are put into it one by one: gray as long as all of them are.

    There is never a second copy: when the first colour image comes, the gray ones are spread in the same memory.
    """

    def __init__(self, n: int, size: Size) -> None:
        """Make room for a number of images. Memory is taken when they are put in."""
        self._n, self._size, self._channels = n, size, 1
        self._memory = np.empty(n * size.height * size.width * 3, np.uint8)

    def _images(self) -> NDArray[np.uint8]:
        shape = (self._n, *self._size, self._channels)
        return self._memory[: np.prod(shape, dtype=np.int64)].reshape(shape)

    def put(self, index: int, pixels: NDArray[np.uint8]) -> None:
        """Put in an image (h, w, 1 or 3)."""
        if pixels.shape[2] > self._channels:
            gray = self._images()
            self._channels = 3
            colour = self._images()
            for place in reversed(range(self._n)):  # from the end: no image is overwritten before it is moved
                colour[place] = gray[place].copy()
        self._images()[index] = pixels

    def take(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Return some of the images, in rising order: (k, h, w, c). The others are lost."""
        images = self._images()
        for place, index in enumerate(indices):
            if place != index:
                images[place] = images[index]
        return images[: len(indices)]


def resize(images: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Return images (n, h, w, 1 or 3), uint8, cropped around their centres and resized: (n, height, width, 1 or 3)."""
    if images.shape[1:3] == tuple(size):
        return images
    resized = np.empty((len(images), *size, images.shape[3]), np.uint8)
    for image, place in zip(images, resized, strict=True):
        pillow = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
        place[...] = np.asarray(fit(pillow, size)).reshape(place.shape)
    return resized
