"""The settings of a trial: frozen dataclasses with validation.

A mistake of the published study is a value of one of these fields (`restore_best_weights=False`,
`layout="published"`, `scale=False`, `one_hot=False`), so no other module asks which protocol it runs.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from cnnlab.errors import ConfigError

DEFAULT_RATES = {
    "sgd": 0.01,
    "rmsprop": 0.001,
    "adagrad": 0.001,
    "adadelta": 0.001,
    "adam": 0.001,
    "adamax": 0.001,
    "nadam": 0.001,
}
"""Each optimizer's learning rate where none is given, as in Keras 3 (and as in Keras 2.6)."""


ACTIVATIONS = ("relu", "tanh", "sigmoid")


PADDINGS = ("valid", "same")


SPARSE_LOSS = "sparse_categorical_crossentropy"


LOSSES = (SPARSE_LOSS, "mean_squared_logarithmic_error", "mean_squared_error", "hinge", "kl_divergence")


LAYOUTS = ("channels_last", "published")


AUGMENTATIONS = ("none", "flip-shift")


PRECISIONS = ("float32", "mixed_bfloat16")


def _choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"Expected {name} to be one of {', '.join(allowed)}. Received: {value!r}.")


def require_whole(name: str, value: object, least: int = 1) -> None:
    """Insist on a whole number.

    Raises:
        ConfigError: It is none, or a smaller one than the least.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"Expected {name} to be a whole number of at least {least}. Received: {value!r}.")


def _number(name: str, value: object, low: float, high: float) -> None:
    """Require `low < value < high`."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not low < value < high:
        span = f"above {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
        raise ConfigError(f"Expected {name} to be a number {span}. Received: {value!r}.")


def _flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigError(f"Expected {name} to be True or False. Received: {value!r}.")


@dataclass(frozen=True)
class Architecture:
    """The layers of a CNN: blocks of convolutions, each closed by 2x2 max pooling, then two dense layers.

    Attributes:
        filters: Filters of each block's 3x3 convolutions, one number a block.
        convs_per_block: Convolutions before each pooling.
        padding: "valid" or "same", of every convolution.
        dropout: A rate in [0, 1) after each pooling and one after the hidden dense layer; empty for no dropout.
        batch_norm: Batch normalisation after every convolution and the hidden dense layer.
        batch_norm_momentum: Weight of the past in its moving statistics, in (0, 1).
        dense_units: Units of the hidden dense layer.
        conv_activation: "relu", "tanh" or "sigmoid".
        dense_activation: Likewise, of the hidden dense layer.

    Raises:
        ConfigError: A value is out of its range.
    """

    filters: tuple[int, ...] = (32, 64, 64)
    convs_per_block: int = 1
    padding: str = "valid"
    dropout: tuple[float, ...] = ()
    batch_norm: bool = False
    batch_norm_momentum: float = 0.99
    dense_units: int = 64
    conv_activation: str = "relu"
    dense_activation: str = "relu"

    def __post_init__(self) -> None:
        for name in ("filters", "dropout"):
            try:
                object.__setattr__(self, name, tuple(getattr(self, name)))
            except TypeError:
                raise ConfigError(
                    f"Expected {name} to be a list of numbers. Received: {getattr(self, name)!r}."
                ) from None
        if not self.filters:
            raise ConfigError("Expected filters to name at least one block. Received: ().")
        for count in self.filters:
            require_whole("each of filters", count)
        require_whole("convs_per_block", self.convs_per_block)
        require_whole("dense_units", self.dense_units)
        _choice("padding", self.padding, PADDINGS)
        _choice("conv_activation", self.conv_activation, ACTIVATIONS)
        _choice("dense_activation", self.dense_activation, ACTIVATIONS)
        _flag("batch_norm", self.batch_norm)
        _number("batch_norm_momentum", self.batch_norm_momentum, 0, 1)
        if self.dropout and len(self.dropout) != len(self.filters) + 1:
            raise ConfigError(
                f"Expected dropout to hold {len(self.filters) + 1} rates, one for each of {len(self.filters)} "
                f"poolings and one for the dense layer, or none. Received: {self.dropout!r}."
            )
        for rate in self.dropout:
            _number("each of dropout", rate, -1e-12, 1)


@dataclass(frozen=True)
class Training:
    """How a model is compiled and fitted.

    Attributes:
        optimizer: A key of `DEFAULT_RATES`.
        learning_rate: Step size; None takes the optimizer's default, so that both ways of saying it are one trial.
        batch_size: Images in a step.
        loss: One of `LOSSES`.
        one_hot: Give one-hot labels to the losses that need them. The published study gave every loss integers.
        epochs: Most epochs of a fit.
        patience: Epochs without a better `val_loss` before the fit ends; None always runs all epochs.
        restore_best_weights: Score the weights of the best epoch. The published study scored the last ones.
        precision: "float32", or "mixed_bfloat16": activations of 16 bits, weights of 32.

    Raises:
        ConfigError: A value is out of its range.
    """

    optimizer: str = "adam"
    learning_rate: float | None = None
    batch_size: int = 64
    loss: str = SPARSE_LOSS
    one_hot: bool = True
    epochs: int = 500
    patience: int | None = 5
    restore_best_weights: bool = True
    precision: str = "float32"

    def __post_init__(self) -> None:
        _choice("optimizer", self.optimizer, tuple(DEFAULT_RATES))
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", DEFAULT_RATES[self.optimizer])
        _number("learning_rate", self.learning_rate, 0, math.inf)
        require_whole("batch_size", self.batch_size)
        _choice("loss", self.loss, LOSSES)
        _flag("one_hot", self.one_hot)
        _flag("restore_best_weights", self.restore_best_weights)
        _choice("precision", self.precision, PRECISIONS)
        require_whole("epochs", self.epochs)
        if self.patience is not None:
            require_whole("patience", self.patience)


@dataclass(frozen=True)
class Input:
    """What the model is shown.

    Attributes:
        colour: Colour images (three channels) instead of grayscale ones.
        layout: "channels_last", or "published": the study's reshape without a transpose, which scrambles colours.
        scale: Divide pixels by 255.
        augmentation: "none", or "flip-shift": random left-right flips and shifts of up to one pixel, in training.

    Raises:
        ConfigError: A value is out of its range.
    """

    colour: bool = False
    layout: str = "channels_last"
    scale: bool = True
    augmentation: str = "none"

    def __post_init__(self) -> None:
        _flag("colour", self.colour)
        _flag("scale", self.scale)
        _choice("layout", self.layout, LAYOUTS)
        _choice("augmentation", self.augmentation, AUGMENTATIONS)


@dataclass(frozen=True)
class Trial:
    """One full configuration. Equal trials are one trial, whatever they are called."""

    architecture: Architecture = field(default_factory=Architecture)
    training: Training = field(default_factory=Training)
    input: Input = field(default_factory=Input)

    def change(self, **settings: Any) -> "Trial":
        """Return this trial with some settings changed, each named by its field alone (`filters=`, `optimizer=`).

        A new optimizer without a rate takes its own default rate.

        Raises:
            ConfigError: No such setting, or a value out of its range.
        """
        if "optimizer" in settings:
            settings = {"learning_rate": None, **settings}
        parts: dict[str, dict[str, Any]] = {}
        for name, value in settings.items():
            parts.setdefault(part_of(name), {})[name] = value
        return replace(self, **{part: replace(getattr(self, part), **values) for part, values in parts.items()})

    def canonical(self) -> dict[str, Any]:
        """Return the settings as plain JSON values, from which the digest is made."""
        form: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return form

    @classmethod
    def from_canonical(cls, form: Mapping[str, Any]) -> "Trial":
        """Rebuild a trial from `canonical()`.

        Raises:
            ConfigError: A setting is unknown, missing or out of its range.
        """
        try:
            return cls(Architecture(**form["architecture"]), Training(**form["training"]), Input(**form["input"]))
        except (KeyError, TypeError) as error:
            raise ConfigError(f"Expected the settings of a trial. Received: {form!r} ({error}).") from error


_PARTS = {
    setting.name: part
    for part, kind in (("architecture", Architecture), ("training", Training), ("input", Input))
    for setting in fields(kind)
}


def part_of(name: str) -> str:
    """Return which part of a trial holds a setting: "architecture", "training" or "input".

    Raises:
        ConfigError: No such setting.
    """
    if name not in _PARTS:
        raise ConfigError(f"Expected one of the settings {', '.join(sorted(_PARTS))}. Received: {name!r}.")
    return _PARTS[name]
