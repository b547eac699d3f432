"""Verdicts and notes on the budget say what limits them."""

from dataclasses import replace

import pytest

from cnnlab.report import words
from cnnlab.report.words.notes import comparison_verdict
from cnnlab.tuning import Tuning
from conftest import make_result


@pytest.fixture
def tuning(folder, tmp_path):
    return Tuning(folder, tmp_path)


def change_runs(result, name, **changes):
    """The result with some runs changed: all those of a trial."""
    runs = {key: replace(record, **changes) if key[0] == name else record for key, record in result.runs.items()}
    return replace(result, runs=runs)


def test_a_verdict_names_the_trials_that_have_not_learned(tuning):
    learned = make_result("dense", old=(0.9, 0.91), new=(0.01, 0.02))
    scores = learned.runs["new", 1].scores | {"val_accuracy": 0.05}
    of_new = "the trial new has not learned (accuracy 0.05, chance 0.10)"
    of_both = "neither trial has learned (accuracy 0.05 and 0.05, chance 0.10)"
    new = change_runs(learned, "new", scores=scores)
    assert words.verdict_text(tuning, learned) == "worse"
    assert words.verdict_text(tuning, new) == f"worse, but {of_new}"
    assert words.verdict_text(tuning, change_runs(new, "old", scores=scores)) == f"worse, but {of_both}"
    assert f"the incumbent, but {of_new}; difference" in words.decision_summary(tuning, new).data
    assert "learned" not in words.decision_summary(tuning, learned).data


def test_an_inconclusive_verdict_and_a_diverged_trial(tuning):
    result = make_result("dense", old=(0.5, 0.6), new=(0.6, 0.7))
    scores = result.runs["new", 1].scores | {"val_accuracy": 0.05}
    history = result.runs["new", 1].history | {"val_loss": [2.0, float("nan")]}
    new = change_runs(result, "new", scores=scores, history=history)
    reason = "the trial new has not learned (diverged)"
    assert words.verdict_text(tuning, new) == f"inconclusive, and {reason}"


def test_each_comparison_of_a_stage_names_its_own_trials(tuning):
    result = make_result("dense", old=(0.9, 0.91), good=(0.5, 0.51), bad=(0.01, 0.02))
    scores = result.runs["bad", 1].scores | {"val_accuracy": 0.05}
    result = change_runs(result, "bad", scores=scores)
    assert [comparison_verdict(tuning, result, made) for made in result.decision.comparisons] == [
        "worse",
        "worse, but the trial bad has not learned (accuracy 0.05, chance 0.10)",
    ]


def test_a_stage_with_one_trial_has_no_verdict(tuning):
    assert words.verdict_text(tuning, make_result("base", base=(0.5, 0.6))) == ""


def test_notes_are_a_list_of_plain_text(tuning):
    result = make_result("dense", **{"old": (0.9, 0.91), "*new*": (0.5, 0.51)})
    scores = result.runs["*new*", 1].scores | {"val_accuracy": 0.05}
    result = change_runs(result, "*new*", scores=scores)
    assert words.budget_notes(tuning, result).data == (
        "**The budget may not be enough for this question:**\n\n"
        "- Some runs are no better than guessing, which has a validation accuracy of 0.10: &#42;new&#42; (2 of 2 runs)."
    )
    assert words.budget_notes(tuning, make_result("dense", old=(0.9, 0.91), new=(0.5, 0.51))).data == ""
