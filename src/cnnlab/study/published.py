"""The 51 fits of the published study, the rows of `published.csv`."""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class PublishedFit:
    """One fit of the published study. Where the study printed a figure to three decimals or not at all, so here."""

    stage: str
    trial: str
    fit: str
    params: int
    batch_size: int
    epochs: int
    train_seconds: float
    test_loss: float | None
    test_accuracy: float | None
    test_f1: float
    changes: Mapping[str, Any]


@cache
def published_fits() -> tuple[PublishedFit, ...]:
    """Return the published study's 51 fits; `changes` are settings in which a fit differs from what it says."""
    with files("cnnlab.study").joinpath("published.csv").open(encoding="utf-8") as stream:
        return tuple(
            PublishedFit(
                row["stage"],
                row["trial"],
                row["fit"],
                int(row["params"]),
                int(row["batch_size"]),
                int(row["epochs"]),
                float(row["train_seconds"]),
                float(row["test_loss"]) if row["test_loss"] else None,
                float(row["test_accuracy"]) if row["test_accuracy"] else None,
                float(row["test_f1"]),
                json.loads(row["changes"] or "{}"),
            )
            for row in csv.DictReader(stream)
        )
