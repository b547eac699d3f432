"""The one-standard-error rule, and the evidence of a decision."""

import numpy as np
import pytest
from world import frame

from cnnlab.evidence import decide, pooled_sd


def choose(scores, incumbent=None, published_choice="", **options):
    """A decision where images add no noise: each run has the same score on every resample."""
    bootstrap_f1 = np.tile(scores["val_f1"].to_numpy()[:, None], 5)
    return decide("s", scores, bootstrap_f1, incumbent, published_choice, **options)


def test_smallest_within_one_standard_error():
    scores = frame(large=(300, [0.80, 0.84]), small=(100, [0.79, 0.83]), poor=(50, [0.60, 0.64]))
    decision = choose(scores, published_choice="large")
    # Each trial's SD is 0.0283, so the standard error of a mean of two is 0.02; small is 0.01 below.
    assert decision.val_f1_se == pytest.approx(0.02)
    assert (decision.selected, decision.selected_params) == ("small", 100)
    assert (decision.best, decision.agrees) == ("large", False)


def test_smaller_trial_outside_one_standard_error():
    assert choose(frame(large=(300, [0.80, 0.84]), small=(100, [0.77, 0.81]))).selected == "large"


def test_best_mean_among_equally_small_trials():
    scores = frame(one=(100, [0.80, 0.84]), two=(100, [0.81, 0.85]), three=(100, [0.79, 0.83]))
    assert choose(scores, "one").selected == "two"


def test_one_seed():
    """With one seed the best score is selected, and the verdict is inconclusive."""
    decision = choose(frame(a=(1, [0.5]), b=(9, [0.9])), "a", "b")
    assert (decision.selected, decision.verdict) == ("b", "inconclusive")
    assert np.isnan(decision.val_f1_se)
    evidence = decision.evidence
    assert evidence.difference == pytest.approx(0.4)
    assert np.isnan([evidence.low, evidence.p_superiority, evidence.detectable_difference]).all()


def test_pinned_choice():
    """A pinned published choice is selected, even if it is worse."""
    scores = frame(a=(1, [0.50, 0.51, 0.52]), b=(9, [0.90, 0.91, 0.92]))
    decision = choose(scores, published_choice="a", pinned=True)
    assert (decision.selected, decision.rule, decision.agrees) == ("a", "published choice", True)
    assert decision.verdict == "worse"


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [([0.90, 0.91, 0.92], "better"), ([0.80, 0.81, 0.83], "inconclusive")],
)
def test_verdict_against_incumbent(scores, verdict):
    decision = choose(frame(new=(1, scores), old=(9, [0.80, 0.81, 0.82])), "old", "new")
    assert (decision.selected, decision.evidence.against, decision.verdict) == ("new", "old", verdict)


def test_kept_incumbent():
    """An incumbent that stays is compared with the best of the others."""
    decision = choose(frame(old=(1, [0.8, 0.9]), poor=(9, [0.1, 0.2]), near=(9, [0.8, 0.89])), "old")
    assert decision.selected == "old"
    assert [comparison.against for comparison in decision.comparisons] == ["near", "poor"]
    assert decision.evidence.against == "near"


def test_single_trial():
    decision = choose(frame(only=(1, [0.8, 0.9])), "only")
    assert (decision.comparisons, decision.evidence, decision.verdict) == ((), None, "")


def test_pooled_sd():
    """Trials are weighted by their degrees of freedom."""
    sd, dof = pooled_sd(frame(a=(1, [0.0, 0.2]), b=(1, [0.5, 0.5, 0.5]), c=(1, [0.7])))
    assert dof == 3
    assert sd == pytest.approx(np.sqrt((0.02 * 1 + 0 * 2) / 3))


def test_pooled_sd_of_single_runs():
    sd, dof = pooled_sd(frame(a=(1, [0.1]), b=(1, [0.7])))
    assert np.isnan(sd)
    assert dof == 0


def test_test_scores_are_not_used():
    scores = frame(a=(1, [0.5, 0.6]), b=(9, [0.9, 0.8]))
    changed = scores.assign(test_f1=[9.0, 9.0, 0.0, 0.0], test_loss=0.0)
    assert choose(scores, "a", "a") == choose(changed, "a", "a")
