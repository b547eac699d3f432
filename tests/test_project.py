"""The project's own files are in step with each other and pass their tools."""

import importlib
import json
import re
import subprocess
import sys
import tomllib

import pytest
import yaml

import cnnlab
from conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def names(requirements):
    return {re.split(r"[<>=!\[ ;]", line)[0].replace("_", "-").lower() for line in requirements}


def test_the_lock_holds_every_dependency_with_hashes_and_no_addresses():
    locked = re.findall(r"^([a-z0-9.-]+)==", LOCK, re.MULTILINE)
    wanted = names(PROJECT["project"]["dependencies"]) | names(PROJECT["dependency-groups"]["dev"])
    assert wanted <= set(locked)
    assert len(re.findall(r"^[a-z0-9.-]+==[^\n]*\\\n    --hash=sha256:", LOCK, re.MULTILINE)) == len(locked)
    assert "://" not in LOCK
    assert "--index" not in LOCK


def test_what_the_lock_holds_is_what_is_installed():
    from importlib.metadata import version

    for name in names(PROJECT["project"]["dependencies"]):
        assert version(name) in re.findall(rf"^{re.escape(name)}==([^ ;\\]+)", LOCK, re.MULTILINE), name


def test_environment_yml_installs_the_same_lock_on_a_python_that_the_project_allows():
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
    [start] = re.findall(r"jupyter lab .* (notebooks/\S+)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    cells = json.loads((ROOT / start).read_text(encoding="utf-8"))["cells"]
    links = re.findall(r"\]\((\S+\.ipynb)\)", "".join(line for cell in cells for line in cell["source"]))
    others = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")} - {(ROOT / start).name}
    assert set(links) == others


@pytest.mark.parametrize(
    "tool", [["ruff", "format", "--check"], ["ruff", "check"], ["mypy"]], ids=["format", "lint", "types"]
)
def test_the_code_passes_its_tools(tool):
    done = subprocess.run([sys.executable, "-m", *tool], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", ["cnnlab", "cnnlab.cli", "cnnlab.study", "cnnlab.records", "cnnlab.evidence",
                                    "cnnlab.tuning", "cnnlab.present", "cnnlab.report", "cnnlab.predict",
                                    "cnnlab.card"])  # fmt: skip
def test_nothing_imports_tensorflow_or_keras_until_a_model_is_needed(module):
    code = f"import sys, {module}; sys.exit(any(name in sys.modules for name in ('keras', 'tensorflow')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_make_lists_its_targets_and_variables():
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    for word in ("report", "test", "lab", "data", "lint", "clean"):
        assert f"make {word} " in done.stdout
    for word in ("PROFILE", "PROTOCOL", "DATA", "REPORT", "RUNS", "SCHEDULER", "FRESH"):
        assert f"{word}=" in done.stdout


def test_what_outside_code_may_import_is_there():
    names = ["data.load_gray_batches", "data.load_cifar10", "study.STAGES", "records.to_frame", "errors.CnnlabError"]
    for name in [*names, *(f"models.cnn_{number}" for number in range(1, 10))]:
        module, attribute = name.split(".")
        assert hasattr(importlib.import_module(f"cnnlab.{module}"), attribute)
