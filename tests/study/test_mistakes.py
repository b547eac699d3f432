"""Each mistake is the corrected model with one thing changed."""

from dataclasses import asdict

import pytest

from cnnlab.study import DEFECTS, PROFILES, arms

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
        ("chosen-against-rule", {"learning_rate"}),
    ],
)
def test_a_mistake_is_put_back_by_changing_one_thing(name, changed):
    defect = next(defect for defect in DEFECTS if defect.name == name)
    right, wrong = arms(defect, FULL).values()
    assert different(right.trial, wrong.trial) == changed
    assert right.seeds == wrong.seeds == (1, 2, 3, 4, 5)


def test_the_two_colour_mistakes_are_run_in_all_four_combinations():
    colour = next(defect for defect in DEFECTS if defect.name == "colour")
    inputs = {(arm.trial.input.layout, arm.trial.input.scale) for arm in arms(colour, FULL).values()}
    assert inputs == {(layout, scale) for layout in ("channels_last", "published") for scale in (True, False)}


def test_the_corrected_arm_has_none_of_the_mistakes():
    for defect in DEFECTS:
        if defect.arms and defect.name != "aug-confounded":  # which compares two fits of the study
            trial = next(iter(arms(defect, FULL).values())).trial
            assert trial.training.restore_best_weights
            assert trial.training.one_hot
            assert (trial.training.batch_size, trial.training.learning_rate) == (32, 0.001)
            assert (trial.input.layout, trial.input.scale) == ("channels_last", True)


def test_a_profile_caps_the_epochs_of_a_mistake():
    confounded = next(defect for defect in DEFECTS if defect.name == "aug-confounded")
    assert {arm.trial.training.epochs for arm in arms(confounded, PROFILES["smoke"]).values()} == {1}
    assert arms(confounded, FULL)["the study's with"].trial.training.epochs == 50
