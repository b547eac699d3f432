"""Ask a stored model what images show: images of any size and format, one line for each that cannot be read."""

import json
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cnnlab.data import luma
from cnnlab.errors import DataError, ModelError
from cnnlab.models.builder import Shape

if TYPE_CHECKING:
    from PIL.Image import Image


BATCH = 64
"""Images predicted at a time; no more of them are held, and only one of them in its full size."""


SHOWN = 5
"""Most classes that a table names for an image."""


@dataclass(frozen=True)
class Prediction:
    """What a model says of an image.

    Attributes:
        image: The image, as it was named.
        probabilities: Each class's probability, 0 to 1, in the order of the model's outputs.
    """

    image: str
    probabilities: dict[str, float]

    @property
    def ranked(self) -> list[tuple[str, float]]:
        """The classes with their probabilities, most likely first."""
        return sorted(self.probabilities.items(), key=lambda pair: -pair[1])

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {"image": self.image, "class": self.ranked[0][0], "probabilities": self.probabilities}


@dataclass(frozen=True)
class Classifier:
    """A stored model with the names of its classes.

    Attributes:
        model: The Keras model, from pixels (n, h, w, c) float32, 0 to 255, to probabilities (n, n_classes).
        shape: Height, width and channels (1 or 3) of an image.
        class_names: Name of each output.
    """

    model: Any
    shape: Shape
    class_names: Sequence[str]

    @classmethod
    def load(cls, path: str | Path) -> "Classifier":
        """Load a model, and the names of its classes from `manifest.json` beside it. This loads Keras, for seconds.

        Keras's safe mode stays on: a file that brings code of its own is refused.

        Raises:
            ModelError: The file is missing, broken or no image classifier, or its classes have no names.
        """
        path = Path(path)
        if not os.path.isfile(path):  # noqa: PTH113 - never raises
            raise ModelError(
                f"Expected a model. Received: {str(path)!r}, which is no file. `make report` makes one (--model)."
            )
        # Keras takes other formats too, by the file's name; some of them are older than its safe mode.
        if path.suffix != ".keras" or not zipfile.is_zipfile(path):
            raise ModelError(
                f"Expected a model in Keras's own format, a .keras file. Received: {str(path)!r}, which is none, or is "
                "broken. `make report` writes one."
            )
        class_names = _class_names(path.with_name("manifest.json"))
        with _quiet():
            import keras

            try:
                model = keras.saving.load_model(path, compile=False, safe_mode=True)
                shapes = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
            except Exception as error:  # a stranger's file may break Keras anywhere
                raise ModelError(
                    f"Expected a whole Keras model without code of its own. Received: {str(path)!r} ({_why(error)}). "
                    "Copy it again, or let `make report` write one."
                ) from error
        match shapes:
            case (None, int(height), int(width), 1 | 3 as channels), (None, int(n_classes)) if n_classes > 1:
                shape = height, width, channels
            case _:
                raise ModelError(
                    "Expected a model from images (n, h, w, 1 or 3) to probabilities (n, classes). Received: "
                    f"{str(path)!r}, from {shapes[0]} to {shapes[1]}. Name a classifier of images (--model)."
                )
        if len(class_names) != n_classes:
            raise ModelError(
                f"Expected {n_classes} class names in {str(path.with_name('manifest.json'))!r}, one for each output of "
                f"the model. Received: {len(class_names)}. Put the model's own manifest beside it."
            )
        return cls(model, shape, class_names)

    def predict(self, images: Sequence[str], lost: Callable[[DataError], None]) -> Iterator[Prediction]:
        """Yield what the model says of each image. One that cannot be read is left out.

        Args:
            images: Paths of the images.
            lost: Called with why an image cannot be read.

        Raises:
            ModelError: The model fails, or gives no probabilities.
        """
        for begin in range(0, len(images), BATCH):
            pixels: dict[int, NDArray[np.uint8]] = {}
            for place in range(begin, min(begin + BATCH, len(images))):
                try:
                    pixels[place] = read(images[place], self.shape)
                except DataError as error:
                    lost(error)
            if pixels:
                for place, row in zip(pixels, self._probabilities(list(pixels.values())), strict=True):
                    yield Prediction(images[place], dict(zip(self.class_names, row, strict=True)))

    def _probabilities(self, pixels: list[NDArray[np.uint8]]) -> list[list[float]]:
        """Return the probabilities of each image's classes."""
        try:
            with _quiet():
                answer = np.asarray(self.model.predict_on_batch(np.stack(pixels).astype(np.float32)), np.float32)
        except Exception as error:  # a stranger's layers may fail in any way
            raise ModelError(
                f"Expected a model that takes images of {self.shape}. Received: one that fails ({_why(error)}). "
                "Name another (--model)."
            ) from error
        if not (answer.min() >= 0 and np.allclose(answer.sum(axis=1), 1, atol=0.01)):  # NaN is neither
            raise ModelError(
                "Expected probabilities, which add up to 1, from the model. Received: values from "
                f"{answer.min():g} to {answer.max():g}. Name a model that ends in a softmax (--model)."
            )
        rows: list[list[float]] = answer.tolist()
        return rows


def _class_names(manifest: Path) -> list[str]:
    """Return the class names that a report's manifest holds.

    Raises:
        ModelError: There is none, or it holds no such names.
    """
    try:
        names = json.loads(manifest.read_bytes())["data"]["classes"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(
            f"Expected the names of the classes in {str(manifest)!r}, which `make report` writes beside the model. "
            f"Received: {_why(error)}. Put the model's own manifest beside it."
        ) from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len({*names}) < len(names):
        raise ModelError(
            f"Expected a list of different class names in {str(manifest)!r}. Received: others. Put the model's own "
            "manifest beside it."
        )
    return names


def read(path: str | Path, shape: Shape) -> NDArray[np.uint8]:
    """Read an image as a model takes it.

    It is turned upright, as its EXIF orientation says; of an animation, it is the first frame; transparent parts are
    white. It is cropped around its centre to the model's proportions, resized, and turned to gray (BT.601 luma, as
    `data.gray` does) where the model has one channel.

    Args:
        path: A file in any of Pillow's formats, except EPS.
        shape: Height, width and channels (1 or 3).

    Returns:
        (h, w, c) uint8, 0 to 255.

    Raises:
        DataError: It is not there, is no image, is damaged, or is too large to be one.
    """
    height, width, channels = shape
    if not os.path.isfile(path):  # noqa: PTH113 - never raises
        what = "is a folder. Name its images" if os.path.isdir(path) else "is no file. Check its name"  # noqa: PTH112
        raise DataError(f"Expected an image. Received: {str(path)!r}, which {what}.")
    from PIL import Image, ImageOps

    try:
        with _quiet():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            Image.init()
            # EPS is a program, which Pillow has another program run.
            with Image.open(path, formats=[name for name in Image.ID if name != "EPS"]) as image:
                image.load()
                with suppress(Exception):  # EXIF data that are spoilt turn nothing; the pixels are there
                    ImageOps.exif_transpose(image, in_place=True)
                full = _eight_bits(image)
            small = ImageOps.fit(full, (width, height), Image.Resampling.LANCZOS)
    except Exception as error:  # a damaged or hostile file may break Pillow anywhere
        raise DataError(
            f"Expected an image that Pillow can read. Received: {str(path)!r} ({_why(error)}). "
            "Save it as a PNG of 8 bits, or leave it out."
        ) from error
    if small.mode == "RGBA":
        small = Image.alpha_composite(Image.new("RGBA", small.size, "white"), small).convert("RGB")
    pixels: NDArray[np.uint8] = np.asarray(small)
    return luma(pixels) if channels == 1 else pixels


def _eight_bits(image: "Image") -> "Image":
    """Return an image of any mode as RGB, or RGBA where it has transparent parts, of 8 bits a channel.

    Raises:
        ValueError: It has more than 16 bits, so that nothing says which number is white.
    """
    from PIL import Image

    if image.mode == "F":
        raise ValueError("floats, of which nothing says what is white")
    if image.mode.startswith("I"):  # I;16 and its kin; also I, of 32 bits, as Pillow holds a PGM of 16
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("numbers of more than 16 bits, of which nothing says what is white")
        image = Image.fromarray((values >> 8).astype(np.uint8))  # the high byte, as Pillow itself does for colours
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def table(predictions: Sequence[Prediction]) -> str:
    """Return predictions as a table, one row an image: its class, and the classes that come next."""
    rows = []
    for prediction in predictions:
        (first, probability), *more = prediction.ranked[:SHOWN]
        following = ", ".join(f"{_printable(name)} {value:.3f}" for name, value in more)
        rows.append((_printable(prediction.image), _printable(first), f"{probability:.3f}", following))
    frame = pd.DataFrame(rows, columns=["image", "class", "probability", "next"], dtype=object)
    frame = frame.apply(lambda column: column.str.ljust(column.str.len().max()))
    shown = frame.to_string(index=False, justify="left")
    return "\n".join(line.rstrip() for line in shown.splitlines())


def _printable(text: str) -> str:
    """Return a name from outside so that it does nothing to a terminal, and keeps to its line."""
    return text if text.isprintable() else ascii(text)


def _why(error: Exception) -> str:
    """Return what went wrong in a line."""
    return _printable(f"{type(error).__name__}: {' '.join(str(error).split())}"[:300])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep off stderr what libraries write there, whatever their log level: what goes wrong comes as an exception."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
