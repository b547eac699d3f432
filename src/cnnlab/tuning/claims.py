"""Check the declared claims: each is supported, refuted or inconclusive by the runs, or skipped."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from cnnlab import evidence
from cnnlab.evidence import Comparison
from cnnlab.records import Record
from cnnlab.study import FINAL, INCUMBENT, SELECTED, Claim
from cnnlab.tuning.results import StageResult, have_same_runs, last_gray_stage, read_scores

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
        status: Supported where the interval of the difference lies above `claim.by`, refuted where it lies below,
            otherwise inconclusive. In 95 % of repetitions, the intervals of all claims of a study cover the true
            differences. Skipped where one of its trials was not run.
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
    pairs = [_find_pair(claim, results) for claim in tuning.scope.claims]
    n_claims = sum(isinstance(pair, _Pair) for pair in pairs)
    return [
        _check(tuning, claim, pair, n_claims)
        if isinstance(pair, _Pair)
        else ClaimResult(claim, ClaimStatus.SKIPPED, None, pair)
        for claim, pair in zip(tuning.scope.claims, pairs, strict=True)
    ]


class _Pair(NamedTuple):
    """The two trials of a claim."""

    names: tuple[str, str]
    better: list[Record]
    than: list[Record]
    others: list[list[Record]]  # the other trials of their stage, whose spread counts too; none if they have two stages


def _find_pair(claim: Claim, results: Sequence[StageResult]) -> _Pair | str:
    """Return the trials of a claim, or a sentence that says why there are none."""
    sides = []
    for stage, name in (claim.better, claim.than):
        side = _find_side(stage, name, results)
        if isinstance(side, str):
            return side
        sides.append(side)
    (result, better), (other_result, than) = sides
    records, others = result.records(better), list[list[Record]]()
    if result is other_result:
        same_as = result.same_as
        own = {same_as.get(name, name) for name in (better, than)}
        others = [result.records(trial.name) for trial in result.distinct_trials if trial.name not in own]
    return _Pair((better, than), records, other_result.records(than), others)


def _find_side(stage: str, name: str, results: Sequence[StageResult]) -> tuple[StageResult, str] | str:
    result = next((result for result in results if result.stage.name == stage), None)
    if stage == FINAL:
        result = last_gray_stage(results)
    if result is None:
        return f"The stage {stage} was not run."
    if name == INCUMBENT:
        name = result.incumbent.name if result.incumbent else name
    elif name == SELECTED:
        name = result.decision.selected
    if any(trial.name == name for trial in result.dropped):
        return f"Successive halving dropped the trial {name} of {result.stage.name}."
    if name not in result.records_by_trial:
        return f"The trial {name} of {result.stage.name} was not run."
    return result, name


def _check(tuning: "Tuning", claim: Claim, pair: _Pair, n_claims: int) -> ClaimResult:
    better, than = pair.names
    comparison = Comparison(better, than, 0.0, low=0.0, high=0.0)
    if not have_same_runs(pair.better, pair.than):
        groups = {"than": pair.than, "better": pair.better}
        groups |= {f"other {number}": records for number, records in enumerate(pair.others)}
        given = tuning.images.has_given_val
        scores = {name: read_scores(tuning.store, group, "test", given_val=given) for name, group in groups.items()}
        comparison = replace(evidence.compare(scores, family=n_claims)[0], trial=better, against=than)
    status = ClaimStatus.INCONCLUSIVE
    if comparison.low > claim.by:
        status = ClaimStatus.SUPPORTED
    elif comparison.high < claim.by:
        status = ClaimStatus.REFUTED
    return ClaimResult(claim, status, comparison)
