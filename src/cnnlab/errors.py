"""Errors a user can cause; each message says what was expected, what came and what to do."""


class CnnlabError(Exception):
    """Base of every error a user can cause. The command line prints it in one line and exits with 2."""


class ConfigError(CnnlabError):
    """A setting, a stage, a profile or a protocol that does not exist or is out of range."""


class DataError(CnnlabError):
    """Images or labels that are missing or cannot be used."""


class RecordError(CnnlabError):
    """A stored run that cannot be read or written."""


class RunError(CnnlabError):
    """Runs of a stage that failed on their workers."""


class RecordWarning(UserWarning):
    """A stored run that cannot be used was set aside; it will be done again."""
