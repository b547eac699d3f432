"""The command line: help with examples, errors in one line."""

import os
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner

from cnnlab import data
from cnnlab.cli import main
from test_diff import write_report


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.mark.parametrize(
    "command",
    [
        ["report"],
        ["run"],
        ["predict"],
        ["diff"],
        ["data", "sample"],
        ["data", "fetch"],
        ["data", "gray"],
        ["data", "check"],
    ],
)
def test_every_command_has_help_with_an_example(command):
    answer = call(*command, "--help")
    assert answer.exit_code == 0
    assert "Example: cnnlab" in answer.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["report", "--profile", "slow"], "Expected a profile named smoke, quick, full. Received: 'slow'."),
        (["run", "--protocol", "own"], "Expected a protocol named corrected, published. Received: 'own'."),
        (["report", "--data", "nowhere"], "Expected a data folder. Received: 'nowhere'"),
        (["data", "check", "nowhere"], "Expected a data folder."),
        (["diff", "nowhere", "notebooks"], "Expected a report (with manifest.json) or a folder of stored runs."),
        (["predict", "image.png"], "Expected a model. Received: 'reports/quick/model.keras', which is no file."),
        (["data", "gray", "nowhere"], "which does not exist"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "02-stage.ipynb").touch()
    answer = call(*words)
    assert answer.exit_code == 2
    assert message in answer.output
    assert answer.output.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notebooks"], "nothing is half-written"


def test_a_reader_that_has_read_enough_is_no_error(folder):
    reads, writes = os.pipe()
    os.close(reads)
    words = [sys.executable, "-m", "cnnlab", "data", "check", folder]
    done = subprocess.run(words, stdout=writes, stderr=subprocess.PIPE, check=False)
    os.close(writes)
    assert b"cnnlab:" not in done.stderr


def test_a_broken_batch_ends_a_report_before_anything_is_written(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder, "images")
    (tmp_path / "images" / "train_batch2.pkl").write_bytes(b"spoilt")
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "02-stage.ipynb").touch()
    answer = call("report", "--data", "images", "--profile", "smoke")
    assert answer.exit_code == 2
    assert "train_batch2.pkl" in answer.output
    assert not (tmp_path / "reports").exists()


def test_outside_the_projects_folder_a_report_says_where_to_go(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = call("report", "--data", folder)
    assert answer.exit_code == 2
    assert "Run cnnlab in the project's folder" in answer.output


def test_check_says_what_a_folder_holds(folder):
    answer = call("data", "check", folder)
    assert answer.exit_code == 0
    assert "200 training and 100 test images of 32 x 32, 10 classes (zero, one" in answer.output
    assert "colour: 200" in answer.output


def test_gray_writes_the_luma_of_an_archive_as_batches(folder, tmp_path):
    shutil.copy(folder / data.ARCHIVE, tmp_path)
    assert call("data", "gray", tmp_path).exit_code == 0
    assert not data.load(tmp_path).derived_gray
    assert data.load(tmp_path).gray.digest == data.load(folder).gray.digest


def test_a_sample_can_be_made_anywhere(tmp_path):
    assert call("data", "sample", tmp_path / "new" / "sample").exit_code == 0
    assert call("data", "check", tmp_path / "new" / "sample").exit_code == 0


def test_diff_names_what_changed_and_what_moved(tmp_path):
    for side, keras, shift in (("a", "3.15.1", 0.0), ("b", "3.16.0", 0.2)):
        scores = {"base": [0.5, 0.51, 0.52], "dense": [0.6 + shift, 0.61 + shift, 0.62 + shift]}
        write_report(tmp_path / side, {"base": "base", "dense": "128"}, scores, keras=keras)
    answer = call("diff", tmp_path / "a", tmp_path / "b")
    assert answer.exit_code == 0
    assert "versions.keras: 3.15.1 -> 3.16.0" in answer.output
    assert "base: base\n    0.510 -> 0.510, +0.000: same" in answer.output
    assert "0.610 -> 0.810, +0.200 (+0.177 to +0.223): moved" in answer.output
