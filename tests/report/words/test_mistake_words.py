"""Sentences about the published study's mistakes follow from the runs."""

import re
from dataclasses import replace

import numpy as np
import pytest

from cnnlab import evidence
from cnnlab.data import split
from cnnlab.evidence import Scores
from cnnlab.report import words
from cnnlab.study import built_in
from cnnlab.tuning import MistakeResult
from conftest import make_result

MISTAKES = built_in().mistakes


@pytest.fixture
def mistake():
    result = make_result("dense", without=(0.80, 0.81, 0.82), mistaken=(0.60, 0.61, 0.62))
    scores = {
        name: Scores(np.array([record.scores["test_f1"] for record in records]), np.zeros((3, 5)))
        for name, records in result.records_by_trial.items()
    }
    return MistakeResult(MISTAKES[0], result.records_by_trial, tuple(evidence.compare(scores)))


def test_a_mistake_is_shown_with_its_effect(mistake):
    assert MISTAKES[0].title in words.mistake_heading(mistake).data
    assert words.mistake_trials_table(mistake).data.count("<tr>") == 2
    verdicts = words.mistake_verdicts(mistake).data
    assert "**without** against **mistaken**, `test_f1`: +0.200" in verdicts
    assert "**better**" in verdicts
    assert "+0.200" in words.mistake_effects_table([mistake]).data
    assert "dropout-tied: mistaken +0.200" in words.mistake_effects_plot([mistake]).alt


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
