"""Tables of settings: how the trials of a stage differ, and what a custom trial may change."""

import ast
from dataclasses import replace

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from cnnlab import study
from cnnlab.report import words
from cnnlab.study import OwnModel, StageTrial, Trial
from cnnlab.tuning import Tuning


def read(shown):
    lines = BeautifulSoup(shown.data, "html.parser").select("tr")
    rows = [[cell.get_text() for cell in line.select("th, td")] for line in lines]
    return pd.DataFrame(rows[1:], columns=rows[0])


@pytest.fixture
def tuning(folder, tmp_path):
    return Tuning(folder, tmp_path, "smoke")


def test_trials_are_shown_by_the_settings_in_which_they_differ_and_the_incumbent_is_first():
    base = Trial()
    trials = [
        StageTrial("sgd", base.change(optimizer="sgd"), (1,)),
        StageTrial("wide", base.change(dense_units=128), (1,)),
        StageTrial("unchanged", base, (1,), incumbent=True),
    ]
    table = read(words.trial_settings(trials))
    assert list(table) == ["trial", "dense_units", "optimizer", "learning_rate"]
    assert list(table["trial"]) == ["unchanged", "sgd", "wide"]
    assert list(table["optimizer"]) == ["'adam'", "'sgd'", "'adam'"]
    assert list(table["dense_units"]) == ["64", "64", "128"]


def test_every_stage_of_the_study_has_such_a_table(tuning):
    for stage in tuning.scope.stages:
        trials = tuning.scope.plan(stage, tuning.scope.start)
        table = read(words.trial_settings(trials))
        assert sorted(table["trial"]) == sorted(trial.name for trial in trials)
        assert len(trials) == 1 or len(table.columns) > 1


def test_trials_with_other_models_have_a_dash_for_settings_that_they_lack():
    model = OwnModel("build", "0" * 64, {"width": 8}, parameters=("width",))
    trials = [StageTrial("base", Trial(), (1,), incumbent=True), StageTrial("mine", Trial(model), (1,))]
    table = read(words.trial_settings(trials)).set_index("trial")
    assert table.loc["base", "width"] == "-"
    assert table.loc["mine", "width"] == "8"
    assert table.loc["mine", "filters"] == "-"


def test_a_reader_can_copy_each_value_of_the_options_into_a_custom_trial(tuning):
    trial = tuning.scope.start.change(dropout=0.2, batch_norm_momentum=0.9)
    table = read(words.settings_options(tuning, trial))
    values = {name: ast.literal_eval(value) for name, value in zip(table["setting"], table["now"], strict=True)}
    assert Trial().change(**values) == trial
    assert list(table["what it may be"]) == [option.expected for option in study.options(trial)]


def test_a_parameter_without_a_value_and_markup_in_a_value_are_shown_as_they_are(tuning):
    model = OwnModel("build", "0" * 64, {"style": "<b>"}, parameters=("style", "rate"))
    shown = words.settings_options(tuning, Trial(model))
    assert "<b>" not in shown.data
    table = read(shown).set_index("setting")
    assert table.loc["style", "now"] == "'<b>'"
    assert table.loc["rate", "now"] == "None"


def test_without_colour_images_the_settings_about_colour_are_left_out(tuning):
    tuning.images.folder = replace(tuning.images.folder, colour=None)
    assert not {"colour", "layout"} & set(read(words.settings_options(tuning, Trial()))["setting"])
