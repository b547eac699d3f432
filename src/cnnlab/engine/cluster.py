"""The connection to a Dask scheduler, whose workers must have the versions of this process."""

import os
import time
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import partial
from queue import Empty
from typing import Any, TypeVar
from uuid import uuid4

from distributed import Client, Future, KilledWorker, get_worker
from distributed.comm.addressing import get_address_host_port, normalize_address

from cnnlab.engine.environment import WORKER_ENV
from cnnlab.engine.events import Events, Interrupted
from cnnlab.engine.images import Images
from cnnlab.engine.versions import versions
from cnnlab.engine.workers import LocalWorkers
from cnnlab.errors import ConfigError, RunError, WorkerError

CONNECT_SECONDS = 20
"""How long a scheduler may take to answer."""
WAIT_SECONDS = 5
"""How long a cluster may have no workers before that is reported."""
GREETING_SECONDS = 60
"""How long connecting is tried again while other clients are busy with the scheduler."""
REPLACE_SECONDS = 20
"""How long a worker of this machine may be missing before cnnlab starts another. Dask itself takes a second or two."""
POLL_SECONDS = 5
"""Seconds between checks for lost or new workers."""
KILLED_WORKERS = 3
"""Workers that a run or a call may kill before it has failed."""
_Result = TypeVar("_Result")


class ClusterError(ConfigError):
    """The scheduler is gone. No run is to blame."""


class ResultLostError(Exception):
    """The result of a finished task was lost with its worker."""


def _worker_error(found: Mapping[str, object], wanted: Mapping[str, str]) -> WorkerError:
    """Return an error that names workers, by address, with the versions that each has or why it has none."""

    def describe(versions: object) -> str:
        if not isinstance(versions, Mapping):
            return f"no such cnnlab ({type(versions).__name__}: {versions})"
        return ", ".join(f"{name} {version}" for name, version in versions.items() if wanted.get(name) != version)

    return WorkerError(
        f"Expected workers with {', '.join(f'{name} {version}' for name, version in wanted.items())}. Received: "
        + "; ".join(f"{address} has {describe(versions)}" for address, versions in found.items())
        + ". Stop them, or start them in this environment (the same requirements.lock and commit). "
        "If cnnlab was edited meanwhile, the same command continues."
    )


def _call_checked(wanted: Mapping[str, str], function: Callable[..., Any], *args: Any) -> Any:
    """Call a function on a worker, or raise WorkerError if the worker, which may be new, has other versions."""
    for name, value in WORKER_ENV.items():
        os.environ.setdefault(name, value)  # read when a worker's first run imports the backend
    if (found := versions()) != wanted:
        raise _worker_error({get_worker().address: found}, wanted)
    return function(*args)


def connect(scheduler: str) -> Client:
    """Return a client of the scheduler at an address; raise ConfigError if none answers there."""
    try:
        address = normalize_address(scheduler)
        get_address_host_port(address, strict=True)  # with a wrong address, a client takes 40 s to end
    except ValueError as error:
        raise ConfigError(
            f"Expected the address of a Dask scheduler, such as tcp://127.0.0.1:8786. Received: {scheduler!r}."
        ) from error
    end = time.monotonic() + GREETING_SECONDS
    while True:
        try:
            return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except AssertionError as error:
            # Dask asserts that a scheduler's greeting comes alone, but messages to all clients, such as what another
            # one has cancelled, may come with it (distributed 2026.8, `Client._ensure_connected`).
            if time.monotonic() > end:
                raise ConfigError(
                    f"Expected a greeting of the Dask scheduler at {scheduler}. Received: only messages to other "
                    "clients. Run the same command again."
                ) from error
        except (OSError, TypeError, ValueError) as error:
            raise ConfigError(
                f"Expected a Dask scheduler at {scheduler}. Received: {type(error).__name__}. Start one "
                "(`dask scheduler`), or leave SCHEDULER out to use this machine."
            ) from error


class Cluster:
    """A scheduler with its workers: those at an address, or processes of this machine.

    Args:
        scheduler: The scheduler's address; None for this machine.
        on_no_workers: Called with that address when it has had no workers for a while, and again each time they are
            gone for as long. They may come hours later: jobs wait in the queue of a cluster.

    Attributes:
        client: The Dask client.
        images: What the workers have been given.
        trace_keys: The trace key of each worker's last run, by the worker's address.
    """

    def __init__(self, scheduler: str | None, on_no_workers: Callable[[str], None]) -> None:
        self._name = scheduler or "this machine"
        self._on_no_workers, self._is_reported = on_no_workers, False
        self._local = None if scheduler else LocalWorkers()
        self._known: set[str] | None = None
        self.trace_keys: dict[str, Hashable] = {}
        self.restart_clock()
        try:
            self.client = Client(self._local.cluster, set_as_default=False) if self._local else connect(self._name)
            self.images = Images(self.client, is_shared=self._local is None)
            self.look()
        except BaseException:  # also Ctrl-C: nobody else knows these workers
            self.close()
            raise

    def close(self) -> None:
        """End the connection, and the workers of this machine."""
        with suppress(Exception):  # it may be broken already
            self.client.close()
        if self._local:
            self._local.cluster.close()

    def restart_clock(self) -> None:
        """Count from now how long workers are missing."""
        self._complete = time.monotonic()

    def look(self) -> Mapping[str, int]:
        """Return the threads of each worker, by address; check new workers, and replace or report missing ones.

        Raises:
            ClusterError: The scheduler is gone.
            WorkerError: A new worker has other versions.
        """
        try:
            threads: Mapping[str, int] = self.client.nthreads()
        except Exception as error:  # an OSError; an AttributeError if the client has given up
            raise ClusterError(
                f"Expected the scheduler at {self._name} to keep running. Received: no answer "
                f"({type(error).__name__}). Start it again; the same command continues."
            ) from error
        seconds = time.monotonic() - self._complete
        missing = (self._local.size if self._local else 1) - len(threads)
        if missing <= 0:
            self.restart_clock()
            self._is_reported = False
        elif self._local and seconds >= REPLACE_SECONDS:
            self._local.replace(missing)
            self.restart_clock()
        elif not self._local and not self._is_reported and seconds > WAIT_SECONDS:
            self._is_reported = True
            self._on_no_workers(self._name)
        if self._known is None or threads.keys() - self._known:
            self.check_versions()
        self._known = set(threads)
        return threads

    def check_versions(self) -> None:
        """Raise WorkerError if workers of a cluster, or its scheduler, which unpickles tasks, have other versions."""
        if self._local:
            return
        found, wanted = self.client.run(versions, on_error="return"), versions()
        try:
            found["the scheduler"] = self.client.run_on_scheduler(versions)
        except Exception as error:  # its type depends on what the scheduler has instead of this cnnlab
            found["the scheduler"] = error
        # A worker that is about to end answers with an OSError, and does no runs.
        wrong = {name: of for name, of in found.items() if of != wanted and not isinstance(of, OSError)}
        if wrong:
            raise _worker_error(wrong, wanted)

    def submit(self, name: str, function: Callable[..., Any], *args: Any, **options: Any) -> Future:
        """Send a task to the workers; `options` are those of Dask's `submit`."""
        key = f"{name}-{uuid4()}"
        return self.client.submit(_call_checked, versions(), function, *args, key=key, retries=1, pure=False, **options)

    def call(self, events: Events, function: Callable[..., _Result], *args: Any, **kwargs: Any) -> _Result:
        """Call a function on a worker, as `Engine.call` describes. None in the events interrupts it."""
        self.restart_clock()
        killed = 0
        while killed < KILLED_WORKERS:
            self.look()  # a client whose scheduler is gone would wait for it
            future = self.submit(function.__name__, partial(function, *args, **kwargs), priority=10)
            try:
                result: _Result = self._result(future, events)
            except KilledWorker as error:
                killed += error.allowed_failures + 1
            except (CancelledError, ResultLostError):  # the connection was interrupted, or its worker ended
                killed += 1
            else:
                return result
        raise RunError(
            f"Expected {function.__name__} to finish. Received: it ended its worker {killed} times (perhaps out of "
            "memory). Run the same command again."
        )

    def _result(self, future: Future, events: Events) -> Any:
        """Wait for a task and return its result. Look at the workers meanwhile, with the errors of `look`."""
        future.add_done_callback(events.put)
        while future.status == "pending":
            try:
                if events.get(timeout=POLL_SECONDS) is None:
                    future.cancel()
                    raise Interrupted
            except Empty:
                self.look()
        return self.fetch(future)

    def fetch(self, future: Future) -> Any:
        """Return the result of a finished task, with the errors of `look`.

        Raises:
            CancelledError: The connection was interrupted.
            ResultLostError: The result was lost.
        """
        seconds = POLL_SECONDS
        while True:
            try:
                return future.result(timeout=seconds)
            except TimeoutError:
                if future.status == "error":  # the function raised it, perhaps after this timeout
                    return future.result()
                if future.status != "finished":
                    # Dask repeats the task, except where no other worker could take it (distributed 2026.8).
                    future.cancel()
                    raise ResultLostError(future.key) from None
                seconds *= 2  # fetching a large result takes long
                self.look()
