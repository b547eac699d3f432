"""The published study's 51 fits: a table that `published.toml` names. They do not depend on the stages that are run."""

import csv
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import attrs

from cnnlab.errors import ConfigError, lookup
from cnnlab.study.settings import Architecture

PUBLISHED_RATE = 0.0004
"""The learning rate that the published study chose."""
CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""The classes of CIFAR-10, the published study's images."""
CIFAR10_SIDE = 32
"""Height and width of its images, in pixels."""


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
    folder = files("cnnlab.study")
    named = tomllib.loads(folder.joinpath("published.toml").read_text(encoding="utf-8"))["published"]
    with folder.joinpath(named).open(encoding="utf-8") as stream:
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


def stage_fits(stage: str) -> dict[str, PublishedFit]:
    """Return a stage's fits by the names of their trials; of fits with the same name, the first."""
    return {fit.trial: fit for fit in reversed(published_fits()) if fit.stage == stage}


def published_choice(stage: str) -> str:
    """Return the name of the trial that the published study chose in a stage; "" for a stage that it did not have."""
    return next((fit.trial for fit in published_fits() if fit.stage == stage and fit.chosen), "")


def cnn_number(stage: str) -> int | None:
    """Return the number of the CNN design that a stage belongs to, 1 to 9; None for a stage that it did not have."""
    return next((fit.cnn for fit in published_fits() if fit.stage == stage), None)


def published_settings(stage: str) -> dict[str, Any]:
    """Return what the published study had chosen before one of its stages: setting to value.

    Raises:
        ConfigError: The published study has no such stage.
    """
    stages = {name: number for number, name in enumerate(published_stages())}
    before = list(stages)[: lookup(stages, stage, "stage of the published study")]
    return _chosen_settings(fit for fit in published_fits() if fit.stage in before)


def published_architecture(cnn: int) -> Architecture:
    """Return the layers of the published CNN-1 to CNN-9.

    Raises:
        ConfigError: There is no CNN of this number.
    """
    if cnn not in range(1, 10):
        raise ConfigError(f"Expected the number of a CNN, 1 to 9. Received: {cnn!r}.")
    layers = {field.name for field in attrs.fields(Architecture)}
    settings = _chosen_settings(fit for fit in published_fits() if fit.cnn <= cnn)
    return Architecture(**{name: value for name, value in settings.items() if name in layers})


def _chosen_settings(fits: Iterable[PublishedFit]) -> dict[str, Any]:
    return {name: value for fit in fits if fit.chosen for name, value in fit.settings.items()}
