"""A comparison in words says what its numbers say."""

from dataclasses import replace

import numpy as np
import pytest

from cnnlab.report.words.comparison import comparison_text, difference_cell, seeds_needed
from conftest import make_result


@pytest.fixture
def inconclusive():
    return make_result("dense", old=(0.50, 0.60, 0.52), new=(0.55, 0.60, 0.68)).decision.evidence


def test_an_inconclusive_comparison_says_how_many_seeds_it_takes(inconclusive):
    assert comparison_text(inconclusive) == (
        f"+0.070 (95 % interval {inconclusive.low:+.3f} to {inconclusive.high:+.3f}): **inconclusive**; "
        f"{inconclusive.seeds_needed:.0f} seeds per trial would probably show a true difference of this size."
    )


def test_a_conclusive_comparison_ends_with_its_verdict():
    conclusive = make_result("dense", old=(0.50, 0.51, 0.52), new=(0.80, 0.81, 0.82)).decision.evidence
    assert comparison_text(conclusive) == (
        f"+0.300 (95 % interval {conclusive.low:+.3f} to {conclusive.high:+.3f}): **better**."
    )


def test_one_run_per_trial_claims_nothing():
    evidence = make_result("dense", old=(0.5,), new=(0.9,)).decision.evidence
    assert comparison_text(evidence) == "+0.400: **inconclusive**; one run per trial says nothing about noise."
    assert difference_cell(evidence) == "+0.400"
    assert seeds_needed(evidence) == ""


def test_a_cell_shows_a_difference_with_its_interval(inconclusive):
    assert difference_cell(inconclusive) == f"+0.070 ({inconclusive.low:+.3f} to {inconclusive.high:+.3f})"


@pytest.mark.parametrize(
    ("changes", "sentence", "cell"),
    [
        ({"seeds_needed": 14.0}, "; 14 seeds per trial would probably show a true difference of this size.", "14"),
        (
            {"seeds_needed": np.inf},
            "; more seeds alone cannot show a difference of this size, so use more images.",
            "more images",
        ),
        (
            {"difference": -0.0004},
            "; more seeds would hardly help, because the difference is 0 to three decimals.",
            "",
        ),
        ({"seeds_needed": np.nan, "verdict": "worse"}, "**worse**.", ""),
    ],
)
def test_what_a_difference_takes(inconclusive, changes, sentence, cell):
    comparison = replace(inconclusive, **{"difference": -0.05, **changes})
    assert comparison_text(comparison).endswith(sentence)
    assert seeds_needed(comparison) == cell


def test_zero_has_one_sign(inconclusive):
    zero = replace(inconclusive, difference=-0.0001, low=-0.0002, high=0.0001)
    assert comparison_text(zero).startswith("+0.000 (95 % interval -0.0002 to +0.0001)")
