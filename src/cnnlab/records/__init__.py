"""The stored result of a run: its format, its store, and tables of it."""

from cnnlab.records.cleaning import describe_runs, remove_runs
from cnnlab.records.record import HISTORY, SCORES, Record, Run, fit_code_digest, json_digest, run_digest
from cnnlab.records.store import IMAGES, PROPOSALS, RunStore
from cnnlab.records.tables import run_row, to_frame

__all__ = [
    "HISTORY", "IMAGES", "PROPOSALS", "SCORES", "Record", "Run", "RunStore", "describe_runs", "fit_code_digest",
    "json_digest", "remove_runs", "run_digest", "run_row", "to_frame",
]  # fmt: skip
