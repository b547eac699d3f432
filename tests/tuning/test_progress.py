"""Progress: a bar in a terminal, one line an event elsewhere, nothing where nothing is to be done."""

import io
import os
import pty
import re
import subprocess
import sys
import termios
from contextlib import suppress

import pytest

from cnnlab.models.cost import Speed
from cnnlab.tuning import Tuning, progress
from cnnlab.tuning.planning.calibration import Calibration
from cnnlab.tuning.planning.estimate import TimeLeft
from conftest import make_record, make_result

RESULT = make_result("dense", old=(0.5,), new=(0.9,))
RECORD = make_record(RESULT.selected.settings, 2)
METRICS = {"loss": 1.5, "accuracy": 0.25, "val_loss": 1.2042, "val_f1": 0.5118, "val_accuracy": 0.5}
COLUMNS = 80


@pytest.fixture
def stderr(monkeypatch):
    """Makes a stream the standard error; a test's own business, since pytest takes it between fixture and test."""

    def use(stream):
        monkeypatch.setattr("sys.stderr", stream)
        return stream

    return use


class Terminal:
    """A real terminal; `stream` writes to it."""

    def __init__(self, columns=COLUMNS):
        self._ours, end = pty.openpty()
        termios.tcsetwinsize(end, (24, columns))
        self.stream = os.fdopen(end, "w")

    def shown(self):
        """What one would have seen, one after the other, once nobody writes to it any more."""
        self.stream.close()
        written = b""
        with suppress(OSError):  # how Linux says that this is all
            while more := os.read(self._ours, 1 << 16):
                written += more
        os.close(self._ours)
        return re.split(r"[\r\n]+", written.decode())


def read_images(bar, total=2000):
    for done in range(total + 1):
        bar.on_images(done, total)


def test_images_that_are_read_quickly_are_no_progress(stderr, monkeypatch):
    monkeypatch.setattr(progress, "QUIET_SECONDS", 1000.0)
    for in_notebook in (False, True):
        stream = stderr(io.StringIO())
        read_images(progress.ImagesBar(in_notebook=in_notebook))
        assert stream.getvalue() == ""
    terminal = Terminal()
    stderr(terminal.stream)
    read_images(progress.ImagesBar())
    assert terminal.shown() == [""]


def test_images_that_take_long_are_a_bar_in_a_terminal_and_in_a_notebook(stderr, monkeypatch):
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.0)
    terminal = Terminal()
    stderr(terminal.stream)
    bar = progress.ImagesBar()
    bar.on_images(0, 20_000)
    bar.on_images(5_000, 20_000)
    bar.on_images(0, 20_000)  # they are read again, in another size
    read_images(bar, 20_000)
    shown = terminal.shown()
    assert next(line for line in shown if line).startswith("images:   0%|")
    assert shown[-1].strip() == "", "the bar is gone when they are read"
    assert len(shown) < 1_000, "not a picture for each image"
    stream = stderr(io.StringIO())
    bar = progress.ImagesBar(in_notebook=True)
    bar.on_images(0, 20_000)
    assert stream.getvalue().strip().startswith("images:   0%|")


def test_images_that_take_long_are_a_line_from_time_to_time_without_a_terminal(stderr, monkeypatch):
    stream, seconds = stderr(io.StringIO()), iter(range(100))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(seconds))
    bar = progress.ImagesBar()
    for done in range(0, 24_000, 1000):
        bar.on_images(done, 24_000)
    assert stream.getvalue().splitlines() == [
        "images: 2,000 of 24,000 read",
        "images: 12,000 of 24,000 read",
        "images: 22,000 of 24,000 read",
    ]


def test_without_a_terminal_a_stage_is_two_lines(stderr):
    stream = stderr(io.StringIO())
    with progress.Bar({"dense": 2}) as bar:
        bar.on_stage_start(RESULT.stage.name, 2, 1)
        bar.on_run_end("new", RECORD, True)
        bar.on_epoch("new", 2, 1, 7, METRICS)
        bar.on_run_end("new", RECORD, False)
        bar.on_stage_end(RESULT)
    assert stream.getvalue().splitlines() == [
        "dense: 2 runs, 1 stored",
        "dense: new selected, val_f1 0.900 (n = 1)",
    ]


@pytest.mark.parametrize(
    ("runs", "missing", "told"),
    [(1, 1, "1 run"), (3, 3, "3 runs"), (3, 1, "3 runs, 2 stored"), (3, 0, "3 runs, all stored")],
)
def test_a_stage_starts_with_its_runs_and_how_many_are_stored(stderr, runs, missing, told):
    stream = stderr(io.StringIO())
    progress.Bar({}).on_stage_start("dense", runs, missing)
    assert stream.getvalue() == f"dense: {told}\n"


def test_in_a_terminal_a_bar_shows_runs_done_of_runs_planned_and_the_run_in_progress(stderr):
    terminal = Terminal(120)
    stderr(terminal.stream)
    with progress.Bar({"base": 4, "dense": 6}) as bar:
        bar.on_stage_start("dense", 2, 1)
        bar.on_run_end("new", RECORD, True)
        bar.on_epoch("new", 2, 0, 7, {})
        bar.on_epoch("new", 2, 4, 7, METRICS)
        bar.on_run_end("new", RECORD, False)
    shown = [line.rstrip() for line in terminal.shown()]
    assert re.fullmatch(r" *0%\|.{10}\| 0/10 \[00:\d\d<\?\]", shown[1])
    assert re.fullmatch(r"dense: +0%\|.{10}\| 0/6 \[00:\d\d<\?\] waiting for workers", shown[2])
    rest = r"dense: +17%\|.{10}\| 1/6 \[00:\d\d<\?\] "
    assert re.fullmatch(rest + "waiting for workers", shown[3]), "a stored run changes only the number"
    assert re.fullmatch(rest + "new, seed 2, tracing the model", shown[4])
    assert re.fullmatch(rest + "new, seed 2, epoch 4/7, val_loss 1.204, val_f1 0.512", shown[5])
    assert re.fullmatch(r"dense: +33%\|.{10}\| 2/6 \[00:\d\d<\d\d:\d\d\] new, val_f1 0.500", shown[6])


def test_a_long_name_shortens_the_bar_then_is_cut(stderr):
    terminal = Terminal()
    stderr(terminal.stream)
    names = "colour: both", "sparse-loss-kl: KL divergence, integer labels", "colour: scrambled"
    with progress.Bar({}) as bar:
        for stage in ("mistakes", "dense"):
            bar.on_stage_start(stage, 200, 200)
            for name in names:
                bar.on_epoch(name, 3, 4, 7, {})
    shown = terminal.shown()
    lines = [line.rstrip() for line in shown if "seed" in line]
    assert lines[0].endswith("] colour: both, seed 3, epoch 4/7")
    assert re.search(r"\] sparse-loss-kl: KL diver\.\., seed 3, epoch 4/7$", lines[1])
    assert lines[2].endswith("] colour: scrambled, seed 3, epoch 4/7")
    assert [len(re.search(r"\|(.*)\|", line)[1]) for line in lines] == [10, 1, 1, 10, 1, 1]
    assert {len(line) for line in shown if "seed" in line} == {COLUMNS - 1}


@pytest.mark.parametrize(
    ("columns", "width", "told"),
    [
        (100, 10, "small, seed 2, epoch 4/7, val_loss 1.204, val_f1 0.512"),
        (90, 5, "small, seed 2, epoch 4/7, val_loss 1.204, val_f1 0.512"),
        (80, 10, "small, seed 2, epoch 4/7, val_f1 0.512"),
        (70, 1, "small, seed 2, epoch 4/7, val_f1 0.512"),
        (60, 5, "small, seed 2, epoch 4/7"),
        (55, 1, "sm.., seed 2, epoch 4/7"),
    ],
)
def test_a_narrow_terminal_shows_fewer_metrics(stderr, columns, width, told):
    terminal = Terminal(columns)
    stderr(terminal.stream)
    with progress.Bar({}) as bar:
        bar.on_stage_start("dense", 200, 200)
        for _ in range(2):
            bar.on_epoch("small", 2, 4, 7, METRICS)
    lines = [line for line in terminal.shown() if "seed" in line]
    assert lines[0] == lines[1]
    assert lines[0].rstrip().endswith(f"] {told}")
    assert len(lines[0]) == columns - 1
    assert len(re.search(r"\|(.*)\|", lines[0])[1]) == width


def test_a_notebook_whose_runs_are_stored_shows_no_bar(stderr):
    terminal = Terminal()
    stderr(terminal.stream)
    with progress.Bar() as bar:
        bar.on_stage_start(RESULT.stage.name, 2, 0)
        bar.on_run_end("new", RECORD, True)
        bar.on_stage_end(RESULT)
    assert terminal.shown() == [""]


STUDY = """
import sys
from cnnlab.tuning import progress
from cnnlab.tuning import Tuning
with Tuning(*sys.argv[1:3], budget={"stages": "base"}) as tuning, progress.Bar(tuning.planned_runs()) as bar:
    tuning.callback = bar
    tuning.results()
"""


@pytest.mark.slow
def test_in_a_real_study_the_bar_shows_stage_trial_seed_epoch_and_time_left(folder, tmp_path):
    terminal = Terminal()
    words = [sys.executable, "-c", STUDY, folder, tmp_path]
    process = subprocess.Popen(list(map(str, words)), stderr=terminal.stream)
    shown = [line.rstrip() for line in terminal.shown()]
    assert process.wait(300) == 0
    run = r"base: +\d+%\|.{10}\| [0-2]/3 \[\d\d:\d\d<(?:\?|\d\d:\d\d)\] base, seed [123], "
    epochs = [match[1] for line in shown if (match := re.fullmatch(run + r"epoch (\d+)/\d+, val_f1 \d\.\d{3}", line))]
    assert len(set(epochs)) > 1
    assert any("waiting for workers" in line for line in shown)
    assert any(re.fullmatch(run + "tracing the model", line) for line in shown)
    assert any(re.search(r"<\d\d:\d\d\]", line) for line in shown), "how long it will take is known after a run"
    assert all(len(line) < COLUMNS for line in shown)
    assert "3/3" in shown[-2]


def test_a_scheduler_without_workers_is_named_and_the_bar_says_that_it_waits(stderr):
    terminal = Terminal()
    stderr(terminal.stream)
    with progress.Bar({"dense": 2}) as bar:
        bar.on_stage_start("dense", 2, 2)
        bar.on_epoch("32", 1, 1, 8, {"val_loss": 1.0, "val_f1": 0.5})
        bar.on_no_workers("tcp://head:8786")
    shown = terminal.shown()
    assert any("workers: none at tcp://head:8786 yet." in line for line in shown)
    epoch = next(index for index, line in enumerate(shown) if "epoch 1/8" in line)
    assert any("waiting for workers" in line for line in shown[epoch:])


@pytest.mark.parametrize("make", [progress.ImagesBar, lambda: progress.Bar({})])
def test_without_a_terminal_a_scheduler_without_workers_is_a_line(stderr, make):
    stream = stderr(io.StringIO())
    make().on_no_workers("tcp://head:8786")
    assert stream.getvalue().startswith("workers: none at tcp://head:8786 yet.")
    assert stream.getvalue().count("\n") == 1


def test_in_a_notebook_the_bar_counts_the_stages_that_have_runs_to_make(stderr):
    """Stored stages are in no total, and custom trials are added to it."""
    terminal = Terminal()
    stderr(terminal.stream)
    with progress.Bar() as bar:
        bar.on_stage_start("base", 3, 0)
        for missing in (1, 2):
            bar.on_stage_start("dense", 2, missing)
            bar.on_run_end("old", RECORD, missing == 1)
            bar.on_run_end("new", RECORD, False)
    shown = [line for line in terminal.shown() if "dense" in line]
    assert "0/2" in shown[0]
    assert "4/4" in shown[-1]


def test_the_parts_of_a_stage_count_as_its_runs(stderr):
    """In the planned 10 runs of a search: 6 in its first part, 3 in the next, then 2 more."""
    terminal = Terminal()
    stderr(terminal.stream)
    totals = []
    with progress.Bar({"dense": 2, "search": 10}) as bar:
        for name, runs in (("search, quasi-random", 6), ("search, trials 7 to 9", 3), ("search", 2)):
            bar.on_stage_start(name, runs, runs)
            totals.append(bar._bar.total)
    assert totals == [12, 12, 13]
    terminal.shown()


def test_the_plan_counts_the_runs_of_every_stage(folder, tmp_path):
    tuning = Tuning(folder, tmp_path, "quick")
    plan = tuning.planned_runs()
    assert list(plan) == [*(stage.name for stage in tuning.stages), "learning-curve"]
    assert plan["base"] == 3
    assert plan["activation"] == 12


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_of_any_encoding_shows_progress(encoding):
    """Letters that it lacks are escaped, as Python's own standard error does."""
    script = (
        "from cnnlab.tuning import progress\n"
        "with progress.Bar({'dense': 1}) as bar:\n"
        "    bar.on_stage_start('dense', 1, 1)\n"
        "    bar.on_epoch('\\u732b', 1, 1, 7, {})\n"
        "    bar.write('\\u732b: failed')\n"
    )
    ours, end = pty.openpty()
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    for stderr in (subprocess.PIPE, end):
        done = subprocess.run([sys.executable, "-c", script], stderr=stderr, env=environment, timeout=300, check=False)
        assert done.returncode == 0
        if stderr == subprocess.PIPE:
            assert done.stderr.decode("ascii").splitlines()[-1] == "\\u732b: failed"
    os.close(end)
    shown = os.read(ours, 1 << 16)
    os.close(ours)
    assert shown.isascii()
    assert b"Traceback" not in shown


def test_with_an_estimate_the_bar_shows_the_time_left_from_the_start(stderr, folder, tmp_path):
    """Without one, the first run must end before anything is known, and all runs count as equally long."""
    tuning = Tuning(folder, tmp_path, "smoke", budget={"stages": "base,dense", "epochs": 500})
    workers = Calibration(2, is_remote=False, start_seconds=8.0, read_seconds=3.0, seconds=20.0, speed=Speed(()))
    terminal = Terminal()
    stderr(terminal.stream)
    record = make_record(tuning.scope.start, train_seconds=1000.0)
    with progress.Bar({"base": 1, "dense": 3}, lambda: TimeLeft(tuning, workers)) as bar:
        bar.on_stage_start("base", 1, 1)
        bar.on_run_end("base", record, False)
        bar.on_stage_start("dense", 3, 0)
        for _ in range(3):
            bar.on_run_end("32", record, True)
        bar.show_waiting("notebooks", "noise")
    lefts = [
        60 * int(match[1]) + int(match[2])
        for line in terminal.shown()
        if (match := re.search(r"<(\d+):(\d\d)\]", line))
    ]
    assert lefts[0] > 0
    assert max(lefts) > 2 * lefts[0], "the first run takes longer than estimated"
    assert 0 <= lefts[-1] < lefts[0]
