"""The run store: one record a run, found by the digest of what was run."""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cnnlab.errors import RecordError

SCHEMA = 1
"""Version of the records' format; records of another are not used."""


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
        train_seconds: Wall time of the fit.
        scores: `val_` and `test_` `loss`, `f1` and `accuracy` of the weights that were kept.
        provenance: Versions and machine that made it.
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

    @property
    def epochs(self) -> int:
        """Epochs that were run."""
        return len(self.history["loss"])


class RunStore:
    """A folder of records: `<digest>.json`, and `<digest>.npz` with the run's arrays.

    The arrays are written first and their hash stands in the record, so a record that is there and fits is whole.

    Args:
        path: The folder; made when something is written.
        fresh: Ignore records written before this moment.
    """

    def __init__(self, path: str | Path, *, fresh: bool = False) -> None:
        self.path = Path(path)
        self._ignore_before = time.time() if fresh else 0.0

    def get(self, digest: str) -> Record | None:
        """Return a record, or None where there is none, or none that can be trusted."""
        file = self.path / f"{digest}.json"
        try:
            if file.stat().st_mtime < self._ignore_before:
                return None
            record = _parse(file.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, RecordError):
            return None
        return record if record.digest == digest and (self.path / f"{digest}.npz").exists() else None

    def arrays(self, digest: str) -> dict[str, NDArray[Any]]:
        """Return a run's arrays, as `training.run` made them.

        Raises:
            RecordError: They are missing or not the ones that were stored.
        """
        file = self.path / f"{digest}.npz"
        try:
            expected = json.loads((self.path / f"{digest}.json").read_bytes())["arrays_sha256"]
            content = file.read_bytes()
        except (OSError, ValueError, KeyError) as error:
            raise RecordError(f"Expected the stored run {digest[:12]}. Received: {error}. Run it again.") from error
        if hashlib.sha256(content).hexdigest() != expected:
            raise RecordError(
                f"Expected the arrays of run {digest[:12]} as they were stored. Received: others. Delete {file} and "
                "run it again."
            )
        with np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)

    def put(self, record: Record, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Store a run, whole or not at all.

        Raises:
            RecordError: The folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            target = self.path / f"{record.digest}.npz"
            with tempfile.NamedTemporaryFile(dir=self.path, suffix=".part", delete=False) as scratch:
                np.savez(scratch, **arrays)  # type: ignore[arg-type]
            sha = hashlib.sha256(Path(scratch.name).read_bytes()).hexdigest()
            _settle(Path(scratch.name), target)
            form = {"schema": SCHEMA, "arrays_sha256": sha, **asdict(record)}
            text = json.dumps(form, indent=1).encode()
            with tempfile.NamedTemporaryFile(dir=self.path, suffix=".part", delete=False) as scratch:
                scratch.write(text)
            _settle(Path(scratch.name), self.path / f"{record.digest}.json")
        except OSError as error:
            raise RecordError(
                f"Expected to write runs to {str(self.path)!r}. Received: {error.strerror}. Free space there, or name "
                "another folder (RUNS=...)."
            ) from error

    def records(self) -> list[Record]:
        """Return every record that can be read, in the order of their digests."""
        found = (self.get(path.stem) for path in sorted(self.path.glob("*.json")))
        return [record for record in found if record is not None]


def _settle(scratch: Path, target: Path) -> None:
    """Put a finished file in place, so that nobody ever sees half of it."""
    with scratch.open("rb") as stream:
        os.fsync(stream.fileno())
    scratch.chmod(0o644)
    scratch.replace(target)


def _parse(content: bytes) -> Record:
    try:
        form = json.loads(content)
        if form["schema"] != SCHEMA:
            raise ValueError(f"schema {form['schema']}")
        return Record(**{setting.name: form[setting.name] for setting in fields(Record)})
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"Expected a stored run. Received: something else ({error}).") from error


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


SCORES = ("val_loss", "val_f1", "val_accuracy", "test_loss", "test_f1", "test_accuracy")


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
