"""The project's own files are in step with each other and pass their tools."""

import ast
import importlib
import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import cnnlab
from cnnlab.cli import main
from conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
DEV_LOCK = (ROOT / "requirements-dev.lock").read_text(encoding="utf-8")


def names(requirements):
    return {re.split(r"[<>=!\[ ;]", line)[0].replace("_", "-").lower() for line in requirements}


RUNTIME = names(PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["build"])
DEV = names(PROJECT["dependency-groups"]["dev"])


def locked(lock):
    """The packages of a lock file, each with its versions: more than one where they differ between Pythons."""
    versions = {}
    for name, version in re.findall(r"^([a-z0-9.-]+)==([^ ;\\]+)", lock, re.MULTILINE):
        versions.setdefault(name, set()).add(version)
    return versions


def test_each_dependency_is_in_its_lock_file():
    assert locked(LOCK).keys() >= RUNTIME
    assert locked(LOCK).keys() | locked(DEV_LOCK).keys() >= DEV


@pytest.mark.parametrize("lock", [LOCK, DEV_LOCK], ids=["runtime", "dev"])
def test_a_lock_file_gives_each_package_a_hash_and_no_address(lock):
    packages = re.findall(r"^[a-z0-9]", lock, re.MULTILINE)
    assert len(re.findall(r"^[a-z0-9.-]+==[^\n]*\\\n    --hash=sha256:", lock, re.MULTILINE)) == len(packages) > 0
    assert "://" not in lock
    assert "--index" not in lock


def test_the_two_lock_files_have_the_same_versions_of_the_packages_they_share():
    runtime, dev = locked(LOCK), locked(DEV_LOCK)
    for name in dev.keys() & runtime.keys():
        assert dev[name] == runtime[name], name


def test_the_installed_packages_are_those_of_the_lock_files_and_fit_together():
    versions = locked(DEV_LOCK) | locked(LOCK)
    for name in RUNTIME | DEV:
        assert importlib.metadata.version(name) in versions[name], name
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_report_needs_no_package_that_only_the_dev_lock_file_has():
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py")]
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        sources += ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    modules = set()
    for node in (node for source in sources for node in ast.walk(ast.parse(source))):
        if isinstance(node, ast.Import):
            modules |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            modules.add(node.module.partition(".")[0])
    packages = importlib.metadata.packages_distributions()
    needed = names(name for module in modules for name in packages.get(module, []))
    assert {"keras", "papermill"} <= needed, "the imports were read"
    assert not needed & (locked(DEV_LOCK).keys() - locked(LOCK).keys())


def test_make_installs_the_dev_lock_file_for_tests_and_checks_only():
    targets = dict(re.findall(r"^(\w+): \$\((READY\w*)\)", MAKEFILE, re.MULTILINE))
    assert {target for target, needs in targets.items() if needs == "READY"} == {
        "report",
        "plan",
        "runs",
        "lab",
        "data",
    }
    assert {target for target, needs in targets.items() if needs == "READY_DEV"} == {"test", "lint", "lock"}


def test_environment_yml_installs_what_a_report_needs_on_a_python_that_the_project_allows():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    python, _, pip = environment["dependencies"]
    assert pip == {"pip": ["-r requirements.lock"]}
    least, below = re.findall(r"\d\.(\d+)", PROJECT["project"]["requires-python"])
    assert int(least) <= int(re.fullmatch(r"python=3\.(\d+)", python)[1]) < int(below)


def test_the_version_is_the_same_everywhere():
    assert PROJECT["project"]["version"] == cnnlab.__version__
    assert f"## {cnnlab.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.name)
def test_notebooks_are_committed_without_outputs_and_with_tagged_parameters(path):
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)
    settings = sum("parameters" in cell["metadata"].get("tags", []) for cell in cells)
    assert settings == (path.name != "00-start.ipynb"), "the start page has nothing to set"


def test_make_lab_opens_a_page_that_leads_to_every_other_notebook():
    [start] = re.findall(r"jupyter lab .* (notebooks/\S+)", MAKEFILE)
    cells = json.loads((ROOT / start).read_text(encoding="utf-8"))["cells"]
    links = re.findall(r"\]\((\S+\.ipynb)\)", "".join(line for cell in cells for line in cell["source"]))
    others = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")} - {(ROOT / start).name}
    assert set(links) == others


@pytest.mark.parametrize(
    "tool",
    [["ruff", "format", "--check"], ["ruff", "check"], ["mypy"], ["lint-imports", "--no-logo", "--no-cache"]],
    ids=["format", "lint", "types", "imports"],
)
def test_the_code_passes_its_tools(tool):
    program, *options = tool
    done = subprocess.run(
        [Path(sys.executable).with_name(program), *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", ["cnnlab", "cnnlab.cli", "cnnlab.study", "cnnlab.records", "cnnlab.evidence",
                                    "cnnlab.tuning", "cnnlab.report", "cnnlab.report.words", "cnnlab.models.predict",
                                    "cnnlab.report.card"])  # fmt: skip
def test_nothing_imports_keras_or_dask_until_a_model_or_a_worker_is_needed(module):
    slow = ("keras", "tensorflow", "dask", "distributed")
    code = f"import sys, {module}; sys.exit(any(name in sys.modules for name in {slow}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_runs_without_notebooks_need_none_of_the_libraries_of_a_report():
    """So `cnnlab run` works on a machine that has only Keras, Dask and the usual numerical packages."""
    code = """
import sys
only_for_reports = {"IPython", "bs4", "cleanlab", "jinja2", "jupyter_client", "matplotlib", "nbconvert", "nbformat",
                    "nh3", "papermill", "requests", "tensorflow", "visualkeras"}
class Blocked:
    def find_spec(self, name, *_):
        if name.split(".")[0] in only_for_reports:
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
import cnnlab.cli
from cnnlab.tuning import Tuning, progress, run_study
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_number_of_workers_is_known_without_dask():
    """A report in which nothing has changed asks for it."""
    code = "import sys; from cnnlab.engine import Engine; print(Engine().size, 'distributed' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"[1-9]\d* False\n", done.stdout)


def test_make_lists_its_targets_and_variables():
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    for word in ("report", "plan", "runs", "test", "lab", "data", "lint", "lock", "clean"):
        assert f"make {word} " in done.stdout
    for word in VARIABLES:
        assert f"{word}=" in done.stdout


VARIABLES = re.findall(r"^([A-Z]+) \?=", MAKEFILE, re.MULTILINE)
VARIABLES.remove("PYTHON")
FLAGS = {"FRESH", "HALVING", "TRUST"}
VALUES = ["mine.toml", "a 'quoted' \"name\"", "$HOME $(HOME) ${HOME} `id`", "a; echo b", "ü\\n", "-x", "#a"]


def shown_command(target, *variables, **environment):
    """The words of the command that `make` would run, as the shell splits them."""
    words = ["make", "-n", "--old-file=.venv/.ready", target, *variables]
    clean = {name: value for name, value in os.environ.items() if name not in VARIABLES} | environment
    done = subprocess.run(words, cwd=ROOT, env=clean, capture_output=True, text=True, check=True)
    [line] = [line for line in done.stdout.splitlines() if "bin/cnnlab" in line]
    return shlex.split(line.partition("bin/cnnlab ")[2])


@pytest.mark.parametrize("where", ["command line", "environment"])
@pytest.mark.parametrize("value", VALUES)
def test_every_variable_reaches_the_command_letter_by_letter(where, value):
    for name in VARIABLES:
        if name in FLAGS:
            continue
        given = {name: value}
        target = "runs" if name == "REMOVE" else "report"
        words = (
            shown_command(target, *(f"{name}={value}" for name in given))
            if where == "command line"
            else shown_command(target, **given)
        )
        assert words[words.index(f"--{name.lower()}") + 1] == value, name


def test_flags_are_set_by_1_alone():
    for name in FLAGS:
        assert f"--{name.lower()}" in shown_command("report", f"{name}=1")
        for value in ("", "0", "no"):
            assert f"--{name.lower()}" not in shown_command("report", f"{name}={value}")


@pytest.mark.parametrize("words", [["STUDI=mine.toml"], ["study=mine.toml"], ["TRUST=yes"], ["HALVING=true"]])
def test_a_variable_that_make_does_not_know_is_an_error(words):
    done = subprocess.run(["make", "-n", "report", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    name, _, value = words[0].partition("=")
    assert done.returncode == 2
    assert f"Received: {value if name in FLAGS else name}" in done.stderr


def test_variables_that_are_not_set_leave_the_defaults_to_the_command():
    assert shown_command("report") == [
        "report", "--protocol", "corrected", "--data", "data/sample", "--profile", "quick", "--runs", "reports/runs",
        "--precision", "float32",
    ]  # fmt: skip
    assert shown_command("plan")[1:] == shown_command("report")[1:]
    assert shown_command("runs") == ["runs", "--runs", "reports/runs"]


@pytest.mark.parametrize("target", ["report", "plan", "runs"])
def test_every_option_that_make_gives_is_one_of_the_command(target):
    command = main.commands[target]
    options = {name for parameter in command.params for name in parameter.opts}
    flags = [f"{name}=1" for name in VARIABLES]
    given = {word for word in shown_command(target, *flags) if word.startswith("--")}
    assert given <= options
    if target != "runs":
        own = {"REMOVE", "REPORT"} if target == "plan" else {"REMOVE"}
        assert given == {f"--{name.lower()}" for name in VARIABLES if name not in own}


def test_make_clean_keeps_the_stored_runs_and_nothing_else_of_the_reports(tmp_path):
    for name in ("runs/a.run", "quick/index.html", "mine/runs/b", "index.html", "named/b.run"):
        (tmp_path / "reports" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "reports" / name).touch()
    (tmp_path / "data" / "sample").mkdir(parents=True)
    (tmp_path / "data" / "mine").mkdir()
    for _ in range(2):
        subprocess.run(["make", "-f", ROOT / "Makefile", "clean"], cwd=tmp_path, check=True)
        assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
            "data", "data/mine", "reports", "reports/named", "reports/named/b.run", "reports/runs",
            "reports/runs/a.run",
        ]  # fmt: skip
    subprocess.run(["make", "-f", ROOT / "Makefile", "clean"], cwd=tmp_path / "data", check=True)


def test_what_outside_code_may_import_is_there():
    names = ["data.load_gray_batches", "data.load_cifar10", "study.STAGES", "records.to_frame", "errors.CnnlabError"]
    for name in [*names, *(f"models.cnn_{number}" for number in range(1, 10))]:
        module, attribute = name.split(".")
        assert hasattr(importlib.import_module(f"cnnlab.{module}"), attribute)
