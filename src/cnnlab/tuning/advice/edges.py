"""Find a selected value at the edge of the range that a stage varies."""

import itertools
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cnnlab.errors import ConfigError
from cnnlab.study import Trial
from cnnlab.tuning.results import StageResult

MIN_VALUES = 3  # the smallest number of values that make a range
_Values = tuple[float, ...]  # a setting's value as numbers: one, or those of a sequence


@dataclass(frozen=True)
class Edge:
    """A selected value at the edge of a stage's range.

    Attributes:
        setting: The setting that the stage varies.
        value: Its selected value: a number, or a list of numbers.
        side: "lower" or "higher": where to look further.
        n_values: How many different values the stage has.
    """

    setting: str
    value: float | list[float]
    side: str
    n_values: int


def value_text(value: float | list[float]) -> str:
    """Return a value as in the name of a trial: 0.1, or 32-64-128 for a list."""
    return "-".join(f"{number:g}" for number in (value if isinstance(value, list) else [value]))


def find_edge(result: StageResult) -> Edge | None:
    """Return the edge at which the selected value lies.

    None if the trials vary several settings; if there are too few values, or they are no numbers, or lists of numbers
    without an order; if the selected value lies between others; and where no value beyond it makes sense.
    """
    selected = result.selected.settings
    dropped = {trial.name for trial in result.dropped}
    trials = [trial.settings for trial in result.distinct_trials]
    # Successive halving has tried these too.
    for spec in result.stage.trials:
        if spec.name in dropped:
            with suppress(ConfigError):  # a model of the user's has other settings
                trials.append(selected.change(**spec.changes))
    forms = [dict(named_settings(trial)) for trial in trials]
    names = dict.fromkeys(name for form in forms for name in form)
    varied = [name for name in names if any(form.get(name) != forms[0].get(name) for form in forms)]
    if len(varied) != 1:
        return None
    [setting] = varied
    values = _numbers(setting, [form.get(setting) for form in [*forms, dict(named_settings(selected))]])
    ordered = sorted(set(values))
    if len(ordered) < MIN_VALUES or not _is_ordered(ordered):
        return None
    side = {ordered[0]: "lower", ordered[-1]: "higher"}.get(values[-1])
    if side is None or not _goes_on(result, setting, values[-1], side):
        return None
    is_one_number = len(values[-1]) == 1 or (setting == "dropout" and all(len(set(value)) == 1 for value in values))
    return Edge(setting, values[-1][0] if is_one_number else list(values[-1]), side, len(ordered))


def named_settings(trial: Trial) -> Iterator[tuple[str, Any]]:
    """Yield each setting by its name alone, as `Trial.change` takes it, with a plain value.

    Of an own model, they begin with the start of its file's digest and its function.
    """
    parts: list[tuple[str, Any]] = list(trial.canonical().items())
    for name, value in parts:
        if isinstance(value, Mapping):
            parts += value.items()
        else:
            yield name, value[:12] if name == "file" else value


def _numbers(setting: str, values: list[Any]) -> list[_Values]:
    """Return the values of a setting as equally many numbers each; [] if some are none."""
    made = [tuple(value) if isinstance(value, list) else (value,) for value in values]
    length = max(map(len, made))
    if setting == "dropout":  # an empty list is no dropout
        made = [value or (0.0,) * length for value in made]
    is_number = all(
        isinstance(number, int | float) and not isinstance(number, bool) for value in made for number in value
    )
    return made if is_number and all(len(value) == length for value in made) else []


def _is_ordered(values: list[_Values]) -> bool:
    """Return whether each of some sorted values is at least as high as the one before, number by number."""
    return all(
        low <= high for smaller, larger in itertools.pairwise(values) for low, high in zip(smaller, larger, strict=True)
    )


def _goes_on(result: StageResult, setting: str, value: _Values, side: str) -> bool:
    """Return whether a value beyond this one is allowed, has an effect, and is within the budget."""
    trial, n_train = result.selected.settings, result.selected_records[0].split["train"]
    if side == "higher" and (setting == "epochs" or (setting == "batch_size" and value[0] >= n_train)):
        return False  # the budget limits epochs; a batch of all training images is the largest
    step = 1 if side == "higher" else -1
    beyond = [number + step if isinstance(number, int) else math.nextafter(number, step * math.inf) for number in value]
    is_list = isinstance(dict(named_settings(trial))[setting], list)
    try:
        other = trial.change(**{setting: beyond if is_list else beyond[0]})
    except ConfigError:  # out of the range of the setting
        return False
    return other.effective() != trial.effective()
