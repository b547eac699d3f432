"""Build and compile Keras models: one builder for every architecture."""

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cnnlab.errors import ConfigError
from cnnlab.study import Architecture, Training

if TYPE_CHECKING:  # Keras loads its backend, which takes seconds, so functions import it
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
        augmentation: "flip-shift" puts `layers.FlipShift` first, active in training only.
        seed: Seed of the initial weights, dropout and augmentation; None draws one. Every layer gets a seed of its own:
            Keras would draw them from Python's global generator, which other threads of a worker use too.
        precision: Keras dtype policy of all layers but the last, whose probabilities are always float32.
        fused: Use the faster `layers.FusedBatchNormalization`: for training, not for a model that is saved.

    Returns:
        A model from float images (n, h, w, c) to class probabilities (n, n_classes) float32.

    Raises:
        ConfigError: The images are too small for the poolings.
    """
    from keras import Input, Sequential, initializers, layers

    from cnnlab.models.layers import FusedBatchNormalization

    use_default_settings()
    require_size(architecture, input_shape)
    weights, noise = draw_seeds(seed, "weights"), draw_seeds(seed, "noise")
    batch_normalization = FusedBatchNormalization if fused else layers.BatchNormalization

    def normalise() -> list[Any]:
        momentum = architecture.batch_norm_momentum
        return [batch_normalization(momentum=momentum, dtype=precision)] if architecture.batch_norm else []

    def drop(position: int) -> list[Any]:
        rates = architecture.dropout[position : position + 1]
        return [layers.Dropout(rate, seed=next(noise), dtype=precision) for rate in rates]

    def convolve(filters: int) -> Any:
        initializer = initializers.GlorotUniform(next(weights))
        padding, activation = architecture.padding, architecture.conv_activation
        return layers.Conv2D(
            filters, 3, padding=padding, activation=activation, kernel_initializer=initializer, dtype=precision
        )

    def dense(units: int, activation: str, dtype: str) -> Any:
        initializer = initializers.GlorotUniform(next(weights))
        return layers.Dense(units, activation=activation, kernel_initializer=initializer, dtype=dtype)

    stack: list[Any] = [Input(input_shape), *augmentation_layers(augmentation, noise, precision)]
    for block, filters in enumerate(architecture.filters):
        for _ in range(architecture.convs_per_block):
            stack += [convolve(filters), *normalise()]
        stack += [layers.MaxPooling2D(2, dtype=precision), *drop(block)]
    stack += [
        layers.Flatten(dtype=precision),
        dense(architecture.dense_units, architecture.dense_activation, precision),
        *normalise(),
        *drop(len(architecture.filters)),
        dense(n_classes, "softmax", "float32"),
    ]
    return Sequential(stack)


def use_default_settings() -> None:
    """Give Keras the settings that the study is defined with, whatever `keras.json` or another program has set."""
    from keras import config

    config.set_floatx("float32")
    config.set_epsilon(1e-7)
    config.set_image_data_format("channels_last")


def require_size(architecture: Architecture, input_shape: Shape) -> None:
    """Check that images are large enough for an architecture's poolings.

    Raises:
        ConfigError: They are too small.
    """
    side = min(input_shape[:2])
    for _ in architecture.filters:
        for _ in range(architecture.convs_per_block):
            side -= 2 if architecture.padding == "valid" else 0
        side //= 2
    if side < 1:
        raise ConfigError(
            f"Expected images large enough for {len(architecture.filters)} blocks of {architecture.convs_per_block} "
            f"convolutions ({architecture.padding} padding) and a pooling. Received: "
            f"{input_shape[0]}x{input_shape[1]}. Use larger images."
        )


def draw_seeds(seed: int | None, purpose: str) -> Iterator[int | None]:
    """Yield seeds for one purpose, so that trials with equal layers start from equal weights whatever their noise."""
    draw = random.Random(f"{seed} {purpose}")  # noqa: S311 - seeds are no secrets
    while True:
        yield None if seed is None else draw.getrandbits(31)


def augmentation_layers(name: str, seeds: Iterator[int | None], precision: str = "float32") -> list[Any]:
    """Return the layers of an augmentation."""
    from cnnlab.models.layers import FlipShift

    return [FlipShift(next(seeds), dtype=precision)] if name == "flip-shift" else []


def compile_model(model: "keras.Sequential", training: Training) -> None:
    """Compile a model with a trial's optimizer, learning rate and loss, and accuracy as its metric."""
    from keras import optimizers

    classes = {
        "sgd": optimizers.SGD,
        "rmsprop": optimizers.RMSprop,
        "adagrad": optimizers.Adagrad,
        "adadelta": optimizers.Adadelta,
        "adam": optimizers.Adam,
        "adamax": optimizers.Adamax,
        "nadam": optimizers.Nadam,
    }
    optimizer = classes[training.optimizer](learning_rate=training.learning_rate)
    model.compile(optimizer=optimizer, loss=training.loss, metrics=["accuracy"])


def scramble_channels(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images (n, h, w, c) with their pixels in the order that the published study fed to its networks.

    It reshaped channel-first rows to (h, w, c) without a transpose, so that neighbouring pixels became channels.
    """
    return images.transpose(0, 3, 1, 2).reshape(images.shape)
