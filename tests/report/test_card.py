"""A model's card says what its numbers say, and nothing that they do not."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from nbconvert.filters import markdown2html
from PIL import Image

from cnnlab import models, report
from cnnlab.cli import main
from cnnlab.evidence import Scores
from cnnlab.records import RunStore
from cnnlab.report import card
from cnnlab.study import PROFILES, PROTOCOLS, Architecture, Trial
from conftest import make_arrays, make_record, make_result

QUICK, CORRECTED = PROFILES["quick"], PROTOCOLS["corrected"]
LABELS = np.array([0, 0, 0, 1])
PROBS = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]], np.float32)
SMALL = Trial(architecture=Architecture(filters=(4,), dense_units=3))


def card_of(result, trial=None, seed=1, interval=(0.51, 0.69), labels=LABELS, protocol=CORRECTED, **changes):
    scores = {"val_f1": 0.75, "test_f1": 0.625, "test_accuracy": 0.5}
    record = make_record(trial or Trial(), seed, scores=scores, **changes)
    return card.markdown(result, record, labels, PROBS, QUICK, protocol, interval=interval)


def test_a_card_says_what_the_model_is_and_how_it_was_fitted():
    trial = Trial().change(
        filters=(32, 64), convs_per_block=2, padding="same", dropout=(0.3, 0.4, 0.2), batch_norm=True,
        batch_norm_momentum=0.9, dense_units=128, dense_activation="tanh", optimizer="adamax", loss="hinge", epochs=7,
    )  # fmt: skip
    told = card_of(make_result("base", base=(0.5,)), trial, params=12_345, provenance={"keras": "3.15", "backend": "x"})
    for words in (
        "shape (n, 12, 12, 1). The division by 255 is its first layer.",
        "2 blocks of 2 convolutions (3x3, same padding, relu) with 32, 64 filters",
        "a dense layer of 128 (tanh)",
        "Dropout of 0.3, 0.4 after the poolings and 0.2 after the dense layer.",
        "Batch normalisation after every convolution and the dense layer (momentum 0.9).",
        "12,345 parameters.",
        "adamax, learning rate 0.001, batches of 64, loss `hinge` (one-hot labels), precision float32; "
        "augmentation: none.",
        "Epochs: 2, of at most 7 with a patience of 5. The weights are of epoch 2, the one with the lowest",
        "keras 3.15, backend x.",
        "20 images to train on, 6 to validate on, 10 to test on. Training and validation images were drawn",
        "Profile **quick**",
    ):
        assert words in told


def test_a_plain_model_is_not_given_what_it_has_not():
    trial = Trial().change(scale=False, restore_best_weights=False, patience=None)
    told = card_of(make_result("base", base=(0.5,)), trial, protocol=PROTOCOLS["published"])
    for words in (
        "They are used as they are.",
        "of 1 convolution (",
        "No dropout.",
        "No batch normalisation.",
        "loss `sparse_categorical_crossentropy`, precision",
        "Epochs: 2, of at most 500. The weights are of epoch 2, the last one.",
        "The validation images are from the last fifth",
    ):
        assert words in told


def test_a_card_gives_the_scores_of_its_run_and_of_all_runs_of_its_trial():
    result = make_result("dense", old=(0.2, 0.3, 0.1), new=(0.5, 0.6, 0.7))
    told = card_of(result, seed=3)
    assert "| `test_f1` | 0.625 | 0.600 ± 0.100 |" in told
    assert "its run with the best `val_f1` of 3, seed 3." in told
    assert "(n = 3 seeds)" in told
    assert "It is the best of 3 runs by `val_f1`" in told
    assert "over new seeds and new test images: 0.510 to 0.690." in told


def test_with_one_seed_a_card_says_that_nothing_is_known_of_another():
    told = card_of(make_result("base", base=(0.5,)))
    assert "| `val_f1` | 0.750 |\n" in told
    assert "One seed says nothing about how another would score." in told
    assert "best of" not in told


def test_each_class_has_its_f1_and_its_number_of_test_images():
    told = card_of(make_result("base", base=(0.5,)))
    assert "| a | 3 | 0.800 |\n| b | 1 | 0.667 |" in told
    assert "The rarest class has 1 test image," in told
    assert "is 0.750 on average; it is right in 0.750 of them" in told
    assert "There was no test image of b, whose F1 counts as 0." in card_of(
        make_result("base", base=(0.5,)), labels=np.zeros(4, int)
    )


def test_names_from_data_are_no_markup_in_a_card():
    names = ["<img src=x>|\n# [a](b)", "`*_~"]
    told = card_of(make_result("base", base=(0.5,)), data={"digest": "d", "class_names": names, "shape": [12, 12, 1]})
    assert "| &lt;img src=x&gt;&#124; # &#91;a&#93;(b) | 3 |" in told
    page = markdown2html(told)
    assert "<img" not in page
    assert "&lt;img src=x&gt;| # [a](b)</td>" in page
    assert "<td>`*_~</td>" in page


@pytest.fixture
def written(tmp_path):
    """A report's folder with a small model and its card, as a report writes them; and what writes them again."""
    store = RunStore(tmp_path / "runs")
    weights = models.build(SMALL.architecture, (12, 12, 1), 2, seed=1).get_weights()
    arrays = make_arrays(np.arange(6) % 2, np.arange(10) % 2, np.random.default_rng(0))
    arrays |= {f"weight_{number:03d}": value for number, value in enumerate(weights)}
    result = make_result("base", base=(0.5,))
    result.runs["base", 1] = store.put(make_record(SMALL), arrays)
    engine = SimpleNamespace(call=lambda function, *args, **kwargs: function(*args, **kwargs))
    scores = Scores(np.array([0.5]), np.zeros((1, 5)))
    tuning = SimpleNamespace(
        store=store, engine=engine, profile=QUICK, protocol=CORRECTED, scores=lambda found, part: scores
    )

    def write():
        about = report._write_model(tuning, [result], tmp_path)
        manifest = {"model": about, "data": {"classes": ["dark", "bright"]}}
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))

    write()
    return tmp_path, write


def test_a_card_and_its_model_are_left_as_they_are_and_made_again_where_one_is_lost(written):
    folder, write = written
    paths = folder / "model.keras", folder / "model-card.md"
    told, before = paths[1].read_text(encoding="utf-8"), [path.stat().st_mtime_ns for path in paths]
    assert told.startswith("# Model card: model.keras\n\nA classifier of grayscale images in 2 classes")
    write()
    assert [path.stat().st_mtime_ns for path in paths] == before
    paths[1].unlink()
    write()
    assert paths[1].read_text(encoding="utf-8") == told


def test_what_a_card_says_of_using_the_model_works(written, monkeypatch, capsys):
    folder, _ = written
    monkeypatch.chdir(folder)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12), dtype=np.uint8)
    Image.fromarray(pixels).save("image.png")
    command, example = re.findall(r"```\w*\n(.*?)```", (folder / "model-card.md").read_text(encoding="utf-8"), re.S)
    exec(example)
    name, probability = capsys.readouterr().out.splitlines()[-1].split()
    answer = CliRunner().invoke(main, [*command.replace("IMAGE", "image.png").split()[1:], "--json"])
    assert answer.exit_code == 0
    [said] = json.loads(answer.stdout)
    assert said["class"] == name
    assert said["probabilities"][name] == pytest.approx(float(probability), abs=1e-5)
