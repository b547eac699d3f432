"""A run, what it is found by, and its record."""

import hashlib
import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from cnnlab.study import Trial


def json_digest(value: Any) -> str:
    """Return the SHA-256 (64 hex digits) of a JSON value in canonical form: sorted keys, no spaces."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True)
class Run:
    """One trial with one seed on one split of one dataset: the unit of work, of caching and of distribution."""

    trial: Trial
    seed: int
    data_digest: str
    split_digest: str

    @property
    def digest(self) -> str:
        """What a stored record is found by: the trial, the seed, the data and the split."""
        return run_digest(self.trial.canonical(), self.seed, self.data_digest, self.split_digest)

    @property
    def trace_key(self) -> Hashable:
        """Equal for runs that can use one traced model: they differ in what is a value to it, as seed and rate are."""
        settings = self.trial.training
        kind = settings.optimizer, settings.loss, settings.one_hot, settings.precision
        return self.trial.architecture, self.trial.input, kind, self.data_digest, self.split_digest


def run_digest(trial: Mapping[str, Any], seed: int, data_digest: str, split_digest: str) -> str:
    """Return what a record is found by: the trial in canonical form, the seed, the data and the split."""
    return json_digest({"trial": trial, "seed": seed, "data": data_digest, "split": split_digest})


SCHEMA = 3
"""Version of the records' format and of the way runs are made; records of another are not used."""


@dataclass(frozen=True)
class Record:
    """What a run leaves.

    Attributes:
        digest: What it is found by.
        trial: The trial's settings in canonical form.
        seed: The run's seed.
        data: The dataset's digest, class names and image shape.
        split: The split's digest and the number of images in each part.
        params: Parameters of the model, trainable or not.
        history: `loss`, `accuracy`, `val_loss` and `val_accuracy` of each epoch.
        best_epoch: Epoch with the lowest `val_loss`, from 1.
        train_seconds: Wall time of the fit; with some seconds of tracing, where no run before it had the same graph.
        scores: `val_` and `test_` `loss`, `f1` and `accuracy` of the weights that were kept.
        provenance: Versions and machine that made it.
        arrays_sha256: Hash of the file with its arrays (64 hex digits); "" before it is stored.
    """

    digest: str
    trial: dict[str, Any]
    seed: int
    data: dict[str, Any]
    split: dict[str, Any]
    params: int
    history: dict[str, list[float]]
    best_epoch: int
    train_seconds: float
    scores: dict[str, float]
    provenance: dict[str, str]
    arrays_sha256: str = ""

    @property
    def epochs(self) -> int:
        """Epochs that were run."""
        return len(self.history["loss"])


SCORES = ("val_loss", "val_f1", "val_accuracy", "test_loss", "test_f1", "test_accuracy")
