"""The card of a model says what its numbers say, and nothing more."""

import json
import re
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from nbconvert.filters import markdown2html
from PIL import Image

from cnnlab import models, report
from cnnlab.cli import main
from cnnlab.data import Dataset
from cnnlab.records import RunStore
from cnnlab.report import card
from cnnlab.study import PROFILES, PROTOCOLS, Architecture, Trial
from conftest import make_arrays, make_record, make_result

QUICK, CORRECTED = PROFILES["quick"], PROTOCOLS["corrected"]
LABELS = np.array([0, 0, 0, 1])
PROBS = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]], np.float32)
SMALL = Trial(architecture=Architecture(filters=(4,), dense_units=3))


IMAGES = np.zeros((4, 12, 12, 1), np.uint8)
DATASET = Dataset(IMAGES, LABELS, IMAGES, LABELS, ("a", "b"))


def card_of(
    result, trial=None, seed=1, interval=(0.51, 0.69), labels=LABELS, protocol=CORRECTED, dataset=DATASET, **changes
):
    scores = {"val_f1": 0.75, "test_f1": 0.625, "test_accuracy": 0.5}
    record = make_record(trial or Trial(), seed, scores=scores, **changes)
    return card.markdown(result, record, labels, PROBS, QUICK, protocol, dataset=dataset, interval=interval)


def test_a_card_describes_the_model_and_its_training():
    trial = Trial().change(
        filters=(32, 64), convs_per_block=2, padding="same", dropout=(0.3, 0.4, 0.2), batch_norm=True,
        batch_norm_momentum=0.9, dense_units=128, dense_activation="tanh", optimizer="adamax", loss="hinge", epochs=7,
    )  # fmt: skip
    content = card_of(
        make_result("base", base=(0.5,)), trial, params=12_345, provenance={"keras": "3.15", "backend": "x"}
    )
    for sentence in (
        "shape (n, 12, 12, 1). The first layer divides them by 255.",
        "2 blocks of 2 convolutions (3x3, same padding, relu) with 32, 64 filters",
        "a dense layer of 128 (tanh)",
        "Dropout of 0.3, 0.4 after the pooling layers and 0.2 after the dense layer.",
        "Batch normalisation after every convolution and the dense layer (momentum 0.9).",
        "12,345 parameters.",
        "adamax, learning rate 0.001, batches of 64, loss `hinge` (one-hot labels), precision float32; "
        "augmentation: none.",
        "Epochs: 2, of at most 7 with a patience of 5. The weights are those of epoch 2, which had the lowest",
        "keras 3.15, backend x.",
        "20 training images, 6 validation images and 10 test images. Training and validation images were drawn",
        "Profile **quick**",
    ):
        assert sentence in content


def test_a_card_of_a_plain_model_is_shorter():
    trial = Trial().change(scale=False, restore_best_weights=False, patience=None)
    content = card_of(make_result("base", base=(0.5,)), trial, protocol=PROTOCOLS["published"])
    for sentence in (
        "The model does not rescale them.",
        "of 1 convolution (",
        "No dropout.",
        "No batch normalisation.",
        "loss `sparse_categorical_crossentropy`, precision",
        "Epochs: 2, of at most 500. The weights are those of epoch 2, the last one.",
        "The validation images are from the last fifth",
    ):
        assert sentence in content


def test_a_card_names_todays_ingredients_in_words():
    trial = Trial().change(
        head="average", dropout=0.2, batch_norm=True, batch_norm_momentum=0.9, optimizer="sgd", learning_rate=0.4,
        schedule="one-cycle", momentum=0.9, weight_decay=5e-4, label_smoothing=0.1, averaging=0.99,
        augmentation="flip-crop",
    )  # fmt: skip
    content = card_of(make_result("base", base=(0.5,)), trial)
    for sentence in (
        "each followed by 2x2 max pooling; the mean of each channel (global average pooling); softmax.\n",
        "- Dropout of 0.2, 0.2, 0.2 after the pooling layers and 0.2 after the mean.\n",
        "- Batch normalisation after every convolution (momentum 0.9).\n",
        "- Trained with sgd with Nesterov momentum 0.9, learning rate 0.4 (one-cycle), weight decay 0.0005, batches of "
        "64, loss `sparse_categorical_crossentropy` (label smoothing 0.1), precision float32; augmentation: flips, and "
        "random crops after a black border of 4 pixels is added.\n",
        "which had the lowest `val_loss`. Each is a moving average, with 0.99 of the past at each step.\n- Run `",
    ):
        assert sentence in content
    assert "dense layer" not in content


def test_a_card_leaves_out_settings_without_an_effect():
    content = card_of(make_result("base", base=(0.5,)), Trial().change(momentum=0.9, loss="hinge", label_smoothing=0.1))
    assert "Trained with adam, learning rate 0.001, batches of 64, loss `hinge` (one-hot labels), precision" in content
    assert "momentum" not in content
    assert "smoothing" not in content
    assert "moving average" not in content


def test_a_card_has_the_scores_of_its_run_and_of_all_runs_of_its_trial():
    result = make_result("dense", old=(0.2, 0.3, 0.1), new=(0.5, 0.6, 0.7))
    content = card_of(result, seed=3)
    assert "| `test_f1` | 0.625 | 0.600 ± 0.100 |" in content
    assert "its run with the best `val_f1` of 3 runs, seed 3." in content
    assert "(n = 3 seeds)" in content
    assert "It is the best of 3 runs by `val_f1`" in content
    assert "over new seeds and new test images: 0.510 to 0.690." in content


def test_one_seed_says_nothing_about_other_seeds():
    content = card_of(make_result("base", base=(0.5,)))
    assert "| `val_f1` | 0.750 |\n" in content
    assert "One seed says nothing about the scores of other seeds." in content
    assert "best of" not in content


def test_a_card_has_the_f1_of_each_class_and_its_number_of_test_images():
    content = card_of(make_result("base", base=(0.5,)))
    assert "| a | 3 | 0.800 |\n| b | 1 | 0.667 |" in content
    assert "The rarest class has 1 test image," in content
    assert "the predicted class is 0.750; 0.750 of the predictions are right" in content
    assert "There was no test image of b: the macro-F1 is the mean of the other classes." in card_of(
        make_result("base", base=(0.5,)), labels=np.zeros(4, int)
    )


def test_a_card_says_where_the_parts_come_from():
    result = make_result("base", base=(0.5,))
    usual = card_of(result)
    assert "drawn from the training files, test images from the test files, each with the share of each class" in usual
    given = replace(DATASET, given_val=np.array([1]), is_test_held_out=True, groups=np.array([0, 0, 1, 2]))
    content = card_of(result, dataset=given)
    for sentence in (
        "Validation images were drawn from those that the files name, training images from the other ones, test images "
        "from all files, each with the share of each class. The files have no test part: a fifth",
        "The files name the validation images, so they are the same for all seeds.",
        "The files name 3 groups of training images",
        "the files name the validation images, and all others are training images; each stage",
    ):
        assert sentence in content


def test_a_card_of_a_model_for_colour_images_says_so():
    about = {"digest": "d", "class_names": ["a", "b"], "shape": [12, 12, 3]}
    content = card_of(make_result("base", base=(0.5,)), Trial().change(colour=True), data=about)
    assert "A classifier of colour images" in content
    assert "All of these images were in colour, of 12 x 12 pixels." in content
    assert '.convert("RGB")' in content
    assert "model.predict(pixels[None])[0]" in content
    selected_on_gray = "The stages before *colour* selected its settings on grayscale images."
    assert selected_on_gray not in content
    assert selected_on_gray in card_of(make_result("colour", plain=(0.5,)), Trial().change(colour=True), data=about)
    gray = card_of(make_result("base", base=(0.5,)))
    assert "All of these images were gray, of 12 x 12 pixels." in gray
    assert '.convert("L")' in gray
    assert "model.predict(pixels[None, ..., None])[0]" in gray


def test_names_from_data_are_no_markup():
    names = ["<img src=x>|\n# [a](b)", "`*_~"]
    content = card_of(
        make_result("base", base=(0.5,)), data={"digest": "d", "class_names": names, "shape": [12, 12, 1]}
    )
    assert "| &lt;img src=x&gt;&#124; # &#91;a&#93;(b) | 3 |" in content
    page = markdown2html(content)
    assert "<img" not in page
    assert "&lt;img src=x&gt;| # [a](b)</td>" in page
    assert "<td>`*_~</td>" in page


@pytest.fixture
def written(tmp_path):
    """The folder of a report with a small model and its card, and a function that writes them again."""
    store = RunStore(tmp_path / "runs")
    weights = models.build(SMALL.architecture, (12, 12, 1), 2, seed=1).get_weights()
    arrays = make_arrays(np.arange(6) % 2, np.arange(10) % 2, np.random.default_rng(0))
    arrays |= {f"weight_{number:03d}": value for number, value in enumerate(weights)}
    result = make_result("base", base=(0.5,))
    result = replace(result, trials=(replace(result.trials[0], settings=SMALL),))
    result.runs["base", 1] = store.put(make_record(SMALL), arrays)
    engine = SimpleNamespace(call=lambda function, *args, **kwargs: function(*args, **kwargs))
    images = SimpleNamespace(has_given_val=False, dataset=lambda _colour: DATASET)
    tuning = SimpleNamespace(store=store, engine=engine, images=images, budget=QUICK, protocol=CORRECTED)

    def write():
        about = report.write_model(tuning, [result], tmp_path)
        manifest = {"model": about, "data": {"classes": ["dark", "bright"]}}
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))

    write()
    return tmp_path, write


def test_a_card_and_its_model_are_written_again_only_if_one_is_missing(written):
    folder, write = written
    paths = folder / "model.keras", folder / "model-card.md"
    content, before = paths[1].read_text(encoding="utf-8"), [path.stat().st_mtime_ns for path in paths]
    assert content.startswith("# Model card: model.keras\n\nA classifier of grayscale images in 2 classes")
    write()
    assert [path.stat().st_mtime_ns for path in paths] == before
    paths[1].unlink()
    write()
    assert paths[1].read_text(encoding="utf-8") == content


def test_a_model_of_a_command_that_was_stopped_is_replaced(written):
    folder, write = written
    paths = folder / "model.keras", folder / "model-card.md"
    content = paths[1].read_text(encoding="utf-8")
    for path in paths:
        path.write_bytes(b"of another study")
        write()
        assert zipfile.is_zipfile(paths[0])
        assert paths[1].read_text(encoding="utf-8") == content


def test_a_report_without_a_final_model_keeps_none_of_an_earlier_one(written):
    folder, _ = written
    assert report.write_model(None, [], folder) == {}
    assert not list(folder.glob("model*"))


def test_the_commands_of_a_card_work(written, monkeypatch, capsys):
    folder, _ = written
    monkeypatch.chdir(folder)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12), dtype=np.uint8)
    Image.fromarray(pixels).save("image.png")
    command, example = re.findall(r"```\w*\n(.*?)```", (folder / "model-card.md").read_text(encoding="utf-8"), re.S)
    exec(example)
    name, probability = capsys.readouterr().out.splitlines()[-1].split()
    answer = CliRunner().invoke(main, [*command.replace("IMAGE", "image.png").split()[1:], "--json"])
    assert answer.exit_code == 0
    [prediction] = json.loads(answer.stdout)
    assert prediction["class"] == name
    assert prediction["probabilities"][name] == pytest.approx(float(probability), abs=1e-5)
