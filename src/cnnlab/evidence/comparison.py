"""Compare trials: intervals and verdicts that cover new seeds and new images."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from cnnlab.evidence.resampling import Scores

CONFIDENCE = 0.95
POWER = 0.8  # probability of finding a true difference with `Comparison.seeds_needed` seeds (Cohen 1988)
MAX_SEEDS = 1000  # the largest number of seeds that `Comparison.seeds_needed` considers
_MAX_DOF = 1e6  # with so many degrees of freedom, the t distribution is the normal one
_NAN = float("nan")


class Verdict(StrEnum):
    """Whether one trial is better than another."""

    BETTER = "better"
    WORSE = "worse"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Comparison:
    """The difference of two trials' mean F1, with its uncertainty over seeds and images.

    With one seed there is only the difference: the other numbers are NaN and the verdict is "inconclusive".

    Attributes:
        trial: Name of the first trial.
        against: Name of the second.
        difference: Mean F1 of the first minus that of the second.
        low: Lower end of the 95 % t interval of this one comparison. It covers new seeds and new images of the kind
            that was scored, with the same training images. Not corrected for selection: optimistic if the first trial
            was picked as the best.
        high: Upper end.
        p_superiority: Probability that a new run of the first scores higher than one of the second, on new images.
        p_value: Two-sided p-value of "no difference".
        p_adjusted: The p-value after Holm's correction over all pairs of trials.
        verdict: "better" or "worse" if `p_adjusted` is at most 0.05, else "inconclusive".
        detectable_difference: The size that the difference must exceed to be called better or worse.
        seeds_needed: Seeds per trial that find a true difference of this size with a probability of 0.8; inf where
            more seeds do not help, NaN where the verdict is conclusive.
    """

    trial: str
    against: str
    difference: float
    low: float = _NAN
    high: float = _NAN
    p_superiority: float = _NAN
    p_value: float = _NAN
    p_adjusted: float = _NAN
    verdict: Verdict = Verdict.INCONCLUSIVE
    detectable_difference: float = _NAN
    seeds_needed: float = _NAN

    @property
    def is_conclusive(self) -> bool:
        """Whether the verdict is better or worse."""
        return self.verdict != Verdict.INCONCLUSIVE

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval: one seed gives none."""
        return not np.isnan(self.low)


class _Differences(NamedTuple):
    """The differences of mean F1 of all pairs of trials and their variances, (n_pairs,) each."""

    difference: NDArray[np.float64]
    seed_var: NDArray[np.float64]  # over seeds
    run_var: NDArray[np.float64]  # over seeds, of the difference of two single runs
    seed_dof: NDArray[np.float64]  # degrees of freedom of both
    image_var: NDArray[np.float64]  # over images


def compare(trials: Mapping[str, Scores]) -> tuple[Comparison, ...]:
    """Compare the first trial with each of the others.

    The variance of a difference of means has a part of the seeds and a part of the images. The part of the seeds is
    the variance between runs of a trial, pooled over all trials, because two or three seeds say little about one
    trial. Where the two trials' own variances are larger (Welch 1947, doi:10.1093/biomet/34.1-2.28), they are used
    instead: trials that stay at chance hardly vary, and pooling would make the others look too stable. The part of
    the images is found by the bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993), with the same
    resamples for all runs. Only what different runs share is counted, because the first part contains the rest
    already. (Resampling seeds and images together counts the rest twice or more: Owen 2007, doi:10.1214/07-AOAS122.)
    The interval is Student's, with Satterthwaite's degrees of freedom (1946, doi:10.2307/3002019). Holm's correction
    is over all pairs, not only those returned, because any trial might have scored best.

    Args:
        trials: Name to scores, all on the same resamples.

    Returns:
        One comparison for each trial after the first, in their order.
    """
    if len(trials) < 2:
        return ()
    (first, *others), scores = trials, list(trials.values())
    n_seeds = min(len(trial.runs) for trial in scores)
    if n_seeds < 2:
        mean = {name: trial.runs.mean() for name, trial in trials.items()}
        return tuple(Comparison(first, other, difference=float(mean[first] - mean[other])) for other in others)
    pairs = _differences(scores)
    se, dof = _standard_error(pairs.seed_var, pairs.image_var, pairs.seed_dof)
    p_value = 2 * stdtr(dof, -np.abs(_t(pairs.difference, se)))
    p_adjusted = holm(p_value)
    is_conclusive = p_adjusted <= 1 - CONFIDENCE
    level = _holm_level(p_value, is_conclusive.sum())
    margin = stdtrit(dof, (1 + CONFIDENCE) / 2) * se
    columns = {
        "difference": pairs.difference,
        "low": pairs.difference - margin,
        "high": pairs.difference + margin,
        "p_superiority": _p_superiority(pairs),
        "p_value": p_value,
        "p_adjusted": p_adjusted,
        "detectable_difference": stdtrit(dof, 1 - level / 2) * se,
    }
    return tuple(
        Comparison(
            trial=first,
            against=other,
            verdict=_verdict(pairs.difference[i], is_conclusive[i]),
            seeds_needed=_NAN if is_conclusive[i] else _seeds_needed(pairs, i, n_seeds, level[i]),
            **{name: float(column[i]) for name, column in columns.items()},
        )
        for i, other in enumerate(others)
    )


def mean_interval(trial: Scores) -> tuple[float, float]:
    """Return the 95 % t interval of a trial's mean F1 within [0, 1], over new seeds and new images; NaN with one seed.

    Its variance has the same two parts as in `compare`. Not corrected for selection: optimistic if the trial was picked
    as the best.
    """
    n = len(trial.runs)
    if n < 2:
        return _NAN, _NAN
    image_var = np.maximum(_image_covariance([trial])[0, 0], 0)
    se, dof = _standard_error(trial.runs.var(ddof=1) / n, image_var, n - 1)
    margin = float(stdtrit(dof, (1 + CONFIDENCE) / 2) * se)
    return max(float(trial.runs.mean()) - margin, 0.0), min(float(trial.runs.mean()) + margin, 1.0)


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p-values (n,) after Holm's correction (Scandinavian Journal of Statistics 6, 1979, 65-70)."""
    # statsmodels has it too, but collects Python's garbage in every call: 50 ms, several hundred times in a report.
    order = p_values.argsort()
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1)), 1)
    return adjusted


def _differences(trials: Sequence[Scores]) -> _Differences:
    """Return the differences of all pairs, those of the first trial first; each trial has two runs or more."""
    mean = np.array([trial.runs.mean() for trial in trials])
    var = np.array([trial.runs.var(ddof=1) for trial in trials])
    n = np.array([len(trial.runs) for trial in trials])
    first, second = np.array(list(combinations(range(len(trials)), 2))).T
    one_var = var @ (n - 1) / (n - 1).sum()
    pooled_var = one_var / n[first] + one_var / n[second]
    welch_var = var[first] / n[first] + var[second] / n[second]
    use_welch = welch_var >= pooled_var * (1 - 1e-9)
    welch_terms = sum((var[trial] / n[trial]) ** 2 / (n[trial] - 1) for trial in (first, second))
    pooled_dof = np.full(len(first), float((n - 1).sum()))
    covariance = _image_covariance(trials)
    return _Differences(
        difference=mean[first] - mean[second],
        seed_var=np.where(use_welch, welch_var, pooled_var),
        run_var=np.where(use_welch, var[first] + var[second], 2 * one_var),
        seed_dof=np.divide(welch_var**2, welch_terms, out=pooled_dof, where=use_welch & (welch_terms > 0)),
        image_var=np.maximum(covariance[first, first] + covariance[second, second] - 2 * covariance[first, second], 0),
    )


def _image_covariance(trials: Sequence[Scores]) -> NDArray[np.float64]:
    """Return the mean covariance over images between different runs of each pair of trials, (n_trials, n_trials)."""
    covariance = np.atleast_2d(np.cov(np.concatenate([trial.bootstrap_f1 for trial in trials])))
    np.fill_diagonal(covariance, 0)
    is_of_trial = np.repeat(np.eye(len(trials)), [len(trial.runs) for trial in trials], axis=0)
    n = is_of_trial.sum(axis=0)
    return np.asarray(is_of_trial.T @ covariance @ is_of_trial / (np.outer(n, n) - np.diag(n)))


def _standard_error(
    seed_var: float | NDArray[np.float64], image_var: NDArray[np.float64], seed_dof: float | NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a difference's standard error and degrees of freedom; the images' variance counts as known exactly."""
    seed_var = np.asarray(seed_var, float)
    infinite = np.full(np.broadcast(seed_var, image_var).shape, np.inf)
    ratio = np.divide(image_var, seed_var, out=infinite, where=seed_var > 0)
    return np.sqrt(seed_var + image_var), np.minimum(seed_dof * (1 + ratio) ** 2, _MAX_DOF)


def _t(difference: NDArray[np.float64], se: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the t statistic. With a standard error of zero, any difference but zero counts as infinite."""
    return np.where(difference == 0, 0, difference / np.maximum(se, 1e-12))


def _p_superiority(pairs: _Differences) -> NDArray[np.float64]:
    """Return the probability that a new run of the first trial scores higher, on new images."""
    # A new run on new images adds its own noise to that of the means.
    se, dof = _standard_error(pairs.seed_var + pairs.run_var, 2 * pairs.image_var, pairs.seed_dof)
    return np.asarray(stdtr(dof, _t(pairs.difference, se)))


def _holm_level(p_value: NDArray[np.float64], n_conclusive: int) -> NDArray[np.float64]:
    """Return the level at which Holm's procedure tests each pair; it stops at the first one not conclusive."""
    rank = p_value.argsort(kind="stable").argsort(kind="stable")
    return np.asarray((1 - CONFIDENCE) / (len(p_value) - np.minimum(rank, n_conclusive)))


def _verdict(difference: float, is_conclusive: bool) -> Verdict:
    if not is_conclusive:
        return Verdict.INCONCLUSIVE
    return Verdict.BETTER if difference > 0 else Verdict.WORSE


def _seeds_needed(pairs: _Differences, i: int, n_seeds: int, level: float) -> float:
    """Return the seeds per trial needed to find difference i with probability `POWER`; inf above `MAX_SEEDS`."""
    dof_per_seed = pairs.seed_dof[i] / (n_seeds - 1)

    def suffices(n: int) -> bool:
        se, dof = _standard_error(pairs.run_var[i] / n, pairs.image_var[i], dof_per_seed * (n - 1))
        return bool((stdtrit(dof, 1 - level / 2) + stdtrit(dof, POWER)) * se <= abs(pairs.difference[i]))

    numbers = range(2, MAX_SEEDS + 1)
    index = bisect_left(numbers, True, key=suffices)
    return float(numbers[index]) if index < len(numbers) else float("inf")
