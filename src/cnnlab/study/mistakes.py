"""The published study's mistakes, each as the corrected model and the same with that one mistake put back."""

from dataclasses import dataclass

from cnnlab.study.plan import PROTOCOLS, Profile, StageTrial, published_trial, within
from cnnlab.study.settings import Trial
from cnnlab.study.stages import TrialSpec, find_stage


@dataclass(frozen=True)
class Mistake:
    """A mistake of the published study.

    Attributes:
        name: Its identifier.
        title: Its heading.
        what: What the study did, and what it does to the result.
        trials: What is changed in the model of `mistake_model`: first nothing that is wrong, then the mistake. None where no
            result changes.
    """

    name: str
    title: str
    what: str
    trials: tuple[TrialSpec, ...] = ()


RIGHT = "corrected"


MISTAKES: tuple[Mistake, ...] = (
    Mistake(
        "dropout-tied",
        "One dropout rate in all four places",
        "The builder of CNN-4 takes four dropout rates and uses the first one four times, so that two pairs of its "
        "five trials are the same model, and the selected rates 0.3-0.4-0.5-0.3 were never fitted in that stage.",
        (TrialSpec("0.3-0.4-0.5-0.3", {}), TrialSpec("0.3 everywhere", {"dropout": (0.3, 0.3, 0.3, 0.3)})),
    ),
    Mistake(
        "last-weights",
        "The last weights instead of the best ones",
        "Early stopping waits five epochs for a better validation loss and then leaves the model as it is by then: "
        "what was scored is the model after five epochs without progress.",
        (TrialSpec(RIGHT, {}), TrialSpec("last weights", {"restore_best_weights": False})),
    ),
    Mistake(
        "sparse-loss-mse",
        "Integer labels for the mean squared error",
        "Mean squared error, its logarithmic cousin, hinge and KL divergence need one-hot labels and were given class "
        "numbers, with which each of the ten outputs is pulled towards the number.",
        (
            TrialSpec("one-hot labels", {"loss": "mean_squared_error"}),
            TrialSpec("integer labels", {"loss": "mean_squared_error", "one_hot": False}),
        ),
    ),
    Mistake(
        "sparse-loss-kl",
        "Integer labels for the KL divergence",
        "With one-hot labels, KL divergence is cross-entropy: the study's best loss and one of its worst are the same.",
        (
            TrialSpec("cross-entropy", {}),
            TrialSpec("KL divergence, integer labels", {"loss": "kl_divergence", "one_hot": False}),
        ),
    ),
    Mistake(
        "loss-batch",
        "A batch size of 128 instead of the selected 32",
        "The code of the loss stage shows a batch size of 32; its steps per epoch are those of 128.",
        (TrialSpec(RIGHT, {}), TrialSpec("batch size 128", {"batch_size": 128})),
    ),
    Mistake(
        "aug-unused",
        "Augmentation built but not used",
        "The study built an image generator, showed what it does, and gave the plain images to the fit.",
        (TrialSpec("augmented", {"augmentation": "flip-shift"}), TrialSpec("not augmented", {})),
    ),
    Mistake(
        "aug-confounded",
        "Other settings beside augmentation",
        "The fit without augmentation had a batch size of 128 and early stopping, the one with it 32 and fixed epochs. "
        "No image was augmented in either, so whatever stands between them is not the effect of augmentation.",
        (
            TrialSpec("the study's with", {"epochs": 50, "patience": None}),
            TrialSpec("the study's without", {"batch_size": 128}),
        ),
    ),
    Mistake(
        "colour",
        "Scrambled and unscaled colour images",
        "A row of CIFAR-10 holds all reds, then all greens, then all blues. Reshaped without a transpose, neighbouring "
        "pixels become the channels, and the image nine small, nearly gray copies of itself. The pixels also stayed 0 "
        "to 255.",
        (
            TrialSpec(RIGHT, {"colour": True}),
            TrialSpec("scrambled", {"colour": True, "layout": "published"}),
            TrialSpec("unscaled", {"colour": True, "scale": False}),
            TrialSpec("both", {"colour": True, "layout": "published", "scale": False}),
        ),
    ),
    Mistake(
        "misnamed-choice",
        "Another activation in the text than in the code",
        "The text carries sigmoid activations forward, the code relu in the convolutions and tanh in the dense layer.",
        (
            TrialSpec("relu/tanh", {}),
            TrialSpec("sigmoid/sigmoid", {"conv_activation": "sigmoid", "dense_activation": "sigmoid"}),
        ),
    ),
    Mistake(
        "selected-against-rule",
        "A learning rate selected by eye",
        "The rate of 0.0004 was preferred to 0.001, which had scored higher, for the look of its curves.",
        (TrialSpec("0.001", {}), TrialSpec("0.0004", {"learning_rate": 0.0004})),
    ),
    Mistake(
        "shift-unit",
        "A shift range of 1.0",
        "It means one pixel, not the full width. The generator was never used, so no result hangs on it.",
    ),
    Mistake(
        "label-encoder",
        "Labels encoded separately for training and test",
        "Both encodings are the same as long as every class stands in both parts, as it does in CIFAR-10.",
    ),
)
"""The rows of the chapter on what each mistake cost. Choosing by one run, and by its test score, are no settings of a
fit; what they cost is worked out from all runs."""


ALL_MISTAKES = "mistakes"
"""What stands in place of a stage's name for the runs of all mistakes."""


NARROW = (16, 32, 64)
"""Filters of that model in profiles made for a CPU, where the study's 32-64-128 would take four times as long."""


def mistake_model(profile: Profile) -> Trial:
    """Return the model in which mistakes are made: the study's CNN-8 as intended, run by the corrected protocol.

    Its learning rate is the one that had scored highest; that another was picked is one of the mistakes.
    """
    trial = published_trial(find_stage("augmentation"), profile, PROTOCOLS["corrected"]).change(learning_rate=0.001)
    return trial if profile.expensive else trial.change(filters=NARROW)


def mistake_trials(mistake: Mistake, profile: Profile) -> dict[str, StageTrial]:
    """Return a mistake's trials by their names, the one without the mistake first."""
    base, seeds = mistake_model(profile), tuple(range(1, profile.seeds + 1))
    return {
        trial.name: StageTrial(
            f"{mistake.name}: {trial.name}", base.change(**within(trial.changes, profile)), seeds, False, None
        )
        for trial in mistake.trials
    }
