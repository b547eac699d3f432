"""The code that a reader copies builds, compiles and fits the model that cnnlab fits."""

import math
import random

import keras
import numpy as np
import pytest

from cnnlab import models
from cnnlab.models import code_change, keras_code
from cnnlab.models.fit import train_targets
from cnnlab.study import (
    DEFAULT_RATES,
    PROFILES,
    PROTOCOLS,
    SPARSE_LOSS,
    STAGES,
    Trial,
    built_in,
    mistake_trials,
    plan_trials,
    published_trials,
    read_own_model,
    start,
)
from cnnlab.study.own import own_model
from cnnlab.study.settings import ACTIVATIONS, AUGMENTATIONS, HEADS, LOSSES, SCHEDULES

N_CLASSES = 3
OWN = """
import keras

def build(input_shape, n_classes, units=8, rates=0.1, name="small"):
    return keras.Sequential([
        keras.Input(input_shape),
        keras.layers.Flatten(),
        keras.layers.Dense(units, name=name),
        keras.layers.Dense(n_classes, activation="softmax", dtype="float32"),
    ])
"""
RECIPE = {
    "optimizer": "sgd", "learning_rate": 0.1, "schedule": "one-cycle", "momentum": 0.9, "weight_decay": 5e-4,
    "label_smoothing": 0.1, "averaging": 0.9, "head": "average", "augmentation": "flip-crop",
}  # fmt: skip
SETTINGS = {
    "Conv2D": ("filters", "kernel_size", "padding", "activation", "strides", "use_bias"),
    "Dense": ("units", "activation", "use_bias"),
    "Dropout": ("rate",),
    "BatchNormalization": ("momentum", "epsilon"),
    "MaxPooling2D": ("pool_size", "strides", "padding"),
}


def shape(trial, side=32):
    return (side, side, 3 if trial.input.colour else 1)


@pytest.fixture
def execute(monkeypatch):
    """Run code on random images, as far as the fit; with fits=True, one epoch of it too."""

    def go(code, input_shape, fits=False):
        rng = np.random.default_rng(1)
        given = {}
        for part, size in (("train", 9), ("val", 6)):
            given[f"{part}_images"] = rng.integers(0, 256, (size, *input_shape), dtype=np.uint8)
            given[f"{part}_labels"] = np.arange(size) % N_CLASSES
        with monkeypatch.context() as patch:
            if not fits:
                patch.setattr(
                    keras.Sequential, "fit", lambda self, *args, **settings: given.update(fit=(args, settings))
                )
            try:
                exec(code, given)
            finally:
                keras.config.set_dtype_policy("float32")
        return given

    return go


def layers_of(model):
    """The layers of a model, with what decides its predictions."""
    found = []
    for layer in model.layers:
        config, kind = layer.get_config(), type(layer).__name__
        kept = {name: config[name] for name in SETTINGS.get(kind, ())}
        found.append((kind, kept, layer.dtype_policy.name, layer.output.shape))
    return found


def check(execute, trial):
    """Compare a trial's code with the model that its runs fit."""
    trial = trial.effective()
    code = keras_code(trial, shape(trial), N_CLASSES)
    made = execute(code, shape(trial))
    training, model = trial.training, made["model"]
    fitted = models.build(
        trial.architecture, shape(trial), N_CLASSES, trial.input.augmentation, precision=training.precision
    )
    models.compile_model(fitted, training, training.epochs * math.ceil(9 / training.batch_size))
    scaling = [("Rescaling", {}, training.precision, (None, *shape(trial)))] if trial.input.scale else []
    assert layers_of(model) == scaling + layers_of(fitted)
    assert model.count_params() == fitted.count_params()
    assert model.output_shape == fitted.output_shape
    assert type(model.optimizer) is type(fitted.optimizer)
    assert model.optimizer.get_config() == fitted.optimizer.get_config() | {"name": model.optimizer.name}
    (images, labels), settings = made["fit"]
    assert (settings["epochs"], settings["batch_size"]) == (training.epochs, training.batch_size)
    expected = train_targets(np.arange(9) % N_CLASSES, N_CLASSES, training)
    assert model.loss == fitted.loss
    np.testing.assert_allclose(labels.reshape(expected.shape), expected, rtol=1e-6)
    if trial.input.layout == "published":
        rng = np.random.default_rng(1)
        drawn = rng.integers(0, 256, (9, *shape(trial)), dtype=np.uint8)
        np.testing.assert_array_equal(images, models.scramble_channels(drawn))
    callbacks = settings.get("callbacks", [])
    averages = [callback for callback in callbacks if isinstance(callback, keras.callbacks.SwapEMAWeights)]
    assert averages == callbacks[: bool(training.averaging)], "before the callback that keeps the best weights"
    stops = callbacks[len(averages) :]
    warned = bool(training.averaging and training.patience and not training.restore_best_weights)
    assert ("Keras leaves the last weights" in code) == warned
    assert bool(stops) == bool(training.patience or (training.restore_best_weights and training.epochs > 1))
    for stop in stops:
        assert stop.patience == (training.patience or training.epochs)
        assert stop.restore_best_weights == training.restore_best_weights


@pytest.mark.slow
def test_the_code_of_every_trial_of_the_built_in_study_builds_the_model_of_its_runs(execute):
    budget, trials = PROFILES["full"], set()
    for protocol in PROTOCOLS.values():
        trials |= {t.settings for s in STAGES for t in published_trials(s, budget, protocol)}
    first = start(built_in(), budget, PROTOCOLS["corrected"])
    trials |= {trial.settings for stage in STAGES for trial in plan_trials(stage, first, budget)}
    trials |= {trial.settings for mistake in built_in().mistakes for trial in mistake_trials(mistake, budget).values()}
    assert len(trials) > 60
    for trial in trials:
        check(execute, trial)


@pytest.mark.parametrize("seed", range(20))
def test_the_code_of_a_trial_with_settings_drawn_at_random_builds_its_model(execute, seed):
    check(execute, draw_trial(random.Random(seed)))


def draw_trial(draw):
    n_blocks = draw.randint(1, 3)
    choices = {
        "filters": [[draw.randint(1, 5) for _ in range(n_blocks)]],
        "convs_per_block": [1, 2],
        "padding": ["same"],
        "dropout": [[], [draw.choice([0.0, 0.2, 0.5]) for _ in range(n_blocks + 1)]],
        "batch_norm": [True, False],
        "batch_norm_momentum": [None, 0.5, 0.987],
        "head": HEADS,
        "dense_units": range(1, 9),
        "conv_activation": ACTIVATIONS,
        "dense_activation": ACTIVATIONS,
        "optimizer": list(DEFAULT_RATES),
        "learning_rate": [None, 0.1, 1e-5],
        "schedule": SCHEDULES,
        "momentum": [0, 0.9],
        "weight_decay": [0, 5e-4],
        "label_smoothing": [0, 0.1],
        "averaging": [0, 0.99],
        "batch_size": [4, 64],
        "loss": LOSSES,
        "one_hot": [True, False],
        "epochs": [1, 7],
        "patience": [None, 2, 7],
        "restore_best_weights": [True, False],
        "precision": ["float32", "mixed_bfloat16"],
        "colour": [True, False],
        "layout": ["channels_last", "published"],
        "scale": [True, False],
        "augmentation": AUGMENTATIONS,
    }
    return Trial().change(**{name: draw.choice(list(values)) for name, values in choices.items()})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"loss": "kl_divergence"},
        {"loss": "mean_squared_error", "one_hot": False},
        {"precision": "mixed_bfloat16", "augmentation": "flip-shift", "batch_norm": True, "patience": None},
        {"colour": True, "layout": "published", "scale": False},
        RECIPE,
        {**RECIPE, "optimizer": "adam", "schedule": "cosine", "restore_best_weights": False, "patience": None},
    ],
    ids=["plain", "one-hot", "integer labels", "16 bits", "published colour", "today's", "today's with adam"],
)
def test_the_code_fits_an_epoch(execute, changes):
    trial = Trial().change(filters=[2, 3], dropout=0.2, epochs=1, **changes)
    made = execute(keras_code(trial, shape(trial, 12), N_CLASSES), shape(trial, 12), fits=True)
    predicted = made["model"].predict_on_batch(made["val_images"])
    np.testing.assert_allclose(predicted.sum(axis=1), 1, rtol=1e-5)


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def go(file):
        (tmp_path / file).write_text(OWN)
        return Trial(read_own_model(f"{file}:build", tmp_path)).change(epochs=1)

    return go


@pytest.mark.parametrize("file", ["net_of_mine.py", "net-of-mine.py"])
def test_the_code_of_an_own_model_calls_its_function_with_the_settings_of_the_trial(own, execute, file):
    trial = own(file).change(units=5, precision="mixed_bfloat16")
    code = keras_code(trial, (12, 12, 1), N_CLASSES)
    made = execute(code, (12, 12, 1), fits=True)
    core = models.build(trial.architecture, (12, 12, 1), N_CLASSES, precision="mixed_bfloat16")
    assert layers_of(made["model"].layers[-1]) == layers_of(core)
    assert [type(layer).__name__ for layer in made["model"].layers] == ["Rescaling", "Sequential"]
    assert code_change(trial, trial.change(name="large"), (12, 12, 1), N_CLASSES).splitlines() == [
        "          rates=0.1,", '-         name="small",', '+         name="large",', "      ),",
    ]  # fmt: skip


def test_the_code_of_a_function_of_a_notebook_has_its_source(execute):
    """What the function uses is there once, so that the code runs as it stands."""
    source = "from __future__ import annotations\n\nUNITS = 8\n" + OWN.replace("units=8", "units=UNITS")
    trial = Trial(own_model("build", source, "the notebook", is_function=True)).change(epochs=1, units=4)
    code = keras_code(trial, (12, 12, 1), N_CLASSES)
    assert code.startswith("from __future__ import annotations\n")
    assert (code.count("import keras\n"), code.count("def build(")) == (1, 1)
    made = execute(code, (12, 12, 1))["model"]
    assert made.count_params() == models.build(trial.architecture, (12, 12, 1), N_CLASSES).count_params()
    change = code_change(Trial(), trial, (12, 12, 1), N_CLASSES)
    assert '+ def build(input_shape, n_classes, units=UNITS, rates=0.1, name="small"):' in change


def test_the_code_of_a_stored_own_model_can_be_shown(own):
    trial = Trial.from_canonical(own("net.py").canonical())
    assert "from own_model import build\n" in keras_code(trial, (12, 12, 1), N_CLASSES)


def test_settings_without_an_effect_are_not_in_the_code():
    trial = Trial().change(one_hot=False, layout="published", dropout=0.0, patience=500, momentum=0.9)
    assert code_change(Trial().change(patience=None), trial, (32, 32, 1), 10) == ""
    average = Trial().change(head="average", loss="hinge")
    assert code_change(average, average.change(dense_units=5, label_smoothing=0.1), (32, 32, 1), 10) == ""


def test_the_code_names_each_of_todays_ingredients():
    change = code_change(Trial(), Trial().change(**RECIPE, epochs=500), (32, 32, 1), 10).splitlines()
    for line in (
        "+ from cnnlab.models.layers import FlipCrop  # random flips and parts, in training only",
        "+ train_labels = keras.utils.to_categorical(train_labels, 10)",
        "+     FlipCrop(),",
        "-     layers.Flatten(),",
        '-     layers.Dense(64, activation="relu"),',
        "+     layers.GlobalAveragePooling2D(),",
        "+ steps = 500 * -(-len(train_images) // 64)  # of all epochs",
        "+ rising = round(0.2 * steps)",
        "+     optimizer=keras.optimizers.SGD("
        "learning_rate=keras.optimizers.schedules.CosineDecay("
        "0.0, steps - rising, warmup_target=0.1, warmup_steps=rising), "
        "momentum=0.9, nesterov=True, weight_decay=0.0005, use_ema=True, ema_momentum=0.9),",
        "+ train_labels = 0.9 * train_labels + 0.01  # label smoothing",
        '+     loss="categorical_crossentropy",',
        "+     callbacks=[keras.callbacks.SwapEMAWeights(swap_on_epoch=True), "
        "keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True)],",
    ):
        assert line in change


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("kept", ["best", "last"])
def test_the_code_leaves_the_averaged_weights_in_the_model(execute, epochs, kept):
    trial = Trial().change(
        filters=[2], head="average", epochs=epochs, averaging=0.5, batch_size=4, optimizer="sgd", learning_rate=0.5,
        restore_best_weights=kept == "best",
    )  # fmt: skip
    made = execute(keras_code(trial, shape(trial, 12), N_CLASSES), shape(trial, 12), fits=True)
    model, history = made["model"], made["model"].history.history
    found = model.evaluate(made["val_images"], made["val_labels"], verbose=0)[0]
    assert found == pytest.approx(min(history["val_loss"]) if kept == "best" else history["val_loss"][-1], rel=1e-4)


def test_a_change_shows_just_the_lines_that_differ():
    trial = Trial().change(filters=[32, 64])
    assert code_change(trial, trial, (32, 32, 1), 10) == ""
    assert code_change(trial, trial.change(dropout=[0, 0, 0.5], learning_rate=0.1), (32, 32, 1), 10).splitlines() == [
        "      layers.MaxPooling2D(2),",
        "+     layers.Dropout(0.0),",
        '      layers.Conv2D(64, 3, padding="valid", activation="relu"),',
        "      layers.MaxPooling2D(2),",
        "+     layers.Dropout(0.0),",
        "      layers.Flatten(),",
        '      layers.Dense(64, activation="relu"),',
        "+     layers.Dropout(0.5),",
        '      layers.Dense(10, activation="softmax"),',
        "  ...",
        "  model.compile(",
        "-     optimizer=keras.optimizers.Adam(learning_rate=0.001),",
        "+     optimizer=keras.optimizers.Adam(learning_rate=0.1),",
        f'      loss="{SPARSE_LOSS}",',
    ]


def test_colour_changes_the_channels_of_the_first_line():
    change = code_change(Trial(), Trial().change(colour=True), (32, 32, 1), 10).splitlines()
    assert "-     keras.Input((32, 32, 1))," in change
    assert "+     keras.Input((32, 32, 3))," in change


@pytest.mark.parametrize("seed", range(20))
def test_the_lines_of_a_change_are_those_of_the_two_codes(seed):
    draw = random.Random(seed)
    before, after = draw_trial(draw), draw_trial(draw)
    old, new = (keras_code(trial, shape(trial), 10).splitlines() for trial in (before, after))
    change = code_change(before, after, (32, 32, 1), 10).splitlines()
    signs = [line[:2] for line in change]
    assert set(signs) <= {"- ", "+ ", "  "}
    for sign, lines, others in (("- ", old, new), ("+ ", new, old)):
        marked = [line[2:] for line in change if line[:2] == sign]
        assert set(lines) - set(others) <= set(marked) <= set(lines)
    assert len(new) - len(old) == signs.count("+ ") - signs.count("- ")
