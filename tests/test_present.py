"""Tables and sentences say what the numbers say, and nothing from outside reaches a page as markup."""

import math

import pytest

from cnnlab import present
from cnnlab.protocols import PROFILES
from conftest import make_record, make_result

QUICK, SMOKE = PROFILES["quick"], PROFILES["smoke"]


def test_a_table_escapes_what_it_shows_and_marks_what_is_missing():
    shown = present.table([{"name": "<b>x</b>", "score": 0.123456, "none": math.nan}], {"score": ".2f"}).data
    assert "&lt;b&gt;x" in shown
    assert "<td>0.12</td>" in shown
    assert f"<td>{present.NOTHING}</td>" in shown


def test_a_text_from_outside_is_shown_as_it_is():
    assert present.text("<i>a_b*`|") == "&lt;i&gt;a&#95;b&#42;&#96;&#124;"


def test_a_spread_is_given_only_where_there_are_several_runs():
    assert present.mean_sd([0.5]) == "0.500"
    assert present.mean_sd([0.4, 0.6]) == "0.500 ± 0.141"


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ({"old": (0.5, 0.51), "new": (0.9, 0.91)}, "**better**"),
        ({"old": (0.5, 0.6), "new": (0.6, 0.7)}, "**not distinguishable**"),
        ({"old": (0.9, 0.91), "new": (0.5, 0.51)}, "this stage changes nothing"),
    ],
)
def test_a_decision_is_told_with_its_verdict(scores, words):
    assert words in present.decision(make_result("dense", **scores)).data


def test_findings_tell_changes_beyond_noise_from_the_others():
    base = make_result("base", base=(0.5, 0.52))
    results = [
        base,
        make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91)),
        make_result("dropout", old=(0.5, 0.6), new=(0.6, 0.7)),
        make_result("batchnorm", old=(0.9, 0.91), new=(0.5, 0.51)),
    ]
    lines = "\n".join(present.findings(results, QUICK))
    assert "better one, by more than the noise between seeds: dense units." in lines
    assert "by no more than the noise between seeds: dropout." in lines
    assert "Changed nothing: batch normalisation." in lines
    assert "**+39.5 points**" in lines


def test_findings_from_one_run_each_claim_nothing_about_noise():
    results = [make_result("base", base=(0.5,)), make_result("dense", old=(0.5,), new=(0.9,))]
    lines = "\n".join(present.findings(results, SMOKE))
    assert "one run each says nothing about noise" in lines
    assert "interval" not in lines
    assert present.findings([], SMOKE) == ["No stage has a result."]


@pytest.mark.parametrize(
    ("train", "val", "words"),
    [(0.9, 0.6, "30.0 points apart: the model fits"), (0.6, 0.58, "little overfitting"), (0.5, 0.6, "no sign of")],
)
def test_overfitting_is_told_from_the_accuracies_at_the_best_epoch(train, val, words):
    history = {"loss": [1, 1], "accuracy": [0, train], "val_loss": [2.0, 1.5], "val_accuracy": [0, val]}
    result = make_result("base", base=(0.5,))
    result.runs["base", 1] = make_record(result.chosen.trial, history=history)
    told = present.overfitting(result).data
    assert words in told
    assert "It was the last one" in told


def test_equal_trials_stand_once_in_the_leaderboard():
    results = [make_result("dense", old=(0.5,), new=(0.9,)), make_result("dropout", old=(0.5,), new=(0.9,))]
    assert present.leaderboard(results).data.count("<tr>") == 2
