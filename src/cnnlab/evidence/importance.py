"""Which settings of a search matter: how much worse a forest predicts the score without the values of a setting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from cnnlab.evidence.critical import CONFIDENCE

MIN_CONFIGURATIONS = 10  # with fewer, simulated strong settings are hardly ever shown
_DUMMIES = 20
_FOLDS = 4
_TREES = 10  # of each of _DUMMIES * _FOLDS forests


@dataclass(frozen=True)
class SettingImportance:
    """How much one setting matters.

    Attributes:
        setting: Its name.
        mean: By how much the mean absolute error of the predicted score rises, on configurations that the forest has
            not seen, when the values of the setting are permuted among them. In units of the score.
        low: Lower end of the 95 % interval.
        high: Upper end.
        is_shown: Whether the mean is above the noise floor, and the forest predicts better than the mean score.
    """

    setting: str
    mean: float
    low: float
    high: float
    is_shown: bool


@dataclass(frozen=True)
class Importance:
    """Which settings matter.

    Attributes:
        settings: The most important first.
        floor: The noise floor, at least 0: settings that are pure noise rarely have a mean above it, see `importance`.
        r2: R2 of the forest on configurations that it has not seen, at most 1. At 0 or below, it predicts no better
            than the mean of those that it has seen, so no setting is shown. 0 if all scores are the same.
        n: Number of configurations.
    """

    settings: tuple[SettingImportance, ...]
    floor: float
    r2: float
    n: int


def importance(configurations: Mapping[str, Sequence[float]], scores: Sequence[float]) -> Importance | None:
    """Return how much each setting matters for the score, over the ranges from which its values were drawn.

    A random forest predicts the score from the settings. The importance of a setting is by how much its error rises
    when the values of the setting are permuted (Breiman 2001, doi:10.1023/A:1010933404324), here on configurations
    that it was not fitted to: each fold of a four-fold cross-validation in turn, 20 times with other folds.

    Each of the 20 times, one dummy setting of random numbers is added. The noise floor is the value that the largest
    of as many further dummies as there are settings exceeds in 5 % of repetitions (Bonferroni): a prediction limit
    with Student's t from the means of the 20 dummies.

    The 95 % interval comes from the variance between the 80 forests. Their configurations overlap, so that the variance
    of the mean is larger by a share (Nadeau and Bengio 2003, doi:10.1023/A:1024068626366; for this importance: Molnar
    et al. 2023, doi:10.1007/978-3-031-44064-9_24).

    Settings that vary together share their importance, so draw them independently of each other, best from a scrambled
    Halton sequence. With few configurations, a Sobol sequence ties settings to each other.

    Args:
        configurations: By setting, one finite number a configuration; for a choice, its index in the list. Only the
            order of the values counts, so a scale may be linear or logarithmic.
        scores: The score of each configuration, as its mean `val_f1`.

    Returns:
        The importance of all settings, always the same for the same numbers; None with fewer than
        `MIN_CONFIGURATIONS` configurations or without settings.
    """
    n, n_settings = len(scores), len(configurations)
    if n < MIN_CONFIGURATIONS or not n_settings:
        return None
    from scipy.stats import rankdata  # takes 0.5 s

    # Ranks, so that a number on a log scale is treated as any other: a tree splits half-way between two values.
    ranks = rankdata(list(configurations.values()), axis=1).T
    rises, r2 = _rises(ranks, np.asarray(scores, float))
    dummies = rises[:, :, -1].mean(axis=1)
    margin = _t(1 - (1 - CONFIDENCE) / n_settings, _DUMMIES) * dummies.std(ddof=1) * np.sqrt(1 + 1 / _DUMMIES)
    floor = max(float(dummies.mean() + margin), 0.0)
    of_forest = rises[:, :, :-1].reshape(-1, n_settings)
    means, variances = of_forest.mean(axis=0), of_forest.var(axis=0, ddof=1)
    overlap = 1 / (_FOLDS - 1)  # held-out configurations, as a share of those that a forest is fitted to
    halves = _t((1 + CONFIDENCE) / 2, len(of_forest)) * np.sqrt((1 / len(of_forest) + overlap) * variances)
    made = [
        SettingImportance(name, mean, mean - half, mean + half, r2 > 0 and mean > floor)
        for name, mean, half in zip(configurations, means.tolist(), halves.tolist(), strict=True)
    ]
    return Importance(tuple(sorted(made, key=lambda one: -one.mean)), floor, r2, n)


def _rises(ranks: NDArray[np.float64], scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return the rise of the error by dummy, fold and setting, the dummy as the last setting, and the forests' R2."""
    from sklearn.ensemble import RandomForestRegressor  # takes 0.5 s
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import KFold

    rng, rises, squares, total = np.random.default_rng(0), [], 0.0, 0.0
    for number in range(_DUMMIES):
        with_dummy = np.column_stack([ranks, rng.random(len(ranks))])
        for fitted, held_out in KFold(_FOLDS, shuffle=True, random_state=number).split(ranks):
            forest = RandomForestRegressor(_TREES, random_state=number, n_jobs=1)
            forest.fit(with_dummy[fitted], scores[fitted])
            squares += float(((forest.predict(with_dummy[held_out]) - scores[held_out]) ** 2).sum())
            total += float(((scores[fitted].mean() - scores[held_out]) ** 2).sum())
            permuted = permutation_importance(
                forest, with_dummy[held_out], scores[held_out], scoring="neg_mean_absolute_error", n_repeats=1,
                random_state=number, n_jobs=1,
            )  # fmt: skip
            rises.append(permuted.importances_mean)
    shape = _DUMMIES, _FOLDS, ranks.shape[1] + 1
    return np.reshape(rises, shape), 1 - squares / total if np.ptp(scores) else 0.0


def _t(probability: float, n: int) -> float:
    return float(stdtrit(n - 1, probability))
