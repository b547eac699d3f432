"""An own model is read from a file without running it; its parameters are settings."""

import json
import os
import pickle

import numpy as np
import pytest

from cnnlab.errors import ConfigError
from cnnlab.records import Run
from cnnlab.study import Trial, read_own_model, require_settings

SOURCE = """\
# A model of mine.
raise SystemExit("this file was run")
SIZES = [1, 2]
def build(input_shape, n_classes, units=16, dropout=0.2, *, name="small", sizes=SIZES, deep=False, rate: float):
    return units
def anything(input_shape, n_classes, **settings):
    return settings
"""


@pytest.fixture
def read(tmp_path):
    def go(source=SOURCE, spec="my_models.py:build"):
        (tmp_path / "my_models.py").write_text(source)
        return read_own_model(spec, tmp_path)

    return go


@pytest.fixture
def trial(read):
    return Trial(read())


def test_parameters(read):
    """The parameters of the function are read with their plain default values; nothing is run."""
    model = read()
    assert model.parameters == ("units", "dropout", "name", "sizes", "deep", "rate")
    assert model.settings == {"units": 16, "dropout": 0.2, "name": "small", "deep": False}
    assert model.required == model.missing == ("rate",)
    assert model.change(rate=0.5).missing == ()
    assert SOURCE not in repr(model)


def test_settings(trial):
    """The parameters are settings of a trial, beside those of training and input."""
    changed = trial.change(units=np.int64(8), sizes=[1, [2.5, "a"]], optimizer="sgd", colour=True)
    assert changed.architecture.settings["units"] == 8
    assert changed.architecture.settings["sizes"] == (1, (2.5, "a"))
    assert (changed.training.optimizer, changed.input.colour) == ("sgd", True)
    assert trial.change(units=16) == trial, "the default value"
    assert changed.change(epochs=5).effective().training.patience is None
    assert len({trial, changed, trial.change(units=16)}) == 2
    require_settings("a", {"units": 3, "dropout": [0.1, 0.2], "epochs": 4}, trial)


def test_any_settings(read):
    """A function that takes `**settings` takes any name and any value of TOML."""
    trial = Trial(read(spec="my_models.py:anything")).change(depth=3, table={"a": [1, 2], "b": {"c": True}})
    assert trial.architecture.settings == {"depth": 3, "table": {"a": (1, 2), "b": {"c": True}}}
    with pytest.raises(ConfigError, match="input_shape"):
        trial.change(input_shape=(1, 1, 1))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"unit": 3},
            r"one of the settings augmentation, .*, units, weight_decay\. Received: 'unit'\. Did you mean 'units'\?",
        ),
        ({"filters": (1,)}, "Received: 'filters'"),
        ({"n_classes": 3}, "Received: 'n_classes'"),
        ({"units": float("nan")}, "Expected units to be .* a finite number"),
        ({"units": [1, float("inf")]}, "a finite number"),
        ({"units": {1: 2}}, "Expected units to be"),
        ({"units": object()}, "Expected units to be"),
        ({"epochs": 0}, "epochs"),
    ],
)
def test_wrong_settings(trial, changes, words):
    with pytest.raises(ConfigError, match=words) as caught:
        trial.change(**changes)
    with pytest.raises(ConfigError):
        require_settings("a", changes, trial)
    assert "\n" not in str(caught.value)


def test_equal_numbers_of_other_types(trial):
    """In Python, 1, 1.0 and True are equal; a function may treat them differently."""
    trials = [trial.change(units=value) for value in (1, 1.0, True)]
    assert len(set(trials)) == 3
    assert len({Run(trial, 1, "d", "s").digest for trial in trials}) == 3


def test_digest(read):
    """A changed comment makes another model; other line ends, a byte order mark or another file name do not."""
    model = read()
    assert read(SOURCE.replace("mine", "yours")) != model
    assert read("\ufeff" + SOURCE.replace("\n", "\r\n")) == model
    assert read(spec="my_models.py:anything") != model
    runs = [Run(Trial(read(source)), 1, "d", "s").digest for source in (SOURCE, SOURCE + "# more\n")]
    assert runs[0] != runs[1]


def test_canonical_form(trial):
    """A stored trial is equal to the one that made it, but holds no code."""
    trial = trial.change(units=3, sizes=[1, 2], rate=0.5)
    form = json.loads(json.dumps(trial.canonical()))
    assert form["architecture"] == {
        "file": trial.architecture.digest,
        "function": "build",
        "settings": {"units": 3, "dropout": 0.2, "name": "small", "sizes": [1, 2], "deep": False, "rate": 0.5},
    }
    stored = Trial.from_canonical(form)
    assert stored == trial
    assert hash(stored) == hash(trial)
    assert stored.architecture.source == ""
    assert stored.change(units=4) == trial.change(units=4)
    assert stored.effective() == trial.effective()
    assert pickle.loads(pickle.dumps(trial)).architecture.source == trial.architecture.source
    assert trial.for_images(10) is trial


@pytest.mark.parametrize("form", [{"function": "f"}, {"function": "f", "file": "d", "settings": [1]}])
def test_wrong_canonical_form(form):
    with pytest.raises(ConfigError, match="the settings of a trial"):
        Trial.from_canonical({"architecture": form, "training": {}, "input": {}})


def test_reserved_parameters(read):
    """A parameter cannot have the name of a setting of training or input: the setting would be meant."""
    model = read("def build(input_shape, n_classes, epochs=3, colour=1): pass")
    with pytest.raises(ConfigError, match=r"Received: epochs, colour\. Rename them in my_models\.py"):
        Trial(model)


DEF = "def build(input_shape, n_classes): pass\n"


@pytest.mark.parametrize(
    ("spec", "source", "words"),
    [
        ("my_models.py", DEF, "a file and a function, as 'my_models.py:build'"),
        (":build", DEF, "a file and a function"),
        ("my_models.py:", DEF, "a file and a function"),
        ("my_models.py:a.b", DEF, "a file and a function"),
        ("other.py:build", DEF, "no file there"),
        (".:build", DEF, "no file there"),
        ("my_models.py\0:build", DEF, "no file there"),
        ("my_models.py:built", DEF, r"Received: build\. Did you mean 'build'\?"),
        ("my_models.py:build", "build = 3", "a file without functions"),
        ("my_models.py:build", "class build: pass", "a file without functions"),
        ("my_models.py:build", DEF + "x = (1,\n", r"Expected Python in my_models\.py\. Received: .* in line 2"),
        ("my_models.py:build", DEF + "-" * 500_000 + "1", "nested too deeply"),
        ("my_models.py:build", DEF + "x\0", "Python in"),
        ("my_models.py:build", "#" * 1_000_001, "at most 1,000,000 bytes"),
        (
            "my_models.py:build",
            "def build(shape, n_classes): pass",
            r"Received: build\(shape, n_classes\) in .* line 1",
        ),
        ("my_models.py:build", "def build(input_shape, n_classes, /): pass", "take all by name"),
        ("my_models.py:build", "def build(input_shape, n_classes, *a): pass", "take all by name"),
    ],
)
def test_wrong_file(read, spec, source, words):
    with pytest.raises(ConfigError, match=words) as caught:
        read(source, spec)
    assert "\n" not in str(caught.value)


def test_other_files(tmp_path):
    """A file that is no text, a pipe or a device is refused and its content is not shown."""
    (tmp_path / "a.py").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_own_model("a.py:build", tmp_path)
    os.mkfifo(tmp_path / "pipe.py")
    with pytest.raises(ConfigError, match="no file there"):
        read_own_model("pipe.py:build", tmp_path)
    (tmp_path / "secret").write_text("password: hunter2 !")
    with pytest.raises(ConfigError) as caught:
        read_own_model("secret:build", tmp_path)
    assert "hunter2" not in str(caught.value)
