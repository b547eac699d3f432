"""Simulated searches: how often settings that matter are shown, and settings that do not."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from cnnlab.evidence import SettingImportance, importance

SD = 0.02  # of a configuration's macro-F1


@dataclass(frozen=True)
class Effect:
    """What settings do to the macro-F1.

    Attributes:
        settings: The names of those that matter.
        change: From places in the ranges, in [0, 1] (n, k), to what they add to the macro-F1.
    """

    settings: tuple[str, ...]
    change: Callable[[NDArray[np.float64]], NDArray[np.float64]]


EFFECTS = {
    "none": Effect((), lambda places: np.zeros(len(places))),
    "one strong": Effect(("s1",), lambda places: 0.12 * (1 - 2 * np.abs(places[:, 1] - 0.5))),
    "one choice": Effect(("s2",), lambda places: 0.06 * (np.floor(3 * places[:, 2]) == 1)),
    "two, interacting": Effect(("s0", "s1"), lambda places: 0.12 * places[:, 0] * places[:, 1]),
    "one weak": Effect(("s0",), lambda places: 0.03 * places[:, 0]),
}
"""By kind of search. The strong setting is best in the middle of its range; the choice, in the middle of its list."""


@dataclass(frozen=True)
class Found:
    """What some searches of one kind found.

    Attributes:
        shown: Share of the settings that matter which were shown.
        wrong: Share of searches in which another setting was shown.
        covered: Share of the intervals of the settings that matter which cover the mean importance over all searches.
    """

    shown: float
    wrong: float
    covered: float


def search(rng: np.random.Generator, kind: str, n: int, n_settings: int) -> tuple[dict[str, list[float]], list[float]]:
    """Return the configurations of one search, from a scrambled Halton sequence, and their scores.

    The first points of a Sobol sequence will not do: in those, the distance from the middle of one range is often
    correlated with another setting (on average 0.56 with the closest of nine, n = 32, 50 sequences; Halton 0.26).
    Every third setting is a number, every third a number on a log scale, every third a choice of three.
    """
    places = qmc.Halton(n_settings, rng=rng).random(n)
    scales: tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], ...] = (
        lambda place: place,
        lambda place: 10 ** (3 * place - 4),
        lambda place: np.floor(3 * place),
    )
    values = {f"s{number}": scales[number % 3](places[:, number]).tolist() for number in range(n_settings)}
    return values, (0.5 + EFFECTS[kind].change(places) + rng.normal(0, SD, n)).tolist()


def simulate(kind: str, n: int, n_settings: int, n_searches: int) -> Found:
    """Return what some searches of a kind found."""
    matter = EFFECTS[kind].settings
    found: list[Mapping[str, SettingImportance]] = []
    for seed in range(n_searches):
        made = importance(*search(np.random.default_rng([seed, n, n_settings]), kind, n, n_settings))
        assert made is not None
        found.append({one.setting: one for one in made.settings})
    wrong = float(np.mean([any(one.is_shown for one in of.values() if one.setting not in matter) for of in found]))
    if not matter:
        return Found(float("nan"), wrong, float("nan"))
    true = {name: np.mean([of[name].mean for of in found]) for name in matter}
    covered = [of[name].low <= true[name] <= of[name].high for of in found for name in matter]
    return Found(float(np.mean([of[name].is_shown for of in found for name in matter])), wrong, float(np.mean(covered)))
