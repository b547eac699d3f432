"""The stages of the study as one ordered table. To add a stage, add a row to `STAGES`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnnlab.errors import ConfigError, lookup, require_name
from cnnlab.study.settings import require_settings

UNCHANGED = "unchanged"  # name of the incumbent if no trial of the stage equals it
PUBLISHED_RATE = 0.0004  # the learning rate that the published study chose


@dataclass(frozen=True)
class TrialSpec:
    """One trial of a stage.

    Attributes:
        name: Its name in the stage.
        changes: The settings in which it differs from the incumbent.
        expensive: It costs 4 to 16 times the study's usual fit; profiles for a CPU skip it.
    """

    name: str
    changes: Mapping[str, Any]
    expensive: bool = False


@dataclass(frozen=True)
class Stage:
    """One tuning step: a question, the trials that answer it, and the published study's choice.

    Attributes:
        name: Its identifier, as in file names.
        cnn: Number of the CNN design that it belongs to, 1 to 9.
        title: Its heading.
        question: Its question, in one sentence.
        why: Why the answer matters.
        axis: The settings that it varies.
        trials: Its trials.
        published_choice: Name of the trial that the published study chose; "" for a stage that it did not have.
        keeps_incumbent: Whether the incumbent is a trial too.
    """

    name: str
    cnn: int
    title: str
    question: str
    why: str
    axis: tuple[str, ...]
    trials: tuple[TrialSpec, ...]
    published_choice: str = ""
    keeps_incumbent: bool = True

    @property
    def on_colour(self) -> bool:
        """Whether it uses the colour images."""
        return "colour" in self.axis


def _values(setting: str, *values: Any, expensive: bool = False) -> tuple[TrialSpec, ...]:
    """Return a trial for each value of a setting, with the value as its name: (1, 2) is "1-2"."""
    names = ["-".join(map(str, value)) if isinstance(value, tuple) else str(value) for value in values]
    return tuple(TrialSpec(name, {setting: value}, expensive) for name, value in zip(names, values, strict=True))


STAGES: tuple[Stage, ...] = (
    Stage(
        name="base",
        cnn=1,
        title="Base model",
        question="What does a small plain CNN score?",
        why="This model is the baseline: three convolutions, each followed by pooling, and one hidden dense layer. "
        "Nothing is selected here.",
        axis=(),
        trials=(TrialSpec("base", {}),),
        published_choice="base",
        keeps_incumbent=False,
    ),
    Stage(
        name="depth",
        cnn=2,
        title="Convolutions per block",
        question="Does a second convolution before each pooling help?",
        why="Two 3x3 convolutions see 5x5 pixels. They have fewer weights than one 5x5 convolution and one more "
        "nonlinearity. The padding changes to same, because the images would become too small otherwise.",
        axis=("convs_per_block", "padding"),
        trials=(TrialSpec("two", {"convs_per_block": 2, "padding": "same"}),),
        published_choice="two",
    ),
    Stage(
        name="filters",
        cnn=3,
        title="Filters",
        question="How many filters should each block have?",
        why="With more filters a convolution can detect more patterns, but it also costs more: twice the filters in "
        "every block take four times the arithmetic.",
        axis=("filters",),
        trials=(
            *_values("filters", (16, 32, 64), (32, 64, 128)),
            *_values("filters", (64, 128, 256), (128, 256, 512), expensive=True),
        ),
        published_choice="32-64-128",
    ),
    Stage(
        name="dropout",
        cnn=4,
        title="Dropout",
        question="Which dropout rates reduce overfitting most?",
        why="Dropout sets a random share of the units to zero in each training step, so that no unit can rely on "
        "another. Rates that are too low leave overfitting; rates that are too high prevent learning. The four rates "
        "are those after the three poolings and after the dense layer.",
        axis=("dropout",),
        trials=_values(
            "dropout",
            (0.5, 0.5, 0.5, 0.5),
            (0.2, 0.3, 0.4, 0.5),
            (0.3, 0.4, 0.5, 0.6),
            (0.2, 0.3, 0.4, 0.3),
            (0.3, 0.4, 0.5, 0.3),
        ),
        published_choice="0.3-0.4-0.5-0.3",
    ),
    Stage(
        name="batchnorm",
        cnn=5,
        title="Batch normalisation",
        question="Does batch normalisation help?",
        why="Batch normalisation gives each channel zero mean and unit variance over the batch. Training is usually "
        "faster and more stable with it. It follows every convolution and the hidden dense layer.",
        axis=("batch_norm",),
        trials=(TrialSpec("batch normalisation", {"batch_norm": True}),),
        published_choice="batch normalisation",
    ),
    Stage(
        name="dense",
        cnn=6,
        title="Dense units",
        question="How many units should the hidden dense layer have?",
        why="The dense layer combines the last feature maps. It has a large share of the weights, so its size "
        "determines the size of the model.",
        axis=("dense_units",),
        trials=_values("dense_units", 32, 64, 128, 256, 512),
        published_choice="128",
    ),
    Stage(
        name="activation",
        cnn=7,
        title="Activations",
        question="Which activations should the convolutions and the dense layer have?",
        why="tanh and sigmoid saturate, which makes the gradients of early layers small. relu does not, but its output "
        "is unbounded. The first name of a pair is for the convolutions, the second for the dense layer.",
        axis=("conv_activation", "dense_activation"),
        trials=tuple(
            TrialSpec(f"{conv}/{dense}", {"conv_activation": conv, "dense_activation": dense})
            for conv, dense in (("relu", "relu"), ("tanh", "tanh"), ("sigmoid", "sigmoid"), ("relu", "tanh"))
        ),
        published_choice="relu/tanh",
    ),
    Stage(
        name="optimizer",
        cnn=8,
        title="Optimizer",
        question="Which optimizer is best at its default learning rate?",
        why="Optimizers differ in how they scale the step of each weight. This stage compares their default rates as "
        "much as the methods. The next stage tunes the rate of the selected optimizer only.",
        axis=("optimizer", "learning_rate"),
        trials=_values("optimizer", "sgd", "rmsprop", "adagrad", "adadelta", "adam", "adamax", "nadam"),
        published_choice="adam",
    ),
    Stage(
        name="learning-rate",
        cnn=8,
        title="Learning rate",
        question="Which learning rate should the selected optimizer have?",
        why="The learning rate is often the most important setting. If it is too high, the loss oscillates or grows. "
        "If it is too low, the fit ends before the model has learned.",
        axis=("learning_rate",),
        trials=_values("learning_rate", 0.1, 0.01, 0.001, 0.0001, 0.0002, 0.0003, PUBLISHED_RATE, 0.0005),
        published_choice=str(PUBLISHED_RATE),
    ),
    Stage(
        name="batch-size",
        cnn=8,
        title="Batch size",
        question="How many images should a step average over?",
        why="Small batches give more and noisier steps per epoch. Large batches use the hardware better. The number of "
        "epochs is the same, so a smaller batch also means more updates.",
        axis=("batch_size",),
        trials=_values("batch_size", 16, 32, 64, 128),
        published_choice="32",
    ),
    Stage(
        name="loss",
        cnn=8,
        title="Loss",
        question="Which loss should the fit minimise?",
        why="Cross-entropy is the negative log-likelihood of the labels. The other losses measure other errors. Those "
        "that compare whole probability vectors need one-hot labels.",
        axis=("loss",),
        trials=_values(
            "loss",
            "sparse_categorical_crossentropy",
            "mean_squared_logarithmic_error",
            "mean_squared_error",
            "hinge",
            "kl_divergence",
        ),
        published_choice="sparse_categorical_crossentropy",
    ),
    Stage(
        name="combination",
        cnn=8,
        title="All selections so far",
        question="What does the model with all selections so far score?",
        why="This is the model before augmentation. Under the corrected protocol it has been run already, so there are "
        "no new runs.",
        axis=(),
        trials=(),
        published_choice=UNCHANGED,
    ),
    Stage(
        name="augmentation",
        cnn=9,
        title="Augmentation",
        question="Do random flips and one-pixel shifts of the training images help?",
        why="Augmentation changes images in ways that should not change their class, which acts like more data. "
        "Whether the class stays the same depends on the images: a mirrored car is a car, a mirrored 3 is not a 3.",
        axis=("augmentation",),
        trials=_values("augmentation", "none", "flip-shift"),
        published_choice="flip-shift",
    ),
    Stage(
        name="colour",
        cnn=9,
        title="Colour",
        question="What does the grayscale network score on the colour images?",
        why="The network that was tuned on grayscale images is trained on the colour images, without and with "
        "augmentation. Only its first layer becomes larger.",
        axis=("colour", "augmentation"),
        trials=(
            TrialSpec("without augmentation", {"colour": True, "augmentation": "none"}),
            TrialSpec("flip-shift", {"colour": True, "augmentation": "flip-shift"}),
        ),
        published_choice="without augmentation",
        keeps_incumbent=False,
    ),
)


def find_stage(name: str) -> Stage:
    """Return a stage by its name; raise ConfigError if there is none."""
    return lookup({stage.name: stage for stage in STAGES}, name, "stage")


def check_stages(stages: Sequence[Stage], taken: Sequence[str] = ()) -> None:
    """Check the names and the settings in a table of stages, before anything is run.

    Args:
        stages: The stages.
        taken: Names that no stage may have.

    Raises:
        ConfigError: A stage or a trial has no usable name or one that is taken; or a trial has a setting that does not
            exist or is out of its range, or sets `colour` in a stage whose axis lacks it.
    """
    names = [stage.name for stage in stages]
    for stage in stages:
        if not isinstance(stage.name, str) or not re.fullmatch(r"[\w.-]+", stage.name):
            raise ConfigError(
                "Expected only letters, digits, hyphens, dots and underscores in the name of a stage. "
                f"Received: {stage.name!r}."
            )
        if names.count(stage.name) > 1 or stage.name in taken:
            raise ConfigError(f"Expected a name that no other stage or chapter has. Received: {stage.name!r}.")
        trials = [trial.name for trial in stage.trials]
        for trial in stage.trials:
            require_name(f"a trial of {stage.name}", trial.name)
            if trials.count(trial.name) > 1 or trial.name == UNCHANGED:
                raise ConfigError(f"Expected a name that no other trial of {stage.name} has. Received: {trial.name!r}.")
            require_settings(trial.name, trial.changes)
            if "colour" in trial.changes and not stage.on_colour:
                raise ConfigError(
                    f"Expected 'colour' in the axis of {stage.name}, because its trial {trial.name!r} sets it. "
                    f"Received: the axis {stage.axis!r}."
                )
