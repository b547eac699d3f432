"""Compare trials with a reference: intervals that hold together, and the verdicts that follow from them."""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from cnnlab.evidence.critical import dunnett, sidak
from cnnlab.evidence.resampling import Scores

POWER = 0.8  # probability of finding a true difference with `Comparison.seeds_needed` seeds (Cohen 1988)
MAX_SEEDS = 1000  # the largest number of seeds that `Comparison.seeds_needed` considers
MIN_PAIRED_DOF = 4  # with fewer degrees of freedom, pairing by seed loses more than it gains
POOLED_TRIALS = 3  # a pooled variance counts as that of at most so many trials: others may have another spread
NOISY = 16  # so many times the variance of a pair is too different for pooling, and so is 1 / NOISY of it
_NAN = float("nan")


class Verdict(StrEnum):
    """Whether a trial is better than the reference."""

    BETTER = "better"
    WORSE = "worse"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Comparison:
    """The difference between a trial and the reference, with its uncertainty.

    With one seed there is only the difference: the other numbers are NaN and the verdict is "inconclusive".

    Attributes:
        trial: Name of the trial.
        against: Name of the reference: a stage's incumbent.
        difference: Mean F1 of the trial less that of the reference.
        low: Lower end of the simultaneous 95 % interval: in 95 % of repetitions, the intervals of all comparisons with
            this reference cover the true differences.
        high: Upper end.
        verdict: "better" if the interval lies above zero, "worse" if it lies below, else "inconclusive".
        seeds_needed: Seeds per trial that find a true difference of this size with a probability of 0.8; inf where
            more seeds do not help, NaN where the verdict is conclusive.
    """

    trial: str
    against: str
    difference: float
    low: float = _NAN
    high: float = _NAN
    verdict: Verdict = Verdict.INCONCLUSIVE
    seeds_needed: float = _NAN

    @property
    def is_conclusive(self) -> bool:
        """Whether the verdict is better or worse."""
        return self.verdict != Verdict.INCONCLUSIVE

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval: one seed gives none."""
        return not np.isnan(self.low)

    @property
    def margin(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2


def compare(trials: Mapping[str, Scores], family: int = 0) -> tuple[Comparison, ...]:
    """Compare the first trial, the reference, with each of the others.

    The variance of a difference has two parts. The *runs*: seeds, and with resampled splits the training images. It is
    pooled over all trials, because two or three seeds say little about one (`_spread`). Where draws overlap, it is
    larger by a share (Nadeau and Bengio 2003, see `Scores.overlap`). The *images* on which all runs are scored: found
    by the bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993), with the same resamples for all
    runs. Only what different runs share is counted, because the first part contains the rest (Owen 2007,
    doi:10.1214/07-AOAS122).

    The intervals are simultaneous: Dunnett's (1955, doi:10.2307/2281208) where the variance is pooled, Šidák's (1967,
    doi:10.2307/2283989) where it is not. Degrees of freedom are Satterthwaite's (1946, doi:10.2307/3002019).

    Args:
        trials: Name to scores. The runs of all trials are in the same order of seeds.
        family: How many comparisons must be covered together: more than those returned, or with different references;
            0 for those returned.

    Returns:
        One comparison for each trial after the first, in their order.
    """
    against, *others = trials
    n_seeds = min(len(trial.runs) for trial in trials.values())
    runs = np.stack([trial.runs[:n_seeds] for trial in trials.values()])
    differences = (runs.mean(axis=1)[1:] - runs.mean(axis=1)[0]).tolist()
    if n_seeds < 2 or not others:
        return tuple(
            Comparison(other, against, difference) for other, difference in zip(others, differences, strict=True)
        )
    spreads = [_spread(runs, i) for i in range(1, len(runs))]
    overlap = max(trial.overlap for trial in trials.values())
    image_cov = _image_covariance(list(trials.values()))
    image_var = np.maximum(np.diag(image_cov), 0)
    correlation = _correlation(float(np.mean([one.var for one in spreads])) / 2 * (1 / n_seeds + overlap), image_cov)

    def margin(i: int, n: int) -> tuple[float, float, float]:
        """Return half the width of interval i with n seeds, the standard error and its degrees of freedom."""
        spread = spreads[i]
        seed_var = spread.var * (1 / n + overlap)
        se, dof = _standard_error(seed_var, image_var[i], spread.dof * (n - 1) / (n_seeds - 1))
        if family or not spread.is_pooled:
            return sidak(family or len(others), dof) * se, se, dof
        return dunnett(len(others), dof, correlation) * se, se, dof

    made = []
    for i, (other, difference) in enumerate(zip(others, differences, strict=True)):
        half, _, _ = margin(i, n_seeds)
        low, high = max(difference - half, -1.0), min(difference + half, 1.0)  # as far as an F1 can differ
        verdict = Verdict.BETTER if low > 0 else Verdict.WORSE if high < 0 else Verdict.INCONCLUSIVE
        needed = _NAN
        if verdict == Verdict.INCONCLUSIVE:
            needed = _seeds_needed(abs(difference), partial(margin, i))
        made.append(Comparison(other, against, difference, low, high, verdict, needed))
    return tuple(made)


def mean_interval(trial: Scores) -> tuple[float, float]:
    """Return the 95 % t interval of a trial's mean F1 within [0, 1]; NaN with one seed.

    Its variance has the same two parts as in `compare`. Not corrected for selection: optimistic if the trial was picked
    as the best.
    """
    n = len(trial.runs)
    if n < 2:
        return _NAN, _NAN
    image_var = 0.0 if trial.bootstrap_f1 is None else max(_mean_covariance([trial.bootstrap_f1])[0, 0], 0.0)
    se, dof = _standard_error(float(trial.runs.var(ddof=1)) * (1 / n + trial.overlap), image_var, n - 1)
    mean, margin = float(trial.runs.mean()), sidak(1, dof) * se
    return max(mean - margin, 0.0), min(mean + margin, 1.0)


class _Spread(NamedTuple):
    """How much the difference between a single run of a trial and one of the reference varies."""

    var: float
    dof: float  # its degrees of freedom
    is_pooled: bool  # whether it comes from all trials


def _spread(runs: NDArray[np.float64], trial: int) -> _Spread:
    """Return how much the runs (n_trials, n_seeds) of the first trial and of another vary.

    The variance is pooled over all trials, without those that hardly vary because they stay at chance. Where that
    leaves enough degrees of freedom, only what differs within a seed counts, because a seed's images change all trials
    alike. Where the two trials' own variances (Welch 1947, doi:10.1093/biomet/34.1-2.28; within a seed, Shukla's
    stability variance, Heredity 29, 1972, doi:10.1038/hdy.1972.87) are larger, they are used: pooling would make the
    two look too stable. Where another trial varies far more than these two, they are compared alone.
    """
    own = runs.var(axis=1, ddof=1)
    n, of_pair = runs.shape[1], (own[0] + own[trial]) / 2
    if n > 2:
        is_alike = own >= of_pair / NOISY
        if own.max() > NOISY * of_pair:
            is_alike[:] = False
        is_alike[[0, trial]] = True
        runs, own, trial = runs[is_alike], own[is_alike], int(is_alike[:trial].sum())
    k = len(runs)
    pooled, dof = own.mean(), k * (n - 1)
    is_paired = (k - 1) * (n - 1) >= MIN_PAIRED_DOF
    if is_paired:
        dof -= n - 1
        residuals = runs - runs.mean(axis=1, keepdims=True)
        squares = ((residuals - residuals.mean(axis=0)) ** 2).sum(axis=1) / (n - 1)
        pooled = squares.sum() / (k - 1)
        own = np.maximum(k / (k - 2) * (squares - pooled / k), 0) if k > 2 else np.full(2, pooled)
    own_var = own[0] + own[trial]
    if own_var < 2 * pooled * (1 - 1e-9):
        return _Spread(float(2 * pooled), min(dof, POOLED_TRIALS * (n - 1)), True)
    share = 1.0 if own_var == 0 or (is_paired and k == 2) else own_var**2 / (own[0] ** 2 + own[trial] ** 2)
    return _Spread(float(own_var), float((n - 1) * share), False)


def _image_covariance(trials: Sequence[Scores]) -> NDArray[np.float64]:
    """Return the covariance of the differences from the first trial over the images that all runs share, (m, m)."""
    scores = [trial.bootstrap_f1 for trial in trials if trial.bootstrap_f1 is not None]
    if not scores:
        return np.zeros((len(trials) - 1,) * 2)
    covariance = _mean_covariance(scores)
    return np.asarray(covariance[1:, 1:] - covariance[1:, :1] - covariance[:1, 1:] + covariance[0, 0])


def _mean_covariance(bootstrap_f1: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the mean covariance over images between different runs of each pair of trials, (n_trials, n_trials)."""
    covariance = np.atleast_2d(np.cov(np.concatenate(bootstrap_f1)))
    np.fill_diagonal(covariance, 0)
    is_of_trial = np.repeat(np.eye(len(bootstrap_f1)), [len(runs) for runs in bootstrap_f1], axis=0)
    n = is_of_trial.sum(axis=0)
    return np.asarray(is_of_trial.T @ covariance @ is_of_trial / (np.outer(n, n) - np.diag(n)))


def _correlation(seed_var: float, image_cov: NDArray[np.float64]) -> float:
    """Return the smallest correlation between two differences, 0 to 0.5: a smaller one gives wider intervals."""
    covariance = seed_var * (1 + np.eye(len(image_cov))) + image_cov
    sd = np.sqrt(np.maximum(np.diag(covariance), 1e-12))
    correlations = (covariance / np.outer(sd, sd))[~np.eye(len(sd), dtype=bool)]
    return float(np.clip(correlations.min(initial=0.5), 0, 0.5))


def _standard_error(seed_var: float, image_var: float, seed_dof: float) -> tuple[float, float]:
    """Return a standard error and its degrees of freedom; the images' variance counts as known exactly."""
    ratio = image_var / seed_var if seed_var > 0 else float("inf")
    return float(np.sqrt(seed_var + image_var)), float(seed_dof * (1 + ratio) ** 2)


def _seeds_needed(difference: float, margin: Callable[[int], tuple[float, float, float]]) -> float:
    """Return the seeds per trial needed to find a difference with probability `POWER`; inf above `MAX_SEEDS`.

    Args:
        difference: Its size.
        margin: For a number of seeds: half the width of the interval, the standard error, its degrees of freedom.
    """

    def suffices(n: int) -> bool:
        half, se, dof = margin(n)
        return bool(half + stdtrit(min(dof, 1e6), POWER) * se <= difference)

    numbers = range(2, MAX_SEEDS + 1)
    index = bisect_left(numbers, True, key=suffices)
    return float(numbers[index]) if index < len(numbers) else float("inf")
