"""Processes killed at random moments: no work is lost, no process is left, and the result is the same."""

import json
import os
import pickle
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from cnnlab import data
from cnnlab.records import Run, RunStore, to_frame
from cnnlab.study import Architecture, Training, Trial
from conftest import ROOT, seconds_to_end

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("CNNLAB_KILLS", "16"))
"""How often the command is killed at a random moment, and how often one of its processes."""
REPORT_SECONDS = 600
"""How long a small report may take on a machine that does other work too. It is a limit for one that hangs."""
STUDY = [sys.executable, str(ROOT / "tests" / "small_study.py")]
TIMES = ["train_seconds", "cached"]


STARTED = []


def start(folder, place, log, **options):
    words = [*STUDY, folder, place / "runs", place / "out"]
    STARTED.append(subprocess.Popen(list(map(str, words)), stdout=log, stderr=log, **options))
    return STARTED[-1]


@pytest.fixture(autouse=True)
def kill_started():
    """A command that a failed test leaves must not slow down the next tests."""
    yield
    while STARTED:
        process = STARTED.pop()
        process.kill()
        process.wait()


def finish(folder, place):
    """Run the study to its end, with a second command where a notebook failed because its process was killed."""
    for _ in range(3):
        with (place / "log").open("ab") as log:
            if start(folder, place, log).wait(REPORT_SECONDS) == 0:
                return
    pytest.fail((place / "log").read_text())


def tables(place):
    """Check that all files of a report are complete, and return its tables without times."""
    json.loads((place / "out" / "manifest.json").read_bytes())
    for path in (place / "out" / "notebooks").glob("[0-9]*.ipynb"):
        json.loads(path.read_bytes())
    assert (place / "out" / "index.html").read_text(encoding="utf-8").rstrip().endswith("</html>")
    frames = {name: pd.read_csv(place / "out" / f"{name}.csv") for name in ("results", "decisions", "comparisons")}
    frames["results"] = frames["results"].drop(columns=TIMES)
    return frames


def family(process):
    """The children of a process, and theirs."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(process.pid).children(recursive=True)
    return []


def is_kernel(process):
    """Whether a process is a kernel, and not the one whose copies are kernels, which has the same command line."""
    words = [" ".join(one.cmdline()) for one in (process, *process.parents()[:1])]
    return "ipykernel_launcher" in words[0] or all("ipykernel" in of_one for of_one in words)


def wait_for_kernel(process):
    """Wait until a command has started a kernel, and so workers and notebook processes; return them all."""
    end = time.monotonic() + 300
    while time.monotonic() < end and process.poll() is None:
        for one in running(family(process)):
            with suppress(psutil.NoSuchProcess):  # it has ended since
                if is_kernel(one):
                    return family(process)
        time.sleep(0.1)
    return pytest.fail("it ended, or started no kernel")


def running(processes):
    """Those of some processes that still run."""
    found = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:  # it has ended, but its parent has not waited for it
                found.append(process)
    return found


def wait_for_none(processes):
    end = time.monotonic() + seconds_to_end()
    while (found := running(processes)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not found


@pytest.fixture(scope="module")
def reference(folder, tmp_path_factory):
    """The tables of an uninterrupted study."""
    place = tmp_path_factory.mktemp("reference")
    finish(folder, place)
    return tables(place)


def progress(place):
    """How many runs and notebooks there are, and whether there are tables and a page."""
    kinds = ("runs/*.run", "out/notebooks/*.ipynb", "out/results.csv", "out/index.html")
    return [len(list(place.glob(kind))) for kind in kinds]


def wait_for_progress(process, place):
    """Wait until a command has stored a run, a notebook or a table, or has ended."""
    before, end = progress(place), time.monotonic() + REPORT_SECONDS
    while process.poll() is None and progress(place) == before:
        assert time.monotonic() < end, "it hangs"
        time.sleep(0.05)


@pytest.mark.timeout(3600)
def test_a_command_killed_at_any_moment_can_be_repeated_and_gives_the_same_tables(folder, reference, tmp_path):
    """Every other time as it starts, else soon after it has stored something: a run, a notebook or a table.

    A finished report is deleted and made again.
    """
    moments, kills, at = random.Random(4), 0, []
    with (tmp_path / "log").open("ab") as log:
        while kills < KILLS:
            process = start(folder, tmp_path, log)
            if kills % 2:
                wait_for_progress(process, tmp_path)
            with suppress(subprocess.TimeoutExpired):
                assert process.wait(moments.uniform(0, 1.5) if kills % 2 else moments.uniform(0.2, 8)) == 0
                shutil.rmtree(tmp_path / "out")
                continue
            started = family(process)
            process.kill()
            process.wait()
            wait_for_none(started)
            kills += 1
            at.append(progress(tmp_path))
    finish(folder, tmp_path)
    runs = reference["results"]["digest"].nunique()
    assert any(0 < stored < runs for stored, *_ in at), "while there were runs to make"
    assert any(notebooks for _, notebooks, *_ in at), "while notebooks were executed"
    for name, table in tables(tmp_path).items():
        pd.testing.assert_frame_equal(table, reference[name])
    assert len(to_frame(tmp_path / "runs")) == reference["results"]["digest"].nunique()
    assert not list((tmp_path / "runs").glob("quarantine/*")), "no file was damaged"


@pytest.mark.timeout(3600)
def test_a_worker_kernel_or_notebook_process_killed_at_any_moment_costs_only_its_own_work(folder, reference, tmp_path):
    moments = random.Random(5)
    kills = 0
    while kills < KILLS:
        with (tmp_path / "log").open("ab") as log:
            process, end = start(folder, tmp_path, log), time.monotonic() + REPORT_SECONDS
            while process.poll() is None:
                assert time.monotonic() < end, "it hangs"
                time.sleep(moments.uniform(0.5, 3))
                victims = [one for one in running(family(process)) if is_ours(one)]
                if victims and kills < KILLS:
                    with suppress(psutil.NoSuchProcess):
                        moments.choice(victims).kill()
                        kills += 1
        assert process.returncode in (0, 1), "at most a chapter may be missing"
        assert "Traceback" not in (tmp_path / "log").read_text()
        if kills < KILLS:
            for name in ("out", "runs"):
                shutil.rmtree(tmp_path / name, ignore_errors=True)
    finish(folder, tmp_path)
    for name, table in tables(tmp_path).items():
        pd.testing.assert_frame_equal(table, reference[name])


def is_ours(process):
    """Whether a process is a worker, executes notebooks, or is a kernel."""
    with suppress(psutil.NoSuchProcess):
        words = " ".join(process.cmdline())
        return "spawn_main" in words or "ipykernel" in words
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_ends_all_processes_within_two_seconds_and_says_how_to_continue(folder, tmp_path, number):
    with (tmp_path / "log").open("ab") as log:
        process = start(folder, tmp_path, log, start_new_session=True)
        started = wait_for_kernel(process)
        os.killpg(process.pid, number)  # to the workers too, as a terminal does
        assert process.wait(seconds_to_end()) == 128 + number
    wait_for_none(started)
    lines = (tmp_path / "log").read_text().splitlines()
    assert f"cnnlab: stopped. Finished runs are in {str(tmp_path / 'runs')!r}; " in lines[-1]
    assert "the same command continues from there" in lines[-1]
    assert "Traceback" not in "".join(lines)


def test_make_killed_leaves_no_process(folder, tmp_path):
    # The environment of the tests, as it is: whatever its name and age, nothing is installed.
    here = ["--old-file=.venv/.ready", f"BIN={Path(sys.executable).parent}", "STUDY=", "STAGES=", "TIME="]
    here += ["SCHEDULER=", "FRESH=", "HALVING="]
    words = ["PROFILE=smoke", f"DATA={folder}", f"RUNS={tmp_path / 'runs'}", f"REPORT={tmp_path}"]
    process = subprocess.Popen(
        ["make", "report", *here, *words], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    started = wait_for_kernel(process)
    process.kill()
    process.wait()
    wait_for_none(started)


def test_a_command_under_nohup_ignores_a_closed_terminal(folder, tmp_path):
    with (tmp_path / "log").open("ab") as log:
        process = start(folder, tmp_path, log, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        wait_for_kernel(process)
        process.send_signal(signal.SIGHUP)
        time.sleep(1)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.wait(seconds_to_end())


WRITERS = """
import os, random, signal, sys, time
import numpy as np
from cnnlab.study import Trial
from cnnlab.records import RunStore
sys.path.insert(0, sys.argv[1])
from conftest import make_record
arrays = {"weight_000": np.random.default_rng(0).random(50_000)}
moments = random.Random(6)

store = RunStore(sys.argv[2])
names = lambda pattern: len(list(store.path.glob(pattern)))

def write(start):
    for seed in range(start, 100_000):
        store.put(make_record(Trial(), seed), arrays)

rounds = 0
while rounds < 40 or names("*.run") <= 40 or not names(".cnnlab-*.part"):
    rounds += 1
    start = max(0, names("*.run") - 5)  # the last ones again; all of them would take longer and longer
    writers = []
    for _ in range(2):
        writers.append(os.fork())
        if not writers[-1]:
            write(start)
    time.sleep(moments.uniform(0.05, 0.25))
    for writer in writers:
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
"""


def test_a_store_whose_writers_are_killed_80_times_holds_complete_records_only(tmp_path):
    """Two writers at a time write the same runs."""
    words = [sys.executable, "-c", WRITERS, str(ROOT / "tests"), str(tmp_path)]
    subprocess.run(words, check=True, timeout=REPORT_SECONDS)
    assert list(tmp_path.glob(".cnnlab-*.part")), "some were killed as they wrote"
    records = RunStore(tmp_path).records()  # warns, which is an error here, about a damaged one
    assert len(records) > 40
    assert len(records) == len(list(tmp_path.glob("*.run")))
    for record in records:
        assert len(RunStore(tmp_path).arrays(record.digest)["weight_000"]) == 50_000


@pytest.mark.timeout(1800)
def test_two_reports_at_once_on_one_store_are_both_right(folder, reference, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "runs").symlink_to(tmp_path / "runs")
    (tmp_path / "runs").mkdir()
    with (tmp_path / "log").open("ab") as log:
        both = [start(folder, tmp_path / name, log) for name in ("a", "b")]
        assert [process.wait(REPORT_SECONDS) for process in both] == [0, 0], (tmp_path / "log").read_text()
    for place in ("a", "b"):
        for name, table in tables(tmp_path / place).items():
            pd.testing.assert_frame_equal(table, reference[name])
    seconds = [pd.read_csv(tmp_path / name / "out" / "results.csv")["train_seconds"] for name in ("a", "b")]
    pd.testing.assert_series_equal(*seconds, obj="both have the runs of the faster one")


def limited(size):
    """Imitate a full disk: files may not grow beyond a number of bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("size", [0, 1000, 100_000])
def test_a_full_disk_ends_the_command_with_one_line_and_no_damaged_file(folder, tmp_path, size):
    log = subprocess.PIPE
    words = [*STUDY[:1], "-m", "cnnlab", "run", "--profile", "smoke", "--data", folder, "--runs", tmp_path / "runs"]
    done = subprocess.run(
        list(map(str, words)),
        stdout=log,
        stderr=log,
        text=True,
        preexec_fn=limited(size),
        check=False,
        timeout=REPORT_SECONDS,
    )
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert "File too large" in last
    assert "ulimit -f" in last or "/dev/shm" in last
    assert "Free space" not in last, "the limit is not the disk's"
    assert "Traceback" not in done.stderr
    assert RunStore(tmp_path / "runs").records() == []


def test_a_folder_that_cannot_be_written_is_reported_before_the_first_run(folder, tmp_path):
    for name in ("runs", "report"):
        (tmp_path / name).write_text("a file")
    for words, named in (
        (["--runs", tmp_path / "runs" / "x"], "RUNS="),
        (["--report", tmp_path / "report"], "REPORT="),
    ):
        words = ["report", "--profile", "smoke", "--data", folder, "--report", tmp_path / "out", *words]
        done = subprocess.run(
            [sys.executable, "-m", "cnnlab", *map(str, words)],
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=REPORT_SECONDS,
        )  # fmt: skip
        assert done.returncode == 2
        assert named in done.stderr.splitlines()[-1] or "is a file" in done.stderr
        assert "Traceback" not in done.stderr


FIT = """
import os, pickle, signal, sys
from cnnlab.models import checkpoint, fit
run, dataset, split = pickle.load(open(sys.argv[1], "rb"))
fit.CHECKPOINT_SECONDS = 0
save = checkpoint.save
def save_and_die(*args):
    save(*args)
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[3] == "die":
    checkpoint.save = save_and_die
resumed = fit.run(run, dataset, split, sys.argv[2])
whole = fit.run(run, dataset, split)
pickle.dump((resumed, whole), open(sys.argv[4], "wb"))
"""


def test_a_fit_killed_twice_ends_like_an_uninterrupted_one(tiny, tmp_path):
    split = data.split(tiny, "stratified", 20, 8, 10)
    trial = Trial(
        Architecture(filters=(4, 8), padding="same", dense_units=8, dropout=(0.1, 0.1, 0.1), batch_norm=True),
        Training(epochs=4, batch_size=8, optimizer="nadam"),
    ).change(augmentation="flip-shift")
    run = Run(trial, 1, tiny.digest, split.digest)
    (tmp_path / "work").write_bytes(pickle.dumps((run, tiny, split)))
    (tmp_path / "checkpoints").mkdir()

    def fit_in_process(how):
        words = [sys.executable, "-c", FIT, tmp_path / "work", tmp_path / "checkpoints", how, tmp_path / "done"]
        return subprocess.run(list(map(str, words)), stderr=subprocess.DEVNULL, check=False).returncode

    assert [fit_in_process(how) for how in ("die", "die", "live")] == [-signal.SIGKILL, -signal.SIGKILL, 0]
    (resumed, its_arrays), (whole, arrays) = pickle.loads((tmp_path / "done").read_bytes())
    assert resumed.history == whole.history
    assert resumed.scores == whole.scores
    for name, values in arrays.items():
        np.testing.assert_array_equal(its_arrays[name], values)
