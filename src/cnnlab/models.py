"""Build Keras models: one builder for every architecture, and the study's CNN-1 to CNN-9."""

import io
import random
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cnnlab.config import Architecture, Training
from cnnlab.errors import ConfigError
from cnnlab.protocols import published_architecture

if TYPE_CHECKING:  # importing Keras loads its backend, which takes seconds: done where a model is built
    import keras

Shape = tuple[int, int, int]
GRAY: Shape = (32, 32, 1)


def build(
    architecture: Architecture,
    input_shape: Shape = GRAY,
    n_classes: int = 10,
    augmentation: str = "none",
    seed: int | None = None,
    *,
    precision: str = "float32",
    fused: bool = False,
) -> "keras.Sequential":
    """Build the uncompiled Keras model of an architecture.

    Args:
        architecture: The layers.
        input_shape: Height, width and channels of an image.
        n_classes: Units of the softmax output.
        augmentation: "flip-shift" puts `layers.FlipShift` in front, active in training only.
        seed: Of the initial weights, dropout and augmentation; None draws one. Every layer is given a seed of its own:
            Keras would draw them from Python's global generator, from which the other threads of a worker draw too.
        precision: Keras dtype policy of all layers but the last, whose probabilities are always float32.
        fused: Take the faster `layers.FusedBatchNormalization`: for training, not for a model that is saved.

    Returns:
        A model from float images (n, h, w, c) to class probabilities (n, n_classes) float32.

    Raises:
        ConfigError: The images are too small for so many poolings.
    """
    from keras import Input, Sequential, initializers, layers

    from cnnlab.layers import FusedBatchNormalization

    require_size(architecture, input_shape)
    weights, noise = draw_seeds(seed, "weights"), draw_seeds(seed, "noise")
    normalisation = FusedBatchNormalization if fused else layers.BatchNormalization

    def normalise() -> list[Any]:
        momentum = architecture.batch_norm_momentum
        return [normalisation(momentum=momentum, dtype=precision)] * architecture.batch_norm

    def drop(place: int) -> list[Any]:
        rates = architecture.dropout[place : place + 1]
        return [layers.Dropout(rate, seed=next(noise), dtype=precision) for rate in rates]

    stack: list[Any] = [Input(input_shape), *_augmentation(augmentation, noise, precision)]
    for place, filters in enumerate(architecture.filters):
        for _ in range(architecture.convs_per_block):
            stack.append(
                layers.Conv2D(
                    filters,
                    3,
                    padding=architecture.padding,
                    activation=architecture.conv_activation,
                    kernel_initializer=initializers.GlorotUniform(next(weights)),
                    dtype=precision,
                )
            )
            stack += normalise()
        stack += [layers.MaxPooling2D(2, dtype=precision), *drop(place)]

    def dense(units: int, activation: str, dtype: str) -> Any:
        initializer = initializers.GlorotUniform(next(weights))
        return layers.Dense(units, activation=activation, kernel_initializer=initializer, dtype=dtype)

    stack += [
        layers.Flatten(dtype=precision),
        dense(architecture.dense_units, architecture.dense_activation, precision),
    ]
    stack += normalise() + drop(len(architecture.filters))
    stack.append(dense(n_classes, "softmax", "float32"))
    return Sequential(stack)


def require_size(architecture: Architecture, input_shape: Shape) -> None:
    """Insist on images that are large enough for an architecture's poolings.

    Raises:
        ConfigError: They are too small.
    """
    side = min(input_shape[:2])
    for _ in architecture.filters:
        for _ in range(architecture.convs_per_block):
            side -= 2 * (architecture.padding == "valid")
        side //= 2
    if side < 1:
        raise ConfigError(
            f"Expected images large enough for {len(architecture.filters)} blocks of {architecture.convs_per_block} "
            f"convolutions ({architecture.padding} padding) and a pooling. Received: {input_shape[0]}x{input_shape[1]}."
        )


def draw_seeds(seed: int | None, use: str) -> Iterator[int | None]:
    """Yield seeds for one use, so that trials with equal layers start from equal weights whatever their noise."""
    draw = random.Random(f"{seed} {use}")  # noqa: S311 - seeds are no secrets
    while True:
        yield None if seed is None else draw.getrandbits(31)


def _augmentation(name: str, seeds: Iterator[int | None], precision: str = "float32") -> list[Any]:
    """Return the layers of an augmentation."""
    from cnnlab.layers import FlipShift

    return [FlipShift(next(seeds), dtype=precision)] if name == "flip-shift" else []


def compile_model(model: "keras.Sequential", training: Training) -> None:
    """Compile a model with a trial's optimizer, learning rate and loss, and accuracy as its metric."""
    from keras import optimizers

    kinds = {
        "sgd": optimizers.SGD,
        "rmsprop": optimizers.RMSprop,
        "adagrad": optimizers.Adagrad,
        "adadelta": optimizers.Adadelta,
        "adam": optimizers.Adam,
        "adamax": optimizers.Adamax,
        "nadam": optimizers.Nadam,
    }
    model.compile(
        optimizer=kinds[training.optimizer](learning_rate=training.learning_rate),
        loss=training.loss,
        metrics=["accuracy"],
    )


def describe(
    architecture: Architecture, input_shape: Shape = GRAY, n_classes: int = 10, augmentation: str = "none"
) -> tuple[list[dict[str, str | int]], bytes]:
    """Return a model's layers, as rows of a table, and its visualkeras drawing, a PNG file of twice the size shown."""
    import visualkeras
    from PIL import Image, ImageFont

    model = build(architecture, input_shape, n_classes, augmentation)
    rows: list[dict[str, str | int]] = [
        {
            "layer": type(layer).__name__,
            "output": " x ".join(map(str, layer.output.shape[1:])),
            "params": layer.count_params(),
        }
        for layer in model.layers
    ]
    picture = io.BytesIO()
    twice = {"scale_xy": 8, "scale_z": 0.2, "min_xy": 40, "min_z": 40, "max_xy": 800, "max_z": 800, "spacing": 20}
    drawing = visualkeras.layered_view(
        model, **twice, padding=20, legend=True, legend_text_spacing_offset=0, font=ImageFont.load_default(size=22)
    )
    drawing.convert("P", palette=Image.Palette.ADAPTIVE, colors=64).save(picture, "PNG", optimize=True)
    return rows, picture.getvalue()


def augment(images: NDArray[np.uint8], augmentation: str, seed: int = 1) -> NDArray[np.uint8]:
    """Return images (n, h, w, c) uint8 as one epoch of training would show them."""
    import keras

    shown: Any = images.astype(np.float32)
    for layer in _augmentation(augmentation, draw_seeds(seed, "noise")):
        shown = layer(shown, training=True)
    pixels: NDArray[np.float32] = keras.ops.convert_to_numpy(shown)
    return np.rint(pixels).astype(np.uint8)


def deployable(
    architecture: Architecture, weights: list[Any], input_shape: Shape, n_classes: int, *, scale: bool
) -> bytes:
    """Return a trained model as the content of a `.keras` file that takes pixels of 0 to 255.

    Args:
        architecture: Its layers.
        weights: Its weights, in the order of Keras's `get_weights`.
        input_shape: Height, width and channels of an image.
        n_classes: Number of classes.
        scale: Whether it was trained on pixels divided by 255; the division then becomes its first layer.
    """
    from keras import Input, Sequential, layers

    core = build(architecture, input_shape, n_classes)
    core.set_weights(weights)
    model = Sequential([Input(input_shape), *[layers.Rescaling(1 / 255)] * scale, *core.layers])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        return path.read_bytes()


def _cnn(number: int, input_shape: Shape, n_classes: int, **changes: Any) -> "keras.Sequential":
    return build(replace(published_architecture(number), **changes), input_shape, n_classes)


def cnn_1(*, input_shape: Shape = GRAY, n_classes: int = 10) -> "keras.Sequential":
    """Build CNN-1, the base model: three convolutions, each with its pooling, and a dense layer of 64."""
    return _cnn(1, input_shape, n_classes)


def cnn_2(convs_per_block: int = 2, *, input_shape: Shape = GRAY, n_classes: int = 10) -> "keras.Sequential":
    """Build CNN-2: CNN-1 with two convolutions a block, same padding."""
    return _cnn(2, input_shape, n_classes, convs_per_block=convs_per_block)


def cnn_3(
    filters: tuple[int, ...] = (32, 64, 128), *, input_shape: Shape = GRAY, n_classes: int = 10
) -> "keras.Sequential":
    """Build CNN-3: CNN-2 with other filters."""
    return _cnn(3, input_shape, n_classes, filters=filters)


def cnn_4(
    dropout: tuple[float, ...] = (0.3, 0.4, 0.5, 0.3), *, input_shape: Shape = GRAY, n_classes: int = 10
) -> "keras.Sequential":
    """Build CNN-4: CNN-3 with dropout after the three poolings and the dense layer."""
    return _cnn(4, input_shape, n_classes, dropout=dropout)


def cnn_5(batch_norm: bool = True, *, input_shape: Shape = GRAY, n_classes: int = 10) -> "keras.Sequential":
    """Build CNN-5: CNN-4 with batch normalisation after every convolution and the dense layer."""
    return _cnn(5, input_shape, n_classes, batch_norm=batch_norm)


def cnn_6(dense_units: int = 128, *, input_shape: Shape = GRAY, n_classes: int = 10) -> "keras.Sequential":
    """Build CNN-6: CNN-5 with another width of the dense layer."""
    return _cnn(6, input_shape, n_classes, dense_units=dense_units)


def cnn_7(
    conv_activation: str = "relu",
    dense_activation: str = "tanh",
    *,
    input_shape: Shape = GRAY,
    n_classes: int = 10,
) -> "keras.Sequential":
    """Build CNN-7: CNN-6 with other activations."""
    return _cnn(7, input_shape, n_classes, conv_activation=conv_activation, dense_activation=dense_activation)


def cnn_8(
    optimizer: str = "adam",
    learning_rate: float | None = None,
    loss: str = "sparse_categorical_crossentropy",
    *,
    input_shape: Shape = GRAY,
    n_classes: int = 10,
) -> "keras.Sequential":
    """Build and compile CNN-8: CNN-7 with an optimizer, its learning rate and a loss.

    Without a rate, Adam gets the published choice, 0.0004, and any other optimizer its default.
    """
    if learning_rate is None and optimizer == "adam":
        learning_rate = 0.0004
    model = _cnn(8, input_shape, n_classes)
    compile_model(model, Training(optimizer=optimizer, learning_rate=learning_rate, loss=loss))
    return model


def cnn_9(augmentation: str = "flip-shift", *, input_shape: Shape = GRAY, n_classes: int = 10) -> "keras.Sequential":
    """Build and compile CNN-9: CNN-8 as published, with augmentation as its first layers."""
    model = build(published_architecture(9), input_shape, n_classes, augmentation)
    compile_model(model, Training(learning_rate=0.0004))
    return model
