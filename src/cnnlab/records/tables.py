"""Stored records as tables."""

from pathlib import Path
from typing import Any

import pandas as pd

from cnnlab.errors import RecordError
from cnnlab.records.record import SCORES, Record
from cnnlab.records.store import RunStore


def row(record: Record) -> dict[str, Any]:
    """Return a record as a row of `results.csv`, less the columns that only a stage knows."""
    return {
        "seed": record.seed,
        "params": record.params,
        "batch_size": record.trial["training"]["batch_size"],
        "epochs": record.epochs,
        "best_epoch": record.best_epoch,
        "train_seconds": record.train_seconds,
        **{name: record.scores[name] for name in SCORES},
        "digest": record.digest,
    }


def to_frame(path: str | Path) -> pd.DataFrame:
    """Return all records of a store as a table, one row a run; the trial's settings are columns too.

    Raises:
        RecordError: No such folder.
    """
    if not Path(path).is_dir():
        raise RecordError(f"Expected a folder of stored runs. Received: {str(path)!r}. `cnnlab run` makes one.")
    rows = []
    for record in RunStore(path).records():
        settings = {name: value for part in record.trial.values() for name, value in part.items()}
        # The setting is how many epochs a fit may take, the record's own figure how many it took.
        rows.append({**settings, "max_epochs": settings["epochs"], **row(record)})
    return pd.DataFrame(rows)
