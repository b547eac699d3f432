"""Claims are result by the interval of a difference on the test images."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from cnnlab.evidence import Scores
from cnnlab.study import CLAIMS, FINAL, INCUMBENT, PROFILES, PROTOCOLS, SELECTED, Claim, find_stage, plan_trials, start
from cnnlab.tuning import check_claim, check_claims, claims, skipped_claims
from conftest import make_result


@pytest.fixture(autouse=True)
def images_without_noise(monkeypatch):
    """Scores of records made up by hand, on images that add no noise."""

    def read_scores(_store, records, part):
        return Scores(np.array([record.scores[f"{part}_f1"] for record in records]), np.zeros((len(records), 5)))

    monkeypatch.setattr(claims, "read_scores", read_scores)


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
def test_a_claim_is_supported_or_refuted_only_beyond_its_interval(trial, over, by, status):
    result = check_claim(Claim("", ("dense", trial), ("dense", over), by), None, RESULTS)
    assert result.status == status
    assert (result.comparison.low > by, result.comparison.high < by) == (status == "supported", status == "refuted")


def test_a_claim_about_two_stages_takes_the_selected_trial_of_each():
    result = check_claim(Claim("", ("dense", SELECTED), ("base", SELECTED), 0.05), None, RESULTS)
    assert (result.comparison.trial, result.comparison.against) == ("128", "base")
    assert result.status == "supported"


def test_a_model_beats_itself_by_nothing():
    same = ("base", SELECTED)
    assert check_claim(Claim("", same, same, 0.05), None, RESULTS).status == "refuted"
    assert check_claim(Claim("", same, same), None, RESULTS).status == "inconclusive"


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (("dence", SELECTED), "The study has no stage 'dence'."),
        (("dense", "1024"), "The stage dense has no trial '1024'."),
    ],
)
def test_a_claim_about_an_unknown_stage_or_trial_is_skipped_with_the_reason(monkeypatch, wrong, reason):
    right = ("base", SELECTED)
    for declared in (Claim("", wrong, right), Claim("", right, wrong)):
        result = check_claim(declared, None, RESULTS)
        assert (result.status, result.comparison, result.reason) == ("skipped", None, reason)
        monkeypatch.setattr(claims, "CLAIMS", (declared, Claim("", right, (FINAL, SELECTED))))
        assert skipped_claims() == [result], "known without runs"


def test_no_claim_of_the_built_in_study_is_skipped():
    assert skipped_claims() == []


def test_a_claim_about_two_trials_with_the_same_runs_has_no_interval():
    one = make_result("dense", **{"32": (0.50, 0.51), "128": (0.60, 0.61)})
    for seed in (1, 2):
        one.runs["128", seed] = replace(one.runs["32", seed], digest=f"other {seed}")
    result = check_claim(Claim("", ("dense", "128"), ("dense", "32")), None, [one])
    assert (result.status, result.comparison.difference, result.comparison.low) == ("inconclusive", 0, 0)


def test_the_final_model_is_that_of_the_last_grayscale_stage():
    results = [*RESULTS, make_result("colour", a=(0.9, 0.91, 0.92))]
    result = check_claim(Claim("", (FINAL, SELECTED), ("base", SELECTED)), None, results)
    assert result.comparison.trial == "128"


def test_the_published_fits_are_not_what_they_say_so_no_claim_is_result_by_them():
    assert check_claims(SimpleNamespace(protocol=PROTOCOLS["published"]), RESULTS) == []


@pytest.mark.parametrize("missing", [("dense", "512"), ("loss", SELECTED), ("base", INCUMBENT)])
def test_a_claim_about_a_trial_that_was_not_run_is_undecided(missing):
    result = check_claim(Claim("", missing, ("base", SELECTED)), None, RESULTS)
    assert (result.status, result.comparison) == ("inconclusive", None)


def test_one_run_of_each_decides_nothing():
    results = [make_result("dense", **{"32": (0.1,), "128": (0.9,)})]
    assert check_claim(Claim("", ("dense", "128"), ("dense", "32")), None, results).status == "inconclusive"


def test_declared_claims_name_stages_and_trials_that_there_are():
    full, corrected = PROFILES["full"], PROTOCOLS["corrected"]
    for claim in CLAIMS:
        for stage, trial in (claim.trial, claim.over):
            if stage == FINAL:
                assert trial == SELECTED
                continue
            names = {c.name for c in plan_trials(find_stage(stage), start(full, corrected), full, corrected)}
            assert trial in names | {SELECTED, INCUMBENT}
