"""A study is read from a TOML file; what is wrong with the file is one line."""

import os
import re
import time
from pathlib import Path

import pytest

from cnnlab.errors import ConfigError, StudyError
from cnnlab.study import (
    BUNDLED,
    PROFILES,
    STAGES,
    Claim,
    built_in,
    bundled,
    is_bundled,
    name_or_file,
    new_text,
    notes,
    parse,
    published_choice,
    published_fits,
    published_stages,
    read,
)

MINE = Path("mine.toml")
EXAMPLE = """
title = "Dropout for flower photos"
images = "Photos of three kinds of flowers"          # one line, shown in the report
start = { filters = [32, 64, 128], convs_per_block = 2, padding = "same", batch_norm = true }

[[stage]]
name = "dropout"
question = "How much dropout?"
why = "..."                                          # optional
vary = "dropout"
values = [0.1, 0.2, 0.3]                             # trials are named by value; one number: that rate everywhere

[[stage]]
name = "patience"
trials = { short = { patience = 2 }, long = { patience = 10, epochs = 40 } }

[[stage]]
name = "rate-and-batch"
grid = { learning_rate = [0.001, 0.0003], batch_size = [32, 64] }

[[claim]]
says = "Dropout of 0.2 helps."
better = ["dropout", "0.2"]
than = ["dropout", "incumbent"]
by = 0.0
"""
STAGE = "[[stage]]\nname = 'a'\n"


def trials_of(text):
    """The names and settings of the trials of the last stage."""
    return {trial.name: dict(trial.changes) for trial in parse(text, MINE).stages[-1].trials}


def problems_of(path):
    with pytest.raises(StudyError) as caught:
        read(path)
    assert len(str(caught.value).splitlines()) == 1
    return caught.value.problems


@pytest.fixture
def write(tmp_path):
    def go(content, name="mine.toml"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return go


def test_example(write):
    study = read(write(EXAMPLE))
    assert (study.name, study.title, study.images) == (
        "mine", "Dropout for flower photos", "Photos of three kinds of flowers",
    )  # fmt: skip
    assert study.base.change(**study.start).architecture.filters == (32, 64, 128)
    dropout, patience, grid = study.stages
    assert (dropout.question, dropout.why, dropout.title) == ("How much dropout?", "...", "Dropout")
    assert (patience.question, patience.why, patience.title) == ("", "", "Patience")
    assert grid.title == "Rate and batch"
    assert {trial.name: trial.changes for trial in dropout.trials} == {
        "0.1": {"dropout": 0.1}, "0.2": {"dropout": 0.2}, "0.3": {"dropout": 0.3},
    }  # fmt: skip
    assert study.base.change(**dropout.trials[1].changes).architecture.dropout == (0.2,) * 4
    assert {trial.name: trial.changes for trial in patience.trials} == {
        "short": {"patience": 2}, "long": {"patience": 10, "epochs": 40},
    }  # fmt: skip
    assert {trial.name: trial.changes for trial in grid.trials} == {
        "0.001/32": {"learning_rate": 0.001, "batch_size": 32},
        "0.001/64": {"learning_rate": 0.001, "batch_size": 64},
        "0.0003/32": {"learning_rate": 0.0003, "batch_size": 32},
        "0.0003/64": {"learning_rate": 0.0003, "batch_size": 64},
    }
    assert study.claims == (Claim("Dropout of 0.2 helps.", ("dropout", "0.2"), ("dropout", "incumbent"), 0.0),)
    assert all(stage.keeps_incumbent for stage in study.stages)
    assert not any(trial.expensive for stage in study.stages for trial in stage.trials)
    assert (study.is_built_in, study.mistakes, study.text) == (False, (), EXAMPLE)


@pytest.mark.parametrize(
    ("vary", "values", "names"),
    [
        ("filters", "[[16, 32], [8]]", ["16-32", "8"]),
        ("dropout", "[[0.1, 0.2, 0.3, 0.4], 0.5, [], 0]", ["0.1-0.2-0.3-0.4", "0.5", "none", "0"]),
        ("batch_norm", "[true, false]", ["true", "false"]),
        ("learning_rate", "[1e-2, 0.0001, 1]", ["0.01", "0.0001", "1"]),
        ("optimizer", "['sgd', 'Adam']", ["sgd", "Adam"]),
        ("patience", "[2, 'none']", ["2", "none"]),
    ],
)
def test_names_of_trials(vary, values, names):
    """A trial has the name of its value."""
    assert list(trials_of(f"{STAGE}vary = '{vary}'\nvalues = {values}")) == names


def test_patience_without_an_end():
    assert trials_of(f"{STAGE}vary = 'patience'\nvalues = [2, 'none']")["none"] == {"patience": None}
    assert parse(f"start = {{ patience = 'none' }}\n{STAGE}", MINE).start == {"patience": None}


def test_stage_of_few_words():
    """A name is enough: such a stage runs the incumbent alone. A title of one's own stands as it is."""
    [stage] = parse("[[stage]]\nname = 'all-so_far.2'\ntitle = 'All so   far'\nincumbent = true", MINE).stages
    assert (stage.name, stage.title, stage.trials) == ("all-so_far.2", "All so far", ())
    study = parse(STAGE + "incumbent = false\nvary = 'epochs'\nvalues = [1, 2]\nexpensive = ['2']", MINE)
    assert not study.stages[0].keeps_incumbent
    assert [trial.expensive for trial in study.stages[0].trials] == [False, True]
    assert (study.title, study.images, study.claims) == ("CNN tuning study", "", ())


def test_claims_about_the_final_model():
    claim = "[[claim]]\nsays = '''It\n learns.'''\nbetter = ['final', 'selected']\nthan = ['a', 'selected']\nby = -1"
    assert parse(STAGE + claim, MINE).claims == (Claim("It learns.", ("final", "selected"), ("a", "selected"), -1.0),)


def test_built_in_study():
    """It is the study of 14 stages with the trials, claims and mistakes that it has had from the beginning."""
    study = built_in()
    assert study.is_built_in
    assert [stage for stage in study.stages if not stage.search] == list(STAGES)
    names = {stage.name: " ".join(trial.name.replace(" ", "_") for trial in stage.trials) for stage in STAGES}
    assert names == {
        "base": "base",
        "depth": "two",
        "filters": "16-32-64 32-64-128 64-128-256 128-256-512",
        "dropout": "0.5-0.5-0.5-0.5 0.2-0.3-0.4-0.5 0.3-0.4-0.5-0.6 0.2-0.3-0.4-0.3 0.3-0.4-0.5-0.3",
        "batchnorm": "batch_normalisation",
        "dense": "32 64 128 256 512",
        "activation": "relu/relu tanh/tanh sigmoid/sigmoid relu/tanh",
        "optimizer": "sgd rmsprop adagrad adadelta adam adamax nadam",
        "learning-rate": "0.1 0.01 0.001 0.0001 0.0002 0.0003 0.0004 0.0005",
        "batch-size": "16 32 64 128",
        "loss": "sparse_categorical_crossentropy mean_squared_logarithmic_error mean_squared_error hinge kl_divergence",
        "combination": "",
        "augmentation": "none flip-shift",
        "colour": "without_augmentation flip-shift",
    }
    assert [stage.name for stage in study.stages if not stage.keeps_incumbent] == ["base", "colour"]
    expensive = [trial.name for stage in study.stages for trial in stage.trials if trial.expensive]
    assert expensive == ["64-128-256", "128-256-512"]
    assert all(stage.title and stage.question and stage.why for stage in study.stages)
    assert len(study.claims) == 10
    assert [mistake.name for mistake in study.mistakes] == [
        "dropout-tied", "last-weights", "sparse-loss-mse", "sparse-loss-kl", "loss-batch", "aug-unused",
        "aug-confounded", "colour", "misnamed-choice", "chosen-against-rule", "shift-unit", "label-encoder",
    ]  # fmt: skip
    assert dict(study.stage("depth").trials[0].changes) == {"convs_per_block": 2, "padding": "same"}
    trial = study.base.change(**study.start)
    assert (trial.architecture.filters, trial.architecture.padding) == ((32, 64, 64), "valid")


def test_published_figures_fit_the_built_in_study():
    """The 51 fits are of its trials, and each published choice is one of them."""
    assert len(published_fits()) == 51
    assert list(published_stages()) == [stage.name for stage in STAGES]
    for fit in published_fits():
        trials = {trial.name: trial.changes for trial in built_in().stage(fit.stage).trials}
        assert fit.trial in trials.keys() | {"unchanged"}
    choices = {stage.name: published_choice(stage.name) for stage in STAGES}
    assert choices == {
        "base": "base", "depth": "two", "filters": "32-64-128", "dropout": "0.3-0.4-0.5-0.3",
        "batchnorm": "batch normalisation", "dense": "128", "activation": "relu/tanh", "optimizer": "adam",
        "learning-rate": "0.0004", "batch-size": "32", "loss": "sparse_categorical_crossentropy",
        "combination": "unchanged", "augmentation": "flip-shift", "colour": "without augmentation",
    }  # fmt: skip


def test_studies_with_which_cnnlab_comes(write, tmp_path, monkeypatch):
    """Each is read by its name, even where a file has this name, and a copy of its file is that study."""
    monkeypatch.chdir(tmp_path)
    for name in BUNDLED:
        write("no study", name)
        study = read(name)
        assert study is bundled(name)
        assert (study.name, is_bundled(study)) == (name, True)
        assert read(write(study.text, "copy.toml")) is study
    assert not is_bundled(parse(EXAMPLE, Path("recipe.toml").with_stem("mine")))
    assert [read(name).is_built_in for name in BUNDLED] == [True, False]
    assert name_or_file(built_in(), "x.toml") == ""
    assert name_or_file(bundled("recipe"), "x.toml") == "recipe"
    assert name_or_file(parse(EXAMPLE, MINE), "x.toml") == "x.toml"


def test_a_name_of_no_study(tmp_path):
    """The error names the built-in studies; that of a missing file does not."""
    [problem] = problems_of(tmp_path / "recipes")
    assert problem.endswith("The built-in studies are published, recipe. Did you mean 'recipe'?")
    [problem] = problems_of(tmp_path / "recipe.toml")
    assert problem.endswith("`cnnlab study new FILE` writes one.")


def test_a_file_with_the_name_of_the_recipes_report(write):
    [problem] = problems_of(write(EXAMPLE, "recipe.toml"))
    assert problem.startswith("Expected a file with another name than runs, smoke, quick, laptop, full, recipe, which")


@pytest.mark.parametrize("source", ["", *BUNDLED])
def test_new_text(write, source):
    """What `cnnlab study new` writes has comments, can be read, and gives rise to no notes."""
    text = new_text(source)
    study = read(write(text))
    assert text.startswith("# ")
    assert not study.is_built_in
    assert notes(study, PROFILES["laptop"]) == []
    assert not is_bundled(study)
    if source:
        copied = bundled(source)
        assert (study.stages, study.claims, study.start) == (copied.stages, copied.claims, copied.start)
        assert study.mistakes == ()


def test_new_text_of_an_unknown_study():
    with pytest.raises(ConfigError, match="Expected the study to start from to be one of published, recipe"):
        new_text("mine")


def test_copy_of_the_built_in_study(write):
    """It is the built-in study under any name and with any line ends, until something in it is changed."""
    text = built_in().text
    for content in (text, text.replace("\n", "\r\n"), "\ufeff" + text):
        assert read(write(content, "copy.toml")) is built_in()
    [first, second] = problems_of(write(text + "# mine\n"))
    assert "'published'. Only the published study has it: delete it." in first
    assert "'mistake'. Only the published study has it: delete it." in second


def test_other_line_ends_and_a_byte_order_mark(write):
    plain = read(write(EXAMPLE))
    other = read(write("\ufeff" + EXAMPLE.replace("\n", "\r\n")))
    assert (plain.stages, plain.claims, plain.digest) == (other.stages, other.claims, other.digest)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe[", "Expected UTF-8. Received: invalid start byte at byte 0."),
        (b"title = '\xe9'\n", "Expected UTF-8. Received: invalid continuation byte at byte 9."),
        (b"\x00", "Expected TOML."),
        ("title = 'x'\n[[stage]\n", "Expected TOML. Received: .*line 2"),
        ("title = \n", "Expected TOML. Received: .*line 1"),
        ("a = 1\ra = 2\n", "Expected TOML. Received: .*line 1"),
        ("a = 1\na = 2\n", "Expected TOML. Received: .*line 2"),
        ("a = 2020-13-01\n", "Expected TOML. Received: "),
        (STAGE * 2 + "x = '\x07'", "Expected TOML. Received: .*line 5"),
        ("a = " + "[" * 100_000, "Expected TOML. Received: "),
        ("a = " + "{ a = " * 100_000, "Expected TOML. Received: "),
        ("a = " + "9" * 5_000, "Expected TOML. Received: "),
        ("start = { dense_units = 0x" + "f" * 5_000 + " }", "a whole number of more than 64 bits"),
        ("start = { dense_units = 9223372036854775808 }", "a whole number of more than 64 bits"),
        ("start." + ".".join("a" * 400_000) + " = 1", "a key of more than 20 parts"),
        ("[" + " . ".join(["'a'"] * 100_000) + "]", "a key of more than 20 parts"),
        ("#" * 2_000_000, "Expected at most 1,000,000 bytes. Received: more."),
        ("", "Expected at least one .*stage.*Received: none."),
        ("# nothing\r\n", "Expected at least one .*stage.*Received: none."),
    ],
)
def test_wrong_file(write, content, words):
    """Found in a moment, however long the file is."""
    started = time.process_time()
    [problem] = problems_of(write(content))
    assert time.process_time() - started < 5
    assert re.search(words, problem)


def test_no_file(tmp_path, write):
    for path, reason in (
        (tmp_path / "missing.toml", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (tmp_path / "no\0name", "embedded null byte"),
        (write("") / "mine.toml", "Not a directory"),
    ):
        [problem] = problems_of(path)
        assert problem.startswith("Expected a study file at ")
        assert f"Received: {reason}. `cnnlab study new FILE` writes one." in problem
    os.mkfifo(tmp_path / "pipe.toml")
    assert "not a file" in problems_of(tmp_path / "pipe.toml")[0]
