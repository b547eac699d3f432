"""Test the declared claims: each is supported, refuted or left inconclusive by the runs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from cnnlab import evidence
from cnnlab.errors import lookup
from cnnlab.evidence import Comparison
from cnnlab.records import Record
from cnnlab.study import CLAIMS, FINAL, INCUMBENT, SELECTED, UNCHANGED, Claim, find_stage
from cnnlab.tuning.results import StageResult, read_scores
from cnnlab.tuning.tuning import Tuning


class ClaimStatus(StrEnum):
    """What the runs say about a claim."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class ClaimResult:
    """What the runs say of a claim.

    Attributes:
        claim: The claim.
        status: "supported" where the 95 % interval of the difference lies above `claim.by`, "refuted" where it lies
            below (a true claim is refuted in at most 1 of 40 repetitions), else ClaimStatus.INCONCLUSIVE.
        comparison: The two trials, on `test_f1`; None where one of them was not run.
    """

    claim: Claim
    status: ClaimStatus
    comparison: Comparison | None


def check_claims(tuning: Tuning, results: Sequence[StageResult]) -> list[ClaimResult]:
    """Hold every declared claim against the runs; none under the published protocol, whose fits are not what they say.

    Raises:
        ConfigError: A claim names a stage or a trial that there is not.
        RecordError: A run's predictions are missing or damaged.
    """
    return [] if tuning.protocol.pinned else [check_claim(claim, tuning, results) for claim in CLAIMS]


def check_claim(claim: Claim, tuning: Tuning, results: Sequence[StageResult]) -> ClaimResult:
    """Hold a claim against the runs.

    Raises:
        ConfigError: It names a stage or a trial that there is not.
        RecordError: A run's predictions are missing or damaged.
    """
    one, other = _find(claim.trial, results), _find(claim.over, results)
    if one is None or other is None:
        return ClaimResult(claim, ClaimStatus.INCONCLUSIVE, None)
    (name, found), (other_name, other_found) = one, other
    if [record.digest for record in found] == [record.digest for record in other_found]:
        same = Comparison(
            name, other_name, 0.0, 0.0, 0.0, 0.5, 1.0, 1.0, evidence.Verdict.INCONCLUSIVE, 0.0, float("nan")
        )
        return ClaimResult(claim, ClaimStatus.REFUTED if claim.by > 0 else ClaimStatus.INCONCLUSIVE, same)
    scores = {"trial": read_scores(tuning.store, found, "test"), "over": read_scores(tuning.store, other_found, "test")}
    [comparison] = (replace(one, trial=name, against=other_name) for one in evidence.compare(scores))
    status = (
        ClaimStatus.SUPPORTED
        if comparison.low > claim.by
        else ClaimStatus.REFUTED
        if comparison.high < claim.by
        else ClaimStatus.INCONCLUSIVE
    )
    return ClaimResult(claim, status, comparison)


def _find(side: tuple[str, str], results: Sequence[StageResult]) -> tuple[str, list[Record]] | None:
    """Return the name and the records of one side of a claim; None if it was not run."""
    stage, name = side
    if stage == FINAL:
        stage = next((result.stage.name for result in reversed(results) if not result.stage.on_colour), FINAL)
    else:
        names = {SELECTED, INCUMBENT, UNCHANGED, *(variant.name for variant in find_stage(stage).trials)}
        lookup({name: name for name in sorted(names)}, name, f"trial of {stage} in a claim")
    for result in results:
        if result.stage.name == stage:
            if name == INCUMBENT:
                name = next((trial.name for trial in result.trials if trial.incumbent), "")
            elif name == SELECTED:
                name = result.decision.selected
            return (name, result.records_by_trial[name]) if name in result.records_by_trial else None
    return None
