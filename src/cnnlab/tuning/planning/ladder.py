"""The largest budget for a time (TIME=2h), from one ordered table of budgets."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cnnlab.errors import ConfigError
from cnnlab.study import Budget
from cnnlab.tuning.images import image_counts
from cnnlab.tuning.planning.calibration import Calibration
from cnnlab.tuning.planning.estimate import Estimate, estimate

if TYPE_CHECKING:
    from cnnlab.tuning.tuning import Tuning

_TIME = re.compile(r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s)?", re.ASCII)
_UNITS = {"h": 3600, "m": 60, "s": 1}
MARGIN = 1.15
"""Runs may take this factor longer than estimated: other programs need the machine, too."""
NAMES = ("train", "val", "test", "epochs", "seeds")
RUNGS = (
    (128, 100, 100, 2, 1),
    (256, 100, 200, 4, 1),
    (256, 100, 200, 8, 1),
    (256, 100, 200, 8, 2),
    (384, 200, 500, 8, 2),
    (384, 200, 500, 12, 2),
    (384, 200, 500, 12, 3),
    (512, 250, 500, 14, 3),
    (768, 300, 1_000, 14, 3),
    (1_000, 400, 1_000, 16, 3),
    (1_250, 500, 1_000, 16, 3),
    (1_500, 500, 1_000, 18, 3),
    (2_000, 500, 2_000, 20, 3),
    (2_500, 800, 5_000, 20, 3),
    (3_000, 1_000, 5_000, 20, 3),
    (4_000, 1_500, 10_000, 20, 3),
    (5_000, 2_000, 10_000, 20, 3),
    (6_500, 2_000, 10_000, 22, 3),
    (8_000, 2_500, 10_000, 25, 3),
    (10_000, 3_000, 10_000, 25, 3),
    (13_000, 3_500, 10_000, 30, 3),
    (16_000, 4_000, 10_000, 35, 3),
    (20_000, 5_000, 10_000, 40, 3),
    (25_000, 6_000, 10_000, 40, 3),
    (30_000, 7_500, 10_000, 45, 3),
    (40_000, 10_000, 10_000, 50, 3),
    (40_000, 10_000, 10_000, 50, 4),
    (40_000, 10_000, 10_000, 50, 5),
    (40_000, 10_000, 10_000, 70, 5),
    (40_000, 10_000, 10_000, 100, 5),
    (40_000, 10_000, 10_000, 150, 5),
    (40_000, 10_000, 10_000, 250, 5),
    (40_000, 10_000, 10_000, 500, 5),
)
"""The numbers of each budget, as `NAMES`; each takes longer than the one before. Other values are the profile's."""


@dataclass(frozen=True)
class Rung:
    """The budget that fits a time.

    Attributes:
        changes: Its numbers, without those that the user has given, as `make_budget` takes them.
        budget: The budget, as `Tuning.use_budget` takes it.
        estimate: What it will take.
    """

    changes: dict[str, Any]
    budget: Budget
    estimate: Estimate


def parse_time(text: str) -> float:
    """Return a time in seconds: 45s, 90m, 2h, 1.5h or 1h30m.

    Raises:
        ConfigError: It is not such a time, or not above 0.
    """
    match = _TIME.fullmatch(text.strip().lower()) if isinstance(text, str) else None
    seconds = sum(float(match[unit] or 0) * size for unit, size in _UNITS.items()) if match else 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigError(
            "Expected a time in hours (h), minutes (m) and seconds (s), as 45s, 90m, 2h or 1h30m. "
            f"Received: {text!r}. Give one (TIME=2h)."
        )
    return seconds


def choose_rung(
    tuning: "Tuning",
    calibration: Calibration,
    seconds: float,
    *,
    spent: float = 0.0,
    report: bool = True,
) -> Rung:
    """Return the largest budget whose runs, with all of their epochs, fit in a time. The images are not read again.

    Args:
        tuning: The study. The numbers that the user has given for its budget stay as they are.
        calibration: What its workers take.
        seconds: The time.
        spent: How much of it has passed, as for reading the images and the calibration.
        report: Whether notebooks and page are made.

    Raises:
        ConfigError: The smallest budget takes longer.
        DataError: The images cannot be used.
    """
    chosen, least = None, 0.0
    for numbers in _rungs(tuning):
        budget = replace(tuning.budget, **numbers)
        made = estimate(tuning, calibration, budget, report=report)
        needed = spent + MARGIN * (made.seconds[1] - calibration.start_seconds - calibration.read_seconds)
        least = least or needed
        if needed > seconds:
            break
        chosen = Rung({name: number for name, number in numbers.items() if name not in tuning.given}, budget, made)
    if chosen is None:
        raise ConfigError(
            f"Expected a time of at least {_short(least)} for this study on this machine. Received: "
            f"{_short(seconds, math.floor)}. Give more (TIME=...), or run fewer stages (STAGES=...)."
        )
    return chosen


def _rungs(tuning: "Tuning") -> Iterator[dict[str, Any]]:
    """Yield the numbers of each budget, with those that stay as they are, and with no more images than there are."""
    dataset, before = tuning.images.dataset(colour=False), dict[str, Any]()
    own = {name: getattr(tuning.budget, name) for name in NAMES if name in tuning.given}
    for rung in RUNGS:
        numbers: dict[str, Any] = {**dict(zip(NAMES, rung, strict=True)), **own}
        train, val, test = image_counts(dataset, replace(tuning.budget, **numbers))
        numbers |= {"train": train, "val": val, "test": test} | own
        if numbers != before:
            yield numbers
        before = numbers


def _short(seconds: float, rounded: Callable[[float], int] = math.ceil) -> str:
    """Return a time as `parse_time` reads it: in seconds, in minutes or in hours."""
    for unit, size in (("s", 1), ("m", 60)):
        if seconds <= 100 * size:
            return f"{rounded(seconds / size)}{unit}"
    return f"{rounded(seconds / 360) / 10:g}h"
