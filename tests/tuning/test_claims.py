"""Claims are judged by the interval of a difference on the test images."""

from types import SimpleNamespace

import numpy as np
import pytest

from cnnlab.errors import ConfigError
from cnnlab.evidence import Scores
from cnnlab.study import CLAIMS, FINAL, INCUMBENT, PROFILES, PROTOCOLS, SELECTED, Claim, find_stage, plan_trials, start
from cnnlab.tuning import check_claim, check_claims
from conftest import make_result


@pytest.fixture
def tuning():
    """Stands in for a study whose images add no noise."""

    def scores(found, part):
        return Scores(np.array([record.scores[f"{part}_f1"] for record in found]), np.zeros((len(found), 5)))

    return SimpleNamespace(scores=scores)


RESULTS = [
    make_result("base", base=(0.50, 0.51, 0.52)),
    make_result("dense", **{"32": (0.50, 0.51, 0.52), "128": (0.60, 0.61, 0.62), "64": (0.51, 0.52, 0.53)}),
]


@pytest.mark.parametrize(
    ("trial", "over", "by", "status"),
    [
        ("128", "32", 0.0, "supported"),
        ("128", "32", 0.05, "supported"),
        ("128", "32", 0.09, "inconclusive"),
        ("128", "32", 0.2, "refuted"),
        ("64", "32", 0.0, "inconclusive"),
        ("32", "128", 0.0, "refuted"),
        (SELECTED, INCUMBENT, 0.05, "supported"),
    ],
)
def test_a_claim_is_supported_or_refuted_only_beyond_its_interval(tuning, trial, over, by, status):
    judged = check_claim(Claim("", ("dense", trial), ("dense", over), by), tuning, RESULTS)
    assert judged.status == status
    assert (judged.comparison.low > by, judged.comparison.high < by) == (status == "supported", status == "refuted")


def test_a_claim_about_two_stages_takes_the_trial_that_each_handed_on(tuning):
    judged = check_claim(Claim("", ("dense", SELECTED), ("base", SELECTED), 0.05), tuning, RESULTS)
    assert (judged.comparison.trial, judged.comparison.against) == ("128", "base")
    assert judged.status == "supported"


def test_a_model_beats_itself_by_nothing(tuning):
    same = ("base", SELECTED)
    assert check_claim(Claim("", same, same, 0.05), tuning, RESULTS).status == "refuted"
    assert check_claim(Claim("", same, same), tuning, RESULTS).status == "inconclusive"


@pytest.mark.parametrize("wrong", [("dence", SELECTED), ("dense", "1024")])
def test_a_claim_about_what_there_is_not_is_refused(tuning, wrong):
    with pytest.raises(ConfigError, match="Expected a"):
        check_claim(Claim("", wrong, ("base", SELECTED)), tuning, RESULTS)


def test_the_final_model_is_that_of_the_last_grayscale_stage(tuning):
    results = [*RESULTS, make_result("colour", a=(0.9, 0.91, 0.92))]
    judged = check_claim(Claim("", (FINAL, SELECTED), ("base", SELECTED)), tuning, results)
    assert judged.comparison.trial == "128"


def test_the_published_fits_are_not_what_they_say_so_no_claim_is_judged_by_them():
    assert check_claims(SimpleNamespace(protocol=PROTOCOLS["published"]), RESULTS) == []


@pytest.mark.parametrize("missing", [("dense", "512"), ("loss", SELECTED), ("base", INCUMBENT)])
def test_a_claim_about_a_trial_that_was_not_run_is_undecided(tuning, missing):
    judged = check_claim(Claim("", missing, ("base", SELECTED)), tuning, RESULTS)
    assert (judged.status, judged.comparison) == ("inconclusive", None)


def test_one_run_of_each_decides_nothing(tuning):
    results = [make_result("dense", **{"32": (0.1,), "128": (0.9,)})]
    assert check_claim(Claim("", ("dense", "128"), ("dense", "32")), tuning, results).status == "inconclusive"


def test_declared_claims_name_stages_and_trials_that_there_are():
    full, corrected = PROFILES["full"], PROTOCOLS["corrected"]
    for claim in CLAIMS:
        for stage, trial in (claim.trial, claim.over):
            if stage == FINAL:
                assert trial == SELECTED
                continue
            names = {c.name for c in plan_trials(find_stage(stage), start(full, corrected), full, corrected)}
            assert trial in names | {SELECTED, INCUMBENT}
