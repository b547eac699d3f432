"""The trials of a stage: the corrected protocol builds on selections, the published one repeats the published fits."""

import pytest

from cnnlab.errors import ConfigError
from cnnlab.study import (
    PROFILES,
    PROTOCOLS,
    STAGES,
    UNCHANGED,
    find_profile,
    find_protocol,
    find_stage,
    plan_trials,
    published_architecture,
    published_fits,
    published_trial,
    skipped_trials,
    start,
)

FULL, QUICK = PROFILES["full"], PROFILES["quick"]
CORRECTED, PUBLISHED = PROTOCOLS["corrected"], PROTOCOLS["published"]


def plan(stage, profile=FULL, protocol=CORRECTED):
    return plan_trials(find_stage(stage), start(profile, protocol), profile, protocol)


def published(stage):
    return plan(stage, protocol=PUBLISHED)


def names(trials):
    return [trial.name for trial in trials]


def test_incumbent_is_a_trial():
    incumbent = start(FULL, CORRECTED).change(dense_units=7, batch_size=5)
    for stage in STAGES:
        trials = plan_trials(stage, incumbent, FULL, CORRECTED)
        if stage.keeps_incumbent:
            assert [trial.settings for trial in trials if trial.incumbent] == [incumbent]


def test_incumbent_that_equals_a_trial():
    """It is not run twice."""
    assert names(plan("dense")) == ["32", "64", "128", "256", "512"]


def test_incumbent_that_equals_no_trial():
    """It is the first trial."""
    assert names(plan("filters")) == [UNCHANGED, "16-32-64", "32-64-128", "64-128-256", "128-256-512"]


def test_skipped_trials():
    """Profiles for a CPU skip the expensive trials and name them."""
    stage = find_stage("filters")
    assert skipped_trials(stage, QUICK) == ("64-128-256", "128-256-512")
    assert not set(skipped_trials(stage, QUICK)) & set(names(plan("filters", QUICK)))
    assert skipped_trials(stage, FULL) == ()


def test_published_fits():
    """The published protocol runs every published fit with its batch size."""
    for stage in STAGES:
        fits = [fit for fit in published_fits() if fit.stage == stage.name]
        trials = published(stage.name)
        assert [trial.settings.training.batch_size for trial in trials] == [fit.batch_size for fit in fits]
        assert [trial.published for trial in trials] == fits


def test_published_dropout():
    """The published rates are tied, as in the study's code; later stages have the intended ones."""
    rates = {trial.name: trial.settings.architecture.dropout for trial in published("dropout")}
    assert rates["0.2-0.3-0.4-0.5"] == rates["0.2-0.3-0.4-0.3"] == (0.2,) * 4
    assert rates["0.3-0.4-0.5-0.3"] == rates["0.3-0.4-0.5-0.6"] == (0.3,) * 4
    assert published("batchnorm")[0].settings.architecture.dropout == (0.3, 0.4, 0.5, 0.3)


def test_published_repeats():
    """Repeated fits of one trial have different seeds and names."""
    two, four = published("dropout")[1], published("dropout")[3]
    assert two.settings == four.settings
    assert not set(two.seeds) & set(four.seeds)
    assert names(published("optimizer"))[-1] == "adam (again)"


def test_published_mistakes():
    """The published study's mistakes are settings."""
    trial = published("loss")[2].settings
    assert not trial.training.restore_best_weights
    assert not trial.training.one_hot
    assert trial.training.batch_size == 128
    colour = published("colour")[1].settings
    assert (colour.input.layout, colour.input.scale, colour.input.augmentation) == ("published", False, "none")
    assert (colour.training.epochs, colour.training.patience) == (60, None)


def test_published_choices():
    """A published stage starts from the published choices."""
    trial = published_trial("augmentation", FULL, PUBLISHED)
    assert trial.architecture.filters == (32, 64, 128)
    assert trial.architecture.dense_activation == "tanh"
    assert (trial.training.learning_rate, trial.training.batch_size) == (0.0004, 32)


def test_published_epochs_are_limited():
    epochs = {trial.settings.training.epochs for trial in plan("colour", QUICK, PUBLISHED)}
    assert epochs == {QUICK.epochs}


def test_unknown_names():
    with pytest.raises(ConfigError, match="smoke, quick, full"):
        find_profile("slow")
    with pytest.raises(ConfigError, match="corrected, published"):
        find_protocol("original")
    with pytest.raises(ConfigError, match="1 to 9"):
        published_architecture(10)
