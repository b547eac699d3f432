"""The results of a study as tables: a row a run, a decision, a comparison, a claim."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields

import pandas as pd

from cnnlab.evidence import Comparison, Decision
from cnnlab.records import Record, run_row
from cnnlab.study import StageTrial
from cnnlab.tuning.advice import budget_notes
from cnnlab.tuning.claims import ClaimResult
from cnnlab.tuning.results import MistakeResult, StageResult
from cnnlab.tuning.search import SearchResult
from cnnlab.tuning.tuning import Tuning

DECISION_COLUMNS = [
    field.name
    for kind in (Decision, Comparison)
    for field in fields(kind)
    if field.name not in ("comparisons", "evidence")
] + ["notes"]
"""Columns of `decisions.csv`: the decision, the comparison that is its evidence (see `Decision.evidence`), the kinds of
the notes on its budget (see `budget_notes`)."""


def runs_table(tuning: Tuning, results: Sequence[StageResult]) -> pd.DataFrame:
    """Return the runs of some stages as a table, one row a run; a run that stages share has a row in each."""
    rows = []
    for result in results:
        for trial, record in trials_and_runs(result):
            rows.append(
                {
                    "stage": result.stage.name,
                    "trial": trial.name,
                    "protocol": tuning.protocol.name,
                    **run_row(record),
                    "published_f1": trial.published.test_f1 if trial.published else None,
                    "cached": record.digest not in tuning.made,
                }
            )
    return pd.DataFrame(rows)


def trials_and_runs(result: StageResult) -> Iterator[tuple[StageTrial, Record]]:
    """Yield the runs of a stage, each with its trial; of a joint search, then those of its proposals, as "trial 7"."""
    for (name, _), record in result.runs.items():
        yield result.trial(name), record
    for proposal in result.proposals_run if isinstance(result, SearchResult) else ():
        if proposal.trial:
            trial = StageTrial(proposal.name, proposal.trial, tuple(record.seed for record in proposal.records))
            yield from ((trial, record) for record in proposal.records)


def decisions_table(tuning: Tuning, results: Sequence[StageResult]) -> pd.DataFrame:
    """Return the decisions of some stages as a table, one row a stage, with the comparison that is its evidence.

    Raises:
        RecordError: A run's predictions are missing or damaged.
    """
    rows = []
    for result in results:
        made, notes = result.decision, ";".join(note.kind for note in budget_notes(tuning, result))
        row = {**(vars(made.evidence) if made.evidence else {}), **vars(made), "notes": notes}
        if not made.published_choice:  # nothing to agree with
            row["agrees"] = None
        rows.append(row)
    return pd.DataFrame(rows, columns=DECISION_COLUMNS)


def comparisons_table(results: Sequence[StageResult]) -> pd.DataFrame:
    """Return the comparisons of all trials with their stage's incumbent as a table, one row a comparison."""
    rows = [
        {"stage": result.stage.name, **asdict(comparison)}
        for result in results
        for comparison in result.decision.comparisons
    ]
    return pd.DataFrame(rows, columns=["stage", *(field.name for field in fields(Comparison))])


def mistakes_table(results: Sequence[MistakeResult]) -> pd.DataFrame:
    """Return the runs of the mistakes as a table, one row a run."""
    rows = [
        {"mistake": result.mistake.name, "trial": name, **run_row(record)}
        for result in results
        for name, records in result.records_by_trial.items()
        for record in records
    ]
    return pd.DataFrame(rows, columns=None if results else ["mistake", "trial"])


def effects_table(results: Sequence[MistakeResult]) -> pd.DataFrame:
    """Return the effects of the mistakes on `test_f1` as a table, one row a trial with a mistake."""
    rows = [{"mistake": result.mistake.name, **asdict(effect)} for result in results for effect in result.effects]
    return pd.DataFrame(rows, columns=["mistake", *(field.name for field in fields(Comparison))])


def claims_table(results: Sequence[ClaimResult]) -> pd.DataFrame:
    """Return the claims with the comparisons on `test_f1` that decide them as a table, one row a claim."""
    names = [field.name for field in fields(Comparison)]
    rows = [
        {"claim": result.claim.says, "status": str(result.status), "claimed": result.claim.by, "reason": result.reason}
        | (asdict(result.comparison) if result.comparison else dict.fromkeys(names))
        for result in results
    ]
    return pd.DataFrame(rows, columns=["claim", "status", "claimed", *names, "reason"])
