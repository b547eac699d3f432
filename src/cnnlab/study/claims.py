"""Claims about the study, declared before its runs are made."""

from dataclasses import dataclass

SELECTED = "selected"  # in place of a trial's name: the trial that the stage selects
INCUMBENT = "incumbent"  # in place of a trial's name: the trial that the previous stage selected
FINAL = "final"  # in place of a stage's name: the last grayscale stage


@dataclass(frozen=True)
class Claim:
    """A sentence that the runs can support or refute: one trial has a higher `test_f1` than another.

    Attributes:
        sentence: The claim in words.
        trial: Stage (or `FINAL`) and name (or `SELECTED` or `INCUMBENT`) of the trial with the higher score.
        over: Stage and name of the other trial.
        by: The smallest difference for which the claim is true.
    """

    sentence: str
    trial: tuple[str, str]
    over: tuple[str, str]
    by: float = 0.0


def _within(stage: str, sentence: str, trial: str, over: str) -> Claim:
    """Return a claim about two trials of one stage."""
    return Claim(sentence, trial=(stage, trial), over=(stage, over))


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "The final grayscale model scores at least 5 points higher than CNN-1.",
        trial=(FINAL, SELECTED),
        over=("base", SELECTED),
        by=0.05,
    ),
    _within("depth", "A second convolution per block raises the score.", trial="two", over=INCUMBENT),
    _within("filters", "Filters 32-64-128 score higher than 16-32-64.", trial="32-64-128", over="16-32-64"),
    _within("dropout", "Dropout raises the score.", trial="0.3-0.4-0.5-0.3", over=INCUMBENT),
    _within("batchnorm", "Batch normalisation raises the score.", trial="batch normalisation", over=INCUMBENT),
    _within("dense", "128 dense units score higher than 32.", trial="128", over="32"),
    _within("activation", "relu scores higher than sigmoid.", trial="relu/relu", over="sigmoid/sigmoid"),
    _within("optimizer", "Adam scores higher than SGD.", trial="adam", over="sgd"),
    _within("augmentation", "Augmentation raises the score.", trial="flip-shift", over="none"),
    Claim(
        "The network scores higher on colour images than on grayscale images.",
        trial=("colour", "without augmentation"),
        over=("augmentation", "none"),
    ),
)
"""The published study's statements about its results. To add a claim, add a row."""
