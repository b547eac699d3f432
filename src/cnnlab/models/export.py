"""Describe, draw and save models."""

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnlab.models.builder import GRAY, Shape, augmentation_layers, build, draw_seeds, use_default_settings
from cnnlab.study import Architecture


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

    use_default_settings()
    shown: Any = images.astype(np.float32)
    for layer in augmentation_layers(augmentation, draw_seeds(seed, "noise")):
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
    scaling = [layers.Rescaling(1 / 255)] if scale else []
    model = Sequential([Input(input_shape), *scaling, *core.layers])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        return path.read_bytes()
