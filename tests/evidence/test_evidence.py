"""The one-standard-error rule, and comparisons against known cases and by simulation."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from sklearn.metrics import f1_score

from cnnlab import evidence
from cnnlab.evidence import Scores, compare, decide, image_weights, optimism, pooled_sd, resampled_f1


def frame(**trials):
    """Each trial is (params, scores)."""
    rows = [(name, params, score) for name, (params, scores) in trials.items() for score in scores]
    return pd.DataFrame(rows, columns=["trial", "params", "val_f1"])


def choose(scores, incumbent=None, published_choice="", **options):
    """A decision where images add no noise: every resample of them scores the same."""
    return decide("s", scores, np.tile(scores["val_f1"].to_numpy()[:, None], 5), incumbent, published_choice, **options)


def certain(*runs):
    """A trial's scores where images add no noise."""
    return Scores(np.array(runs), np.zeros((len(runs), 5)))


class World:
    """Images of various difficulty, and trials that differ in which of them suit them: a stage to draw again and again.

    The score that decides whether an image is classified rightly has a part of the image, of the trial on that image,
    of the run, and of the run on that image.
    """

    n_classes, n_images = 5, 100

    def __init__(self, seed, trial_spread, run_spread, noise):
        self.rng = np.random.default_rng(seed)
        self.spreads = trial_spread, run_spread, noise

    def draw(self, n_trials, n_seeds, better=0.0):
        """Return labels (n_images,) and predictions (n_trials, n_seeds, n_images); the first trial may be better."""
        trial_spread, run_spread, noise = self.spreads
        shape = n_trials, n_seeds, self.n_images
        labels = self.rng.permutation(np.arange(self.n_images) % self.n_classes)
        evidence_for = (
            self.rng.normal(0.5, 1, self.n_images)
            + self.rng.normal(0, trial_spread, (n_trials, 1, self.n_images))
            + self.rng.normal(0, run_spread, (n_trials, n_seeds, 1))
            + self.rng.normal(0, noise, shape)
        )
        evidence_for[0] += better
        others = (labels + self.rng.integers(1, self.n_classes, shape)) % self.n_classes
        return labels, np.where(evidence_for > 0, labels, others)

    def scores(self, labels, predicted):
        """Return each trial's scores, resampling the images 200 times."""
        flat = predicted.reshape(-1, len(labels))
        whole = np.ones((1, len(labels)), np.float32)
        runs = resampled_f1(labels, flat, self.n_classes, whole).reshape(predicted.shape[:2])
        draws = resampled_f1(labels, flat, self.n_classes, image_weights(len(labels))[:200])
        return [Scores(of, part) for of, part in zip(runs, draws.reshape(*predicted.shape[:2], -1), strict=True)]


WORLDS = {
    "mixed": (0.3, 0.05, 0.5),
    "runs differ as wholes": (0.0, 0.3, 0.2),
    "runs differ image by image": (0.0, 0.0, 1.0),
    "trials differ image by image": (0.8, 0.0, 0.3),
}


def test_the_smallest_trial_within_one_standard_error_of_the_best_is_chosen():
    scores = frame(large=(300, [0.80, 0.84]), small=(100, [0.79, 0.83]), poor=(50, [0.60, 0.64]))
    made = choose(scores, published_choice="large")
    # Each trial's SD is 0.0283, so the standard error of a mean of two is 0.02; small is 0.01 below.
    assert made.val_f1_se == pytest.approx(0.02)
    assert (made.selected, made.best, made.selected_params, made.agrees) == ("small", "large", 100, False)


def test_a_smaller_trial_further_off_is_not_chosen():
    assert choose(frame(large=(300, [0.80, 0.84]), small=(100, [0.77, 0.81]))).selected == "large"


def test_among_equally_small_trials_the_best_mean_is_chosen():
    scores = frame(one=(100, [0.80, 0.84]), two=(100, [0.81, 0.85]), three=(100, [0.79, 0.83]))
    assert choose(scores, "one").selected == "two"


def test_with_one_seed_the_best_score_is_taken_and_nothing_is_called_better():
    made = choose(frame(a=(1, [0.5]), b=(9, [0.9])), "a", "b")
    assert (made.selected, made.verdict) == ("b", "inconclusive")
    assert np.isnan(made.val_f1_se)
    assert made.evidence.difference == pytest.approx(0.4)
    assert np.isnan([made.evidence.low, made.evidence.probability, made.evidence.detectable_difference]).all()


def test_the_published_pick_is_handed_on_when_it_is_pinned_and_may_be_worse():
    made = choose(frame(a=(1, [0.50, 0.51, 0.52]), b=(9, [0.90, 0.91, 0.92])), published_choice="a", pinned=True)
    assert (made.selected, made.rule, made.agrees, made.verdict) == ("a", "published pick", True, "worse")


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [([0.90, 0.91, 0.92], "better"), ([0.80, 0.81, 0.83], "inconclusive")],
)
def test_a_change_is_better_only_beyond_the_noise(scores, verdict):
    made = choose(frame(new=(1, scores), old=(9, [0.80, 0.81, 0.82])), "old", "new")
    assert (made.selected, made.evidence.against, made.verdict) == ("new", "old", verdict)


def test_an_incumbent_that_stays_is_held_against_the_best_of_the_others():
    made = choose(frame(old=(1, [0.8, 0.9]), poor=(9, [0.1, 0.2]), near=(9, [0.8, 0.89])), "old")
    assert made.selected == "old"
    assert [one.against for one in made.comparisons] == ["near", "poor"]
    assert made.evidence.against == "near"


def test_a_single_trial_is_compared_with_nothing():
    made = choose(frame(only=(1, [0.8, 0.9])), "only")
    assert (made.comparisons, made.evidence, made.verdict) == ((), None, "")


def test_the_pooled_sd_weighs_trials_by_their_degrees_of_freedom():
    sd, freedom = pooled_sd(frame(a=(1, [0.0, 0.2]), b=(1, [0.5, 0.5, 0.5]), c=(1, [0.7])))
    assert freedom == 3
    assert sd == pytest.approx(np.sqrt((0.02 * 1 + 0 * 2) / 3))


def test_macro_f1_on_the_images_as_they_are_is_scikit_learns():
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 4, 50), rng.integers(0, 5, (3, 50))
    ours = resampled_f1(labels, predicted, 6, np.ones((1, 50), np.float32))[:, 0]
    theirs = [f1_score(labels, run, average="macro", labels=range(6), zero_division=0) for run in predicted]
    assert ours == pytest.approx(theirs)


def test_resampled_images_count_as_often_as_they_were_drawn():
    labels, predicted = np.array([0, 1, 1]), np.array([[0, 0, 1]])
    twice = resampled_f1(labels, predicted, 2, np.array([[1, 2, 0]], np.float32))
    assert twice[0, 0] == pytest.approx(f1_score([0, 1, 1], [0, 0, 0], average="macro", zero_division=0))
    assert image_weights(30).sum(axis=1).tolist() == [30] * evidence.DRAWS


def test_where_images_add_no_noise_a_comparison_of_two_is_welchs_t_test():
    a, b = [0.81, 0.84, 0.80], [0.78, 0.80, 0.76]
    [one] = compare({"a": certain(*a), "b": certain(*b)})
    known = scipy.stats.ttest_ind(a, b, equal_var=False)
    low, high = known.confidence_interval(0.95)
    assert (one.low, one.high, one.p_value) == pytest.approx((low, high, known.pvalue))
    variance = np.var(a, ddof=1) + np.var(b, ddof=1)
    assert one.probability == pytest.approx(
        scipy.stats.t.cdf(one.difference / np.sqrt(variance * (1 / 3 + 1)), known.df)
    )


def test_where_seeds_add_no_noise_the_interval_is_that_of_the_images():
    labels = np.arange(200) % 2
    right = labels.copy()
    wrong = np.where(np.arange(200) < 40, 1 - labels, labels)
    draws = resampled_f1(labels, np.stack([right, right, wrong, wrong]), 2, image_weights(200))
    [one] = compare({"a": Scores(np.ones(2), draws[:2]), "b": Scores(np.full(2, 0.8), draws[2:])})
    # A proportion of 0.2 in 200 has a standard error of 0.0283.
    assert (one.high - one.low) / 2 == pytest.approx(1.96 * np.sqrt(0.2 * 0.8 / 200), rel=0.1)
    assert one.verdict == "better"


@pytest.mark.parametrize("share", np.arange(0.05, 1, 0.05))
def test_trials_that_never_leave_one_class_differ_by_nothing_whatever_rounding_leaves_of_their_variance(share):
    """The SD of 0.1, 0.1, 0.1 is not quite 0 in floating point."""
    same = Scores(np.full(3, share), np.zeros((3, 5)))
    [one] = evidence.compare({"a": same, "b": same})
    assert [one.difference, one.low, one.high] == pytest.approx([0, 0, 0], abs=1e-12)
    assert one.verdict == evidence.Verdict.INCONCLUSIVE


def test_holms_correction_is_over_all_pairs():
    trials = {"a": certain(0.90, 0.91, 0.92), "b": certain(0.88, 0.89, 0.90), "c": certain(0.85, 0.86, 0.87)}
    ab, ac = compare(trials)
    bc, _ = compare({name: trials[name] for name in "bca"})
    assert ab.p_adjusted == pytest.approx(ab.p_value), "the largest of three is not corrected"
    assert ac.p_adjusted == pytest.approx(3 * ac.p_value)
    assert bc.p_adjusted == pytest.approx(2 * bc.p_value)


def test_a_difference_has_a_verdict_exactly_if_it_is_above_the_smallest_that_could_be_shown():
    rng = np.random.default_rng(3)
    for _ in range(50):
        trials = {name: certain(*rng.normal(rng.normal(0.5, 0.03), 0.01, 3)) for name in "abcd"}
        for one in compare(trials):
            assert (abs(one.difference) > one.detectable_difference) == (one.verdict != "inconclusive")


def test_as_many_seeds_as_are_said_to_be_needed_find_the_difference_in_four_of_five_repetitions():
    [one] = compare({"a": certain(0.80, 0.84, 0.82), "b": certain(0.79, 0.83, 0.81)})
    n = int(one.seeds_needed)
    rng = np.random.default_rng(0)
    found = sum(
        compare({"a": certain(*rng.normal(0.82, 0.02, n)), "b": certain(*rng.normal(0.81, 0.02, n))})[0].verdict
        == "better"
        for _ in range(400)
    )
    assert 0.74 < found / 400 < 0.86


def test_where_images_are_the_noise_more_seeds_do_not_settle_it():
    draws = np.random.default_rng(0).normal(0, 0.05, (2, 1, 200)).repeat(3, axis=1)
    [one] = compare(
        {"a": Scores(np.array([0.80, 0.81, 0.82]), draws[0]), "b": Scores(np.array([0.79, 0.80, 0.81]), draws[1])}
    )
    assert one.verdict == "inconclusive"
    assert np.isinf(one.seeds_needed)


@pytest.mark.parametrize("n_seeds", [3, 10])
@pytest.mark.parametrize(
    "spreads",
    [(0.02,) * 8, (0.02,) * 4 + (0.0,) * 4, (0.02,) * 2 + (0.0,) * 6, (0.1,) * 2 + (0.01,) * 6, (0.02, 0.0)],
    ids=["equal", "four constant", "six constant", "two noisy", "one of two constant"],
)
def test_trials_that_differ_in_noise_do_not_make_one_another_look_steady(spreads, n_seeds):
    rng, false, covered = np.random.default_rng(1), 0, 0
    for _ in range(1000):
        runs = [rng.normal(0.5, spread, n_seeds) if spread else np.full(n_seeds, 0.2) for spread in spreads]
        noisy = [f"t{i}" for i, spread in enumerate(spreads) if spread]
        trials = {f"t{i}": certain(*of) for i, of in enumerate(runs)}
        best = max(noisy, key=lambda name: trials[name].runs.mean())
        comparisons = compare({name: trials[name] for name in (best, *(trials.keys() - {best}))})
        false += any(one.verdict == "better" for one in comparisons if one.against in noisy)
        fixed = compare(trials)[0]
        covered += fixed.low <= (0.0 if len(noisy) > 1 else 0.3) <= fixed.high
    assert false / 1000 <= 0.06
    assert covered / 1000 >= 0.925


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [3, 10])
def test_of_1000_stages_without_a_difference_at_most_6_percent_get_a_better_verdict(n_seeds):
    better = 0
    for world in (World(i, *spreads) for i, spreads in enumerate(WORLDS.values())):
        for _ in range(1000 // len(WORLDS)):
            scores = world.scores(*world.draw(5, n_seeds))
            rows = frame(**{f"t{i}": (100, of.runs) for i, of in enumerate(scores)})
            made = decide("s", rows, np.concatenate([of.draws for of in scores]), "t0", "")
            better += any(one.verdict == "better" for one in made.comparisons)
    assert better / 1000 <= 0.06


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [3, 10])
@pytest.mark.parametrize("spreads", WORLDS.values(), ids=WORLDS)
def test_95_percent_intervals_cover_the_true_difference_in_about_95_percent(spreads, n_seeds):
    world, covered = World(7, *spreads), 0
    pairs = (world.scores(*world.draw(2, 1, 0.2)) for _ in range(3000))
    truth = np.mean([a.runs.mean() - b.runs.mean() for a, b in pairs])
    for _ in range(1500):
        [one] = compare(dict(zip("ab", world.scores(*world.draw(2, n_seeds, 0.2)), strict=True)))
        covered += one.low <= truth <= one.high
    assert 0.925 <= covered / 1500 <= 0.975


@pytest.mark.slow
@pytest.mark.parametrize("spreads", WORLDS.values(), ids=WORLDS)
def test_a_new_run_wins_as_often_as_was_said(spreads):
    world, said, won = World(7, *spreads), 0.0, 0
    for difference in world.rng.normal(0, 0.5, 1500):
        [one] = compare(dict(zip("ab", world.scores(*world.draw(2, 3, difference)), strict=True)))
        new_a, new_b = world.scores(*world.draw(2, 1, difference))
        said += max(one.probability, 1 - one.probability)
        won += (new_a.runs[0] > new_b.runs[0]) == (one.probability > 0.5)
    assert abs(said - won) / 1500 < 0.03


def test_choosing_by_the_test_score_is_optimistic_where_trials_do_not_differ():
    labels, predicted = World(1, 0.5, 0.1, 0.5).draw(8, 3)
    assert 0.02 < optimism(labels, predicted, 5) < 0.3


def test_it_is_not_where_one_trial_is_far_better():
    labels, predicted = World(1, 0.0, 0.0, 0.3).draw(2, 3, better=3)
    assert abs(optimism(labels, predicted, 5)) < 0.02


def test_with_one_seed_optimism_cannot_be_told():
    labels, predicted = World(1, 0.0, 0.0, 0.3).draw(2, 1)
    assert np.isnan(optimism(labels, predicted, 5))


def test_test_scores_enter_no_decision():
    scores = frame(a=(1, [0.5, 0.6]), b=(9, [0.9, 0.8]))
    spoilt = scores.assign(test_f1=[9.0, 9.0, 0.0, 0.0], test_loss=0.0)
    assert choose(scores, "a", "a") == choose(spoilt, "a", "a")
