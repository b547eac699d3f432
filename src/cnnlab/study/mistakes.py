"""The published study's mistakes: each as the model without it and the same model with it."""

from dataclasses import dataclass

from cnnlab.study.plan import PROTOCOLS, Profile, StageTrial, limit_epochs, published_trial
from cnnlab.study.settings import Trial
from cnnlab.study.stages import PUBLISHED_RATE, TrialSpec

ALL_MISTAKES = "mistakes"  # in place of a stage's name: the runs of all mistakes
_BEST_RATE = 0.001  # the learning rate with the highest score in the published study
_SMALL_FILTERS = (16, 32, 64)  # in profiles for a CPU; the study's 32-64-128 would take four times as long


@dataclass(frozen=True)
class Mistake:
    """A mistake of the published study.

    Attributes:
        name: Its identifier.
        title: Its heading.
        description: What the study did, and how it affects the result.
        trials: Changes to the model of `mistake_model`: first the trial without the mistake, then with it. Empty if
            the mistake changes no result.
    """

    name: str
    title: str
    description: str
    trials: tuple[TrialSpec, ...] = ()


MISTAKES: tuple[Mistake, ...] = (
    Mistake(
        name="dropout-tied",
        title="One dropout rate in all four places",
        description="The code of CNN-4 takes four dropout rates but uses the first one four times. So the five trials "
        "are only three models, and the selected rates 0.3-0.4-0.5-0.3 were not trained in that stage.",
        trials=(TrialSpec("0.3-0.4-0.5-0.3", {}), TrialSpec("0.3 everywhere", {"dropout": (0.3, 0.3, 0.3, 0.3)})),
    ),
    Mistake(
        name="last-weights",
        title="The last weights instead of the best ones",
        description="Early stopping waits five epochs for a better validation loss, but does not restore the best "
        "weights. The study scored the model after five epochs without progress.",
        trials=(TrialSpec("corrected", {}), TrialSpec("last weights", {"restore_best_weights": False})),
    ),
    Mistake(
        name="sparse-loss-mse",
        title="Integer labels for the mean squared error",
        description="Mean squared error, mean squared logarithmic error, hinge and KL divergence need one-hot labels. "
        "The study gave them class numbers, so each of the ten outputs is trained to equal the class number.",
        trials=(
            TrialSpec("one-hot labels", {"loss": "mean_squared_error"}),
            TrialSpec("integer labels", {"loss": "mean_squared_error", "one_hot": False}),
        ),
    ),
    Mistake(
        name="sparse-loss-kl",
        title="Integer labels for the KL divergence",
        description="With one-hot labels, KL divergence equals cross-entropy. So the study's best loss and one of its "
        "worst are the same loss.",
        trials=(
            TrialSpec("cross-entropy", {}),
            TrialSpec("KL divergence, integer labels", {"loss": "kl_divergence", "one_hot": False}),
        ),
    ),
    Mistake(
        name="loss-batch",
        title="A batch size of 128 instead of the selected 32",
        description="The code of the loss stage shows a batch size of 32, but its steps per epoch are those of 128.",
        trials=(TrialSpec("corrected", {}), TrialSpec("batch size 128", {"batch_size": 128})),
    ),
    Mistake(
        name="aug-unused",
        title="Augmentation built but not used",
        description="The study built an image generator and showed its output, but trained on the original images.",
        trials=(TrialSpec("augmented", {"augmentation": "flip-shift"}), TrialSpec("not augmented", {})),
    ),
    Mistake(
        name="aug-confounded",
        title="Other settings changed together with augmentation",
        description="The fit without augmentation had a batch size of 128 and early stopping. The fit with "
        "augmentation had a batch size of 32 and a fixed number of epochs. Neither fit augmented any image, so their "
        "difference is not an effect of augmentation.",
        trials=(
            TrialSpec("the study's with", {"epochs": 50, "patience": None}),
            TrialSpec("the study's without", {"batch_size": 128}),
        ),
    ),
    Mistake(
        name="colour",
        title="Scrambled and unscaled colour images",
        description="A row of CIFAR-10 contains all red values, then all green ones, then all blue ones. The study "
        "reshaped it without a transpose, so neighbouring pixels became channels and each image became nine small, "
        "nearly gray copies. The pixels were not scaled either: they stayed between 0 and 255.",
        trials=(
            TrialSpec("corrected", {"colour": True}),
            TrialSpec("scrambled", {"colour": True, "layout": "published"}),
            TrialSpec("unscaled", {"colour": True, "scale": False}),
            TrialSpec("both", {"colour": True, "layout": "published", "scale": False}),
        ),
    ),
    Mistake(
        name="misnamed-choice",
        title="Another activation in the text than in the code",
        description="The text selects sigmoid activations. The code uses relu in the convolutions and tanh in the "
        "dense layer.",
        trials=(
            TrialSpec("relu/tanh", {}),
            TrialSpec("sigmoid/sigmoid", {"conv_activation": "sigmoid", "dense_activation": "sigmoid"}),
        ),
    ),
    Mistake(
        name="chosen-against-rule",
        title="A learning rate selected by eye",
        description=f"The learning rate {_BEST_RATE} scored higher, but the study selected {PUBLISHED_RATE} because "
        "its curves looked better.",
        trials=(TrialSpec(str(_BEST_RATE), {}), TrialSpec(str(PUBLISHED_RATE), {"learning_rate": PUBLISHED_RATE})),
    ),
    Mistake(
        name="shift-unit",
        title="A shift range of 1.0",
        description="A range of 1.0 means one pixel, not the full width. The generator was not used, so no result "
        "changes.",
    ),
    Mistake(
        name="label-encoder",
        title="Labels encoded separately for training and test",
        description="The two encodings are equal only if every class occurs in both parts. In CIFAR-10 this is so, and "
        "no result changes.",
    ),
)
"""Selecting by one run and by its test score are mistakes too, but not settings of a fit: see `evidence.optimism`."""


def mistake_model(profile: Profile) -> Trial:
    """Return the model to which the mistakes are added: the study's CNN-8 as intended, under the corrected protocol.

    Its learning rate is the one with the highest score; that the study selected another is one of the mistakes.
    """
    trial = published_trial("augmentation", profile, PROTOCOLS["corrected"]).change(learning_rate=_BEST_RATE)
    return trial if profile.expensive else trial.change(filters=_SMALL_FILTERS)


def mistake_trials(mistake: Mistake, profile: Profile) -> dict[str, StageTrial]:
    """Return a mistake's trials by their names, the one without the mistake first."""
    model = mistake_model(profile)
    return {
        trial.name: StageTrial(
            name=f"{mistake.name}: {trial.name}",
            settings=model.change(**limit_epochs(trial.changes, profile)),
            seeds=profile.seed_numbers,
        )
        for trial in mistake.trials
    }
