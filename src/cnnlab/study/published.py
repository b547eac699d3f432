"""The published study: its 51 fits, the rows of `published.csv`. Nothing here depends on the stages that are run."""

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class PublishedFit:
    """One fit of the published study.

    Attributes:
        stage: Name of its stage.
        trial: Name of its trial.
        fit: What the study calls it.
        params: Parameters of its model.
        batch_size: Images per step.
        test_f1: Its test macro-F1, 0 to 1.
        chosen: Whether the study chose this trial of the stage.
        settings: The settings in which the trial differs from the choice of the previous stage, as the study says.
        changes: The settings in which the fit differs from what the study says.
    """

    stage: str
    trial: str
    fit: str
    params: int
    batch_size: int
    test_f1: float
    chosen: bool
    settings: Mapping[str, Any]
    changes: Mapping[str, Any]

    @property
    def cnn(self) -> int:
        """Number of its CNN design, 1 to 9."""
        number = re.match(r"CNN-(\d)", self.fit)
        return int(number[1]) if number else 9

    @property
    def on_colour(self) -> bool:
        """Whether it is a fit on the colour images."""
        return bool(self.settings.get("colour", False))


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
                chosen=row["chosen"] == "yes",
                settings=json.loads(row["settings"] or "{}"),
                changes=json.loads(row["changes"] or "{}"),
            )
            for row in csv.DictReader(stream)
        )


def published_stages() -> tuple[str, ...]:
    """Return the names of the published study's stages, in its order."""
    return tuple(dict.fromkeys(fit.stage for fit in published_fits()))
