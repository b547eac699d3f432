"""Build and compile Keras models: one builder for every architecture, and the call of a user's own."""

import linecache
import random
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from cnnlab.errors import CnnlabError, ConfigError
from cnnlab.study import SPARSE_LOSS, Architecture, OwnModel, Training, require_size

if TYPE_CHECKING:  # Keras loads its backend, which takes seconds, so functions import it
    import keras

Shape = tuple[int, int, int]
_Result = TypeVar("_Result")
GRAY: Shape = (32, 32, 1)
OPTIMIZERS = {
    "sgd": "SGD", "rmsprop": "RMSprop", "adagrad": "Adagrad", "adadelta": "Adadelta", "adam": "Adam",
    "adamax": "Adamax", "nadam": "Nadam",
}  # fmt: skip
"""Keras's class of each optimizer."""
RISING_SHARE = 0.2
"""Share of the steps in which the learning rate of a "one-cycle" schedule rises."""
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
        augmentation: "flip-shift" puts `layers.FlipShift` first, and "flip-crop" `layers.FlipCrop`: active in training
            only.
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
    weights, calls = draw_seeds(seed, "weights"), layer_calls(architecture, n_classes)
    return Sequential([Input(input_shape), *before, *_layers(calls, weights, noise, precision, fused=fused)])


class LayerCall(NamedTuple):
    """The call of a Keras layer, optimizer or schedule: the name of its class, and what it is called with.

    Seeds, initializers and dtypes of layers are left out: `build` adds them.
    """

    layer: str
    arguments: tuple[Any, ...] = ()
    settings: Mapping[str, Any] = {}


def layer_calls(architecture: Architecture, n_classes: int) -> list[LayerCall]:
    """Return the layers of an architecture, from the first convolution to the softmax."""
    momentum, rates = architecture.batch_norm_momentum, [(rate,) for rate in architecture.dropout]
    convolution = {"padding": architecture.padding, "activation": architecture.conv_activation}
    dense = LayerCall("Dense", (architecture.dense_units,), {"activation": architecture.dense_activation})
    norm = [LayerCall("BatchNormalization", (), {"momentum": momentum} if momentum else {})] * architecture.batch_norm
    calls: list[LayerCall] = []
    for block, filters in enumerate(architecture.filters):
        calls += [LayerCall("Conv2D", (filters, 3), convolution), *norm] * architecture.convs_per_block
        calls += [LayerCall("MaxPooling2D", (2,)), *(LayerCall("Dropout", rate) for rate in rates[block : block + 1])]
    head = (
        [LayerCall("GlobalAveragePooling2D")]
        if architecture.head == "average"
        else [LayerCall("Flatten"), dense, *norm]
    )
    calls += [*head, *(LayerCall("Dropout", rate) for rate in rates[-1:])]
    return [*calls, LayerCall("Dense", (n_classes,), {"activation": "softmax"})]


def _layers(
    calls: list[LayerCall], weights: Iterator[int | None], noise: Iterator[int | None], precision: str, *, fused: bool
) -> list[Any]:
    """Make layers, with seeds for their weights and for their dropout. The last one is in float32."""
    from keras import initializers, layers

    from cnnlab.models.layers import FusedBatchNormalization

    made = []
    for number, call in enumerate(calls, 1):
        is_fused = fused and call.layer == "BatchNormalization"
        kind = FusedBatchNormalization if is_fused else getattr(layers, call.layer)
        settings = {**call.settings, "dtype": precision if number < len(calls) else "float32"}
        if call.layer in {"Conv2D", "Dense"}:
            settings["kernel_initializer"] = initializers.GlorotUniform(next(weights))
        elif call.layer == "Dropout":
            settings["seed"] = next(noise)
        made.append(kind(*call.arguments, **settings))
    return made


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
    module.__file__ = model.code_name
    sys.modules[module.__name__] = module  # dataclasses and Keras look a class's module up there
    # TensorFlow reads the source of a layer's `call` there: it converts the loops and conditions in it.
    lines, name = model.source.splitlines(keepends=True), model.code_name
    linecache.cache[name] = len(model.source), None, lines, name
    exec(compile(model.source, name, "exec"), module.__dict__)  # noqa: S102 - the user trusts it
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
        ConfigError: That code failed. The message has one line: the error's type, its line in the user's file (the text
            of that line for a function, which has other line numbers in the notebook), and its own message.
    """
    try:
        return action()
    except CnnlabError:
        raise
    except (Exception, SystemExit) as error:
        if not isinstance(model, OwnModel):
            raise
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == model.code_name]
        if isinstance(error, SyntaxError) and error.filename == model.code_name:  # not of a file that it imports
            lines.append(error.lineno)
        text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))  # Keras's messages may be in bold
        place, message = model.line_text(lines[-1]) if lines else "", " ".join(text.split())
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
    from cnnlab.models import layers

    kinds = {"flip-shift": layers.FlipShift, "flip-crop": layers.FlipCrop}
    return [kinds[name](next(seeds), dtype=precision)] if name in kinds else []


def compile_model(model: "keras.Model", training: Training, steps: int = 1) -> None:
    """Compile a model with a trial's optimizer, learning rate and loss, and accuracy as its metric.

    Args:
        model: The model.
        training: How it is trained. With label smoothing, the loss gets labels as `fit.train_targets` returns them.
        steps: Steps of all epochs, for the schedule of the learning rate.
    """
    from keras import optimizers

    call = optimizer_call(training, steps)
    settings = dict(call.settings)
    if isinstance(schedule := settings["learning_rate"], LayerCall):
        settings["learning_rate"] = getattr(optimizers.schedules, schedule.layer)(**schedule.settings)
    optimizer = getattr(optimizers, call.layer)(**settings)
    loss = "categorical_crossentropy" if smooths_labels(training) else training.loss
    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])


def optimizer_call(training: Training, steps: int) -> LayerCall:
    """Return the call of Keras's optimizer of a trial; its learning rate may be the call of a schedule."""
    rate: Any = training.learning_rate
    if training.schedule == "cosine":
        rate = LayerCall("CosineDecay", (), {"initial_learning_rate": rate, "decay_steps": steps})
    elif training.schedule == "one-cycle":
        rising = round(RISING_SHARE * steps)
        settings = {"warmup_target": rate, "warmup_steps": rising, "decay_steps": steps - rising}
        rate = LayerCall("CosineDecay", (), {"initial_learning_rate": 0.0, **settings})
    settings = {"learning_rate": rate}
    if training.optimizer == "sgd" and training.momentum:
        settings |= {"momentum": training.momentum, "nesterov": True}
    if training.weight_decay:
        settings["weight_decay"] = training.weight_decay
    if training.averaging:
        settings |= {"use_ema": True, "ema_momentum": training.averaging}
    return LayerCall(OPTIMIZERS[training.optimizer], (), settings)


def smooths_labels(training: Training) -> bool:
    """Return whether a trial's labels are smoothed: only those of the cross-entropy can be."""
    return training.loss == SPARSE_LOSS and training.label_smoothing > 0


def scramble_channels(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images (n, h, w, c) with their pixels in the order that the published study fed to its networks.

    It reshaped channel-first rows to (h, w, c) without a transpose, so that neighbouring pixels became channels.
    """
    return images.transpose(0, 3, 1, 2).reshape(images.shape)
