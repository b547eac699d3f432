"""Tables and sentences about a stage say what the numbers say."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from bs4 import BeautifulSoup
from nbconvert.filters import markdown2html

from cnnlab.evidence import Rule, Verdict
from cnnlab.report import plots, words
from cnnlab.study import PROFILES, PROTOCOLS, published_fits
from cnnlab.tuning import Tuning
from conftest import make_record, make_result


@pytest.fixture
def tuning(folder, tmp_path):
    return Tuning(folder, tmp_path)


def test_the_rule_is_that_of_the_profile_and_the_protocol():
    quick, smoke = PROFILES["quick"], PROFILES["smoke"]
    assert "within one standard error" in words.study_settings(quick, PROTOCOLS["corrected"]).data
    settings = words.study_settings(smoke, PROTOCOLS["corrected"]).data
    assert "the trial with the best `val_f1`; one run per trial has no standard error" in settings
    assert "1 seed per trial, at most 1 epoch with" in settings
    assert "selects the published choice" in words.study_settings(smoke, PROTOCOLS["published"]).data


NEW, OLD = (0.90, 0.91), (0.50, 0.51)


@pytest.mark.parametrize(
    ("stage", "scores", "summary"),
    [
        (
            "dense",
            {"old": OLD, "new": NEW},
            "**new** is selected: mean `val_f1` 0.905 (SE 0.005, POOLED), 101 parameters. It has the best mean, "
            "and no trial with fewer parameters is within one standard error of it. "
            "Verdict: **new** is **better** than the incumbent (**old**); difference +0.400 (INTERVAL).",
        ),
        (
            "dense",
            {"old": NEW, "new": OLD},
            "**old** is selected: mean `val_f1` 0.905 (SE 0.005, POOLED), 100 parameters. It is the incumbent, so "
            "this stage changes nothing. It has the best mean and the fewest parameters. "
            "Verdict: the best other trial (**new**) is **worse** than the incumbent; difference -0.400 (INTERVAL).",
        ),
        (
            "dense",
            {"old": (0.5, 0.6), "new": (0.65, 0.65)},
            "**new** is selected: mean `val_f1` 0.650 (SE 0.035, POOLED), 101 parameters. It has the best mean, "
            "and no trial with fewer parameters is within one standard error of it. "
            "Verdict: the comparison of **new** with the incumbent (**old**) is **inconclusive**; difference +0.100 "
            "(INTERVAL). If the true difference is 0.100, SEEDS seeds per trial would probably show it.",
        ),
        (
            "dense",
            {"old": (0.5, 0.7), "new": (0.52, 0.72)},
            "**old** is selected: mean `val_f1` 0.600 (SE 0.100, POOLED), 100 parameters. It is the incumbent, so "
            "this stage changes nothing. It has the fewest parameters of the trials within one standard error of the "
            "best mean, which is 0.620 (**new**, 101 parameters). "
            "Verdict: the comparison of the best other trial (**new**) with the incumbent is "
            "**inconclusive**; difference "
            "+0.020 (INTERVAL). If the true difference is 0.020, SEEDS seeds per trial would probably show it.",
        ),
        (
            "dense",
            {"old": (0.5,), "new": (0.9,)},
            "**new** is selected: mean `val_f1` 0.900, 101 parameters. It has the best `val_f1`. With one seed there "
            "is no standard error. Verdict: the comparison of **new** with the incumbent (**old**) is "
            "**inconclusive**; "
            "difference +0.400. One run per trial says nothing about noise.",
        ),
        (
            "dense",
            {"old": (0.9,), "new": (0.5,)},
            "**old** is selected: mean `val_f1` 0.900, 100 parameters. It is the incumbent, so this stage changes "
            "nothing. It has the best `val_f1`. With one seed there is no standard error. Verdict: the comparison of "
            "the best other trial (**new**) with the incumbent is **inconclusive**; difference -0.400. One "
            "run per trial "
            "says nothing about noise.",
        ),
        (
            "colour",
            {"first": OLD, "second": NEW},
            "**second** is selected: mean `val_f1` 0.905 (SE 0.005, POOLED), 101 parameters. It has the best mean, "
            "and no trial with fewer parameters is within one standard error of it. Verdict: **second** is "
            "**better** than "
            "the first trial (**first**); difference +0.400 (INTERVAL).",
        ),
        (
            "colour",
            {"first": NEW, "second": OLD},
            "**first** is selected: mean `val_f1` 0.905 (SE 0.005, POOLED), 100 parameters. It has the best mean "
            "and the fewest parameters. Verdict: the best other trial "
            "(**second**) is **worse** than the selected trial; difference -0.400 (INTERVAL).",
        ),
        (
            "base",
            {"base": OLD},
            "**base** is selected: mean `val_f1` 0.505 (standard error 0.005), 100 parameters. It is the only trial.",
        ),
    ],
)
def test_a_decision_is_a_selection_its_rule_and_its_verdict(tuning, stage, scores, summary):
    result = make_result(stage, **scores)
    if one := result.decision.evidence:
        summary = summary.replace("INTERVAL", f"95 % interval {one.low:+.3f} to {one.high:+.3f}")
        summary = summary.replace("SEEDS", f"{one.seeds_needed:.0f}")
    summary = summary.replace("(SE ", "(standard error ").replace("POOLED", "pooled over the trials")
    assert words.decision_summary(tuning, result).data == summary


def with_evidence(result, **changes):
    return replace(result, decision=replace(result.decision, **changes))


def test_a_decision_against_a_conclusive_difference_says_why(tuning):
    """The one-standard-error rule can prefer a trial that is conclusively worse: only if it has fewer parameters."""
    result = make_result("dense", old=(0.5, 0.7), new=(0.52, 0.72))
    better = replace(result.decision.evidence, low=0.01, high=0.03, verdict=Verdict.BETTER)
    assert words.decision_summary(tuning, with_evidence(result, evidence=better)).data.endswith(
        "Verdict: the best other trial (**new**) is **better** than the incumbent; difference +0.020 (95 % "
        "interval +0.010 "
        "to +0.030). The rule prefers the smaller trial."
    )
    worse = replace(better, trial="old", against="new", difference=-0.02, low=-0.03, high=-0.01, verdict=Verdict.WORSE)
    assert words.decision_summary(tuning, with_evidence(result, evidence=worse)).data.endswith(
        "prefers the smaller trial."
    )


def test_a_pinned_choice_is_selected_whatever_its_verdict(tuning):
    result = make_result("dense", old=NEW, new=OLD)
    result = with_evidence(result, selected="new", rule=Rule.PUBLISHED_CHOICE, selected_params=101)
    summary = words.decision_summary(tuning, result).data
    assert "It is the published choice, which this protocol selects whatever the scores are." in summary
    assert "Verdict: **new** is **worse** than the incumbent (**old**); difference -0.400" in summary
    assert "smaller" not in summary


def test_trials_of_equal_size_are_not_selected_by_their_size(tuning):
    result = make_result("dropout", old=OLD, new=NEW)
    for key, record in result.runs.items():
        result.runs[key] = replace(record, params=100)
    summary = words.decision_summary(tuning, result).data
    assert "It has the best mean; all trials have the same number of parameters." in summary
    assert "standard error of" not in summary


def test_a_decision_names_the_published_choice(tuning):
    result = make_result("dense", **{"64": (0.5, 0.51), "128": (0.9, 0.91)})
    fit = next(fit for fit in published_fits() if (fit.stage, fit.trial) == ("dense", "128"))
    result = replace(
        result, trials=tuple(replace(t, published=fit if t.name == "128" else None) for t in result.trials)
    )
    score = f"(test F1 {fit.test_f1:.3f})"
    assert f"The published study chose the same trial {score}." in words.decision_summary(tuning, result).data
    other = replace(result, decision=replace(result.decision, selected="64", agrees=False))
    assert f"The published study chose the trial 128 {score}." in words.decision_summary(tuning, other).data


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


def test_the_comparisons_have_a_row_for_each_trial_but_the_reference(tuning):
    result = make_result("dense", a=(0.5, 0.52), b=(0.9, 0.92), c=(0.7, 0.72))
    basis, rows, _ = words.comparisons(tuning, result)
    assert [row[0] for row in cells(rows.data)] == ["b", "c"]
    assert "less that of the incumbent (**a**)." in basis.data
    assert "A mean is over 2 seeds, all with the same 20 training and 6 validation images." in basis.data
    assert "but the same training images" in basis.data
    assert basis.data.count("\n- ") <= 3
    [nothing] = words.comparisons(tuning, make_result("base", base=(0.5, 0.6)))
    assert "nothing to compare" in nothing.data
    basis, *_ = words.comparisons(tuning, make_result("colour", first=(0.5, 0.6), second=(0.7, 0.8)))
    assert "less that of the first trial (**first**; this stage has no incumbent)." in basis.data
    basis, *_ = words.comparisons(tuning, make_result("dense", a=(0.5,), b=(0.6,)))
    assert "inconclusive for all trials" in basis.data
    assert "95 %" not in basis.data


def test_what_the_intervals_cover_follows_from_the_images_of_the_seeds(tuning):
    result = make_result("dense", a=(0.5, 0.52), b=(0.9, 0.92))
    for (name, seed), record in result.runs.items():
        result.runs[name, seed] = replace(record, split={**record.split, "digest": f"{seed}"})
    basis, *_ = words.comparisons(tuning, result)
    assert "2 seeds, each with its own 20 training and 6 validation images (the same for all trials)." in basis.data
    assert "repetitions with other seeds and other training and validation images, all intervals" in basis.data


@pytest.mark.parametrize(
    ("old", "new"), [((0.50, 0.51, 0.50), (0.80, 0.81, 0.82)), ((0.6, 0.61, 0.6), (0.5, 0.51, 0.5))]
)
def test_a_difference_has_the_same_sign_and_numbers_wherever_it_is_shown(tuning, old, new):
    """In the sentence, the table and both pictures: the trial less the incumbent."""
    result = make_result("dense", old=old, new=new)
    one = result.decision.evidence
    difference = f"{np.mean(new) - np.mean(old):+.3f}"
    low, high = f"{one.low:+.3f}", f"{one.high:+.3f}"
    _, rows, picture = words.comparisons(tuning, result)
    assert f"difference {difference} (95 % interval {low} to {high})" in words.decision_summary(tuning, result).data
    assert cells(rows.data) == [["new", difference, f"{low} to {high}", one.verdict, "-"]]
    assert "mean val_f1, less that of the incumbent: new" in picture.alt
    assert f"new {difference}, {low} to {high}, {one.verdict}." in picture.alt
    path = plots.path([result])
    assert f"new less old {difference} ({low} to {high}), {one.verdict}." in path.alt
    for numbers in (picture.numbers, path.numbers):
        [row] = cells(numbers)
        assert row[-4:] == [f"{value:+.4f}" for value in (one.difference, one.low, one.high)] + [one.verdict]


def cells(html):
    """The cells of a table's rows."""
    return [
        [cell.get_text() for cell in row.find_all("td")]
        for row in BeautifulSoup(html, "html.parser").select("tbody tr")
    ]


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


def test_names_of_trials_are_not_markup(tuning):
    result = make_result("dense", **{"a|_b_ $x$": (0.5, 0.51), "<b>": (0.9, 0.91)})
    assert "**&lt;b&gt;** is selected" in words.decision_summary(tuning, result).data
    skipped = words.stage_intro(tuning_with(), replace(result, skipped=("*c*",))).data
    assert "&#42;c&#42;." in skipped
