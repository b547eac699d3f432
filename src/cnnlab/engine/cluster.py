"""Give every run a worker: Dask `distributed`, on this machine or on a cluster."""

import hashlib
import importlib.metadata
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Container, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar
from uuid import uuid4

import dask
from dask.system import CPU_COUNT
from distributed import Client, Future, KilledWorker, LocalCluster, WorkerPlugin, get_worker
from distributed.comm.addressing import get_address_host_port, normalize_address
from distributed.system import MEMORY_LIMIT

from cnnlab import __version__
from cnnlab.data import Dataset, Split
from cnnlab.errors import ConfigError, RunError, WorkerError
from cnnlab.records import Record, Run, RunStore

WORKER_ENV = {
    # One thread a worker: two processes of one thread fit more images a second than one process of two.
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # Workers that share a GPU must each take only what they need of it.
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}
"""Environment of the workers that cnnlab starts, and of a cluster's where these were not started with another."""


_MALLOC = {
    # Dask's own choice has large arrays mapped anew, page by page, in every step of a fit: a twentieth of its time.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
    "MALLOC_ARENA_MAX": "1",
}
"""glibc's settings for the workers that cnnlab starts; it reads them as a process begins."""


ADDRESS = "DASK_SCHEDULER_ADDRESS"
"""Environment variable with the address of the scheduler to join."""


WORKER_BYTES = 1_500_000_000
"""Memory that a worker needs for Keras and the images: on a machine with little, not every core gets a worker."""


CONNECT_SECONDS = 20
"""How long a scheduler may take to answer."""


KILLED_WORKERS = 3
"""Workers that may die of a run before it is given up."""


REPLACE_SECONDS = 20
"""How long a worker of this machine may be gone before cnnlab starts another. Dask replaces one that dies in a second
or two, but one that dies as it starts never (distributed 2026.8)."""


POLL_SECONDS = 5
"""How often it is looked for workers that are gone, or that have come, while runs are waited for."""


LOST_IMAGES = 10
"""How often a run may find that the last worker which held its images has died; that is hardly its fault."""


EPOCHS = "cnnlab-epochs"
"""Dask's topic under which workers tell which epoch of which run begins."""


TELL_SECONDS = 0.25
"""Least time between two such events of a worker: nobody reads faster."""


Work = tuple[Run, Dataset, Split]


_Result = TypeVar("_Result")


class _GoneError(ConfigError):
    """The scheduler or all workers are gone: no fault of the run that was waited for."""


def silence() -> None:
    """Keep this process's stderr off the terminal: what goes wrong in it comes back as an exception.

    TensorFlow writes several lines as it starts, whatever its log level, and so do kernels.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


class _Silent(WorkerPlugin):  # type: ignore[misc]
    """Silences the workers that cnnlab starts, also those started in the place of one that died."""

    def setup(self, worker: object) -> None:  # noqa: ARG002 - Dask's
        silence()


@cache
def code_digest() -> str:
    """Return a digest (64 hex digits) of cnnlab's own code and tables: other code may show or make other results."""
    sha = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*")):
        if path.suffix in (".py", ".csv"):
            sha.update(path.read_bytes())
    return sha.hexdigest()


@cache
def versions() -> dict[str, str]:
    """Return what a worker must have in common with its client, or its runs would not be the same."""
    return {"cnnlab": f"{__version__} (code {code_digest()[:12]})", "keras": importlib.metadata.version("keras")}


def _connected(scheduler: str) -> Client:
    """Return a client of the scheduler at an address.

    Raises:
        ConfigError: It is no address, or no scheduler answers there.
    """
    try:
        address = normalize_address(scheduler)
        get_address_host_port(address, strict=True)  # a client, once begun with a wrong one, takes 40 s to end
    except ValueError as error:
        raise ConfigError(
            f"Expected the address of a Dask scheduler, such as tcp://127.0.0.1:8786. Received: {scheduler!r}."
        ) from error
    end = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except AssertionError:
            # Dask asserts that a scheduler's greeting comes alone, but news for all clients, such as what another one
            # has cancelled, may come with it (distributed 2026.8, `Client._ensure_connected`).
            if time.monotonic() > end:
                raise
        except (OSError, TypeError, ValueError) as error:
            raise ConfigError(
                f"Expected a Dask scheduler at {scheduler}. Received: {type(error).__name__}. Start one "
                "(`dask scheduler`), or leave SCHEDULER out to use this machine."
            ) from error


def _refuse_others(client: Client) -> None:
    """Insist on workers of this client's versions, and on such a scheduler: it unpacks what they are sent.

    Raises:
        WorkerError: Some are of others.
    """
    found, wanted = client.run(versions, on_error="return"), versions()
    try:
        found["the scheduler"] = client.run_on_scheduler(versions)
    except Exception as error:  # what it has in the place of this cnnlab decides of which kind
        found["the scheduler"] = error
    # One that is dying answers with an OSError: it will make no runs.
    wrong = {address: of for address, of in found.items() if of != wanted and not isinstance(of, OSError)}
    if wrong:
        raise WorkerError.of(wrong, wanted)


def _work(wanted: Mapping[str, str], function: Callable[..., _Result], *args: Any, **kwargs: Any) -> _Result:
    """Call a function on a worker.

    Raises:
        WorkerError: The worker, which may have joined only now, is not of the wanted versions.
    """
    for name, value in WORKER_ENV.items():
        os.environ.setdefault(name, value)  # read when a worker's first run imports the backend
    if (found := versions()) != wanted:
        raise WorkerError.of({get_worker().address: found}, wanted)
    return function(*args, **kwargs)


def _run(what: Run, dataset: Dataset, split: Split, checkpoints: str) -> tuple[Record, dict[str, Any]]:
    from cnnlab.models import fit  # and Keras, for seconds: on the worker, once

    return fit.run(what, dataset, split, checkpoints, partial(_tell, what.digest))


_told = 0.0
"""When this worker last told of an epoch."""


def _tell(digest: str, epoch: int) -> None:
    """Tell the clients which epoch of a run begins on this worker, unless it has just told of another."""
    global _told
    if time.monotonic() - _told >= TELL_SECONDS:
        _told = time.monotonic()
        with suppress(Exception):  # no reason to lose a fit
            get_worker().log_event(EPOCHS, {"run": digest, "epoch": epoch})


class Engine:
    """Workers for runs: those of a scheduler, or processes of this machine that live as long as the engine.

    Nothing is started before the first run needs it. Use it as a context manager, or `close` it.

    Args:
        scheduler: A Dask scheduler's address; None takes `DASK_SCHEDULER_ADDRESS`, or starts one worker a core.
    """

    def __init__(self, scheduler: str | None = None) -> None:
        self._scheduler = scheduler or os.environ.get(ADDRESS)
        self._client: Client | None = None
        self._cluster: Any = None
        self._scattered: dict[str, Future] = {}
        self._traced: dict[str, Hashable] = {}
        self._known: set[str] = set()
        self._size = 0
        self._short_since: float | None = None

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers that this engine started."""
        if self._client is not None:
            self._client.close()
        if self._cluster is not None:
            self._cluster.close()
        self._client = self._cluster = None
        self._scattered, self._traced, self._known = {}, {}, set()

    @property
    def client(self) -> Client:
        """The Dask client, connected or started when first asked for.

        Raises:
            ConfigError: No scheduler answers at the address, or workers cannot be started here.
            WorkerError: Workers are of other versions than this client.
        """
        if self._client is not None and self._client.status == "closed":  # its scheduler was gone; it may be back
            self.close()
        if self._client is None:
            if self._scheduler:
                client = _connected(self._scheduler)
                try:
                    _refuse_others(client)
                except WorkerError:
                    client.close()
                    raise
                self._client = client
            else:
                self._cluster = self._local_cluster()
                self._size, self._short_since = len(self._cluster.worker_spec), None
                self._client = Client(self._cluster, set_as_default=False)
                self._client.register_plugin(_Silent())
        return self._client

    @staticmethod
    def _local_cluster() -> Any:
        """Start workers on this machine; again, if one is killed before all have begun."""
        for left in reversed(range(KILLED_WORKERS)):
            try:
                with dask.config.set({"distributed.nanny.pre-spawn-environ": {**WORKER_ENV, **_MALLOC}}):
                    return LocalCluster(
                        threads_per_worker=1,
                        n_workers=max(1, min(CPU_COUNT, MEMORY_LIMIT // WORKER_BYTES)),
                        memory_limit=0,  # Dask would pause and restart workers that Keras makes large
                        dashboard_address="127.0.0.1:0",
                        silence_logs=logging.CRITICAL,
                        scheduler_kwargs={"allowed_failures": 0},  # counted here, see `_Tries`
                        env=WORKER_ENV,
                    )
            except (OSError, RuntimeError) as error:
                if not left:
                    raise ConfigError(
                        f"Expected to start workers on this machine. Received: {error}. Free space for temporary "
                        "files (TMPDIR=...), or name a scheduler (SCHEDULER=...)."
                    ) from error
        raise AssertionError

    def _workers(self) -> Mapping[str, int]:
        """Return the threads of each worker, by address.

        Raises:
            ConfigError: The scheduler is gone.
        """
        client = self.client
        try:
            found: Mapping[str, int] = client.nthreads()
        except Exception as error:  # an OSError; of a client that has given up, an AttributeError
            raise _GoneError(
                f"Expected the scheduler at {self._scheduler or 'this machine'} to go on. Received: no answer "
                f"({type(error).__name__}). Start it again; the same command goes on from here."
            ) from error
        return found

    def _no_workers(self) -> ConfigError:
        return _GoneError(
            f"Expected workers at {self._scheduler or 'this machine'}. Received: none in {CONNECT_SECONDS} s. "
            "Start some (`dask worker ADDRESS --nthreads 1`)."
        )

    def _result(self, future: Future) -> Any:
        """Return what a future comes to, and see meanwhile that there are workers.

        Raises:
            ConfigError: The scheduler is gone, or has had no workers for a while.
        """
        seconds = float(POLL_SECONDS)
        end = time.monotonic() + CONNECT_SECONDS
        while True:
            try:
                return future.result(timeout=seconds)
            except TimeoutError as error:
                if future.status == "error":  # the function's own, perhaps only since this timeout
                    return future.result()
                if future.status == "finished":  # and takes long to fetch
                    seconds *= 2
                if self._make_up() or self._cluster is not None:
                    end = time.monotonic() + CONNECT_SECONDS
                elif time.monotonic() > end:
                    raise self._no_workers() from error

    def _make_up(self) -> int:
        """Return the number of workers; start some in the place of this machine's that have been gone for a while."""
        workers = self._workers()
        missing = self._size - len(workers) if self._cluster is not None else 0
        if missing <= 0:
            self._short_since = None
        elif self._short_since is None:
            self._short_since = time.monotonic()
        elif time.monotonic() - self._short_since >= REPLACE_SECONDS:
            # Of the workers that it is to have, the cluster itself starts those anew whose end it has noticed.
            wanted, noticed = len(self._cluster.worker_spec), len(self._cluster.workers)
            self._cluster.scale(wanted + max(missing - (wanted - noticed), 0))
            self._short_since = None
        return len(workers)

    @property
    def address(self) -> str:
        """The scheduler's address, as this machine reaches it; workers are started if there are none yet."""
        return self._scheduler or str(self.client.scheduler_info()["address"])

    def call(self, function: Callable[..., _Result], *args: Any, **kwargs: Any) -> _Result:
        """Have a worker, which has Keras loaded, call a function, ahead of the runs that wait.

        Raises:
            ConfigError: There is no scheduler, or there are no workers.
            RunError: Workers died of it.
            WorkerError: The worker is of other versions than this client.
        """
        tries, self._short_since = _Tries(), None
        while True:
            self._workers()  # a client whose scheduler is gone would wait for it
            name = f"{function.__name__}-{uuid4()}"
            future = self.client.submit(
                _work, versions(), function, *args, **kwargs, priority=10, retries=1, pure=False, key=name
            )
            try:
                result: _Result = self._result(future)
            except (KilledWorker, CancelledError) as error:
                if tries.used_up(error):
                    raise RunError(f"Expected {function.__name__} to finish. Received: {tries.told}.") from error
            else:
                return result

    def run_all(
        self,
        work: Sequence[Work],
        store: RunStore,
        done: Callable[[Record, bool], None] = lambda *_: None,
        epoch: Callable[[Run, int], None] = lambda *_: None,
    ) -> dict[str, Record]:
        """Return the record of every run, by digest: stored ones as they are, the others from the workers.

        A run that fails does not stop the others; what is finished is stored at once. A run whose worker dies goes to
        another one, until it has cost three.

        Args:
            work: The runs with their images. Equal runs are done once.
            store: Where records are kept.
            done: Called with each record and whether it was stored already.
            epoch: Called with a run that is under way and which of its epochs, from 1, begins; not with every one where
                they are short.

        Raises:
            ConfigError: There is no scheduler, or there are no workers to begin with.
            RunError: Some runs failed. The others are stored.
            RecordError: The store cannot be written.
            WorkerError: A worker is of other versions than this client.
        """
        found: dict[str, Record] = {}
        missing: dict[str, Work] = {}
        for item in work:
            key = item[0].digest
            record = store.get(key)
            if record is None:
                missing.setdefault(key, item)
            elif key not in found:
                found[key] = record
                done(record, True)
        if not missing:
            return found
        client = self.client
        failures: list[str] = []
        tries = {key: _Tries() for key in missing}
        checkpoints = str(store.prepare())
        waiting = _Waiting(missing.values())
        sent: dict[Future, tuple[Work, str | None]] = {}
        # Dask tells of both in threads of its own; whoever watches is called in this one.
        news: SimpleQueue[Future | Mapping[str, Any]] = SimpleQueue()

        def send(worker: str | None) -> None:
            others = {self._traced[one] for one in self._traced if one != worker}
            item = waiting.take(self._traced.get(worker) if worker else None, others)
            if worker:
                self._traced[worker] = item[0].trace_key
            future = self._submit(item, checkpoints, worker)
            sent[future] = item, worker
            future.add_done_callback(news.put)

        def feed() -> None:
            """Send a run for each thread and no second one in waiting, so that a death tells what it was died of."""
            workers = self._workers()
            if workers.keys() - self._known:  # before anything is sent to them
                self._check()
                self._known = set(workers)
            self._traced = {worker: graph for worker, graph in self._traced.items() if worker in workers}
            busy = Counter(worker for _, worker in sent.values())
            for worker, threads in workers.items():
                for _ in range(min(threads - busy[worker], len(waiting))):
                    send(worker)
            if waiting and not sent:  # and no worker: one may come
                send(None)

        def hear(event: Mapping[str, Any]) -> None:
            for item, _ in sent.values():  # in none of them: it is another client's, or done by now
                if item[0].digest == event["run"]:
                    epoch(item[0], event["epoch"])

        try:
            client.subscribe_topic(EPOCHS, lambda event: news.put(event[1]))
            feed()
            self._short_since, looked = None, time.monotonic()
            while sent:
                if time.monotonic() - looked >= POLL_SECONDS:
                    self._make_up()
                    feed()
                    looked = time.monotonic()
                try:
                    future = news.get(timeout=POLL_SECONDS)
                except Empty:
                    continue
                if not isinstance(future, Future):
                    hear(future)
                    continue
                item, _ = sent.pop(future)  # forgotten here, a result is not made again when its worker dies
                what = item[0]
                try:
                    record, arrays = self._result(future)
                except (KilledWorker, CancelledError) as error:
                    if tries[what.digest].used_up(error):
                        failures.append(
                            f"seed {what.seed}: {tries[what.digest].told}, with {json.dumps(what.trial.canonical())}"
                        )
                    else:
                        waiting.add(item)
                    feed()
                except (_GoneError, WorkerError):
                    raise
                except Exception as error:  # whatever went wrong on the worker, the other runs go on
                    self._check()
                    message = " ".join(str(error).split())[:300]
                    failures.append(f"seed {what.seed}: {type(error).__name__}: {message}")
                    feed()
                else:
                    feed()
                    found[what.digest] = store.put(record, arrays)
                    done(found[what.digest], False)
        finally:
            with suppress(Exception):  # where the scheduler is gone, so are the runs
                client.unsubscribe_topic(EPOCHS)
                client.cancel(list(sent))
        if failures:
            raise RunError(
                f"Expected {len(missing)} runs to finish. Received: {len(failures)} failed. First, {failures[0]}"
            )
        return found

    def _check(self) -> None:
        """See whether a worker that has joined a cluster is the reason: one of another version may understand nothing.

        Raises:
            WorkerError: It is.
        """
        if self._scheduler:
            _refuse_others(self.client)

    def _submit(self, item: Work, checkpoints: str, worker: str | None) -> Future:
        """Send a run to a worker, or to any other if that one is gone."""
        what, dataset, split = item
        return self.client.submit(
            _work,
            versions(),
            _run,
            what,
            self._scatter(dataset),
            self._scatter(split),
            checkpoints,
            key=f"run-{what.digest}-{uuid4()}",
            workers=[worker] if worker else None,
            allow_other_workers=bool(worker),
            retries=1,
            pure=False,
        )

    def _scatter(self, value: Dataset | Split) -> Future:
        """Send images to every worker once, whatever number of runs uses them."""
        future = self._scattered.get(value.digest)
        for left in reversed(range(LOST_IMAGES)):
            if future is not None and future.status == "finished":  # else lost with the last worker that held it
                break
            try:
                future = self.client.scatter(value, broadcast=True, hash=False, timeout=CONNECT_SECONDS)
            except TimeoutError as error:
                if self._cluster is not None and left:
                    self._make_up()
                    continue
                raise self._no_workers() from error
            except Exception as error:  # a worker that dies meanwhile shows in several ways
                self._check()
                if not left:
                    raise ConfigError(
                        f"Expected the workers to take the images. Received: {type(error).__name__}, {LOST_IMAGES} "
                        "times. See that the scheduler and its workers run; the same command goes on."
                    ) from error
            else:
                self._scattered[value.digest] = future
        return future


class _Waiting:
    """Runs that wait, by their graphs."""

    def __init__(self, work: Iterable[Work]) -> None:
        self._work: dict[Hashable, list[Work]] = {}
        for item in work:
            self.add(item)

    def __len__(self) -> int:
        return sum(map(len, self._work.values()))

    def add(self, item: Work) -> None:
        """Add a run, after those that wait."""
        self._work.setdefault(item[0].trace_key, []).append(item)

    def take(self, own: Hashable, others: Container[Hashable]) -> Work:
        """Return the run that a worker is to do next; there is at least one.

        Tracing a model takes seconds, so that is one with the graph that the worker has traced, else one with a graph
        that no other worker has, else the first.
        """
        first = next(iter(self._work))
        graph = own if own in self._work else next((one for one in self._work if one not in others), first)
        item = self._work[graph].pop(0)
        if not self._work[graph]:
            del self._work[graph]
        return item


class _Tries:
    """Counts what a run has cost: workers that died of it, or that died with the images while it waited for them."""

    def __init__(self) -> None:
        self._killed = 0
        self._lost = 0

    def used_up(self, error: Exception) -> bool:
        """Count a failure and return whether it was the last one allowed."""
        if isinstance(error, KilledWorker):
            self._killed += error.allowed_failures + 1  # a cluster may have tried several workers by itself
        else:
            self._lost += 1
        return self._killed >= KILLED_WORKERS or self._lost >= LOST_IMAGES

    @property
    def told(self) -> str:
        """What happened, for an error's text."""
        if self._killed >= KILLED_WORKERS:
            return f"it killed {self._killed} workers (out of memory, perhaps)"
        return f"all workers died {self._lost} times before it could begin"
