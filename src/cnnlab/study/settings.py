"""The settings of a trial, validated.

A mistake of the published study is a value of one of these settings (`restore_best_weights=False`,
`layout="published"`, `scale=False`, `one_hot=False`), so no other module asks which protocol it runs.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import attrs
from attrs import field

from cnnlab.errors import ConfigError, did_you_mean
from cnnlab.study import fields
from cnnlab.study.own import OwnModel

DEFAULT_RATES = {"sgd": 0.01} | dict.fromkeys(("rmsprop", "adagrad", "adadelta", "adam", "adamax", "nadam"), 0.001)
"""Each optimizer's default learning rate, as in Keras 3 (and in Keras 2.6)."""
SPARSE_LOSS = "sparse_categorical_crossentropy"
ACTIVATIONS = ("relu", "tanh", "sigmoid")
PADDINGS = ("valid", "same")
LOSSES = (SPARSE_LOSS, "mean_squared_logarithmic_error", "mean_squared_error", "hinge", "kl_divergence")
LAYOUTS = ("channels_last", "published")
AUGMENTATIONS = ("none", "flip-shift", "flip-crop")
HEADS = ("dense", "average")
SCHEDULES = ("constant", "cosine", "one-cycle")
PRECISIONS = ("float32", "mixed_bfloat16")
_SETTLING_EPOCHS = 6  # after which the first values of batch normalisation's statistics have almost no weight


@attrs.frozen
class Architecture:
    """The layers of a CNN: blocks of convolutions, each followed by 2x2 max pooling, then a head and the output layer.

    Attributes:
        filters: Filters of each block's 3x3 convolutions, one number per block.
        convs_per_block: Convolutions before each pooling.
        padding: Padding of every convolution.
        dropout: Rates: one after each pooling and one before the output layer; an empty list for no dropout. One number
            is the rate at each of these places.
        batch_norm: Batch normalisation after every convolution and the hidden dense layer.
        batch_norm_momentum: Weight of the past in its moving statistics; None for one that suits the number of steps.
        head: What follows the blocks. "dense": flatten, and the hidden dense layer. "average": the mean of each channel
            over the image (global average pooling; Lin, Chen and Yan 2014, arXiv:1312.4400), no hidden dense layer.
        dense_units: Units of the hidden dense layer.
        conv_activation: Activation of the convolutions.
        dense_activation: Activation of the hidden dense layer.

    Raises:
        ConfigError: A value is out of its range.
    """

    filters: tuple[int, ...] = field(default=(32, 64, 64), converter=fields.to_tuple, validator=fields.counts)
    convs_per_block: int = field(default=1, converter=fields.plain, validator=fields.count)
    padding: str = field(default="valid", converter=fields.lower, validator=fields.one_of(PADDINGS))
    dropout: tuple[float, ...] = field(default=(), converter=fields.to_rates, validator=fields.rates)
    batch_norm: bool = field(default=False, converter=fields.plain, validator=fields.flag)
    batch_norm_momentum: float | None = field(default=None, converter=fields.decimal, validator=fields.fraction_or_none)
    head: str = field(default="dense", converter=fields.lower, validator=fields.one_of(HEADS))
    dense_units: int = field(default=64, converter=fields.plain, validator=fields.count)
    conv_activation: str = field(default="relu", converter=fields.lower, validator=fields.one_of(ACTIVATIONS))
    dense_activation: str = field(default="relu", converter=fields.lower, validator=fields.one_of(ACTIVATIONS))

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.dropout, tuple):
            object.__setattr__(self, "dropout", (self.dropout,) * (len(self.filters) + 1))
        if self.dropout and len(self.dropout) != len(self.filters) + 1:
            raise ConfigError(
                f"Expected dropout to be empty or to have {len(self.filters) + 1} rates, one for each of "
                f"{len(self.filters)} poolings and one before the output layer. Received: {self.dropout!r}."
            )


@attrs.frozen
class Training:
    """How a model is compiled and fitted.

    Attributes:
        optimizer: What changes the weights at each step.
        learning_rate: Step size; None becomes the optimizer's default, so that both give equal trials.
        schedule: How the step size changes over the steps of all epochs. "cosine": it falls to 0 along half a cosine
            (Loshchilov and Hutter 2017, arXiv:1608.03983). "one-cycle": before that, it rises from 0 for a fifth of the
            steps (after Smith and Topin 2019, arXiv:1708.07120).
        momentum: Of SGD, with Nesterov's correction (Sutskever and others 2013); 0 for none.
        weight_decay: Share of each weight that a step of size 1 takes away (decoupled; Loshchilov and Hutter 2019,
            arXiv:1711.05101).
        label_smoothing: Share of a label that is spread evenly over all classes in training, with the cross-entropy
            (Szegedy and others 2016, arXiv:1512.00567).
        averaging: Weight of the past in a moving average of the weights, which is scored in place of the weights of the
            last step (Polyak and Juditsky 1992, doi:10.1137/0330046); 0 for none.
        batch_size: Images per step.
        loss: What the fit minimises.
        one_hot: Give one-hot labels to the losses that need them. The published study gave every loss integers.
        epochs: Maximum number of epochs.
        patience: Epochs without a better val_loss before the fit ends; None always runs all epochs.
        restore_best_weights: Score the weights of the best epoch. The published study scored those of the last one.
        precision: Of the numbers in the fit. With mixed_bfloat16, activations have 16 bits and weights 32.

    Raises:
        ConfigError: A value is out of its range.
    """

    optimizer: str = field(default="adam", converter=fields.lower, validator=fields.one_of(DEFAULT_RATES))
    learning_rate: float | None = field(default=None, converter=fields.decimal, validator=fields.rate_or_none)
    schedule: str = field(default="constant", converter=fields.lower, validator=fields.one_of(SCHEDULES))
    momentum: float = field(default=0.0, converter=fields.decimal, validator=fields.share)
    weight_decay: float = field(default=0.0, converter=fields.decimal, validator=fields.share)
    label_smoothing: float = field(default=0.0, converter=fields.decimal, validator=fields.share)
    averaging: float = field(default=0.0, converter=fields.decimal, validator=fields.share)
    batch_size: int = field(default=64, converter=fields.plain, validator=fields.count)
    loss: str = field(default=SPARSE_LOSS, converter=fields.lower, validator=fields.one_of(LOSSES))
    one_hot: bool = field(default=True, converter=fields.plain, validator=fields.flag)
    epochs: int = field(default=500, converter=fields.plain, validator=fields.count)
    patience: int | None = field(default=5, converter=fields.plain, validator=fields.count_or_none)
    restore_best_weights: bool = field(default=True, converter=fields.plain, validator=fields.flag)
    precision: str = field(default="float32", converter=fields.lower, validator=fields.one_of(PRECISIONS))

    def __attrs_post_init__(self) -> None:
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", DEFAULT_RATES[self.optimizer])


@attrs.frozen
class Input:
    """The images that the model gets.

    Attributes:
        colour: Colour images (three channels) instead of grayscale ones.
        layout: How colour images are read. "published" is the study's reshape without a transpose, which scrambles the
            channels.
        scale: Divide pixels by 255.
        augmentation: Changes of the training images. "flip-shift": random left-right flips and shifts of up to one
            pixel. "flip-crop": random left-right flips, and a random part of the image with a border of 4 black pixels.

    Raises:
        ConfigError: A value is out of its range.
    """

    colour: bool = field(default=False, converter=fields.plain, validator=fields.flag)
    layout: str = field(default="channels_last", converter=fields.lower, validator=fields.one_of(LAYOUTS))
    scale: bool = field(default=True, converter=fields.plain, validator=fields.flag)
    augmentation: str = field(default="none", converter=fields.lower, validator=fields.one_of(AUGMENTATIONS))


_PARTS = {
    setting.name: part for part, kind in (("training", Training), ("input", Input)) for setting in attrs.fields(kind)
}
_LAYERS = tuple(setting.name for setting in attrs.fields(Architecture))


def _require_other_names(_: object, __: object, model: Architecture | OwnModel) -> None:
    """Require that no parameter of an own model has the name of another setting."""
    if isinstance(model, OwnModel) and (names := [name for name in model.parameters if name in _PARTS]):
        raise ConfigError(
            f"Expected other names for the parameters of {model.function} than those of cnnlab's settings. "
            f"Received: {', '.join(names)}. Rename them in {model.file}."
        )


@attrs.frozen
class Trial:
    """One full configuration. Trials with equal settings are equal, whatever their names are."""

    architecture: Architecture | OwnModel = field(factory=Architecture, validator=_require_other_names)
    training: Training = field(factory=Training)
    input: Input = field(factory=Input)

    def change(self, /, **settings: Any) -> "Trial":
        """Return this trial with some settings changed, each named by its field alone (`filters=`, `optimizer=`).

        The parameters of an own model are settings too. A new optimizer without a learning rate gets its default rate.

        Raises:
            ConfigError: A setting does not exist, or a value is out of its range.
        """
        if "optimizer" in settings:
            settings = {"learning_rate": None, **settings}
        parts: dict[str, dict[str, Any]] = {}
        for name, value in settings.items():
            parts.setdefault(self._part_of(name), {})[name] = value
        return attrs.evolve(self, **{part: _change(getattr(self, part), values) for part, values in parts.items()})

    def _part_of(self, name: str) -> str:
        """Return which part of the trial has a setting.

        Raises:
            ConfigError: No part has it.
        """
        model = self.architecture
        layers = model.parameters if isinstance(model, OwnModel) else _LAYERS
        if name in _PARTS:
            return _PARTS[name]
        if name in layers or (isinstance(model, OwnModel) and model.takes(name)):
            return "architecture"
        names = sorted((*layers, *_PARTS))
        raise ConfigError(
            f"Expected one of the settings {', '.join(names)}. Received: {name!r}.{did_you_mean(name, names)}"
        )

    def for_images(self, n_train: int) -> "Trial":
        """Return this trial as it is fitted with a number of training images: without a momentum of None.

        Batch normalisation's moving statistics start at 0 and 1, which have a weight of momentum ** steps after some
        steps. The usual patience of 5 ends a fit after 6 epochs at the earliest. With a momentum of 1 - 10 / steps of
        6 epochs, the start then weighs about e ** -10. It is at least 0.5 and at most Keras's default, 0.99; PyTorch's
        is 0.9. It does not depend on epochs and patience, so that a stage about these changes nothing else.
        """
        model = self.architecture
        if isinstance(model, OwnModel) or not model.batch_norm or model.batch_norm_momentum is not None:
            return self
        steps = _SETTLING_EPOCHS * math.ceil(n_train / self.training.batch_size)
        return self.change(batch_norm_momentum=round(min(0.99, max(0.5, 1 - 10 / steps)), 3))

    def effective(self) -> "Trial":
        """Return the trial with a fixed value for each setting that has no effect in it.

        For example, a patience of at least `epochs` never ends a fit. Two trials with equal effective settings have
        equal results.
        """
        model, training = self.architecture, self.training
        changes: dict[str, Any] = {}
        if isinstance(model, Architecture) and not any(model.dropout):
            changes["dropout"] = ()
        if isinstance(model, Architecture) and not model.batch_norm:
            changes["batch_norm_momentum"] = None
        if training.patience is not None and training.patience >= training.epochs:
            changes["patience"] = None
        if training.epochs == 1:
            changes["restore_best_weights"] = True
        if training.loss == SPARSE_LOSS:
            changes["one_hot"] = True
        else:
            changes["label_smoothing"] = 0.0
        if training.optimizer != "sgd":
            changes["momentum"] = 0.0
        if isinstance(model, Architecture) and model.head == "average":
            changes |= {"dense_units": Architecture().dense_units, "dense_activation": Architecture().dense_activation}
        if not self.input.colour:
            changes["layout"] = "channels_last"
        return self.change(**changes)

    def canonical(self) -> dict[str, Any]:
        """Return the settings as plain JSON values, from which the digest is made."""
        model = self.architecture
        layers = model.canonical() if isinstance(model, OwnModel) else attrs.asdict(model)
        form = {"architecture": layers, "training": attrs.asdict(self.training), "input": attrs.asdict(self.input)}
        return dict(json.loads(json.dumps(form)))

    @classmethod
    def from_canonical(cls, form: Mapping[str, Any]) -> "Trial":
        """Rebuild a trial from `canonical()`; an own model can then be shown and compared, but not built.

        Raises:
            ConfigError: A setting is unknown or out of its range.
        """
        try:
            layers = form["architecture"]
            model = OwnModel.from_canonical(layers) if "function" in layers else Architecture(**layers)
            return cls(model, Training(**form["training"]), Input(**form["input"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"Expected the settings of a trial. Received: {form!r} ({error}).") from error


def _change(part: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(part, OwnModel):
        return part.change(**values)
    if "filters" in values and len(set(getattr(part, "dropout", ()))) == 1:  # one rate everywhere, also in new blocks
        values = {"dropout": part.dropout[0], **values}
    return attrs.evolve(part, **values)


def require_settings(name: str, settings: object, trial: Trial | None = None) -> None:
    """Require the settings of a trial, by their names.

    Args:
        name: The trial's name.
        settings: Its settings.
        trial: The trial that they change, which may have an own model.

    Raises:
        ConfigError: They are no mapping of names to values, or one does not exist or is out of its range.
    """
    if not isinstance(settings, Mapping) or not all(isinstance(setting, str) for setting in settings):
        raise ConfigError(
            f"Expected the settings of the trial {name!r} by their names, as {{'dense_units': 96}}. "
            f"Received: {settings!r}."
        )
    trial, changes, rates = trial or Trial(), dict(settings), settings.get("dropout")
    if isinstance(trial.architecture, Architecture) and isinstance(rates, list | tuple) and len(rates) > 1:
        changes.setdefault("filters", (1,) * (len(rates) - 1))  # the number of blocks may be that of another stage
    trial.change(**changes)
