"""The settings of a trial, validated.

A mistake of the published study is a value of one of these settings (`restore_best_weights=False`,
`layout="published"`, `scale=False`, `one_hot=False`), so no other module asks which protocol it runs.
"""

import json
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import attrs
import numpy as np
from attrs import field

from cnnlab.errors import ConfigError, require

DEFAULT_RATES = {"sgd": 0.01} | dict.fromkeys(("rmsprop", "adagrad", "adadelta", "adam", "adamax", "nadam"), 0.001)
"""Each optimizer's default learning rate, as in Keras 3 (and in Keras 2.6)."""
SPARSE_LOSS = "sparse_categorical_crossentropy"
ACTIVATIONS = ("relu", "tanh", "sigmoid")
PADDINGS = ("valid", "same")
LOSSES = (SPARSE_LOSS, "mean_squared_logarithmic_error", "mean_squared_error", "hinge", "kl_divergence")
LAYOUTS = ("channels_last", "published")
AUGMENTATIONS = ("none", "flip-shift")
PRECISIONS = ("float32", "mixed_bfloat16")
_LARGEST = 2**53  # up to here, each whole number has its own float


def require_whole(name: str, value: object, least: int = 1) -> None:
    """Require a whole number.

    Raises:
        ConfigError: It is not a whole number, or it is below `least`.
    """
    require(_is_whole(value, least), name, f"a whole number of at least {least}", value)


def _is_whole(value: object, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _expect(expected: str, is_valid: Callable[[Any], bool]) -> Callable[[Any, Any, Any], None]:
    """Return a validator of attrs that raises ConfigError unless a value is valid."""

    def validate(_: object, setting: Any, value: object) -> None:
        require(is_valid(value), setting.name, expected, value)

    return validate


def _one_of(options: Collection[str]) -> Callable[[Any, Any, Any], None]:
    return _expect(f"one of {', '.join(options)}", lambda value: isinstance(value, str) and value in options)


_flag = _expect("True or False", lambda value: isinstance(value, bool))
_count = _expect("a whole number of at least 1", _is_whole)
_count_or_none = _expect("a whole number of at least 1, or None", lambda value: value is None or _is_whole(value))
_fraction = _expect("a number between 0 and 1", lambda value: _is_number(value) and 0 < value < 1)
_rate_or_none = _expect(
    "a number above 0, or None", lambda value: value is None or (_is_number(value) and 0 < value < math.inf)
)
_counts = _expect(
    "a list of whole numbers, each at least 1, for at least one block",
    lambda values: isinstance(values, tuple) and len(values) > 0 and all(map(_is_whole, values)),
)
_rates = _expect(
    "a number of at least 0 and below 1, or a list of such numbers",
    lambda values: all(
        _is_number(rate) and 0 <= rate < 1 for rate in (values if isinstance(values, tuple) else [values])
    ),
)


# These converters leave any other value as it is: the validators reject it.
def _plain(value: Any) -> Any:
    """Return a NumPy number as a Python number."""
    return value.item() if isinstance(value, np.generic) else value


def _decimal(value: Any) -> Any:
    """Return a whole number as a float, so that 1 and 1.0 make equal trials."""
    value = _plain(value)
    return float(value) if _is_whole(value, 0) and value < _LARGEST else value


def _lower(name: Any) -> Any:
    return name.lower() if isinstance(name, str) else name


def _to_tuple(values: Any) -> Any:
    if isinstance(values, list | tuple | np.ndarray | range):
        return tuple(map(_plain, values))
    return values


def _to_rates(values: Any) -> Any:
    rates = _to_tuple(_plain(values))
    return tuple(map(_decimal, rates)) if isinstance(rates, tuple) else _decimal(rates)


@attrs.frozen
class Architecture:
    """The layers of a CNN: blocks of convolutions, each followed by 2x2 max pooling, then two dense layers.

    Attributes:
        filters: Filters of each block's 3x3 convolutions, one number per block.
        convs_per_block: Convolutions before each pooling.
        padding: "valid" or "same", of every convolution.
        dropout: Rates in [0, 1): one after each pooling and one after the hidden dense layer; empty for no dropout. One
            number is the rate at each of these places.
        batch_norm: Batch normalisation after every convolution and the hidden dense layer.
        batch_norm_momentum: Weight of the past in its moving statistics, in (0, 1).
        dense_units: Units of the hidden dense layer.
        conv_activation: "relu", "tanh" or "sigmoid", of the convolutions.
        dense_activation: The same, of the hidden dense layer.

    Raises:
        ConfigError: A value is out of its range.
    """

    filters: tuple[int, ...] = field(default=(32, 64, 64), converter=_to_tuple, validator=_counts)
    convs_per_block: int = field(default=1, converter=_plain, validator=_count)
    padding: str = field(default="valid", converter=_lower, validator=_one_of(PADDINGS))
    dropout: tuple[float, ...] = field(default=(), converter=_to_rates, validator=_rates)
    batch_norm: bool = field(default=False, converter=_plain, validator=_flag)
    batch_norm_momentum: float = field(default=0.99, converter=_decimal, validator=_fraction)
    dense_units: int = field(default=64, converter=_plain, validator=_count)
    conv_activation: str = field(default="relu", converter=_lower, validator=_one_of(ACTIVATIONS))
    dense_activation: str = field(default="relu", converter=_lower, validator=_one_of(ACTIVATIONS))

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.dropout, tuple):
            object.__setattr__(self, "dropout", (self.dropout,) * (len(self.filters) + 1))
        if self.dropout and len(self.dropout) != len(self.filters) + 1:
            raise ConfigError(
                f"Expected dropout to be empty or to have {len(self.filters) + 1} rates, one for each of "
                f"{len(self.filters)} poolings and one for the dense layer. Received: {self.dropout!r}."
            )


@attrs.frozen
class Training:
    """How a model is compiled and fitted.

    Attributes:
        optimizer: A key of `DEFAULT_RATES`.
        learning_rate: Step size; None becomes the optimizer's default, so that both give equal trials.
        batch_size: Images per step.
        loss: One of `LOSSES`.
        one_hot: Give one-hot labels to the losses that need them. The published study gave every loss integers.
        epochs: Maximum number of epochs.
        patience: Epochs without a better `val_loss` before the fit ends; None always runs all epochs.
        restore_best_weights: Score the weights of the best epoch. The published study scored those of the last one.
        precision: "float32", or "mixed_bfloat16": activations of 16 bits, weights of 32.

    Raises:
        ConfigError: A value is out of its range.
    """

    optimizer: str = field(default="adam", converter=_lower, validator=_one_of(DEFAULT_RATES))
    learning_rate: float | None = field(default=None, converter=_decimal, validator=_rate_or_none)
    batch_size: int = field(default=64, converter=_plain, validator=_count)
    loss: str = field(default=SPARSE_LOSS, converter=_lower, validator=_one_of(LOSSES))
    one_hot: bool = field(default=True, converter=_plain, validator=_flag)
    epochs: int = field(default=500, converter=_plain, validator=_count)
    patience: int | None = field(default=5, converter=_plain, validator=_count_or_none)
    restore_best_weights: bool = field(default=True, converter=_plain, validator=_flag)
    precision: str = field(default="float32", converter=_lower, validator=_one_of(PRECISIONS))

    def __attrs_post_init__(self) -> None:
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", DEFAULT_RATES[self.optimizer])


@attrs.frozen
class Input:
    """The images that the model gets.

    Attributes:
        colour: Colour images (three channels) instead of grayscale ones.
        layout: "channels_last", or "published": the study's reshape without a transpose, which scrambles the channels.
        scale: Divide pixels by 255.
        augmentation: "none", or "flip-shift": random left-right flips and shifts of up to one pixel, in training.

    Raises:
        ConfigError: A value is out of its range.
    """

    colour: bool = field(default=False, converter=_plain, validator=_flag)
    layout: str = field(default="channels_last", converter=_lower, validator=_one_of(LAYOUTS))
    scale: bool = field(default=True, converter=_plain, validator=_flag)
    augmentation: str = field(default="none", converter=_lower, validator=_one_of(AUGMENTATIONS))


@attrs.frozen
class Trial:
    """One full configuration. Trials with equal settings are equal, whatever their names are."""

    architecture: Architecture = field(factory=Architecture)
    training: Training = field(factory=Training)
    input: Input = field(factory=Input)

    def change(self, /, **settings: Any) -> "Trial":
        """Return this trial with some settings changed, each named by its field alone (`filters=`, `optimizer=`).

        A new optimizer without a learning rate gets its default rate.

        Raises:
            ConfigError: A setting does not exist, or a value is out of its range.
        """
        if "optimizer" in settings:
            settings = {"learning_rate": None, **settings}
        parts: dict[str, dict[str, Any]] = {}
        for name, value in settings.items():
            parts.setdefault(part_of(name), {})[name] = value
        return attrs.evolve(
            self, **{part: attrs.evolve(getattr(self, part), **values) for part, values in parts.items()}
        )

    def effective(self) -> "Trial":
        """Return the trial with a fixed value for each setting that has no effect in it.

        For example, a patience of at least `epochs` never ends a fit. Two trials with equal effective settings have
        equal results.
        """
        architecture, training = self.architecture, self.training
        changes: dict[str, Any] = {}
        if not any(architecture.dropout):
            changes["dropout"] = ()
        if not architecture.batch_norm:
            changes["batch_norm_momentum"] = Architecture().batch_norm_momentum
        if training.patience is not None and training.patience >= training.epochs:
            changes["patience"] = None
        if training.epochs == 1:
            changes["restore_best_weights"] = True
        if training.loss == SPARSE_LOSS:
            changes["one_hot"] = True
        if not self.input.colour:
            changes["layout"] = "channels_last"
        return self.change(**changes)

    def canonical(self) -> dict[str, Any]:
        """Return the settings as plain JSON values, from which the digest is made."""
        return dict(json.loads(json.dumps(attrs.asdict(self))))

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
    for setting in attrs.fields(kind)
}


def part_of(name: str) -> str:
    """Return which part of a trial has a setting: "architecture", "training" or "input".

    Raises:
        ConfigError: No part has it.
    """
    if name not in _PARTS:
        raise ConfigError(f"Expected one of the settings {', '.join(sorted(_PARTS))}. Received: {name!r}.")
    return _PARTS[name]


def require_settings(name: str, settings: object) -> None:
    """Require the settings of a trial, by their names.

    Raises:
        ConfigError: They are no mapping of names to values, or one does not exist or is out of its range.
    """
    if not isinstance(settings, Mapping) or not all(isinstance(setting, str) for setting in settings):
        raise ConfigError(
            f"Expected the settings of the trial {name!r} by their names, as {{'dense_units': 96}}. "
            f"Received: {settings!r}."
        )
    changes, rates = dict(settings), settings.get("dropout")
    if isinstance(rates, list | tuple) and len(rates) > 1:  # the number of blocks may be that of another stage
        changes.setdefault("filters", (1,) * (len(rates) - 1))
    Trial().change(**changes)
