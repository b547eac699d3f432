"""The command line: help with examples, errors in one line."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from cnnlab import data, report, study, surroundings
from cnnlab.cli import main
from cnnlab.data import sample
from cnnlab.records import RunStore
from cnnlab.study import Budget, Trial
from conftest import make_record, write_report


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project, which is the working directory too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(surroundings, "project_folder", lambda: tmp_path)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "03-stage.ipynb").touch()
    return tmp_path


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.mark.parametrize(
    "command",
    [
        ["report"],
        ["plan"],
        ["run"],
        ["predict"],
        ["diff"],
        ["data", "sample"],
        ["data", "fetch"],
        ["data", "gray"],
        ["data", "check"],
        ["study", "new"],
        ["study", "check"],
        ["study", "show"],
        ["runs"],
    ],
)
def test_every_command_has_help_with_an_example(command):
    answer = call(*command, "--help")
    assert answer.exit_code == 0
    assert "Example: cnnlab" in answer.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["report", "--profile", "slow"], "Expected a profile named smoke, quick, laptop, full. Received: 'slow'."),
        (["run", "--protocol", "own"], "Expected a protocol named corrected, published. Received: 'own'."),
        (["report", "--data", "nowhere"], "Expected a data folder. Received: 'nowhere'"),
        (["data", "check", "nowhere"], "Expected a data folder."),
        (["diff", "nowhere", "notebooks"], "Expected the folder of a report, with manifest.json."),
        (["predict", "image.png"], "Expected a model. Received: 'reports/quick/model.keras', which is no file."),
        (["data", "gray", "nowhere"], "Expected a data folder. Received: 'nowhere'"),
        (["report", "--seeds", "0"], "Expected SEEDS to be a whole number of at least 1. Received: 0."),
        (["report", "--epochs", "x"], "Expected EPOCHS to be a whole number of at least 1. Received: 'x'."),
        (["run", "--patience", "-1"], "Expected PATIENCE to be a whole number of at least 1. Received: '-1'."),
        (["run", "--train", "1e3"], "Expected TRAIN to be a whole number of at least 1. Received: '1e3'."),
        (["run", "--val", ""], "Expected VAL to be a whole number of at least 1. Received: ''."),
        (["run", "--test", "9" * 5000], "Expected TEST to be a whole number of at least 1. Received: '999"),
        (["run", "--train", "²"], "Expected TRAIN to be a whole number of at least 1. Received: '²'."),
        (["run", "--splits", "random"], "Expected splits to be one of resampled, fixed. Received: 'random'."),
        (["report", "--stages", "base,dens"], "Expected a stage named base, depth,"),
        (["report", "--skip", "all"], "Expected a stage named base, depth,"),
        (["report", "--study", "nowhere.toml"], "Expected a study file at 'nowhere.toml'. Received: No such file"),
        (["report", "--study", "notebooks"], "Expected a study file at 'notebooks'. Received: Is a directory"),
        (["study", "check", "nowhere.toml"], "Expected a study file at 'nowhere.toml'. Received: No such file"),
        (["study", "show", "nowhere.toml"], "Expected a study file at 'nowhere.toml'. Received: No such file"),
        (["report", "--study", "recipes"], "The built-in studies are published, recipe. Did you mean 'recipe'?"),
        (["study", "show", "./recipe"], "Expected a study file at 'recipe'. Received: No such file"),
        (["study", "new", "mine.toml", "--from", "quick"], "Received: 'quick'"),
        (["study", "new", "no/folder/mine.toml"], "No such file or directory"),
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
    (project / "notebooks" / "03-stage.ipynb").unlink()
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


def test_a_tilde_that_the_shell_leaves_is_the_users_folder_and_an_empty_path_is_an_error(project, monkeypatch):
    monkeypatch.setenv("HOME", str(project / "home"))
    assert f"{project / 'home' / 'images'}'" in call("data", "check", "~/images").output
    assert "'~no-such-user/images'" in call("data", "check", "~no-such-user/images").output.replace(f"{project}/", "")
    done = call("runs", "--runs", "")
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert "Expected a path for RUNS. Received: an empty one." in done.output


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


def test_check_says_in_its_first_line_what_was_read(tmp_path):
    for number in range(60):
        path = tmp_path / "photos" / ("owl" if number % 3 else "bat") / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (24, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    answer = call("data", "check", tmp_path / "photos")
    assert answer.exit_code == 0, answer.output
    assert answer.output.splitlines()[0] == (
        "read: folders of classes, 48 training and 12 test images of 24 x 30, 2 classes, no test part: a fifth of the "
        "images is held out to test on"
    )
    files = [path.name for path in sorted((tmp_path / "photos").rglob("*.png"))]
    table = pd.DataFrame({"file": files, "label": ["bat", "owl"] * 30, "burst": [row // 4 for row in range(60)]})
    table.assign(split=["train"] * 40 + ["val"] * 8 + ["test"] * 12).to_csv(tmp_path / "labels.csv", index=False)
    assert call("data", "check", tmp_path).output.splitlines()[0] == (
        "read: images with a table, 40 training, 8 validation and 12 test images of 24 x 30, 2 classes, 12 groups to "
        "train and validate on, which stay together"
    )


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
    assert "images: Test images that are also training images: 100 of 100 (" in answer.output
    assert re.search(r"Pairs: training image (\d+) and test image \1; ", answer.output)
    kinds = answer.output.rpartition("(ACCEPT=")[2].partition(")")[0]
    assert kinds.startswith("test-copies")
    assert "images:" not in call("data", "check", tmp_path, "--profile", "smoke", "--accept", kinds).output
    unknown = call("data", "check", tmp_path, "--accept", "copies")
    assert (unknown.exit_code, unknown.output.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    "words", [("report",), ("run",), ("plan",), ("study", "check", "published"), ("data", "check", ".")]
)
def test_a_size_that_is_none_is_an_error_of_one_line(project, words):
    answer = call(*words, "--size", "48 by 64")
    assert (answer.exit_code, answer.output.count("\n")) == (2, 1)
    assert "Expected a size of 8 to 512 pixels, as 48, or 48x64 (height x width)" in answer.output


def test_gray_writes_the_batches_of_an_archive(folder, tmp_path):
    shutil.copy(folder / data.ARCHIVE, tmp_path)
    assert call("data", "gray", tmp_path).exit_code == 0
    assert not data.load(tmp_path).derived_gray
    assert data.load(tmp_path).gray.digest == data.load(folder).gray.digest


def test_a_sample_can_be_made_anywhere(tmp_path):
    assert call("data", "sample", tmp_path / "new" / "sample").exit_code == 0
    assert call("data", "check", tmp_path / "new" / "sample").exit_code == 0


EXAMPLE = 'start = {{ filters = [4] }}\n[[stage]]\nname = "dense"\nvary = "dense_units"\nvalues = [{}]\n'


@pytest.mark.parametrize(
    ("source", "stages"), [([], "2 stages"), (["--from", "published"], "15 stages"), (["--from", "recipe"], "3 stages")]
)
def test_a_new_study_file_passes_its_check_and_an_existing_one_is_kept(project, folder, source, stages):
    assert call("study", "new", "mine.toml", *source).output.startswith(
        "mine.toml: change it, then .venv/bin/cnnlab study check mine.toml\n"
    )
    content = (project / "mine.toml").read_bytes()
    checked = call("study", "check", "mine.toml", "--data", folder)
    assert checked.exit_code == 0, checked.output
    assert f"mine.toml: {stages}, " in checked.output.splitlines()[-1]
    assert checked.output.endswith("No errors.\n")
    again = call("study", "new", "mine.toml", *source)
    assert (again.exit_code, again.output.count("\n")) == (2, 1)
    assert "'mine.toml', which exists" in again.output
    assert (project / "mine.toml").read_bytes() == content


def test_check_names_everything_that_is_wrong_with_a_study_in_a_line_each(project):
    (project / "mine.toml").write_text(
        'titel = "x"\n[[stage]]\nname = "a"\nvary = "dropuot"\nvalues = [0.1]\n'
        '[[stage]]\nname = "b"\nvary = "dense_units"\nvalues = [0]\n'
        '[[claim]]\nsays = "c"\nbetter = ["c", "d"]\nthan = ["a", "e"]\n'
    )
    answer = call("study", "check", "mine.toml")
    assert answer.exit_code == 2
    lines = answer.output.splitlines()
    assert all(line.startswith("cnnlab: mine.toml: ") for line in lines)
    for word in ("'titel'", "'dropuot'", "dense_units", "'c'"):
        assert any(word in line for line in lines), word
    assert len(lines) >= 4
    assert not (project / "data").exists(), "no sample is made"


def test_check_names_networks_that_are_too_deep_for_the_images(project, folder):
    blocks = ", ".join(["4"] * 6)
    (project / "deep.toml").write_text(EXAMPLE.format("8, 16").replace("[4]", f"[{blocks}]"))
    answer = call("study", "check", "deep.toml", "--data", folder)
    assert (answer.exit_code, answer.output.count("\n")) == (2, 3)
    assert answer.output.count("Received: 32 x 32.") == 3


def test_check_notes_what_has_no_effect_in_a_budget(project):
    (project / "mine.toml").write_text(
        '[[stage]]\nname = "long"\ntrials = { a = { epochs = 50 }, b = { epochs = 60 } }\n'
    )
    short, long = (call("study", "check", "mine.toml", "--epochs", number).output for number in (10, 100))
    assert short.count("it is equal to") == 2 or "has no effect" in short
    assert "EPOCHS" in short
    assert long == "mine.toml: 1 stage, 2 trials, 0 claims. No errors.\n"


def test_show_prints_stages_with_their_trials_and_parameters(project):
    (project / "mine.toml").write_text(EXAMPLE.format("8, 16"))
    shown = call("study", "show", "mine.toml")
    assert shown.exit_code == 0
    assert shown.output.splitlines()[0] == "CNN tuning study"
    assert "dense: Dense" in shown.output
    assert "dense_units = 16" in shown.output
    built_in = call("study", "show").output
    assert built_in == call("study", "show", "published").output
    for stage in study.STAGES:
        assert f"\n{stage.name}: {stage.question}\n" in built_in
    assert "72,842" in built_in


def test_a_built_in_study_is_named_as_it_is_and_has_a_report_of_its_own(project, folder, monkeypatch):
    checked = call("study", "check", "recipe", "--data", folder)
    assert checked.output == "recipe: 3 stages, 11 trials, 3 claims. No errors.\n"
    assert call("study", "show", "recipe").output.startswith("The same size with today's recipe\n")
    made = {}

    def make(tuning, out):
        made[out.name] = tuning.study.name
        return report.Report([], [], [])

    monkeypatch.setattr(report, "make", make)
    (project / "mine.toml").write_text(EXAMPLE.format("8, 16"))
    for named in ([], ["--study", "published"], ["--study", "recipe"], ["--study", "mine.toml"]):
        assert call("report", "--data", folder, *named).exit_code == 0
    assert made == {"quick": "published", "recipe": "recipe", "mine": "mine"}


def test_stored_runs_are_listed_and_removed_only_on_demand(project):
    store = RunStore(project / "runs")
    for seed in (1, 2):
        store.put(make_record(Trial(), seed), {"weight_000": np.zeros(1000)})
    store.put(make_record(Trial(), 3, code="0" * 64), {"weight_000": np.zeros(1000)})
    (project / "runs" / "notes.txt").write_text("mine")
    listed = call("runs", "--runs", "runs")
    assert listed.exit_code == 0
    assert "2 usable by this version" in listed.output
    assert "1 of other code or another format" in listed.output
    assert len(list((project / "runs").glob("*.run"))) == 3
    removed = call("runs", "--runs", "runs", "--remove", "unused")
    assert removed.output.startswith("Removed 1 files")
    assert "2 usable by this version" in removed.output
    assert call("runs", "--runs", "runs", "--remove", "some").exit_code == 2
    assert call("runs", "--runs", "runs", "--remove", "all").exit_code == 0
    assert [path.name for path in (project / "runs").iterdir() if path.is_file()] == ["notes.txt"]
    assert "0 usable" in call("runs", "--runs", "runs").output


def test_a_folder_without_stored_runs_is_listed_as_empty(project):
    assert "0 usable by this version" in call("runs").output
    assert not (project / "reports").exists()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the command is in this process
@pytest.mark.parametrize(
    ("words", "name"),
    [
        ([], "quick"),
        (["--profile", "smoke", "--epochs", "2"], "smoke"),
        (["--study", "mine.toml"], "mine"),
        (["--study", "mine.toml", "--report", "here"], "here"),
    ],
)
def test_a_report_has_the_name_of_its_study_or_else_of_its_profile(project, folder, monkeypatch, words, name):
    (project / "mine.toml").write_text(EXAMPLE.format("8"))
    asked = []
    monkeypatch.setattr(
        "cnnlab.report.make", lambda tuning, out: asked.append((tuning, out)) or report.Report([], [], [])
    )
    answer = call("report", *words, "--data", folder)
    assert answer.exit_code == 0, answer.output
    [(tuning, out)] = asked
    assert out == (project / "here" if name == "here" else project / "reports" / name)
    assert tuning.study.name == ("mine" if "--study" in words else "published")
    assert tuning.budget.epochs == (2 if "--epochs" in words else study.PROFILES["quick"].epochs)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the command is in this process
def test_every_option_of_a_study_reaches_it(project, folder, monkeypatch):
    (project / "mine.toml").write_text(EXAMPLE.format("8"))
    asked = []
    monkeypatch.setattr("cnnlab.report.make", lambda tuning, out: asked.append(tuning) or report.Report([], [], []))
    words = {"study": "mine.toml", "profile": "smoke", "data": folder, "runs": "store", "report": "out",
             "accept": "layout", "size": "32", "seeds": 4, "epochs": 5, "patience": 2, "train": "1_000", "val": 70,
             "test": 80, "stages": "dense", "precision": "mixed_bfloat16", "splits": "fixed"}  # fmt: skip
    options = [word for name, value in words.items() for word in (f"--{name}", value)]
    answer = call("report", *options, "--halving", "--fresh", "--trust")
    assert answer.exit_code == 0, answer.output
    [tuning] = asked
    assert tuning.budget == Budget(
        "smoke", 4, 5, 1000, 70, 80, patience=2, precision="mixed_bfloat16", halving=True, splits="fixed", search=2
    )
    assert tuning.scope.asked == {"dense"}
    assert tuning.images.accepted == {"layout"}
    assert tuning.images.size == (32, 32)
    assert (tuning.store.path, tuning.trust) == (project / "store", True)


def test_diff_prints_settings_that_differ_and_scores_that_moved(tmp_path):
    for side, keras, shift in (("a", "3.15.1", 0.0), ("b", "3.16.0", 0.2)):
        scores = {"base": [0.5, 0.51, 0.52], "dense": [0.6 + shift, 0.61 + shift, 0.62 + shift]}
        write_report(tmp_path / side, {"base": "base", "dense": "128"}, scores, keras=keras)
    answer = call("diff", tmp_path / "a", tmp_path / "b")
    assert answer.exit_code == 0
    assert "versions.keras: 3.15.1 -> 3.16.0" in answer.output
    assert "base: base\n    0.510 -> 0.510, +0.000: same" in answer.output
    assert "0.610 -> 0.810, +0.200 (+0.177 to +0.223): moved" in answer.output


@pytest.mark.parametrize("command", ["", "report", "predict", "data", "study new", "study show", "runs"])
def test_help_loads_no_keras_and_no_dask(command):
    code = (
        f"import sys; from cnnlab.cli import main; main({[*command.split(), '--help']}, standalone_mode=False); "
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
