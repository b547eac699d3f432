"""Candidates of a stage: the corrected protocol carries choices on, the published one repeats the published fits."""

import pytest

from cnnlab.errors import ConfigError
from cnnlab.study import (
    PROFILES,
    PROTOCOLS,
    STAGES,
    UNCHANGED,
    find_profile,
    find_stage,
    plan_trials,
    published_fits,
    published_trial,
    skipped_trials,
    start,
)

FULL, QUICK = PROFILES["full"], PROFILES["quick"]
CORRECTED, PUBLISHED = PROTOCOLS["corrected"], PROTOCOLS["published"]


def published(stage):
    return plan_trials(find_stage(stage), start(FULL, PUBLISHED), FULL, PUBLISHED)


def test_the_incumbent_is_always_a_candidate():
    incumbent = start(FULL, CORRECTED).change(dense_units=7, batch_size=5)
    for stage in STAGES:
        trials = plan_trials(stage, incumbent, FULL, CORRECTED)
        if stage.keeps_incumbent:
            assert [c.settings for c in trials if c.incumbent] == [incumbent]


def test_an_incumbent_that_equals_a_variant_is_not_run_twice():
    names = [c.name for c in plan_trials(find_stage("dense"), start(FULL, CORRECTED), FULL, CORRECTED)]
    assert names == ["32", "64", "128", "256", "512"]


def test_an_incumbent_that_equals_no_variant_stands_first():
    names = [c.name for c in plan_trials(find_stage("filters"), start(FULL, CORRECTED), FULL, CORRECTED)]
    assert names == [UNCHANGED, "16-32-64", "32-64-128", "64-128-256", "128-256-512"]


def test_profiles_made_for_a_cpu_leave_the_wide_trials_out_and_say_so():
    stage = find_stage("filters")
    names = [c.name for c in plan_trials(stage, start(QUICK, CORRECTED), QUICK, CORRECTED)]
    assert skipped_trials(stage, QUICK) == ("64-128-256", "128-256-512")
    assert not set(skipped_trials(stage, QUICK)) & set(names)
    assert skipped_trials(stage, FULL) == ()


def test_the_published_protocol_runs_every_published_fit_with_its_batch_size():
    for stage in STAGES:
        fits = [fit for fit in published_fits() if fit.stage == stage.name]
        assert [c.settings.training.batch_size for c in published(stage.name)] == [fit.batch_size for fit in fits]
        assert [c.published for c in published(stage.name)] == fits


def test_published_dropout_rates_are_tied_as_in_the_studys_builder():
    rates = {c.name: c.settings.architecture.dropout for c in published("dropout")}
    assert rates["0.2-0.3-0.4-0.5"] == rates["0.2-0.3-0.4-0.3"] == (0.2,) * 4
    assert rates["0.3-0.4-0.5-0.3"] == rates["0.3-0.4-0.5-0.6"] == (0.3,) * 4
    assert published("batchnorm")[0].trial.architecture.dropout == (0.3, 0.4, 0.5, 0.3)


def test_published_repeats_of_one_trial_keep_seeds_of_their_own():
    two, four = published("dropout")[1], published("dropout")[3]
    assert two.trial == four.settings
    assert not set(two.seeds) & set(four.seeds)
    assert [c.name for c in published("optimizer")][-1] == "adam (again)"


def test_published_defects_are_settings():
    trial = published("loss")[2].trial
    assert not trial.training.restore_best_weights
    assert not trial.training.one_hot
    assert trial.training.batch_size == 128
    colour = published("colour")[1].trial
    assert (colour.input.layout, colour.input.scale, colour.input.augmentation) == ("published", False, "none")
    assert (colour.training.epochs, colour.training.patience) == (60, None)


def test_a_published_stage_starts_from_the_published_picks():
    trial = published_trial(find_stage("augmentation"), FULL, PUBLISHED)
    assert trial.architecture.filters == (32, 64, 128)
    assert trial.architecture.dense_activation == "tanh"
    assert (trial.training.learning_rate, trial.training.batch_size) == (0.0004, 32)


def test_a_profile_of_few_epochs_cuts_the_published_ones():
    assert {
        c.settings.training.epochs for c in plan_trials(find_stage("colour"), start(QUICK, PUBLISHED), QUICK, PUBLISHED)
    } == {QUICK.epochs}


def test_an_unknown_profile_is_refused():
    with pytest.raises(ConfigError, match="smoke, quick, full"):
        find_profile("slow")
