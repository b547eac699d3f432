"""The ledger of a joint search: what was proposed, and what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from statistics import fmean
from typing import Any

import pandas as pd

from cnnlab.evidence import Importance
from cnnlab.records import Record
from cnnlab.study import Search, Trial
from cnnlab.study.fields import show_value
from cnnlab.tuning.results import StageResult
from cnnlab.tuning.search.oracle import Point

QUASI_RANDOM = "quasi-random"
"""Part of a search before the oracle."""


class Status(StrEnum):
    """What became of a proposal."""

    RUN = "run"
    REPEATED = "repeated"
    FAILED = "failed"
    PLANNED = "planned"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Proposal:
    """A row of the ledger.

    Attributes:
        number: Its number, from 1.
        part: "quasi-random", or the kind of the oracle.
        point: Where it lies in the space; () if the oracle proposed nothing.
        settings: Its settings of the space; {} if the oracle proposed nothing.
        trial: The trial; None if its settings do not fit together.
        status: What became of it. "run": it has runs of its own. "repeated": it equals an earlier proposal, whose runs
            it shares. "failed": its settings do not fit together, or one of its runs failed. "planned": the budget was
            used up before it. "stopped": the oracle ended the search here.
        reason: Why it was not run; "" for one that was.
        records: Its runs, in the order of their seeds.
        cost: What its runs cost, in the unit of `SearchResult`.
    """

    number: int
    part: str
    point: Point
    settings: dict[str, Any]
    trial: Trial | None
    status: Status
    reason: str = ""
    records: tuple[Record, ...] = ()
    cost: float = 0.0

    @property
    def name(self) -> str:
        """Its name, as that of a trial."""
        return f"trial {self.number}"

    @property
    def val_f1(self) -> float | None:
        """Mean `val_f1` of its runs; None if it has none, or if one of them failed."""
        if self.status not in (Status.RUN, Status.REPEATED) or not self.records:
            return None
        return fmean(record.scores["val_f1"] for record in self.records)


@dataclass(frozen=True, kw_only=True)
class SearchResult(StageResult):
    """The result of a joint search: that of a stage whose trials are the incumbent and the winner of the search.

    Attributes:
        search: The search.
        ledger: All proposals, in their order.
        unit: Unit of all costs: "TFLOP" of training, or "million images" that trained a model of the user's own.
        path_cost: What the runs of the stages before have cost.
        path_runs: Number of these runs.
        importance: Importance of the settings, from the quasi-random part; None if that is too small.
    """

    search: Search
    ledger: tuple[Proposal, ...]
    unit: str
    path_cost: float
    path_runs: int
    importance: Importance | None

    @property
    def cost(self) -> float:
        """What the search has cost, without the winner's runs with fresh seeds."""
        return sum(proposal.cost for proposal in self.ledger)

    @cached_property
    def winner(self) -> Proposal | None:
        """The proposal with the highest mean `val_f1`; None if none was run."""
        return find_winner(self.ledger)

    @property
    def proposals_run(self) -> tuple[Proposal, ...]:
        """The proposals that have runs of their own."""
        return tuple(proposal for proposal in self.ledger if proposal.status == Status.RUN)

    def count(self, status: Status) -> int:
        """Return how many proposals have a status."""
        return sum(proposal.status == status for proposal in self.ledger)


def find_winner(ledger: Sequence[Proposal]) -> Proposal | None:
    """Return the proposal with the highest mean `val_f1`, the first one of several; None if none was run."""
    scored = [proposal for proposal in ledger if proposal.status == Status.RUN]
    return max(scored, key=lambda proposal: proposal.val_f1 or 0.0, default=None)


def ledger_table(result: SearchResult) -> pd.DataFrame:
    """Return the ledger as a table, one row a proposal, for `search.csv`."""
    columns = [dimension.setting for dimension in result.search.space]
    rows = []
    for proposal in result.ledger:
        records = proposal.records
        settings = {f"setting_{name}": show_value(value) for name, value in proposal.settings.items()}
        rows.append(
            {
                "number": proposal.number,
                "part": proposal.part,
                "status": proposal.status.value,
                "reason": proposal.reason,
                "is_winner": proposal is result.winner,
                "val_f1": proposal.val_f1,
                "test_f1": fmean(record.scores["test_f1"] for record in records) if records else None,
                "params": records[0].params if records else None,
                "epochs": fmean(record.epochs for record in records) if records else None,
                "train_seconds": sum(record.train_seconds for record in records) if records else None,
                "cost": proposal.cost,
                "unit": result.unit,
                **{name: settings.get(name) for name in (f"setting_{column}" for column in columns)},
                "runs": " ".join(record.digest for record in records),
            }
        )
    return pd.DataFrame(rows)
