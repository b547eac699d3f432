"""Images that are not square pass through every model, in gray and in colour."""

import numpy as np
import pytest

from cnnlab import models
from cnnlab.models import predict
from cnnlab.models.builder import build
from cnnlab.models.cost import model_cost
from cnnlab.models.keras_code import keras_code
from cnnlab.study import Trial, published_architecture, read_own_function

N_CLASSES = 3
SHAPES = [(24, 40, 1), (40, 24, 3)]


def build_small(input_shape, n_classes):
    import keras

    inputs = keras.Input(input_shape)
    hidden = keras.layers.Conv2D(2, 3, activation="relu")(inputs)
    outputs = keras.layers.Dense(n_classes, activation="softmax")(keras.layers.Flatten()(hidden))
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_built_in_cnn_takes_images_that_are_not_square(shape):
    images = np.random.default_rng(0).random((2, *shape), np.float32)
    for number in range(1, 10):
        model = getattr(models, f"cnn_{number}")(input_shape=shape, n_classes=N_CLASSES)
        assert model.predict_on_batch(images).shape == (2, N_CLASSES), number
        cost = model_cost(published_architecture(number), shape, N_CLASSES)
        assert cost.params == model.count_params(), number


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("augmentation", ["flip-shift", "flip-crop"])
def test_augmentation_keeps_the_shape_and_moves_within_the_image(shape, augmentation):
    images = np.full((64, *shape), 100, np.uint8)
    images[:, 10, 20] = 255
    shown = models.augment(images, augmentation)
    assert (shown.shape, shown.dtype) == (images.shape, np.uint8)
    rows, columns = (np.unique(places) for places in np.nonzero(shown[..., 0] > 150)[1:])
    flipped = shape[1] - 1 - 20
    assert set(rows) <= set(range(6, 15))
    assert all(min(abs(column - 20), abs(column - flipped)) <= 4 for column in columns)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_model_is_described_written_as_code_and_exported_with_height_before_width(shape, tmp_path):
    import keras

    own = read_own_function(build_small)
    for architecture in (Trial().architecture, own):
        rows, _ = models.describe(architecture, shape, N_CLASSES)
        assert rows[0]["output"].startswith(f"{shape[0] - 2} x {shape[1] - 2} x ")
        core = build(architecture, shape, N_CLASSES)
        content = models.deployable(architecture, core.get_weights(), shape, N_CLASSES, scale=True)
        (tmp_path / "model.keras").write_bytes(content)
        (tmp_path / "manifest.json").write_text('{"data": {"classes": ["a", "b", "c"]}}')
        assert predict.Classifier.load(tmp_path / "model.keras").shape == shape
    code = keras_code(Trial().change(colour=shape[2] == 3), shape, N_CLASSES)
    assert f"keras.Input({shape})" in code
    lines = code[code.index("model = ") :].partition("\n\n")[0]
    scope = {"keras": keras, "layers": keras.layers}
    exec(lines, scope)
    assert scope["model"].count_params() == model_cost(Trial().architecture, shape, N_CLASSES).params


def test_an_image_is_cropped_to_the_proportions_of_the_model(tmp_path):
    """A wide image loses its sides, a high one its top and bottom."""
    from PIL import Image

    pixels = np.zeros((24, 80, 3), np.uint8)
    pixels[:, 20:60] = 200
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    shown = predict.read(tmp_path / "wide.png", (24, 40, 3))
    assert (shown.shape, shown.min()) == ((24, 40, 3), 200)
