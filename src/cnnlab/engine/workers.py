"""The worker processes of this machine."""

import errno
import logging
import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import dask
from dask.system import CPU_COUNT
from distributed import LocalCluster, WorkerPlugin
from distributed.system import MEMORY_LIMIT

from cnnlab import files, surroundings
from cnnlab.engine.environment import WORKER_ENV, discard_stderr
from cnnlab.errors import ConfigError

_MALLOC = {
    # With Dask's settings, large arrays are mapped page by page in every step of a fit: 5 % of its time.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
    "MALLOC_ARENA_MAX": "1",
}
"""glibc's settings for the workers that cnnlab starts. A process reads them only when it starts."""
WORKER_BYTES = 1_500_000_000
"""Memory that a worker needs for Keras and the images. Where memory is short, some cores get no worker."""
START_TRIES = 3
"""How often starting the workers is tried: one may be killed as it starts."""


class _Prepare(WorkerPlugin):  # type: ignore[misc]
    """Prepares a worker process before its first run imports Keras."""

    def setup(self, worker: object) -> None:  # noqa: ARG002 - Dask's signature
        surroundings.remove_settings()
        os.environ.update(WORKER_ENV)
        discard_stderr()


class LocalWorkers:
    """One worker process per core of this machine.

    Attributes:
        cluster: Dask's cluster of them.
        size: Their number.

    Raises:
        ConfigError: They cannot be started.
    """

    def __init__(self) -> None:
        self.cluster = self._start()
        self.size = len(self.cluster.worker_spec)

    @staticmethod
    def _start() -> Any:
        _check_semaphores()
        dask.config.refresh(paths=[], env={})  # the user's settings are for other clusters
        dask.config.set({"distributed.worker.profile.enabled": False})  # it keeps the stacks of each second: 6 MB a run
        for left in reversed(range(START_TRIES)):
            try:
                with dask.config.set({"distributed.nanny.pre-spawn-environ": {**WORKER_ENV, **_MALLOC}}):
                    return _start_cluster(
                        threads_per_worker=1,
                        n_workers=max(1, min(CPU_COUNT, MEMORY_LIMIT // WORKER_BYTES)),
                        memory_limit=0,  # Dask would pause and restart workers that Keras makes large
                        dashboard_address="127.0.0.1:0",
                        silence_logs=logging.CRITICAL,
                        scheduler_kwargs={"allowed_failures": 0},  # cnnlab itself counts the workers that a run kills
                        env=WORKER_ENV,
                        plugins=(_Prepare(),),
                    )
            except (OSError, RuntimeError) as error:
                if not left:
                    raise ConfigError(
                        f"Expected to start workers on this machine. Received: {_reason(error)} Or name a scheduler "
                        "(SCHEDULER=...)."
                    ) from error
        raise AssertionError

    def replace(self, missing: int) -> None:
        """Start workers for those that are missing.

        Dask replaces a worker that ends unexpectedly, but not one that ends while it starts (distributed 2026.8).
        """
        # `scale` starts those of the wanted workers whose end the cluster has noticed; the others come on top.
        wanted, noticed = len(self.cluster.worker_spec), len(self.cluster.workers)
        self.cluster.scale(wanted + max(missing - (wanted - noticed), 0))


def _start_cluster(**options: Any) -> LocalCluster:
    """Start a cluster from a thread, so that Ctrl-C and Jupyter's interrupt do not end its processes.

    SIGINT goes to the workers too. Threads and processes inherit the signals that are blocked where they are started.
    """
    made: list[LocalCluster] = []
    try:
        with ThreadPoolExecutor(1, initializer=_block_sigint) as threads:
            threads.submit(lambda: made.append(LocalCluster(**options))).result()
    except KeyboardInterrupt:  # raised again when the thread has ended
        for cluster in made:  # nobody else knows its workers
            cluster.close()
        raise
    return made[0]


def _block_sigint() -> None:
    with suppress(AttributeError):  # Windows has no such signals
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _check_semaphores() -> None:
    """Check that processes can share semaphores, which Dask needs: its own error does not name the folder.

    Raises:
        ConfigError: They cannot.
    """
    try:
        multiprocessing.get_context("spawn").Semaphore()
    except (OSError, ImportError) as error:
        full = getattr(error, "errno", None) == errno.ENOSPC
        what_to_do = "Free space there (docker run --shm-size=1g)" if full else "Allow cnnlab to write there"
        raise ConfigError(
            f"Expected to share semaphores with workers through /dev/shm. Received: "
            f"{getattr(error, 'strerror', None) or error}. {what_to_do}, or name a scheduler (SCHEDULER=...)."
        ) from error


def _reason(error: BaseException) -> str:
    """Return the first cause of an error as one sentence, and what to do about it."""
    while error.__cause__ and not isinstance(error, OSError):
        error = error.__cause__
    text = " ".join(str(error).split()) or type(error).__name__
    advice = files.advice(error, "TMPDIR=...") if isinstance(error, OSError) else "Run the same command again."
    return f"{text}. {advice}"
