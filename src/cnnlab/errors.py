"""Errors that a user can cause. Each message says what was expected, what was received and what to do."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar


class CnnlabError(Exception):
    """Base of every error that a user can cause.

    It is shown in one line: the command line prints it and exits with status 2, and IPython shows it without a
    traceback.
    """

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows in place of a traceback, even if another exception is the cause."""
        return [f"cnnlab: {' '.join(str(self).split())}"]


class ConfigError(CnnlabError):
    """A setting, stage, profile or protocol that does not exist or is out of range."""


class StudyError(ConfigError):
    """A study file that cannot be read, or in which something is wrong.

    Attributes:
        problems: Everything that is wrong, each with its place in the file.
    """

    def __init__(self, name: str, problems: Sequence[str] = ()) -> None:
        self.name, self.problems = name, list(problems)
        more = f" {len(problems) - 1} more: `cnnlab study check` lists them." if len(problems) > 1 else ""
        super().__init__(f"{name}: {problems[0]}{more}" if problems else name)

    def __reduce__(self) -> tuple[type["StudyError"], tuple[str, list[str]]]:
        """Let it travel between processes."""
        return StudyError, (self.name, self.problems)


class DataError(CnnlabError):
    """Images or labels that are missing or cannot be used."""


class ModelError(CnnlabError):
    """A stored model that is missing, cannot be used, or does not match its classes."""


class RecordError(CnnlabError):
    """A stored run that cannot be read or written."""


class RunError(CnnlabError):
    """Runs of a stage that failed on their workers.

    Attributes:
        failures: The reason for each run, by its digest.
    """

    def __init__(self, message: str, failures: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.failures = dict(failures or {})


class WorkerError(CnnlabError):
    """Workers of a cluster with other versions than their client."""


class RecordWarning(UserWarning):
    """Stored runs cannot be used: one that is damaged or cannot be read, or those of other code."""


_Row = TypeVar("_Row")


def lookup(table: Mapping[str, _Row], name: object, kind: str) -> _Row:
    """Return a row of a table by its name.

    Raises:
        ConfigError: No row has this name; the message lists the names.
    """
    if not isinstance(name, str) or name not in table:
        raise ConfigError(f"Expected a {kind} named {', '.join(table)}. Received: {name!r}.")
    return table[name]


def require_name(what: str, name: object) -> None:
    """Require a name that can be shown: a text of one line that is not blank.

    Raises:
        ConfigError: It is not such a name.
    """
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise ConfigError(f"Expected a name of one line, without control characters, for {what}. Received: {name!r}.")


def require(is_valid: bool, name: str, expected: str, value: object) -> None:
    """Require an argument to be valid.

    Raises:
        ConfigError: It is not.
    """
    if not is_valid:
        raise ConfigError(f"Expected {name} to be {expected}. Received: {value!r}.")


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return " Did you mean 'dropout'?" for a name that resembles one of some names, else ""."""
    near = difflib.get_close_matches(name, list(names), 1)
    return f" Did you mean {near[0]!r}?" if near else ""


def split_names(what: str, names: object) -> tuple[str, ...]:
    """Return names that are given as a list, or as one text with commas between them, without blank ones.

    Raises:
        ConfigError: They are neither.
    """
    parts: object = names.split(",") if isinstance(names, str) else names
    listed = list(parts) if isinstance(parts, Iterable) else [parts]
    texts = [name.strip() for name in listed if isinstance(name, str)]
    require(len(texts) == len(listed), what, "names, as 'dropout, loss'", names)
    return tuple(name for name in texts if name)
