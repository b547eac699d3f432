"""Progress: a bar in a terminal, one line an event elsewhere, nothing where nothing is to be done."""

import io
import re

import pytest

from cnnlab import progress
from cnnlab.tuning import Tuning
from conftest import make_record, make_result

RESULT = make_result("dense", old=(0.5,), new=(0.9,))


@pytest.fixture
def stderr(monkeypatch):
    def use(*, terminal):
        stream = io.StringIO()
        stream.isatty = lambda: terminal
        monkeypatch.setattr("sys.stderr", stream)
        return stream

    return use


def test_without_a_terminal_a_stage_is_two_lines(stderr):
    stream = stderr(terminal=False)
    with progress.Bar({"dense": 2}) as bar:
        bar.begin(RESULT.stage.name, 2, 1)
        bar.done(make_record(RESULT.chosen.trial), True)
        bar.end(RESULT)
    assert stream.getvalue().splitlines() == [
        "dense: 2 runs, 1 of them stored",
        "dense: new goes on, val_f1 0.900 (n = 1)",
    ]


def test_in_a_terminal_a_bar_shows_runs_done_of_runs_planned(stderr):
    stream = stderr(terminal=True)
    with progress.Bar({"base": 4, "dense": 6}) as bar:
        bar.begin(RESULT.stage.name, 2, 1)
        bar.done(make_record(RESULT.chosen.trial), True)
        bar.done(make_record(RESULT.chosen.trial, 2), False)
    shown = re.split(r"[\r\n]", stream.getvalue())
    assert "0/10" in shown[1]
    assert "dense" in shown[-2]
    assert "2/6" in shown[-2]
    assert "seed 2, val_f1 0.500" in shown[-2]


def test_a_notebook_whose_runs_are_stored_shows_no_bar(stderr):
    stream = stderr(terminal=True)
    with progress.Bar() as bar:
        bar.begin(RESULT.stage.name, 2, 0)
        bar.done(make_record(RESULT.chosen.trial), True)
        bar.end(RESULT)
    assert stream.getvalue() == ""


def test_the_plan_counts_the_runs_of_every_stage(folder, tmp_path):
    tuning = Tuning(folder, tmp_path, "quick")
    plan = progress.plan(tuning)
    assert list(plan) == [*(stage.name for stage in tuning.stages), "mistakes"]
    assert plan["base"] == 3
    assert plan["activation"] == 12
