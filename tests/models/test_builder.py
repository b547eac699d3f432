"""The builder makes the published networks, layer by layer."""

import io
import os
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from cnnlab import models, surroundings
from cnnlab.errors import ConfigError
from cnnlab.study import PROFILES, PROTOCOLS, STAGES, Architecture, Training, published_fits, published_trials


def test_every_published_fit_has_exactly_the_published_number_of_parameters():
    full, published = PROFILES["full"], PROTOCOLS["published"]
    trials = [trial.settings for stage in STAGES for trial in published_trials(stage, full, published)]
    counts = {}
    for trial in trials:
        shape = (32, 32, 3 if trial.input.colour else 1)
        if (trial.architecture, shape) not in counts:
            counts[trial.architecture, shape] = models.build(trial.architecture, shape).count_params()
    found = [counts[trial.architecture, (32, 32, 3 if trial.input.colour else 1)] for trial in trials]
    assert found == [fit.params for fit in published_fits()]


@pytest.mark.parametrize(
    ("make", "params"),
    [
        (models.cnn_1, 72_842),
        (models.cnn_2, 205_098),
        (models.cnn_3, 418_218),
        (models.cnn_4, 418_218),
        (models.cnn_5, 420_266),
        (models.cnn_6, 552_298),
        (models.cnn_7, 552_298),
        (models.cnn_8, 552_298),
        (models.cnn_9, 552_298),
    ],
)
def test_cnn_1_to_9_are_the_published_picks(make, params):
    assert make().count_params() == params


def test_each_cnn_takes_its_stages_axis_and_the_data_as_keywords():
    assert models.cnn_3(filters=(16, 32, 64)).count_params() == 138_042
    assert models.cnn_6(dense_units=32).count_params() == 354_250
    assert models.cnn_9(input_shape=(32, 32, 3)).count_params() == 552_874
    assert models.cnn_1(n_classes=7).output_shape == (None, 7)
    assert float(models.cnn_8(optimizer="sgd", learning_rate=0.5).optimizer.learning_rate) == 0.5
    assert float(models.cnn_8("Adam").optimizer.learning_rate) == pytest.approx(0.0004)
    assert models.cnn_9("Flip-Shift").layers[0].name.startswith("flip_shift")
    for show in (models.cnn_9, lambda name: models.augment(np.zeros((1, 8, 8, 1), np.uint8), name)):
        with pytest.raises(ConfigError, match=r"augmentation to be .*'flip_shift'"):
            show("flip_shift")


def test_keras_finds_no_settings_of_the_user_and_can_still_download(tmp_path):
    """Pretrained weights of an own model, for example."""
    assert not os.path.lexists(surroundings.NO_FOLDER)
    (tmp_path / "weights").write_text("1 2 3")
    kept = Path(keras.utils.get_file("cnnlab-test", (tmp_path / "weights").as_uri(), force_download=True))
    assert kept.read_text() == "1 2 3"
    kept.unlink()


def test_a_cnn_for_other_image_sizes_is_built_until_there_are_no_pixels_left():
    assert models.cnn_2(input_shape=(8, 8, 1)).output_shape == (None, 10)
    with pytest.raises(ConfigError, match="8 x 8"):
        models.cnn_1(input_shape=(8, 8, 1))


def test_augmentation_flips_and_shifts_in_training_and_does_nothing_afterwards():
    images = np.zeros((64, 32, 32, 1), np.uint8)
    images[:, :, :4] = 200
    shown = models.augment(images, "flip-shift")
    flipped = shown[:, 10, -1, 0] > 100
    assert 10 < flipped.sum() < 54
    assert len(np.unique(shown[~flipped][:, 10, :6, 0], axis=0)) > 5
    model = models.build(Architecture(), augmentation="flip-shift")
    plain = models.build(Architecture())
    plain.set_weights(model.get_weights())
    inputs = np.random.default_rng(0).random((4, 32, 32, 1), dtype=np.float32)
    np.testing.assert_array_equal(model.predict(inputs, verbose=0), plain.predict(inputs, verbose=0))


def test_augmentation_shows_parts_of_images_with_a_black_border():
    images = np.full((64, 12, 9, 1), 200, np.uint8)
    shown = models.augment(images, "flip-crop")
    rows = (shown[..., 0] > 0).any(axis=2).sum(axis=1)
    assert set(rows) == set(range(8, 13))
    assert set(np.unique(shown)) == {0, 200}


def test_without_a_hidden_layer_the_classes_follow_the_means_of_the_channels():
    model = models.build(Architecture(filters=(4, 8), head="average", batch_norm=True, dropout=0.2))
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds[-5:] == ["MaxPooling2D", "Dropout", "GlobalAveragePooling2D", "Dropout", "Dense"]
    assert "Flatten" not in kinds
    assert model.layers[-3].output.shape == (None, 8)
    assert model.layers[-1].count_params() == (8 + 1) * 10


STEPS = 100


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", {0: 0.4, 50: 0.4, 99: 0.4}),
        ("cosine", {0: 0.4, 50: 0.2, 99: 0.0001, 100: 0.0}),
        ("one-cycle", {0: 0.0, 10: 0.2, 20: 0.4, 60: 0.2, 99: 0.00015, 100: 0.0}),
    ],
)
def test_a_schedule_gives_the_rate_of_each_step(schedule, rates):
    model = models.build(Architecture(filters=(1,)))
    models.compile_model(model, Training(optimizer="sgd", learning_rate=0.4, schedule=schedule), STEPS)
    for step, rate in rates.items():
        model.optimizer.iterations.assign(step)
        assert float(model.optimizer.learning_rate) == pytest.approx(rate, rel=0.03, abs=1e-8), step


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_schedule_of_few_steps_has_rates_from_0_to_the_highest(steps):
    for schedule in ("cosine", "one-cycle"):
        model = models.build(Architecture(filters=(1,)))
        models.compile_model(model, Training(learning_rate=0.4, schedule=schedule), steps)
        found = []
        for step in range(steps + 1):
            model.optimizer.iterations.assign(step)
            found.append(float(model.optimizer.learning_rate))
        assert max(found) == pytest.approx(0.4)
        assert found[-1] == pytest.approx(0, abs=1e-8)
        assert np.isfinite(found).all()


def test_each_setting_of_the_optimizer_reaches_keras():
    model = models.build(Architecture(filters=(1,)))
    settings = {"momentum": 0.9, "weight_decay": 5e-4, "averaging": 0.99}
    models.compile_model(model, Training(optimizer="sgd", **settings))
    config = model.optimizer.get_config()
    expected = {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4, "use_ema": True, "ema_momentum": 0.99}
    assert config | expected == config
    models.compile_model(model, Training(optimizer="adam", **settings))
    config = model.optimizer.get_config()
    assert config | {"weight_decay": 5e-4, "use_ema": True, "ema_momentum": 0.99} == config
    models.compile_model(model, Training(optimizer="sgd"))
    config = model.optimizer.get_config()
    assert config | {"momentum": 0.0, "nesterov": False, "weight_decay": None, "use_ema": False} == config


def test_a_model_is_described_by_its_layers_and_a_drawing():
    rows, png = models.describe(Architecture(batch_norm=True))
    assert sum(int(row["params"]) for row in rows) == models.build(Architecture(batch_norm=True)).count_params()
    assert rows[0] == {"layer": "Conv2D", "output": "30 x 30 x 32", "params": 320}
    assert Image.open(io.BytesIO(png)).width > 100


def test_a_deployed_model_takes_raw_pixels_and_gives_the_same_answers(tmp_path):
    import keras

    model = models.build(Architecture())
    path = tmp_path / "model.keras"
    path.write_bytes(models.deployable(Architecture(), model.get_weights(), (32, 32, 1), 10, scale=True))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 1)).astype(np.float32)
    loaded = keras.saving.load_model(path)
    np.testing.assert_allclose(loaded.predict(pixels, verbose=0), model.predict(pixels / 255, verbose=0), rtol=1e-5)
