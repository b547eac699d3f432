"""The one-standard-error rule, and the evidence of a decision."""

import numpy as np
import pytest
from world import certain

from cnnlab.evidence import decide, pooled_sd


def choose(trials, incumbent=None, published_choice="", **options):
    """The decision between trials, each with its parameters and scores, where images add no noise."""
    params = {name: count for name, (count, _) in trials.items()}
    scores = {name: certain(*runs) for name, (_, runs) in trials.items()}
    return decide("s", scores, params, incumbent, published_choice, **options)


def test_smallest_within_one_standard_error():
    scores = {"large": (300, [0.80, 0.84]), "small": (100, [0.79, 0.83]), "poor": (50, [0.60, 0.64])}
    decision = choose(scores, published_choice="large")
    # Each trial's SD is 0.0283, so the standard error of a mean of two is 0.02; small is 0.01 below.
    assert decision.val_f1_se == pytest.approx(0.02)
    assert (decision.selected, decision.selected_params) == ("small", 100)
    assert (decision.best, decision.agrees) == ("large", False)


def test_smaller_trial_outside_one_standard_error():
    assert choose({"large": (300, [0.80, 0.84]), "small": (100, [0.77, 0.81])}).selected == "large"


def test_best_mean_among_equally_small_trials():
    scores = {"one": (100, [0.80, 0.84]), "two": (100, [0.81, 0.85]), "three": (100, [0.79, 0.83])}
    assert choose(scores, "one").selected == "two"


def test_one_seed():
    """With one seed the best score is selected, and the verdict is inconclusive."""
    decision = choose({"a": (1, [0.5]), "b": (9, [0.9])}, "a", "b")
    assert (decision.selected, decision.verdict) == ("b", "inconclusive")
    assert np.isnan(decision.val_f1_se)
    evidence = decision.evidence
    assert evidence.difference == pytest.approx(0.4)
    assert np.isnan([evidence.low, evidence.high, evidence.seeds_needed]).all()


def test_pinned_choice():
    """A pinned published choice is selected, even if it is worse."""
    scores = {"b": (9, [0.90, 0.91, 0.92]), "a": (1, [0.50, 0.51, 0.52])}
    decision = choose(scores, published_choice="a", pinned=True)
    assert (decision.selected, decision.rule, decision.agrees) == ("a", "published choice", True)
    assert (decision.evidence.trial, decision.evidence.against, decision.verdict) == ("a", "b", "worse")


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [([0.90, 0.91, 0.92], "better"), ([0.80, 0.81, 0.83], "inconclusive")],
)
def test_the_verdict_of_a_stage_is_that_of_the_selected_trial_against_the_incumbent(scores, verdict):
    decision = choose({"old": (9, [0.80, 0.81, 0.82]), "poor": (9, [0.1, 0.2, 0.3]), "new": (1, scores)}, "old", "new")
    assert (decision.selected, decision.evidence.trial, decision.evidence.against) == ("new", "new", "old")
    assert decision.verdict == verdict
    assert decision.evidence.difference == pytest.approx(np.mean(scores) - 0.81)


def test_a_kept_incumbent_is_the_reference_of_the_best_other_trial():
    decision = choose({"poor": (9, [0.1, 0.2]), "old": (1, [0.8, 0.9]), "near": (9, [0.8, 0.89])}, "old")
    assert decision.selected == "old"
    assert [comparison.trial for comparison in decision.comparisons] == ["near", "poor"]
    assert {comparison.against for comparison in decision.comparisons} == {"old"}
    assert decision.evidence.trial == "near"
    assert decision.evidence.difference < 0


def test_without_an_incumbent_the_first_trial_is_the_reference():
    decision = choose({"none": (1, [0.5, 0.6, 0.55]), "flips": (1, [0.9, 0.8, 0.85])})
    assert (decision.selected, decision.evidence.trial, decision.evidence.against) == ("flips", "flips", "none")
    assert decision.verdict == "better"


def test_single_trial():
    decision = choose({"only": (1, [0.8, 0.9])}, "only")
    assert (decision.comparisons, decision.evidence, decision.verdict) == ((), None, "")


def test_pooled_sd():
    """Trials are weighted by their degrees of freedom."""
    sd, dof = pooled_sd([[0.0, 0.2], [0.5, 0.5, 0.5], [0.7]])
    assert dof == 3
    assert sd == pytest.approx(np.sqrt((0.02 * 1 + 0 * 2) / 3))


def test_pooled_sd_of_single_runs():
    sd, dof = pooled_sd([[0.1], [0.7]])
    assert np.isnan(sd)
    assert dof == 0
