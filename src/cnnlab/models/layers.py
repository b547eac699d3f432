"""Layers of our own, where Keras's are slow or keep XLA from compiling a model. Importing this loads Keras."""

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

_PACKAGE = "cnnlab"
BORDER = 4
"""Width of the black border of `FlipCrop`, in pixels."""


class ImageTable(keras.layers.Layer):  # type: ignore[misc]
    """Looks images up by their indices. The images lie on the device once, and only indices are sent there.

    Args:
        images: (n, h, w, c) uint8.
        scale: Divide the pixels by 255.
        dtype: Keras dtype policy of the images that are returned.
    """

    def __init__(self, images: NDArray[np.uint8], *, scale: bool, dtype: str = "float32") -> None:
        super().__init__(trainable=False, dtype=dtype)
        self._scale = scale
        self._images = self.add_weight(shape=images.shape, dtype="uint8", initializer="zeros", trainable=False)
        self.replace(images)

    def replace(self, images: NDArray[np.uint8]) -> None:
        """Hold other images of the same shape."""
        self._images.assign(images)

    def call(self, indices: Any) -> Any:
        """Return images (b, h, w, c) for indices (b,) int32."""
        pixels = ops.cast(ops.take(self._images, indices, axis=0), self.compute_dtype)
        return pixels / 255 if self._scale else pixels

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the images for the shape of the indices."""
        return (*input_shape, *self._images.shape[1:])


class _Flip(keras.layers.Layer):  # type: ignore[misc]
    """Flips half of the images left to right and moves each, in training only.

    Args:
        seed: Seed of the random flips and moves; None draws one.
    """

    def __init__(self, seed: int | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self._draws = keras.random.SeedGenerator(seed)

    def call(self, images: Any, training: bool = False) -> Any:
        """Return images (n, h, w, c) unchanged, or in training as one epoch shows them."""
        if not training:
            return images
        flipped = keras.random.uniform((ops.shape(images)[0], 1, 1, 1), seed=self._draws) < 0.5
        return self._move(ops.where(flipped, ops.flip(images, axis=2), images))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the images, which stays the same."""
        return input_shape


@keras.saving.register_keras_serializable(_PACKAGE)
class FlipShift(_Flip):
    """Flips half of the images left to right and shifts each by up to one pixel, in training only.

    Shifts are uniform in [-1, 1] on both axes, bilinear, with edges repeated: the published study's
    `ImageDataGenerator` with a shift range of 1.0. Keras's own `RandomTranslation` does the same, and switches XLA off.

    Args:
        seed: Seed of the random flips and shifts; None draws one.
    """

    def _move(self, images: Any) -> Any:
        one_each = (ops.shape(images)[0], 1, 1, 1)
        for axis in (1, 2):
            images = shift(images, keras.random.uniform(one_each, -1, 1, dtype=images.dtype, seed=self._draws), axis)
        return images


@keras.saving.register_keras_serializable(_PACKAGE)
class FlipCrop(_Flip):
    """Flips half of the images left to right, and shows a random part of each with a black border, in training only.

    The border has 4 pixels on each side, and the part has the size of the image: the usual augmentation of CIFAR-10
    (He and others 2016, section 4.2, arXiv:1512.03385). Keras's `RandomCrop` switches XLA off.

    Args:
        seed: Seed of the random flips and parts; None draws one.
    """

    def _move(self, images: Any) -> Any:
        for size, product in ((images.shape[1], "nij,njwc->niwc"), (images.shape[2], "nij,nhjc->nhic")):
            border = size + 2 * BORDER
            start = keras.random.uniform((ops.shape(images)[0], 1), 0, 2 * BORDER + 1, seed=self._draws)
            indices = ops.cast(start, "int32") + ops.arange(size, dtype="int32")
            # A product with ones and zeros: it compiles on every backend, and copies each pixel exactly.
            chosen = ops.one_hot(indices, border, dtype=images.dtype)[:, :, BORDER : BORDER + size]
            images = ops.einsum(product, chosen, images)
        return images


def shift(images: Any, by: Any, axis: int) -> Any:
    """Shift images (n, h, w, c) along an axis (1 or 2) by `by` (n, 1, 1, 1) pixels, -1 to 1."""
    size, leading = images.shape[axis], (slice(None),) * axis

    def cut(start: int, end: int) -> Any:
        return images[*leading, start:end]

    previous = ops.concatenate([cut(0, 1), cut(0, size - 1)], axis)
    following = ops.concatenate([cut(1, size), cut(size - 1, size)], axis)
    return images * (1 - ops.abs(by)) + previous * ops.relu(by) + following * ops.relu(-by)


class FusedBatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Keras's batch normalisation, in one kernel where TensorFlow has one: a tenth of the time of a step of CNN-9.

    Keras 3 computes it by a dozen operations, each of which reads or writes all activations. Other backends fuse these
    themselves. Its weights and its inference are those of Keras's layer.
    """

    def call(self, inputs: Any, training: bool = False, mask: Any = None) -> Any:
        """Return inputs (n, h, w, c) normalised, in training by their own mean and variance."""
        if not training or len(inputs.shape) != 4 or keras.backend.backend() != "tensorflow":
            return super().call(inputs, training=training, mask=mask)
        from tensorflow.compat.v1.nn import fused_batch_norm

        outputs, mean, variance = fused_batch_norm(
            inputs, self.gamma.value, self.beta.value, epsilon=self.epsilon, is_training=True
        )
        count = ops.cast(ops.size(inputs) // inputs.shape[-1], variance.dtype)
        variance *= (count - 1) / count  # the kernel gives the unbiased variance; Keras 3 keeps the biased one
        for kept, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            kept.assign(kept * self.momentum + new * (1 - self.momentum))
        return outputs
