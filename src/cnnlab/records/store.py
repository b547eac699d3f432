"""The run store: a folder with one sealed file a run."""

import re
import time
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from cnnlab import files
from cnnlab.errors import RecordError, RecordWarning
from cnnlab.records import sealed
from cnnlab.records.record import FORMAT, HISTORY, SCORES, Record, fit_code_digest, run_digest

SUFFIX = ".run"
QUARANTINE = "quarantine"
CHECKPOINTS = "checkpoints"
FAILURES = "failures"
"""Folder in the store: why runs of joint searches failed."""
PROPOSALS = "proposals"
"""Folder in the store: what the oracles of joint searches have proposed."""
IMAGES = "images"
"""Folder in the store: images as they were decoded and resized, so that this is done once."""
_DIGEST = re.compile("[0-9a-f]{64}")
_State = tuple[int, ...] | None


class RunStore:
    """A folder of stored runs, each one file `<digest>.run`: a sealed archive of its record and its arrays.

    A file is checked when it is read, and again only if it has changed. A file that is not as it was stored is moved to
    the folder `quarantine`, with a `RecordWarning`, and its run counts as missing.

    Args:
        path: The folder; made when something is written.
        fresh: Ignore runs stored before this moment.
    """

    def __init__(self, path: str | Path, *, fresh: bool = False) -> None:
        self.path = Path(path)
        self._ignore_before = time.time() if fresh else 0.0
        self._written: set[str] = set()
        self._checked: dict[str, tuple[Record, _State]] = {}
        self._looked_for_unusable = False

    def _file(self, digest: str) -> Path:
        return self.path / f"{digest}{SUFFIX}"

    def get(self, digest: str) -> Record | None:
        """Return the record of a run; None if it is not stored or its file cannot be trusted."""
        state = _state(self._file(digest))
        try:
            return self._read(digest, state)
        except sealed.BrokenSealError as error:
            if _state(self._file(digest)) == state:  # otherwise another process has just written it again
                self._quarantine(digest, str(error))
        except OSError as error:  # too many open files, or a network that is down: the file may be fine
            _warn(f"The stored run {digest[:12]} cannot be read ({error.strerror}). It will be run again.")
        return None

    def _read(self, digest: str, state: _State) -> Record | None:
        if state is None or (digest not in self._written and state[0] < self._ignore_before * 1e9):
            return None
        if digest not in self._checked or self._checked[digest][1] != state:
            form, _ = sealed.unpack(self._file(digest).read_bytes())
            self._checked[digest] = _parse(form, digest), state
        return self._checked[digest][0]

    def _quarantine(self, digest: str, reason: str) -> None:
        folder = self.path / QUARANTINE
        try:
            folder.mkdir(exist_ok=True)
            self._file(digest).replace(folder / self._file(digest).name)
        except OSError:  # a folder that cannot be written: the run is made again all the same
            folder = self.path
        _warn(
            f"The stored run {digest[:12]} cannot be used: {reason}. It is kept in {str(folder)!r} and will be run "
            "again."
        )

    def arrays(self, digest: str, *names: str) -> dict[str, NDArray[Any]]:
        """Return a run's arrays as `fit.run` made them: those that are named, or all of them.

        Raises:
            RecordError: The run is not stored, or its file is damaged.
        """
        with suppress(OSError, sealed.BrokenSealError):
            if self.get(digest) is not None:
                return sealed.unpack(self._file(digest).read_bytes(), *(names or "*"))[1]
        raise RecordError(
            f"Expected the stored run {digest[:12]}. Received: none, or a damaged one. Run it again (make report)."
        )

    def put(self, record: Record, arrays: Mapping[str, NDArray[Any]]) -> Record:
        """Store a run atomically and return its stored record.

        If another process has stored the run meanwhile, that record is kept and returned, so that all have the same.

        Raises:
            RecordError: The folder cannot be written.
        """
        if (stored := self.get(record.digest)) is not None:
            return stored
        content = sealed.pack({"format": FORMAT, **asdict(record)}, arrays)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                files.write(self._file(record.digest), content, replace=self._ignore_before > 0)
            except FileExistsError:
                if (stored := self.get(record.digest)) is not None:
                    return stored
                files.write(self._file(record.digest), content)
        except OSError as error:
            raise self._cannot_write(error) from error
        self._written.add(record.digest)
        with suppress(OSError):
            (self.path / CHECKPOINTS / f"{record.digest}.ckpt").unlink(missing_ok=True)
        return record

    def put_failure(self, digest: str, reason: str) -> None:
        """Keep why a run failed."""
        with suppress(OSError):  # then it is tried again
            (self.path / FAILURES).mkdir(parents=True, exist_ok=True)
            files.write(self.path / FAILURES / f"{digest}.txt", reason.encode())

    def failure(self, digest: str) -> str:
        """Return why a run failed, as `put_failure` kept it; "" if nothing is known, or if it is stored by now."""
        path = self.path / FAILURES / f"{digest}.txt"
        if (_state(path) or [0])[0] < self._ignore_before * 1e9 or self.get(digest) is not None:
            return ""
        try:
            return path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def _cannot_write(self, error: OSError) -> RecordError:
        return RecordError(
            f"Expected to write runs to {str(self.path)!r}. Received: {error.strerror}. "
            f"{files.advice(error, 'RUNS=...')}"
        )

    def prepare(self) -> Path:
        """Get the store ready for new runs, and return the folder for the checkpoints of unfinished ones.

        Removes temporary files and checkpoints that killed processes left, and names in one line how many stored runs
        cannot be used.

        Raises:
            RecordError: The folder cannot be written.
        """
        checkpoints = self.path / CHECKPOINTS
        try:
            checkpoints.mkdir(parents=True, exist_ok=True)
            for folder in (self.path, checkpoints):
                files.temporary_file(folder).unlink()  # fail now if the folder is not writable
                files.remove_stale_files(folder)
        except OSError as error:
            raise self._cannot_write(error) from error
        for path in checkpoints.glob("*.ckpt"):
            if self._file(path.stem).exists():
                files.remove_stale(path)
            elif (_state(path) or [0])[0] < self._ignore_before * 1e9:
                path.unlink(missing_ok=True)
        if not self._looked_for_unusable:
            self._looked_for_unusable = True
            self._warn_of_unusable()
        return checkpoints.absolute()

    def _warn_of_unusable(self) -> None:
        """Name the runs of other code or an older format, which no digest of this code finds."""
        older = sum(is_of_older_format(path) for path in self.path.glob("*.json"))
        other = sum(is_of_other_code(path) for path in self.path.glob(f"*{SUFFIX}"))
        if older + other:
            _warn(
                f"{older + other} stored runs in {str(self.path)!r} are not used: {other} were made by other code that "
                f"builds and fits models, {older} by a version before 0.2.0. `make runs REMOVE=unused` removes them."
            )

    def records(self) -> list[Record]:
        """Return every record that can be trusted, of any code, sorted by digest; the others stay where they are."""
        records, unusable = [], []
        for path in sorted(self.path.glob(f"*{SUFFIX}")):
            try:
                records.append(self._read(path.stem, _state(path)))
            except (sealed.BrokenSealError, OSError) as error:
                unusable.append(f"{path.stem[:12]}, {error}")
        if unusable:
            _warn(f"{len(unusable)} runs in {str(self.path)!r} cannot be used. The first: {unusable[0]}.")
        return [record for record in records if record is not None]


def _warn(message: str) -> None:
    warnings.warn(message, RecordWarning, stacklevel=4)


def _state(path: Path) -> _State:
    """Return what changes when a file is replaced or written (time of change first); None if there is no file."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_size


def is_of_older_format(path: Path) -> bool:
    """Return whether a JSON file has the name of a run of a version before 0.2.0."""
    return _DIGEST.fullmatch(path.stem) is not None


def is_of_other_code(path: Path) -> bool:
    """Return whether a stored run was made by other code or in another format, without checking the whole file."""
    try:
        with zipfile.ZipFile(path) as archive:
            record = sealed.read_record(archive)
    except (OSError, *sealed.UNREADABLE):
        return False  # not readable at all: `get` looks into that
    return (record.get("format"), record.get("code")) != (FORMAT, fit_code_digest())


def _parse(form: dict[str, Any], digest: str) -> Record:
    """Return the record of a file, if it has this format and belongs to the run that the file is named after.

    Raises:
        BrokenSealError: It does not.
    """
    found = form.pop("format", None)
    if found != FORMAT or form.keys() != {field.name for field in fields(Record)}:
        raise sealed.BrokenSealError(f"its format is {found}, and this version of cnnlab reads {FORMAT}")
    record = Record(**form)
    try:
        own = run_digest(record.trial, record.seed, record.data["digest"], record.split["digest"], record.code)
        complete = all(isinstance(record.scores[name], float) for name in SCORES)
        complete &= all(record.history[name] for name in HISTORY)
    except (KeyError, TypeError) as error:
        raise sealed.BrokenSealError("its record is not complete") from error
    if record.digest != digest or digest != own or not complete:
        raise sealed.BrokenSealError("it is the record of another run")
    return record
