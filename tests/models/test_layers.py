"""Our own layers do what those they stand for do."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import ndimage

from cnnlab.models import layers

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(1, 256, (600, 6, 9, 3)).astype(np.float32)
"""Images without a black pixel, whose values bfloat16 can hold."""


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
    of_ours = (layers.FlipShift(1), layers.FlipCrop(1), layers.FusedBatchNormalization())
    assert all(layer.supports_jit for layer in of_ours)


@pytest.mark.parametrize("kind", [layers.FlipShift, layers.FlipCrop])
def test_a_model_with_augmentation_can_be_saved_and_loaded(tmp_path, kind):
    keras.Sequential([keras.Input((6, 9, 3)), kind(1)]).save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.output_shape == (None, 6, 9, 3)
    assert type(loaded.layers[0]) is kind
    np.testing.assert_array_equal(loaded.predict_on_batch(IMAGES[:3]), IMAGES[:3])


@pytest.mark.parametrize("kind", [layers.FlipShift, layers.FlipCrop])
def test_the_seed_decides_what_augmentation_shows_and_outside_training_it_changes_nothing(kind):
    one, same, other = kind(1), kind(1), kind(2)
    first, second = one(IMAGES, training=True), one(IMAGES, training=True)
    np.testing.assert_array_equal(first, same(IMAGES, training=True))
    np.testing.assert_array_equal(second, same(IMAGES, training=True))
    assert (np.array(first) != np.array(second)).any()
    assert (np.array(first) != np.array(other(IMAGES, training=True))).any()
    np.testing.assert_array_equal(one(IMAGES), IMAGES)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_each_crop_is_a_part_of_its_image_or_of_the_flipped_one_with_a_black_border(dtype):
    """All 2 x 9 x 9 parts occur, about equally often."""
    shown = ops.convert_to_numpy(ops.cast(layers.FlipCrop(1, dtype=dtype)(IMAGES, training=True), "float32"))
    bordered = np.pad(IMAGES, ((0, 0), (4, 4), (4, 4), (0, 0)))
    found = np.zeros((2, 9, 9), int)
    for flip, images in enumerate((bordered, bordered[:, :, ::-1])):
        for top, left in np.ndindex(9, 9):
            parts = images[:, top : top + 6, left : left + 9]
            found[flip, top, left] = (parts == shown).all(axis=(1, 2, 3)).sum()
    assert found.sum() == len(IMAGES), "each is exactly one of them"
    assert (found.sum(axis=(0, 2)) > 30).all(), "67 are expected for each row and column"
    assert (found.sum(axis=(0, 1)) > 30).all()
    assert (found.sum(axis=(1, 2)) > 250).all()


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
