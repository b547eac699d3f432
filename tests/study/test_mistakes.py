"""Each mistake is the corrected model with one change."""

import pytest

from cnnlab.study import PROFILES, built_in, mistake_trials

FULL, MISTAKES = PROFILES["full"], built_in().mistakes


def settings(trial):
    return {name: value for part in trial.settings.canonical().values() for name, value in part.items()}


def different(one, other):
    return {name for name, value in settings(one).items() if settings(other)[name] != value}


def find(name):
    return next(mistake for mistake in MISTAKES if mistake.name == name)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("dropout-tied", {"dropout"}),
        ("last-weights", {"restore_best_weights"}),
        ("sparse-loss-mse", {"one_hot"}),
        ("loss-batch", {"batch_size"}),
        ("aug-unused", {"augmentation"}),
        ("misnamed-choice", {"conv_activation", "dense_activation"}),
        ("chosen-against-rule", {"learning_rate"}),
    ],
)
def test_one_change(name, changed):
    """The trials without and with a mistake differ in one thing and have the same seeds."""
    without, with_mistake = mistake_trials(find(name), FULL).values()
    assert different(without, with_mistake) == changed
    assert without.seeds == with_mistake.seeds == (1, 2, 3, 4, 5)


def test_colour_mistakes():
    """The two colour mistakes are run in all four combinations."""
    inputs = [trial.settings.input for trial in mistake_trials(find("colour"), FULL).values()]
    assert {(images.layout, images.scale) for images in inputs} == {
        (layout, scale) for layout in ("channels_last", "published") for scale in (True, False)
    }


def test_trial_without_mistake():
    """The first trial has none of the mistakes."""
    for mistake in MISTAKES:
        if mistake.trials and mistake.name != "aug-confounded":  # which compares two fits of the study
            trial = next(iter(mistake_trials(mistake, FULL).values())).settings
            assert trial.training.restore_best_weights
            assert trial.training.one_hot
            assert (trial.training.batch_size, trial.training.learning_rate) == (32, 0.001)
            assert (trial.input.layout, trial.input.scale) == ("channels_last", True)


def test_epoch_limit():
    """A profile limits the epochs of a mistake."""
    smoke = mistake_trials(find("aug-confounded"), PROFILES["smoke"])
    assert {trial.settings.training.epochs for trial in smoke.values()} == {1}
    full = mistake_trials(find("aug-confounded"), FULL)
    assert full["as with augmentation"].settings.training.epochs == 50
