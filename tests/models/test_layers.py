"""Our own layers do what those they stand for do."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import ndimage

from cnnlab.models import layers

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("axis", [1, 2])
def test_a_shift_is_bilinear_with_edges_repeated(axis):
    images = RNG.random((5, 6, 7, 3), dtype=np.float32)
    by = np.array([-1, -0.3, 0, 0.6, 1], np.float32)
    shifted = ops.convert_to_numpy(layers.shift(ops.convert_to_tensor(images), by[:, None, None, None], axis))
    for image, amount, found in zip(images, by, shifted, strict=True):
        offset = [0.0, 0.0, 0.0]
        offset[axis - 1] = amount
        np.testing.assert_allclose(found, ndimage.shift(image, offset, order=1, mode="nearest"), atol=1e-6)


def test_augmentation_keeps_nothing_from_being_compiled_by_xla():
    assert all(layer.supports_jit for layer in (layers.FlipShift(1), layers.FusedBatchNormalization()))


def test_a_model_with_augmentation_can_be_saved_and_loaded(tmp_path):
    keras.Sequential([keras.Input((6, 7, 1)), layers.FlipShift(1)]).save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.output_shape == (None, 6, 7, 1)


@pytest.mark.parametrize("shape", [(8, 6, 5, 3), (16, 3)], ids=["images", "units"])
def test_fused_batch_normalisation_gives_what_keras_gives(shape):
    """Outputs, gradients, moving statistics, and what comes of them in inference."""
    import tensorflow as tf

    inputs = tf.constant(RNG.normal(2, 3, shape), tf.float32)
    found = []
    for kind in (keras.layers.BatchNormalization, layers.FusedBatchNormalization):
        layer = kind(momentum=0.9)
        layer.build(shape)
        layer.set_weights([np.float32([1, 2, 3]), np.float32([3, 2, 1]), np.zeros(3), np.ones(3)])
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=True)
            loss = tf.reduce_sum(outputs**3)
        grads = tape.gradient(loss, [inputs, layer.gamma.value, layer.beta.value])
        found.append([outputs, *grads, *layer.get_weights(), layer(inputs)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


def test_the_table_of_images_gives_those_that_are_asked_for():
    table = RNG.integers(0, 256, (9, 2, 2, 1), dtype=np.uint8)
    for scale in (True, False):
        shown = ops.convert_to_numpy(layers.ImageTable(table, scale=scale)(np.array([3, 3, 8], np.int32)))
        np.testing.assert_array_equal(shown, table[[3, 3, 8]].astype(np.float32) / (255 if scale else 1))
