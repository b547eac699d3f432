"""Predict the classes of images of any size and format with a stored model."""

import csv
import errno
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cnnlab import files
from cnnlab.data import luma
from cnnlab.data.photos import decode, image_files, why
from cnnlab.errors import DataError, ModelError
from cnnlab.models.builder import Shape, use_default_settings
from cnnlab.surroundings import quiet

BATCH = 64
"""Images predicted at a time. Only these are held in memory, and only one of them in full size."""
SHOWN = 5
"""Number of classes that a table names for an image."""


@dataclass(frozen=True)
class Prediction:
    """A model's prediction for an image.

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
        """Load a model, and its class names from `manifest.json` beside it. This loads Keras, which takes seconds.

        Keras's safe mode stays on: a file that contains code is refused.

        Raises:
            ModelError: The file is missing, broken or no image classifier, or its classes have no names.
        """
        path = Path(path)
        if not os.path.isfile(path):  # noqa: PTH113 - never raises
            raise ModelError(
                f"Expected a model. Received: {str(path)!r}, which is no file. `make report` makes one (--model)."
            )
        # Keras reads other formats too, by the name of the file; some are older than its safe mode.
        if path.suffix != ".keras" or not zipfile.is_zipfile(path):
            raise ModelError(
                f"Expected a model in Keras's own format, a .keras file. Received: {str(path)!r}, which is none, or is "
                "broken. `make report` writes one."
            )
        class_names = _class_names(path.with_name("manifest.json"))
        with quiet():
            import keras

            use_default_settings()
            try:
                model = keras.saving.load_model(path, compile=False, safe_mode=True)
                shapes = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
            except Exception as error:  # an untrusted file may break Keras anywhere
                raise ModelError(
                    f"Expected a whole Keras model without code of its own. Received: {str(path)!r} ({why(error)}). "
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

    def predict(self, images: Sequence[str], on_failure: Callable[[DataError], None]) -> Iterator[Prediction]:
        """Yield the prediction for each image that can be read.

        Args:
            images: Paths of the images.
            on_failure: Called with the error of each image that cannot be read.

        Raises:
            ModelError: The model fails, or gives no probabilities.
        """
        for start in range(0, len(images), BATCH):
            pixels: dict[int, NDArray[np.uint8]] = {}
            for index in range(start, min(start + BATCH, len(images))):
                try:
                    pixels[index] = read(images[index], self.shape)
                except DataError as error:
                    on_failure(error)
            if pixels:
                for index, row in zip(pixels, self._probabilities(list(pixels.values())), strict=True):
                    yield Prediction(images[index], dict(zip(self.class_names, row, strict=True)))

    def _probabilities(self, pixels: list[NDArray[np.uint8]]) -> list[list[float]]:
        """Return the probabilities of each image's classes."""
        try:
            with quiet():
                answer = np.asarray(self.model.predict_on_batch(np.stack(pixels).astype(np.float32)), np.float32)
        except Exception as error:  # layers of an untrusted file may fail in any way
            raise ModelError(
                f"Expected a model that takes images of {self.shape}. Received: one that fails ({why(error)}). "
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
    """Return the class names that a report's manifest holds; a name that occurs twice gets a number.

    Raises:
        ModelError: The manifest cannot be read, or it holds no such names.
    """
    try:
        names = json.loads(manifest.read_bytes())["data"]["classes"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(
            f"Expected the names of the classes in {str(manifest)!r}, which `make report` writes beside the model. "
            f"Received: {why(error)}. Put the model's own manifest beside it."
        ) from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ModelError(
            f"Expected a list of class names in {str(manifest)!r}. Received: others. Put the model's own "
            "manifest beside it."
        )
    return _numbered(names)


def _numbered(names: Iterable[str]) -> list[str]:
    """Return names, with a number for those that occur before."""
    different: list[str] = []
    for name in names:
        numbers = (f"{name} ({number})" for number in count(2))
        different.append(next(new for new in chain([name], numbers) if new not in different))
    return different


def find_images(paths: Iterable[str]) -> list[str]:
    """Return the paths of images; each folder is replaced by the images in it and below it.

    A folder without images stays: `read` refuses it.
    """
    found: list[str] = []
    for path in paths:
        inside: list[Path] = []
        if os.path.isdir(path):  # noqa: PTH112 - never raises
            with suppress(OSError):  # a folder that cannot be read
                inside = image_files(Path(path))
        found += [str(image) for image in inside] or [path]
    return found


def read(path: str | Path, shape: Shape) -> NDArray[np.uint8]:
    """Read an image in the form that a model takes.

    It is turned upright (EXIF orientation), cropped around its centre to the model's proportions, resized, and turned
    to gray (BT.601 luma, as in `data.gray`) if the model has one channel. Transparent parts become white. Of an
    animation, the first frame is read.

    Args:
        path: A file in any of Pillow's formats, except EPS.
        shape: Height, width and channels (1 or 3).

    Returns:
        (h, w, c) uint8, 0 to 255.

    Raises:
        DataError: The file is missing, damaged, too large, or no image.
    """
    height, width, channels = shape
    if not os.path.isfile(path):  # noqa: PTH113 - never raises
        is_folder = os.path.isdir(path)  # noqa: PTH112
        what = "is a folder without images that can be read" if is_folder else "is no file"
        raise DataError(f"Expected an image. Received: {str(path)!r}, which {what}. Check its name.")
    try:
        with quiet():
            image = decode(str(path), (height, width)).image
    except Exception as error:  # a damaged or malicious file may break Pillow anywhere
        raise DataError(
            f"Expected an image that Pillow can read. Received: {str(path)!r} ({why(error)}). "
            "Save it as a PNG of 8 bits, or leave it out."
        ) from error
    if channels == 3:
        return np.asarray(image.convert("RGB"))
    pixels: NDArray[np.uint8] = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else luma(pixels)


def table(predictions: Sequence[Prediction]) -> str:
    """Return predictions as a text table, one row an image: its class, and the next most likely classes."""
    rows = []
    for prediction in predictions:
        (first, probability), *more = prediction.ranked[:SHOWN]
        following = ", ".join(f"{_printable(name)} {value:.3f}" for name, value in more)
        rows.append((_printable(prediction.image), _printable(first), f"{probability:.3f}", following))
    frame = pd.DataFrame(rows, columns=["image", "class", "probability", "next"], dtype=object)
    frame = frame.apply(lambda column: column.str.ljust(column.str.len().max()))
    shown = frame.to_string(index=False, justify="left")
    return "\n".join(line.rstrip() for line in shown.splitlines())


def write_csv(predictions: Sequence[Prediction], class_names: Sequence[str], path: Path) -> None:
    """Write predictions atomically, one row an image: image, class, probability, and a column for each class.

    Args:
        predictions: The predictions, none or more.
        class_names: Names of the model's classes. One that is also the name of another column gets a number.
        path: The file.

    Raises:
        OSError: It cannot be written.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_numbered(["image", "class", "probability", *class_names]))
    for prediction in predictions:
        rows.writerow([prediction.image, *prediction.ranked[0], *prediction.probabilities.values()])
    # A name of a file may hold bytes that are no text.
    files.write(path, text.getvalue().encode("utf-8", "backslashreplace"))


def check_writable(path: Path) -> None:
    """Check that a file can be written, before the work is done.

    Raises:
        OSError: It is a folder, or its folder is missing or cannot be written.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    try:
        files.temporary_file(path.parent).unlink()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _printable(text: str) -> str:
    """Escape control characters, and quote a blank text."""
    return text if text.isprintable() and text.strip() else ascii(text)
