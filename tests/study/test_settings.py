"""Settings are validated, and equal trials have equal digests."""

from dataclasses import replace

import pytest

from cnnlab.errors import ConfigError
from cnnlab.records import Run, json_digest
from cnnlab.study import DEFAULT_RATES, Architecture, Input, Training, Trial


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Architecture(filters=()), "at least one block"),
        (lambda: Architecture(filters=(32, 0)), "filters"),
        (lambda: Architecture(filters=32), "filters to be a list of numbers"),
        (lambda: Architecture(dropout=0.3), "dropout to be a list of numbers"),
        (lambda: Architecture(batch_norm="no"), "True or False"),
        (lambda: Input(scale="no"), "True or False"),
        (lambda: Training(one_hot=1), "True or False"),
        (lambda: Architecture(padding="full"), "valid, same"),
        (lambda: Architecture(dropout=(0.5,)), "4 rates"),
        (lambda: Architecture(dropout=(0.5, 0.5, 0.5, 1.0)), "between"),
        (lambda: Architecture(dense_units=True), "whole number"),
        (lambda: Training(optimizer="adam2"), "sgd"),
        (lambda: Training(learning_rate=-1), "above 0"),
        (lambda: Training(learning_rate=float("nan")), "above 0"),
        (lambda: Training(loss="huber"), "hinge"),
        (lambda: Training(patience=0), "at least 1"),
        (lambda: Training(precision="float8"), "mixed_bfloat16"),
        (lambda: Input(augmentation="mixup"), "flip-shift"),
        (lambda: Trial().change(dropuot=()), "dropuot"),
        (lambda: Trial.from_canonical({"architecture": {}}), "settings of a trial"),
    ],
)
def test_a_bad_setting_is_refused_with_what_was_expected_and_what_came(make, words):
    with pytest.raises(ConfigError, match=words) as caught:
        make()
    assert "Expected" in str(caught.value)
    assert "Received" in str(caught.value)


def test_an_optimizer_at_its_default_rate_is_the_same_trial_as_one_with_that_rate():
    assert Trial().change(optimizer="sgd") == Trial().change(optimizer="sgd", learning_rate=0.01)
    assert json_digest(Trial().canonical()) == json_digest(Trial().change(learning_rate=0.001).canonical())


def test_changing_the_optimizer_forgets_the_old_ones_rate():
    assert Trial().change(learning_rate=0.3).change(optimizer="sgd").training.learning_rate == 0.01


def test_a_trial_survives_its_canonical_form():
    trial = Trial().change(filters=(1, 2, 3), dropout=(0.1, 0.2, 0.3, 0.4), colour=True, patience=None)
    assert Trial.from_canonical(trial.canonical()) == trial


def test_default_rates_are_those_of_keras():
    from keras import optimizers

    for name, rate in DEFAULT_RATES.items():
        assert float(optimizers.get(name).learning_rate) == pytest.approx(rate)


def test_runs_are_told_apart_by_trial_seed_data_and_split():
    run = Run(Trial(), 1, "d", "s")
    others = [
        replace(run, trial=Trial().change(epochs=5)),
        replace(run, seed=2),
        replace(run, data_digest="e"),
        replace(run, split_digest="t"),
    ]
    assert len({run.digest, *[other.digest for other in others]}) == 5


def test_runs_share_a_traced_model_if_they_differ_in_values_alone():
    run = Run(Trial(), 1, "d", "s")
    values = {"learning_rate": 0.5, "batch_size": 8, "epochs": 3, "patience": 2, "restore_best_weights": False}
    assert replace(run, trial=run.trial.change(**values), seed=2).trace_key == run.trace_key
    for other in ({"dense_units": 5}, {"optimizer": "sgd"}, {"loss": "hinge"}, {"scale": False}, {"one_hot": False}):
        assert replace(run, trial=run.trial.change(**other)).trace_key != run.trace_key
    assert replace(run, data_digest="e").trace_key != run.trace_key
