"""Build and compile Keras models: one builder for every architecture."""

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cnnlab.errors import ConfigError
from cnnlab.study import Architecture, Training

if TYPE_CHECKING:
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

    from cnnlab.models.layers import FusedBatchNormalization

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
    from cnnlab.models.layers import FlipShift

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


def lay_out(images: NDArray[np.uint8], layout: str) -> NDArray[np.uint8]:
    """Return images (n, h, w, c) as a network sees them: as they are, or "published", scrambled like the study's."""
    return images.transpose(0, 3, 1, 2).reshape(images.shape) if layout == "published" else images
