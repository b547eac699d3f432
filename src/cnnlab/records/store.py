"""The run store: one record a run, found by the digest of what was run."""

import hashlib
import io
import json
import re
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnlab import files
from cnnlab.errors import RecordError, RecordWarning
from cnnlab.records.record import SCHEMA, SCORES, Record, json_digest, run_digest

QUARANTINE = "quarantine"


CHECKPOINTS = "checkpoints"


_DIGEST = re.compile("[0-9a-f]{64}")


_State = tuple[int, ...] | None


class RunStore:
    """A folder of records: `<digest>.json`, and `<digest>-<hash>.npz` with the run's arrays.

    The arrays are written first, under a name with their hash in it, so that the record beside them never meets
    another run's. Both hashes are checked when a record is read (again only if a file has changed). What is not as it
    was stored is moved to the folder `set-aside`, with a `RecordWarning`, and counts as missing.

    Args:
        path: The folder; made when something is written.
        fresh: Ignore records written before this moment.
    """

    def __init__(self, path: str | Path, *, fresh: bool = False) -> None:
        self.path = Path(path)
        self._ignore_before = time.time() if fresh else 0.0
        self._own: set[str] = set()
        self._checked: dict[str, tuple[Record, tuple[_State, _State]]] = {}

    def get(self, digest: str) -> Record | None:
        """Return a record, or None where there is none, or none that can be trusted."""
        before = _state(self.path / f"{digest}.json")
        try:
            return self._read(digest, before)
        except _UnusableError as error:
            if _state(self.path / f"{digest}.json") == before:  # else another process has just written it anew
                self._quarantine(digest, str(error))
        except OSError as error:  # too many open files, a network that is away: nothing is wrong with the record
            _warn(f"{digest[:12]} cannot be read ({error.strerror}). It will be done again.")
        return None

    def _read(self, digest: str, state: _State) -> Record | None:
        """Return a record whose file is in a state, if it is there and not to be ignored.

        Raises:
            _UnusableError: It cannot be trusted.
            OSError: It cannot be read.
        """
        if state is None or (digest not in self._own and state[0] < self._ignore_before * 1e9):
            return None
        if digest in self._checked:
            record, states = self._checked[digest]
            if states == (state, _state(self._arrays(record))):
                return record  # hashed before, and not touched since
        record = _parse((self.path / f"{digest}.json").read_bytes(), digest)
        arrays = self._arrays(record)
        states = state, _state(arrays)
        try:
            if _sha256(arrays) != record.arrays_sha256:
                raise _UnusableError(f"the arrays of {digest[:12]} are not the ones that were stored")
        except FileNotFoundError as error:
            raise _UnusableError(f"the arrays of {digest[:12]} are missing") from error
        self._checked[digest] = record, states
        return record

    def _arrays(self, record: Record) -> Path:
        return self.path / f"{record.digest}-{record.arrays_sha256[:16]}.npz"

    def _quarantine(self, digest: str, why: str) -> None:
        place = self.path / QUARANTINE
        try:
            place.mkdir(exist_ok=True)
            for file in self.path.glob(f"{digest}*"):
                file.replace(place / file.name)
        except OSError:
            place = self.path  # a folder that cannot be written: the run is done again all the same
        _warn(f"A stored run cannot be used: {why}. It is kept in {str(place)!r} and will be done again.")

    def arrays(self, digest: str, *names: str) -> dict[str, NDArray[Any]]:
        """Return a run's arrays, as `training.run` made them: all of them, or those that are named.

        Raises:
            RecordError: They are missing or not the ones that were stored.
        """
        record = self.get(digest)
        try:
            content = self._arrays(record).read_bytes() if record else b""
        except OSError:
            content = b""
        if record is None or hashlib.sha256(content).hexdigest() != record.arrays_sha256:
            raise RecordError(
                f"Expected the stored run {digest[:12]}. Received: none, or a damaged one. Run it again (make report)."
            )
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names or arrays.files}

    def put(self, record: Record, arrays: Mapping[str, NDArray[Any]]) -> Record:
        """Store a run, whole or not at all; return what is stored.

        That is the record of another process, if one was faster: so all have the same.

        Raises:
            RecordError: The folder cannot be written.
        """
        found = self.get(record.digest)
        if found is not None:
            return found
        stream = io.BytesIO()
        np.savez(stream, **arrays)  # type: ignore[arg-type]
        blob = stream.getvalue()
        record = replace(record, arrays_sha256=hashlib.sha256(blob).hexdigest())
        form = {"schema": SCHEMA, **asdict(record)}
        content = json.dumps({**form, "sha256": json_digest(form)}, indent=1).encode()
        file = self.path / f"{record.digest}.json"
        replaces = file.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            files.write(self._arrays(record), blob)
            try:
                files.write(file, content, replace=self._ignore_before > 0)
            except FileExistsError:
                found = self.get(record.digest)
                if found is not None:
                    return found
                replaces = True
                files.write(file, content)
        except OSError as error:
            raise self._cannot_write(error) from error
        self._own.add(record.digest)
        with suppress(OSError):  # what this record takes the place of
            (self.path / CHECKPOINTS / f"{record.digest}.ckpt").unlink(missing_ok=True)
            # Else there is nothing to look for in a folder that may hold thousands of runs.
            others = set(self.path.glob(f"{record.digest}-*.npz")) if replaces else set()
            for other in others - {self._arrays(record)}:
                other.unlink()
        return record

    def _cannot_write(self, error: OSError) -> RecordError:
        return RecordError(
            f"Expected to write runs to {str(self.path)!r}. Received: {error.strerror}. Free space there, or name "
            "another folder (RUNS=...)."
        )

    def checkpoints(self) -> Path:
        """Return the folder for checkpoints of runs that are not finished, having tidied the store up.

        What killed processes left is removed: scratch files, arrays without a record, checkpoints of stored runs.

        Raises:
            RecordError: The folder cannot be written.
        """
        place = self.path / CHECKPOINTS
        try:
            place.mkdir(parents=True, exist_ok=True)
            for folder in (self.path, place):
                files.temporary_file(folder).unlink()  # hours before it would be found out otherwise
                files.remove_stale_files(folder)
        except OSError as error:
            raise self._cannot_write(error) from error
        for path in [*self.path.glob("*.npz"), *place.glob("*.ckpt")]:
            digest = path.stem.partition("-")[0]
            stored = (self.path / f"{digest}.json").exists()
            if stored == (path.suffix == ".ckpt") and _DIGEST.fullmatch(digest):
                files.remove_stale(path)
            elif path.suffix == ".ckpt" and (_state(path) or [0])[0] < self._ignore_before * 1e9:
                path.unlink(missing_ok=True)
        return place.absolute()

    def records(self) -> list[Record]:
        """Return every record that can be used, in the order of their digests; the others stay where they are."""
        found, unusable = [], []
        for path in sorted(self.path.glob("*.json")):
            if _DIGEST.fullmatch(path.stem):
                try:
                    found.append(self._read(path.stem, _state(path)))
                except (_UnusableError, OSError) as error:
                    unusable.append(str(error))
        if unusable:
            _warn(f"{len(unusable)} runs in {str(self.path)!r} cannot be used; the first: {unusable[0]}.")
        return [record for record in found if record is not None]


def _warn(message: str) -> None:
    warnings.warn(message, RecordWarning, stacklevel=4)


class _UnusableError(Exception):
    """Why a file is not a record that can be trusted."""


def _state(path: Path) -> _State:
    """Return what changes when a file is replaced or written to (time of change first); None if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _parse(content: bytes, digest: str) -> Record:
    """Return the record that a file holds, if it is as it was written, of this format and of the run it is named by."""
    try:
        form = json.loads(content)
        hashed = form.pop("sha256")
        schema = form.pop("schema")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _UnusableError(f"{digest[:12]} is torn, or no record") from error
    if hashed != json_digest({"schema": schema, **form}):
        raise _UnusableError(f"the content of {digest[:12]} has changed")
    if schema != SCHEMA or form.keys() != {setting.name for setting in fields(Record)}:
        raise _UnusableError(f"its format is {schema}, that of this version of cnnlab is {SCHEMA}")
    record = Record(**form)
    try:
        own = run_digest(record.trial, record.seed, record.data["digest"], record.split["digest"])
        whole = all(isinstance(record.scores[name], float) for name in SCORES) and record.history["loss"]
    except (KeyError, TypeError) as error:
        raise _UnusableError(f"{digest[:12]} is torn, or no record") from error
    if record.digest != digest or digest != own or not whole:
        raise _UnusableError(f"{digest[:12]} is the record of another run")
    return record
