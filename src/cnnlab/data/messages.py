"""The wording of errors about data."""

from cnnlab.errors import DataError


def unexpected(expected: str, received: object, advice: str = "") -> DataError:
    """Return an error that says what was expected, what was received and, if that helps, what to do."""
    return DataError(f"Expected {expected}. Received: {received}. {advice}".rstrip())


def quote(value: object, limit: int = 30) -> str:
    """Return a value of an untrusted file in quotes, printable and short."""
    return repr(value)[:limit]
