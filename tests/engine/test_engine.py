"""Runs on real Dask workers: equal runs once, stored runs never again, failed runs without effect on the others."""

import errno
import multiprocessing.synchronize
import os
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import cloudpickle
import dask
import numpy as np
import psutil
import pytest
from distributed import Status

from cnnlab.engine import Engine, RunQueue, workers
from cnnlab.engine.ahead import Ahead
from cnnlab.engine.cluster import Cluster, connect
from cnnlab.engine.dispatch import EPOCH_SECONDS, report_epoch
from cnnlab.engine.images import Images
from cnnlab.errors import ConfigError, RunError
from cnnlab.models import fit
from cnnlab.records import RunStore
from cnnlab.study import Architecture, Training, Trial
from cnnlab.surroundings import NO_FOLDER
from conftest import make_record

TRIAL = Trial(Architecture(filters=(2,), dense_units=2), Training(epochs=1, batch_size=16))


def slow(seconds, error=""):
    time.sleep(seconds)
    if error:
        raise TimeoutError(error)
    return seconds


def test_equal_runs_are_done_once_and_stored_runs_never_again(engine, work, tmp_path):
    seen = []

    def note(record, cached):
        seen.append((record.seed, cached))

    store = RunStore(tmp_path)
    items = [work(TRIAL, 1), work(TRIAL, 2), work(TRIAL, 1)]
    first = engine.run_all(items, store, note)
    assert sorted(seen) == [(1, False), (2, False)]
    seen.clear()
    again = engine.run_all([*items, work(TRIAL, 3)], store, note)
    assert sorted(seen) == [(1, True), (2, True), (3, False)]
    assert {key: again[key] for key in first} == first


def test_workers_give_the_record_that_this_process_gives(engine, work, tmp_path):
    item = work(TRIAL, 1)
    (record,) = engine.run_all([item], RunStore(tmp_path)).values()
    here, arrays = fit.run(*item)
    assert record.history.keys() == here.history.keys()
    # Not bit by bit: the threads of the two processes differ in number, and with them the order of sums.
    assert record.scores["test_loss"] == pytest.approx(here.scores["test_loss"], rel=1e-4)
    np.testing.assert_allclose(RunStore(tmp_path).arrays(record.digest)["val_probs"], arrays["val_probs"], rtol=1e-3)


def test_a_run_that_fails_is_reported_and_the_others_are_stored(engine, work, tmp_path):
    store = RunStore(tmp_path)
    too_small = TRIAL.change(filters=(2,) * 5)
    with pytest.raises(RunError, match=r"1 failed.*seed 7.*12 x 12"):
        engine.run_all([work(TRIAL, 1), work(too_small, 7), work(TRIAL, 2)], store)
    assert sorted(record.seed for record in store.records()) == [1, 2]


def worker_pids(engine):
    return list(engine.client.run(os.getpid).values())


@pytest.mark.parametrize("moment", ["during the next runs", "after the next runs"])
@pytest.mark.parametrize("how_many", [1, 2], ids=["one", "all"])
def test_runs_of_workers_that_are_killed_go_to_others(engine, work, tmp_path, how_many, moment):
    """Also where no worker is left that had the images, and where a result is lost before it is fetched."""
    victims = worker_pids(engine)[:how_many]
    alive = list(victims)

    def kill(*_):
        while alive and moment == "after the next runs" and any(engine.client.processing().values()):
            time.sleep(0.05)
        while alive:
            os.kill(alive.pop(), signal.SIGKILL)

    items = [work(TRIAL, seed) for seed in range(11, 17)]
    found = engine.run_all(items, RunStore(tmp_path), kill)
    assert sorted(record.seed for record in found.values()) == list(range(11, 17))
    assert not set(victims) & set(worker_pids(engine))


class Deadly(tuple):
    """Class names that kill any process that counts them, except the one that made them."""

    def __new__(cls, names, pid=None):
        made = super().__new__(cls, names)
        made.pid = pid or os.getpid()
        return made

    def __len__(self):
        if os.getpid() != self.pid:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__len__()


def test_a_run_that_kills_three_workers_is_reported_with_its_settings_and_the_rest_continues(
    engine, work, tmp_path, tiny
):
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    run, _, split = work(TRIAL, 5)
    deadly = replace(tiny, class_names=Deadly(("dark", "deadly")))
    run = replace(run, data_digest=deadly.digest)
    store = RunStore(tmp_path)
    with pytest.raises(RunError, match=r'1 failed.*seed 5: it killed 3 workers.*"filters": \[2\]'):
        engine.run_all([work(TRIAL, 1), (run, deadly, split), work(TRIAL, 2)], store)
    assert sorted(record.seed for record in store.records()) == [1, 2]


@pytest.mark.parametrize("asked", ["call", "run"])
def test_workers_that_end_as_they_start_are_replaced(monkeypatch, two_workers, work, tmp_path, asked):
    """Dask does not replace them; a call or a run would wait for ever."""
    monkeypatch.setattr("cnnlab.engine.cluster.REPLACE_SECONDS", 1)
    monkeypatch.setattr("cnnlab.engine.cluster.POLL_SECONDS", 1)
    monkeypatch.setattr("cnnlab.engine.cluster.CONNECT_SECONDS", 2)
    with Engine() as engine:
        engine.call(os.getpid)
        many = len(engine.client.nthreads())
        for nanny in engine.client.cluster.workers.values():
            nanny.status = Status.starting  # as it is until a worker has joined
        for pid in engine.client.run(os.getpid).values():
            os.kill(pid, signal.SIGKILL)
        if asked == "call":
            assert engine.call(pow, 2, 3) == 8
        else:
            assert len(engine.run_all([work(TRIAL, 1)], RunStore(tmp_path))) == 1
        assert len(engine.client.nthreads()) <= many


def test_a_worker_that_ended_as_it_started_is_replaced_while_the_others_work(monkeypatch, two_workers, work, tmp_path):
    monkeypatch.setattr("cnnlab.engine.cluster.REPLACE_SECONDS", 1)
    monkeypatch.setattr("cnnlab.engine.cluster.POLL_SECONDS", 0.5)
    with Engine() as engine:
        many = len(engine.client.nthreads())
        engine.run_all([work(TRIAL, seed) for seed in range(101, 101 + many)], RunStore(tmp_path))  # imports Keras
        nanny = next(iter(engine.client.cluster.workers.values()))
        nanny.status = Status.starting  # as it is until a worker has joined
        os.kill(nanny.pid, signal.SIGKILL)
        end = time.monotonic() + 300
        while len(engine.client.nthreads()) == many:  # until Dask has noticed
            assert time.monotonic() < end
            time.sleep(0.05)
        seen = []

        def on_run_end(*_):
            seen.append(len(engine.client.nthreads()))
            if seen[-1] < many:
                time.sleep(0.3)  # there is always a run that ends, so the engine never waits for long

        engine.run_all([work(TRIAL, seed) for seed in range(1, 101)], RunStore(tmp_path), on_run_end)
        assert seen[0] == many - 1
        assert seen[-1] == many


def test_a_function_that_takes_longer_than_a_poll_gives_its_own_result_or_error(engine, monkeypatch):
    monkeypatch.setattr("cnnlab.engine.cluster.POLL_SECONDS", 0.2)
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    assert engine.call(slow, 0.5) == 0.5
    monkeypatch.setattr("cnnlab.engine.cluster.POLL_SECONDS", 0.001)
    for _ in range(50):  # an error at the moment when the wait times out is not the wait's
        with pytest.raises(TimeoutError, match="mine"):
            engine.call(slow, 0.003, "mine")


def test_a_worker_gets_runs_of_the_model_that_it_has_traced_and_leaves_the_others_theirs():
    queue = RunQueue()
    for trace_key, digest in (("a", "a1"), ("a", "a2"), ("b", "b1"), ("b", "b2")):
        queue.add(trace_key, digest)
    assert len(queue) == 4
    assert queue.take(None, ()) == "a1"
    assert queue.take(None, {"a"}) == "b1"
    assert queue.take("a", {"b"}) == "a2"
    assert queue.take("a", {"b"}) == "b2"
    assert not queue


def test_workers_keep_the_traced_model_from_one_stage_to_the_next(engine, work, tmp_path):
    """Each of as many models as there are workers has its worker, whatever the order of the runs."""
    many = len(engine.client.nthreads())
    trials = [TRIAL.change(dense_units=20 + number) for number in range(many)]
    places = []
    for seed in range(1, 5):
        items = [work(trial, seed) for trial in trials]
        engine.run_all(items[:: (-1) ** seed], RunStore(tmp_path))
        places.append(dict(engine._cluster.trace_keys))
    assert len(set(places[0].values())) == many
    assert places == places[:1] * 4


def held(dask_worker):
    return {name: id(plugin) for name, plugin in dask_worker.plugins.items() if name.startswith("cnnlab-")}


def test_workers_free_the_graphs_of_earlier_models(engine, work, tmp_path):
    def registered():
        from tensorflow.python.framework import ops

        return [name for name in ops.gradient_registry._registry if name.startswith("CustomGradient-")]

    engine.run_all([work(TRIAL.change(dense_units=units), 1) for units in (3, 4, 5)], RunStore(tmp_path))
    assert set(map(tuple, engine.client.run(registered).values())) == {()}


def test_workers_keep_no_profile_of_what_they_do(engine):
    def setting():
        import dask

        return dask.config.get("distributed.worker.profile.enabled")

    assert set(engine.client.run(setting).values()) == {False}


def test_images_are_sent_to_the_workers_once(engine, work, tmp_path):
    engine.run_all([work(TRIAL, 1)], RunStore(tmp_path))
    before = engine.client.run(held)
    assert all(before.values())
    engine.run_all([work(TRIAL, 2)], RunStore(tmp_path))
    assert engine.client.run(held) == before


def test_a_worker_that_replaces_a_killed_one_has_the_images_before_it_has_a_run(engine, work, tmp_path):
    engine.run_all([work(TRIAL, 1)], RunStore(tmp_path))
    before = engine.client.run(held)
    address, pid = next(iter(engine.client.run(os.getpid).items()))
    os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 300
    while address in engine.client.nthreads() or len(engine.client.nthreads()) < len(before):
        assert time.monotonic() < end
        time.sleep(0.1)
    after = engine.client.run(held)
    (new,) = after.keys() - before.keys()
    assert after[new].keys() == before[address].keys()
    engine.run_all([work(TRIAL, seed) for seed in range(2, 6)], RunStore(tmp_path))


def test_images_are_sent_again_where_a_worker_ends_meanwhile(tiny):
    sent, failures = [], [OSError("closed"), TimeoutError()]

    def register(plugin, name):
        if failures and name.endswith(tiny.digest):
            raise failures.pop()
        sent.append(name)

    client = SimpleNamespace(id="Client-1", register_plugin=register, scheduler_comm=None)
    images = Images(client, is_shared=True)
    images.carry(tiny)
    assert sent[-1] == f"cnnlab-Client-1-{tiny.digest}"
    sent.clear()
    images.carry(tiny)
    assert not sent
    failures.extend([OSError("closed")] * 100)
    images.forget()
    with pytest.raises(ConfigError, match=r"Expected the workers to take the images\. Received: OSError"):
        images.carry(tiny)


def test_only_workers_that_outlive_a_client_are_asked_to_remove_its_images(engine, work, tmp_path):
    """While the workers of this machine end with the command, Dask would print a traceback for each."""

    def removers(dask_scheduler):
        return [name for name in dask_scheduler.plugins if name.startswith("cnnlab-")]

    engine.run_all([work(TRIAL, 1)], RunStore(tmp_path / "a"))
    own = set(engine.client.run_on_scheduler(removers))
    with Engine(engine.address) as joined:
        joined.run_all([work(TRIAL, 1)], RunStore(tmp_path / "b"))
        assert len(set(engine.client.run_on_scheduler(removers)) - own) == 1
    assert f"cnnlab-{engine.client.id}-" not in own


def test_another_engine_joins_the_workers_at_an_address(engine):
    with Engine(engine.address) as joined:
        assert joined.call(pow, 2, 5) == 32
        assert joined.address == engine.address
    assert engine.call(pow, 2, 5) == 32


def test_an_engine_joins_while_others_cancel_their_runs(engine):
    """Dask sends a message to all clients then, also to one that is still connecting."""
    ended = threading.Event()

    def cancel():
        with Engine(engine.address) as other:
            while not ended.wait(0.001):
                other.client.cancel([other.client.submit(pow, 2, 3, pure=False)])

    with ThreadPoolExecutor(1) as threads:
        cancelling = threads.submit(cancel)
        try:
            for _ in range(40):
                with Engine(engine.address) as joined:
                    assert joined.client.status == "running"
        finally:
            ended.set()
        cancelling.result()


@pytest.fixture
def all_epochs(engine):
    """Workers that report every epoch, however short."""

    def set_pause(seconds):
        from cnnlab.engine import dispatch

        dispatch.EPOCH_SECONDS = seconds

    engine.client.run(set_pause, 0)
    yield
    engine.client.run(set_pause, EPOCH_SECONDS)


def test_epochs_are_reported_before_the_end_of_the_run_to_the_client_that_sent_it(engine, all_epochs, work, tmp_path):
    """In the thread that waits for the run, so that callbacks need no locks."""

    def ask(engine, *seeds):
        seen = {seed: [] for seed in seeds}

        def on_epoch(run, number, metrics):
            seen[run.seed].append((number, metrics, threading.get_ident()))

        def on_run_end(record, cached):
            seen[record.seed].append((record, threading.get_ident()))

        items = [work(TRIAL.change(epochs=3), seed) for seed in seeds]
        engine.run_all(items, RunStore(tmp_path / str(seeds)), on_run_end, on_epoch)
        for events in seen.values():
            assert {thread for *_, thread in events} == {threading.get_ident()}
            record, _ = events.pop()
            epochs = [(n + 1, {name: values[n] for name, values in record.history.items()}) for n in range(3)]
            assert [(number, metrics) for number, metrics, _ in events if number] == epochs
            assert [metrics for number, metrics, _ in events if not number] in ([{}], []), "traced or not"

    with Engine(engine.address) as other, ThreadPoolExecutor(2) as threads:
        for answer in (threads.submit(ask, engine, 21, 22), threads.submit(ask, other, 23, 24)):
            answer.result()


def test_a_worker_reports_epochs_only_a_few_times_a_second(engine, work, tmp_path):
    seen = []
    start = time.monotonic()
    items = [work(TRIAL.change(epochs=40), 1)]
    engine.run_all(items, RunStore(tmp_path), on_epoch=lambda _, number, __: seen.append(number))
    assert seen == sorted(seen)
    assert 1 <= len(seen) < 40
    assert len(seen) <= 2 + (time.monotonic() - start) / EPOCH_SECONDS


def test_an_epoch_that_is_reported_outside_a_worker_is_no_error():
    report_epoch("digest", 1, {})


def test_no_scheduler_at_the_address_is_one_line(monkeypatch):
    monkeypatch.setattr("cnnlab.engine.cluster.CONNECT_SECONDS", 1)
    with socket.socket() as silent:  # its port is nobody else's, and nobody listens there
        silent.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ConfigError, match="leave SCHEDULER out"), Engine(address) as engine:
            _ = engine.client


@pytest.mark.parametrize(
    "address", ["", "foo", "tcp://127.0.0.1", "tcp://here:abc", "http://here:8786", "tls://here:1"]
)
def test_a_wrong_address_of_a_scheduler_is_one_line_at_once(address):
    with pytest.raises(ConfigError, match="Dask scheduler"):
        connect(address)


def test_an_engine_with_stored_runs_only_starts_nothing(work, tmp_path, engine):
    store = RunStore(tmp_path)
    engine.run_all([work(TRIAL, 1)], store)
    before = psutil.Process().children(recursive=True)
    with Engine() as idle:
        idle.run_all([work(TRIAL, 1)], store)
        assert set(psutil.Process().children(recursive=True)) <= set(before)  # some of these may end meanwhile


def test_a_dataset_changed_by_one_pixel_is_another_run(work, tiny):
    pixels = tiny.train_images.copy()
    pixels[0, 0, 0, 0] ^= 1
    other = replace(tiny, train_images=pixels)
    assert replace(work(TRIAL, 1)[0], data_digest=other.digest).digest != work(TRIAL, 1)[0].digest


@pytest.mark.slow
def test_workers_of_this_machine_take_no_settings_for_dask_or_keras_from_the_user(monkeypatch):
    unfriendly = {
        "distributed.comm.require-encryption": True,
        "distributed.comm.tls.ca-file": "missing.pem",
        "distributed.scheduler.idle-timeout": "1s",
        "distributed.worker.lifetime.duration": "2s",
        "distributed.worker.preload": ["no_such_module"],
        "distributed.nanny.preload": ["no_such_module"],
        "distributed.scheduler.preload": ["no_such_module"],
    }
    for name in ("TF_ENABLE_ONEDNN_OPTS", "XLA_FLAGS", "KERAS_MAX_EPOCHS"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with dask.config.set(unfriendly), Engine() as engine:
        started = set(engine.client.nthreads())
        time.sleep(4)
        names = ("TF_ENABLE_ONEDNN_OPTS", "XLA_FLAGS", "KERAS_MAX_EPOCHS", "OMP_NUM_THREADS", "KERAS_HOME")
        found = engine.call(lambda: [os.environ.get(name) for name in names])
        assert found == [None, None, None, "1", NO_FOLDER]
        assert set(engine.client.nthreads()) == started


def test_a_machine_without_shared_semaphores_is_named(monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(multiprocessing.synchronize, "Semaphore", fail)
    with pytest.raises(ConfigError, match=r"/dev/shm\. Received: Read-only file system\. Allow cnnlab to write"):
        Engine().address  # noqa: B018


def test_workers_that_cannot_start_say_the_true_cause(monkeypatch):
    def fail(**_):
        try:
            raise PermissionError(errno.EACCES, "Permission denied", "place")
        except OSError as error:
            raise RuntimeError("Cluster failed to start") from error

    monkeypatch.setattr(workers, "LocalCluster", fail)
    with pytest.raises(ConfigError, match=r"Permission denied: 'place'\. Allow cnnlab to write there") as caught:
        Engine().address  # noqa: B018
    assert "Free space" not in str(caught.value)


def test_workers_that_would_wait_make_runs_that_are_asked_for_later(two_workers, work, tmp_path):
    seen = []

    def note(record, cached):
        seen.append((record.seed, cached))

    store, later = RunStore(tmp_path / "runs"), [work(TRIAL, seed) for seed in (2, 3, 4)]
    with Engine() as engine:
        engine.run_all([work(TRIAL, 5), work(TRIAL, 6)], RunStore(tmp_path / "other"))  # both import Keras
        engine.expect(later, store)
        engine.run_all([work(TRIAL.change(epochs=300), 1)], store, note)
        assert seen == [(1, False)]
        assert len(store.records()) > 1, "the other worker has made some"
        records = engine.run_all(later, store, note)
        assert sorted(seen) == [(1, False), (2, False), (3, False), (4, False)]
        assert {record.seed for record in records.values()} == {2, 3, 4}
        seen.clear()
        engine.run_all(later, store, note)
        assert sorted(seen) == [(2, True), (3, True), (4, True)]


def test_a_run_in_progress_that_is_now_asked_for_is_not_made_twice(two_workers, work, tmp_path, monkeypatch):
    sent, submit = [], Cluster.submit

    def note(cluster, name, *args, **options):
        sent.append(name)
        return submit(cluster, name, *args, **options)

    monkeypatch.setattr(Cluster, "submit", note)
    store, later = RunStore(tmp_path), [work(TRIAL.change(epochs=1000), 2)]
    with Engine() as engine:
        engine.run_all([work(TRIAL, 5), work(TRIAL, 6)], store)  # imports Keras
        engine.expect(later, store)
        engine.run_all([work(TRIAL, 1)], store)
        assert store.get(later[0][0].digest) is None, "it takes longer"
        assert len(engine.run_all(later, store)) == 1
    assert sent.count(f"run-{later[0][0].digest}") == 1


def test_a_run_in_progress_for_later_can_be_sent_again_although_another_command_has_stored_it(work, tmp_path):
    store, items = RunStore(tmp_path), [work(TRIAL, seed) for seed in (1, 2)]
    ahead = Ahead(items, store)
    ahead.sent = {"a task": (items[0][0].digest, "a worker")}
    for run, *_ in items:
        about = {"data": {"digest": run.data_digest}, "split": {"digest": run.split_digest}}
        store.put(make_record(run.trial, run.seed, **about), {"x": np.zeros(1)})
    assert list(ahead.for_store(store).work) == [items[0][0].digest]


def test_runs_that_are_asked_for_later_stay_out_of_other_stores(two_workers, work, tmp_path):
    store, other = RunStore(tmp_path / "one"), RunStore(tmp_path / "other")
    with Engine() as engine:
        engine.expect([work(TRIAL, seed) for seed in (2, 3, 4)], store)
        engine.run_all([work(TRIAL.change(epochs=100), 1)], other)
        assert [record.seed for record in other.records()] == [1]
        assert not store.records()


def test_a_run_that_fails_is_named_only_when_it_is_asked_for(two_workers, work, tmp_path):
    store, later = RunStore(tmp_path), [work(TRIAL.change(filters=(2,) * 5), 7)]
    with Engine() as engine:
        engine.expect(later, store)
        engine.run_all([work(TRIAL.change(epochs=100), 1)], store)
        with pytest.raises(RunError, match=r"1 failed.*seed 7"):
            engine.run_all(later, store)
