"""Real Dask workers: equal runs once, stored runs never again, a failed run alone."""

import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cloudpickle
import numpy as np
import pytest
from distributed import Status

from cnnlab import data
from cnnlab.engine import TELL_SECONDS, Engine
from cnnlab.engine.cluster import _connected, _tell, _Waiting
from cnnlab.errors import ConfigError, RunError
from cnnlab.models import fit
from cnnlab.records import Run, RunStore
from cnnlab.study import Architecture, Training, Trial

TRIAL = Trial(Architecture(filters=(2,), dense_units=2), Training(epochs=1, batch_size=16))


def slow(seconds, error=""):
    time.sleep(seconds)
    if error:
        raise TimeoutError(error)
    return seconds


@pytest.fixture
def work(tiny):
    split = data.split(tiny, "stratified", 20, 8, 10)

    def of(trial, seed):
        return Run(trial, seed, tiny.digest, split.digest), tiny, split

    return of


def test_equal_runs_are_done_once_and_stored_runs_never_again(engine, work, tmp_path):
    seen = []

    def note(record, cached):
        seen.append((record.seed, cached))

    store = RunStore(tmp_path)
    items = [work(TRIAL, 1), work(TRIAL, 2), work(TRIAL, 1)]
    first = engine.records(items, store, note)
    assert sorted(seen) == [(1, False), (2, False)]
    seen.clear()
    again = engine.records([*items, work(TRIAL, 3)], store, note)
    assert sorted(seen) == [(1, True), (2, True), (3, False)]
    assert {key: again[key] for key in first} == first


def test_workers_give_the_record_that_this_process_gives(engine, work, tmp_path):

    item = work(TRIAL, 1)
    (record,) = engine.records([item], RunStore(tmp_path)).values()
    here, arrays = fit.run(*item)
    assert record.history.keys() == here.history.keys()
    # Not bit by bit: the threads of the two processes differ in number, and with them the order of sums.
    assert record.scores["test_loss"] == pytest.approx(here.scores["test_loss"], rel=1e-4)
    np.testing.assert_allclose(RunStore(tmp_path).arrays(record.digest)["val_probs"], arrays["val_probs"], rtol=1e-3)


def test_a_run_that_fails_is_reported_and_the_others_are_stored(engine, work, tmp_path):
    store = RunStore(tmp_path)
    too_small = TRIAL.change(filters=(2,) * 5)
    with pytest.raises(RunError, match=r"1 failed.*seed 7.*12x12"):
        engine.records([work(TRIAL, 1), work(too_small, 7), work(TRIAL, 2)], store)
    assert sorted(record.seed for record in store.records()) == [1, 2]


def workers_of(engine):
    return [worker["pid"] for worker in engine.client.run(lambda: {"pid": __import__("os").getpid()}).values()]


@pytest.mark.parametrize("how_many", [1, 2], ids=["one", "all"])
def test_runs_of_workers_that_are_killed_go_to_others(engine, work, tmp_path, how_many):
    """With all of them dead the images are lost too, and are sent again."""
    victims = workers_of(engine)[:how_many]
    left = list(victims)

    def kill(*_):
        while left:
            os.kill(left.pop(), signal.SIGKILL)

    items = [work(TRIAL, seed) for seed in range(11, 17)]
    found = engine.records(items, RunStore(tmp_path), kill)
    assert sorted(record.seed for record in found.values()) == list(range(11, 17))
    assert not set(victims) & set(workers_of(engine))


class Deadly(tuple):
    """Class names that kill any process which counts them, but for the one that made them."""

    def __new__(cls, names, pid=None):
        made = super().__new__(cls, names)
        made.pid = pid or os.getpid()
        return made

    def __len__(self):
        if os.getpid() != self.pid:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__len__()


def test_a_run_that_kills_three_workers_is_reported_with_its_settings_and_the_rest_goes_on(
    engine, work, tmp_path, tiny
):
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    what, _, split = work(TRIAL, 5)
    deadly = replace(tiny, class_names=Deadly(("dark", "deadly")))
    store = RunStore(tmp_path)
    with pytest.raises(RunError, match=r'1 failed.*seed 5: it killed 3 workers.*"filters": \[2\]'):
        engine.records([work(TRIAL, 1), (what, deadly, split), work(TRIAL, 2)], store)
    assert sorted(record.seed for record in store.records()) == [1, 2]


@pytest.mark.parametrize("asked", ["call", "run"])
def test_workers_that_die_as_they_start_are_replaced_in_the_end(monkeypatch, work, tmp_path, asked):
    """Dask does not replace them; a call, or a run, would wait for ever."""
    monkeypatch.setattr("cnnlab.engine.REPLACE_SECONDS", 1)
    monkeypatch.setattr("cnnlab.engine.POLL_SECONDS", 1)
    monkeypatch.setattr("cnnlab.engine.CONNECT_SECONDS", 2)
    with Engine() as engine:
        engine.call(os.getpid)
        many = len(engine.client.nthreads())
        for nanny in engine._cluster.workers.values():
            nanny.status = Status.starting  # as it is until a worker has told that it is there
        for pid in engine.client.run(os.getpid).values():
            os.kill(pid, signal.SIGKILL)
        if asked == "call":
            assert engine.call(pow, 2, 3) == 8
        else:
            assert len(engine.records([work(TRIAL, 1)], RunStore(tmp_path))) == 1
        assert len(engine.client.nthreads()) <= many


def test_a_worker_that_died_as_it_started_is_replaced_while_the_others_go_on_with_their_runs(
    monkeypatch, work, tmp_path
):
    monkeypatch.setattr("cnnlab.engine.REPLACE_SECONDS", 1)
    monkeypatch.setattr("cnnlab.engine.POLL_SECONDS", 0.5)
    with Engine() as engine:
        many = len(engine.client.nthreads())
        engine.records([work(TRIAL, seed) for seed in range(101, 101 + many)], RunStore(tmp_path))  # imports Keras
        nanny = next(iter(engine._cluster.workers.values()))
        nanny.status = Status.starting  # as it is until a worker has told that it is there
        os.kill(nanny.pid, signal.SIGKILL)
        seen = []

        def done(*_):
            time.sleep(0.3)  # runs that end one after the other, so that it is never quiet
            seen.append(len(engine.client.nthreads()))

        engine.records([work(TRIAL, seed) for seed in range(1, 41)], RunStore(tmp_path), done)
        assert seen[0] == many - 1
        assert seen[-1] == many


def test_a_function_that_takes_longer_than_a_look_at_the_workers_gives_its_own_result_or_error(engine, monkeypatch):
    monkeypatch.setattr("cnnlab.engine.POLL_SECONDS", 0.2)
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    assert engine.call(slow, 0.5) == 0.5
    monkeypatch.setattr("cnnlab.engine.POLL_SECONDS", 0.001)
    for _ in range(50):  # an error that comes just as the look ends is not the look's
        with pytest.raises(TimeoutError, match="mine"):
            engine.call(slow, 0.003, "mine")


def test_a_worker_keeps_to_the_graph_that_it_has_traced_and_leaves_the_others_theirs(work):
    other = TRIAL.change(dense_units=3)
    one, two, three, four = (work(trial, seed) for trial in (TRIAL, other) for seed in (1, 2))
    waiting = _Waiting([one, two, three, four])
    assert waiting.take(None, ()) == one
    assert waiting.take(None, {one[0].trace_key}) == three
    assert waiting.take(one[0].trace_key, {three[0].trace_key}) == two
    assert waiting.take(one[0].trace_key, {three[0].trace_key}) == four
    assert not waiting


def test_images_are_sent_to_the_workers_once(engine, work, tmp_path):
    engine.records([work(TRIAL, 1)], RunStore(tmp_path))
    before = dict(engine._scattered)
    engine.records([work(TRIAL, 2)], RunStore(tmp_path))
    assert engine._scattered == before


def test_another_engine_joins_the_workers_at_an_address(engine):
    with Engine(engine.address) as joined:
        assert joined.call(pow, 2, 5) == 32
        assert joined.address == engine.address
    assert engine.call(pow, 2, 5) == 32


def test_an_engine_joins_while_others_cancel_their_runs(engine):
    """Dask tells all clients of it; one that has only just been greeted may not expect it."""
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
def talkative(engine):
    """Workers that tell of every epoch, however short."""

    def pause(seconds):

        engine.TELL_SECONDS, before = seconds, engine.TELL_SECONDS
        return before

    (before, *_) = engine.client.run(pause, 0).values()
    yield
    engine.client.run(pause, before)


def test_a_run_tells_its_epochs_before_it_is_done_to_the_client_that_sent_it(engine, talkative, work, tmp_path):
    """And in the thread that waits for it, so that whoever is told need not think of others."""

    def ask(engine, *seeds):
        told = {seed: [] for seed in seeds}

        def epoch(run, number):
            told[run.seed].append((number, threading.get_ident()))

        def done(record, cached):
            told[record.seed].append(("done", threading.get_ident()))

        items = [work(TRIAL.change(epochs=3), seed) for seed in seeds]
        engine.records(items, RunStore(tmp_path / str(seeds)), done, epoch)
        assert told == {seed: [(what, threading.get_ident()) for what in (1, 2, 3, "done")] for seed in seeds}

    with Engine(engine.address) as other, ThreadPoolExecutor(2) as threads:
        for answer in (threads.submit(ask, engine, 21, 22), threads.submit(ask, other, 23, 24)):
            answer.result()


def test_a_worker_tells_of_epochs_only_a_few_times_a_second(engine, work, tmp_path):
    told = []
    begin = time.monotonic()
    engine.records([work(TRIAL.change(epochs=40), 1)], RunStore(tmp_path), epoch=lambda _, number: told.append(number))
    assert told == sorted(told)
    assert 1 <= len(told) <= 1 + (time.monotonic() - begin) / TELL_SECONDS < 40


def test_what_is_told_outside_a_worker_is_lost_and_no_error():
    _tell("digest", 1)


def test_no_scheduler_at_the_address_is_one_line(monkeypatch):
    monkeypatch.setattr("cnnlab.engine.CONNECT_SECONDS", 1)
    with pytest.raises(ConfigError, match="leave SCHEDULER out"), Engine("tcp://127.0.0.1:1") as engine:
        _ = engine.client


@pytest.mark.parametrize(
    "address", ["", "foo", "tcp://127.0.0.1", "tcp://here:abc", "http://here:8786", "tls://here:1"]
)
def test_what_is_no_address_of_a_scheduler_is_one_line_at_once(address):
    with pytest.raises(ConfigError, match="Dask scheduler"):
        _connected(address)


def test_an_engine_that_is_asked_for_nothing_starts_nothing(work, tmp_path, engine):
    store = RunStore(tmp_path)
    engine.records([work(TRIAL, 1)], store)
    with Engine() as idle:
        idle.records([work(TRIAL, 1)], store)
        assert idle._client is None


def test_a_dataset_changed_by_one_pixel_is_another_run(work, tiny):
    pixels = tiny.train_images.copy()
    pixels[0, 0, 0, 0] ^= 1
    other = replace(tiny, train_images=pixels)
    assert replace(work(TRIAL, 1)[0], data_digest=other.digest).digest != work(TRIAL, 1)[0].digest
