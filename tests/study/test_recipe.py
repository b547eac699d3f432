"""The second built-in study: ingredients of today for the network that the published study ends with."""

import pytest

from cnnlab.models import model_cost
from cnnlab.study import (
    PROFILES,
    PROTOCOLS,
    SPARSE_LOSS,
    bundled,
    notes,
    published_architecture,
    published_fits,
    start,
)

RECIPE, CORRECTED = bundled("recipe"), PROTOCOLS["corrected"]
PLAIN = start(RECIPE, PROFILES["full"], CORRECTED)
INGREDIENTS = {trial.name: trial.changes for trial in RECIPE.stage("ingredients").trials}
TOGETHER = RECIPE.stage("together").trials[0].changes


def params(trial):
    return model_cost(trial.architecture, (32, 32, 3), 10).params


def test_the_plain_model_is_the_one_that_the_published_study_ends_with():
    training = PLAIN.training
    assert PLAIN.architecture == published_architecture(9)
    assert (training.optimizer, training.learning_rate, training.batch_size) == ("adam", 0.0004, 32)
    assert (training.loss, PLAIN.input.colour, PLAIN.input.augmentation) == (SPARSE_LOSS, True, "none")
    assert params(PLAIN) == 552_874 == next(fit.params for fit in published_fits() if fit.stage == "colour")


def test_no_trial_has_more_parameters_whatever_an_earlier_stage_selects():
    models = [PLAIN.change(**changes) for changes in ({}, *INGREDIENTS.values())]
    models += [model.change(**TOGETHER) for model in models]
    assert max(map(params, models)) == 552_874
    assert params(PLAIN.change(**TOGETHER)) == 546_182


def test_all_ingredients_together_are_the_same_model_whatever_an_earlier_stage_selects():
    made = {PLAIN.change(**changes).change(**TOGETHER).effective() for changes in ({}, *INGREDIENTS.values())}
    assert len(made) == 1
    assert {name for changes in INGREDIENTS.values() for name in changes} <= TOGETHER.keys()


@pytest.mark.parametrize("name", INGREDIENTS)
def test_an_ingredient_changes_one_thing_and_a_number_that_belongs_to_it(name):
    settings = [setting for setting in INGREDIENTS[name] if setting not in ("learning_rate", "momentum", "filters")]
    assert len(settings) == 1


@pytest.mark.parametrize("profile", PROFILES)
def test_all_trials_run_all_epochs_and_every_setting_has_an_effect(profile):
    """A schedule of the learning rate ends with the last epoch."""
    assert start(RECIPE, PROFILES[profile], CORRECTED).training.patience is None
    assert notes(RECIPE, PROFILES[profile]) == []
    assert not any("patience" in trial.changes for stage in RECIPE.stages for trial in stage.trials)
