"""Check the declared claims: each is supported, refuted or left inconclusive by the runs, or skipped."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from cnnlab import evidence
from cnnlab.evidence import Comparison
from cnnlab.records import Record, RunStore
from cnnlab.study import CLAIMS, FINAL, INCUMBENT, SELECTED, STAGES, UNCHANGED, Claim
from cnnlab.tuning.results import StageResult, final_gray, have_same_runs, read_scores

if TYPE_CHECKING:
    from cnnlab.tuning.tuning import Tuning


class ClaimStatus(StrEnum):
    """Whether the runs support a claim."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class ClaimResult:
    """The status of a claim and its evidence.

    Attributes:
        claim: The claim.
        status: Supported where the 95 % interval of the difference lies above `claim.by`, refuted where it lies below
            (a true claim is refuted in at most 1 of 40 repetitions), otherwise inconclusive. Skipped where it is about
            a stage or a trial that the study does not have.
        comparison: The two trials, on `test_f1`; None where one of them was not run.
        reason: Why it is skipped, as a sentence; "" where it is not.
    """

    claim: Claim
    status: ClaimStatus
    comparison: Comparison | None
    reason: str = ""


def skipped_claims() -> list[ClaimResult]:
    """Return the declared claims about a stage or a trial that the study does not have. This needs no runs."""
    pairs = [(claim, _missing(claim.trial) or _missing(claim.over)) for claim in CLAIMS]
    return [ClaimResult(claim, ClaimStatus.SKIPPED, None, reason) for claim, reason in pairs if reason]


def check_claims(tuning: "Tuning", results: Sequence[StageResult]) -> list[ClaimResult]:
    """Check every declared claim; none under the published protocol, whose fits are not what they are called.

    Raises:
        RecordError: A run's predictions are missing or damaged.
    """
    return [] if tuning.protocol.pinned else [check_claim(claim, tuning.store, results) for claim in CLAIMS]


def check_claim(claim: Claim, store: RunStore, results: Sequence[StageResult]) -> ClaimResult:
    """Check a claim.

    Raises:
        RecordError: A run's predictions are missing or damaged.
    """
    if reason := _missing(claim.trial) or _missing(claim.over):
        return ClaimResult(claim, ClaimStatus.SKIPPED, None, reason)
    first, second = _side(claim.trial, results), _side(claim.over, results)
    if first is None or second is None:
        return ClaimResult(claim, ClaimStatus.INCONCLUSIVE, None)
    (name, records), (other_name, other_records) = first, second
    if have_same_runs(records, other_records):
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


def _missing(side: tuple[str, str]) -> str:
    """Return what the study lacks for one side of a claim, as a sentence; "" if nothing."""
    stage_name, trial = side
    stage = next((stage for stage in STAGES if stage.name == stage_name), None)
    if stage_name == FINAL:
        return ""
    if stage is None:
        return f"The study has no stage {stage_name!r}."
    names = {SELECTED, INCUMBENT, UNCHANGED, *(trial.name for trial in stage.trials)}
    return "" if trial in names else f"The stage {stage_name} has no trial {trial!r}."


def _side(side: tuple[str, str], results: Sequence[StageResult]) -> tuple[str, list[Record]] | None:
    """Return the name and the records of one side of a claim; None if it was not run."""
    stage, name = side
    result = next((result for result in results if result.stage.name == stage), None)
    if stage == FINAL:
        result = final_gray(results)
    if result is None:
        return None
    if name == INCUMBENT:
        name = result.incumbent.name if result.incumbent else ""
    elif name == SELECTED:
        name = result.decision.selected
    records = result.records_by_trial
    return (name, records[name]) if name in records else None
