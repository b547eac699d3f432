"""Tables and sentences about the whole study follow from its results."""

import re
from dataclasses import replace

import numpy as np
import pytest
from bs4 import BeautifulSoup
from nbconvert.filters import markdown2html

from cnnlab import evidence
from cnnlab.evidence import Rule, Scores
from cnnlab.report import words
from cnnlab.study import Claim, built_in
from cnnlab.tuning import ClaimResult, ClaimStatus, Tuning
from conftest import make_result

CLAIMS = built_in().claims


def read_scores(store, records, part):
    """The scores of records that are not stored: their images add no noise."""
    return Scores(np.array([record.scores[f"{part}_f1"] for record in records]), np.zeros((len(records), 5)))


@pytest.fixture
def quick(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(words.study, "read_scores", read_scores)
    return Tuning(folder, tmp_path, "quick")


@pytest.fixture
def smoke(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(words.study, "read_scores", read_scores)
    return Tuning(folder, tmp_path, "smoke")


def pin(results):
    """The results as if the published choices had been selected."""
    return [replace(result, decision=replace(result.decision, rule=Rule.PUBLISHED_CHOICE)) for result in results]


def test_findings_separate_conclusive_from_inconclusive_choices(quick):
    results = [
        make_result("base", base=(0.5, 0.52)),
        make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91)),
        make_result("batchnorm", old=(0.9, 0.91), new=(0.5, 0.51)),
        make_result("loss", old=(0.6, 0.7), new=(0.5, 0.6)),
        make_result("dropout", old=(0.5, 0.6), new=(0.6, 0.7)),
    ]
    final, conclusive, inconclusive, agreement, basis = words.findings(quick, results)
    assert "(n = 2): not shown to be better than CNN-1, the first model, which has 100 parameters" in final
    assert "(+14.0 points; 95 % interval -" in final
    assert conclusive == (
        "Stages that selected a new trial (better than the incumbent): dense units. "
        "Stages that kept the incumbent (the best other trial is worse): batch normalisation."
    )
    assert inconclusive == (
        "Stages that kept the incumbent (inconclusive): loss. Stages that selected a new trial (inconclusive): dropout."
    )
    assert agreement == "0 of 4 choices are those of the published study."
    assert basis.startswith("These results come from 20 training, 6 validation and 10 test images, with 3 runs per")
    assert "Better or worse means that the 95 % interval of a difference excludes zero." in basis


def test_findings_from_one_run_per_trial_claim_nothing_about_noise(smoke):
    results = [make_result("base", base=(0.5,)), make_result("dense", old=(0.5,), new=(0.9,))]
    lines = words.findings(smoke, results)
    assert "With one run per trial, every verdict is inconclusive." in lines[1]
    assert "Stages that selected a new trial (inconclusive): dense units." in lines[1]
    assert "not shown to be better" in lines[0]
    assert "better" not in "".join(lines).replace("not shown to be better", "").lower()
    assert words.findings(smoke, []) == ["No stage has a result."]


def test_published_choices_have_verdicts_if_there_are_several_seeds(quick, smoke):
    results = [make_result("base", base=(0.5, 0.52)), make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91))]
    lines = words.findings(quick, pin(results))
    assert "Stages that selected the published choice (better than the incumbent): dense units." in lines
    assert "Each stage selects the published choice, whatever the scores are." in lines
    one_seed = [make_result("base", base=(0.5,)), make_result("dense", old=(0.5,), new=(0.9,))]
    assert "better than the incumbent" not in "".join(words.findings(smoke, pin(one_seed)))


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
    assert final.startswith("Final model: test macro-F1 0.650 ± 0.071 (n = 2), not shown to be better than CNN-1, the ")
    assert others == [
        "Stages that selected a new trial (better than the incumbent): dense units. "
        "Stages that kept the incumbent (the best other trial is worse): batch normalisation.",
        "Inconclusive: dropout.",
        "0 of 3 choices are those of the published study. Claims: 1 supported, 0 refuted, 9 inconclusive.",
        "On colour images: test macro-F1 0.750 ± 0.071 (n = 2).",
    ]


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
    shown = " ".join([*words.findings(quick, results), words.stages_table(quick, results).data])
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


def test_the_stages_table_shows_what_each_choice_rests_on(quick):
    result = make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91))
    shown = words.stages_table(quick, [make_result("base", base=(0.5, 0.52)), result]).data
    comparison = result.decision.evidence
    assert "<td>new less old</td>" in shown
    assert "<td>+0.400</td>" in shown
    assert f"<td>{comparison.low:+.3f} to {comparison.high:+.3f}</td>" in shown
    assert "<td>better</td>" in shown
    assert "<td>128</td>" in shown, "the published choice"


def test_a_title_of_a_study_is_text_in_the_findings_of_the_page_and_of_the_terminal(quick):
    results = [make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91)), make_result("loss", a=(0.5, 0.6), b=(0.6, 0.7))]
    results = [replace(one, stage=replace(one.stage, title="<b>x</b> *y* $z$ `c`")) for one in results]
    on_page, terminal = words.findings(quick, results), words.terminal_summary(quick, results, [])
    assert sum("<b>x</b> *y* $z$ `c`" in line for line in terminal) == 2
    for line in on_page:
        shown = BeautifulSoup(markdown2html(line), "html.parser")
        assert {element.name for element in shown.find_all(True)} <= {"p", "strong"}
        assert "x" not in [element.get_text() for element in shown.find_all("strong")]
    assert (
        sum("<b>x</b> *y* $z$ `c`" in BeautifulSoup(markdown2html(line), "html.parser").get_text() for line in on_page)
        == 2
    )


def test_equal_trials_stand_once_in_the_leaderboard():
    results = [make_result("dense", old=(0.5,), new=(0.9,)), make_result("dropout", old=(0.5,), new=(0.9,))]
    assert words.leaderboard(results).data.count("<tr>") == 2


def test_gray_and_colour_scores_name_all_settings_that_differ():
    gray, colour = make_result("augmentation", none=(0.5, 0.6)), make_result("colour", none=(0.6, 0.7))
    sentence = words.gray_and_colour_scores(gray, colour).data
    assert "0.550 ± 0.071 on grayscale images and of 0.650 ± 0.071 on colour images (2 and 2 runs)" in sentence
    assert "a difference of +10.0 points" in sentence
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
    assert "The study has no stage 'base'." in words.claim_table([skipped]).data


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
    assert "+0.100" in shown
    assert f"{comparison.low:+.3f} to {comparison.high:+.3f}" in shown
    assert "not run" in shown
    assert "&lt;b&gt;" in shown


def test_inconclusive_choices_are_listed_if_there_are_several_seeds():
    conclusive = make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91))
    inconclusive = make_result("loss", kept=(0.5, 0.6), other=(0.6, 0.7))
    assert "loss" in words.inconclusive_choices([conclusive, inconclusive]).data
    assert "dense" not in words.inconclusive_choices([conclusive, inconclusive]).data
    assert words.inconclusive_choices([conclusive]) is None
    assert words.inconclusive_choices([make_result("dense", old=(0.5,), new=(0.9,))]) is None


def test_tied_trials_are_compared_in_the_order_of_the_study():
    tied = make_result("learning-rate", best=(0.9,), **{f"{rate}": (0.5,) for rate in range(20)})
    assert [comparison.trial for comparison in tied.decision.comparisons] == [f"{rate}" for rate in range(20)]


def test_key_figures_have_intervals_if_there_are_several_seeds(quick):
    results = [make_result("base", base=(0.5, 0.52)), make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91))]
    figures = {figure.label: (figure.value, figure.detail) for figure in words.key_figures(quick, results)}
    assert list(figures) == [
        "test macro-F1 of the final model",
        "points compared with CNN-1, the first model",
        "parameters",
        "choices have a conclusive verdict",
    ]
    low, high = evidence.mean_interval(read_scores(None, results[1].selected_records, "test"))
    assert figures["test macro-F1 of the final model"] == ("0.905", f"95 % interval {low:.3f} to {high:.3f}; 2 runs")
    value, detail = figures["points compared with CNN-1, the first model"]
    assert value == "+39.5"
    assert re.fullmatch(r"95 % interval \+\d+\.\d to \+\d+\.\d", detail)
    assert figures["parameters"] == ("101", "CNN-1, the first model has 100")
    assert figures["choices have a conclusive verdict"] == ("1 of 1", "dense units")
    assert words.key_figures(quick, []) == []


def test_a_gain_is_a_headline_number_only_if_its_interval_excludes_zero(quick):
    results = [make_result("base", base=(0.5, 0.7)), make_result("dense", old=(0.5, 0.7), new=(0.65, 0.8))]
    [_, gain, *_] = words.key_figures(quick, results)
    assert (gain.label, gain.value) == ("than CNN-1, the first model", "not shown to be better")
    assert re.fullmatch(r"\+12\.5 points; 95 % interval -\d.* to \+\d.*", gain.detail)


def test_key_figures_of_one_seed_have_no_interval_and_no_gain(smoke):
    results = [make_result("base", base=(0.5,)), make_result("dense", old=(0.5,), new=(0.9,))]
    assert [(figure.value, figure.detail) for figure in words.key_figures(smoke, results)] == [
        ("0.900", "1 run, so no interval"),
        ("not shown to be better", "+40.0 points; one run says nothing about noise"),
        ("101", "CNN-1, the first model has 100"),
    ]


def test_a_study_that_changes_nothing_has_no_gain(quick):
    base = make_result("base", base=(0.9, 0.91))
    results = [base, make_result("dense", old=(0.9, 0.91), new=(0.5, 0.51))]
    assert "points" not in " ".join(figure.label for figure in words.key_figures(quick, results))
    assert words.findings(quick, results)[0].endswith("(n = 2). It is CNN-1, the first model.")
    assert words.terminal_summary(quick, results, [])[0].endswith("the same as CNN-1, the first model.")


def test_a_choice_between_trials_that_have_not_learned_is_not_counted_as_conclusive(quick):
    """It says so in the verdict, in the figures, in the findings and in the terminal."""
    results = [
        make_result("base", base=(0.9, 0.91)),
        at_chance(make_result("batchnorm", old=(0.9, 0.91), new=(0.01, 0.02)), "new"),
    ]
    reason = "but the trial new has not learned (accuracy 0.05, chance 0.10)"
    warning = "Stages in which a trial has not learned: batch normalisation"
    assert f"<td>worse, {reason}</td>" in words.stages_table(quick, results).data
    counted = words.key_figures(quick, results)[-1]
    assert (counted.value, counted.detail) == (
        "0 of 1",
        "none; not counted, because a trial has not learned: batch normalisation",
    )
    lines = words.findings(quick, results)
    assert "No choice has a conclusive verdict." in lines
    assert f"{warning} (worse, {reason})." in lines
    assert f"Inconclusive: none. {warning}." in words.terminal_summary(quick, results, [])


def test_with_one_seed_too_the_opening_names_trials_that_have_not_learned(smoke):
    results = [
        make_result("base", base=(0.9,)),
        at_chance(make_result("batchnorm", old=(0.9,), new=(0.01,)), "new"),
        make_result("dense", old=(0.9,), new=(0.5,)),
    ]
    warning = "Stages in which a trial has not learned: batch normalisation"
    of_new = "inconclusive, and the trial new has not learned (accuracy 0.05, chance 0.10)"
    reason = "With one run per trial, every verdict is inconclusive."
    assert f"{reason} {warning}." in words.terminal_summary(smoke, results, [])
    lines = words.findings(smoke, results)
    assert f"{warning} ({of_new})." in lines
    assert f"{reason} Stages that kept the incumbent (inconclusive): dense units." in lines


def at_chance(result, name):
    """The result as if a trial had the accuracy of guessing."""
    runs = {
        key: replace(record, scores=record.scores | {"val_accuracy": 0.05}) if key[0] == name else record
        for key, record in result.runs.items()
    }
    return replace(result, runs=runs)


def test_the_verdict_of_a_stage_that_keeps_its_incumbent_is_about_the_best_other_trial(quick):
    result = make_result("dense", old=(0.9, 0.91), new=(0.5, 0.51), other=(0.3, 0.31))
    shown = words.stages_table(quick, [result]).data
    assert "<td>new less old</td>" in shown
    assert "<td>-0.400</td>" in shown
    assert "<td>worse</td>" in shown
