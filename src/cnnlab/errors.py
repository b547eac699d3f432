"""Errors that a user can cause. Each message says what was expected, what was received and what to do."""

from collections.abc import Mapping
from typing import TypeVar


class CnnlabError(Exception):
    """Base of every error that a user can cause. The command line prints it in one line and exits with status 2."""


class ConfigError(CnnlabError):
    """A setting, stage, profile or protocol that does not exist or is out of range."""


class DataError(CnnlabError):
    """Images or labels that are missing or cannot be used."""


class ModelError(CnnlabError):
    """A stored model that is missing, cannot be used, or does not match its classes."""


class RecordError(CnnlabError):
    """A stored run that cannot be read or written."""


class RunError(CnnlabError):
    """Runs of a stage that failed on their workers."""


class WorkerError(CnnlabError):
    """Workers of a cluster with other versions than their client."""


class RecordWarning(UserWarning):
    """Stored runs cannot be used: one that is damaged or cannot be read, or those of other code."""


_Row = TypeVar("_Row")


def lookup(table: Mapping[str, _Row], name: str, kind: str) -> _Row:
    """Return a row of a table by its name.

    Raises:
        ConfigError: No row has this name; the message lists the names.
    """
    if name not in table:
        raise ConfigError(f"Expected a {kind} named {', '.join(table)}. Received: {name!r}.")
    return table[name]
