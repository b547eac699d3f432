"""Claims are judged by the interval of a difference on the test images."""

from types import SimpleNamespace

import numpy as np
import pytest

from cnnlab.claims import CHOSEN, CLAIMS, INCUMBENT, Claim, judge
from cnnlab.evidence import Scores
from cnnlab.protocols import PROFILES, PROTOCOLS, candidates, start
from cnnlab.study import find_stage
from conftest import make_result


@pytest.fixture
def tuning():
    """Stands in for a study whose images add no noise."""

    def scores(found, part):
        return Scores(np.array([record.scores[f"{part}_f1"] for record in found]), np.zeros((len(found), 5)))

    return SimpleNamespace(scores=scores)


RESULTS = [
    make_result("base", base=(0.50, 0.51, 0.52)),
    make_result("dense", old=(0.50, 0.51, 0.52), new=(0.60, 0.61, 0.62), near=(0.51, 0.52, 0.53)),
]


@pytest.mark.parametrize(
    ("trial", "over", "by", "status"),
    [
        ("new", "old", 0.0, "supported"),
        ("new", "old", 0.05, "supported"),
        ("new", "old", 0.09, "undecided"),
        ("new", "old", 0.2, "refuted"),
        ("near", "old", 0.0, "undecided"),
        ("old", "new", 0.0, "refuted"),
        (CHOSEN, INCUMBENT, 0.05, "supported"),
    ],
)
def test_a_claim_is_supported_or_refuted_only_beyond_its_interval(tuning, trial, over, by, status):
    judged = judge(Claim("", ("dense", trial), ("dense", over), by), tuning, RESULTS)
    assert judged.status == status
    assert (judged.comparison.low > by, judged.comparison.high < by) == (status == "supported", status == "refuted")


def test_a_claim_about_two_stages_takes_the_trial_that_each_handed_on(tuning):
    judged = judge(Claim("", ("dense", CHOSEN), ("base", CHOSEN), 0.05), tuning, RESULTS)
    assert (judged.comparison.trial, judged.comparison.against) == ("new", "base")
    assert judged.status == "supported"


def test_a_model_beats_itself_by_nothing(tuning):
    same = ("base", CHOSEN)
    assert judge(Claim("", same, same, 0.05), tuning, RESULTS).status == "refuted"
    assert judge(Claim("", same, same), tuning, RESULTS).status == "undecided"


@pytest.mark.parametrize("missing", [("dense", "512"), ("loss", CHOSEN), ("base", INCUMBENT)])
def test_a_claim_about_a_trial_that_was_not_run_is_undecided(tuning, missing):
    judged = judge(Claim("", missing, ("base", CHOSEN)), tuning, RESULTS)
    assert (judged.status, judged.comparison) == ("undecided", None)


def test_one_run_of_each_decides_nothing(tuning):
    results = [make_result("dense", old=(0.1,), new=(0.9,))]
    assert judge(Claim("", ("dense", "new"), ("dense", "old")), tuning, results).status == "undecided"


def test_declared_claims_name_stages_and_trials_that_there_are():
    full, corrected = PROFILES["full"], PROTOCOLS["corrected"]
    for claim in CLAIMS:
        for stage, trial in (claim.trial, claim.over):
            names = {c.name for c in candidates(find_stage(stage), start(full, corrected), full, corrected)}
            assert trial in names | {CHOSEN, INCUMBENT}
