"""Claims about the study, declared before its runs are seen."""

from dataclasses import dataclass

SELECTED = "selected"
"""In place of a trial's name: the one that the stage handed on."""


INCUMBENT = "incumbent"
"""In place of a trial's name: what the stage before handed on."""


FINAL = "final"
"""In place of a stage's name: the last grayscale stage."""


@dataclass(frozen=True)
class Claim:
    """A sentence that the runs can support or refute: one trial scores above another, by at least so much.

    Attributes:
        sentence: The claim, in words.
        trial: Stage (or `FINAL`) and name of the trial that is said to score higher (or `SELECTED`, or `INCUMBENT`).
        over: Stage and name of the other.
        by: How much higher its `test_f1` is said to be at least.
    """

    sentence: str
    trial: tuple[str, str]
    over: tuple[str, str]
    by: float = 0.0


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "The final grayscale model beats CNN-1 by at least 5 points.",
        (FINAL, SELECTED),
        ("base", SELECTED),
        0.05,
    ),
    Claim("A second convolution per block helps.", ("depth", "two"), ("depth", INCUMBENT)),
    Claim("Filters of 32-64-128 do better than 16-32-64.", ("filters", "32-64-128"), ("filters", "16-32-64")),
    Claim("Dropout helps.", ("dropout", "0.3-0.4-0.5-0.3"), ("dropout", INCUMBENT)),
    Claim("Batch normalisation helps.", ("batchnorm", "batch normalisation"), ("batchnorm", INCUMBENT)),
    Claim("128 dense units do better than 32.", ("dense", "128"), ("dense", "32")),
    Claim("relu does better than sigmoid.", ("activation", "relu/relu"), ("activation", "sigmoid/sigmoid")),
    Claim("Adam does better than SGD.", ("optimizer", "adam"), ("optimizer", "sgd")),
    Claim("Augmentation helps.", ("augmentation", "flip-shift"), ("augmentation", "none")),
    Claim(
        "The network does better on colour images than on gray ones.",
        ("colour", "without augmentation"),
        ("augmentation", "none"),
    ),
)
"""What the published study says of its results. A claim of your own is a row more."""
