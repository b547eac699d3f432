"""Trials of the user's own in a stage: changed settings, and models that functions of a notebook build."""

import re
from dataclasses import replace

import nbclient
import nbformat
import pytest
from keras import Input, Model, layers

from cnnlab import models
from cnnlab.errors import ConfigError
from cnnlab.report import plots, words
from cnnlab.study import Trial
from cnnlab.tuning import Tuning
from cnnlab.tuning.advice import budget_notes, has_not_learned
from cnnlab.tuning.advice.edges import find_edge
from cnnlab.tuning.halving import Dropped

pytestmark = pytest.mark.slow

FILTERS = 3


def small(input_shape, n_classes, filters=FILTERS, rate=0.1):
    images = Input(input_shape)
    x = layers.Conv2D(filters, 3, strides=4, activation="relu")(images)
    x = layers.Dropout(rate)(layers.Flatten()(x))
    return Model(images, layers.Dense(n_classes, activation="softmax", dtype="float32")(x))


def linear(input_shape, n_classes):
    images = Input(input_shape)
    return Model(images, layers.Dense(n_classes, activation="softmax")(layers.Flatten()(images)))


def compiled(input_shape, n_classes):
    model = linear(input_shape, n_classes)
    model.compile("sgd", "mse")
    return model


def no_layer(input_shape, n_classes):
    return layers.Dens(n_classes)


def with_epochs(input_shape, n_classes, epochs=3):
    return linear(input_shape, n_classes)


@pytest.fixture(scope="module")
def tuning(folder, tmp_path_factory, shared_engine):
    budget = {"stages": ["base", "dense", "colour"], "seeds": 2, "train": 100}
    trials = {"dense": "32", "colour": "without augmentation"}
    study = Tuning(folder, tmp_path_factory.mktemp("runs"), "smoke", budget=budget, trials=trials)
    study.engine = study._runner._engine = shared_engine
    return study


@pytest.fixture(scope="module")
def tried(tuning):
    return tuning.compare_custom_trials("dense", {"96": {"dense_units": 96}, "small": small, "linear": linear})


def test_a_function_is_a_trial_with_the_incumbents_other_settings(tuning, tried):
    incumbent, own = tuning.incumbent(tried.stage), tried.trial("small").settings
    assert (own.training, own.input) == (incumbent.training, incumbent.input)
    assert own.architecture.settings == {"filters": 3, "rate": 0.1}
    built = small((32, 32, 1), 10)
    assert {record.params for record in tried.records("small")} == {built.count_params()}
    assert "small" not in tuning.result("dense").records_by_trial


def test_its_runs_are_stored_and_found_by_its_code_and_values(tuning, tried, monkeypatch):
    made = set(tuning.made)
    again = tuning.compare_custom_trials("dense", {"other name": small})
    assert again.records("other name") == tried.records("small")
    assert tuning.made == made
    monkeypatch.setitem(globals(), "FILTERS", 4)
    other = tuning.compare_custom_trials("dense", {"small": small})
    assert len(tuning.made - made) == 2, "a global variable that it uses has changed"
    assert {record.digest for record in other.records("small")} == tuning.made - made


def test_a_function_that_is_edited_while_runs_are_made_is_as_it_was_at_the_call(tuning, tried, monkeypatch):
    incumbent, settings = tuning.incumbent, {"dense_units": 96}

    def edit(stage):
        monkeypatch.setitem(globals(), "FILTERS", 5)
        settings["dense_units"] = 97
        return incumbent(stage)

    monkeypatch.setattr(tuning, "incumbent", edit)
    again = tuning.compare_custom_trials("dense", {"small": small, "96": settings})
    assert FILTERS == 5
    assert all(again.records(name) == tried.records(name) for name in ("small", "96"))


def test_its_records_are_read_as_those_of_any_trial(tuning, tried):
    for record in tried.records("small"):
        trial = Trial.from_canonical(record.trial)
        assert trial == tried.trial("small").settings
        assert tuning.store.get(record.digest) == record


@pytest.mark.parametrize("selected", ["64", "small"])
def test_it_stands_beside_built_in_architectures(tuning, tried, selected):
    """Every text, table and plot of a stage works, also where it is the selected trial."""
    result = replace(tried, decision=replace(tried.decision, selected=selected))
    shown = [words.trials_table(tuning, result), words.settings_table([result]), words.runs_table([result])]
    assert all("small" in html.data for html in shown)
    assert all("small" in plot.alt for plot in (plots.scores(result), plots.curves(result.records_by_trial)))
    assert words.stage_intro(tuning, result).data
    assert words.decision_details(result).data
    assert words.overfitting_summary(result).data
    assert words.classification_report(tuning, result)
    assert {note.kind for note in budget_notes(tuning, result)} >= {"last-epoch"}
    assert has_not_learned(tuning, result).keys() <= result.records_by_trial.keys()
    assert find_edge(result) is None
    code = words.code_change(tuning, result).data
    assert ("def small(" in code, "FILTERS = 3" in code) == ((selected == "small"),) * 2


def test_its_keras_code_has_its_source(tried):
    code = models.keras_code(tried.trial("small").settings, (32, 32, 1), 10)
    assert "\nFILTERS = 3\n" in code
    assert "def small(input_shape, n_classes, filters=FILTERS, rate=0.1):\n" in code
    assert "    small(\n        input_shape=(32, 32, 1)," in code


def test_values_that_halving_dropped_do_not_suit_it(tuning, tried):
    dropped = tuple(Dropped(spec.name, 0.1, 0.2, 1) for spec in tried.stage.trials[:1])
    result = replace(tried, dropped=dropped, decision=replace(tried.decision, selected="small"))
    assert find_edge(result) is None


def test_in_a_colour_stage_it_gets_colour_images(tuning, tried):
    colour = tuning.compare_custom_trials("colour", {"small": small, "96": {"dense_units": 96}})
    assert {record.params for record in colour.records("small")} == {small((32, 32, 3), 10).count_params()}
    assert all(trial.settings.input.colour for trial in colour.trials)
    assert "small" in words.trials_table(tuning, colour).data
    assert "The same network" in words.gray_and_colour_scores(tuning.result("dense"), colour).data
    gray = replace(tried, decision=replace(tried.decision, selected="small"))
    shown = words.gray_and_colour_scores(gray, colour).data
    assert "The same network" in shown
    assert words.gray_and_colour_scores(gray, tuning.result("colour")).data.startswith("No trial of this stage has")


@pytest.mark.parametrize(
    ("mine", "message"),
    [
        ({"a": compiled}, r"Expected compiled in test_custom\.py to return an uncompiled .* a compiled model"),
        ({"a": small, "b": no_layer}, r"AttributeError in the line `return layers\.Dens\(n_classes\)`: "),
        ({"a": with_epochs}, "Expected other names for the parameters of with_epochs .* Received: epochs. Rename"),
        ({"a": linear((4, 4, 1), 2)}, "Received: an object of the type Functional. Give the function itself"),
        ({"dropout": 0.2}, r"Give the trial a name: \{'my trial': \{'dropout': 0\.2\}\}\."),
        (small, r"Give the trial a name: \{'my trial': small\}\."),
        ({"64": small}, "Expected a name that no trial of dense has. Received: '64'"),
        ({"": small}, "Expected a name of one line"),
    ],
)  # fmt: skip
def test_a_mistake_in_it_is_one_line_before_any_run(tuning, tried, mine, message):
    made = set(tuning.made)
    with pytest.raises(ConfigError, match=message) as caught:
        tuning.compare_custom_trials("dense", mine)
    assert str(caught.value).isprintable()
    assert tuning.made == made


CELLS = [
    """
from dataclasses import dataclass
import keras
from cnnlab.tuning import Tuning
tuning = Tuning({data!r}, {runs!r}, "smoke", budget={{"stages": "base", "train": 60, "val": 20, "test": 20}})
@dataclass
class Sizes:
    filters: int = 2
""",
    """
@keras.saving.register_keras_serializable()
class Noise(keras.layers.Layer):
    def call(self, x, training=False):
        return x + keras.random.normal(keras.ops.shape(x)) if training else x

def build(input_shape, n_classes):
    x = images = keras.Input(input_shape)
    x = keras.layers.Conv2D(Sizes().filters, 3, strides=8)(Noise()(x))
    return keras.Model(images, keras.layers.Dense(n_classes, activation="softmax")(keras.layers.Flatten()(x)))
""",
    'tuning.compare_custom_trials("base", {{"mine": build}}).records("mine")[0].params',
    "def build(input_shape, n_classes):\n    return layers.Dense(3)",
    'tuning.compare_custom_trials("base", {{"mine": build}})',
]


def test_a_function_of_a_notebook_runs_on_workers(folder, tmp_path):
    """In a real kernel: its classes have no file, and its workers are other processes."""
    cells = [nbformat.v4.new_code_cell(cell.format(data=str(folder), runs=str(tmp_path))) for cell in CELLS]
    book = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(book, timeout=300, kernel_name="python3", allow_errors=True).execute()
    results = [[output for output in cell.outputs if output.output_type != "stream"] for cell in book.cells]
    assert results[:2] == [[], []]
    assert int(results[2][0].data["text/plain"]) == 20 + 10 * (2 * 16 + 1)
    (error,) = results[4]
    assert re.sub(r"\x1b\[[\d;]*m", "", "\n".join(error.traceback)).startswith(
        "cnnlab: Expected each name in build to be defined. Received: 'layers', which is not."
    )
