"""The user's settings for other programs, the home, the locale and the folders change nothing."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import pytest

from cnnlab import surroundings
from conftest import ROOT

OTHER_USER = 12345
"""A user that has no entry in the system's list."""
REPORT = ["report", "--profile", "smoke", "--stages", "base,augmentation,colour,learning-curve,search"]
"""Some of the stages: each report trains its models anew."""
TIMES = {"train_seconds", "cached"}
SECONDS = re.compile(r"<td>[\d,]+\.\d</td>")
"""A cell of a table with one decimal: seconds, or a mean number of epochs."""
STEP = re.compile(r"<li>(.*?) <em>\(.*?\)</em><br><code>.*?</code></li>")


def test_settings_of_other_programs_are_removed_and_those_that_count_are_kept(monkeypatch):
    settings = {
        "JUPYTER_PATH", "IPYTHONDIR", "MPLBACKEND", "MATPLOTLIBRC", "KERAS_MAX_EPOCHS", "DASK_TEMPORARY_DIRECTORY",
        "TF_ENABLE_ONEDNN_OPTS", "XLA_FLAGS", "OMP_NUM_THREADS", "PYTHONSTARTUP", "LC_NUMERIC", "LANG", "GIT_DIR",
    }  # fmt: skip
    kept = {"KERAS_BACKEND", "DASK_SCHEDULER_ADDRESS", "CUDA_VISIBLE_DEVICES", "PYTHONPATH", "PATH", "TMPDIR"}
    for name in settings | kept:
        monkeypatch.setenv(name, "value")
    surroundings.remove_settings()
    assert not settings & os.environ.keys()
    assert kept <= os.environ.keys()


def test_the_settings_for_dask_are_kept_for_a_remote_scheduler(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TLS__CA_FILE", "mine.pem")
    with surroundings.closed(keep_dask=True):
        assert os.environ["DASK_DISTRIBUTED__COMM__TLS__CA_FILE"] == "mine.pem"
        assert Path.home() == tmp_path, "~/.config/dask is read"
    with surroundings.closed():
        assert "DASK_DISTRIBUTED__COMM__TLS__CA_FILE" not in os.environ
        assert str(tmp_path) not in os.environ["DASK_CONFIG"]


def test_the_environment_and_the_disk_are_as_before_at_the_end():
    before = dict(os.environ)
    with surroundings.closed():
        folder = Path(os.environ["CNNLAB_FOLDER"])
        assert Path.home() == folder
        with surroundings.closed():
            assert os.environ["CNNLAB_FOLDER"] == str(folder)
    assert dict(os.environ) == before
    assert not folder.exists()


def test_a_command_killed_leaves_no_folder(tmp_path):
    code = (
        "import os, pathlib, signal; from cnnlab.cli import long_work\n"
        "with long_work(pathlib.Path('runs')): print(os.environ['CNNLAB_FOLDER'], flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    folder = Path(done.stdout.strip())
    assert folder.name.startswith("cnnlab-")
    assert not folder.exists()  # the guard holds the pipe of the output until it has removed the folder


def test_paths_start_in_the_project_wherever_a_command_or_a_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert surroundings.project_path("data/sample") == ROOT / "data" / "sample"
    assert surroundings.relative_path(ROOT / "reports" / "{a}") == "reports/{a}"
    assert surroundings.relative_path(tmp_path) == str(tmp_path)


def test_without_its_project_cnnlab_uses_that_of_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(surroundings, "__file__", str(tmp_path / "a" / "b" / "c" / "surroundings.py"))
    monkeypatch.chdir(tmp_path)
    assert surroundings.project_folder() == tmp_path
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "03-stage.ipynb").touch()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert surroundings.project_folder() == tmp_path


FILES = {
    ".config/matplotlib/matplotlibrc": "text.usetex: True\naxes.facecolor: black\nfont.size: 30\nsavefig.dpi: 20\n",
    ".keras/keras.json": json.dumps(
        {"floatx": "float16", "epsilon": 0.1, "image_data_format": "channels_first", "backend": "none"}
    ),
    ".config/dask/mine.yaml": """
distributed:
  comm: {require-encryption: true, tls: {ca-file: missing.pem}}
  scheduler: {idle-timeout: 1s, preload: [no_such_module]}
  worker: {lifetime: {duration: 3s}, preload: [no_such_module]}
  nanny: {preload: [no_such_module]}
""",
    ".ipython/profile_default/ipython_config.py": "c.InteractiveShell.ast_node_interactivity = 'none'\n",
    ".ipython/profile_default/startup/00-mine.py": "import builtins; builtins.len = None\n",
    "jupyter/kernels/python3/kernel.json": json.dumps(
        {"argv": ["false", "{connection_file}"], "display_name": "mine", "language": "python"}
    ),
    "jupyter/nbconvert/templates/basic/index.html.j2": "{% broken",
    "jupyter/jupyter_config.py": "raise SystemExit('mine')",
    "startup.py": "raise SystemExit('mine')",
}
"""A user's settings, each of which would change a report or end it."""


def unfriendly(place):
    """Write the settings to a home in a folder, and return the environment that names them."""
    for name, text in FILES.items():
        path = place / "home" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    shutil.copy(place / "home" / ".config" / "matplotlib" / "matplotlibrc", place)  # in the working directory
    temporary = place / ("t" * 100)
    temporary.mkdir()
    home, jupyter = place / "home", str(place / "home" / "jupyter")
    return {
        **os.environ,
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "JUPYTER_PATH": jupyter,
        "JUPYTER_DATA_DIR": jupyter,
        "JUPYTER_CONFIG_DIR": jupyter,
        "IPYTHONDIR": str(home / ".ipython"),
        "MATPLOTLIBRC": str(place / "matplotlibrc"),
        "MPLBACKEND": "module://no_such_module",
        "KERAS_HOME": str(home / ".keras"),
        "DASK_CONFIG": str(home / ".config" / "dask"),
        "DASK_DISTRIBUTED__SCHEDULER__IDLE_TIMEOUT": "1s",
        "PYTHONSTARTUP": str(home / "startup.py"),
        "PYTHONIOENCODING": "latin-1",
        "LC_ALL": "C",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "XLA_FLAGS": "--no_such_flag",
        "OMP_NUM_THREADS": "3",
    }


def same_text(content):
    """An output without what differs from place to place: seconds; the order, times and commands of the next steps."""
    if steps := STEP.findall(content):
        return "".join(sorted(steps))
    return SECONDS.sub("", content)


def outputs(report):
    """The outputs of each executed notebook, without times and paths: the text of tables, and pictures."""
    found = {}
    for path in sorted((report / "notebooks").glob("[0-9]*.ipynb")):
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        found[path.name] = [
            {
                kind: same_text(content) if isinstance(content, str) else content
                for kind, content in output.get("data", {}).items()
                if "widget" not in kind
            }
            for cell in cells
            for output in cell.outputs
        ]
    return found


def tables(report):
    """The rows of each table, without times."""
    found = {}
    for name in ("results", "decisions", "comparisons", "mistakes", "mistake-effects", "claims"):
        with (report / f"{name}.csv").open(newline="") as stream:
            found[name] = [
                {key: value for key, value in row.items() if key not in TIMES} for row in csv.DictReader(stream)
            ]
    return found


@pytest.fixture(scope="module")
def plain_report(folder, tmp_path_factory):
    """The folder of a report that is made without any of these settings."""
    place = tmp_path_factory.mktemp("plain")
    words = [*REPORT, "--data", str(folder), "--runs", str(place / "runs"), "--report", str(place / "out")]
    command = [sys.executable, "-m", "cnnlab", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return place / "out"


def check_same(report, plain):
    assert tables(report) == tables(plain)
    assert outputs(report) == outputs(plain)


@pytest.mark.slow
def test_a_report_is_the_same_in_all_surroundings_of_a_user(plain_report, folder, tmp_path):
    place = tmp_path / '{of} "a" user\'s $HOME ~ ü'
    place.mkdir()
    environment = unfriendly(place)
    shutil.copytree(folder, place / "data")
    words = [*REPORT, "--data", "data", "--runs", "runs", "--report", "out"]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "cnnlab", *words],
        cwd=place, env=environment, capture_output=True, encoding="latin-1", check=False, timeout=800,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    check_same(place / "out", plain_report)
    assert {path.name for path in place.iterdir()} == {"data", "home", "matplotlibrc", "out", "runs", "t" * 100}


@pytest.mark.slow
def test_a_report_of_a_user_without_name_and_home_is_the_same(plain_report, folder):
    if os.name == "nt" or os.getuid() != 0:
        pytest.skip("only root can start a process of another user")
    if not shutil.which("setpriv"):
        pytest.skip("there is no setpriv, of util-linux, to start a process of another user")
    # This Python may be in a folder of root: the other user may read everything, but write only what is its own.
    as_user = ["setpriv", f"--reuid={OTHER_USER}", f"--regid={OTHER_USER}", "--clear-groups"]
    as_user += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    if subprocess.run([*as_user, sys.executable, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip("another user cannot run this Python")
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        place, project = Path(name), Path(name) / "project {a}"
        environment = unfriendly(place)
        for part in ("src", "notebooks"):
            shutil.copytree(ROOT / part, project / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(folder, project / "data" / "sample")
        for path in (place, *place.rglob("*")):
            os.chown(path, OTHER_USER, OTHER_USER)
        del environment["HOME"]
        environment["PYTHONPATH"] = str(project / "src")
        done = subprocess.run(
            [*as_user, sys.executable, "-P", "-m", "cnnlab", *REPORT],
            cwd="/", env=environment, capture_output=True, text=True, check=False, timeout=800,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        check_same(project / "reports" / "smoke", plain_report)
