"""Send runs to workers: one per thread, to a worker that has traced the model, again if the worker ends."""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import partial
from queue import Empty
from typing import Any

from distributed import Future, KilledWorker, get_worker

from cnnlab.engine import cluster as clusters
from cnnlab.engine.ahead import Ahead, Work
from cnnlab.engine.cluster import KILLED_WORKERS, Cluster, ClusterError, ResultLostError
from cnnlab.engine.events import Events, Interrupted
from cnnlab.engine.images import carried
from cnnlab.engine.queue import RunQueue
from cnnlab.errors import RunError, WorkerError
from cnnlab.records import Record, Run, RunStore

EPOCHS = "cnnlab-epochs"
"""Dask's topic for events that say which epoch of which run has ended."""
EPOCH_SECONDS = 0.25
"""Least time between two such events of a worker: nobody reads faster."""
_Result = tuple[Record, dict[str, Any]]


def fit_run(run: Run, images: str, checkpoints: str) -> _Result:
    """Do a run on a worker, with images that the worker was given under names with a prefix."""
    from cnnlab.models import fit, forget_gradients  # loads Keras: seconds, once per worker

    dataset, split = carried(images, run.data_digest), carried(images, run.split_digest)
    try:
        return fit.run(run, dataset, split, checkpoints, partial(report_epoch, run.digest))
    finally:
        if get_worker().state.nthreads == 1:  # else another thread may be tracing a model
            forget_gradients()


_reported = 0.0
"""When this worker last reported an epoch."""


def report_epoch(digest: str, epoch: int, metrics: Mapping[str, float]) -> None:
    """Report to all clients which epoch of a run has ended, unless this worker has just reported another.

    Epoch 0, before a model is traced, is always reported: the next epoch comes seconds later.

    Raises:
        CancelledError: The run was cancelled. Dask itself would let it run to its end, while the next run waits.
    """
    global _reported
    if _is_cancelled():
        raise CancelledError(digest)
    if epoch == 0 or time.monotonic() - _reported >= EPOCH_SECONDS:
        _reported = time.monotonic()
        with suppress(Exception):  # a fit must not fail because of it
            get_worker().log_event(EPOCHS, {"run": digest, "epoch": epoch, "metrics": dict(metrics)})


def _is_cancelled() -> bool:
    """Return whether the task that this thread of a worker executes was cancelled."""
    with suppress(Exception):  # outside a worker
        worker = get_worker()
        return bool(worker.state.tasks[worker.get_current_task()].state == "cancelled")
    return False


class Dispatch:
    """Does runs on the workers of a cluster; `Engine.run_all` describes the other arguments.

    Args:
        work: Runs that are not stored, with their images, by digest.
        events: A new queue. None in it interrupts the runs.
        ahead: Runs that will be asked for later. Workers that would wait make some of them, and continue them after
            `run` has returned.
    """

    def __init__(
        self,
        cluster: Cluster,
        work: Mapping[str, Work],
        store: RunStore,
        on_run_end: Callable[[Record, bool], None],
        on_epoch: Callable[[Run, int, Mapping[str, float]], None],
        events: Events,
        ahead: Ahead,
    ) -> None:
        self._cluster, self._store, self._events, self._ahead = cluster, store, events, ahead
        self._work = {**ahead.work, **work}
        self._wanted = set(work)  # without those that have ended
        self._on_run_end, self._on_epoch = on_run_end, on_epoch
        self._checkpoints = str(store.prepare())
        # Another dispatch of this engine may be in progress, so each run that was sent has one owner.
        self._sent, ahead.sent = ahead.sent, {}
        self._queue, self._later = RunQueue(), RunQueue()
        in_progress = {digest for digest, _ in self._sent.values()}
        for digest in self._work:
            if digest not in in_progress:
                self._enqueue(digest)
        self._killed = Counter[str]()
        self._failures: dict[str, str] = {}  # digest to reason

    def run(self) -> dict[str, Record]:
        """Do all runs and return their records by digest; it raises what `Engine.run_all` does."""
        client, records = self._cluster.client, dict[str, Record]()
        self._cluster.restart_clock()
        try:
            client.subscribe_topic(EPOCHS, lambda event: self._events.put(event[1]))
            for future in self._sent:
                future.add_done_callback(self._events.put)
            self._fill()
            while self._wanted:
                if (future := self._next_finished()) not in self._sent:  # None, or cancelled
                    continue
                result = self._collect(future)
                self._fill()  # before storing, so that no worker waits for the disk
                self._put(result, records)
            self._ahead.sent, self._sent = self._sent, {}
        except Interrupted:  # some runs may have ended since
            for future in [future for future in self._sent if future.status == "finished"]:
                self._put(self._collect(future), records)
            raise
        finally:
            with suppress(Exception):  # without a scheduler there is nothing to cancel
                client.unsubscribe_topic(EPOCHS)
                client.cancel(list(self._sent))
        if self._failures:
            failed = len(self._failures)
            raise RunError(
                f"Expected {len(records) + failed} runs to finish. Received: {failed} failed. "
                f"First, {next(iter(self._failures.values()))}",
                self._failures,
            )
        return records

    def _fill(self) -> None:
        """Keep exactly one run per worker thread, so that a worker's unexpected end can be blamed on its run."""
        threads = self._cluster.look()
        self._looked = time.monotonic()
        self._follow(threads)
        busy = Counter(worker for _, worker in self._sent.values())
        for worker, count in threads.items():
            for _ in range(min(count - busy[worker], len(self._queue) + len(self._later))):
                self._send(worker)
        if self._queue and not self._sent:  # there is no worker, but one may join
            self._send(None)

    def _follow(self, threads: Mapping[str, int]) -> None:
        """Note where Dask has sent the runs whose worker is gone, and send those again that it has not.

        It leaves a run where it is if no other worker was there to take it (distributed 2026.8).
        """
        trace_keys = self._cluster.trace_keys
        for worker in trace_keys.keys() - threads.keys():
            del trace_keys[worker]
        astray = [future for future, (_, worker) in self._sent.items() if worker not in threads]
        tasks = self._cluster.client.processing() if astray else {}
        places = {task: place for place, its_tasks in tasks.items() for task in its_tasks}
        for future in astray:
            digest, gone = self._sent[future]
            if new := places.get(future.key):
                self._sent[future] = digest, new
                trace_keys[new] = self._work[digest][0].trace_key
            elif gone and future.status == "pending":
                del self._sent[future]
                future.cancel()
                self._send_again(digest, killed=1)

    def _send(self, worker: str | None) -> None:
        """Send a run to a worker, or to any other if that one is gone."""
        images, trace_keys = self._cluster.images, self._cluster.trace_keys
        others = {key for other, key in trace_keys.items() if other != worker}
        digest = (self._queue or self._later).take(trace_keys.get(worker) if worker else None, others)
        run, dataset, split = self._work[digest]
        images.carry(dataset)
        images.carry(split)
        if worker:
            trace_keys[worker] = run.trace_key
        place = {"workers": [worker], "allow_other_workers": True} if worker else {}
        future = self._cluster.submit(f"run-{digest}", fit_run, run, images.prefix, self._checkpoints, **place)
        self._sent[future] = digest, worker
        future.add_done_callback(self._events.put)

    def _next_finished(self) -> Future | None:
        """Return the next task that has finished; None after an epoch or some seconds."""
        if time.monotonic() - self._looked >= clusters.POLL_SECONDS:
            self._fill()
        try:
            event = self._events.get(timeout=clusters.POLL_SECONDS)
        except Empty:
            return None
        if event is None:
            raise Interrupted
        if isinstance(event, Future):
            return event
        in_progress = {digest for digest, _ in self._sent.values()}
        if event["run"] in self._wanted & in_progress:  # else finished, another client's, or for later
            self._on_epoch(self._work[event["run"]][0], event["epoch"], event["metrics"])
        return None

    def _collect(self, future: Future) -> _Result | None:
        """Return the result of a finished task; None if the run failed or must be sent again."""
        digest, _ = self._sent.pop(future)  # else Dask would do the run again if the worker ends
        try:
            result: _Result = self._cluster.fetch(future)
        except KilledWorker as error:
            self._send_again(digest, killed=error.allowed_failures + 1)  # a cluster may have tried several workers
        except ResultLostError:
            self._send_again(digest, killed=1)
        except CancelledError:  # the connection to the scheduler was interrupted
            self._cluster.images.forget()
            self._send_again(digest, killed=1)
        except (ClusterError, WorkerError):
            raise
        except Exception as error:  # whatever failed on the worker, the other runs continue
            self._cluster.check_versions()
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            self._fail(digest, reason)
        else:
            return result
        return None

    def _put(self, result: _Result | None, records: dict[str, Record]) -> None:
        """Store the result of a run, if there is one."""
        if not result:
            return
        record = self._store.put(*result)
        self._ahead.work.pop(record.digest, None)
        if record.digest in self._wanted:
            self._wanted.remove(record.digest)
            records[record.digest] = record
            self._on_run_end(record, False)
        else:
            self._ahead.made.add(record.digest)

    def _fail(self, digest: str, reason: str) -> None:
        """Note why a run has failed. One that nobody has asked for is tried again when it is asked for."""
        self._ahead.work.pop(digest, None)
        if digest in self._wanted:
            self._wanted.remove(digest)
            self._failures[digest] = f"seed {self._work[digest][0].seed}: {reason}"

    def _enqueue(self, digest: str) -> None:
        """Queue a run: before those that are asked for later, unless it is one of them."""
        queue = self._queue if digest in self._wanted else self._later
        queue.add(self._work[digest][0].trace_key, digest)

    def _send_again(self, digest: str, killed: int) -> None:
        """Queue a run again whose workers ended unexpectedly, unless there were too many of them."""
        self._killed[digest] += killed
        if self._killed[digest] < KILLED_WORKERS:
            self._enqueue(digest)
        else:
            settings = json.dumps(self._work[digest][0].trial.canonical())
            self._fail(digest, f"it killed {self._killed[digest]} workers (perhaps out of memory), with {settings}")
