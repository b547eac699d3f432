"""Findings say no more than their verdicts; verdicts and notes on the budget say what limits them."""

from dataclasses import replace

import pytest

from cnnlab.evidence import Rule, Verdict
from cnnlab.report import words
from cnnlab.report.words.notes import not_learned_text
from cnnlab.study import UNCHANGED
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
    made = learned.decision.evidence
    scores = learned.runs["new", 1].scores | {"val_accuracy": 0.05}
    of_new = "“new” has not learned (accuracy 0.05, chance 0.10)"
    of_both = "neither trial has learned (accuracy 0.05 and 0.05, chance 0.10)"
    new = change_runs(learned, "new", scores=scores)
    assert not_learned_text(tuning, change_runs(new, "old", scores=scores), made) == of_both
    assert words.stage_intro(tuning, new).data.endswith(f", but {of_new}.")
    assert "learned" not in words.stage_intro(tuning, learned).data.split("\n\n")[-1]


def test_an_inconclusive_verdict_and_a_diverged_trial(tuning):
    result = make_result("dense", old=(0.5, 0.6), new=(0.6, 0.7))
    scores = result.runs["new", 1].scores | {"val_accuracy": 0.05}
    history = result.runs["new", 1].history | {"val_loss": [2.0, float("nan")]}
    new = change_runs(result, "new", scores=scores, history=history)
    assert (
        "is **inconclusive**, and “new” has not learned (diverged): difference" in words.stage_intro(tuning, new).data
    )


def test_each_comparison_of_a_stage_names_its_own_trials(tuning):
    result = make_result("dense", old=(0.9, 0.91), good=(0.5, 0.51), bad=(0.01, 0.02))
    scores = result.runs["bad", 1].scores | {"val_accuracy": 0.05}
    result = change_runs(result, "bad", scores=scores)
    assert [not_learned_text(tuning, result, made) for made in result.decision.comparisons] == [
        "",
        "“bad” has not learned (accuracy 0.05, chance 0.10)",
    ]


def test_notes_are_a_list_of_plain_text(tuning):
    result = make_result("dense", **{"old": (0.9, 0.91), "*new*": (0.5, 0.51)})
    scores = result.runs["*new*", 1].scores | {"val_accuracy": 0.05}
    result = change_runs(result, "*new*", scores=scores)
    assert words.budget_notes(tuning, result).data == (
        "**The budget may not be enough for this question:**\n\n"
        "- Some runs are no better than guessing, which has a validation accuracy of 0.10: &#42;new&#42; (2 of 2 runs)."
    )
    assert words.budget_notes(tuning, make_result("dense", old=(0.9, 0.91), new=(0.5, 0.51))).data == ""


BETTER, WORSE, INCONCLUSIVE = Verdict


def judge(result, selected, rule=Rule.ONE_STANDARD_ERROR, **verdicts):
    """The result with another selection, and with some difference in points and some verdict for each other trial."""
    made = [
        replace(one, difference=verdicts[one.trial][0] / 100, verdict=verdicts[one.trial][1])
        for one in result.decision.comparisons
    ]
    made.sort(key=lambda one: -one.difference)
    evidence = next((one for one in made if one.trial == selected), made[0])
    decision = replace(result.decision, selected=selected, rule=rule, comparisons=tuple(made), evidence=evidence)
    return replace(result, decision=decision)


@pytest.mark.parametrize(
    ("selected", "verdicts", "finding"),
    [
        ("b", {"b": (3.24, BETTER)}, "“b” selected, 3.2 points better"),
        ("b", {"b": (1.2, INCONCLUSIVE)}, "“b” selected, not shown to be better (+1.2 points)"),
        ("b", {"b": (-0.8, INCONCLUSIVE)}, "“b” selected: smaller, not shown to be worse (-0.8 points)"),
        ("b", {"b": (-0.8, WORSE)}, "“b” selected: smaller, and 0.8 points worse"),
        ("a", {"b": (-0.8, INCONCLUSIVE)}, "“a” kept; “b” not shown to be better"),
        ("a", {"b": (0.8, INCONCLUSIVE)}, "“a” kept; “b” not shown to be better"),
        ("a", {"b": (-7.2, WORSE)}, "“a” kept; “b” is 7.2 points worse"),
        ("a", {"b": (0.8, BETTER)}, "“a” kept; “b” is 0.8 points better, but larger"),
        ("a", {"b": (-38.2, WORSE), "c": (-56.4, WORSE)}, "“a” kept; every other trial is 38 to 56 points worse"),
        ("a", {"b": (-5, WORSE), "c": (-56.4, WORSE)}, "“a” kept; every other trial is 5.0 to 56.4 points worse"),
        ("a", {"b": (-5, WORSE), "c": (-5, WORSE)}, "“a” kept; every other trial is 5.0 points worse"),
        ("a", {"b": (-5, WORSE), "c": (1, INCONCLUSIVE)}, "“a” kept; 1 of 2 others is worse"),
        ("a", {"b": (-1, INCONCLUSIVE), "c": (1, INCONCLUSIVE)}, "“a” kept; no other trial shown to be better"),
        ("a", {"b": (0.2, BETTER), "c": (0.3, BETTER)}, "“a” kept; 2 of 2 others are better, but larger"),
        ("c", {"b": (-5, WORSE), "c": (1, BETTER)}, "“c” selected, 1.0 points better"),
    ],
)
def test_a_heading_is_the_finding_that_the_verdicts_allow(tuning, selected, verdicts, finding):
    scores = {"a": (0.5, 0.51), "b": (0.6, 0.61), "c": (0.7, 0.71)}
    result = make_result("dense", **{name: scores[name] for name in ("a", *verdicts)})
    assert words.stage_title(tuning, judge(result, selected, **verdicts)) == f"Dense units: {finding}"


def test_a_first_stage_has_its_score_as_heading(tuning):
    assert words.stage_title(tuning, make_result("base", base=(0.4, 0.42))) == (
        "Base model: macro-F1 0.41 on the validation images"
    )


def test_one_run_each_gives_a_heading_without_a_verdict(tuning):
    better, worse = make_result("dense", old=(0.5,), new=(0.54,)), make_result("dense", old=(0.5,), new=(0.46,))
    assert words.stage_title(tuning, better) == "Dense units: “new” selected: +4.0 points (one run each)"
    assert words.stage_title(tuning, worse) == "Dense units: “old” kept; best other trial: -4.0 points (one run each)"


def test_the_heading_of_a_pinned_choice_names_it(tuning):
    result = judge(make_result("dense", a=(0.5, 0.6), b=(0.5, 0.7)), "b", Rule.PUBLISHED_CHOICE, b=(-9, WORSE))
    assert words.stage_title(tuning, result) == "Dense units: “b” is the published choice"


def test_the_first_trial_of_a_stage_without_an_incumbent_is_not_kept_but_selected(tuning):
    result = judge(make_result("colour", a=(0.5, 0.6), b=(0.5, 0.7)), "a", b=(-9, WORSE))
    assert words.stage_title(tuning, result) == "Colour: “a” selected; “b” is 9.0 points worse"


def test_an_incumbent_without_a_name_of_its_own_is_unchanged(tuning):
    result = make_result("dense", **{UNCHANGED: (0.9, 0.91), "b": (0.5, 0.51)})
    assert words.stage_title(tuning, judge(result, UNCHANGED, b=(-9, WORSE))) == (
        "Dense units: unchanged; “b” is 9.0 points worse"
    )


def test_trials_with_the_runs_of_another_leave_nothing_to_compare(tuning):
    result = make_result("dense", old=(0.5, 0.6), new=(0.5, 0.6))
    for seed in (1, 2):
        result.runs["new", seed] = result.runs["old", seed]
    decision = replace(result.decision, rule=Rule.ONLY_TRIAL, comparisons=(), evidence=None)
    same = replace(result, decision=decision)
    assert words.stage_title(tuning, same) == "Dense units: all trials are the same in this budget"
    assert words.stage_intro(tuning, same).data.endswith(
        "All trials have the same runs in this budget: mean `val_f1` 0.550."
    )


def fail_to_learn(result, *names):
    for name in names:
        result = change_runs(result, name, scores=result.runs[name, 1].scores | {"val_accuracy": 0.05})
    return result


@pytest.mark.parametrize(
    ("selected", "not_learned", "finding"),
    [
        ("a", ("b",), "“a” kept; 2 of 2 others are worse, 1 of them has not learned"),
        ("a", ("b", "c"), "“a” kept; no other trial has learned"),
        ("c", ("a",), "“c” selected; the incumbent has not learned"),
        ("c", ("b",), "“c” selected, 9.0 points better"),
        ("c", ("c",), "“c” selected, but it has not learned"),
        ("a", ("a", "b", "c"), "no trial has learned"),
    ],
)
def test_a_heading_compares_no_trial_that_has_not_learned(tuning, selected, not_learned, finding):
    result = make_result("dense", a=(0.7, 0.71), b=(0.1, 0.11), c=(0.5, 0.51))
    other = (9, BETTER) if selected == "c" else (-9, WORSE)
    result = fail_to_learn(judge(result, selected, b=(-60, WORSE), c=other), *not_learned)
    assert words.stage_title(tuning, result) == f"Dense units: {finding}"


def test_a_single_trial_that_has_not_learned_is_named_so(tuning):
    result = fail_to_learn(make_result("base", base=(0.04, 0.05)), "base")
    assert words.stage_title(tuning, result) == "Base model: the model has not learned (macro-F1 0.04)"


def test_long_names_are_shortened_in_the_middle(tuning):
    result = make_result("dense", **{"first " + "x" * 99 + " last": (0.5, 0.51), "b": (0.4, 0.41)})
    result = replace(result, stage=replace(result.stage, title="Units\nof " + "y" * 99))
    title = words.stage_title(tuning, result)
    assert len(title) <= 120
    assert title.startswith("Units of yyyyyyyyyy…yyyyyyyyy")
    assert "“first xxxxxxxx…xxxxxxxxx last” kept" in title
    of_words = replace(result.stage, title="Dropout after each pooling and after the dense layer, at one rate")
    title = words.stage_title(tuning, replace(result, stage=of_words))
    assert title.startswith("Dropout after each…layer, at one rate: "), "no word is cut"
