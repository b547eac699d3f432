"""The joint search of a study: its trials, its ledger and its result."""

from cnnlab.tuning.search.ledger import QUASI_RANDOM, Proposal, SearchResult, Status, ledger_table
from cnnlab.tuning.search.points import check, expected_trials
from cnnlab.tuning.search.search import run_stage

__all__ = [
    "QUASI_RANDOM", "Proposal", "SearchResult", "Status", "check", "expected_trials", "ledger_table", "run_stage",
]  # fmt: skip
