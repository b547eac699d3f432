"""The trials of a stage: the corrected protocol builds on selections, the published one repeats the published fits."""

from pathlib import Path

import pytest

from cnnlab.errors import ConfigError
from cnnlab.study import (
    PROFILES,
    PROTOCOLS,
    STAGES,
    UNCHANGED,
    Budget,
    built_in,
    find_protocol,
    make_budget,
    mistake_model,
    parse,
    plan_trials,
    published_architecture,
    published_fits,
    published_settings,
    published_trial,
    published_trials,
    skipped_trials,
    stage_fits,
    start,
)

FULL, QUICK = PROFILES["full"], PROFILES["quick"]
CORRECTED, PUBLISHED = PROTOCOLS["corrected"], PROTOCOLS["published"]


def first(budget=FULL, study=None):
    return start(study or built_in(), budget, CORRECTED)


def plan(stage, budget=FULL):
    return plan_trials(built_in().stage(stage), first(budget), budget)


def published(stage, budget=FULL):
    return published_trials(built_in().stage(stage), budget, PUBLISHED)


def study_of(text):
    return parse(text, Path("mine.toml"))


def names(trials):
    return [trial.name for trial in trials]


def test_incumbent_is_a_trial():
    incumbent = first().change(dense_units=7, batch_size=5)
    for stage in STAGES:
        trials = plan_trials(stage, incumbent, FULL)
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
    stage = built_in().stage("filters")
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
    epochs = {trial.settings.training.epochs for trial in published("colour", QUICK)}
    assert epochs == {QUICK.epochs}


def test_published_figures():
    """A trial has the published fit of its name only where the figures concern the images."""
    stage = built_in().stage("dense")
    assert [trial.published for trial in plan("dense")] == [None] * 5
    fits = stage_fits("dense")
    with_figures = plan_trials(stage, first(), FULL, fits)
    assert [trial.published for trial in with_figures] == [fits[trial.name] for trial in with_figures]


@pytest.mark.parametrize(
    ("profile", "numbers"),
    [("laptop", (3, 20, 5, 5_000, 2_000, 10_000)), ("full", (5, 500, 5, 40_000, 10_000, 10_000))],
)
def test_profile(profile, numbers):
    budget = make_budget(profile)
    assert (budget.seeds, budget.epochs, budget.patience, budget.train, budget.val, budget.test) == numbers
    assert budget.expensive == (profile == "full")
    assert budget == PROFILES[profile]


def test_changed_budget():
    """Numbers, precision and halving differ from the profile's; None changes nothing."""
    budget = make_budget("laptop", {"seeds": 2, "epochs": None, "train": 1_000, "halving": True, "precision": None})
    assert (budget.seeds, budget.seed_numbers, budget.epochs, budget.train) == (2, (1, 2), 20, 1_000)
    assert (budget.halving, budget.precision, budget.profile) == (True, "float32", "laptop")
    assert make_budget("smoke", {}) == PROFILES["smoke"]


@pytest.mark.parametrize("name", ["seeds", "epochs", "patience", "train", "val", "test"])
@pytest.mark.parametrize("value", [0, -1, 2.0, 2.5, True, "3", "", [], {}, (3,), float("nan")])
def test_wrong_number(name, value):
    with pytest.raises(ConfigError, match=f"Expected {name.upper()} to be a whole number of at least 1. Received: "):
        make_budget("quick", {name: value})


def test_most_seeds():
    """More would be those of another published fit."""
    assert len(make_budget("quick", {"seeds": 999}).seed_numbers) == 999
    with pytest.raises(ConfigError, match=r"Expected SEEDS to be at most 999\. Received: 1000"):
        make_budget("quick", {"seeds": 1_000})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"precision": "half"}, "Expected precision to be one of float32, mixed_bfloat16. Received: 'half'"),
        ({"precision": ["float32"]}, "Expected precision to be one of"),
        ({"precision": {}}, "Expected precision to be one of"),
        ({"halving": 1}, "Expected halving to be True or False. Received: 1"),
        ({"halving": "yes"}, "Expected halving to be True or False"),
        ({"seed": 3}, "Expected a part of a budget named seeds, epochs, .* Received: 'seed'"),
        ({"batch_size": 3}, "Received: 'batch_size'"),
        ({"profile": "full"}, "Received: 'profile'"),
        ({"stages": "all"}, "Received: 'stages'"),
        ({3: 3}, "Received: 3"),
    ],
)
def test_wrong_budget(changes, words):
    with pytest.raises(ConfigError, match=words):
        make_budget("quick", changes)


@pytest.mark.parametrize("profile", ["slow", "", None, 3, ["quick"], {}])
def test_unknown_profile(profile):
    with pytest.raises(ConfigError, match=f"Expected a profile named {', '.join(PROFILES)}. Received: "):
        make_budget(profile)


def test_epochs_are_limited():
    """No trial has more epochs than the budget, whether the study's start or a trial asks for them."""
    study = study_of(
        "start = { epochs = 30 }\n"
        "[[stage]]\nname = 'epochs'\ntrials = { few = { epochs = 4 }, many = { epochs = 40, patience = 7 } }"
    )
    for epochs, expected in ((10, [10, 4, 10]), (35, [30, 4, 35]), (100, [30, 4, 40])):
        budget = make_budget("full", {"epochs": epochs})
        trials = plan_trials(study.stages[0], first(budget, study), budget)
        assert [trial.settings.training.epochs for trial in trials] == expected
        assert [trial.settings.training.patience for trial in trials] == [5, 5, 7]


def test_start():
    """What the study names stands; the rest follows from the budget."""
    stage = "[[stage]]\nname = 'a'\n"
    budget = Budget("mine", 1, 30, 1, 1, 1, patience=9, batch_size=16, precision="mixed_bfloat16")
    training = first(budget, study_of(stage)).training
    assert (training.epochs, training.patience, training.batch_size, training.precision) == (
        30,
        9,
        16,
        budget.precision,
    )
    named = "start = { patience = 2, batch_size = 8, dense_units = 5, optimizer = 'sgd' }\n"
    trial = first(budget, study_of(named + stage))
    assert (trial.training.patience, trial.training.batch_size, trial.training.epochs) == (2, 8, 30)
    assert (trial.architecture.dense_units, trial.training.learning_rate) == (5, 0.01)
    assert first(budget, study_of("start = { patience = 'none' }\n" + stage)).training.patience is None


def test_batch_size_of_a_profile():
    """It is that of the first incumbent; the published fits have their own."""
    assert first(QUICK).training.batch_size == QUICK.batch_size
    assert first(FULL).training.batch_size == 64
    assert {trial.settings.training.batch_size for trial in published("base", QUICK)} == {64}


def test_model_of_the_mistakes():
    """It is the published model before augmentation as intended; budgets for a CPU give it fewer filters."""
    full, quick = mistake_model(FULL), mistake_model(QUICK)
    assert full.change(filters=(16, 32, 64), epochs=QUICK.epochs) == quick
    assert full.architecture.filters == (32, 64, 128)
    assert (full.training.learning_rate, full.training.batch_size) == (0.001, 32)


def test_unknown_names():
    with pytest.raises(ConfigError, match="corrected, published"):
        find_protocol("original")
    with pytest.raises(ConfigError, match="1 to 9"):
        published_architecture(10)
    with pytest.raises(ConfigError, match=r"stage of the published study named base, .* Received: 'mine'"):
        published_settings("mine")
