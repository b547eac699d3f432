"""Stored records as tables."""

from pathlib import Path
from typing import Any

import pandas as pd

from cnnlab.errors import RecordError
from cnnlab.records.record import SCORES, Record
from cnnlab.records.store import RunStore


def run_row(record: Record) -> dict[str, Any]:
    """Return a record as a row of `results.csv`, without the columns that only a stage knows."""
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
    """Return all stored runs of a folder as a table, one row a run; the trial's settings are columns too.

    The column `code` tells apart runs that were made by different code, see `fit_code_digest`.

    Raises:
        RecordError: There is no such folder.
    """
    if not Path(path).is_dir():
        raise RecordError(f"Expected a folder of stored runs. Received: {str(path)!r}. `cnnlab run` makes one.")
    rows = []
    for record in RunStore(path).records():
        layers = record.trial["architecture"]
        if "function" in layers:  # an own model: its parameters are settings
            layers = {**layers["settings"], "file": layers["file"], "function": layers["function"]}
        settings = {**layers, **record.trial["training"], **record.trial["input"]}
        # `epochs` is how many epochs a run took; the setting is how many it may take.
        rows.append({**settings, "max_epochs": settings["epochs"], **run_row(record), "code": record.code})
    return pd.DataFrame(rows)
