"""Test the declared claims: each is supported, refuted or left inconclusive by the runs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cnnlab import evidence
from cnnlab.errors import find
from cnnlab.evidence import Comparison
from cnnlab.records import Record
from cnnlab.study import CHOSEN, CLAIMS, FINAL, INCUMBENT, UNCHANGED, Claim, find_stage
from cnnlab.tuning.results import StageResult
from cnnlab.tuning.tuning import Tuning


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
