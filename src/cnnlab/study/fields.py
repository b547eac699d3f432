"""Validators and converters for the fields of settings."""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from cnnlab.errors import require

_LARGEST = 2**53  # up to here, each whole number has its own float


def require_whole(name: str, value: object, least: int = 1) -> None:
    """Require a whole number.

    Raises:
        ConfigError: It is not a whole number, or it is below `least`.
    """
    require(_is_whole(value, least), name, f"a whole number of at least {least}", value)


def difference(name: str, value: object, within: str, is_within: Callable[[float], bool]) -> float:
    """Return a difference of macro-F1 as a float.

    Args:
        name: What it is called.
        value: The value to check.
        within: Its range in words.
        is_within: Whether a number is in that range.

    Raises:
        ConfigError: It is not a number, or not in its range.
    """
    is_valid = isinstance(value, int | float) and not isinstance(value, bool) and is_within(value)
    require(is_valid, name, f"a difference of macro-F1, {within}", value)
    return float(cast(float, value))


def show_value(value: Any) -> str:
    """Return a value as study files and tables show it: 0.1, true, none, 32-64-128 for a list."""
    if isinstance(value, list | tuple):
        return "-".join(map(show_value, value)) or "none"
    return str(value).lower() if isinstance(value, bool | None) else str(value)


def _is_whole(value: object, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class Expect:
    """A validator of attrs that raises ConfigError unless a value is valid.

    Attributes:
        expected: What a value may be, as the error and `options` say it.
        is_valid: Whether a value is that.
    """

    expected: str
    is_valid: Callable[[Any], bool]

    def __call__(self, _: Any, setting: Any, value: Any) -> None:
        """Validate the value of a setting."""
        require(self.is_valid(value), setting.name, self.expected, value)


def one_of(options: Collection[str]) -> Expect:
    """Return a validator that requires one of some names."""
    return Expect(f"one of {', '.join(options)}", lambda value: isinstance(value, str) and value in options)


flag = Expect("True or False", lambda value: isinstance(value, bool))
count = Expect("a whole number of at least 1", _is_whole)
count_or_none = Expect("a whole number of at least 1, or None", lambda value: value is None or _is_whole(value))
fraction_or_none = Expect(
    "a number between 0 and 1, or None", lambda value: value is None or (_is_number(value) and 0 < value < 1)
)
rate_or_none = Expect(
    "a number above 0, or None", lambda value: value is None or (_is_number(value) and 0 < value < math.inf)
)
share = Expect("a number of at least 0 and below 1", lambda value: _is_number(value) and 0 <= value < 1)
counts = Expect(
    "a list of whole numbers, each at least 1, for at least one block",
    lambda values: isinstance(values, tuple) and len(values) > 0 and all(map(_is_whole, values)),
)
rates = Expect(
    "a number of at least 0 and below 1, or a list of such numbers",
    lambda values: all(
        _is_number(rate) and 0 <= rate < 1 for rate in (values if isinstance(values, tuple) else [values])
    ),
)


# These converters leave any other value as it is: the validators reject it.
def plain(value: Any) -> Any:
    """Return a NumPy number, or an array without axes, as a Python number."""
    return value.item() if isinstance(value, np.generic | np.ndarray) and value.ndim == 0 else value


def decimal(value: Any) -> Any:
    """Return a whole number as a float, so that 1 and 1.0 make equal trials."""
    value = plain(value)
    return float(value) if _is_whole(value, 0) and value < _LARGEST else value


def lower(name: Any) -> Any:
    """Return a name in lower case."""
    return name.lower() if isinstance(name, str) else name


def to_tuple(values: Any) -> Any:
    """Return a list as a tuple of Python numbers."""
    if isinstance(values, list | tuple | np.ndarray | range):
        return tuple(map(plain, values))
    return values


def to_rates(values: Any) -> Any:
    """Return a rate, or a list of rates, as floats."""
    several = to_tuple(plain(values))
    return tuple(map(decimal, several)) if isinstance(several, tuple) else decimal(several)
