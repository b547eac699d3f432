"""Sentences about the published study's mistakes follow from the runs."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

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


def test_a_mistake_is_shown_with_its_effect(mistake):
    """With the mistake less without it, in sentence, table and picture."""
    [effect] = mistake.effects
    interval = f"{effect.low:+.3f} to {effect.high:+.3f}"
    assert MISTAKES[0].title in words.mistake_heading(mistake).data
    assert words.mistake_trials_table(mistake).data.count("<tr>") == 2
    assert words.mistake_verdicts(mistake).data == (
        "`test_f1` with the mistake (**mistaken**) less that without it (**without**): -0.200 (95 % interval "
        f"{interval}): **worse**."
    )
    assert re.findall("<td>(.*?)</td>", words.mistake_effects_table([mistake]).data) == [
        "dropout-tied", "mistaken", "without", "-0.200", interval, "worse", "-",
    ]  # fmt: skip
    picture = words.mistake_effects_plot([mistake])
    assert picture.alt == (
        "Differences with 95 % intervals, mean test_f1 with the mistake, less that without it: dropout-tied: mistaken "
        f"-0.200, {interval}, worse."
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, " The intervals cover other seeds and other training, validation and test images."),
        ({"splits": "fixed"}, " The intervals cover other seeds and other test images."),
        ({"seeds": 1}, ""),
    ],
)
def test_what_the_intervals_of_mistakes_cover_follows_from_the_budget(changes, sentence):
    images = SimpleNamespace(folder=SimpleNamespace(colour="some"))
    intro = words.mistakes_intro(SimpleNamespace(budget=make_budget("full", changes), images=images)).data
    assert intro.endswith(f"500 epochs.{sentence}")


def test_mistakes_that_change_nothing_are_listed():
    titles = re.findall(r"\*\*(.+?)\*\*", words.mistakes_without_effect().data)
    assert titles == [f"{mistake.title}." for mistake in MISTAKES if not mistake.trials]


def test_scrambled_images_are_shown_below_the_images(colour):
    picture = words.scrambled_images(colour, split(colour, "stratified", 100, 40, 50))
    assert "reshape without a transpose" in picture.alt


def test_a_mistake_whose_runs_are_the_same_shows_no_effect(mistake):
    runs = mistake.records_by_trial
    same = {"without": runs["without"], "mistaken": [replace(run, digest=f"{run.seed}") for run in runs["without"]]}
    verdicts = words.mistake_verdicts(replace(mistake, records_by_trial=same)).data
    assert verdicts.endswith("the runs of both are the same in this budget, so it shows no effect.")
