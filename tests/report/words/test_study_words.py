"""Tables and sentences about the whole study follow from its results."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
from bs4 import BeautifulSoup
from nbconvert.filters import markdown2html

from cnnlab import evidence
from cnnlab.evidence import Rule, Scores
from cnnlab.report import words
from cnnlab.study import PROFILES, Claim, built_in
from cnnlab.tuning import ClaimResult, ClaimStatus
from conftest import make_result

QUICK, SMOKE, CLAIMS = PROFILES["quick"], PROFILES["smoke"], built_in().claims


def pin(results):
    """The results as if the published choices had been selected."""
    return [replace(result, decision=replace(result.decision, rule=Rule.PUBLISHED_CHOICE)) for result in results]


def test_findings_separate_conclusive_from_inconclusive_choices():
    results = [
        make_result("base", base=(0.5, 0.52)),
        make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91)),
        make_result("dropout", old=(0.5, 0.6), new=(0.6, 0.7)),
        make_result("batchnorm", old=(0.9, 0.91), new=(0.5, 0.51)),
        make_result("loss", old=(0.6, 0.7), new=(0.5, 0.6)),
    ]
    final, conclusive, inconclusive, agreement, basis = words.findings(results, QUICK)
    assert "**+14.0 points**" in final
    assert conclusive == (
        "Stages that selected a new trial (better than the incumbent): dense units. "
        "Stages that kept the incumbent (better than the best other trial): batch normalisation."
    )
    assert inconclusive == (
        "Stages that selected a new trial (inconclusive): dropout. Stages that kept the incumbent (inconclusive): loss."
    )
    assert agreement == "0 of 4 choices are those of the published study."
    assert basis.startswith("These results come from 20 training, 6 validation and 10 test images, with 3 runs per")
    assert "Better or worse means: by more than the noise" in basis


def test_findings_from_one_run_per_trial_claim_nothing_about_noise():
    results = [make_result("base", base=(0.5,)), make_result("dense", old=(0.5,), new=(0.9,))]
    lines = words.findings(results, SMOKE)
    assert "With one run per trial, every verdict is inconclusive." in lines[1]
    assert "Stages that selected a new trial (inconclusive): dense units." in lines[1]
    assert "better" not in "".join(lines).lower()
    assert words.findings([], SMOKE) == ["No stage has a result."]


def test_published_choices_have_verdicts_if_there_are_several_seeds():
    results = [make_result("base", base=(0.5, 0.52)), make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91))]
    lines = words.findings(pin(results), QUICK)
    assert "Stages that selected the published choice (better than the incumbent): dense units." in lines
    assert "Each stage selects the published choice, whatever the scores are." in lines
    one_seed = [make_result("base", base=(0.5,)), make_result("dense", old=(0.5,), new=(0.9,))]
    assert "better" not in "".join(words.findings(pin(one_seed), SMOKE))


def test_the_terminal_summary_has_at_most_five_plain_lines():
    results = [
        make_result("base", base=(0.5, 0.52)),
        make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91)),
        make_result("batchnorm", old=(0.9, 0.91), new=(0.5, 0.51)),
        make_result("dropout", old=(0.5, 0.6), new=(0.6, 0.7)),
        make_result("colour", gray=(0.7, 0.8)),
    ]
    claims = [ClaimResult(claim, ClaimStatus.INCONCLUSIVE, None) for claim in CLAIMS[1:]]
    claims.append(ClaimResult(CLAIMS[0], ClaimStatus.SUPPORTED, None))
    assert words.terminal_summary(results, claims, QUICK) == [
        "Final model: test macro-F1 0.650 ± 0.071 (n = 2), 14.0 points above CNN-1, the first model.",
        "Stages that selected a new trial (better than the incumbent): dense units. "
        "Stages that kept the incumbent (better than the best other trial): batch normalisation.",
        "Inconclusive: dropout.",
        "0 of 3 choices are those of the published study. Claims: 1 supported, 0 refuted, 9 inconclusive.",
        "On colour images: test macro-F1 0.750 ± 0.071 (n = 2).",
    ]


def test_the_terminal_summary_of_one_run_per_trial_has_no_verdicts():
    results = [make_result("base", base=(0.5,)), make_result("dense", old=(0.5,), new=(0.9,))]
    assert words.terminal_summary(results, [], SMOKE) == [
        "Final model: test macro-F1 0.900 (n = 1), 40.0 points above CNN-1, the first model.",
        "With one run per trial, every verdict is inconclusive.",
        "0 of 1 choices are those of the published study.",
    ]
    assert words.terminal_summary([], [], SMOKE) == ["No stage has a result."]


def unpublished(results):
    """The results as of a study or images that the published study does not concern."""
    return [replace(result, decision=replace(result.decision, published_choice="", agrees=False)) for result in results]


def test_findings_that_the_published_study_does_not_concern_have_nothing_of_it():
    results = unpublished(
        [make_result("base", base=(0.5, 0.52)), make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91))]
    )
    assert words.terminal_summary(results, [], QUICK) == [
        "Final model: test macro-F1 0.905 ± 0.007 (n = 2), 39.5 points above the first model.",
        "Stages that selected a new trial (better than the incumbent): dense units.",
        "Inconclusive: none.",
    ]
    shown = " ".join([*words.findings(results, QUICK), words.stages_table(results).data])
    assert "CNN-" not in shown
    assert "published" not in shown


def test_the_gain_of_a_study_whose_first_stage_has_an_incumbent_is_that_over_the_incumbent():
    [line, *_] = words.terminal_summary([make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91))], [], QUICK)
    assert line == "Final model: test macro-F1 0.905 ± 0.007 (n = 2), 40.0 points above the first model."


def test_the_terminal_summary_gives_the_verdicts_of_published_choices():
    results = [make_result("base", base=(0.5, 0.52)), make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91))]
    assert words.terminal_summary(pin(results), [], QUICK)[1:] == [
        "Stages that selected the published choice (better than the incumbent): dense units.",
        "Inconclusive: none.",
        "Each stage selects the published choice, whatever the scores are.",
    ]


def test_the_stages_table_shows_what_each_choice_rests_on():
    result = make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91))
    shown = words.stages_table([make_result("base", base=(0.5, 0.52)), result]).data
    comparison = result.decision.evidence
    assert "<td>old</td>" in shown
    assert "<td>+0.400</td>" in shown
    assert f"<td>{comparison.low:+.3f} to {comparison.high:+.3f}</td>" in shown
    assert "<td>better</td>" in shown
    assert "<td>128</td>" in shown, "the published choice"


def test_a_title_of_a_study_is_text_in_the_findings_of_the_page_and_of_the_terminal():
    results = [make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91)), make_result("loss", a=(0.5, 0.6), b=(0.6, 0.7))]
    results = [replace(one, stage=replace(one.stage, title="<b>x</b> *y* $z$ `c`")) for one in results]
    on_page, terminal = words.findings(results, QUICK), words.terminal_summary(results, [], QUICK)
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


def test_skipped_claims_are_counted_and_shown_with_the_reason():
    skipped = ClaimResult(CLAIMS[0], ClaimStatus.SKIPPED, None, "The study has no stage 'base'.")
    results = [make_result("base", base=(0.5, 0.52)), make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91))]
    supported = ClaimResult(CLAIMS[1], ClaimStatus.SUPPORTED, None)
    assert "Claims: 1 supported, 0 refuted, 0 inconclusive, 1 skipped." in " ".join(
        words.terminal_summary(results, [skipped, supported], QUICK)
    )
    assert "The study has no stage 'base'." in words.claim_table([skipped]).data


def test_claims_are_shown_with_their_figures():
    [comparison] = evidence.compare(
        {name: Scores(np.array(runs), np.zeros((2, 5))) for name, runs in {"a": [0.5, 0.52], "b": [0.4, 0.42]}.items()}
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
    assert [comparison.against for comparison in tied.decision.comparisons] == [f"{rate}" for rate in range(20)]


def test_key_figures_have_intervals_if_there_are_several_seeds(monkeypatch):
    def read_scores(store, records, part):
        return Scores(np.array([record.scores[f"{part}_f1"] for record in records]), np.zeros((len(records), 5)))

    monkeypatch.setattr(words.study, "read_scores", read_scores)
    tuning = SimpleNamespace(store=None)
    results = [make_result("base", base=(0.5, 0.52)), make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91))]
    figures = {figure.label: (figure.value, figure.detail) for figure in words.key_figures(tuning, results)}
    assert list(figures) == [
        "test macro-F1 of the final model",
        "points above CNN-1, the first model",
        "parameters",
        "choices have a conclusive verdict",
    ]
    low, high = evidence.mean_interval(read_scores(None, results[1].selected_records, "test"))
    assert figures["test macro-F1 of the final model"] == ("0.905", f"95 % interval {low:.3f} to {high:.3f}; 2 runs")
    assert figures["points above CNN-1, the first model"][0] == "+39.5"
    assert figures["parameters"] == ("101", "CNN-1, the first model has 100")
    assert figures["choices have a conclusive verdict"] == ("1 of 1", "dense units")
    one_seed = [make_result("base", base=(0.5,)), make_result("dense", old=(0.5,), new=(0.9,))]
    assert [(figure.value, figure.detail) for figure in words.key_figures(tuning, one_seed)] == [
        ("0.900", "1 run, so no interval"),
        ("+40.0", "from 0.500"),
        ("101", "CNN-1, the first model has 100"),
    ]
    assert words.key_figures(tuning, []) == []
