"""What is said of the whole study follows from its results."""

from dataclasses import replace

import numpy as np

from cnnlab import evidence
from cnnlab.evidence import Rule, Scores
from cnnlab.report import words
from cnnlab.study import CLAIMS, PROFILES, Claim
from cnnlab.tuning import ClaimResult
from conftest import make_result

QUICK, SMOKE = PROFILES["quick"], PROFILES["smoke"]


def test_findings_tell_changes_beyond_noise_from_the_others():
    base = make_result("base", base=(0.5, 0.52))
    results = [
        base,
        make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91)),
        make_result("dropout", old=(0.5, 0.6), new=(0.6, 0.7)),
        make_result("batchnorm", old=(0.9, 0.91), new=(0.5, 0.51)),
    ]
    lines = "\n".join(words.findings(results, QUICK))
    assert "Changed the model for a better one: dense units." in lines
    assert "Changed the model, without evidence that the new one is better: dropout." in lines
    assert "Kept the model, which is better than the best other trial: batch normalisation." in lines
    assert "**+39.5 points**" in lines


def test_findings_from_one_run_each_claim_nothing_about_noise():
    results = [make_result("base", base=(0.5,)), make_result("dense", old=(0.5,), new=(0.9,))]
    lines = "\n".join(words.findings(results, SMOKE))
    assert "one run each says nothing about noise" in lines
    assert "better" not in lines.lower()
    assert words.findings([], SMOKE) == ["No stage has a result."]


def test_pinned_picks_are_told_by_their_verdicts_where_there_are_several_seeds():
    results = [make_result("base", base=(0.5, 0.52)), make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91))]
    pinned = [replace(result, decision=replace(result.decision, rule=Rule.PUBLISHED_CHOICE)) for result in results]
    lines = "\n".join(words.findings(pinned, QUICK))
    assert "Published picks that are better than the best other trial: dense units." in lines
    assert "The choices are the published study's own" in lines
    assert "Published picks" not in "\n".join(words.findings(pinned, SMOKE))


def test_in_brief_a_study_is_at_most_five_plain_lines():
    results = [
        make_result("base", base=(0.5, 0.52)),
        make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91)),
        make_result("batchnorm", old=(0.9, 0.91), new=(0.5, 0.51)),
        make_result("dropout", old=(0.5, 0.6), new=(0.6, 0.7)),
        make_result("colour", gray=(0.7, 0.8)),
    ]
    claims = [ClaimResult(claim, "inconclusive", None) for claim in CLAIMS[1:]]
    claims.append(ClaimResult(CLAIMS[0], "supported", None))
    assert words.terminal_summary(results, claims, QUICK) == [
        "Final model: test macro-F1 0.650 ± 0.071 (n = 2), 14.0 points above the first one, CNN-1.",
        "Changed the model for a better one: dense. Kept the better one: batchnorm.",
        "Could not be told: dropout.",
        "0 of 3 choices are as published. Claims: 1 supported, 0 refuted, 9 inconclusive.",
        "On colour images: test macro-F1 0.750 ± 0.071 (n = 2).",
    ]


def test_in_brief_one_run_each_tells_nothing_from_noise():
    results = [make_result("base", base=(0.5,)), make_result("dense", old=(0.5,), new=(0.9,))]
    assert words.terminal_summary(results, [], SMOKE) == [
        "Final model: test macro-F1 0.900 (n = 1), 40.0 points above the first one, CNN-1.",
        "With one run a trial, no difference can be told from noise.",
        "0 of 1 choices are as published.",
    ]
    assert words.terminal_summary([], [], SMOKE) == ["No stage has a result."]


def test_in_brief_pinned_picks_are_told_by_their_verdicts():
    results = [make_result("base", base=(0.5, 0.52)), make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91))]
    pinned = [replace(result, decision=replace(result.decision, rule=Rule.PUBLISHED_CHOICE)) for result in results]
    assert words.terminal_summary(pinned, [], QUICK)[1:] == [
        "Published picks that are better: dense.",
        "Could not be told: none.",
    ]


def test_the_summary_gives_each_choice_with_what_it_rests_on():
    result = make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91))
    shown = words.summary([make_result("base", base=(0.5, 0.52)), result]).data
    one = result.decision.evidence
    assert "<td>old</td>" in shown
    assert "<td>+0.400</td>" in shown
    assert f"<td>{one.low:+.3f} to {one.high:+.3f}</td>" in shown
    assert "<td>better</td>" in shown


def test_equal_trials_stand_once_in_the_leaderboard():
    results = [make_result("dense", old=(0.5,), new=(0.9,)), make_result("dropout", old=(0.5,), new=(0.9,))]
    assert words.leaderboard(results).data.count("<tr>") == 2


def test_colour_is_held_against_gray_with_all_that_differs():
    gray, colour = make_result("augmentation", none=(0.5, 0.6)), make_result("colour", none=(0.6, 0.7))
    told = words.colour_against_gray(gray, colour).data
    assert "0.550 ± 0.071, on colour images 0.650 ± 0.071 (2 and 2 runs): a difference of +10.0 points" in told
    assert "not the same" not in told
    [trial] = colour.trials
    scrambled = replace(trial, settings=trial.settings.change(colour=True, layout="published", scale=False))
    told = words.colour_against_gray(gray, replace(colour, trials=(scrambled,))).data
    assert "the same augmentation (none, but not the same layout, scale)" in told


def test_claims_are_shown_with_their_figures():
    [comparison] = evidence.compare(
        {name: Scores(np.array(of), np.zeros((2, 5))) for name, of in {"a": [0.5, 0.52], "b": [0.4, 0.42]}.items()}
    )
    shown = words.claim_table(
        [
            ClaimResult(CLAIMS[0], "supported", comparison),
            ClaimResult(Claim("<b>", ("x", "y"), ("x", "z")), "inconclusive", None),
        ]
    ).data
    assert "+0.100" in shown
    assert f"{comparison.low:+.3f} to {comparison.high:+.3f}" in shown
    assert "not run" in shown
    assert "&lt;b&gt;" in shown


def test_choices_that_could_not_be_told_are_listed_unless_there_is_one_run_each():
    told = make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91))
    untold = make_result("loss", kept=(0.5, 0.6), other=(0.6, 0.7))
    assert "loss" in words.unclear([told, untold]).data
    assert "dense" not in words.unclear([told, untold]).data
    assert words.unclear([told]) is None
    assert words.unclear([make_result("dense", old=(0.5,), new=(0.9,))]) is None


def test_trials_that_tie_are_compared_in_the_order_of_the_study():
    tied = make_result("learning-rate", best=(0.9,), **{f"{rate}": (0.5,) for rate in range(20)})
    assert [one.against for one in tied.decision.comparisons] == [f"{rate}" for rate in range(20)]
