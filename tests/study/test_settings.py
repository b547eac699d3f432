"""Settings are validated, and equal trials have equal digests."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

from cnnlab.errors import ConfigError
from cnnlab.records import Run, json_digest
from cnnlab.study import DEFAULT_RATES, Architecture, Input, Training, Trial


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Architecture(filters=()), "at least one block"),
        (lambda: Architecture(filters=(32, 0)), "filters"),
        (lambda: Architecture(filters=32), "filters to be a list of whole numbers"),
        (lambda: Architecture(dropout="0.3"), "dropout to be a number of at least 0 and below 1, or a list"),
        (lambda: Architecture(dropout=1.0), "below 1"),
        (lambda: Architecture(dropout={0.3}), "or a list"),
        (lambda: Architecture(filters="32"), "filters to be a list of whole numbers"),
        (lambda: Architecture(batch_norm="no"), "True or False"),
        (lambda: Input(scale="no"), "True or False"),
        (lambda: Training(one_hot=1), "True or False"),
        (lambda: Architecture(padding="full"), "valid, same"),
        (lambda: Architecture(dropout=(0.5,)), "4 rates"),
        (lambda: Architecture(dropout=(0.5, 0.5, 0.5, 1.0)), "below 1"),
        (lambda: Architecture(dropout=(0.5, 0.5, 0.5, -1e-13)), "at least 0"),
        (lambda: Architecture(dropout=(0.5, 0.5, 0.5, False)), "dropout"),
        (lambda: Architecture(filters=(True, 32)), "filters"),
        (lambda: Architecture(batch_norm_momentum=1), "between 0 and 1"),
        (lambda: Architecture(dense_units=True), "whole number"),
        (lambda: Architecture(dense_units="64"), "whole number"),
        (lambda: Architecture(dense_units=None), "whole number"),
        (lambda: Architecture(dense_units=np.array([64, 64])), "whole number"),
        (lambda: Architecture(padding=["same"]), "valid, same"),
        (lambda: Architecture(head="flatten"), "head to be one of dense, average"),
        (lambda: Training(schedule="linear"), "schedule to be one of constant, cosine, one-cycle"),
        (lambda: Training(momentum=1), "momentum to be a number of at least 0 and below 1"),
        (lambda: Training(momentum=-0.1), "momentum to be"),
        (lambda: Training(weight_decay=1.0), "weight_decay to be"),
        (lambda: Training(weight_decay="5e-4"), "weight_decay to be"),
        (lambda: Training(label_smoothing=-1e-9), "label_smoothing to be"),
        (lambda: Training(label_smoothing=True), "label_smoothing to be"),
        (lambda: Training(averaging=float("nan")), "averaging to be"),
        (lambda: Training(averaging=None), "averaging to be"),
        (lambda: Training(optimizer="adam2"), "sgd"),
        (lambda: Training(learning_rate=-1), "above 0"),
        (lambda: Training(learning_rate=float("nan")), "above 0"),
        (lambda: Training(learning_rate=True), "above 0"),
        (lambda: Training(loss="huber"), "hinge"),
        (lambda: Training(patience=0), "at least 1"),
        (lambda: Training(precision="float8"), "mixed_bfloat16"),
        (lambda: Input(augmentation="mixup"), "none, flip-shift, flip-crop"),
        (lambda: Trial().change(dropuot=()), r"'dropuot'\. Did you mean 'dropout'\?"),
        (lambda: Trial().change(self=1), "'self'"),
        (lambda: Trial().change(optimizer=None), "optimizer"),
        (lambda: Trial().change(optimizer={}), "optimizer"),
        (lambda: Trial.from_canonical({"architecture": {}}), "settings of a trial"),
    ],
)
def test_invalid_setting(make, words):
    with pytest.raises(ConfigError, match=words) as caught:
        make()
    assert "Expected" in str(caught.value)
    assert "Received" in str(caught.value)


def test_one_dropout_rate():
    """One number is the rate at each place of the architecture."""
    assert Architecture(dropout=0.2).dropout == (0.2,) * 4
    assert Architecture(filters=(8, 8), dropout=np.float64(0.5)).dropout == (0.5,) * 3


@pytest.mark.parametrize(
    ("plain", "other"),
    [
        ({"dense_units": 64}, {"dense_units": np.int64(64)}),
        ({"filters": (8, 16)}, {"filters": np.array([8, 16])}),
        ({"filters": (8, 16)}, {"filters": [np.uint8(8), np.int16(16)]}),
        ({"dropout": (0.0, 0.0, 0.0, 0.5)}, {"dropout": [0, 0, 0, 0.5]}),
        ({"learning_rate": 1.0}, {"learning_rate": 1}),
        ({"filters": (8,), "dropout": 0.3}, {"filters": np.array(8).reshape(1), "dropout": np.array(0.3)}),
        ({"scale": False}, {"scale": np.bool_(False)}),
        ({"optimizer": "sgd"}, {"optimizer": "SGD"}),
        ({"conv_activation": "tanh"}, {"conv_activation": "Tanh"}),
        ({"schedule": "one-cycle", "head": "average"}, {"schedule": "One-Cycle", "head": "Average"}),
        ({"momentum": 0.0, "averaging": 0.5}, {"momentum": 0, "averaging": np.float64(0.5)}),
    ],
)
def test_spelling(plain, other):
    """What means the same is the same trial, with the same digest."""
    assert Trial().change(**plain).canonical() == Trial().change(**other).canonical()


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"patience": 7}, True),
        ({"patience": 10}, True),
        ({"patience": None}, True),
        ({"patience": 6}, False),
        ({"dropout": 0}, True),
        ({"dropout": (0, 0, 0, 0.1)}, False),
        ({"batch_norm_momentum": 0.5}, True),
        ({"batch_norm_momentum": 0.5, "batch_norm": True}, False),
        ({"one_hot": False}, True),
        ({"one_hot": False, "loss": "hinge"}, False),
        ({"layout": "published"}, True),
        ({"layout": "published", "colour": True}, False),
        ({"restore_best_weights": False}, False),
        ({"restore_best_weights": False, "epochs": 1}, False),
        ({"momentum": 0.9}, True),
        ({"optimizer": "sgd", "momentum": 0.9}, False),
        ({"label_smoothing": 0.1}, False),
        ({"schedule": "cosine"}, False),
        ({"schedule": "one-cycle"}, False),
        ({"weight_decay": 1e-4}, False),
        ({"averaging": 0.9}, False),
        ({"head": "average"}, False),
        ({"augmentation": "flip-crop"}, False),
    ],
)
def test_settings_without_effect(changes, same):
    """A setting that cannot have an effect in a trial does not count in its effective settings."""
    trial = Trial().change(epochs=7, patience=7)
    assert (trial.change(**changes).effective() == trial.effective()) == same


@pytest.mark.parametrize(
    ("start", "changes", "same"),
    [
        ({"optimizer": "sgd"}, {"momentum": 0.9}, False),
        ({"loss": "mean_squared_error"}, {"label_smoothing": 0.1}, True),
        ({"head": "average"}, {"dense_units": 96}, True),
        ({"head": "average"}, {"dense_activation": "tanh"}, True),
        ({"head": "average"}, {"conv_activation": "tanh"}, False),
        ({"head": "average"}, {"dropout": 0.1}, False),
    ],
)
def test_settings_that_another_one_switches_off(start, changes, same):
    trial = Trial().change(**start)
    changed = trial.change(**changes)
    assert (changed.effective() == trial.effective()) == same
    assert (json_digest(changed.effective().canonical()) == json_digest(trial.effective().canonical())) == same


def test_default_rate():
    """An optimizer without a rate is the same trial as one with its default rate."""
    assert Trial().change(optimizer="sgd") == Trial().change(optimizer="sgd", learning_rate=0.01)
    assert json_digest(Trial().canonical()) == json_digest(Trial().change(learning_rate=0.001).canonical())


def test_new_optimizer():
    """A new optimizer does not keep the rate of the old one."""
    assert Trial().change(learning_rate=0.3).change(optimizer="sgd").training.learning_rate == 0.01


@pytest.mark.parametrize(
    ("changes", "momentum"),
    [
        ({}, 0.833),  # 10 steps an epoch, 60 in 6 epochs
        ({"batch_size": 600}, 0.5),  # 6 steps
        ({"batch_size": 5}, 0.986),
        ({"batch_size": 3}, 0.99),  # 1,200 steps: Keras's default
        ({"epochs": 1, "patience": 2}, 0.833),  # a stage about epochs or patience changes nothing else
        ({"batch_norm_momentum": 0.7}, 0.7),
        ({"batch_norm": False}, None),
    ],
)
def test_momentum_of_batch_normalisation(changes, momentum):
    """A momentum of None becomes one that suits the number of steps; a fixed one stays."""
    trial = Trial().change(**{"batch_norm": True, **changes})
    assert trial.for_images(600).architecture.batch_norm_momentum == pytest.approx(momentum)
    assert trial.for_images(600).for_images(10) == trial.for_images(600)


def test_canonical_form():
    """A trial is rebuilt from JSON, equal and with the same hash; lists and tuples of numbers are equal."""
    trial = Trial().change(filters=[1, 2, 3], dropout=(0.1, 0.2, 0.3, 0.4), colour=True, patience=None)
    same = Trial.from_canonical(json.loads(json.dumps(trial.canonical())))
    assert same == trial
    assert hash(same) == hash(trial)
    assert pickle.loads(pickle.dumps(trial)) == trial


def test_canonical_form_is_stable():
    """Digests of stored runs are made from this form."""
    assert json.dumps(Trial().canonical()) == (
        '{"architecture": {"filters": [32, 64, 64], "convs_per_block": 1, "padding": "valid", "dropout": [], '
        '"batch_norm": false, "batch_norm_momentum": null, "head": "dense", "dense_units": 64, '
        '"conv_activation": "relu", "dense_activation": "relu"}, "training": {"optimizer": "adam", '
        '"learning_rate": 0.001, "schedule": "constant", "momentum": 0.0, "weight_decay": 0.0, '
        '"label_smoothing": 0.0, "averaging": 0.0, "batch_size": 64, '
        '"loss": "sparse_categorical_crossentropy", "one_hot": true, "epochs": 500, "patience": 5, '
        '"restore_best_weights": true, "precision": "float32"}, "input": {"colour": false, "layout": "channels_last", '
        '"scale": true, "augmentation": "none"}}'
    )


def test_default_rates_are_those_of_keras():
    from keras import optimizers

    for name, rate in DEFAULT_RATES.items():
        assert float(optimizers.get(name).learning_rate) == pytest.approx(rate)


def test_run_digest():
    """Runs that differ in trial, seed, data or split have different digests."""
    run = Run(Trial(), 1, "d", "s")
    others = [
        replace(run, trial=Trial().change(epochs=5)),
        replace(run, seed=2),
        replace(run, data_digest="e"),
        replace(run, split_digest="t"),
    ]
    assert len({run.digest, *[other.digest for other in others]}) == 5


def test_trace_key():
    """Runs share a traced model if they differ only in seed, learning rate, batch size and epochs."""
    run = Run(Trial(), 1, "d", "s")
    values = {"learning_rate": 0.5, "batch_size": 8, "epochs": 3, "patience": 2, "restore_best_weights": False}
    assert replace(run, trial=run.trial.change(**values), seed=2).trace_key == run.trace_key
    momentum = {"batch_norm_momentum": 0.5}
    for other in (
        {"dense_units": 5},
        momentum,
        {"optimizer": "sgd"},
        {"loss": "hinge"},
        {"scale": False},
        {"one_hot": False},
        {"schedule": "cosine"},
        {"weight_decay": 0.1},
        {"label_smoothing": 0.1},
        {"averaging": 0.9},
        {"head": "average"},
        {"augmentation": "flip-crop"},
    ):
        assert replace(run, trial=run.trial.change(**other)).trace_key != run.trace_key
    assert replace(run, data_digest="e").trace_key != run.trace_key


@pytest.mark.parametrize(
    ("changes", "shared"),
    [
        ({"patience": 2}, True),
        ({"label_smoothing": 0.2}, True),  # the smoothed labels are given to the model
        ({"label_smoothing": 0.0}, False),
        ({"momentum": 0.8}, False),
        ({"weight_decay": 1e-3}, False),
        ({"averaging": 0.8}, False),
        ({"schedule": "constant"}, False),
        ({"schedule": "cosine"}, False),
        # They are part of a schedule, which is traced with the model.
        ({"learning_rate": 0.2}, False),
        ({"batch_size": 8}, False),
        ({"epochs": 9}, False),
    ],
)
def test_trace_key_of_a_schedule(changes, shared):
    trial = Trial().change(
        optimizer="sgd", learning_rate=0.1, schedule="one-cycle", momentum=0.9, weight_decay=5e-4, label_smoothing=0.1,
        averaging=0.9,
    )  # fmt: skip
    run = Run(trial, 1, "d", "s")
    assert (replace(run, trial=trial.change(**changes), seed=2).trace_key == run.trace_key) == shared
