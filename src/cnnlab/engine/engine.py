"""The engine: sends runs and calls to workers."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from cnnlab.engine.ahead import Ahead, Work
from cnnlab.engine.events import Events
from cnnlab.records import Record, Run, RunStore
from cnnlab.surroundings import ADDRESS, cores

if TYPE_CHECKING:
    from distributed import Client

    from cnnlab.engine.cluster import Cluster

_Result = TypeVar("_Result")


class Engine:
    """Workers for runs: those of a scheduler, or processes of this machine that live as long as the engine.

    Nothing is started before the first run needs it. Use it as a context manager, or `close` it.

    Args:
        scheduler: A Dask scheduler's address; None takes `DASK_SCHEDULER_ADDRESS`, or starts one worker per core.

    Attributes:
        on_no_workers: Called with the address of a scheduler that has no workers while something waits for one. What
            waits continues to wait.
    """

    def __init__(self, scheduler: str | None = None) -> None:
        self._scheduler = scheduler or os.environ.get(ADDRESS)
        self.on_no_workers: Callable[[str], None] = lambda _: None
        self._connected: Cluster | None = None
        self._connecting = threading.RLock()  # two threads must not start two sets of workers
        self._running, self._last_run = list[Events](), time.monotonic()
        self._ahead = Ahead()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers that this engine started."""
        with self._connecting:
            if self._connected:
                self._connected.close()
            self._connected, self._ahead.sent = None, {}

    @property
    def is_remote(self) -> bool:
        """Whether the workers belong to a scheduler that cnnlab did not start."""
        return self._scheduler is not None

    @property
    def idle_seconds(self) -> float:
        """Seconds since the last run or call ended; 0 while one is in progress."""
        return 0.0 if self._running else time.monotonic() - self._last_run

    @property
    def _cluster(self) -> "Cluster":
        from cnnlab.engine.cluster import Cluster  # loads Dask, which stored runs do not need

        with self._connecting:
            if self._connected and self._connected.client.status == "closed":  # its scheduler was gone, and may be back
                self.close()
            self._connected = self._connected or Cluster(self._scheduler, lambda address: self.on_no_workers(address))
            return self._connected

    @property
    def client(self) -> "Client":
        """The Dask client, connected or started when it is first asked for.

        Raises:
            ConfigError: No scheduler answers at the address, or workers cannot be started here.
            WorkerError: Workers have other versions than this client.
        """
        return self._cluster.client

    @property
    def address(self) -> str:
        """The scheduler's address, as this machine reaches it; workers are started if there are none yet."""
        return self._scheduler or str(self.client.scheduler_info()["address"])

    @property
    def size(self) -> int:
        """Number of workers, of one thread each, at least 1; until those of this machine are started, its cores.

        Raises:
            ConfigError: No scheduler answers at the address.
            WorkerError: Workers have other versions than this client.
        """
        if self.is_remote or self._connected:
            return int(max(1, sum(self.client.nthreads().values())))
        return cores()  # without Dask, which takes long to load

    def call(self, function: Callable[..., _Result], *args: Any, **kwargs: Any) -> _Result:
        """Call a function on a worker, which has Keras loaded, before the runs that wait.

        Raises:
            ConfigError: There is no scheduler.
            Interrupted: `interrupt` was called.
            RunError: The function killed workers.
            WorkerError: The worker has other versions than this client.
        """
        with self._interruptible() as events:
            return self._cluster.call(events, function, *args, **kwargs)

    def expect(self, work: Sequence[Work], store: RunStore) -> None:
        """Name runs that will be asked for later, whatever the results are until then.

        During `run_all` with the same store, workers that would wait make some of them. They are stored, and `run_all`
        counts them as made now when they are asked for.

        Args:
            work: The runs with their images, instead of those that were named before.
            store: Where they are to be stored.
        """
        if self._connected:
            with suppress(Exception):  # without a scheduler there is nothing to cancel
                self._connected.client.cancel(list(self._ahead.sent))
        self._ahead = Ahead(work, store)

    def interrupt(self) -> None:
        """Make each `run_all` and `call` in progress raise `Interrupted` within about a second, from another thread.

        If workers are being started, it is raised when they are there. Runs in progress are cancelled: their workers
        stop after the current epoch, and the next `run_all` continues from their checkpoints. With nothing in progress,
        nothing happens: what comes next is not interrupted.
        """
        for events in list(self._running):
            events.put(None)

    @contextmanager
    def _interruptible(self) -> Iterator[Events]:
        """Yield the events of something that `interrupt` ends."""
        self._running.append(events := Events())
        try:
            yield events
        finally:
            self._running.remove(events)
            self._last_run = time.monotonic()

    def run_all(
        self,
        work: Sequence[Work],
        store: RunStore,
        on_run_end: Callable[[Record, bool], None] = lambda *_: None,
        on_epoch: Callable[[Run, int, Mapping[str, float]], None] = lambda *_: None,
    ) -> dict[str, Record]:
        """Return the record of every run, by digest: stored ones as they are, the others from the workers.

        A run that fails does not stop the others. Each record is stored at once. A run whose worker ends unexpectedly
        is sent to another one, until it has killed three.

        Args:
            work: The runs with their images. Equal runs are done once.
            store: Where records are kept.
            on_run_end: Called with each record and whether it was stored already.
            on_epoch: Called with a run, an epoch that has ended, from 1, and its metrics by their names in
                `Record.history`; not with every epoch if they are short. Before a model is traced: with 0 and {}.

        Raises:
            ConfigError: There is no scheduler.
            Interrupted: `interrupt` was called. The runs that ended are stored.
            RunError: Some runs failed. The others are stored.
            RecordError: The store cannot be written.
            WorkerError: A worker has other versions than this client.
        """
        records: dict[str, Record] = {}
        missing: dict[str, Work] = {}
        for item in work:
            digest = item[0].digest
            if digest in records or digest in missing:
                continue
            record = store.get(digest)
            if record is None:
                missing[digest] = item
            else:
                records[digest] = record
                is_made_now = digest in self._ahead.made
                self._ahead.made.discard(digest)
                on_run_end(record, not is_made_now)
        if missing:
            with self._interruptible() as events:
                from cnnlab.engine.dispatch import Dispatch

                records |= Dispatch(
                    self._cluster, missing, store, on_run_end, on_epoch, events, self._ahead.for_store(store)
                ).run()
        return records
