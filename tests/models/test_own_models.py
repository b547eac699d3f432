"""A model that a function of the user builds is fitted, checked, described and saved as any other."""

import inspect
import io
import pickle
import random
import threading

import numpy as np
import pytest
from PIL import Image

from cnnlab import data, models
from cnnlab.errors import ConfigError
from cnnlab.models import checkpoint as checkpoints
from cnnlab.models import fit as fits
from cnnlab.records import Run
from cnnlab.study import Training, Trial, read_own_model
from cnnlab.study.own import own_model

BRANCHES = """
import keras
from keras import layers

def build(input_shape, n_classes, filters=4, dropout=0.2):
    inputs = keras.Input(input_shape)
    x = layers.Conv2D(filters, 3, padding="same", activation="relu")(inputs)
    x = x + layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
    x = layers.BatchNormalization(momentum=0.8)(x)
    x = layers.Dropout(dropout)(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(n_classes, activation="softmax")(x))
"""
NOISE = """
from __future__ import annotations
from dataclasses import dataclass
import keras, numpy
from keras import layers

@dataclass
class Settings:
    units: int

class Noise(layers.Layer):
    def call(self, values, training=False):
        return values + keras.random.normal(keras.ops.shape(values)) if training else values

def build(input_shape, n_classes, units=8):
    first = layers.Dense(Settings(units).units, kernel_initializer="he_normal")
    last = layers.Dense(n_classes, activation="softmax")
    model = keras.Sequential([layers.Flatten(), Noise(), first, layers.Dropout(0.1), last])
    model.build((None, *input_shape))
    first.bias.assign(numpy.random.normal(size=units))
    return model
"""
TRAINING = Training(epochs=3, batch_size=8)


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    def go(source):
        folder = tmp_path_factory.mktemp("own")
        (folder / "mine.py").write_text(source)
        return read_own_model("mine.py:build", folder)

    return go


@pytest.fixture(scope="module")
def split(tiny):
    return data.split(tiny, "stratified", 20, 8, 10)


@pytest.fixture(scope="module")
def fit(tiny, split):
    def go(trial, seed=1, **settings):
        return fits.run(Run(trial, seed, tiny.digest, split.digest), tiny, split, **settings)

    return go


@pytest.fixture(scope="module", params=[BRANCHES, NOISE], ids=["branches", "noise"])
def trial(request, read):
    return Trial(read(request.param), TRAINING).change(augmentation="flip-shift")


@pytest.fixture(scope="module")
def done(trial, fit):
    return fit(trial)


def same(arrays, others):
    return arrays.keys() == others.keys() and all(np.array_equal(arrays[name], others[name]) for name in arrays)


def test_seeds(trial, done, fit, tiny):
    """The same seed gives the same bits, whatever ran before and other threads draw; another seed gives others."""
    stop = threading.Event()

    def disturb():
        while not stop.wait(0.0001):
            random.random()

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        again = fit(trial)
    finally:
        stop.set()
        thread.join()
    assert again[0].history == done[0].history
    assert same(again[1], done[1])
    first, other = (models.build(trial.architecture, tiny.image_shape, 2, seed=seed) for seed in (1, 2))
    kernels = [next(weight for weight in model.get_weights() if weight.ndim > 1) for model in (first, other)]
    assert not np.array_equal(*kernels)
    assert fits._idle == {}, "an own model is traced for each run"


def test_generators_of_python_and_numpy(trial, tiny):
    """They stay as they were."""
    states = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    models.build(trial.architecture, tiny.image_shape, 2, seed=5)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states  # noqa: NPY002


def test_interrupted_fit(trial, done, fit, tmp_path, monkeypatch):
    """A fit that was interrupted gives the same bits, those of noise without a seed of its own too."""
    monkeypatch.setattr(fits, "CHECKPOINT_SECONDS", 0)

    def interrupt(self, *args, whole=checkpoints.FitState.add_epoch):
        if self.epochs == 2:
            raise KeyboardInterrupt
        whole(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.FitState, "add_epoch", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(trial, checkpoints=str(tmp_path))
    epochs = []
    on_epoch = lambda epoch, _: epochs.append(epoch)  # noqa: E731
    record, arrays = fit(trial, checkpoints=str(tmp_path), on_epoch=on_epoch)
    assert epochs == [0, 3]
    assert record.history == done[0].history
    assert same(arrays, done[1])


def test_settings(read, fit):
    """Its parameters and the precision have an effect."""
    model = read(BRANCHES.replace('activation="softmax"', 'activation="softmax", dtype="float32"'))
    params = [models.build(model.change(filters=n), (12, 12, 1), 2).count_params() for n in (4, 8)]
    assert params[0] < params[1]
    trial = Trial(model, TRAINING).change(epochs=2, precision="mixed_bfloat16")
    record, arrays = fit(trial)
    assert record.trial["architecture"]["settings"] == {"filters": 4, "dropout": 0.2}
    assert {str(values.dtype) for name, values in arrays.items() if "labels" not in name} == {"float32"}
    built = models.build(model, (12, 12, 1), 2, precision="mixed_bfloat16")
    assert built.layers[1].compute_dtype == "bfloat16"
    with pytest.raises(ConfigError, match=r"bfloat16\. Give its last layer dtype='float32'"):
        models.build(read(BRANCHES), (12, 12, 1), 2, precision="mixed_bfloat16")


def test_saved_model(read, fit, tiny, split, tmp_path):
    """It takes raw pixels and gives the answers of the fit."""
    import keras

    trial = Trial(read(BRANCHES), TRAINING)
    arrays = fit(trial)[1]
    weights = [value for name, value in arrays.items() if name.startswith("weight_")]
    path = tmp_path / "model.keras"
    path.write_bytes(models.deployable(trial.architecture, weights, tiny.image_shape, 2, scale=True))
    loaded = keras.saving.load_model(path, safe_mode=True)
    pixels = tiny.test_images[split.test].astype(np.float32)
    np.testing.assert_allclose(loaded.predict(pixels, verbose=0), arrays["test_probs"], rtol=1e-4, atol=1e-6)


def test_description(read):
    """The table names layers and operations; visualkeras draws only layers that follow one another."""
    rows, png = models.describe(read(BRANCHES), (12, 12, 1), 2, "flip-shift")
    names = ["FlipShift", "Conv2D", "Conv2D", "Add", "BatchNormalization", "Flatten", "Dropout", "Dense"]
    assert [row["layer"] for row in rows] == names
    assert rows[1] == {"layer": "Conv2D", "output": "12 x 12 x 4", "params": 40}
    assert sum(row["params"] for row in rows) == models.build(read(BRANCHES), (12, 12, 1), 2).count_params()
    assert png == b""
    rows, png = models.describe(read(NOISE), (12, 12, 1), 2)
    assert [row["layer"] for row in rows] == ["Flatten", "Noise", "Dense", "Dropout", "Dense"]
    assert Image.open(io.BytesIO(png)).width > 100


def test_check(read):
    """A model without layers of the user's needs no code afterwards; one with them does."""
    assert models.check_own_model(read(BRANCHES), (12, 12, 1), 2) == []
    (note,) = models.check_own_model(read(NOISE), (12, 12, 3), 5)
    assert "`cnnlab predict` will refuse" in note


START = "import keras, sys, time\nfrom keras import layers\n\n"
HEAD = START + "def build(input_shape, n_classes, units=4):\n"
STACK = "keras.Sequential([layers.Flatten(), layers.Dense(n_classes, activation='softmax')])"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (HEAD + "    return 3", "Expected build in mine.py to return an uncompiled Keras model .* Received: a int"),
        (HEAD + "    pass", "Received: a NoneType"),
        (HEAD + "    raise KeyError('x\\ny')", "Received: KeyError in line 5: .x"),
        (HEAD + "    return layers.Dense(-units)", "ValueError in line 5: .* Received: units=-4"),
        (HEAD + "    sys.exit('bye')", "SystemExit in line 5: bye"),
        (HEAD + "    return build(input_shape, n_classes)", "RecursionError in line 5"),
        (START + "import nowhere_else\ndef build(input_shape, n_classes): pass", "ModuleNotFoundError in line 4"),
        (HEAD + "    return 1\nreturn 3", "SyntaxError in line 6: 'return' outside function"),
        (HEAD + f"    m = {STACK}\n    m.compile('sgd', 'mse')\n    return m", "Received: a compiled model"),
        (HEAD + f"    n_classes += 1\n    return {STACK}", r"output \(None, 3\) float32\. Correct that function"),
        (HEAD + "    return keras.Sequential([layers.Conv2D(2, 3)])", r"output \(None, 10, 10, 2\) float32"),
        (HEAD + f"    return keras.Sequential([keras.Input((9, 9, 1)), *{STACK}.layers])", "expected shape=.*9, 9, 1"),
        (HEAD + f"    return {STACK.replace('softmax', 'relu')}", "to end in a softmax"),
        (HEAD + f"    m = {STACK}\n    m.build((None, *input_shape))\n    m.layers[1].bias.assign([float('nan')] * 2)\n"
         "    return m", "to end in a softmax, .* from nan"),
        (HEAD + f"    m = {STACK}\n    m.build((None, *input_shape))\n"
         "    m.layers[1].bias.assign([time.perf_counter() % 1, 0])\n    return m",
         "to build equal models from equal seeds"),
        (HEAD + "    a = keras.Input(input_shape)\n    x = layers.Dense(n_classes)(layers.Flatten()(a))\n"
         "    return keras.Model(a, [x, x])", "a model with the output of type list"),
        (START + "class Bad(layers.Layer):\n    def call(self, x, training=False):\n        if training:\n"
         "            raise TypeError('no')\n        return x\ndef build(input_shape, n_classes):\n"
         "    return keras.Sequential([layers.Flatten(), Bad(), layers.Dense(n_classes, activation='softmax')])",
         "TypeError in line 7: .*no"),
        (START + "class Net(keras.Model):\n    def __init__(self, n):\n        super().__init__()\n"
         "        self.d = layers.Dense(n, activation='softmax')\n    def call(self, x):\n"
         "        return self.d(keras.ops.reshape(x, (-1, 144)))\n"
         "def build(input_shape, n_classes):\n    net = Net(n_classes)\n    net.get_config = None\n    return net",
         "TypeError"),
        (START + "def build(input_shape, n_classes, units, rate): pass", "none for units, rate. Add it to the study's"),
    ],
)  # fmt: skip
def test_errors_of_the_function(read, source, words):
    """Each is one line that names the function and the file, and it travels from a worker."""
    with pytest.raises(ConfigError, match=words) as caught:
        models.check_own_model(read(source), (12, 12, 1), 2)
    message = str(pickle.loads(pickle.dumps(caught.value)))
    assert message == str(caught.value)
    assert message.isprintable(), "one line without control characters"
    assert "build" in message
    assert "mine.py" in message
    assert caught.value.__cause__ is caught.value.__context__ is None, "Dask would send them too"


ADD = """
class Add(layers.Layer):
    def call(self, x):
        return x + {step}

def build(input_shape, n_classes):
    return keras.Sequential([layers.Flatten(), Add(), {last}])
"""
LAST = "layers.Dense(n_classes, activation='softmax')"


def test_functions_of_one_name_do_not_mix():
    """Both are "the notebook": the source of a layer and the line of an error are those of its own text."""

    def read(**parts):
        return own_model("build", START + ADD.format(**parts), "the notebook", is_function=True)

    one, two, wrong = read(step="1.0", last=LAST), read(step="2.0", last=LAST), read(step="1.0", last="layers.Dense()")
    first, second = (models.build(model, (2, 2, 1), 2, seed=1) for model in (one, two))
    for model, step in ((first, "1.0"), (second, "2.0")):
        assert f"return x + {step}" in inspect.getsource(model.layers[1].call), "TensorFlow rewrites it"
    with pytest.raises(ConfigError) as caught:
        models.build(wrong, (2, 2, 1), 2)
    assert str(caught.value).startswith(
        "Expected build in the notebook to build a model that works. Received: TypeError in the line "
        "`return keras.Sequential([layers.Flatten(), Add(), layers.Dense()])`: "
    )


@pytest.mark.parametrize("is_function", [True, False])
def test_wrong_python_in_a_file_that_the_function_imports(tmp_path, monkeypatch, is_function):
    """The line is that of the import; the error's own line is one of the other file."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "wrong_python.py").write_text("\n" * 20 + "x = (1,\n")
    source = "def build(input_shape, n_classes):\n    import wrong_python\n    return wrong_python.x\n"
    model = own_model("build", source, "mine", is_function=is_function)
    with pytest.raises(ConfigError) as caught:
        models.build(model, (2, 2, 1), 2)
    place = "the line `import wrong_python`" if is_function else "line 2"
    message = str(caught.value)
    assert f"Received: SyntaxError in {place}: " in message
    assert message.endswith("(wrong_python.py, line 21)")


def test_error_in_a_fit(read, fit):
    """An error that only a fit causes is told in the same way."""
    source = (
        f"{START}class Mine(Exception):\n    pass\nclass Late(layers.Layer):\n    calls = 0\n"
        "    def call(self, x):\n        Late.calls += 1\n"
        "        if Late.calls > 2:\n            raise Mine('late')\n        return x\n"
        "def build(input_shape, n_classes):\n    return keras.Sequential([layers.Flatten(), Late(),"
        " layers.Dense(n_classes, activation='softmax')])"
    )
    with pytest.raises(ConfigError, match=r"Received: Mine in line 11: .*late") as caught:
        fit(Trial(read(source), TRAINING))
    assert caught.value.__context__ is None


def test_stored_model(read):
    """A stored run holds no code, so its model cannot be built."""
    trial = Trial(read(BRANCHES), TRAINING)
    with pytest.raises(ConfigError, match="a stored run, which does not hold it"):
        models.build(Trial.from_canonical(trial.canonical()).architecture, (12, 12, 1), 2)
