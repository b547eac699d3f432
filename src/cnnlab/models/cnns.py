"""The study's CNN-1 to CNN-9 as built Keras models."""

from typing import TYPE_CHECKING, Any

import attrs

from cnnlab.models.builder import GRAY, Shape, build, compile_model
from cnnlab.study import PUBLISHED_RATE, Input, Training, published_architecture

if TYPE_CHECKING:
    import keras


def _cnn(number: int, input_shape: Shape, n_classes: int, **changes: Any) -> "keras.Sequential":
    return build(attrs.evolve(published_architecture(number), **changes), input_shape, n_classes)


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
    if learning_rate is None and optimizer.lower() == "adam":
        learning_rate = PUBLISHED_RATE
    model = _cnn(8, input_shape, n_classes)
    compile_model(model, Training(optimizer=optimizer, learning_rate=learning_rate, loss=loss))
    return model


def cnn_9(augmentation: str = "flip-shift", *, input_shape: Shape = GRAY, n_classes: int = 10) -> "keras.Sequential":
    """Build and compile CNN-9: CNN-8 as published, with augmentation as its first layers."""
    augmentation = Input(augmentation=augmentation).augmentation
    model = build(published_architecture(9), input_shape, n_classes, augmentation)
    compile_model(model, Training(learning_rate=PUBLISHED_RATE))
    return model
