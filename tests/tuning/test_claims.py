"""Claims are checked by the interval of a difference on the test images."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from cnnlab.evidence import Scores
from cnnlab.study import FINAL, INCUMBENT, SELECTED, Claim
from cnnlab.tuning import Tuning, check_claims, claims
from conftest import make_result


@pytest.fixture(autouse=True)
def images_without_noise(monkeypatch):
    """Scores of records made up by hand, on images that add no noise."""

    def read_scores(_store, records, part, given_val):
        return Scores(np.array([record.scores[f"{part}_f1"] for record in records]))

    monkeypatch.setattr(claims, "read_scores", read_scores)


def check(*declared, results):
    """The claims of a study, checked by results made by hand."""
    images = SimpleNamespace(has_given_val=False)
    tuning = SimpleNamespace(scope=SimpleNamespace(claims=declared), store=None, images=images)
    return check_claims(tuning, results)


def check_one(declared, results):
    [result] = check(declared, results=results)
    return result


RESULTS = [
    make_result("base", base=(0.50, 0.51, 0.52)),
    make_result("dense", **{"32": (0.50, 0.51, 0.52), "128": (0.61, 0.60, 0.62), "64": (0.52, 0.51, 0.53)}),
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
    result = check_one(Claim("", ("dense", trial), ("dense", over), by), RESULTS)
    assert result.status == status
    assert (result.comparison.low > by, result.comparison.high < by) == (status == "supported", status == "refuted")


def test_a_claim_about_two_stages_takes_the_selected_trial_of_each():
    result = check_one(Claim("", ("dense", SELECTED), ("base", SELECTED), 0.05), RESULTS)
    assert (result.comparison.trial, result.comparison.against) == ("128", "base")
    assert result.status == "supported"


def test_a_model_beats_itself_by_nothing():
    same = ("base", SELECTED)
    assert check_one(Claim("", same, same, 0.05), RESULTS).status == "refuted"
    assert check_one(Claim("", same, same), RESULTS).status == "inconclusive"


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        (("loss", SELECTED), "The stage loss was not run."),
        (("dense", "512"), "The trial 512 of dense was not run."),
        (("base", INCUMBENT), "The trial incumbent of base was not run."),
    ],
)
def test_a_claim_about_something_that_was_not_run_is_skipped_with_the_reason(missing, reason):
    run = ("base", SELECTED)
    for declared in (Claim("", missing, run), Claim("", run, missing)):
        result = check_one(declared, RESULTS)
        assert (result.status, result.comparison, result.reason) == ("skipped", None, reason)


def test_without_a_grayscale_stage_there_is_no_final_model():
    final = ("final", SELECTED)
    assert check_one(Claim("", final, final), [make_result("colour", a=(0.9, 0.91))]).status == "skipped"


def test_a_claim_about_two_trials_with_the_same_runs_has_no_interval():
    one = make_result("dense", **{"32": (0.50, 0.51), "128": (0.60, 0.61)})
    for seed in (1, 2):
        one.runs["128", seed] = replace(one.runs["32", seed], digest=f"other {seed}")
    result = check_one(Claim("", ("dense", "128"), ("dense", "32")), [one])
    assert (result.status, result.comparison.difference, result.comparison.low) == ("inconclusive", 0, 0)


def test_the_final_model_is_that_of_the_last_grayscale_stage():
    results = [*RESULTS, make_result("colour", a=(0.9, 0.91, 0.92))]
    result = check_one(Claim("", (FINAL, SELECTED), ("base", SELECTED)), results)
    assert result.comparison.trial == "128"


def test_claims_are_checked_only_where_they_concern_the_study(folder, cifar10, tmp_path):
    """Those of the published study concern CIFAR-10, and not the published fits, which are not what they say."""
    skipped = check_claims(Tuning(cifar10, tmp_path), [])
    assert [(result.status, bool(result.reason)) for result in skipped] == [("skipped", True)] * 10
    assert check_claims(Tuning(cifar10, tmp_path, protocol="published"), []) == []
    assert check_claims(Tuning(folder, tmp_path), []) == []


def test_one_run_of_each_decides_nothing():
    results = [make_result("dense", **{"32": (0.1,), "128": (0.9,)})]
    assert check_one(Claim("", ("dense", "128"), ("dense", "32")), results).status == "inconclusive"


def test_the_intervals_of_all_claims_that_are_checked_hold_together():
    """One more claim makes them wider; a claim that is skipped does not."""
    results = [make_result("dense", **{"32": (0.50, 0.53, 0.52), "128": (0.58, 0.61, 0.59), "64": (0.5, 0.52, 0.51)})]
    claim, other = Claim("", ("dense", "128"), ("dense", "32")), Claim("", ("dense", "64"), ("dense", "32"))
    skipped = Claim("", ("loss", SELECTED), ("dense", "32"))
    alone, with_skipped, with_other = (
        check(*declared, results=results)[0].comparison.margin
        for declared in ([claim], [claim, skipped], [claim, other])
    )
    assert alone == with_skipped
    assert with_other > alone


def test_a_trial_that_another_one_repeats_counts_once():
    scores = {"32": (0.50, 0.53), "128": (0.58, 0.63), "64": (0.58, 0.63)}
    stage, pair = make_result("dense", **scores), make_result("dense", **dict(list(scores.items())[:2]))
    shared = {key: stage.runs["128", key[1]] if key[0] == "64" else record for key, record in stage.runs.items()}
    stage = replace(stage, runs=shared)
    for name in ("128", "64"):
        declared = Claim("", ("dense", name), ("dense", "32"))
        repeated = check_one(declared, [stage]).comparison
        assert repeated.margin == check_one(replace(declared, better=("dense", "128")), [pair]).comparison.margin


def test_the_spread_of_a_claim_is_that_of_its_whole_stage():
    pair = make_result("dense", **{"32": (0.50, 0.53, 0.52), "128": (0.58, 0.61, 0.59)})
    stage = make_result("dense", **{"32": (0.50, 0.53, 0.52), "128": (0.58, 0.61, 0.59), "64": (0.5, 0.52, 0.53)})
    declared = Claim("", ("dense", "128"), ("dense", "32"))
    assert check_one(declared, [stage]).comparison.margin < check_one(declared, [pair]).comparison.margin
