"""Tables and sentences say what the numbers say, and nothing from outside reaches a page as markup."""

import pytest

from cnnlab.report import words
from cnnlab.study import PROFILES, PROTOCOLS
from conftest import make_record, make_result


def test_the_rule_is_that_of_the_profile_and_the_protocol():
    quick, smoke = PROFILES["quick"], PROFILES["smoke"]
    assert "within one standard error" in words.settings(quick, PROTOCOLS["corrected"]).data
    told = words.settings(smoke, PROTOCOLS["corrected"]).data
    assert "the trial with the best `val_f1`, for one run of each has no standard error" in told
    assert "at most 1 epoch with" in told
    assert "hands on its picks" in words.settings(smoke, PROTOCOLS["published"]).data


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ({"old": (0.5, 0.51), "new": (0.9, 0.91)}, "**better**"),
        ({"old": (0.5, 0.6), "new": (0.6, 0.7)}, "**inconclusive**"),
        ({"old": (0.9, 0.91), "new": (0.5, 0.51)}, "this stage changes nothing"),
    ],
)
def test_a_decision_is_told_with_its_verdict(scores, words):
    assert words in words.decision(make_result("dense", **scores)).data


@pytest.mark.parametrize(
    ("train", "val", "words"),
    [(0.9, 0.6, "30.0 points apart: the model fits"), (0.6, 0.58, "little overfitting"), (0.5, 0.6, "no sign of")],
)
def test_overfitting_is_told_from_the_accuracies_at_the_best_epoch(train, val, words):
    history = {"loss": [1, 1], "accuracy": [0, train], "val_loss": [2.0, 1.5], "val_accuracy": [0, val]}
    result = make_result("base", base=(0.5,))
    result.runs["base", 1] = make_record(result.selected.settings, history=history)
    told = words.overfitting(result).data
    assert words in told
    assert "It was the last one" in told


def test_a_verdict_says_what_could_have_been_shown_and_what_would_settle_it():
    unclear = make_result("dense", old=(0.50, 0.60, 0.52), new=(0.55, 0.64, 0.58)).decision.evidence
    told = words.verdict(unclear)
    assert f"{unclear.low:+.3f} to {unclear.high:+.3f}" in told
    assert f"probability of {unclear.probability:.2f}" in told
    assert f"could have shown is {unclear.detectable_difference:.3f}" in told
    assert f"it takes {unclear.seeds_needed:.0f} seeds a trial" in told
    assert "probability above 0.99" in words.verdict(
        make_result("dense", old=(0.1, 0.11), new=(0.9, 0.91)).decision.evidence
    )
    clear = make_result("dense", old=(0.50, 0.51, 0.52), new=(0.80, 0.81, 0.82)).decision.evidence
    assert f"Anything above {clear.detectable_difference:.3f} would have been enough" in words.verdict(clear)


def test_with_one_run_of_each_a_verdict_claims_nothing():
    told = words.verdict(make_result("dense", old=(0.5,), new=(0.9,)).decision.evidence)
    assert told == "+0.400, **inconclusive**: one run of each says nothing about noise."


def test_the_evidence_table_has_a_row_for_each_other_trial():
    result = make_result("dense", a=(0.5, 0.52), b=(0.9, 0.92), c=(0.7, 0.72))
    comparisons, reading = words.evidence(result)
    assert comparisons.data.count("<tr>") == 2
    assert "all pairs" in reading.data
    nothing, _ = words.evidence(make_result("base", base=(0.5, 0.6)))
    assert "nothing to compare" in nothing.data
