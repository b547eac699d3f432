"""What is said of the published study's mistakes follows from the runs that made them."""

import re

import numpy as np
import pytest

from cnnlab import evidence
from cnnlab.data import split
from cnnlab.evidence import Scores
from cnnlab.report import words
from cnnlab.study import MISTAKES
from cnnlab.tuning import MistakeResult
from conftest import make_result


@pytest.fixture
def mistake():
    result = make_result("dense", corrected=(0.80, 0.81, 0.82), spoilt=(0.60, 0.61, 0.62))
    scores = {
        name: Scores(np.array([r.scores["test_f1"] for r in of]), np.zeros((3, 5)))
        for name, of in result.records_by_trial.items()
    }
    return MistakeResult(MISTAKES[0], result.records_by_trial, tuple(evidence.compare(scores)))


def test_a_mistake_is_told_with_its_cost(mistake):
    assert MISTAKES[0].title in words.heading(mistake).data
    assert words.mistake_table(mistake).data.count("<tr>") == 2
    assert "+0.200" in words.verdicts(mistake).data
    assert "**better**" in words.verdicts(mistake).data
    assert "+0.200" in words.cost_table([mistake]).data
    assert "dropout-tied: spoilt +0.200" in words.effects([mistake]).alt


def test_mistakes_that_change_nothing_are_listed():
    titles = re.findall(r"\*\*(.+?)\*\*", words.no_cost().data)
    assert titles == [f"{mistake.title}." for mistake in MISTAKES if not mistake.trials]


def test_the_scrambled_layout_is_shown_below_the_images(colour):
    shown = words.layouts(colour, split(colour, "stratified", 100, 40, 50))
    assert "reshape without a transpose" in shown.alt
