"""What a trial costs: arithmetic that agrees with Keras, and times that follow from what was measured."""

import math
from dataclasses import replace

import pytest

from cnnlab.models import cost
from cnnlab.models.cost import Speed, Timing, model_cost
from cnnlab.study import Architecture, OwnModel, Training, Trial, read_own_model

GRAY = (32, 32, 1)
ARCHITECTURES = {
    "base": (Architecture(), GRAY, 10),
    "same padding, two convolutions": (Architecture(convs_per_block=2, padding="same"), GRAY, 10),
    "colour, batch normalisation": (Architecture(batch_norm=True, batch_norm_momentum=0.9), (32, 32, 3), 10),
    "dropout": (Architecture(dropout=0.3, filters=(4, 8), dense_units=17), (21, 26, 2), 3),
    "average": (Architecture(filters=(4, 8), head="average", dense_units=17), (21, 26, 2), 3),
    "average, batch normalisation, dropout": (
        Architecture(batch_norm=True, batch_norm_momentum=0.9, dropout=0.2, convs_per_block=2, head="average"),
        (40, 37, 3),
        7,
    ),
    "all of it": (
        Architecture(
            filters=(8, 16, 4), convs_per_block=3, padding="same", dropout=0.2, batch_norm=True, batch_norm_momentum=0.9
        ),
        (40, 33, 3),
        7,
    ),
}


def timing(trial=None, scale=1.0, size=None, shape=GRAY, **changes):
    """A trial measured on a machine that takes `scale` times as long as the one of the constants."""
    trial = trial or Trial()
    usual = Speed(()).seconds(trial, shape, 10)
    values = {
        "trial": trial, "input_shape": shape, "n_classes": 10, "batch_size": size or trial.training.batch_size,
        "load_seconds": 0.0, "trace_seconds": usual.trace * scale, "step_seconds": usual.step * scale,
        "predict_seconds": usual.predict * scale, "params": usual.params,
    }  # fmt: skip
    return Timing(**values | changes)


@pytest.fixture(params=ARCHITECTURES, scope="module")
def case(request):
    """An architecture, its Keras model, and its cost."""
    from cnnlab.models import build

    architecture, shape, n_classes = ARCHITECTURES[request.param]
    return build(architecture, shape, n_classes), model_cost(architecture, shape, n_classes)


def test_parameters_and_layers_are_those_that_keras_counts(case):
    model, computed = case
    assert computed.params == model.count_params()
    assert computed.layers == len(model.layers)


def test_operations_are_those_of_the_kernels_at_every_place(case):
    model, computed = case
    operations = 0
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            places = math.prod(layer.output.shape[1:-1])  # of a dense layer: 1
            operations += 2 * math.prod(layer.kernel.shape) * places
    assert computed.flops == operations


def test_elements_are_the_values_that_layers_write(case):
    model, computed = case
    written = [math.prod(layer.output.shape[1:]) for layer in model.layers if type(layer).__name__ != "Flatten"]
    assert computed.elements == sum(written)


def test_a_measured_trial_takes_what_was_measured():
    slow, fast = Trial(), Trial().change(filters=(64, 128, 256))
    speed = Speed((timing(slow, 5.0), timing(fast, 1.0)))
    for trial, scale in ((slow, 5.0), (fast, 1.0)):
        assert speed.seconds(trial, GRAY, 10).step == pytest.approx(
            Speed(()).seconds(trial, GRAY, 10).step * scale, 0.1
        )


def test_a_machine_that_takes_twice_as_long_for_one_trial_takes_twice_as_long_for_others():
    speed = Speed((timing(scale=2.0),))
    other = Trial().change(batch_norm=True, batch_size=16, filters=(8, 8), dense_units=3)
    usual, twice = Speed(()).seconds(other, GRAY, 10), speed.seconds(other, GRAY, 10)
    assert twice.step == pytest.approx(2 * usual.step)
    assert twice.predict == pytest.approx(2 * usual.predict)
    assert twice.trace == pytest.approx(2 * usual.trace)


@pytest.mark.parametrize(
    "changes", [{"filters": (64, 128)}, {"dense_units": 512}, {"batch_norm": True}, {"batch_size": 128}]
)
def test_more_work_takes_longer(changes):
    speed, small = Speed((timing(),)), Trial().change(filters=(32, 64))
    large = small.change(**changes)
    assert speed.seconds(large, GRAY, 10).step > speed.seconds(small, GRAY, 10).step


def test_small_batches_take_longer_for_an_image():
    speed = Speed(())
    per_image = [speed.seconds(Trial().change(batch_size=size), GRAY, 10).step / size for size in (8, 32, 128)]
    assert per_image == sorted(per_image, reverse=True)


OWN = [
    Trial(architecture=OwnModel("build", "0" * 64, {"width": width}, parameters=("width",))) for width in (8, 16, 32)
]
MEASURED = {"trace_seconds": 2.0, "predict_seconds": 0.001, "params": 50}


def own_timing(number, **values):
    return replace(timing(), trial=OWN[number], **MEASURED | values)


def test_an_own_model_takes_what_the_same_model_took():
    speed = Speed((timing(), own_timing(0, step_seconds=0.1), own_timing(1, step_seconds=0.4)))
    assert speed.seconds(OWN[1], GRAY, 10) == cost.TrialSeconds(trace=2.0, step=0.4, predict=0.001, params=50)
    twice = speed.seconds(OWN[1].change(batch_size=128), GRAY, 10)
    assert twice.step == pytest.approx(0.8), "steps of twice as many images take twice as long"


def test_an_own_model_that_was_not_measured_takes_the_mean_of_the_others():
    speed = Speed((timing(), own_timing(0, step_seconds=0.1), own_timing(1, step_seconds=0.4)))
    assert speed.seconds(OWN[2], GRAY, 10).step == pytest.approx(0.25)


OWN_MODEL = """
import keras

def build(input_shape, n_classes, units=4):
    inputs = keras.Input(input_shape)
    hidden = keras.layers.Dense(units)(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, keras.layers.Dense(n_classes, activation="softmax")(hidden))
"""


@pytest.mark.slow
def test_before_anything_is_measured_an_own_model_takes_what_the_default_network_takes():
    own = own_timing(0).trial
    default = Trial(training=own.training)
    assert Speed(()).seconds(own, (32, 32, 1), 10) == Speed(()).seconds(default, (32, 32, 1), 10)


def test_a_trial_with_smoothed_labels_can_be_measured():
    trial = Trial().change(filters=(4,), batch_size=8, label_smoothing=0.1)
    assert cost.measure(trial, (12, 12, 1), 3).step_seconds > 0


@pytest.mark.parametrize("is_own", [False, True])
def test_measuring_gives_times_above_0_and_the_models_parameters(is_own, tmp_path):
    trial = Trial().change(filters=(4,), batch_size=8, batch_norm=True)
    params = model_cost(trial.architecture, (12, 12, 1), 3).params
    if is_own:
        (tmp_path / "mine.py").write_text(OWN_MODEL)
        trial = Trial(read_own_model("mine.py:build", tmp_path), Training(batch_size=8))
        params = (144 + 1) * 4 + (4 + 1) * 3
    measured = cost.measure(trial, (12, 12, 1), 3)
    assert (measured.trial, measured.batch_size, measured.params) == (trial, 8, params)
    assert min(measured.trace_seconds, measured.step_seconds, measured.predict_seconds) > 0
