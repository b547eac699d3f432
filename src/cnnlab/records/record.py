"""A run, the digest by which it is found, and its record."""

import hashlib
import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from cnnlab.study import OwnModel, Trial

FORMAT = 6
"""Version of the format of stored runs."""
FIT_MODULES = ("builder", "checkpoint", "fit", "layers")
"""The modules of `cnnlab.models` that decide what a run gives. They are read as text: importing them loads Keras."""
HISTORY = ("loss", "accuracy", "val_loss", "val_f1", "val_accuracy")
SCORES = ("val_loss", "val_f1", "val_accuracy", "test_loss", "test_f1", "test_accuracy")


def json_digest(value: Any) -> str:
    """Return the SHA-256 (64 hex digits) of a JSON value in canonical form: sorted keys, no spaces."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@cache
def fit_code_digest() -> str:
    """Return the SHA-256 (64 hex digits) of the source of the modules that build and fit models.

    It is the same on every platform and Python version: the source counts as text, with any line ends.
    """
    folder = files("cnnlab") / "models"
    return json_digest({name: folder.joinpath(f"{name}.py").read_text(encoding="utf-8") for name in FIT_MODULES})


@dataclass(frozen=True)
class Run:
    """One trial with one seed on one split of one dataset: the unit of work, of caching and of distribution."""

    trial: Trial
    seed: int
    data_digest: str
    split_digest: str

    @property
    def digest(self) -> str:
        """The digest (64 hex digits) by which the run's record is found."""
        return run_digest(self.trial.canonical(), self.seed, self.data_digest, self.split_digest, fit_code_digest())

    @property
    def trace_key(self) -> Hashable:
        """Runs with equal keys can share a traced model: they differ in seed, images, learning rate and batch size.

        A schedule of the learning rate is part of the traced model.

        An own model is never shared: it may hold a state that is in none of its variables.
        """
        if isinstance(self.trial.architecture, OwnModel):
            return self.digest
        settings = self.trial.training
        compiled: tuple[Hashable, ...] = (
            settings.optimizer, settings.momentum, settings.weight_decay, settings.averaging, settings.loss,
            settings.label_smoothing > 0, settings.one_hot, settings.precision, settings.schedule,
        )  # fmt: skip
        if settings.schedule != "constant":
            compiled += settings.learning_rate, settings.batch_size, settings.epochs
        return self.trial.architecture, self.trial.input, compiled, self.data_digest


def run_digest(trial: Mapping[str, Any], seed: int, data_digest: str, split_digest: str, code: str) -> str:
    """Return the digest of a run, given its trial in canonical form and the digest of the code that fits it."""
    return json_digest(
        {"format": FORMAT, "trial": trial, "seed": seed, "data": data_digest, "split": split_digest, "code": code}
    )


@dataclass(frozen=True)
class Record:
    """The stored result of a run.

    Attributes:
        digest: The run's digest.
        trial: The trial's settings in canonical form.
        seed: The run's seed.
        data: The dataset's digest, class names and image shape.
        split: The split's digest, the number of images in each part, and in the `pool` from which the training and
            validation images were drawn.
        code: Digest of the modules that built and fitted the model, see `fit_code_digest`.
        params: Parameters of the model, trainable or not.
        history: `loss`, `accuracy`, `val_loss`, `val_f1` and `val_accuracy` of each epoch.
        best_epoch: Epoch with the lowest `val_loss`, from 1.
        train_seconds: Wall time of the fit. It includes tracing the model, which takes seconds, unless the worker's
            previous run had the same trace key.
        scores: `val_` and `test_` `loss`, `f1` and `accuracy` of the weights that were kept.
        provenance: Versions and machine that made it.
    """

    digest: str
    trial: dict[str, Any]
    seed: int
    data: dict[str, Any]
    split: dict[str, Any]
    code: str
    params: int
    history: dict[str, list[float]]
    best_epoch: int
    train_seconds: float
    scores: dict[str, float]
    provenance: dict[str, str]

    @property
    def epochs(self) -> int:
        """Number of epochs that were run."""
        return len(self.history["loss"])
