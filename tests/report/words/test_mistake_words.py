"""Sentences about the published study's mistakes follow from the runs."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from bs4 import BeautifulSoup

from cnnlab import evidence
from cnnlab.data import split
from cnnlab.evidence import Scores
from cnnlab.report import words
from cnnlab.study import built_in, make_budget
from cnnlab.tuning import MistakeResult
from conftest import make_result

MISTAKES = built_in().mistakes


@pytest.fixture
def mistake():
    result = make_result("dense", without=(0.80, 0.81, 0.82), mistaken=(0.60, 0.61, 0.62))
    scores = {
        name: Scores(np.array([record.scores["test_f1"] for record in records]))
        for name, records in result.records_by_trial.items()
    }
    return MistakeResult(MISTAKES[0], result.records_by_trial, evidence.compare(scores))


def rows(table):
    """The texts of a table's cells, without those of the mistakes that change no result."""
    cells = [
        [cell.get_text() for cell in row.select("td")]
        for row in BeautifulSoup(table.data, "html.parser").select("tbody tr")
    ]
    return [row for row in cells if row[3] != "changes no result"]


def test_a_mistake_is_shown_with_its_effect(mistake):
    """With the mistake less without it, in table and picture."""
    [effect] = mistake.effects
    interval = f"{effect.low:+.3f} to {effect.high:+.3f}"
    assert rows(words.mistakes_table([mistake])) == [
        [f"{MISTAKES[0].title} {MISTAKES[0].description}", "mistaken", "without", f"-0.200 ({interval})", "worse"]
    ]
    assert words.mistake_trials_table(mistake).data.count("<tr>") == 2
    assert words.mistake_effects_plot([mistake]).alt == (
        "Differences with 95 % intervals, mean test_f1 with the mistake, less that without it: "
        f"{MISTAKES[0].title} -0.200, {interval}, worse."
    )


def test_a_mistake_with_several_trials_is_described_once(mistake):
    effects = (mistake.effects[0], replace(mistake.effects[0], trial="worse still"))
    runs = {**mistake.records_by_trial, "worse still": mistake.records_by_trial["mistaken"]}
    several = replace(mistake, effects=effects, records_by_trial=runs)
    first, second = rows(words.mistakes_table([several]))
    assert first[0] == f"{MISTAKES[0].title} {MISTAKES[0].description}"
    assert second[:2] == [MISTAKES[0].title, "worse still"]
    assert f"{MISTAKES[0].title}: worse still -0.200" in words.mistake_effects_plot([several]).alt


@pytest.mark.parametrize(
    ("changes", "has_given_val", "sentence"),
    [
        (
            {},
            False,
            " The intervals cover other seeds and other training, validation and test images; they hold together",
        ),
        ({}, True, " The intervals cover other seeds and other training and test images; they hold together"),
        ({"splits": "fixed"}, False, " The intervals cover other seeds and other test images; they hold together"),
        ({"seeds": 1}, False, ""),
    ],
)
def test_what_the_intervals_of_mistakes_cover_follows_from_the_budget(changes, has_given_val, sentence):
    images = SimpleNamespace(folder=SimpleNamespace(colour="some"), has_given_val=has_given_val)
    intro = words.mistakes_intro(SimpleNamespace(budget=make_budget("full", changes), images=images)).data
    assert f"batch size 32 and at most 500 epochs.{sentence}" in intro
    assert ("intervals" in intro) == bool(sentence)


def test_mistakes_that_change_nothing_stand_below_the_others(mistake):
    table = BeautifulSoup(words.mistakes_table([mistake]).data, "html.parser")
    titles = [row.strong.get_text() for row in table.select("tbody tr") if "changes no result" in row.get_text()]
    assert titles == [mistake.title for mistake in MISTAKES if not mistake.trials]


def test_scrambled_images_are_shown_below_the_images(colour):
    picture = words.scrambled_images(colour, split(colour, "stratified", 100, 40, 50))
    assert "reshape without a transpose" in picture.alt


def test_a_mistake_whose_runs_are_the_same_shows_no_effect(mistake):
    runs = mistake.records_by_trial
    same = {"without": runs["without"], "mistaken": [replace(run, digest=f"{run.seed}") for run in runs["without"]]}
    [row] = rows(words.mistakes_table([replace(mistake, records_by_trial=same)]))
    assert row[-2:] == ["the same runs in this budget", "-"]
