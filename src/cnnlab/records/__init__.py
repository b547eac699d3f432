"""The stored result of a run: its format, its store, and tables of it."""

from cnnlab.records.record import SCHEMA, SCORES, Record, Run, json_digest, run_digest
from cnnlab.records.store import RunStore
from cnnlab.records.tables import row, to_frame

__all__ = ["SCHEMA", "SCORES", "Record", "Run", "RunStore", "json_digest", "row", "run_digest", "to_frame"]
