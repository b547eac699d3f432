"""Layers of our own, where Keras's are slow or keep XLA from compiling a model. Importing this loads Keras."""

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

_PACKAGE = "cnnlab"


class Images(keras.layers.Layer):  # type: ignore[misc]
    """Turns places in a table of images into these images: the table lies on the device, and only places go there.

    Args:
        images: (n, h, w, c) uint8.
        scale: Divide the pixels by 255.
        dtype: Of what is returned, a Keras dtype policy.
    """

    def __init__(self, images: NDArray[np.uint8], *, scale: bool, dtype: str = "float32") -> None:
        super().__init__(trainable=False, dtype=dtype)
        self._scale = scale
        self._table = self.add_weight(shape=images.shape, dtype="uint8", initializer="zeros", trainable=False)
        self._table.assign(images)

    def call(self, places: Any) -> Any:
        """Return images (b, h, w, c) for places (b,) int32."""
        pixels = ops.cast(ops.take(self._table, places, axis=0), self.compute_dtype)
        return pixels / 255 if self._scale else pixels

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the images for the shape of the places."""
        return (*input_shape, *self._table.shape[1:])


@keras.saving.register_keras_serializable(_PACKAGE)
class FlipShift(keras.layers.Layer):  # type: ignore[misc]
    """Flips half of the images left to right and shifts each by up to one pixel, in training only.

    Shifts are uniform in [-1, 1] on both axes, bilinear, with edges repeated: the published study's
    `ImageDataGenerator` with a shift range of 1.0. Keras's own `RandomTranslation` does the same, and switches XLA off.

    Args:
        seed: Of the draws; None draws one.
    """

    def __init__(self, seed: int | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self._draws = keras.random.SeedGenerator(seed)

    def call(self, images: Any, training: bool = False) -> Any:
        """Return images (n, h, w, c) as they came, or in training as one epoch shows them."""
        if not training:
            return images
        each = (ops.shape(images)[0], 1, 1, 1)
        mirrored = keras.random.uniform(each, seed=self._draws) < 0.5
        images = ops.where(mirrored, ops.flip(images, axis=2), images)
        for axis in (1, 2):
            images = shift(images, keras.random.uniform(each, -1, 1, dtype=images.dtype, seed=self._draws), axis)
        return images

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the images, which stays."""
        return input_shape


def shift(images: Any, by: Any, axis: int) -> Any:
    """Shift images (n, h, w, c) along an axis (1 or 2) by `by` (n, 1, 1, 1) pixels, -1 to 1."""
    size, before_it = images.shape[axis], (slice(None),) * axis

    def cut(begin: int, end: int) -> Any:
        return images[*before_it, begin:end]

    before = ops.concatenate([cut(0, 1), cut(0, size - 1)], axis)
    after = ops.concatenate([cut(1, size), cut(size - 1, size)], axis)
    return images * (1 - ops.abs(by)) + before * ops.relu(by) + after * ops.relu(-by)


class FusedBatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Keras's batch normalisation, in one kernel where TensorFlow has one: a tenth of the time of a step of CNN-9.

    Keras 3 puts it together from a dozen operations, each of which reads or writes all activations. Other backends
    fuse these by themselves. Weights and inference are those of the layer it stands for.
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
        variance *= (count - 1) / count  # the kernel's is the sample's; Keras 3 keeps the batch's own
        for kept, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            kept.assign(kept * self.momentum + new * (1 - self.momentum))
        return outputs
