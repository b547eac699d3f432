"""The first screen says what the results show, and no more."""

import re
from dataclasses import replace
from io import BytesIO

import pytest
from PIL import Image

from cnnlab import evidence
from cnnlab.report import words
from cnnlab.study import Trial
from cnnlab.tuning import Tuning
from conftest import at_chance, make_result, scores_of


@pytest.fixture
def quick(made_up, tmp_path):
    return Tuning(made_up, tmp_path, "quick")


@pytest.fixture
def smoke(made_up, tmp_path):
    return Tuning(made_up, tmp_path, "smoke")


ON_COLOUR = {
    "base": {"base": (0.5, 0.52)},
    "dense": {"old": (0.5, 0.51), "new": (0.9, 0.91)},
    "colour": {"without augmentation": (0.94, 0.96), "flip-shift": (0.7, 0.71)},
}
BETTER = {"base": {"base": (0.5, 0.52)}, "dense": {"old": (0.5, 0.51), "new": (0.9, 0.91)}}


def make_results(**stages):
    return [make_result(stage, **trials) for stage, trials in stages.items()]


def test_the_score_of_the_final_model_stands_beside_that_of_the_first_one(quick):
    results = make_results(**BETTER)
    final, first = words.score_rows(quick, results)
    low, high = evidence.mean_interval(scores_of(results[1].selected_records))
    assert (final.model, final.text) == ("this model", f"0.905 ({low:.3f} to {high:.3f})")
    assert (first.model, first.mean) == ("CNN-1, the first model", pytest.approx(0.51))
    assert words.score_rows(quick, []) == []


def test_a_gain_is_a_headline_number_only_if_its_interval_excludes_zero(quick):
    text, detail = words.headline(quick, make_results(**BETTER))
    assert text == "39.5 points better than CNN-1, the first model"
    assert re.fullmatch(r"95 % interval \+\d+\.\d to \+\d+\.\d", detail)
    noisy = make_results(base={"base": (0.5, 0.7)}, dense={"old": (0.5, 0.7), "new": (0.65, 0.8)})
    text, detail = words.headline(quick, noisy)
    assert text == "Not shown to be better than CNN-1, the first model"
    assert re.fullmatch(r"\+12\.5 points; 95 % interval -\d.* to \+\d.*", detail)


def test_one_seed_has_no_interval_and_no_gain(smoke):
    results = make_results(base={"base": (0.5,)}, dense={"old": (0.5,), "new": (0.9,)})
    assert [row.text for row in words.score_rows(smoke, results)] == ["0.900", "0.500"]
    text, detail = words.headline(smoke, results)
    assert text == "Not shown to be better than CNN-1, the first model"
    assert detail == "+40.0 points; one run says nothing about noise"
    assert words.evidence_summary(smoke, results) == (
        "With one run per trial there are no intervals, so every verdict is inconclusive."
    )


def test_a_study_that_changes_nothing_has_no_gain_and_one_score(quick):
    results = make_results(base={"base": (0.9, 0.91)}, dense={"old": (0.9, 0.91), "new": (0.5, 0.51)})
    assert words.headline(quick, results) == ("", "")
    assert [row.model for row in words.score_rows(quick, results)] == ["this model"]


def test_each_choice_has_a_row_with_its_verdict(quick):
    results = make_results(
        **BETTER, batchnorm={"unchanged": (0.9, 0.91), "all": (0.5, 0.51)}, loss={"a": (0.6, 0.7), "b": (0.5, 0.6)}
    )
    table = words.choice_table(quick, results)
    assert [(row.name, row.change, row.is_selected, row.verdict) for row in table.rows] == [
        ("dense", "new", True, "better"),
        ("batchnorm", "all", False, "worse"),
        ("loss", "b", False, "inconclusive"),
    ]
    assert all(row.picture.startswith("<svg") for row in table.rows)
    ends = [made.high for one in results if (made := one.decision.evidence)]
    assert max(ends) <= table.limit <= 1
    assert all(row.has_interval and row.has_incumbent for row in table.rows)
    [one] = words.choice_table(quick, make_results(colour={"without": (0.5,), "flip-shift": (0.6,)})).rows
    assert not one.has_incumbent
    assert not one.has_interval


def test_the_summary_counts_choices_and_compared_trials(quick):
    results = make_results(
        **BETTER, batchnorm={"old": (0.9, 0.91), "all": (0.5, 0.51)}, loss={"a": (0.6, 0.7), "b": (0.5, 0.6)}
    )
    assert words.evidence_summary(quick, results) == (
        "2 of 3 choices have a conclusive verdict: dense units, batch normalisation. Of 3 trials compared with an "
        "incumbent, 1 is better, 1 worse, and 1 inconclusive, which does not mean equal."
    )
    assert words.evidence_summary(quick, make_results(base={"base": (0.5, 0.52)})) == ""


def test_a_verdict_on_a_trial_that_has_not_learned_says_so_and_is_not_counted(quick):
    result = at_chance(make_result("batchnorm", old=(0.9, 0.91), new=(0.01, 0.02)), "new")
    [row] = words.choice_table(quick, [result]).rows
    assert row.not_learned == "“new” has not learned (accuracy 0.05, chance 0.10)"
    assert words.evidence_summary(quick, [result]).startswith(
        "0 of 1 choice has a conclusive verdict. Not counted, because a trial has not learned: batch normalisation."
    )


def test_a_final_model_that_has_not_learned_says_so_instead_of_a_gain(quick):
    results = make_results(**BETTER)
    results[1] = at_chance(results[1], "new")
    assert words.headline(quick, results) == ("This model has not learned", "accuracy 0.05, chance 0.10")


def test_a_patience_that_no_fit_reaches_is_not_shown():
    result = make_result("dense", old=(0.5, 0.51))
    assert dict(words.model_settings(result))["epochs"] == "at most 500, patience 5"
    short = replace(result.trials[0], settings=Trial().change(epochs=5))
    assert dict(words.model_settings(replace(result, trials=(short,))))["epochs"] == "at most 5"


def test_the_settings_of_the_model_are_in_words():
    result = make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91))
    shown = dict(words.model_settings(result))
    assert shown["convolutions"] == "3 blocks of 1 convolution: 32, 64, 64 filters; relu, valid padding"
    assert shown["dense layer"] == "11 units, relu"
    assert shown["dropout"] == shown["batch normalisation"] == "none"
    assert shown["optimizer"] == "adam, learning rate 0.001, batches of 64"


def test_todays_ingredients_are_shown_in_words_where_they_are_used():
    result = make_result("dense", old=(0.5, 0.51))

    def shown(**changes):
        trial = replace(result.trials[0], settings=Trial().change(**changes))
        return dict(words.model_settings(replace(result, trials=(trial,))))

    rows = shown(
        head="average", batch_norm=True, optimizer="sgd", learning_rate=0.4, schedule="one-cycle", momentum=0.9,
        weight_decay=5e-4, label_smoothing=0.1, averaging=0.99, augmentation="flip-crop",
    )  # fmt: skip
    assert rows["dense layer"] == "none; the mean of each channel (global average pooling)"
    assert rows["batch normalisation"] == "after each convolution"
    assert rows["optimizer"] == (
        "sgd with Nesterov momentum 0.9, learning rate 0.4 (one-cycle), weight decay 0.0005, batches of 64"
    )
    assert rows["loss"] == "sparse categorical crossentropy, label smoothing 0.1"
    assert rows["weights"] == "moving averages, with 0.99 of the past at each step"
    assert rows["augmentation"] == "flips, and random crops after a black border of 4 pixels is added"
    assert shown(momentum=0.9) == shown(), "adam has no momentum of its own"
    assert shown(head="average", dense_units=5) == shown(head="average")
    assert "weights" not in shown()


def test_thumbnails_show_one_image_of_each_class(quick):
    shown = words.thumbnails(quick, [])
    assert [name for name, _ in shown] == list(quick.images.folder.gray.class_names)
    assert all(png.startswith(b"\x89PNG") for _, png in shown)


def test_thumbnails_have_colours_where_the_final_model_takes_colour_images(quick, made_up, tmp_path):
    def kinds(tuning, results=()):
        return {Image.open(BytesIO(png)).mode for _, png in words.thumbnails(tuning, results)}

    assert kinds(quick) == kinds(quick, make_results(**BETTER)) == {"L"}
    assert kinds(quick, make_results(**ON_COLOUR)) == {"RGB"}
    assert kinds(Tuning(made_up, tmp_path, "quick", study="recipe")) == {"RGB"}


def test_a_final_model_on_colour_images_is_not_compared_with_the_first_one_without_a_word(quick):
    """The first model has grayscale images: part of the gain may be that of the colours."""
    final, first = words.score_rows(quick, make_results(**ON_COLOUR))
    assert (final.model, final.mean) == ("this model", pytest.approx(0.95))
    assert first.model == "CNN-1, the first model (on gray images)"
    text, _ = words.headline(quick, make_results(**ON_COLOUR))
    assert text == "44.0 points better than CNN-1, the first model (on gray images)"
    only_colour = make_results(colour=ON_COLOUR["colour"])
    assert [row.model for row in words.score_rows(quick, only_colour)] == ["this model"]
    assert words.headline(quick, only_colour) == ("", "")


def test_the_settings_of_the_model_say_which_images_it_takes():
    def images(shape):
        result = make_result("dense", old=(0.5,))
        data = {"digest": "d", "class_names": ["a", "b"], "shape": shape}
        runs = {key: replace(record, data=data) for key, record in result.runs.items()}
        return dict(words.model_settings(replace(result, runs=runs)))["images"]

    assert images([24, 40, 1]) == "grayscale, 24 x 40"
    assert images([32, 32, 3]) == "colour, 32 x 32"


def test_runs_have_the_settings_that_differ_from_the_first_model():
    dense = make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91))
    shown = words.runs_table([dense, dense]).data
    assert shown.count('class="trial"') == 4, "each run once"
    assert shown.count("dense_units 11") == 2


def test_the_settings_of_all_trials_leave_out_what_all_have_in_common():
    shown = words.settings_table(make_results(**BETTER)).data
    assert "dense_units" in shown
    assert "optimizer" not in shown
