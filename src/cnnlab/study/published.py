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
    """One fit of the published study; `changes` are the settings in which it differs from what the study says."""

    stage: str
    trial: str
    fit: str
    params: int
    batch_size: int
    test_f1: float
    changes: Mapping[str, Any]


@cache
def published_fits() -> tuple[PublishedFit, ...]:
    """Return the published study's 51 fits, in its order."""
    with files("cnnlab.study").joinpath("published.csv").open(encoding="utf-8") as stream:
        return tuple(
            PublishedFit(
                stage=row["stage"],
                trial=row["trial"],
                fit=row["fit"],
                params=int(row["params"]),
                batch_size=int(row["batch_size"]),
                test_f1=float(row["test_f1"]),
                changes=json.loads(row["changes"] or "{}"),
            )
            for row in csv.DictReader(stream)
        )
