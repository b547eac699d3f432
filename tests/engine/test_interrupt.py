"""Runs in a background thread, as in a notebook: another thread interrupts them, and they end with their kernel."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from distributed import LocalCluster
from jupyter_client.manager import start_new_kernel
from jupyter_core.utils import ensure_event_loop

from cnnlab.engine import Engine, Interrupted, workers
from cnnlab.engine.cluster import Cluster
from cnnlab.errors import CnnlabError
from cnnlab.records import RunStore
from cnnlab.study import Architecture, Training, Trial
from conftest import seconds_to_end

SHORT = Trial(Architecture(filters=(2,), dense_units=2), Training(epochs=1, batch_size=16))
LONG = SHORT.change(epochs=100_000, patience=None)
SECONDS = 300
"""How long something may take to happen on a machine that does other work too. It is a limit for what hangs."""


class Background:
    """`run_all` in another thread, until some epoch of a run is reported."""

    def __init__(self, engine, items, store, until=1):
        self.epochs, self._reached, self._until, self._engine = [], threading.Event(), until, engine
        self._done = ThreadPoolExecutor(1).submit(engine.run_all, items, store, on_epoch=self._on_epoch)

    def _on_epoch(self, _, epoch, __):
        self.epochs.append(epoch)
        if epoch >= self._until:
            self._reached.set()

    def wait(self):
        assert self._reached.wait(SECONDS), f"epochs {self.epochs}, workers do {self._engine.client.call_stack()}"

    def result(self, seconds=SECONDS):
        return self._done.result(seconds)

    def end(self):
        """End what a test that failed has left: the next tests need the workers."""
        while not self._done.done():
            self._engine.interrupt()
            time.sleep(0.1)


@pytest.fixture
def background():
    """Makes `Background` objects, which end with the test."""
    started = []
    yield lambda *args, **options: started.append(Background(*args, **options)) or started[-1]
    for running in started:
        running.end()


def test_an_interrupt_ends_run_all_soon_and_keeps_the_runs_that_ended(engine, work, tmp_path, background):
    store = RunStore(tmp_path)
    running = background(engine, [work(SHORT, 1), *(work(LONG, seed) for seed in range(1, 5))], store, until=2)
    running.wait()
    end = time.monotonic() + SECONDS
    while not store.records():
        assert time.monotonic() < end
        time.sleep(0.05)
    started = time.monotonic()
    engine.interrupt()
    with pytest.raises(Interrupted, match=r"^Interrupted: the runs that ended are stored\.$") as caught:
        running.result()
    assert time.monotonic() - started < seconds_to_end()
    assert not isinstance(caught.value, CnnlabError)
    assert [record.seed for record in store.records()] == [1]
    assert engine.idle_seconds > 0


def test_runs_that_end_after_the_interrupt_and_before_they_are_cancelled_are_stored(
    engine, work, tmp_path, monkeypatch
):
    sent, submit = [], Cluster.submit

    def note(cluster, name, *args, **options):
        sent.append(name)
        return submit(cluster, name, *args, **options)

    def interrupt(*_):
        """When the first run is stored, others have been sent: two, or three if two had ended by then."""
        engine.interrupt()
        end = time.monotonic() + SECONDS
        while any(future.status == "pending" for future in list(engine.client.futures.values())):
            assert time.monotonic() < end
            time.sleep(0.05)

    monkeypatch.setattr(Cluster, "submit", note)
    store = RunStore(tmp_path)
    with pytest.raises(Interrupted):
        engine.run_all([work(SHORT, seed) for seed in range(1, 6)], store, on_run_end=interrupt)
    assert len(sent) in (3, 4)
    assert {f"run-{record.digest}" for record in store.records()} == set(sent)


def test_after_an_interrupt_the_workers_are_free_after_their_epoch(engine, work, tmp_path, background):
    """Dask would let the cancelled runs go on to their end, and the next ones wait for it."""
    running = background(engine, [work(LONG, seed) for seed in (1, 2)], RunStore(tmp_path))
    running.wait()
    engine.interrupt()
    with pytest.raises(Interrupted):
        running.result()
    again = background(engine, [work(SHORT, seed) for seed in range(1, 5)], RunStore(tmp_path))
    assert len(again.result(SECONDS)) == 4
    assert not any(engine.client.processing().values())


@pytest.fixture
def checkpoints_of_every_epoch(engine):
    def set_pause(seconds):
        from cnnlab.models import fit

        before, fit.CHECKPOINT_SECONDS = fit.CHECKPOINT_SECONDS, seconds
        return before

    before = engine.client.run(set_pause, 0)
    yield
    engine.client.run(set_pause, next(iter(before.values())))


def test_an_interrupted_run_continues_from_its_checkpoint(
    engine, checkpoints_of_every_epoch, work, tmp_path, background
):
    store = RunStore(tmp_path)
    items = [work(SHORT.change(epochs=200, patience=None), 1)]
    first = background(engine, items, store, until=5)
    first.wait()
    engine.interrupt()
    with pytest.raises(Interrupted):
        first.result()
    again = background(engine, items, store)
    (record,) = again.result().values()
    assert record.epochs == 200
    assert min(filter(None, again.epochs)) > max(first.epochs)


def test_an_interrupt_when_nothing_runs_is_forgotten(engine, work, tmp_path):
    engine.interrupt()
    assert len(engine.run_all([work(SHORT, 1)], RunStore(tmp_path))) == 1
    engine.interrupt()
    assert len(engine.run_all([work(SHORT, 2)], RunStore(tmp_path))) == 1


@pytest.mark.slow
def test_an_interrupt_while_workers_start_has_its_effect_when_they_are_there(two_workers, work, tmp_path, background):
    with Engine() as engine:
        running = background(engine, [work(LONG, 1)], RunStore(tmp_path))
        while not engine._running:
            time.sleep(0.01)
        engine.interrupt()
        with pytest.raises(Interrupted):
            running.result()
        assert len(engine.run_all([work(SHORT, 1)], RunStore(tmp_path))) == 1


@pytest.mark.slow
def test_two_threads_that_need_workers_at_the_same_time_share_one_set(two_workers):
    with Engine() as engine, ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda _: engine.client, range(2))
        assert first is second
        assert len(first.nthreads()) == 2


@pytest.mark.slow
def test_workers_whose_start_is_interrupted_end(two_workers, monkeypatch):
    started = []

    def interrupt(**options):
        started.append(LocalCluster(**options))
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        return started[0]

    monkeypatch.setattr(workers, "LocalCluster", interrupt)
    with Engine() as engine, pytest.raises(KeyboardInterrupt):
        engine.call(print)
    assert [cluster.status.name for cluster in started] == ["closed"]


KERNEL = """
import threading, time
from cnnlab import data
from cnnlab.data import sample
from cnnlab.engine import Engine, Interrupted
from cnnlab.records import Run, RunStore
from cnnlab.study import Architecture, Training, Trial
images = data.gray(sample.make(train=200, test=100))
split = data.split(images, "stratified", 100, 40, 50)
trial = Trial(Architecture(filters=(2,), dense_units=2), Training(epochs=100_000, patience=None, batch_size=16))
engine, reached, raised = Engine(), threading.Event(), []
def run():
    try:
        items = [(Run(trial, seed, images.digest, split.digest), images, split) for seed in (1, 2)]
        engine.run_all(items, RunStore({folder!r}), on_epoch=lambda _, epoch, __: epoch and reached.set())
    except Interrupted as error:
        raised.append(error)
thread = threading.Thread(target=run, daemon=True)
thread.start()
assert reached.wait({seconds})
"""
WAITING_CELL = """
try:
    print("waits")
    time.sleep({seconds})
except KeyboardInterrupt:
    engine.interrupt()
    thread.join({seconds})
raised[0]
"""
NEXT_CELL = """
items = [(Run(trial.change(epochs=2), seed, images.digest, split.digest), images, split) for seed in range(4)]
assert len(engine.run_all(items, RunStore({folder!r}))) == 4
"""


@pytest.fixture
def kernel(tmp_path):
    """A kernel with runs in progress in a background thread: its manager, and a function that executes a cell."""
    manager, client = start_new_kernel()

    def execute(code, on_print=lambda: None):
        def on_output(message):
            if message["msg_type"] == "stream":
                on_print()

        code = code.format(folder=str(tmp_path), seconds=SECONDS)
        content = client.execute_interactive(code, timeout=2 * SECONDS, output_hook=on_output)["content"]
        assert content["status"] == "ok", content

    try:
        execute(KERNEL)
        yield manager, execute
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        ensure_event_loop().close()  # jupyter_client's own


@pytest.mark.slow
@pytest.mark.parametrize("end", ["killed", "shut down"])
def test_workers_of_a_thread_of_a_kernel_end_with_the_kernel_without_close(kernel, end):
    manager, _ = kernel
    process = psutil.Process(manager.provisioner.pid)
    children = process.children(recursive=True)
    assert children, "workers"
    started = time.monotonic()
    if end == "killed":
        process.kill()
    else:
        manager.shutdown_kernel()
    _, alive = psutil.wait_procs([process, *children], timeout=SECONDS)
    assert not alive
    assert time.monotonic() - started < 3 * seconds_to_end()


@pytest.mark.slow
def test_an_interrupt_of_jupyter_reaches_the_cell_and_no_worker(kernel):
    """Jupyter sends it to all processes of the kernel."""
    manager, execute = kernel
    process = psutil.Process(manager.provisioner.pid)
    before = {child.pid for child in process.children(recursive=True)}
    execute(WAITING_CELL, on_print=manager.interrupt_kernel)
    execute(NEXT_CELL)
    assert {child.pid for child in process.children(recursive=True)} == before
