"""Tables and sentences about a stage say what the numbers say."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from bs4 import BeautifulSoup
from nbconvert.filters import markdown2html

from cnnlab.report import words
from cnnlab.study import PROFILES, PROTOCOLS, published_fits
from conftest import make_record, make_result


def test_the_rule_is_that_of_the_profile_and_the_protocol():
    quick, smoke = PROFILES["quick"], PROFILES["smoke"]
    assert "within one standard error" in words.study_settings(quick, PROTOCOLS["corrected"]).data
    settings = words.study_settings(smoke, PROTOCOLS["corrected"]).data
    assert "the trial with the best `val_f1`; one run per trial has no standard error" in settings
    assert "1 seed per trial, at most 1 epoch with" in settings
    assert "selects the published choice" in words.study_settings(smoke, PROTOCOLS["published"]).data


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [
        ({"old": (0.5, 0.51), "new": (0.9, 0.91)}, "Verdict: **better**"),
        ({"old": (0.5, 0.6), "new": (0.6, 0.7)}, "Difference from the incumbent: +0.100"),
        ({"old": (0.5, 0.6), "new": (0.6, 0.7)}, "Verdict: **inconclusive**"),
        ({"old": (0.9, 0.91), "new": (0.5, 0.51)}, "It is the incumbent, so this stage changes nothing."),
        ({"old": (0.9, 0.91), "new": (0.5, 0.51)}, "Difference from the best other trial (new): +0.400"),
        ({"old": (0.9, 0.91), "new": (0.5, 0.51)}, "**old** is selected: mean `val_f1` 0.905 (standard error 0.005)"),
        ({"old": (0.5,), "new": (0.9,)}, "**new** is selected: mean `val_f1` 0.900, 101 parameters."),
        ({"old": (0.5, 0.7), "new": (0.52, 0.72)}, "The best mean is 0.620, of the trial new."),
    ],
)
def test_a_decision_has_its_figures_and_its_verdict(scores, sentence):
    assert sentence in words.decision_summary(make_result("dense", **scores)).data


def test_a_decision_names_the_published_choice():
    result = make_result("dense", **{"64": (0.5, 0.51), "128": (0.9, 0.91)})
    fit = next(fit for fit in published_fits() if (fit.stage, fit.trial) == ("dense", "128"))
    result = replace(
        result, trials=tuple(replace(t, published=fit if t.name == "128" else None) for t in result.trials)
    )
    score = f"(test F1 {fit.test_f1:.3f})"
    assert f"The published study chose the same trial {score}." in words.decision_summary(result).data
    other = replace(result, decision=replace(result.decision, selected="64", agrees=False))
    assert f"The published study chose the trial 128 {score}." in words.decision_summary(other).data


@pytest.mark.parametrize(
    ("train", "val", "sentence"),
    [
        (0.9, 0.6, "30.0 points apart. The model overfits"),
        (0.6, 0.58, "2.0 points apart. There is little overfitting"),
        (0.5, 0.6, "There is no sign of overfitting"),
    ],
)
def test_overfitting_is_read_from_the_accuracies_at_the_best_epoch(train, val, sentence):
    history = {"loss": [1, 1], "accuracy": [0, train], "val_loss": [2.0, 1.5], "val_accuracy": [0, val]}
    result = make_result("base", base=(0.5,))
    result.runs["base", 1] = make_record(result.selected.settings, history=history)
    summary = words.overfitting_summary(result).data
    assert sentence in summary
    assert "(mean of 1 run)" in summary
    assert "It was the last epoch" in summary


def test_the_comparisons_have_a_row_for_each_other_trial():
    result = make_result("dense", a=(0.5, 0.52), b=(0.9, 0.92), c=(0.7, 0.72))
    basis, comparisons = words.comparisons(result)
    assert comparisons.data.count("<tr>") == 2
    assert basis.data == "Differences in mean `val_f1` over 2 seeds and 6 validation images."
    [nothing] = words.comparisons(make_result("base", base=(0.5, 0.6)))
    assert "nothing to compare" in nothing.data


def test_a_model_that_cannot_be_drawn_has_a_sentence_instead():
    assert "visualkeras only draws layers" in words.model_drawing(b"", [{"layer": "Conv2D", "params": 3}]).data


def test_a_fit_that_diverged_after_its_best_epoch_is_named():
    history = {"loss": [1, 1], "accuracy": [0.1, 0.1], "val_loss": [2.0, float("nan")], "val_accuracy": [0.1, 0.1]}
    result = make_result("base", base=(0.5,))
    result.runs["base", 1] = make_record(result.selected.settings, history=history, best_epoch=1)
    assert "the fit diverged" in words.overfitting_summary(result).data


def tuning_with(title="Dense units"):
    return SimpleNamespace(scope=SimpleNamespace(title=lambda stage: title))


@pytest.mark.parametrize(
    ("question", "why", "lines"),
    [
        ("How many?", "It matters.", ["# Dense units", "**How many?**", "It matters."]),
        ("", "", ["# Dense units"]),
    ],
)
def test_a_stage_is_introduced_by_what_its_study_says(question, why, lines):
    result = make_result("dense", old=(0.5,), new=(0.9,))
    result = replace(result, stage=replace(result.stage, question=question, why=why))
    assert words.stage_intro(tuning_with(), result).data.split("\n\n") == lines


@pytest.mark.parametrize(
    "name", ["<b>x</b>", "*a* _b_", "`a`", "$x$ and $y$", "# a\n- b", "[a](javascript:b)", "x" * 3000]
)
def test_what_a_study_says_is_not_markup(name):
    """Title, question and reason are shown letter by letter."""
    result = make_result("dense", old=(0.5,), new=(0.9,))
    result = replace(result, stage=replace(result.stage, question=name, why=name))
    page = BeautifulSoup(markdown2html(words.stage_intro(tuning_with(name), result).data), "html.parser")
    page.select_one("a.anchor-link").decompose()  # of nbconvert
    assert [element.name for element in page.find_all(True)] == ["h1", "p", "strong", "p"]
    for element in (page.h1, page.strong, page.find_all("p")[-1]):
        assert " ".join(element.get_text().split()) == " ".join(name.split())


def test_trials_have_a_column_of_published_scores_only_if_there_are_some():
    result = make_result("dense", **{"64": (0.5, 0.51), "128": (0.9, 0.91)})
    assert "published" not in words.trials_table(result).data
    assert words.published_differences(result).data == ""
    fit = next(fit for fit in published_fits() if (fit.stage, fit.trial) == ("dense", "128"))
    result = replace(result, trials=(result.trials[0], replace(result.trials[1], published=fit)))
    assert "published F1</th>" in words.trials_table(result).data
    assert f"<td>{fit.test_f1:.3f}" in words.trials_table(result).data
    assert "a test macro-F1 of the published study" in words.published_differences(result).data


def test_names_of_trials_are_not_markup():
    result = make_result("dense", **{"a|_b_ $x$": (0.5, 0.51), "<b>": (0.9, 0.91)})
    assert "**&lt;b&gt;** is selected" in words.decision_summary(result).data
    skipped = words.stage_intro(tuning_with(), replace(result, skipped=("*c*",))).data
    assert "&#42;c&#42;." in skipped
