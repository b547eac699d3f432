"""Compare trials: intervals and verdicts that cover seeds and images."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from cnnlab.evidence.resampling import Scores

CONFIDENCE = 0.95


POWER = 0.8
"""Chance with which `Comparison.seeds_needed` would find the difference, if it is what it seems (Cohen 1988)."""


MOST_SEEDS = 1000
"""Most seeds that are considered as an answer to how many would settle a comparison."""


_MANY = 1e6
"""Degrees of freedom at which a t distribution is a normal one."""


class Verdict(StrEnum):
    """Whether one trial is better than another."""

    BETTER = "better"
    WORSE = "worse"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Comparison:
    """Two trials' mean F1, the first less the second, as far as their seeds and images can tell.

    Attributes:
        trial: The first.
        against: The second.
        difference: Mean F1 of the first less that of the second.
        low: Lower end of the 95 % t interval of this one comparison, over new seeds and new images of the kind that was
            scored, on the same training images; NaN with one seed. It takes the pair as named in advance: where the
            first was selected as the best of several, it flatters it.
        high: Upper end.
        p_superiority: That a new run of the first beats a new run of the second on new images.
        p_value: Two-sided, of no difference.
        p_adjusted: The same after Holm's correction over all pairs that were compared.
        verdict: "better", "worse" or "inconclusive", by `p_adjusted` at 5 %.
        detectable_difference: What the difference had to exceed to be called better or worse.
        seeds_needed: Seeds a trial with which a true difference of this size would be found in 80 % of repetitions;
            inf where more seeds alone will not do, NaN where it is settled or nothing can be said.
    """

    trial: str
    against: str
    difference: float
    low: float
    high: float
    p_superiority: float
    p_value: float
    p_adjusted: float
    verdict: Verdict
    detectable_difference: float
    seeds_needed: float

    @property
    def is_conclusive(self) -> bool:
        """Whether the verdict is better or worse."""
        return self.verdict != Verdict.INCONCLUSIVE

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval: with one seed a trial there is none."""
        return not np.isnan(self.low)


def compare(trials: Mapping[str, Scores]) -> tuple[Comparison, ...]:
    """Compare the first trial with each of the others.

    The variance of a difference of means has two parts. That of the seeds is the variance between runs of a trial,
    pooled over all trials, since two or three seeds say little about one; or, where it is larger, the two trials'
    own (Welch 1947, doi:10.1093/biomet/34.1-2.28), since trials that stay at chance hardly vary and would make the
    others look steadier than they are. That of the images is found by resampling them (Efron and Tibshirani, An
    Introduction to the Bootstrap, 1993), the same for all runs; only what different runs of a trial share is
    counted, for what each run does by itself is in the first part already. (Resampling seeds and images together
    counts that twice, or three times where it prevails: Owen 2007, The pigeonhole bootstrap,
    doi:10.1214/07-AOAS122.) The interval is Student's, with Satterthwaite's degrees of freedom (1946,
    doi:10.2307/3002019). The correction is Holm's over all pairs, not only those returned, for the first trial was
    most likely put first because of its scores, and any might have come out best.

    Args:
        trials: Name to scores, all with the same number of draws.

    Returns:
        One comparison for each trial after the first, in their order.
    """
    names = list(trials)
    mean = np.array([of.runs.mean() for of in trials.values()])
    n = np.array([len(of.runs) for of in trials.values()])
    if len(names) < 2:
        return ()
    if n.min() < 2:
        nan = float("nan")
        return tuple(
            Comparison(names[0], name, float(mean[0] - score), nan, nan, nan, nan, nan, Verdict.INCONCLUSIVE, nan, nan)
            for name, score in zip(names[1:], mean[1:], strict=True)
        )
    first, second = np.array(list(combinations(range(len(names)), 2))).T  # those of the first trial come first
    variance = np.array([of.runs.var(ddof=1) for of in trials.values()])
    pooled = variance @ (n - 1) / (n - 1).sum()
    own = variance[first] / n[first] + variance[second] / n[second]
    alike = pooled / n[first] + pooled / n[second]
    by_itself = own >= alike * (1 - 1e-9)
    welch = sum((variance[of] / n[of]) ** 2 / (n[of] - 1) for of in (first, second))
    all_runs = np.full(len(own), float((n - 1).sum()))
    freedom = np.divide(own**2, welch, out=all_runs, where=by_itself & (welch > 0))
    seeds = np.where(by_itself, own, alike)
    one_run = np.where(by_itself, variance[first] + variance[second], 2 * pooled)
    shared = _shared(list(trials.values()))
    images = np.maximum(shared[first, first] + shared[second, second] - 2 * shared[first, second], 0)
    difference = mean[first] - mean[second]
    error, degrees = _error(seeds, images, freedom)
    p_value = 2 * stdtr(degrees, -np.abs(_t(difference, error)))
    p_adjusted = holm(p_value)
    settled = p_adjusted <= 1 - CONFIDENCE
    rank = p_value.argsort(kind="stable").argsort(kind="stable")
    level = (1 - CONFIDENCE) / (len(p_value) - np.minimum(rank, settled.sum()))
    margin = stdtrit(degrees, (1 + CONFIDENCE) / 2) * error
    detectable_difference = stdtrit(degrees, 1 - level / 2) * error
    # New runs on new images have noise of their own on top of that of the means.
    new_error, new_degrees = _error(seeds + one_run, 2 * images, freedom)
    p_superiority = stdtr(new_degrees, _t(difference, new_error))
    return tuple(
        Comparison(
            trial=names[0],
            against=name,
            difference=float(difference[i]),
            low=float(difference[i] - margin[i]),
            high=float(difference[i] + margin[i]),
            p_superiority=float(p_superiority[i]),
            p_value=float(p_value[i]),
            p_adjusted=float(p_adjusted[i]),
            verdict=Verdict.INCONCLUSIVE if not settled[i] else Verdict.BETTER if difference[i] > 0 else Verdict.WORSE,
            detectable_difference=float(detectable_difference[i]),
            seeds_needed=float("nan")
            if settled[i]
            else _seeds_needed(abs(difference[i]), one_run[i], images[i], freedom[i] / (n.min() - 1), level[i]),
        )
        for i, name in enumerate(names[1:])
    )


def mean_interval(trial: Scores) -> tuple[float, float]:
    """Return the 95 % t interval of a trial's mean F1, over new seeds and new images; NaN with one seed.

    Its variance is made of the same two parts as that of a difference, see `compare`. It ends at 0 and at 1.
    """
    n = len(trial.runs)
    if n < 2:
        return float("nan"), float("nan")
    error, degrees = _error(trial.runs.var(ddof=1) / n, np.maximum(_shared([trial])[0, 0], 0), n - 1)
    margin = float(stdtrit(degrees, (1 + CONFIDENCE) / 2) * error)
    return max(float(trial.runs.mean()) - margin, 0.0), min(float(trial.runs.mean()) + margin, 1.0)


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p-values (n,) after Holm's correction (Scandinavian Journal of Statistics 6, 1979, 65-70)."""
    # statsmodels has it, but collects Python's garbage at every call: 50 ms, in a report several hundred times.
    order = p_values.argsort()
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1)), 1)
    return corrected


def _t(difference: NDArray[np.float64], error: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a difference in standard errors; runs that all score the same leave none, and any difference is one."""
    return np.where(difference == 0, 0, difference / np.maximum(error, 1e-12))


def _shared(trials: Sequence[Scores]) -> NDArray[np.float64]:
    """Return the covariance over images of each pair of trials, (k, k): that between different runs, on average."""
    stacked = np.concatenate([of.draws for of in trials])
    covariance = np.atleast_2d(np.cov(stacked))
    np.fill_diagonal(covariance, 0)
    owner = np.repeat(np.eye(len(trials)), [len(of.runs) for of in trials], axis=0)
    counts = owner.sum(axis=0)
    return np.asarray(owner.T @ covariance @ owner / (np.outer(counts, counts) - np.diag(counts)))


def _error(
    seeds: float | NDArray[np.float64], images: NDArray[np.float64], freedom: float | NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a difference's standard error and its degrees of freedom; the images' part is taken as known."""
    seeds = np.asarray(seeds, float)
    known = np.divide(images, seeds, out=np.full(np.broadcast(seeds, images).shape, np.inf), where=seeds > 0)
    return np.sqrt(seeds + images), np.minimum(freedom * (1 + known) ** 2, _MANY)


def _seeds_needed(difference: float, one_run: float, images: float, freedom: float, level: float) -> float:
    """Return how many seeds a trial find a difference, given the variance of one run and the freedom of each seed."""

    def enough(n: int) -> bool:
        error, degrees = _error(one_run / n, np.array(images), freedom * (n - 1))
        return bool((stdtrit(degrees, 1 - level / 2) + stdtrit(degrees, POWER)) * error <= difference)

    numbers = range(2, MOST_SEEDS + 1)
    place = bisect_left(numbers, True, key=enough)
    return float(numbers[place]) if place < len(numbers) else float("inf")
