"""The stored result of a run: its format, its store, and tables of it."""

from cnnlab.records.record import SCORES, Record, Run, fit_code_digest, json_digest, run_digest
from cnnlab.records.store import RunStore
from cnnlab.records.tables import run_row, to_frame

__all__ = ["SCORES", "Record", "Run", "RunStore", "fit_code_digest", "json_digest", "run_digest", "run_row", "to_frame"]
