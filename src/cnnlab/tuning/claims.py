"""Check the declared claims: each is supported, refuted or inconclusive by the runs, or skipped."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from cnnlab import evidence
from cnnlab.evidence import Comparison
from cnnlab.records import Record, RunStore
from cnnlab.study import FINAL, INCUMBENT, SELECTED, Claim
from cnnlab.tuning.results import StageResult, final_stage, have_same_runs, read_scores

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
            (a true claim is refuted in at most 1 of 40 repetitions), otherwise inconclusive. Skipped where one of its
            trials was not run.
        comparison: The two trials, on `test_f1`; None where it is skipped.
        reason: Why it is skipped, as a sentence; "" where it is not.
    """

    claim: Claim
    status: ClaimStatus
    comparison: Comparison | None
    reason: str = ""


def check_claims(tuning: "Tuning", results: Sequence[StageResult]) -> list[ClaimResult]:
    """Check the claims that concern a study.

    Raises:
        RecordError: A run's predictions are missing or damaged.
    """
    return [check_claim(claim, tuning.store, results) for claim in tuning.scope.claims]


def check_claim(claim: Claim, store: RunStore, results: Sequence[StageResult]) -> ClaimResult:
    """Check a claim.

    Raises:
        RecordError: A run's predictions are missing or damaged.
    """
    sides = []
    for side in (claim.better, claim.than):
        runs = _side(side, results)
        if isinstance(runs, str):
            return ClaimResult(claim, ClaimStatus.SKIPPED, None, runs)
        sides.append(runs)
    (name, records), (other_name, other_records) = sides
    comparison = Comparison(name, other_name, 0.0, low=0.0, high=0.0)
    if not have_same_runs(records, other_records):
        scores = {
            "better": read_scores(store, records, "test"),
            "than": read_scores(store, other_records, "test"),
        }
        [comparison] = evidence.compare(scores)
    status = ClaimStatus.INCONCLUSIVE
    if comparison.low > claim.by:
        status = ClaimStatus.SUPPORTED
    elif comparison.high < claim.by:
        status = ClaimStatus.REFUTED
    return ClaimResult(claim, status, replace(comparison, trial=name, against=other_name))


def _side(side: tuple[str, str], results: Sequence[StageResult]) -> tuple[str, list[Record]] | str:
    """Return the name and the records of one side of a claim, or a sentence that says why there are none."""
    stage, name = side
    result = next((result for result in results if result.stage.name == stage), None)
    if stage == FINAL:
        result = final_stage(results)
    if result is None:
        return f"The stage {stage} was not run."
    if name == INCUMBENT:
        name = result.incumbent.name if result.incumbent else name
    elif name == SELECTED:
        name = result.decision.selected
    if any(trial.name == name for trial in result.dropped):
        return f"Successive halving dropped the trial {name} of {result.stage.name}."
    records = result.records_by_trial
    return (name, records[name]) if name in records else f"The trial {name} of {result.stage.name} was not run."
