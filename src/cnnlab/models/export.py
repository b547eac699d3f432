"""Describe, draw, check and save models."""

import io
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnlab.errors import ConfigError
from cnnlab.models.builder import (
    GRAY,
    Shape,
    augmentation_layers,
    build,
    draw_seeds,
    guarded,
    use_default_settings,
)
from cnnlab.study import Architecture, Input, OwnModel


def describe(
    architecture: Architecture | OwnModel, input_shape: Shape = GRAY, n_classes: int = 10, augmentation: str = "none"
) -> tuple[list[dict[str, str | int]], bytes]:
    """Return a model's layers, as rows of a table, and its visualkeras drawing, a PNG file of twice the size shown.

    The drawing is empty, b"", if visualkeras cannot draw the model: it draws layers that follow one another.
    """
    model = build(architecture, input_shape, n_classes, Input(augmentation=augmentation).augmentation)
    steps = list(_steps(model))
    rows: list[dict[str, str | int]] = [
        {
            "layer": type(step).__name__,
            "output": _output(step),
            "params": step.count_params() if hasattr(step, "count_params") else 0,  # `x + y` is an operation
        }
        for step in steps
    ]
    return rows, _draw(steps) if all(map(_has_one_input, steps)) else b""


def _steps(model: Any) -> Iterator[Any]:
    """Yield the layers and other operations of a model, those of nested models too, without its inputs."""
    from keras import Model, layers

    for step in getattr(model, "operations", model.layers):
        if isinstance(step, Model):
            yield from _steps(step)
        elif not isinstance(step, layers.InputLayer):
            yield step


def _output(step: Any) -> str:
    """Return the shape of a layer's output, as "32 x 32 x 16"; "" if it has several or none, as if it is used twice."""
    try:
        return " x ".join(map(str, step.output.shape[1:]))
    except (AttributeError, ValueError):
        return ""


def _has_one_input(step: Any) -> bool:
    try:
        return hasattr(step.input, "shape")
    except (AttributeError, ValueError):  # it is used twice, or part of a model without a graph
        return False


def _draw(layers: list[Any]) -> bytes:
    """Return visualkeras's drawing of layers that follow one another; b"" if it fails."""
    import visualkeras
    from PIL import Image, ImageFont

    picture = io.BytesIO()
    twice = {"scale_xy": 8, "scale_z": 0.2, "min_xy": 40, "min_z": 40, "max_xy": 800, "max_z": 800, "spacing": 20}
    font = ImageFont.load_default(size=22)
    try:
        drawing = visualkeras.layered_view(
            SimpleNamespace(layers=layers), **twice, padding=20, legend=True, legend_text_spacing_offset=0, font=font
        )
    except Exception:  # layers of any kind may be too much for it
        return b""
    drawing.convert("P", palette=Image.Palette.ADAPTIVE, colors=64).save(picture, "PNG", optimize=True)
    return picture.getvalue()


def check_own_model(model: OwnModel, input_shape: Shape, n_classes: int, precision: str = "float32") -> list[str]:
    """Build an own model and use it once, so that its errors are found before any fit. This runs the user's file.

    Args:
        model: The model.
        input_shape: Height, width and channels of an image.
        n_classes: Number of classes.
        precision: As for `build`.

    Returns:
        What the user should know: that `cnnlab predict` cannot use the model, if it has layers of the user's.

    Raises:
        ConfigError: The function fails, or builds no model as `build` says; the model fails, gives no probabilities,
            cannot be saved, or has other weights when it is built again with the same seed.
    """
    import keras

    one, other = (build(model, input_shape, n_classes, seed=1, precision=precision) for _ in range(2))
    values, again = ([keras.ops.convert_to_numpy(value) for value in built.variables] for built in (one, other))
    place, images = f"{model.function} in {model.file}", np.random.default_rng(1).random((3, *input_shape), np.float32)
    same = partial(np.array_equal, equal_nan=True)
    if len(values) != len(again) or not all(map(same, values, again)):
        raise ConfigError(
            f"Expected {place} to build equal models from equal seeds. Received: other weights or seeds of layers in "
            "the second one. Draw random numbers with keras.random or numpy.random, which cnnlab seeds."
        )

    def use() -> tuple[NDArray[np.float32], bytes]:
        one(images, training=True)
        return keras.ops.convert_to_numpy(one(images)), _keras_file(one, input_shape, scale=True)

    probs, content = guarded(model, use)
    if not (probs.min() >= 0 and np.allclose(probs.sum(axis=1), 1, atol=0.01)):  # NaN is neither
        raise ConfigError(
            f"Expected {place} to end in a softmax, so that the outputs for an image add up to 1. Received: outputs "
            f"from {probs.min():g} to {probs.max():g}, which add up to {probs.sum(axis=1)[0]:g}."
        )
    return (
        []
        if _needs_no_code(content)
        else [
            f"{place} has layers with code of their own, so `cnnlab predict` will refuse model.keras: it runs no code."
        ]
    )


def _needs_no_code(content: bytes) -> bool:
    """Return whether a `.keras` file can be loaded by a process that has not run the user's file."""
    import keras

    registered = keras.saving.get_custom_objects()
    kept = dict(registered)
    registered.clear()
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.keras"
            path.write_bytes(content)
            keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception:
        return False
    finally:
        registered.update(kept)
    return True


def augment(images: NDArray[np.uint8], augmentation: str, seed: int = 1) -> NDArray[np.uint8]:
    """Return images (n, h, w, c) uint8 as one epoch of training would show them.

    Raises:
        ConfigError: There is no such augmentation.
    """
    import keras

    use_default_settings()
    shown: Any = images.astype(np.float32)
    for layer in augmentation_layers(Input(augmentation=augmentation).augmentation, draw_seeds(seed, "noise")):
        shown = layer(shown, training=True)
    pixels: NDArray[np.float32] = keras.ops.convert_to_numpy(shown)
    return np.rint(pixels).astype(np.uint8)


def deployable(
    architecture: Architecture | OwnModel, weights: list[Any], input_shape: Shape, n_classes: int, *, scale: bool
) -> bytes:
    """Return a trained model as the content of a `.keras` file that takes pixels of 0 to 255.

    Args:
        architecture: Its layers.
        weights: Its weights, in the order of Keras's `get_weights`.
        input_shape: Height, width and channels of an image.
        n_classes: Number of classes.
        scale: Whether it was trained on pixels divided by 255; the division then becomes its first layer.
    """
    core = build(architecture, input_shape, n_classes)
    core.set_weights(weights)
    return _keras_file(core, input_shape, scale=scale)


def _keras_file(core: Any, input_shape: Shape, *, scale: bool) -> bytes:
    """Return a model as the content of a `.keras` file that takes pixels of 0 to 255."""
    from keras import Input, Sequential, layers

    scaling = [layers.Rescaling(1 / 255)] if scale else []
    inner = core.layers if type(core) is Sequential else [core]
    model = Sequential([Input(input_shape), *scaling, *inner])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        return path.read_bytes()
