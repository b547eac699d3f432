"""Tables and sentences about the whole study follow from its results."""

import html
import re
from dataclasses import replace

import numpy as np
import pytest
from bs4 import BeautifulSoup

from cnnlab import evidence
from cnnlab.evidence import Rule, Scores
from cnnlab.report import words
from cnnlab.study import Claim, built_in
from cnnlab.tuning import ClaimResult, ClaimStatus, Tuning
from conftest import at_chance, make_result

CLAIMS = built_in().claims


@pytest.fixture
def quick(made_up, tmp_path):
    return Tuning(made_up, tmp_path, "quick")


@pytest.fixture
def smoke(made_up, tmp_path):
    return Tuning(made_up, tmp_path, "smoke")


def pin(results):
    """The results as if the published choices had been selected."""
    return [replace(result, decision=replace(result.decision, rule=Rule.PUBLISHED_CHOICE)) for result in results]


def test_the_terminal_summary_has_at_most_five_plain_lines(quick):
    results = [
        make_result("base", base=(0.5, 0.52)),
        make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91)),
        make_result("batchnorm", old=(0.9, 0.91), new=(0.5, 0.51)),
        make_result("dropout", old=(0.5, 0.6), new=(0.6, 0.7)),
        make_result("colour", gray=(0.7, 0.8)),
    ]
    claims = [ClaimResult(claim, ClaimStatus.INCONCLUSIVE, None) for claim in CLAIMS[1:]]
    claims.append(ClaimResult(CLAIMS[0], ClaimStatus.SUPPORTED, None))
    final, *others = words.terminal_summary(quick, results, claims)
    assert final.startswith("Final model: test macro-F1 0.750 ± 0.071 (n = 2), not shown to be better than CNN-1, the ")
    assert "the first model (on gray images)" in final
    assert others == [
        "Stages that selected a new trial (better than the incumbent): dense units. "
        "Stages that kept the incumbent (the best other trial is worse): batch normalisation.",
        "Inconclusive: dropout.",
        "0 of 3 choices are those of the published study. Claims: 1 supported, 0 refuted, 9 inconclusive.",
        "On grayscale images: test macro-F1 0.650 ± 0.071 (n = 2).",
    ]
    trials = tuple(replace(one, settings=one.settings.change(layout="published")) for one in results[-1].trials)
    final, *others = words.terminal_summary(quick, [*results[:-1], replace(results[-1], trials=trials)], claims)
    assert final.startswith("Final model: test macro-F1 0.650 ± 0.071 (n = 2), ")
    assert others[-1] == "On colour images: test macro-F1 0.750 ± 0.071 (n = 2).", "no one's images are scrambled"


def test_the_terminal_summary_of_one_run_per_trial_has_no_verdicts(smoke):
    results = [make_result("base", base=(0.5,)), make_result("dense", old=(0.5,), new=(0.9,))]
    assert words.terminal_summary(smoke, results, []) == [
        "Final model: test macro-F1 0.900 (n = 1), not shown to be better than CNN-1, the first model (+40.0 points; "
        "one run says nothing about noise).",
        "With one run per trial, every verdict is inconclusive.",
        "0 of 1 choices are those of the published study.",
    ]
    assert words.terminal_summary(smoke, [], []) == ["No stage has a result."]


def unpublished(results):
    """The results as of a study or images that the published study does not concern."""
    return [replace(result, decision=replace(result.decision, published_choice="", agrees=False)) for result in results]


def test_findings_that_the_published_study_does_not_concern_have_nothing_of_it(quick):
    results = unpublished(
        [make_result("base", base=(0.5, 0.52)), make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91))]
    )
    final, *others = words.terminal_summary(quick, results, [])
    assert re.fullmatch(
        r"Final model: test macro-F1 0.905 ± 0.007 \(n = 2\), \+39.5 points \(95 % interval \+\d.* to \+\d.*\) "
        r"compared with the first model\.",
        final,
    )
    assert others == [
        "Stages that selected a new trial (better than the incumbent): dense units.",
        "Inconclusive: none.",
    ]
    shown = words.stages_table(quick, results).data
    assert "CNN-" not in shown
    assert "published" not in shown


def test_the_gain_of_a_study_whose_first_stage_has_an_incumbent_is_that_over_the_incumbent(quick):
    [line, *_] = words.terminal_summary(quick, [make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91))], [])
    assert line.startswith("Final model: test macro-F1 0.905 ± 0.007 (n = 2), +40.0 points (")


def test_the_terminal_summary_gives_the_verdicts_of_published_choices(quick):
    results = [make_result("base", base=(0.5, 0.52)), make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91))]
    assert words.terminal_summary(quick, pin(results), [])[1:] == [
        "Stages that selected the published choice (better than the incumbent): dense units.",
        "Inconclusive: none.",
        "Each stage selects the published choice, whatever the scores are.",
    ]


def test_gray_and_colour_scores_name_all_settings_that_differ():
    gray, colour = make_result("augmentation", none=(0.5, 0.6)), make_result("colour", none=(0.6, 0.7))
    sentence = words.gray_and_colour_scores(gray, colour).data
    assert "0.550 ± 0.071 on grayscale images and of 0.650 ± 0.071 on colour images (2 and 2 runs)" in sentence
    assert "The means differ by +0.100; this says nothing about noise." in sentence
    assert "Other settings" not in sentence
    [trial] = colour.trials
    scrambled = replace(trial, settings=trial.settings.change(colour=True, layout="published", scale=False))
    sentence = words.gray_and_colour_scores(gray, replace(colour, trials=(scrambled,))).data
    assert "the same augmentation (none)" in sentence
    assert sentence.endswith("Other settings that differ: layout, scale.")


def test_gray_and_colour_scores_need_a_trial_of_the_same_augmentation():
    gray, colour = make_result("augmentation", none=(0.5, 0.6)), make_result("colour", none=(0.6, 0.7))
    [trial] = colour.trials
    other = replace(colour, trials=(replace(trial, settings=trial.settings.change(augmentation="flip-shift")),))
    assert "No trial of this stage" in words.gray_and_colour_scores(gray, other).data
    assert "no result on grayscale images" in words.gray_and_colour_scores(None, colour).data


def test_skipped_claims_are_counted_and_shown_with_the_reason(quick):
    skipped = ClaimResult(CLAIMS[0], ClaimStatus.SKIPPED, None, "The study has no stage 'base'.")
    results = [make_result("base", base=(0.5, 0.52)), make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91))]
    supported = ClaimResult(CLAIMS[1], ClaimStatus.SUPPORTED, None)
    assert "Claims: 1 supported, 0 refuted, 0 inconclusive, 1 skipped." in " ".join(
        words.terminal_summary(quick, results, [skipped, supported])
    )
    assert "The study has no stage 'base'." in html.unescape(words.claim_table([skipped]).data)


def test_claims_are_shown_with_their_figures():
    [comparison] = evidence.compare(
        {name: Scores(np.array(runs), np.zeros((2, 5))) for name, runs in {"b": [0.4, 0.42], "a": [0.5, 0.52]}.items()}
    )
    shown = words.claim_table(
        [
            ClaimResult(CLAIMS[0], ClaimStatus.SUPPORTED, comparison),
            ClaimResult(Claim("<b>", ("x", "y"), ("x", "z")), ClaimStatus.INCONCLUSIVE, None),
        ]
    ).data
    assert '<span class="verdict supported">supported</span>' in shown
    assert "+0.100" in shown
    assert f"{comparison.low:+.3f} to {comparison.high:+.3f}" in shown
    assert "not run" in shown
    assert "&lt;b&gt;" in shown


def test_tied_trials_are_compared_in_the_order_of_the_study():
    tied = make_result("learning-rate", best=(0.9,), **{f"{rate}": (0.5,) for rate in range(20)})
    assert [comparison.trial for comparison in tied.decision.comparisons] == [f"{rate}" for rate in range(20)]


def test_the_stages_table_shows_what_each_choice_rests_on(quick):
    result = make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91))
    shown = BeautifulSoup(
        words.stages_table(quick, [make_result("base", base=(0.5, 0.52)), result]).data, "html.parser"
    )
    [_, row] = [[cell.get_text() for cell in row.select("td")] for row in shown.select("tbody tr")]
    made = result.decision.evidence
    difference = f"+0.400 ({made.low:+.3f} to {made.high:+.3f})"
    assert row == [
        "Dense units",
        "new",
        "128",
        "101",
        "0.905 ± 0.007",
        "0.905 ± 0.007",
        "new less old",
        difference,
        "better",
    ]
    assert shown.select("td a")[1]["href"] == "#dense"


def test_the_verdict_of_a_stage_that_keeps_its_incumbent_is_about_the_best_other_trial(quick):
    result = make_result("dense", old=(0.9, 0.91), new=(0.5, 0.51), other=(0.3, 0.31))
    shown = BeautifulSoup(words.stages_table(quick, [result]).data, "html.parser").get_text(" ")
    assert "new less old" in shown
    assert "-0.400" in shown
    assert "worse" in shown


def test_a_title_of_a_study_is_text_in_the_table_and_in_the_terminal(quick):
    results = [make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91)), make_result("loss", a=(0.5, 0.6), b=(0.6, 0.7))]
    results = [replace(one, stage=replace(one.stage, title="<b>x</b> *y* $z$ `c`")) for one in results]
    assert sum("<b>x</b> *y* $z$ `c`" in line for line in words.terminal_summary(quick, results, [])) == 2
    shown = BeautifulSoup(words.stages_table(quick, results).data, "html.parser")
    assert [link.get_text() for link in shown.select("td a")] == ["<b>x</b> *y* $z$ `c`"] * 2


def test_the_terminal_names_stages_in_which_a_trial_has_not_learned(quick, smoke):
    results = [
        make_result("base", base=(0.9, 0.91)),
        at_chance(make_result("batchnorm", old=(0.9, 0.91), new=(0.01, 0.02)), "new"),
    ]
    warning = "Stages in which a trial has not learned: batch normalisation."
    assert f"Inconclusive: none. {warning}" in words.terminal_summary(quick, results, [])
    one_seed = [
        make_result("base", base=(0.9,)),
        at_chance(make_result("batchnorm", old=(0.9,), new=(0.01,)), "new"),
    ]
    reason = "With one run per trial, every verdict is inconclusive."
    assert f"{reason} {warning}" in words.terminal_summary(smoke, one_seed, [])
