"""The notebook that trains one model step by step: executed as a student would, in another working directory."""

import ast
from dataclasses import replace

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from cnnlab import data
from conftest import ROOT

CHECKS = """
assert np.isclose(macro_f1, sklearn_f1)
assert macro_f1 == val_f1(model)
assert same_layers
assert len({cnn.count_params() for cnn in built}) > 3
assert same_bits
assert worker_record.digest == record.digest
"""
SOLUTIONS = [
    """
longer, longer_history = train_model(make_cnn, seed=1, epochs=2 * epochs)
plot_curves(longer_history)
print(val_f1(longer) > macro_f1)
assert len(longer_history["loss"]) == 2 * epochs
""",
    """
again, _ = train_model(make_cnn, seed=1)
assert val_f1(again) == macro_f1
five = np.array([*scores, *(val_f1(train_model(make_cnn, seed)[0]) for seed in (4, 5))])
print(five.std(ddof=1) / np.sqrt(5), se)
""",
    """
bigger = [val_f1(train_model(make_cnn, seed, batch_size=256)[0]) for seed in (1, 2)]
print(bigger, np.ceil(n_train / 256), np.ceil(n_train / 64))
""",
    """
always = np.full(len(y_val), np.bincount(y_val).argmax())
always_f1 = f1_score(y_val, always, average="macro", labels=classes)
always_accuracy = np.mean(always == y_val)
assert np.isclose(always_f1, 2 * always_accuracy / (1 + always_accuracy) / len(classes))
""",
    """
def make_dropout_cnn():
    steps = []
    for layer in make_cnn().layers:
        steps.append(layer)
        if isinstance(layer, layers.MaxPooling2D) or (isinstance(layer, layers.Dense) and layer.units == 64):
            steps.append(layers.Dropout(0.3))
    return keras.Sequential([keras.Input(input_shape), *steps])

dropout_scores = [val_f1(train_model(make_dropout_cnn, seed)[0]) for seed in (1, 2, 3)]
dropout_se = np.std(dropout_scores, ddof=1) / np.sqrt(3)
print(np.mean(dropout_scores) - scores.mean(), 2 * np.sqrt(se**2 + dropout_se**2))
""",
    """
def make_cnn_2():
    blocks = []
    for filters in (32, 64, 64):
        blocks += [layers.Conv2D(filters, 3, padding="same", activation="relu") for _ in range(2)]
        blocks += [layers.MaxPooling2D(2)]
    return keras.Sequential([
        keras.Input(input_shape), *blocks, layers.Flatten(), layers.Dense(64, activation="relu"),
        layers.Dense(n_classes, activation="softmax"),
    ])

cnn_2 = models.cnn_2(input_shape=input_shape, n_classes=n_classes)
assert layers_of(make_cnn_2()) == layers_of(cnn_2)
mine, _ = train_model(make_cnn_2, 1)
theirs, _ = train_model(lambda: models.cnn_2(input_shape=input_shape, n_classes=n_classes), 1)
assert val_f1(mine) == val_f1(theirs)
""",
]


def execute(place, folder, checks):
    """Run the notebook in another working directory, on a folder of images, for one epoch, with checks at its end."""
    notebook = nbformat.read(ROOT / "notebooks" / "02-one-model.ipynb", as_version=4)
    [settings] = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    settings.source += f"\ndata, epochs = {str(folder)!r}, 1"
    notebook.cells += [nbformat.v4.new_code_cell(check) for check in checks]
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(place)}})
    client.execute()


def code_cells():
    notebook = nbformat.read(ROOT / "notebooks" / "02-one-model.ipynb", as_version=4)
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.slow
def test_it_runs_from_any_folder_and_what_it_says_is_so_and_each_exercise_can_be_solved(tmp_path, folder):
    assert sum(code.startswith("# Your code") for code in code_cells()) == len(SOLUTIONS)
    execute(tmp_path, folder, [CHECKS, *SOLUTIONS])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_it_runs_on_images_of_another_size_with_other_classes(tmp_path, gray):
    few = replace(
        gray,
        train_images=np.ascontiguousarray(gray.train_images[:, :24, :24]),
        test_images=np.ascontiguousarray(gray.test_images[:, :24, :24]),
        train_labels=gray.train_labels % 3,
        test_labels=gray.test_labels % 3,
    )
    data.write_gray_batches(few, tmp_path / "mine")
    execute(tmp_path, tmp_path / "mine", [CHECKS, SOLUTIONS[-1]])


def test_keras_and_scikit_learn_are_in_sight():
    """At least 45 lines belong to statements that use them: a function that builds a model counts as a whole."""
    words = ("keras", "layers.", "sklearn", "model.", "f1_score", "train_test_split", "_report", "Display")
    statements = [part for cell in code_cells() for part in ast.parse(cell).body]
    texts = [ast.unparse(part) for part in statements]
    lines = [
        part.end_lineno - part.lineno + 1
        for part, text in zip(statements, texts, strict=True)
        if any(word in text for word in words)
    ]
    assert sum(lines) >= 45
