"""The run store: one record a run, found by the digest of what was run."""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cnnlab import config
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

    The arrays are written first; their hash and the record's own stand in the record, and both are checked.

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
            form = _parse(file.read_bytes())
            record = Record(**{setting.name: form[setting.name] for setting in fields(Record)})
            whole = record.digest == digest and _sha256(self.path / f"{digest}.npz") == form["arrays_sha256"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return record if whole else None

    def arrays(self, digest: str, *names: str) -> dict[str, NDArray[Any]]:
        """Return a run's arrays, as `training.run` made them: all of them, or those that are named.

        Raises:
            RecordError: They are missing or not the ones that were stored.
        """
        if self.get(digest) is None:
            raise RecordError(
                f"Expected the stored run {digest[:12]}. Received: none, or a damaged one. Run it again (make report)."
            )
        with np.load(self.path / f"{digest}.npz", allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names or arrays.files}

    def put(self, record: Record, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Store a run, whole or not at all.

        Raises:
            RecordError: The folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with self._scratch(record.digest, ".npz") as stream:
                np.savez(stream, **arrays)  # type: ignore[arg-type]
            form = {
                "schema": SCHEMA,
                "arrays_sha256": _sha256(self.path / f"{record.digest}.npz"),
                **asdict(record),
            }
            with self._scratch(record.digest, ".json") as stream:
                stream.write(json.dumps({**form, "sha256": config.digest(form)}, indent=1).encode())
        except OSError as error:
            raise RecordError(
                f"Expected to write runs to {str(self.path)!r}. Received: {error.strerror}. Free space there, or name "
                "another folder (RUNS=...)."
            ) from error

    @contextmanager
    def _scratch(self, digest: str, suffix: str) -> Iterator[IO[bytes]]:
        """Open a file that gets its name once it is whole and on the disk, so that nobody ever sees half of it."""
        with tempfile.NamedTemporaryFile(dir=self.path, prefix=".", suffix=".part", delete=False) as stream:
            try:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
                Path(stream.name).chmod(0o644)
                Path(stream.name).replace(self.path / f"{digest}{suffix}")
            finally:
                Path(stream.name).unlink(missing_ok=True)

    def records(self) -> list[Record]:
        """Return every record that can be read, in the order of their digests."""
        found = (self.get(path.stem) for path in sorted(self.path.glob("*.json")))
        return [record for record in found if record is not None]


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _parse(content: bytes) -> dict[str, Any]:
    """Return a record's file as it was written; anything else is a ValueError or a KeyError."""
    form = json.loads(content)
    if not isinstance(form, dict) or form.get("schema") != SCHEMA or form.pop("sha256") != config.digest(form):
        raise ValueError("not a record as it was stored")
    return form


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
