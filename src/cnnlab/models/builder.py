"""Build and compile Keras models: one builder for every architecture, and the call of a user's own."""

import linecache
import random
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cnnlab.errors import CnnlabError, ConfigError
from cnnlab.study import Architecture, OwnModel, Training, require_size

if TYPE_CHECKING:  # Keras loads its backend, which takes seconds, so functions import it
    import keras

Shape = tuple[int, int, int]
_Result = TypeVar("_Result")
GRAY: Shape = (32, 32, 1)
_seeding = threading.Lock()
"""Held while a user's function is called: its random numbers come from generators that all threads share."""


def build(
    architecture: Architecture | OwnModel,
    input_shape: Shape = GRAY,
    n_classes: int = 10,
    augmentation: str = "none",
    seed: int | None = None,
    *,
    precision: str = "float32",
    fused: bool = False,
) -> "keras.Model":
    """Build the uncompiled Keras model of an architecture.

    For an own model, this runs the user's file: call it only for a study that the user trusts.

    Args:
        architecture: The layers, or an own model.
        input_shape: Height, width and channels of an image.
        n_classes: Units of the softmax output.
        augmentation: "flip-shift" puts `layers.FlipShift` first, active in training only.
        seed: Seed of the initial weights, dropout and augmentation; None draws one. Every layer gets a seed of its own:
            Keras would draw them from Python's global generator, which other threads of a worker use too.
        precision: Keras dtype policy of all layers but the last, whose probabilities are always float32.
        fused: Use the faster `layers.FusedBatchNormalization`: for training, not for a model that is saved. An own
            model has its own layers.

    Returns:
        A model from float images (n, h, w, c) to class probabilities (n, n_classes) float32.

    Raises:
        ConfigError: The images are too small for the poolings, or the user's function fails or does not build a model
            for these images and classes.
    """
    from keras import Input, Sequential

    use_default_settings()
    noise = draw_seeds(seed, "noise")
    before = augmentation_layers(augmentation, noise, precision)
    if isinstance(architecture, OwnModel):
        own = _build_own(architecture, input_shape, n_classes, seed, precision)
        return Sequential([Input(input_shape), *before, own]) if before else own
    require_size(architecture, input_shape)
    weights = draw_seeds(seed, "weights")
    return Sequential(
        [Input(input_shape), *before, *_layers(architecture, n_classes, weights, noise, precision, fused=fused)]
    )


def _layers(
    architecture: Architecture,
    n_classes: int,
    weights: Iterator[int | None],
    noise: Iterator[int | None],
    precision: str,
    *,
    fused: bool,
) -> list[Any]:
    """Return the layers of an architecture, with seeds for their weights and for their dropout."""
    from keras import initializers, layers

    from cnnlab.models.layers import FusedBatchNormalization

    batch_normalization = FusedBatchNormalization if fused else layers.BatchNormalization

    def normalise() -> list[Any]:
        momentum = architecture.batch_norm_momentum or 0.99  # Keras's default
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

    stack: list[Any] = []
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
    return stack


def _build_own(model: OwnModel, input_shape: Shape, n_classes: int, seed: int | None, precision: str) -> "keras.Model":
    """Run a user's file, and call its function. It raises ConfigError as `build` does."""
    import keras

    if not model.source:
        raise ConfigError(
            f"Expected the file of the own model {model.function}. Received: a stored run, which does not hold it. "
            "Name the study that has it."
        )
    if model.missing:
        raise ConfigError(
            f"Expected a value for each parameter of {model.function} in {model.file}. Received: none for "
            f"{', '.join(model.missing)}. Add it to the study's start, or give it a default value."
        )

    def call() -> tuple[Any, Any]:
        function = getattr(_run(model), model.function)
        built = function(input_shape=input_shape, n_classes=n_classes, **model.settings)
        return built, built(keras.Input(input_shape)) if isinstance(built, keras.Model) else None  # makes all weights

    with _seeding, _seeded(seed):
        keras.config.set_dtype_policy(precision)
        try:
            built, output = guarded(model, call)
        finally:
            keras.config.set_dtype_policy("float32")
            use_default_settings()
    wanted = f"uncompiled Keras model with one output (None, {n_classes}) float32"
    received = f"a {type(built).__name__}"
    if isinstance(built, keras.Model):
        received = "a compiled model" if built.compiled else f"a model with the output {_form(output)}"
    if received != f"a model with the output (None, {n_classes}) float32":
        advice = "Give its last layer dtype='float32'." if "bfloat16" in received else "Correct that function."
        raise ConfigError(
            f"Expected {model.function} in {model.file} to return an {wanted}. Received: {received}. {advice}"
        )
    return built


def _run(model: OwnModel) -> ModuleType:
    """Run the file of an own model as a new module."""
    module = ModuleType(f"own_model_{model.digest[:12]}")
    module.__file__ = model.file
    sys.modules[module.__name__] = module  # dataclasses and Keras look a class's module up there
    # TensorFlow reads the source of a layer's `call` there: it converts the loops and conditions in it.
    linecache.cache[model.file] = len(model.source), None, model.source.splitlines(keepends=True), model.file
    exec(compile(model.source, model.file, "exec"), module.__dict__)  # noqa: S102 - the user trusts it
    return module


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    """Let all random numbers that are drawn meanwhile, and the unseeded ones of layers, depend on a seed; not for None.

    Keras draws the seed of each layer and initializer from Python's global generator, which other threads of a worker
    use too. Meanwhile it draws from a generator of its own.
    """
    if seed is None:
        yield
        return
    from keras.src.random import seed_generator
    from keras.utils import set_random_seed

    own, shared = random.Random(f"{seed} own model"), seed_generator.python_random  # noqa: S311 - no secrets
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - the user's function may use it
    seed_generator.python_random = own
    try:
        set_random_seed(own.getrandbits(31))  # Python's, NumPy's and the backend's
        yield
        unseeded_noise()  # made now, from this seed
    finally:
        seed_generator.python_random = shared
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002


def unseeded_noise() -> Any:
    """Return the state of the generator from which Keras draws for layers without a seed of their own."""
    from keras.src.random import seed_generator

    return seed_generator.global_seed_generator().state


def guarded(model: Architecture | OwnModel, action: Callable[[], _Result]) -> _Result:
    """Do what runs code of an own model, and return its result.

    Raises:
        ConfigError: That code failed. The message has one line: the error's type, its line in the user's file, and its
            own message.
    """
    try:
        return action()
    except CnnlabError:
        raise
    except (Exception, SystemExit) as error:
        if not isinstance(model, OwnModel):
            raise
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == model.file]
        if isinstance(error, SyntaxError):
            lines.append(error.lineno)
        text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))  # Keras's messages may be in bold
        place, message = f" in line {lines[-1]}" if lines else "", " ".join(text.split())
        received = f"{type(error).__name__}{place}: {message if len(message) <= 300 else message[:300] + ' ...'}"
    # Raised here, it does not refer to the user's exception, whose class no other process may have.
    raise ConfigError(f"Expected {model.function} in {model.file} to build a model that works. Received: {received}")


def _form(output: Any) -> str:
    """Return the shape and the type of a model's output as a text."""
    shape = getattr(output, "shape", None)
    return f"{tuple(shape)} {output.dtype}" if shape is not None else f"of type {type(output).__name__}"


def use_default_settings() -> None:
    """Give Keras the settings that the study is defined with, whatever `keras.json` or another program has set."""
    from keras import config

    config.set_floatx("float32")
    config.set_epsilon(1e-7)
    config.set_image_data_format("channels_last")


def draw_seeds(seed: int | None, purpose: str) -> Iterator[int | None]:
    """Yield seeds for one purpose, so that trials with equal layers start from equal weights whatever their noise."""
    draw = random.Random(f"{seed} {purpose}")  # noqa: S311 - seeds are no secrets
    while True:
        yield None if seed is None else draw.getrandbits(31)


def augmentation_layers(name: str, seeds: Iterator[int | None], precision: str = "float32") -> list[Any]:
    """Return the layers of an augmentation."""
    from cnnlab.models.layers import FlipShift

    return [FlipShift(next(seeds), dtype=precision)] if name == "flip-shift" else []


def compile_model(model: "keras.Model", training: Training) -> None:
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
