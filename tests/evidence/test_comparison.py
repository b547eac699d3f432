"""Comparisons, checked against known cases and by simulation."""

import numpy as np
import pytest
import scipy.stats
from world import SPREADS, WORLDS, World, certain, stage

from cnnlab.evidence import Scores, Verdict, compare, image_weights, mean_interval, resampled_f1
from cnnlab.evidence.critical import dunnett


def test_a_pair_alone_is_compared_by_welchs_t_test():
    """With few seeds, and where images add no noise."""
    a, b = [0.81, 0.84, 0.80], [0.78, 0.80, 0.76]
    [comparison] = compare({"b": certain(*b), "a": certain(*a)})
    low, high = scipy.stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert (comparison.trial, comparison.against) == ("a", "b")
    assert (comparison.low, comparison.high) == pytest.approx((low, high))
    assert comparison.difference == pytest.approx(np.mean(a) - np.mean(b))


def test_a_pair_with_five_seeds_is_compared_seed_by_seed():
    a, b = [0.81, 0.84, 0.80, 0.86, 0.79], [0.78, 0.80, 0.77, 0.84, 0.74]
    [comparison] = compare({"b": certain(*b), "a": certain(*a)})
    known = scipy.stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (comparison.low, comparison.high) == pytest.approx((known.low, known.high))


def test_a_stage_is_compared_by_dunnetts_test():
    """Where the trials vary alike: what the images of a seed change in all trials is no noise of a difference."""
    runs = np.array([[0.50, 0.52, 0.54], [0.51, 0.53, 0.56], [0.55, 0.57, 0.58], [0.50, 0.53, 0.54]])
    shifted = runs + np.array([0.1, -0.1, 0.05])
    plain, moved = (compare({str(i): certain(*row) for i, row in enumerate(of)}) for of in (runs, shifted))
    assert [one.trial for one in plain] == ["1", "2", "3"]
    assert [one.against for one in plain] == ["0"] * 3
    for one, other in zip(plain, moved, strict=True):
        assert (one.low, one.high) == pytest.approx((other.low, other.high))


@pytest.mark.parametrize(("n_seeds", "known"), [(3, scipy.stats.ttest_ind), (5, scipy.stats.ttest_rel)])
def test_a_trial_that_varies_wildly_does_not_hide_the_differences_of_others(n_seeds, known):
    """A pair beside it is compared alone, with the family's critical value."""
    a, b = 0.81 + 0.01 * np.arange(n_seeds), 0.78 + 0.01 * np.arange(n_seeds)[::-1]
    wild = certain(*np.linspace(0.1, 0.7, n_seeds))
    settings = {} if n_seeds == 5 else {"equal_var": False}
    low, high = known(a, b, **settings).confidence_interval(0.95 ** (1 / 2))
    one, _ = compare({"b": certain(*b), "a": certain(*a), "wild": wild})
    assert (one.low, one.high) == pytest.approx((low, high))


def test_trials_that_hardly_vary_do_not_count_in_the_pooled_variance():
    """But they are compared, too, so that the family is larger."""
    runs = {"a": (0.50, 0.52, 0.54), "b": (0.52, 0.53, 0.55), "c": (0.56, 0.55, 0.58)}
    trials = {name: certain(*of) for name, of in runs.items()}
    alone, *_ = compare(trials)
    beside, *_ = compare(trials | {name: certain(0.1, 0.1, 0.1) for name in ("d", "e")})
    assert beside.margin / alone.margin == pytest.approx(dunnett(4, 4) / dunnett(2, 4))


def test_image_noise():
    """Where seeds add no noise, the interval is that of the images."""
    labels = np.arange(200) % 2
    right = labels.copy()
    wrong = np.where(np.arange(200) < 40, 1 - labels, labels)
    bootstrap_f1 = resampled_f1(labels, np.stack([right, right, wrong, wrong]), image_weights(200))
    [comparison] = compare({"b": Scores(np.full(2, 0.8), bootstrap_f1[2:]), "a": Scores(np.ones(2), bootstrap_f1[:2])})
    # A proportion of 0.2 in 200 has a standard error of 0.0283.
    assert comparison.margin == pytest.approx(1.96 * np.sqrt(0.2 * 0.8 / 200), rel=0.1)
    assert comparison.verdict == "better"


@pytest.mark.parametrize("share", np.arange(0.05, 1, 0.05))
def test_constant_trials(share):
    """Equal constant trials do not differ, although the SD of 0.1, 0.1, 0.1 is not quite 0 in floating point."""
    [comparison, _] = compare({name: certain(*[share] * 3) for name in "abc"})
    assert [comparison.difference, comparison.low, comparison.high] == pytest.approx([0, 0, 0], abs=1e-12)
    assert comparison.verdict == Verdict.INCONCLUSIVE


def test_one_seed():
    """One seed gives a difference, but no interval and no verdict."""
    [comparison] = compare({"b": certain(0.5), "a": certain(0.9)})
    assert comparison.difference == pytest.approx(0.4)
    assert not comparison.has_interval
    assert not comparison.is_conclusive
    assert np.isnan([comparison.margin, comparison.seeds_needed]).all()


def test_one_trial_has_nothing_to_be_compared_with():
    assert compare({"a": certain(0.5, 0.6)}) == ()


def test_mean_interval():
    """The interval of a mean is Student's where images add no noise, ends at 0 and 1, and needs two seeds."""
    runs = [0.81, 0.84, 0.80]
    known = scipy.stats.ttest_1samp(runs, 0).confidence_interval(0.95)
    assert mean_interval(certain(*runs)) == pytest.approx((known.low, known.high))
    assert mean_interval(certain(0.05, 0.95)) == (0, 1)
    assert np.isnan(mean_interval(certain(0.5))).all()


def test_a_verdict_means_that_the_interval_excludes_zero():
    rng = np.random.default_rng(3)
    seen = set()
    for _ in range(100):
        trials = {name: certain(*rng.normal(rng.normal(0.5, 0.04), 0.01, 3)) for name in "abcd"}
        for one in compare(trials):
            assert one.verdict == ("better" if one.low > 0 else "worse" if one.high < 0 else "inconclusive")
            assert (abs(one.difference) > one.margin) == one.is_conclusive
            assert np.isnan(one.seeds_needed) == one.is_conclusive
            seen.add(one.verdict)
    assert seen == set(Verdict)


def test_a_larger_family_has_wider_intervals():
    trials = {"b": certain(0.78, 0.80, 0.76), "a": certain(0.81, 0.84, 0.80)}
    margins = [compare(trials, family)[0].margin for family in (0, 1, 2, 10)]
    assert margins[0] == margins[1]
    assert margins[1:] == sorted(set(margins[1:]))


def test_overlapping_draws_have_wider_intervals():
    """Nadeau and Bengio: the variance of a mean of n draws is (1/n + overlap) times that of one."""
    a, b = np.array([0.81, 0.84, 0.80]), np.array([0.78, 0.80, 0.76])
    [alone] = compare({"b": Scores(b), "a": Scores(a)})
    [overlapping] = compare({"b": Scores(b, None, 0.25), "a": Scores(a, None, 0.25)})
    assert overlapping.margin / alone.margin == pytest.approx(np.sqrt((1 / 3 + 0.25) / (1 / 3)))
    widths = [np.diff(mean_interval(Scores(a, None, overlap)))[0] for overlap in (0, 0.25)]
    assert widths[1] / widths[0] == pytest.approx(np.sqrt((1 / 3 + 0.25) / (1 / 3)))


def test_seeds_needed():
    """With as many seeds as needed, the difference is found in four of five repetitions."""
    [comparison] = compare({"b": certain(0.79, 0.83, 0.81), "a": certain(0.80, 0.84, 0.82)})
    n = int(comparison.seeds_needed)
    rng = np.random.default_rng(0)
    n_better = sum(
        compare({"b": certain(*rng.normal(0.81, 0.02, n)), "a": certain(*rng.normal(0.82, 0.02, n))})[0].verdict
        == "better"
        for _ in range(400)
    )
    assert 0.74 < n_better / 400 < 0.86


@pytest.mark.parametrize("overlap", [0.0, 0.25])
def test_more_seeds_do_not_reduce_what_all_runs_share(overlap):
    """Neither the noise of images that all runs are scored on, nor that of draws that overlap."""
    bootstrap_f1 = np.random.default_rng(0).normal(0, 0.05, (2, 1, 200)).repeat(3, axis=1)
    a, b = np.array([0.80, 0.81, 0.82]), np.array([0.79, 0.80, 0.81])
    images = [None, None] if overlap else bootstrap_f1
    [comparison] = compare({"b": Scores(b, images[1], overlap), "a": Scores(a, images[0], overlap)})
    assert comparison.verdict == "inconclusive"
    assert np.isinf(comparison.seeds_needed)


@pytest.fixture
def verdicts_alone(monkeypatch):
    """Leave out how many seeds would settle a comparison: it takes most of the time and has tests of its own."""
    monkeypatch.setattr("cnnlab.evidence.comparison._seeds_needed", lambda *_: np.nan)


@pytest.mark.slow
@pytest.mark.usefixtures("verdicts_alone")
@pytest.mark.parametrize("n_seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("n_trials", [2, 3, 5, 8])
def test_few_stages_without_a_difference_get_a_verdict(n_trials, n_seeds):
    """In at most 6 % of them any interval excludes zero, so at least 94 % of the intervals hold together.

    However the runs of the trials vary, and whether the images of a seed change all trials alike.
    """
    rng, n_stages, shares = np.random.default_rng(1), 1000, {}
    for (name, spreads), draw_sd in ((item, sd) for item in SPREADS.items() for sd in (0.0, 1.0)):
        n_false = 0
        for _ in range(n_stages):
            runs = stage(rng, spreads(n_trials), n_seeds, draw_sd)
            n_false += any(one.is_conclusive for one in compare({str(i): certain(*row) for i, row in enumerate(runs)}))
        shares[name, draw_sd] = n_false / n_stages
    # 1,000 stages with a share of 6 % give less than 8 % in 99.5 % of repetitions.
    assert max(shares.values()) < 0.08, shares
    assert np.mean(list(shares.values())) <= 0.06


@pytest.mark.slow
@pytest.mark.usefixtures("verdicts_alone")
@pytest.mark.parametrize("n_seeds", [3, 10])
def test_false_verdicts_where_all_runs_share_their_images(n_seeds):
    """Of 1,000 stages without a difference, at most 6 % get a verdict."""
    n_false = 0
    for world in (World(i, *spreads) for i, spreads in enumerate(WORLDS.values())):
        for _ in range(1000 // len(WORLDS)):
            scores = world.scores(*world.draw(5, n_seeds))
            n_false += any(one.is_conclusive for one in compare(dict(zip("abcde", scores, strict=True))))
    assert n_false / 1000 <= 0.06


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [3, 10])
@pytest.mark.parametrize("spreads", WORLDS.values(), ids=WORLDS)
def test_coverage_where_all_runs_share_their_images(spreads, n_seeds):
    """About 95 % of the intervals of a pair contain the true difference."""
    world, n_covered = World(7, *spreads), 0
    pairs = (world.scores(*world.draw(2, 1, 0.2)) for _ in range(3000))
    truth = np.mean([b.runs.mean() - a.runs.mean() for a, b in pairs])
    for _ in range(1500):
        [comparison] = compare(dict(zip("ab", world.scores(*world.draw(2, n_seeds, 0.2)), strict=True)))
        n_covered += comparison.low <= truth <= comparison.high
    assert 0.925 <= n_covered / 1500 <= 0.98
