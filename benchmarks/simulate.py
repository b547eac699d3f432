"""Simulated stages: how often equal trials get a verdict, and how often a better one does."""

from collections.abc import Callable, Iterable, Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from cnnlab.evidence import Scores, compare

RUN_SD = 0.02  # of a run's macro-F1
SPREADS: dict[str, Callable[[int], NDArray[np.float64]]] = {
    "equal": lambda k: np.ones(k),
    "noisy reference": lambda k: np.where(np.arange(k) == 0, 3.0, 1.0),
    "one noisy trial": lambda k: np.where(np.arange(k) == 1, 3.0, 1.0),
    "one very noisy trial": lambda k: np.where(np.arange(k) == k - 1, 8.0, 1.0),
    "half at chance": lambda k: np.where(np.arange(k) > k // 2, 1e-3, 1.0),
    "reference at chance": lambda k: np.where(np.arange(k) == 0, 1e-3, 1.0),
}
"""The SD of a run of each of k trials, as a multiple of `RUN_SD`."""


def stages(
    rng: np.random.Generator, spread: str, n_trials: int, n_seeds: int, n_stages: int, better: float, draw_sd: float
) -> Iterator[NDArray[np.float64]]:
    """Yield the runs (n_trials, n_seeds) of some stages.

    Args:
        rng: Draws them.
        spread: One of `SPREADS`.
        n_trials: Trials, the first one the reference.
        n_seeds: Runs of each.
        n_stages: How many stages.
        better: By how much the second trial is better, as a multiple of `RUN_SD`.
        draw_sd: By how much the images of a seed change all trials alike, as a multiple of `RUN_SD`.
    """
    sd = SPREADS[spread](n_trials)
    for _ in range(n_stages):
        runs = rng.normal(size=(n_trials, n_seeds)) * sd[:, None] + draw_sd * rng.normal(size=n_seeds)
        runs[1] += better
        yield 0.5 + RUN_SD * runs


def share(drawn: Iterable[NDArray[np.float64]], *, only_better: bool = False) -> float:
    """Return the share of stages in which any trial gets a verdict, or in which the second is "better"."""
    verdicts = [[one.verdict for one in compare({str(i): Scores(row) for i, row in enumerate(runs)})] for runs in drawn]
    if only_better:
        return float(np.mean([of_stage[0] == "better" for of_stage in verdicts]))
    return float(np.mean([any(one != "inconclusive" for one in of_stage) for of_stage in verdicts]))


def share_by_holm(drawn: Iterable[NDArray[np.float64]]) -> float:
    """Return the share of stages in which the second trial is better by version 0.1.0's rule.

    This was Welch's t test, or that with the pooled variance where it is larger, with Holm's correction over all pairs.
    """
    return float(np.mean([_is_better_by_holm(runs) for runs in drawn]))


def _is_better_by_holm(runs: NDArray[np.float64]) -> bool:
    (k, n), mean, var = runs.shape, runs.mean(axis=1), runs.var(axis=1, ddof=1)
    first, second = np.array(list(combinations(range(k), 2))).T
    own, pooled = var[first] + var[second], 2 * var.mean()
    own_dof = (n - 1) * own**2 / np.maximum(var[first] ** 2 + var[second] ** 2, 1e-300)
    is_own = own >= pooled * (1 - 1e-9)
    se = np.sqrt(np.maximum(np.where(is_own, own, pooled) / n, 1e-24))
    p = 2 * stdtr(np.where(is_own, own_dof, k * (n - 1)), -np.abs(mean[first] - mean[second]) / se)
    order = p.argsort()
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return bool(adjusted[0] <= 0.05 and mean[1] > mean[0])
