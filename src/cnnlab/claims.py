"""Claims about the study, declared before its runs are seen: each is supported, refuted or undecided by them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cnnlab import evidence
from cnnlab.evidence import Comparison
from cnnlab.records import Record
from cnnlab.study import UNCHANGED, find, find_stage
from cnnlab.tuning import StageResult, Tuning

CHOSEN = "chosen"
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
        trial: Stage (or `FINAL`) and name of the trial that is said to score higher (or `CHOSEN`, or `INCUMBENT`).
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
        (FINAL, CHOSEN),
        ("base", CHOSEN),
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


@dataclass(frozen=True)
class Judgement:
    """What the runs say of a claim.

    Attributes:
        claim: The claim.
        status: "supported" where the 95 % interval of the difference lies above `claim.by`, "refuted" where it lies
            below (a true claim is refuted in at most 1 of 40 repetitions), else "undecided".
        comparison: The two trials, on `test_f1`; None where one of them was not run.
    """

    claim: Claim
    status: str
    comparison: Comparison | None


def judge_all(tuning: Tuning, results: Sequence[StageResult]) -> list[Judgement]:
    """Hold every declared claim against the runs; none under the published protocol, whose fits are not what they say.

    Raises:
        ConfigError: A claim names a stage or a trial that there is not.
        RecordError: A run's predictions are missing or damaged.
    """
    return [] if tuning.protocol.pinned else [judge(claim, tuning, results) for claim in CLAIMS]


def judge(claim: Claim, tuning: Tuning, results: Sequence[StageResult]) -> Judgement:
    """Hold a claim against the runs.

    Raises:
        ConfigError: It names a stage or a trial that there is not.
        RecordError: A run's predictions are missing or damaged.
    """
    one, other = _find(claim.trial, results), _find(claim.over, results)
    if one is None or other is None:
        return Judgement(claim, "undecided", None)
    (name, found), (other_name, other_found) = one, other
    if [record.digest for record in found] == [record.digest for record in other_found]:
        same = Comparison(name, other_name, 0.0, 0.0, 0.0, 0.5, 1.0, 1.0, evidence.UNCLEAR, 0.0, float("nan"))
        return Judgement(claim, "refuted" if claim.by > 0 else "undecided", same)
    scores = {"trial": tuning.scores(found, "test"), "over": tuning.scores(other_found, "test")}
    [comparison] = (replace(one, trial=name, against=other_name) for one in evidence.compare(scores))
    status = "supported" if comparison.low > claim.by else "refuted" if comparison.high < claim.by else "undecided"
    return Judgement(claim, status, comparison)


def _find(side: tuple[str, str], results: Sequence[StageResult]) -> tuple[str, list[Record]] | None:
    """Return the name and the records of one side of a claim; None if it was not run."""
    stage, name = side
    if stage == FINAL:
        stage = next((result.stage.name for result in reversed(results) if not result.stage.on_colour), FINAL)
    else:
        names = {CHOSEN, INCUMBENT, UNCHANGED, *(variant.name for variant in find_stage(stage).variants)}
        find({name: name for name in sorted(names)}, name, f"trial of {stage} in a claim")
    for result in results:
        if result.stage.name == stage:
            if name == INCUMBENT:
                name = next((candidate.name for candidate in result.candidates if candidate.incumbent), "")
            elif name == CHOSEN:
                name = result.decision.chosen
            return (name, result.groups[name]) if name in result.groups else None
    return None
