"""The joint search of a study: the settings that it varies together, and how."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from cnnlab.errors import ConfigError, did_you_mean, require
from cnnlab.study.fields import require_whole, show_value

SEARCH = "search"
"""Name of the stage of the joint search."""
FIRST_SEED = 100_001
"""First seed of the runs of a search: no other run has it, so that the winner's later runs are fresh."""
MOST_VALUES = 1_000
"""Most values of a setting that has a step."""
MOST_TRIALS = 1_000
"""Most trials of a search: an oracle takes longer and longer."""
_MOST = {"trials": MOST_TRIALS, "seeds": 100, "parallel": 100}
"""The numbers of a search, and the most of each."""
_KEYS = ("oracle", *_MOST, "fixed", "space")
_NOT_SETTINGS = ("colour", "layout")
"""Settings that choose the images: stages about colour vary them."""
_RANGE_KEYS = ("from", "to", "step", "log")
_DIGITS = 3
"""Significant digits of a value between two others: more would make no difference, and are hard to read."""


class OracleKind(StrEnum):
    """Which oracle of Keras Tuner proposes trials."""

    RANDOM = "random"
    BAYESIAN = "bayesian"


@dataclass(frozen=True)
class Dimension:
    """A setting of the space, and the values that it may have: some values, or all numbers of a range.

    Attributes:
        setting: Its name.
        values: The values, in order; () for a range.
        low: The smallest number of a range.
        high: The largest number of a range.
        log: Whether equal factors are equally likely, rather than equal differences.
        is_whole: Whether the numbers are whole.
    """

    setting: str
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    is_whole: bool = False

    def value(self, position: float) -> Any:
        """Return the value at a position from 0 to 1. All values have parts of equal length."""
        if self.values:
            return self.values[min(int(position * len(self.values)), len(self.values) - 1)]
        if self.log:
            number = self.low * (self.high / self.low) ** position
        else:
            number = self.low + position * (self.high - self.low)
        if self.is_whole:
            return round(number)
        return min(max(float(f"{number:.{_DIGITS}g}"), self.low), self.high)

    def position(self, value: Any) -> float:
        """Return the position of a value, from 0 to 1: what `value` turns into it again."""
        if self.values:
            return (_distinct(self.values).index(_distinct([value])[0]) + 0.5) / len(self.values)
        if self.high == self.low:
            return 0.5
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return float((value - self.low) / (self.high - self.low))

    def __str__(self) -> str:
        """What it may be, in words."""
        if self.values:
            return ", ".join(map(show_value, self.values))
        kind = ", on a log scale" if self.log else ""
        return f"{show_value(self.low)} to {show_value(self.high)}{kind}"


@dataclass(frozen=True)
class Search:
    """A search over several settings at once.

    Attributes:
        oracle: Which oracle proposes trials, after a first part of quasi-random ones.
        space: The settings that vary.
        fixed: Settings of all its trials. What is neither in `space` nor here stays as the incumbent has it.
        trials: How many trials are run; None for as many as cost what the stages before have cost.
        seeds: Seeds of each trial.
        parallel: How many trials the oracle proposes before it is told their scores.
    """

    oracle: OracleKind
    space: tuple[Dimension, ...]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    trials: int | None = None
    seeds: int = 1
    parallel: int = 4

    @property
    def seed_numbers(self) -> tuple[int, ...]:
        """The seeds of each trial."""
        return tuple(range(FIRST_SEED, FIRST_SEED + self.seeds))

    def settings(self, positions: Sequence[float]) -> dict[str, Any]:
        """Return the settings at a point of the space: one position from 0 to 1 for each dimension."""
        return {dim.setting: dim.value(position) for dim, position in zip(self.space, positions, strict=True)}


def read_search(
    table: object,
    read_settings: Callable[[str, Any], dict[str, Any]],
    at: Callable[[str], AbstractContextManager[None]],
) -> Search:
    """Return the search of a study file; what is wrong in it is missing or has its default.

    Args:
        table: The table `[search]`.
        read_settings: Returns the settings of a trial as they are used, given a name for errors and what the file has.
        at: Notes an error of its block under a place in the file; the block ends there.
    """
    kind, fixed, space, numbers = OracleKind.BAYESIAN, dict[str, Any](), list[Dimension](), dict[str, int]()
    with at(SEARCH):
        if not isinstance(table, dict):
            raise ConfigError(f"Expected the search under a line [search]. Received: {table!r}.")
    if not isinstance(table, dict):
        return Search(kind, ())
    for key in table:
        with at(SEARCH):
            _require_keys([key], _KEYS)
    with at(SEARCH):
        kinds, oracle = tuple(OracleKind), table.get("oracle", kind)
        require(oracle in kinds, "oracle", f"one of {', '.join(kinds)}", oracle)
        kind = OracleKind(oracle)
    for name in filter(table.__contains__, _MOST):
        with at(SEARCH):
            require_whole(name, table[name])
            require(table[name] <= _MOST[name], name, f"at most {_MOST[name]:,}", table[name])
            numbers[name] = table[name]
    with at(SEARCH):
        fixed = read_settings("fixed", table.get("fixed", {}))
        _require_no_images(fixed)
    given = table.get("space", {})
    with at(SEARCH):
        if not isinstance(given, dict) or not given:
            raise ConfigError(
                "Expected settings and their values under a line [search.space], as batch_size = [32, 64] or dropout = "
                f"{{ from = 0.0, to = 0.5, step = 0.1 }}. Received: {given!r}."
            )
    for name, values in given.items() if isinstance(given, dict) else ():
        with at(SEARCH):
            _require_no_images([name])
            if name in fixed:
                raise ConfigError(f"Expected each setting in fixed or in space. Received: {name!r} in both.")
            space.append(_dimension(name, values, read_settings))
    return Search(kind, tuple(space), fixed, **numbers)


def _require_no_images(settings: Iterable[str]) -> None:
    for name in settings:
        if name in _NOT_SETTINGS:
            raise ConfigError(
                f"Expected settings of the model and its training. Received: {name!r}. Write a stage about colour, or "
                "start = { colour = true }."
            )


def _distinct(values: Iterable[Any]) -> list[tuple[bool, Any]]:
    """Return the values such that 1 and true, which Python takes for equal, are different."""
    return [(isinstance(value, bool), value) for value in values]


def _require_keys(keys: Iterable[str], known: Sequence[str]) -> None:
    for key in keys:
        if key not in known:
            raise ConfigError(
                f"Expected one of the keys {', '.join(known)}. Received: {key!r}.{did_you_mean(key, known)}"
            )


def _dimension(setting: str, given: Any, read_settings: Callable[[str, Any], dict[str, Any]]) -> Dimension:
    """Return what a study file gives for a setting of the space."""
    if isinstance(given, dict):
        dimension = _range(setting, given)
    else:
        is_list = isinstance(given, list) and len(given) > 0
        require(is_list, setting, "a list of values, or { from = LOW, to = HIGH }", given)
        dimension = Dimension(setting, tuple(given))
    values = dimension.values or (dimension.value(0), dimension.value(1))
    read = [read_settings(setting, {setting: value})[setting] for value in values]
    if not dimension.values:
        return dimension
    if any(value in _distinct(read[:number]) for number, value in enumerate(_distinct(read))):
        raise ConfigError(f"Expected each value of {setting} once. Received: {given!r}.")
    return replace(dimension, values=tuple(read))


def _range(setting: str, given: dict[str, Any]) -> Dimension:
    """Return a dimension for numbers from one to another."""
    _require_keys(given, _RANGE_KEYS)
    low, high, step, log = (given.get(key) for key in _RANGE_KEYS)
    are_numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high))
    if not are_numbers or not -math.inf < low < high < math.inf:  # type: ignore[operator]
        raise ConfigError(f"Expected {setting} from a number to a larger one. Received: {given!r}.")
    assert low is not None
    assert high is not None
    require(log in (None, True, False), f"log of {setting}", "true or false", log)
    is_whole = isinstance(low, int) and isinstance(high, int)
    if log:
        require(low > 0, f"from of {setting}", "above 0 on a log scale", low)
        require(step is None, f"step of {setting}", "missing on a log scale", step)
        return Dimension(setting, (), low, high, log=True, is_whole=is_whole)
    if step is None and not is_whole:
        return Dimension(setting, (), low, high)
    step = 1 if step is None else step
    is_step = isinstance(step, int | float) and not isinstance(step, bool) and 0 < step <= high - low
    require(is_step, f"step of {setting}", f"above 0 and at most {high - low:g}", step)
    n_steps = (high - low) / step + 1e-9  # it may be infinite
    if n_steps >= MOST_VALUES:
        raise ConfigError(
            f"Expected at most {MOST_VALUES:,} values of {setting}. Received: {n_steps + 1:,.0f}. Give a larger step, "
            "or log = true."
        )
    return Dimension(setting, tuple(_after(low, number, step) for number in range(math.floor(n_steps) + 1)))


def _after(low: float, number: int, step: float) -> float:
    """Return the number that is some steps above another, without the error of the sum: 0.3 after three of 0.1."""
    total = low + number * step
    return total if isinstance(total, int) else float(f"{total:.12g}")
