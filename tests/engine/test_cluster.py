"""A real cluster on loopback: a Dask scheduler and workers as separate processes, as on several machines."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest
from distributed import Client

from cnnlab import data
from cnnlab.engine import WORKER_ENV, Engine, Interrupted, versions
from cnnlab.errors import ConfigError, RunError, WorkerError
from cnnlab.records import Run, RunStore
from cnnlab.study import Architecture, Training, Trial
from cnnlab.tuning import Callback, Tuning, tables
from same_runs import assert_same_runs

pytestmark = pytest.mark.slow


SECONDS = 300
"""How long something may take to happen on a machine that does other work too. It is a limit for what hangs."""


class Cluster:
    """A scheduler and its workers; `worker` adds one. Their Python searches `path` first."""

    def __init__(self, folder, path=""):
        self._folder, self._processes = folder, []
        place = ("--host", "127.0.0.1", "--port", "0", "--scheduler-file", folder / "scheduler.json")
        self.scheduler = self._start("scheduler", *place, path=path)
        self.address = self._wait(lambda: json.loads((folder / "scheduler.json").read_text())["address"])
        self.client = Client(self.address, set_as_default=False)

    def _start(self, *words, path=""):
        command = [sys.executable, "-m", "dask", *map(str, words), "--no-dashboard"]
        paths = [str(path), os.environ.get("PYTHONPATH", "")]
        # With the user's number of threads, for example, sums would differ in their last bits.
        own = {name: value for name, value in os.environ.items() if name not in WORKER_ENV}
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env={**own, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
                cwd=self._folder,
                start_new_session=True,  # so that a worker can be killed with its nanny
            )
        self._processes.append(process)
        return process

    def _wait(self, ask, seconds=SECONDS):
        end = time.monotonic() + seconds
        while True:
            try:
                return ask()
            except (OSError, ValueError, AssertionError):
                assert time.monotonic() < end, (self._folder / "log").read_text()
                time.sleep(0.1)

    def worker(self, path=""):
        known = self.client.nthreads()
        process = self._start("worker", self.address, "--nthreads", "1", "--host", "127.0.0.1", path=path)

        def joined():
            assert len(self.client.nthreads()) > len(known)

        self._wait(joined)
        return process

    def kill(self, process):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def close(self):
        if self.scheduler.poll() is None:
            self.client.close()
        for process in self._processes:
            if process.poll() is None:
                self.kill(process)


@pytest.fixture
def make_work(tiny):
    """Small runs with the given seeds, with their images."""
    split = data.split(tiny, "stratified", 20, 8, 10)

    def make(*seeds, epochs=1):
        trial = Trial(Architecture(filters=(2,), dense_units=2), Training(epochs=epochs, batch_size=16))
        return [(Run(trial, seed, tiny.digest, split.digest), tiny, split) for seed in seeds]

    return make


@pytest.fixture
def cluster(tmp_path):
    (tmp_path / "cluster").mkdir()
    made = Cluster(tmp_path / "cluster")
    yield made
    made.close()


def test_records_are_those_of_a_local_run_although_a_worker_is_killed(cluster, folder, tmp_path):
    """Bit by bit, on three workers of which one is killed halfway through a stage."""
    workers = [cluster.worker() for _ in range(3)]

    class KillAtThird(Callback):
        def __init__(self):
            self.seen = 0

        def on_run_end(self, trial, record, cached):
            self.seen += 1
            if self.seen == 3:
                cluster.kill(workers[0])

    frames = {}
    for place, scheduler in (("cluster", cluster.address), ("here", None)):
        with Tuning(
            folder, tmp_path / place, "smoke", scheduler=scheduler, budget={"stages": "base,optimizer"}
        ) as tuning:
            if scheduler:
                tuning.callback = KillAtThird()
            frames[place] = tables.decisions_table(tuning, tuning.results())
    assert len(cluster.client.nthreads()) == 2
    assert frames["cluster"].equals(frames["here"])
    ours, theirs = RunStore(tmp_path / "here"), RunStore(tmp_path / "cluster")
    assert len(ours.records()) == 7
    assert_same_runs(ours, theirs)


@pytest.fixture
def other_keras(tmp_path):
    """A folder in which a worker finds the metadata of another version of Keras."""
    place = tmp_path / "other" / "keras-3.0.1.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: keras\nVersion: 3.0.1\n")
    return place.parent


@pytest.fixture
def old_cnnlab(tmp_path):
    """A folder with a cnnlab that lacks what a client asks for."""
    place = tmp_path / "old" / "cnnlab"
    place.mkdir(parents=True)
    (place / "__init__.py").write_text("")
    (place / "engine.py").write_text("")
    return place.parent


def test_workers_of_other_versions_are_named_and_rejected(cluster, other_keras, old_cnnlab):
    cluster.worker()
    (right,) = cluster.client.nthreads()
    cluster.worker(other_keras)
    (wrong,) = set(cluster.client.nthreads()) - {right}
    cluster.worker(old_cnnlab)
    (old,) = set(cluster.client.nthreads()) - {right, wrong}
    with pytest.raises(WorkerError) as caught, Engine(cluster.address) as engine:
        _ = engine.client
    message = str(caught.value)
    assert f"keras {versions()['keras']}" in message
    assert f"{wrong} has keras 3.0.1" in message
    assert f"{old} has no such cnnlab" in message
    assert right not in message


@pytest.mark.parametrize(
    ("kind", "message"), [("other_keras", "has keras 3.0.1"), ("old_cnnlab", "has no such cnnlab")]
)
def test_a_worker_of_another_version_that_joins_later_makes_no_record(
    cluster, request, make_work, tmp_path, kind, message
):
    work = make_work(1, 2)
    right = cluster.worker()
    store = RunStore(tmp_path / "runs")
    with Engine(cluster.address) as engine:
        engine.run_all(work[:1], store)
        cluster.worker(request.getfixturevalue(kind))
        cluster.kill(right)
        with pytest.raises(WorkerError, match=rf"tcp://127.0.0.1:\d+ {message}"):
            engine.run_all(work, store)
    assert [record.seed for record in store.records()] == [1]


def test_a_scheduler_that_cannot_unpickle_tasks_is_rejected(old_cnnlab, tmp_path):
    """For example that of dask-jobqueue in another environment."""
    (tmp_path / "cluster").mkdir()
    cluster = Cluster(tmp_path / "cluster", old_cnnlab)
    try:
        cluster.worker()
        with pytest.raises(WorkerError, match="the scheduler has no such cnnlab"), Engine(cluster.address) as engine:
            _ = engine.client
    finally:
        cluster.close()


def wait_until(is_so):
    end = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("cnnlab.engine.cluster.CONNECT_SECONDS", 5)
    monkeypatch.setattr("cnnlab.engine.cluster.WAIT_SECONDS", 0.5)
    monkeypatch.setattr("cnnlab.engine.cluster.POLL_SECONDS", 0.5)


@pytest.mark.parametrize("asked", ["call", "runs"])
def test_a_cluster_without_workers_is_reported_once_and_waited_for(cluster, impatient, make_work, tmp_path, asked):
    reported = []
    with Engine(cluster.address) as engine, ThreadPoolExecutor(1) as threads:
        engine.on_no_workers = reported.append
        if asked == "call":
            waiting = threads.submit(engine.call, pow, 2, 3)
        else:
            waiting = threads.submit(engine.run_all, make_work(1, 2, 3), RunStore(tmp_path / "runs"))
        wait_until(lambda: reported)
        time.sleep(2)  # four times as long as it took to report it
        assert reported == [cluster.address]
        assert not waiting.done()
        cluster.worker()
        assert waiting.result(2 * SECONDS) == 8 if asked == "call" else len(waiting.result(2 * SECONDS)) == 3


@pytest.mark.parametrize("asked", ["call", "runs"])
def test_waiting_for_workers_can_be_interrupted(cluster, impatient, make_work, tmp_path, asked):
    reported = []
    with Engine(cluster.address) as engine, ThreadPoolExecutor(1) as threads:
        engine.on_no_workers = reported.append
        if asked == "call":
            waiting = threads.submit(engine.call, pow, 2, 3)
        else:
            waiting = threads.submit(engine.run_all, make_work(1), RunStore(tmp_path / "runs"))
        wait_until(lambda: reported)
        engine.interrupt()
        with pytest.raises(Interrupted):
            waiting.result(SECONDS)


def plugins(cluster):
    """The plugins of cnnlab that a scheduler and its workers hold."""

    def on_scheduler(dask_scheduler):
        return [*dask_scheduler.worker_plugins, *dask_scheduler.plugins]

    def on_worker(dask_worker):
        return list(dask_worker.plugins)

    held = [cluster.client.run_on_scheduler(on_scheduler), *cluster.client.run(on_worker).values()]
    return [name for names in held for name in names if name.startswith("cnnlab-")]


def test_a_worker_that_joins_later_has_the_images(cluster, make_work, tmp_path):
    first = cluster.worker()
    store = RunStore(tmp_path / "runs")
    with Engine(cluster.address) as engine:
        engine.run_all(make_work(1), store)
        before = sorted(plugins(cluster))
        cluster.worker()
        cluster.kill(first)
        wait_until(lambda: len(cluster.client.nthreads()) == 1)
        wait_until(lambda: sorted(plugins(cluster)) == before)  # without another run
        engine.run_all(make_work(2), store)
    assert sorted(record.seed for record in store.records()) == [1, 2]


def test_after_a_lost_connection_the_workers_are_given_the_images_again(cluster, make_work, tmp_path):
    """The scheduler has removed them, as those of a client that has ended."""
    cluster.worker()
    store = RunStore(tmp_path / "runs")
    with Engine(cluster.address) as engine:
        engine.run_all(make_work(1), store)
        lost = engine.client.scheduler_comm
        engine.client.sync(lost.comm.close)
        wait_until(lambda: not plugins(cluster))
        wait_until(lambda: engine.client.status == "running" and engine.client.scheduler_comm is not lost)
        engine.run_all(make_work(2), store)
    assert sorted(record.seed for record in store.records()) == [1, 2]


@pytest.mark.parametrize("kills", [1, 3])
def test_a_run_whose_only_worker_is_killed_goes_to_one_that_joins_later(cluster, impatient, make_work, tmp_path, kills):
    """Dask itself would leave it where it was. After three workers it has failed."""
    workers = [cluster.worker()]

    def replace_worker(*_):
        if len(workers) <= kills:
            cluster.kill(workers[-1])
            wait_until(lambda: not cluster.client.nthreads())
            workers.append(cluster.worker())

    store = RunStore(tmp_path / "runs")
    expected = pytest.raises(RunError, match="seed 1: it killed 3 workers") if kills == 3 else nullcontext()
    with Engine(cluster.address) as engine, expected:
        engine.run_all(make_work(1, epochs=60), store, on_epoch=replace_worker)
    assert len(workers) == kills + 1
    assert len(store.records()) == (kills < 3)


def test_after_close_the_cluster_holds_no_plugin(cluster, make_work, tmp_path):
    cluster.worker()
    with Engine(cluster.address) as other:
        other.run_all(make_work(1), RunStore(tmp_path / "other"))
        theirs = sorted(plugins(cluster))
        with Engine(cluster.address) as engine:
            engine.run_all(make_work(1), RunStore(tmp_path / "runs"))
            assert len(plugins(cluster)) == 2 * len(theirs) > 0
        wait_until(lambda: sorted(plugins(cluster)) == theirs)
        other.run_all(make_work(2), RunStore(tmp_path / "other"))
    wait_until(lambda: not plugins(cluster))


CLIENT = """
import os, pickle, signal, sys
from cnnlab.engine import Engine
from cnnlab.records import RunStore
Engine(sys.argv[1]).run_all(pickle.load(open(sys.argv[2], "rb")), RunStore(sys.argv[3]))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_after_the_command_is_killed_the_cluster_holds_no_plugin(cluster, make_work, tmp_path):
    cluster.worker()
    (tmp_path / "work").write_bytes(pickle.dumps(make_work(1)))
    words = [sys.executable, "-c", CLIENT, cluster.address, tmp_path / "work", tmp_path / "runs"]
    process = subprocess.Popen(list(map(str, words)))
    seen = False
    while process.poll() is None:
        seen = seen or bool(plugins(cluster))
        time.sleep(0.1)
    assert process.returncode == -signal.SIGKILL
    assert seen
    wait_until(lambda: not plugins(cluster))


def test_a_scheduler_that_ends_unexpectedly_is_named(cluster, impatient, make_work, tmp_path):
    work = make_work(*range(1, 9))
    cluster.worker()
    store = RunStore(tmp_path / "runs")

    def kill(*_):
        cluster.kill(cluster.scheduler)

    with Engine(cluster.address) as engine:
        with pytest.raises(ConfigError, match=r"Expected (a Dask|the) scheduler at tcp://"):
            engine.run_all(work, store, kill)
        with pytest.raises(ConfigError, match=r"Expected (a Dask|the) scheduler at tcp://"):
            engine.call(pow, 2, 3)
    assert 1 <= len(store.records()) < 8
