"""Each mistake is the corrected model with one thing changed."""

from dataclasses import asdict

import pytest

from cnnlab.study import MISTAKES, PROFILES, mistake_trials

FULL = PROFILES["full"]


def settings(trial):
    return {name: value for part in asdict(trial).values() for name, value in part.items()}


def different(one, other):
    return {name for name, value in settings(one).items() if settings(other)[name] != value}


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("dropout-tied", {"dropout"}),
        ("last-weights", {"restore_best_weights"}),
        ("sparse-loss-mse", {"one_hot"}),
        ("loss-batch", {"batch_size"}),
        ("aug-unused", {"augmentation"}),
        ("misnamed-choice", {"conv_activation", "dense_activation"}),
        ("selected-against-rule", {"learning_rate"}),
    ],
)
def test_a_mistake_is_put_back_by_changing_one_thing(name, changed):
    mistake = next(mistake for mistake in MISTAKES if mistake.name == name)
    right, wrong = mistake_trials(mistake, FULL).values()
    assert different(right.settings, wrong.settings) == changed
    assert right.seeds == wrong.seeds == (1, 2, 3, 4, 5)


def test_the_two_colour_mistakes_are_run_in_all_four_combinations():
    colour = next(mistake for mistake in MISTAKES if mistake.name == "colour")
    inputs = {
        (trial.settings.input.layout, trial.settings.input.scale) for trial in mistake_trials(colour, FULL).values()
    }
    assert inputs == {(layout, scale) for layout in ("channels_last", "published") for scale in (True, False)}


def test_the_corrected_arm_has_none_of_the_mistakes():
    for mistake in MISTAKES:
        if mistake.trials and mistake.name != "aug-confounded":  # which compares two fits of the study
            trial = next(iter(mistake_trials(mistake, FULL).values())).trial
            assert trial.training.restore_best_weights
            assert trial.training.one_hot
            assert (trial.training.batch_size, trial.training.learning_rate) == (32, 0.001)
            assert (trial.input.layout, trial.input.scale) == ("channels_last", True)


def test_a_profile_caps_the_epochs_of_a_mistake():
    confounded = next(mistake for mistake in MISTAKES if mistake.name == "aug-confounded")
    assert {trial.settings.training.epochs for trial in mistake_trials(confounded, PROFILES["smoke"]).values()} == {1}
    assert mistake_trials(confounded, FULL)["the study's with"].settings.training.epochs == 50
