"""The wording of errors and warnings about data."""

from dataclasses import dataclass

from cnnlab.errors import DataError


@dataclass(frozen=True)
class DataWarning:
    """Something about images that a user should know before any fit.

    Attributes:
        name: Its kind, by which a user accepts it, such as "pixel-range".
        text: One line: what was seen, and what to do.
    """

    name: str
    text: str


def unexpected(expected: str, received: object, advice: str = "") -> DataError:
    """Return an error that says what was expected, what was received and, if that helps, what to do."""
    return DataError(f"Expected {expected}. Received: {received}. {advice}".rstrip())


def quote(value: object, limit: int = 30) -> str:
    """Return a value of an untrusted file in quotes, printable and short."""
    return repr(value)[:limit]
