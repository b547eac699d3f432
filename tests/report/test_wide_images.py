"""Colour images that are not square, from their files to a report, its model and a prediction."""

import json
import pickle
import subprocess
import sys

import nbformat
import numpy as np
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from conftest import ROOT

pytestmark = pytest.mark.slow

HEIGHT, WIDTH, N_CLASSES = 24, 40, 3
STUDY = """\
title = "Wide images"
start = { filters = [4], dense_units = 4 }

[[stage]]
name = "dense"
vary = "dense_units"
values = [6]

[[stage]]
name = "colour"
incumbent = false
[stage.trials]
plain = { colour = true }
flipped = { colour = true, augmentation = "flip-crop" }
"""


def cnnlab(*words):
    done = subprocess.run(
        [sys.executable, "-m", "cnnlab", *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def write_images(folder):
    """Two batches in the format of CIFAR-10: a bar at another place for each class, in another colour."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, number in (("data_batch_1", 120), ("test_batch", 60)):
        labels = np.arange(number) % N_CLASSES
        images = rng.integers(0, 120, (number, HEIGHT, WIDTH, 3), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[:, 10 * label + 5 : 10 * label + 12, label] += 120
        (folder / name).write_bytes(pickle.dumps({b"data": images, b"labels": labels.tolist()}, protocol=2))


def test_images_that_are_not_square_get_a_report_and_a_model_on_their_colours(engine, tmp_path):
    write_images(tmp_path / "images")
    (tmp_path / "mine.toml").write_text(STUDY)
    out = tmp_path / "out"
    words = ["--profile", "smoke", "--seeds", 2, "--train", 60, "--study", tmp_path / "mine.toml"]
    words += ["--scheduler", engine.address]
    cnnlab("report", *words, "--data", tmp_path / "images", "--runs", tmp_path / "runs", "--report", out)
    manifest = json.loads((out / "manifest.json").read_bytes())
    assert manifest["missing"] == {}
    assert manifest["model"]["stage"] == "colour"
    card = (out / "model-card.md").read_text()
    assert f"shape (n, {HEIGHT}, {WIDTH}, 3)" in card
    assert f"needs no cropping (height to width as {HEIGHT} to {WIDTH}, upright, opaque)" in card
    page = BeautifulSoup((out / "index.html").read_text(encoding="utf-8"), "html.parser")
    settings = {row.dt.get_text(): row.dd.get_text() for row in page.select("dl.settings div")}
    assert settings["images"] == f"colour, {HEIGHT} x {WIDTH}"
    assert f"keras.Input(({HEIGHT}, {WIDTH}, 3))" in page.select_one("details.keras").get_text()
    assert "the first model (on gray images)" in page.select_one("header").get_text()
    chapter = next(path for path in (out / "notebooks").glob("*-comparison.ipynb"))
    shown = [cell for cell in nbformat.read(chapter, as_version=4).cells if cell.get("outputs")]
    assert not any(output.output_type == "error" for cell in shown for output in cell.outputs)
    Image.fromarray(np.full((90, 30, 3), 128, np.uint8)).save(tmp_path / "high.png")
    answer = cnnlab("predict", tmp_path / "high.png", "--model", out / "model.keras", "--json").stdout
    [prediction] = json.loads(answer)
    assert list(prediction["probabilities"]) == ["0", "1", "2"]
