"""Check the declared claims: each is supported, refuted or left inconclusive by the runs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from cnnlab import evidence
from cnnlab.errors import lookup
from cnnlab.evidence import Comparison
from cnnlab.records import Record, RunStore
from cnnlab.study import CLAIMS, FINAL, INCUMBENT, SELECTED, UNCHANGED, Claim, find_stage
from cnnlab.tuning.results import StageResult, final_gray, read_scores
from cnnlab.tuning.tuning import Tuning


class ClaimStatus(StrEnum):
    """Whether the runs support a claim."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class ClaimResult:
    """The status of a claim and its evidence.

    Attributes:
        claim: The claim.
        status: Supported where the 95 % interval of the difference lies above `claim.by`, refuted where it lies below
            (a true claim is refuted in at most 1 of 40 repetitions), otherwise inconclusive.
        comparison: The two trials, on `test_f1`; None where one of them was not run.
    """

    claim: Claim
    status: ClaimStatus
    comparison: Comparison | None


def check_claims(tuning: Tuning, results: Sequence[StageResult]) -> list[ClaimResult]:
    """Check every declared claim; none under the published protocol, whose fits are not what they are called.

    Raises:
        ConfigError: A claim names a stage or a trial that does not exist.
        RecordError: A run's predictions are missing or damaged.
    """
    return [] if tuning.protocol.pinned else [check_claim(claim, tuning.store, results) for claim in CLAIMS]


def check_claim(claim: Claim, store: RunStore, results: Sequence[StageResult]) -> ClaimResult:
    """Check a claim.

    Raises:
        ConfigError: It names a stage or a trial that does not exist.
        RecordError: A run's predictions are missing or damaged.
    """
    first, second = _side(claim.trial, results), _side(claim.over, results)
    if first is None or second is None:
        return ClaimResult(claim, ClaimStatus.INCONCLUSIVE, None)
    (name, records), (other_name, other_records) = first, second
    if [record.digest for record in records] == [record.digest for record in other_records]:
        status = ClaimStatus.REFUTED if claim.by > 0 else ClaimStatus.INCONCLUSIVE
        return ClaimResult(claim, status, Comparison(name, other_name, 0.0, low=0.0, high=0.0))
    scores = {
        "trial": read_scores(store, records, "test"),
        "over": read_scores(store, other_records, "test"),
    }
    [comparison] = evidence.compare(scores)
    status = ClaimStatus.INCONCLUSIVE
    if comparison.low > claim.by:
        status = ClaimStatus.SUPPORTED
    elif comparison.high < claim.by:
        status = ClaimStatus.REFUTED
    return ClaimResult(claim, status, replace(comparison, trial=name, against=other_name))


def _side(side: tuple[str, str], results: Sequence[StageResult]) -> tuple[str, list[Record]] | None:
    """Return the name and the records of one side of a claim; None if it was not run."""
    stage, name = side
    if stage == FINAL:
        result = final_gray(results)
    else:
        names = {SELECTED, INCUMBENT, UNCHANGED, *(trial.name for trial in find_stage(stage).trials)}
        lookup({name: name for name in sorted(names)}, name, f"trial of {stage} in a claim")
        result = next((result for result in results if result.stage.name == stage), None)
    if result is None:
        return None
    if name == INCUMBENT:
        name = result.incumbent.name if result.incumbent else ""
    elif name == SELECTED:
        name = result.decision.selected
    records = result.records_by_trial
    return (name, records[name]) if name in records else None
