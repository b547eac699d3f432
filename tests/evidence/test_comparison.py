"""Comparisons, checked against known cases and by simulation."""

import numpy as np
import pytest
import scipy.stats
from world import WORLDS, World, frame

from cnnlab.evidence import Scores, Verdict, compare, decide, image_weights, mean_interval, resampled_f1


def certain(*runs):
    """A trial's scores where images add no noise."""
    return Scores(np.array(runs), np.zeros((len(runs), 5)))


def test_welch_t_test():
    """Where images add no noise, a comparison of two trials is Welch's t test."""
    a, b = [0.81, 0.84, 0.80], [0.78, 0.80, 0.76]
    [comparison] = compare({"a": certain(*a), "b": certain(*b)})
    known = scipy.stats.ttest_ind(a, b, equal_var=False)
    low, high = known.confidence_interval(0.95)
    assert (comparison.low, comparison.high, comparison.p_value) == pytest.approx((low, high, known.pvalue))
    variance = np.var(a, ddof=1) + np.var(b, ddof=1)
    assert comparison.p_superiority == pytest.approx(
        scipy.stats.t.cdf(comparison.difference / np.sqrt(variance * (1 / 3 + 1)), known.df)
    )


def test_image_noise():
    """Where seeds add no noise, the interval is that of the images."""
    labels = np.arange(200) % 2
    right = labels.copy()
    wrong = np.where(np.arange(200) < 40, 1 - labels, labels)
    bootstrap_f1 = resampled_f1(labels, np.stack([right, right, wrong, wrong]), image_weights(200))
    [comparison] = compare({"a": Scores(np.ones(2), bootstrap_f1[:2]), "b": Scores(np.full(2, 0.8), bootstrap_f1[2:])})
    # A proportion of 0.2 in 200 has a standard error of 0.0283.
    assert (comparison.high - comparison.low) / 2 == pytest.approx(1.96 * np.sqrt(0.2 * 0.8 / 200), rel=0.1)
    assert comparison.verdict == "better"


@pytest.mark.parametrize("share", np.arange(0.05, 1, 0.05))
def test_constant_trials(share):
    """Equal constant trials do not differ, although the SD of 0.1, 0.1, 0.1 is not quite 0 in floating point."""
    same = Scores(np.full(3, share), np.zeros((3, 5)))
    [comparison] = compare({"a": same, "b": same})
    assert [comparison.difference, comparison.low, comparison.high] == pytest.approx([0, 0, 0], abs=1e-12)
    assert comparison.verdict == Verdict.INCONCLUSIVE


def test_one_seed():
    """One seed gives a difference, but no interval and no verdict."""
    [comparison] = compare({"a": certain(0.9), "b": certain(0.5)})
    assert comparison.difference == pytest.approx(0.4)
    assert not comparison.has_interval
    assert not comparison.is_conclusive
    assert np.isnan([comparison.p_superiority, comparison.detectable_difference, comparison.seeds_needed]).all()


def test_mean_interval():
    """The interval of a mean is Student's where images add no noise, ends at 0 and 1, and needs two seeds."""
    runs = [0.81, 0.84, 0.80]
    known = scipy.stats.ttest_1samp(runs, 0).confidence_interval(0.95)
    assert mean_interval(certain(*runs)) == pytest.approx((known.low, known.high))
    assert mean_interval(certain(0.05, 0.95)) == (0, 1)
    assert np.isnan(mean_interval(certain(0.5))).all()


def test_holm():
    """Holm's correction is over all pairs, not only over those returned."""
    trials = {"a": certain(0.90, 0.91, 0.92), "b": certain(0.88, 0.89, 0.90), "c": certain(0.85, 0.86, 0.87)}
    ab, ac = compare(trials)
    bc, _ = compare({name: trials[name] for name in "bca"})
    assert ab.p_adjusted == pytest.approx(ab.p_value), "the largest of three is not corrected"
    assert ac.p_adjusted == pytest.approx(3 * ac.p_value)
    assert bc.p_adjusted == pytest.approx(2 * bc.p_value)


def test_detectable_difference():
    """A verdict is conclusive exactly if the difference exceeds the detectable one."""
    rng = np.random.default_rng(3)
    for _ in range(50):
        trials = {name: certain(*rng.normal(rng.normal(0.5, 0.03), 0.01, 3)) for name in "abcd"}
        for comparison in compare(trials):
            is_above = abs(comparison.difference) > comparison.detectable_difference
            assert is_above == (comparison.verdict != "inconclusive")


def test_seeds_needed():
    """With as many seeds as needed, the difference is found in four of five repetitions."""
    [comparison] = compare({"a": certain(0.80, 0.84, 0.82), "b": certain(0.79, 0.83, 0.81)})
    n = int(comparison.seeds_needed)
    rng = np.random.default_rng(0)
    n_better = sum(
        compare({"a": certain(*rng.normal(0.82, 0.02, n)), "b": certain(*rng.normal(0.81, 0.02, n))})[0].verdict
        == "better"
        for _ in range(400)
    )
    assert 0.74 < n_better / 400 < 0.86


def test_more_seeds_do_not_reduce_image_noise():
    bootstrap_f1 = np.random.default_rng(0).normal(0, 0.05, (2, 1, 200)).repeat(3, axis=1)
    a, b = np.array([0.80, 0.81, 0.82]), np.array([0.79, 0.80, 0.81])
    [comparison] = compare({"a": Scores(a, bootstrap_f1[0]), "b": Scores(b, bootstrap_f1[1])})
    assert comparison.verdict == "inconclusive"
    assert np.isinf(comparison.seeds_needed)


@pytest.mark.parametrize("n_seeds", [3, 10])
@pytest.mark.parametrize(
    "spreads",
    [(0.02,) * 8, (0.02,) * 4 + (0.0,) * 4, (0.02,) * 2 + (0.0,) * 6, (0.1,) * 2 + (0.01,) * 6, (0.02, 0.0)],
    ids=["equal", "four constant", "six constant", "two noisy", "one of two constant"],
)
def test_unequal_noise(spreads, n_seeds):
    """Trials with little noise do not make noisy ones look stable: few false verdicts, and the interval covers."""
    rng, n_false, n_covered = np.random.default_rng(1), 0, 0
    for _ in range(1000):
        runs = [rng.normal(0.5, spread, n_seeds) if spread else np.full(n_seeds, 0.2) for spread in spreads]
        noisy = [f"t{i}" for i, spread in enumerate(spreads) if spread]
        trials = {f"t{i}": certain(*scores) for i, scores in enumerate(runs)}
        best = max(noisy, key=lambda name: trials[name].runs.mean())
        comparisons = compare({name: trials[name] for name in (best, *(trials.keys() - {best}))})
        n_false += any(one.verdict == "better" for one in comparisons if one.against in noisy)
        first = compare(trials)[0]
        n_covered += first.low <= (0.0 if len(noisy) > 1 else 0.3) <= first.high
    assert n_false / 1000 <= 0.06
    assert n_covered / 1000 >= 0.925


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [3, 10])
def test_false_verdicts(n_seeds):
    """Of 1,000 stages without a difference, at most 6 % have a trial with the verdict "better"."""
    n_better = 0
    for world in (World(i, *spreads) for i, spreads in enumerate(WORLDS.values())):
        for _ in range(1000 // len(WORLDS)):
            scores = world.scores(*world.draw(5, n_seeds))
            rows = frame(**{f"t{i}": (100, trial.runs) for i, trial in enumerate(scores)})
            decision = decide("s", rows, np.concatenate([trial.bootstrap_f1 for trial in scores]), "t0", "")
            n_better += any(one.verdict == "better" for one in decision.comparisons)
    assert n_better / 1000 <= 0.06


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [3, 10])
@pytest.mark.parametrize("spreads", WORLDS.values(), ids=WORLDS)
def test_coverage(spreads, n_seeds):
    """About 95 % of the 95 % intervals contain the true difference."""
    world, n_covered = World(7, *spreads), 0
    pairs = (world.scores(*world.draw(2, 1, 0.2)) for _ in range(3000))
    truth = np.mean([a.runs.mean() - b.runs.mean() for a, b in pairs])
    for _ in range(1500):
        [comparison] = compare(dict(zip("ab", world.scores(*world.draw(2, n_seeds, 0.2)), strict=True)))
        n_covered += comparison.low <= truth <= comparison.high
    assert 0.925 <= n_covered / 1500 <= 0.975


@pytest.mark.slow
@pytest.mark.parametrize("spreads", WORLDS.values(), ids=WORLDS)
def test_p_superiority(spreads):
    """A new run scores higher as often as predicted."""
    world, predicted, n_higher = World(7, *spreads), 0.0, 0
    for difference in world.rng.normal(0, 0.5, 1500):
        [comparison] = compare(dict(zip("ab", world.scores(*world.draw(2, 3, difference)), strict=True)))
        new_a, new_b = world.scores(*world.draw(2, 1, difference))
        predicted += max(comparison.p_superiority, 1 - comparison.p_superiority)
        n_higher += (new_a.runs[0] > new_b.runs[0]) == (comparison.p_superiority > 0.5)
    assert abs(predicted - n_higher) / 1500 < 0.03
