"""Tables and sentences about a stage say what the numbers say."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from bs4 import BeautifulSoup
from nbconvert.filters import markdown2html

from cnnlab.evidence import Rule
from cnnlab.report import plots, words
from cnnlab.study import PROFILES, PROTOCOLS, published_fits
from cnnlab.tuning import Tuning
from cnnlab.tuning.halving import Dropped
from conftest import make_record, make_result


@pytest.fixture
def tuning(folder, tmp_path):
    return Tuning(folder, tmp_path)


def test_the_rule_is_that_of_the_profile_and_the_protocol(gray):
    quick, smoke = PROFILES["quick"], PROFILES["smoke"]
    assert "selects by the one-standard-error rule" in words.study_settings(quick, PROTOCOLS["corrected"], gray).data
    settings = words.study_settings(smoke, PROTOCOLS["corrected"], gray).data
    assert "the trial with the best `val_f1`, because one run has no standard error" in settings
    assert "1 seed per trial, at most 1 epoch with" in settings
    assert "selects the published choice" in words.study_settings(smoke, PROTOCOLS["published"], gray).data


NEW, OLD = (0.90, 0.91), (0.50, 0.51)
PROBABLY = "SEEDS seeds per trial would probably show a true difference of this size."


@pytest.mark.parametrize(
    ("stage", "scores", "answer"),
    [
        (
            "dense",
            {"old": OLD, "new": NEW},
            "“new” is selected: mean `val_f1` 0.905. It is **better** than the incumbent (“old”): difference +0.400 "
            "(INTERVAL).",
        ),
        (
            "dense",
            {"old": NEW, "new": OLD},
            "The incumbent (“old”) is kept: mean `val_f1` 0.905. The best other trial (“new”) is **worse**: difference "
            "-0.400 (INTERVAL).",
        ),
        (
            "dense",
            {"old": (0.5, 0.6), "new": (0.65, 0.65)},
            "“new” is selected: mean `val_f1` 0.650. The comparison with the incumbent (“old”) is **inconclusive**: "
            f"difference +0.100 (INTERVAL); {PROBABLY}",
        ),
        (
            "dense",
            {"unchanged": (0.5, 0.7), "new": (0.52, 0.72)},
            "The incumbent is kept, because it is smaller than the best trial and within one standard error of it: "
            "mean `val_f1` 0.600. The comparison with the best other trial (“new”) is **inconclusive**: difference "
            f"+0.020 (INTERVAL); {PROBABLY}",
        ),
        (
            "dense",
            {"old": (0.5,), "new": (0.9,)},
            "“new” is selected: mean `val_f1` 0.900. The comparison with the incumbent (“old”) is **inconclusive**: "
            "difference +0.400; one run per trial says nothing about noise.",
        ),
        (
            "colour",
            {"first": OLD, "second": NEW},
            "“second” is selected: mean `val_f1` 0.905. It is **better** than the first trial (“first”): difference "
            "+0.400 (INTERVAL).",
        ),
        (
            "colour",
            {"first": NEW, "second": OLD},
            "“first” is selected: mean `val_f1` 0.905. The best other trial (“second”) is **worse**: difference "
            "-0.400 (INTERVAL).",
        ),
        ("base", {"base": OLD}, "“base” is the only trial: mean `val_f1` 0.505."),
    ],
)
def test_the_answer_of_a_stage_is_its_selection_and_the_verdict(tuning, stage, scores, answer):
    result = make_result(stage, **scores)
    if one := result.decision.evidence:
        answer = answer.replace("INTERVAL", f"95 % interval {one.low:+.3f} to {one.high:+.3f}")
        answer = answer.replace("SEEDS", f"{one.seeds_needed:.0f}")
    title, question, *_, shown = words.stage_intro(tuning, result).data.split("\n\n")
    assert title == f"# {words.stage_title(tuning, result)}"
    assert question == f"**{result.stage.question}**"
    assert shown == answer


def with_evidence(result, **changes):
    return replace(result, decision=replace(result.decision, **changes))


def test_a_pinned_choice_is_selected_whatever_its_verdict(tuning):
    result = make_result("dense", old=NEW, new=OLD)
    result = with_evidence(result, selected="new", rule=Rule.PUBLISHED_CHOICE, selected_params=101, val_f1_mean=0.505)
    assert (
        "“new” is the published choice, which this protocol selects: mean `val_f1` 0.505. It is **worse** than the "
        "incumbent (“old”): difference -0.400"
    ) in words.stage_intro(tuning, result).data
    assert (
        "- “new” is the published choice, which this protocol selects whatever" in words.decision_details(result).data
    )


@pytest.mark.parametrize(
    ("scores", "rule"),
    [
        (
            {"old": OLD, "new": NEW},
            "“new” has the best mean, and no trial with fewer parameters is within one standard",
        ),
        ({"unchanged": NEW, "new": OLD}, "The incumbent has the best mean and the fewest parameters."),
        (
            {"old": (0.5, 0.7), "new": (0.52, 0.72)},
            "“old” has 100 parameters, the fewest of the trials within one standard error of the best mean: 0.620, of "
            "“new” with 101. The standard error of a mean is 0.100, from the runs of all trials.",
        ),
        ({"old": (0.5,), "new": (0.9,)}, "“new” has the best `val_f1`. With one seed there is no standard error."),
        ({"old": OLD}, "“old” is the only trial. The standard error of a mean is 0.005."),
    ],
)
def test_the_details_of_a_decision_begin_with_its_rule(scores, rule):
    assert words.decision_details(make_result("dense", **scores)).data.startswith(f"- {rule}")


def test_trials_of_equal_size_are_not_selected_by_their_size():
    result = make_result("dropout", old=OLD, new=NEW)
    for key, record in result.runs.items():
        result.runs[key] = replace(record, params=100)
    assert "“new” has the best mean; all trials have the same number of" in words.decision_details(result).data


def test_the_details_of_a_decision_say_how_many_seeds_a_verdict_needs():
    result = make_result("dense", old=(0.5, 0.6), new=(0.65, 0.65), other=(0.1, 0.11))
    new, other = (f"{one.seeds_needed:.0f}" for one in result.decision.comparisons)
    assert words.decision_details(result).data.endswith(f"- Seeds needed: “new”: {new}, “other”: {other}.")


def test_layers_that_no_stage_has_changed_are_shown_once():
    base, dense = make_result("base", base=OLD), make_result("dense", old=OLD, new=NEW)
    loss = make_result("loss", old=OLD, new=NEW)
    first = dense.selected.settings
    trials = tuple(
        replace(trial, settings=first.change(loss="hinge" if trial.name == "new" else first.training.loss))
        for trial in loss.trials
    )
    loss = replace(loss, trials=trials)
    tuning = study_of(base, dense, loss)
    assert words.unchanged(tuning, loss) is None, "its loss is another one"
    assert words.unchanged_layers(tuning, loss).data == "The layers are still those of [Dense units](#dense)."
    assert words.unchanged_layers(study_of(base, dense), dense) is None


def test_without_a_hidden_layer_its_units_change_no_layers():
    base, dense = make_result("base", base=OLD), make_result("dense", old=OLD, new=NEW)

    def with_head(result, head):
        trials = tuple(replace(trial, settings=trial.settings.change(head=head)) for trial in result.trials)
        return replace(result, trials=trials)

    base, dense = with_head(base, "average"), with_head(dense, "average")
    assert base.selected.settings != dense.selected.settings
    assert words.unchanged_layers(study_of(base, dense), dense).data.startswith("The layers are still those of [")
    dense = with_head(dense, "dense")
    assert words.unchanged_layers(study_of(base, dense), dense) is None


def test_the_details_of_a_decision_name_the_trials_with_the_runs_of_another():
    """Letter by letter, in the table and in the sentence."""
    result = make_result("dense", old=OLD, **{"*a*": (0.6, 0.61)})
    again = [replace(result.trials[index], name=name, incumbent=False) for index, name in ((0, "b"), (1, "c"))]
    result = replace(result, trials=(*result.trials, *again))
    for seed in (1, 2):
        result.runs.update({("b", seed): result.runs["old", seed], ("c", seed): result.runs["*a*", seed]})
    details = words.decision_details(result).data
    assert "- “b” is the same as the incumbent in this budget, so it is not compared." in details
    assert "- “c” is the same as “&#42;a&#42;” in this budget, so it is not compared." in details


def test_the_details_of_a_decision_name_the_published_choice():
    result = make_result("dense", **{"64": (0.5, 0.51), "128": (0.9, 0.91)})
    fit = next(fit for fit in published_fits() if (fit.stage, fit.trial) == ("dense", "128"))
    result = replace(
        result, trials=tuple(replace(t, published=fit if t.name == "128" else None) for t in result.trials)
    )
    score = f"(test F1 {fit.test_f1:.3f})"
    assert f"The published study chose the same trial {score}." in words.decision_details(result).data
    other = replace(result, decision=replace(result.decision, selected="64", agrees=False))
    assert f"The published study chose “128” {score}." in words.decision_details(other).data


@pytest.mark.parametrize(
    ("train", "val", "sentence"),
    [
        (0.9, 0.6, "accuracy of 0.900 and a validation accuracy of 0.600: it overfits."),
        (0.6, 0.58, "accuracy of 0.580: little overfitting."),
        (0.5, 0.6, "accuracy of 0.600: no sign of overfitting."),
    ],
)
def test_overfitting_is_read_from_the_accuracies_at_the_best_epoch(train, val, sentence):
    history = {"loss": [1, 1], "accuracy": [0, train], "val_loss": [2.0, 1.5], "val_accuracy": [0, val]}
    result = make_result("base", base=(0.5,))
    result.runs["base", 1] = make_record(result.selected.settings, history=history)
    assert words.overfitting_summary(result).data.endswith(sentence)


def test_a_table_shows_all_trials_the_best_first(tuning):
    result = make_result("dense", a=(0.5, 0.52), b=(0.9, 0.92), c=(0.7, 0.72))
    result = replace(result, trials=(*result.trials, replace(result.trials[0], name="same", incumbent=False)))
    result.runs.update({("same", seed): result.runs["a", seed] for seed in (1, 2)})
    result.runs["c", 1] = replace(result.runs["c", 1], scores=result.runs["c", 1].scores | {"val_accuracy": 0.05})
    result.runs["c", 2] = replace(result.runs["c", 2], scores=result.runs["c", 2].scores | {"val_accuracy": 0.05})
    table = words.trials_table(tuning, result).data
    b, c = result.decision.comparisons
    assert [[row[0], *row[-2:]] for row in cells(table)] == [
        ["b selected", f"+0.400 ({b.low:+.3f} to {b.high:+.3f})", b.verdict],
        ["c not learned", f"+0.200 ({c.low:+.3f} to {c.high:+.3f})", c.verdict],
        ["a incumbent", "-", "-"],
        ["same same as the incumbent", "-", "-"],
    ]
    assert cells(table)[0][1:6] == ["101", "2.0", "1.0", "0.910 ± 0.014", "0.910 ± 0.014"]
    assert '<span class="verdict better">better</span>' in table
    colours = plots.colours(result)
    assert f'<span class="trial {colours["a"]}">a</span> <small>incumbent</small>' in table


@pytest.mark.parametrize(
    ("old", "new"), [((0.50, 0.51, 0.50), (0.80, 0.81, 0.82)), ((0.6, 0.61, 0.6), (0.5, 0.51, 0.5))]
)
def test_a_difference_has_the_same_sign_and_numbers_wherever_it_is_shown(tuning, old, new):
    """In the sentence, the table and the picture: the trial less the incumbent."""
    result = make_result("dense", old=old, new=new)
    one = result.decision.evidence
    difference = f"{np.mean(new) - np.mean(old):+.3f}"
    low, high = f"{one.low:+.3f}", f"{one.high:+.3f}"
    assert f"difference {difference} (95 % interval {low} to {high})" in words.stage_intro(tuning, result).data
    [row] = [row for row in cells(words.trials_table(tuning, result).data) if row[0].startswith("new")]
    assert row[-2:] == [f"{difference} ({low} to {high})", one.verdict]
    label = f"{one.trial} less incumbent {one.against}: {difference} ({low} to {high}), {one.verdict}"
    assert label in BeautifulSoup(plots.scores(result).html, "html.parser").decode(formatter=None)


def cells(html):
    """The cells of a table's rows."""
    return [
        [cell.get_text() for cell in row.find_all("td")]
        for row in BeautifulSoup(html, "html.parser").select("tbody tr")
    ]


def test_a_model_that_cannot_be_drawn_has_a_sentence_instead():
    assert "the layers do not simply follow" in words.model_drawing(b"", [{"layer": "Conv2D", "params": 3}]).data


def test_a_fit_that_diverged_after_its_best_epoch_is_named():
    history = {"loss": [1, 1], "accuracy": [0.1, 0.1], "val_loss": [2.0, float("nan")], "val_accuracy": [0.1, 0.1]}
    result = make_result("base", base=(0.5,))
    result.runs["base", 1] = make_record(result.selected.settings, history=history, best_epoch=1)
    assert "Later, `val_loss` of 1 run became infinite or no number (NaN)." in words.overfitting_summary(result).data


@pytest.mark.parametrize(
    ("question", "why", "lines"),
    [("How many?", "It matters.", ["**How many?**", "It matters."]), ("", "", [])],
)
def test_a_stage_is_introduced_by_what_its_study_says(tuning, question, why, lines):
    result = make_result("dense", old=(0.5,), new=(0.9,))
    result = replace(result, stage=replace(result.stage, question=question, why=why))
    assert words.stage_intro(tuning, result).data.split("\n\n")[1:-1] == lines


def test_trials_that_were_not_run_in_full_are_named_in_one_line(tuning):
    result = make_result("dense", old=(0.5,), new=(0.9,))
    dropped = (Dropped("*b*", 3, 0.4, 0.6), Dropped("c", None, 0.5, 0.6))
    intro = words.stage_intro(tuning, replace(result, skipped=("a", "none"), dropped=dropped)).data
    assert intro.split("\n\n")[-1] == (
        "Skipped in this budget, because they are expensive: “a”, “none”. Dropped early, on one seed: “&#42;b&#42;” "
        "(`val_accuracy` 0.400, that of the best trial 0.600, epoch 3), “c” (`val_accuracy` 0.500, that of the best "
        "trial 0.600, full fit)."
    )


@pytest.mark.parametrize(
    "name", ["<b>x</b>", "*a* _b_", "`a`", "$x$ and $y$", "# a\n- b", "[a](javascript:b)", "x" * 3000]
)
def test_what_a_study_says_is_not_markup(tuning, name):
    """Title, question, reason and names are shown letter by letter; in the heading, long ones without their middle."""
    result = make_result("dense", old=(0.5, 0.51), **{name: (0.9, 0.91)})
    result = replace(result, stage=replace(result.stage, title=name, question=name, why=name))
    page = BeautifulSoup(markdown2html(words.stage_intro(tuning, result).data), "html.parser")
    page.select_one("a.anchor-link").decompose()  # of nbconvert
    assert [element.name for element in page.find_all(True)] == ["h1", "p", "strong", "p", "p", "code", "strong"]
    shown, paragraphs = " ".join(name.split()), page.find_all("p")
    for element in (page.strong, paragraphs[1]):
        assert " ".join(element.get_text().split()) == shown
    assert paragraphs[-1].get_text().startswith(f"“{shown}” is selected")
    assert page.h1.get_text() == words.stage_title(tuning, result)
    assert "…" in page.h1.get_text() or page.h1.get_text().startswith(f"{shown}: “{shown}”")


def test_trials_have_a_column_of_published_scores_only_if_there_are_some(tuning):
    result = make_result("dense", **{"64": (0.5, 0.51), "128": (0.9, 0.91)})
    assert "published" not in words.trials_table(tuning, result).data
    assert words.published_differences(result).data == ""
    fit = next(fit for fit in published_fits() if (fit.stage, fit.trial) == ("dense", "128"))
    result = replace(result, trials=(result.trials[0], replace(result.trials[1], published=fit)))
    assert "published</th>" in words.trials_table(tuning, result).data
    assert f"<td>{fit.test_f1:.3f}" in words.trials_table(tuning, result).data


def test_names_of_trials_are_not_markup_in_the_table(tuning):
    table = words.trials_table(tuning, make_result("dense", **{"a|_b_ $x$": (0.5, 0.51), "<b>": (0.9, 0.91)})).data
    assert "&lt;b&gt;</span> <small>selected" in table
    assert "a|_b_ $x$</span>" in table


def study_of(*results):
    """A study with these results, on gray images of 32 x 32 pixels and ten classes."""
    dataset = SimpleNamespace(image_shape=(32, 32, 1), class_names=["a"] * 10)
    return SimpleNamespace(results=lambda _: results, images=SimpleNamespace(dataset=lambda colour: dataset))


def stage_after(before, stage, **scores):
    """A stage's result, as `make_result` makes it, in which the incumbent is the trial that `before` selected."""
    result = make_result(stage, **scores)
    trials = (replace(result.trials[0], settings=before.selected.settings), *result.trials[1:])
    return replace(result, trials=trials)


def test_a_first_stage_shows_the_whole_keras_code():
    base = make_result("base", base=OLD)
    code = words.code_change(study_of(base), base).data
    assert code.startswith('<details class="keras"><summary>The Keras code of “base”</summary><pre>import keras')
    assert "layers.Dense(10, activation=&#34;relu&#34;)," in code
    assert words.unchanged(study_of(base), base) is None


def test_a_stage_shows_what_it_changes_in_the_keras_code():
    base = make_result("base", base=OLD)
    dense = stage_after(base, "dense", **{"old": OLD, "<new>": NEW})
    code = words.code_change(study_of(base, dense), dense).data
    assert code.startswith("<p>The Keras code, compared with that of the incumbent (- removed, + added):</p>")
    lines = BeautifulSoup(code, "html.parser").pre
    assert [(span["class"], span.get_text().strip()) for span in lines.select("span")] == [
        (["removed"], '-     layers.Dense(10, activation="relu"),'),
        (["added"], '+     layers.Dense(11, activation="relu"),'),
    ]
    assert lines.get_text().count("\n") == 3


def test_a_stage_that_changes_nothing_links_to_the_stage_that_selected_its_model():
    base = make_result("base", base=OLD)
    first = stage_after(base, "filters", a=OLD, b=NEW)
    first = replace(first, stage=replace(first.stage, title="*Filters*"))
    second = stage_after(first, "dense", a=NEW, b=OLD)
    third = stage_after(second, "loss", a=NEW, b=OLD)
    for results in ((base, first, second), (base, first, second, third)):
        link = words.unchanged(study_of(*results), results[-1])
        assert link.data == "The model is still that of [&#42;Filters&#42;](#filters)."
        assert words.code_change(study_of(*results), results[-1]).data == link.data


def test_settings_without_an_effect_change_no_code():
    base = make_result("base", base=OLD)
    dense = stage_after(base, "dense", old=OLD, new=NEW)
    same = replace(dense.trials[1], settings=base.selected.settings.change(batch_norm_momentum=0.9))
    dense = replace(dense, trials=(dense.trials[0], same))
    assert words.code_change(study_of(base, dense), dense).data == (
        "The Keras code is that of the incumbent: the settings that differ have no effect."
    )


def test_a_stage_without_an_incumbent_is_compared_with_the_stage_before():
    base = make_result("base", base=OLD)
    colour = make_result("colour", first=OLD, second=NEW)
    code = words.code_change(study_of(base, colour), colour).data
    assert code.startswith("<p>The Keras code, compared with that of the model of “Base model” (- removed, + added):")
