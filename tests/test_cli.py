"""The command line: help with examples, errors in one line."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from cnnlab import data, surroundings
from cnnlab.cli import main
from cnnlab.data import sample
from conftest import write_report


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project, which is the working directory too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(surroundings, "project_folder", lambda: tmp_path)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "02-stage.ipynb").touch()
    return tmp_path


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
        (["diff", "nowhere", "notebooks"], "Expected the folder of a report, with manifest.json."),
        (["predict", "image.png"], "Expected a model. Received: 'reports/quick/model.keras', which is no file."),
        (["data", "gray", "nowhere"], "Expected a data folder. Received: 'nowhere'"),
    ],
)
def test_an_error_of_the_user_is_one_line_and_exit_code_2(words, message, project):
    answer = call(*words)
    assert answer.exit_code == 2
    assert message in answer.output.replace(f"{project}/", "")
    assert answer.output.count("\n") == 1
    assert sorted(path.name for path in project.iterdir()) == ["notebooks"], "nothing is written"


def test_a_closed_pipe_is_no_error(folder):
    read_end, write_end = os.pipe()
    os.close(read_end)
    words = [sys.executable, "-m", "cnnlab", "data", "check", folder]
    done = subprocess.run(words, stdout=write_end, stderr=subprocess.PIPE, check=False)
    os.close(write_end)
    assert b"cnnlab:" not in done.stderr


def test_a_broken_batch_ends_a_report_before_it_writes_anything(folder, project):
    shutil.copytree(folder, "images")
    (project / "images" / "train_batch2.pkl").write_bytes(b"broken")
    answer = call("report", "--data", "images", "--profile", "smoke")
    assert answer.exit_code == 2
    assert "train_batch2.pkl" in answer.output
    assert not (project / "reports").exists()


def test_a_report_without_notebooks_says_where_to_run_it(folder, project):
    (project / "notebooks" / "02-stage.ipynb").unlink()
    answer = call("report", "--data", folder)
    assert answer.exit_code == 2
    assert "Run cnnlab in the project's folder" in answer.output


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "Free space there"),
        (errno.EDQUOT, "Free space there"),
        (errno.EROFS, "Name a folder that can be written"),
        (errno.EACCES, "Allow cnnlab to write there"),
        (errno.ENAMETOOLONG, "Name a shorter path"),
        (errno.ENOENT, "Check the name, or make the folder"),
        (errno.ENOTDIR, "A file has the name of a folder"),
        (errno.EMFILE, "Allow more open files"),
        (errno.ESTALE, "Check that folder"),
    ],
)
def test_the_advice_about_a_file_fits_its_error(project, monkeypatch, number, advice):
    def fail(*_):
        raise OSError(number, os.strerror(number), "some/file")

    monkeypatch.setattr(sample, "write", fail)
    answer = call("data", "sample")
    assert answer.exit_code == 2
    assert answer.output.count("\n") == 1
    assert f"{os.strerror(number)}: 'some/file'. {advice}" in answer.output
    assert ("Free space" in answer.output) == (number in (errno.ENOSPC, errno.EDQUOT))


def test_a_users_relative_path_starts_in_the_working_directory_and_a_default_in_the_project(project, monkeypatch):
    (project / "elsewhere").mkdir()
    monkeypatch.chdir(project / "elsewhere")
    assert call("data", "sample", "mine").exit_code == 0
    assert call("data", "sample").exit_code == 0
    assert (project / "elsewhere" / "mine").is_dir()
    assert (project / "data" / "sample").is_dir()


def test_letters_that_a_terminal_lacks_are_escaped(project):
    words = [sys.executable, "-m", "cnnlab", "data", "sample", "mäuse-猫"]
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(words, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == "mäuse-\\u732b\n".encode("latin-1")


def test_check_describes_a_folder(folder):
    answer = call("data", "check", folder)
    assert answer.exit_code == 0
    assert "200 training and 100 test images of 32 x 32, 10 classes (zero, one" in answer.output
    assert "colour: 200" in answer.output


def test_check_names_ten_classes_at_most(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 576), dtype=np.uint8)
    for name in ("train_batch1", "test_batch1"):
        labels = [f"class {row % 12:02d}" for row in range(60)]
        pd.DataFrame(pixels).assign(label=labels).to_pickle(tmp_path / f"{name}.pkl")
    assert "12 classes (class 00, class 01," in (shown := call("data", "check", tmp_path).output)
    assert "class 09 and 2 more), digest" in shown


def test_check_warns_until_a_warning_is_accepted(folder, tmp_path):
    images = data.load_gray_batches(folder)
    data.write_gray_batches(replace(images, test_images=images.train_images[:100]), tmp_path)
    answer = call("data", "check", tmp_path, "--profile", "smoke")
    assert answer.exit_code == 0
    assert "images: Test images that are also training images: 100 of 100." in answer.output
    kinds = answer.output.rpartition("(ACCEPT=")[2].partition(")")[0]
    assert kinds.startswith("test-copies")
    assert "images:" not in call("data", "check", tmp_path, "--profile", "smoke", "--accept", kinds).output
    unknown = call("data", "check", tmp_path, "--accept", "copies")
    assert (unknown.exit_code, unknown.output.count("\n")) == (2, 1)


def test_gray_writes_the_batches_of_an_archive(folder, tmp_path):
    shutil.copy(folder / data.ARCHIVE, tmp_path)
    assert call("data", "gray", tmp_path).exit_code == 0
    assert not data.load(tmp_path).derived_gray
    assert data.load(tmp_path).gray.digest == data.load(folder).gray.digest


def test_a_sample_can_be_made_anywhere(tmp_path):
    assert call("data", "sample", tmp_path / "new" / "sample").exit_code == 0
    assert call("data", "check", tmp_path / "new" / "sample").exit_code == 0


def test_diff_prints_settings_that_differ_and_scores_that_moved(tmp_path):
    for side, keras, shift in (("a", "3.15.1", 0.0), ("b", "3.16.0", 0.2)):
        scores = {"base": [0.5, 0.51, 0.52], "dense": [0.6 + shift, 0.61 + shift, 0.62 + shift]}
        write_report(tmp_path / side, {"base": "base", "dense": "128"}, scores, keras=keras)
    answer = call("diff", tmp_path / "a", tmp_path / "b")
    assert answer.exit_code == 0
    assert "versions.keras: 3.15.1 -> 3.16.0" in answer.output
    assert "base: base\n    0.510 -> 0.510, +0.000: same" in answer.output
    assert "0.610 -> 0.810, +0.200 (+0.177 to +0.223): moved" in answer.output


@pytest.mark.parametrize("words", [["--help"], ["report", "--help"], ["predict", "--help"], ["data", "--help"]])
def test_help_loads_no_keras_and_no_dask(words):
    code = (
        f"import sys; from cnnlab.cli import main; main({words}, standalone_mode=False); "
        "slow = {'keras', 'tensorflow', 'distributed', 'dask', 'matplotlib', 'papermill'} & {*sys.modules}; "
        "sys.exit(', '.join(slow) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


@pytest.mark.parametrize(
    ("fresh", "command"), [(False, "the same command"), (True, "the same command without --fresh")]
)
def test_ctrl_c_prints_how_to_continue(tmp_path, fresh, command):
    code = (
        "import os, pathlib, signal; from cnnlab.cli import long_work\n"
        f"with long_work(pathlib.Path('my-runs'), {fresh}): os.kill(os.getpid(), signal.SIGINT)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 128 + signal.SIGINT
    assert f"cnnlab: stopped. Finished runs are in 'my-runs'; {command}" in done.stderr
    assert "continues from there." in done.stderr


def test_warnings_about_stored_runs_are_one_line_each(tmp_path):
    code = (
        "import pathlib, warnings; from cnnlab.cli import long_work; from cnnlab.errors import RecordWarning\n"
        "with long_work(pathlib.Path('my-runs')): warnings.warn(RecordWarning('a.run is damaged'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines() == ["cnnlab: a.run is damaged"]
