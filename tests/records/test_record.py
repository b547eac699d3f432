"""A run is found by what made it: trial, seed, images, and the code that builds and fits."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cnnlab
from cnnlab.records import Run, fit_code_digest
from cnnlab.study import Trial

RUN = Run(Trial(), 1, "data", "split")


@pytest.mark.parametrize(
    "other",
    [Run(Trial().change(dense_units=65), 1, "data", "split"), Run(Trial(), 2, "data", "split"),
     Run(Trial(), 1, "other", "split"), Run(Trial(), 1, "data", "other")],
    ids=["trial", "seed", "data", "split"],
)  # fmt: skip
def test_runs_that_differ_have_different_digests(other):
    assert RUN.digest == Run(Trial(), 1, "data", "split").digest
    assert RUN.digest != other.digest


def copied(tmp_path, changes):
    """The digests of the fit code and of a run, in a copy of cnnlab with some files changed."""
    shutil.copytree(Path(cnnlab.__file__).parent, tmp_path / "cnnlab", ignore=shutil.ignore_patterns("__pycache__"))
    for name, change in changes.items():
        path = tmp_path / "cnnlab" / name
        path.write_bytes(change(path.read_bytes()))
    code = (
        "from cnnlab.records import Run, fit_code_digest; from cnnlab.study import Trial;"
        "print(fit_code_digest(), Run(Trial(), 1, 'data', 'split').digest)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize("name", ["builder", "layers", "fit", "checkpoint"])
def test_a_change_of_the_code_that_builds_and_fits_gives_every_run_another_digest(tmp_path, name):
    digests = copied(tmp_path, {f"models/{name}.py": lambda source: source + b"\nCHANGED = True\n"})
    assert digests[0] != fit_code_digest()
    assert digests[1] != RUN.digest


def test_other_code_and_other_line_ends_leave_the_digests_as_they_are(tmp_path):
    changes = {f"models/{name}.py": lambda source: source + b"\nCHANGED = True\n" for name in ("predict", "export")}
    changes["models/fit.py"] = lambda source: source.replace(b"\n", b"\r\n")
    assert copied(tmp_path, changes) == [fit_code_digest(), RUN.digest]


def test_runs_that_differ_in_seed_split_rate_and_batch_size_share_a_trace():
    other = Run(Trial().change(learning_rate=0.5, batch_size=3, epochs=7), 2, "data", "other split")
    assert RUN.trace_key == other.trace_key
    assert RUN.trace_key != Run(Trial().change(dense_units=65), 1, "data", "split").trace_key
