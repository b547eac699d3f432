"""The stages of the study as one ordered table. Adding a stage is adding a row to `STAGES`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cnnlab.errors import lookup

UNCHANGED = "unchanged"
"""Name of the trial that keeps what the stage before handed on."""


@dataclass(frozen=True)
class TrialSpec:
    """One trial of a stage: its name and the settings it changes.

    An `expensive` one costs 4 to 16 times the study's usual fit, and is left out of the profiles made for a CPU.
    """

    name: str
    changes: Mapping[str, Any]
    expensive: bool = False


@dataclass(frozen=True)
class Stage:
    """One tuning step: a question, the trials that answer it, and what the published study picked.

    Attributes:
        name: Its identifier, as in file names.
        cnn: Number of the CNN design it makes, 1 to 9.
        title: Its heading.
        question: What it asks, in a sentence.
        why: Why the answer matters.
        axis: Settings it varies.
        trials: Its trials.
        published_choice: Name of the published study's choice; "" for a stage that it did not have.
        keeps_incumbent: Whether what the stage before handed on is a trial too.
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
        """Whether it is run on the colour images."""
        return "colour" in self.axis


def _over(setting: str, values: Mapping[str, Any], **more: Any) -> tuple[TrialSpec, ...]:
    return tuple(TrialSpec(name, {setting: value, **more}) for name, value in values.items())


STAGES: tuple[Stage, ...] = (
    Stage(
        "base",
        1,
        "Base model",
        "How well does a plain small CNN do?",
        "Every later claim of progress is measured against this model: three convolutions, each followed by pooling, "
        "and one hidden dense layer. Nothing is selected here.",
        (),
        (TrialSpec("base", {}),),
        "base",
        keeps_incumbent=False,
    ),
    Stage(
        "depth",
        2,
        "Convolutions per block",
        "Does a second convolution before each pooling help?",
        "Two stacked 3x3 convolutions see a 5x5 neighbourhood with fewer weights than one 5x5 convolution and put a "
        "second nonlinearity between them. The image edges are kept (same padding), or the blocks would run out of "
        "pixels.",
        ("convs_per_block", "padding"),
        (TrialSpec("two", {"convs_per_block": 2, "padding": "same"}),),
        "two",
    ),
    Stage(
        "filters",
        3,
        "Filters",
        "How many filters should each block have?",
        "Filters are what a convolution can tell apart. Their number sets capacity and cost alike: doubling every "
        "block's filters takes four times the arithmetic.",
        ("filters",),
        (
            TrialSpec("16-32-64", {"filters": (16, 32, 64)}),
            TrialSpec("32-64-128", {"filters": (32, 64, 128)}),
            TrialSpec("64-128-256", {"filters": (64, 128, 256)}, expensive=True),
            TrialSpec("128-256-512", {"filters": (128, 256, 512)}, expensive=True),
        ),
        "32-64-128",
    ),
    Stage(
        "dropout",
        4,
        "Dropout",
        "Which dropout rates close the gap between training and validation?",
        "Dropout silences a random share of units in each training step, so that no unit can rely on another. Too "
        "little leaves overfitting, too much starves the fit. The rates stand after the three poolings and the dense "
        "layer.",
        ("dropout",),
        _over(
            "dropout",
            {
                "0.5-0.5-0.5-0.5": (0.5, 0.5, 0.5, 0.5),
                "0.2-0.3-0.4-0.5": (0.2, 0.3, 0.4, 0.5),
                "0.3-0.4-0.5-0.6": (0.3, 0.4, 0.5, 0.6),
                "0.2-0.3-0.4-0.3": (0.2, 0.3, 0.4, 0.3),
                "0.3-0.4-0.5-0.3": (0.3, 0.4, 0.5, 0.3),
            },
        ),
        "0.3-0.4-0.5-0.3",
    ),
    Stage(
        "batchnorm",
        5,
        "Batch normalisation",
        "Does normalising the activations help?",
        "Batch normalisation gives each channel zero mean and unit variance over the batch, which usually allows "
        "faster and steadier training. It stands after every convolution and after the hidden dense layer.",
        ("batch_norm",),
        (TrialSpec("batch normalisation", {"batch_norm": True}),),
        "batch normalisation",
    ),
    Stage(
        "dense",
        6,
        "Dense units",
        "How wide should the hidden dense layer be?",
        "The dense layer turns the last feature maps into class evidence. It holds a large share of the weights, so "
        "its width is where parameters are saved or spent.",
        ("dense_units",),
        _over("dense_units", {str(units): units for units in (32, 64, 128, 256, 512)}),
        "128",
    ),
    Stage(
        "activation",
        7,
        "Activations",
        "Which activations should the convolutions and the dense layer use?",
        "Saturating activations (tanh, sigmoid) shrink the gradients that reach the early layers; relu does not, but "
        "its outputs are unbounded. The first of each pair is the convolutions', the second the dense layer's.",
        ("conv_activation", "dense_activation"),
        tuple(
            TrialSpec(f"{conv}/{dense}", {"conv_activation": conv, "dense_activation": dense})
            for conv, dense in (("relu", "relu"), ("tanh", "tanh"), ("sigmoid", "sigmoid"), ("relu", "tanh"))
        ),
        "relu/tanh",
    ),
    Stage(
        "optimizer",
        8,
        "Optimizer",
        "Which optimizer, at its default learning rate?",
        "Optimizers differ in how they scale each weight's step. At default rates the comparison is as much one of "
        "defaults as of methods; the next stage tunes the rate of the winner alone.",
        ("optimizer", "learning_rate"),
        _over(
            "optimizer", {name: name for name in ("sgd", "rmsprop", "adagrad", "adadelta", "adam", "adamax", "nadam")}
        ),
        "adam",
    ),
    Stage(
        "learning-rate",
        8,
        "Learning rate",
        "Which learning rate for the selected optimizer?",
        "The rate is often the setting that matters most: too high and the loss jumps about or diverges, too low and "
        "the fit ends, or its budget does, before it has learned.",
        ("learning_rate",),
        _over(
            "learning_rate",
            {f"{rate:g}": rate for rate in (0.1, 0.01, 0.001, 0.0001, 0.0002, 0.0003, 0.0004, 0.0005)},
        ),
        "0.0004",
    ),
    Stage(
        "batch-size",
        8,
        "Batch size",
        "How many images should a step average over?",
        "Small batches take more and noisier steps per epoch, large ones use the hardware better. The number of "
        "epochs stays the same, so a smaller batch also means more updates.",
        ("batch_size",),
        _over("batch_size", {str(size): size for size in (16, 32, 64, 128)}),
        "32",
    ),
    Stage(
        "loss",
        8,
        "Loss",
        "Which loss should the fit minimise?",
        "Cross-entropy is the likelihood of the labels. The other losses answer slightly different questions, and "
        "those that compare whole probability vectors need one-hot labels.",
        ("loss",),
        _over(
            "loss",
            {
                name: name
                for name in (
                    "sparse_categorical_crossentropy",
                    "mean_squared_logarithmic_error",
                    "mean_squared_error",
                    "hinge",
                    "kl_divergence",
                )
            },
        ),
        "sparse_categorical_crossentropy",
    ),
    Stage(
        "combination",
        8,
        "The choices so far",
        "What do all choices so far give together?",
        "One model with every choice in place, before the training images are touched. Under the corrected protocol "
        "it has been run already and nothing is fitted again.",
        (),
        (),
        UNCHANGED,
    ),
    Stage(
        "augmentation",
        9,
        "Augmentation",
        "Do random flips and one-pixel shifts of the training images help?",
        "Augmentation shows the network variations that leave the class as it is, which acts as more data. Whether a "
        "variation leaves the class as it is depends on the images: a mirrored car is a car, a mirrored digit may be "
        "none.",
        ("augmentation",),
        _over("augmentation", {name: name for name in ("none", "flip-shift")}),
        "flip-shift",
    ),
    Stage(
        "colour",
        9,
        "Colour",
        "What does the grayscale network do on the colour images?",
        "The network that was tuned on grayscale images is fitted to the colour images, without and with "
        "augmentation. Only its first layer grows.",
        ("colour", "augmentation"),
        (
            TrialSpec("without augmentation", {"colour": True, "augmentation": "none"}),
            TrialSpec("flip-shift", {"colour": True, "augmentation": "flip-shift"}),
        ),
        "without augmentation",
        keeps_incumbent=False,
    ),
)


def find_stage(name: str) -> Stage:
    """Return a stage by its name.

    Raises:
        ConfigError: No such stage.
    """
    return lookup({stage.name: stage for stage in STAGES}, name, "stage")
