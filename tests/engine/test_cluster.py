"""A real cluster on loopback: a Dask scheduler and workers as processes of their own, as on several machines."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from distributed import Client

from cnnlab import data
from cnnlab.engine import Engine, versions
from cnnlab.errors import ConfigError, WorkerError
from cnnlab.records import Run, RunStore
from cnnlab.study import STAGES, Architecture, Training, Trial
from cnnlab.tuning import Tuning
from cnnlab.tuning.progress import Callback

pytestmark = pytest.mark.slow


class Cluster:
    """A scheduler and its workers, `worker` adds one; their Python finds `path` before all else."""

    def __init__(self, folder, path=""):
        self._folder, self._processes = folder, []
        place = ("--host", "127.0.0.1", "--port", "0", "--scheduler-file", folder / "scheduler.json")
        self.scheduler = self._start("scheduler", *place, path=path)
        self.address = self._wait(lambda: json.loads((folder / "scheduler.json").read_text())["address"])
        self.client = Client(self.address, set_as_default=False)

    def _start(self, *words, path=""):
        command = [sys.executable, "-m", "dask", *map(str, words), "--no-dashboard"]
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(path)},
                cwd=self._folder,
                start_new_session=True,  # so that one can be killed with all that it started
            )
        self._processes.append(process)
        return process

    def _wait(self, ask, seconds=60):
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
def cluster(tmp_path):
    (tmp_path / "cluster").mkdir()
    made = Cluster(tmp_path / "cluster")
    yield made
    made.close()


def test_a_stage_on_three_workers_of_which_one_is_killed_leaves_the_records_of_a_local_run(cluster, folder, tmp_path):
    workers = [cluster.worker() for _ in range(3)]
    stages = ("base", "optimizer")
    without = [*(stage.name for stage in STAGES if stage.name not in stages), "mistakes"]

    class KillAtThird(Callback):
        def __init__(self):
            self.seen = 0

        def on_run_end(self, trial, record, cached):
            self.seen += 1
            if self.seen == 3:
                cluster.kill(workers[0])

    frames = {}
    for place, scheduler in (("cluster", cluster.address), ("here", None)):
        with Tuning(folder, tmp_path / place, "smoke", scheduler=scheduler, skip=without) as tuning:
            if scheduler:
                tuning.callback = KillAtThird()
            frames[place] = tuning.decisions_frame(tuning.results())
    assert len(cluster.client.nthreads()) == 2
    assert frames["cluster"].equals(frames["here"])
    ours, theirs = RunStore(tmp_path / "here"), RunStore(tmp_path / "cluster")
    assert len(ours.records()) == 7
    for record in ours.records():
        other = theirs.get(record.digest)
        assert other.history == record.history
        assert other.scores == record.scores
        arrays = theirs.arrays(record.digest)
        for name, values in ours.arrays(record.digest).items():
            np.testing.assert_array_equal(arrays[name], values)


@pytest.fixture
def other_keras(tmp_path):
    """A folder from which a worker takes another version of Keras, as its metadata has it."""
    place = tmp_path / "other" / "keras-3.0.1.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: keras\nVersion: 3.0.1\n")
    return place.parent


@pytest.fixture
def old_cnnlab(tmp_path):
    """A folder with a cnnlab that does not know what a client of today asks for."""
    place = tmp_path / "old" / "cnnlab"
    place.mkdir(parents=True)
    (place / "__init__.py").write_text("")
    (place / "engine.py").write_text("")
    return place.parent


def test_workers_of_other_versions_are_named_and_refused(cluster, other_keras, old_cnnlab):
    cluster.worker()
    (right,) = cluster.client.nthreads()
    cluster.worker(other_keras)
    (wrong,) = set(cluster.client.nthreads()) - {right}
    cluster.worker(old_cnnlab)
    (old,) = set(cluster.client.nthreads()) - {right, wrong}
    with pytest.raises(WorkerError) as caught, Engine(cluster.address) as engine:
        _ = engine.client
    told = str(caught.value)
    assert f"keras {versions()['keras']}" in told
    assert f"{wrong} has keras 3.0.1" in told
    assert f"{old} has no such cnnlab" in told
    assert right not in told


@pytest.mark.parametrize(("kind", "told"), [("other_keras", "has keras 3.0.1"), ("old_cnnlab", "has no such cnnlab")])
def test_a_worker_of_another_version_that_joins_later_makes_no_record(cluster, request, tiny, tmp_path, kind, told):
    split = data.split(tiny, "stratified", 20, 8, 10)
    trial = Trial(Architecture(filters=(2,), dense_units=2), Training(epochs=1, batch_size=16))
    work = [(Run(trial, seed, tiny.digest, split.digest), tiny, split) for seed in (1, 2)]
    right = cluster.worker()
    store = RunStore(tmp_path / "runs")
    with Engine(cluster.address) as engine:
        engine.records(work[:1], store)
        cluster.worker(request.getfixturevalue(kind))
        cluster.kill(right)
        with pytest.raises(WorkerError, match=rf"tcp://127.0.0.1:\d+ {told}"):
            engine.records(work, store)
    assert [record.seed for record in store.records()] == [1]


def test_a_scheduler_that_cannot_unpack_the_work_is_refused(old_cnnlab, tmp_path):
    """As one of dask-jobqueue is, in an environment of its own."""
    (tmp_path / "cluster").mkdir()
    cluster = Cluster(tmp_path / "cluster", old_cnnlab)
    try:
        cluster.worker()
        with pytest.raises(WorkerError, match="the scheduler has no such cnnlab"), Engine(cluster.address) as engine:
            _ = engine.client
    finally:
        cluster.close()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("cnnlab.engine.CONNECT_SECONDS", 2)
    monkeypatch.setattr("cnnlab.engine.POLL_SECONDS", 1)


def test_a_call_to_a_cluster_without_workers_is_one_line(cluster, impatient):
    with Engine(cluster.address) as engine, pytest.raises(ConfigError, match="Expected workers at tcp://"):
        engine.call(pow, 2, 3)


def test_a_scheduler_that_dies_is_named(cluster, impatient, tiny, tmp_path):
    split = data.split(tiny, "stratified", 20, 8, 10)
    trial = Trial(Architecture(filters=(2,), dense_units=2), Training(epochs=1, batch_size=16))
    work = [(Run(trial, seed, tiny.digest, split.digest), tiny, split) for seed in range(1, 9)]
    cluster.worker()
    store = RunStore(tmp_path / "runs")

    def kill(*_):
        cluster.kill(cluster.scheduler)

    with Engine(cluster.address) as engine:
        with pytest.raises(ConfigError, match=r"Expected (a Dask|the) scheduler at tcp://"):
            engine.records(work, store, kill)
        with pytest.raises(ConfigError, match=r"Expected (a Dask|the) scheduler at tcp://"):
            engine.call(pow, 2, 3)
    assert 1 <= len(store.records()) < 8
