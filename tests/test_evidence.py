"""The one-standard-error rule and its verdict, on scores made by hand."""

import numpy as np
import pandas as pd
import pytest

from cnnlab.evidence import decide, pooled_sd


def frame(**trials):
    """Each trial is (params, scores)."""
    rows = [(name, params, score) for name, (params, scores) in trials.items() for score in scores]
    return pd.DataFrame(rows, columns=["trial", "params", "val_f1"])


def test_the_smallest_trial_within_one_standard_error_of_the_best_is_chosen():
    scores = frame(large=(300, [0.80, 0.84]), small=(100, [0.79, 0.83]), poor=(50, [0.60, 0.64]))
    made = decide("s", scores, None, "large")
    # Each trial's SD is 0.0283, so the standard error of a mean of two is 0.02; small is 0.01 below.
    assert made.val_f1_se == pytest.approx(0.02)
    assert (made.chosen, made.best, made.chosen_params, made.agrees) == ("small", "large", 100, False)


def test_a_smaller_trial_further_off_is_not_chosen():
    scores = frame(large=(300, [0.80, 0.84]), small=(100, [0.77, 0.81]))
    assert decide("s", scores, None, "large").chosen == "large"


def test_among_equally_small_trials_the_best_mean_is_chosen():
    scores = frame(one=(100, [0.80, 0.84]), two=(100, [0.81, 0.85]), three=(100, [0.79, 0.83]))
    assert decide("s", scores, "one", "").chosen == "two"


def test_with_one_seed_the_best_score_is_taken_and_nothing_is_called_better():
    made = decide("s", frame(a=(1, [0.5]), b=(9, [0.9])), "a", "b")
    assert (made.chosen, made.verdict) == ("b", "not distinguishable")
    assert np.isnan(made.val_f1_se)


def test_the_published_pick_is_handed_on_when_it_is_pinned():
    made = decide("s", frame(a=(1, [0.5, 0.6]), b=(9, [0.9, 0.8])), None, "a", pinned=True)
    assert (made.chosen, made.rule, made.agrees) == ("a", "published pick", True)


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [([0.90, 0.91, 0.92], "better"), ([0.80, 0.81, 0.83], "not distinguishable")],
)
def test_a_change_is_better_only_beyond_its_interval(scores, verdict):
    made = decide("s", frame(new=(1, scores), old=(9, [0.80, 0.81, 0.82])), "old", "new")
    assert made.chosen == "new"
    assert made.verdict == verdict


def test_better_is_rare_where_there_is_no_difference():
    rng = np.random.default_rng(0)
    better = 0
    for _ in range(400):
        trials = {f"t{i}": (100, rng.normal(0.8, 0.01, 3)) for i in range(6)}
        better += decide("s", frame(**trials), "t0", "").verdict == "better"
    assert better / 400 <= 0.05


def test_keeping_the_incumbent_has_no_verdict():
    assert decide("s", frame(old=(1, [0.8, 0.9]), new=(9, [0.8, 0.9])), "old", "new").verdict == ""


def test_the_pooled_sd_weighs_trials_by_their_degrees_of_freedom():
    sd, freedom = pooled_sd(frame(a=(1, [0.0, 0.2]), b=(1, [0.5, 0.5, 0.5]), c=(1, [0.7])))
    assert freedom == 3
    assert sd == pytest.approx(np.sqrt((0.02 * 1 + 0 * 2) / 3))


def test_test_scores_enter_no_decision():
    scores = frame(a=(1, [0.5, 0.6]), b=(9, [0.9, 0.8]))
    spoilt = scores.assign(test_f1=[9.0, 9.0, 0.0, 0.0], test_loss=0.0)
    assert decide("s", scores, "a", "a") == decide("s", spoilt, "a", "a")
