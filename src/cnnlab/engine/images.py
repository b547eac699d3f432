"""The images of runs on the workers. Dask gives plugins to all workers, also later ones, before they take tasks."""

import time
from contextlib import suppress
from typing import Any

from distributed import Client, SchedulerPlugin, WorkerPlugin, get_worker
from distributed.protocol.pickle import dumps, loads

from cnnlab.data import Dataset, Split
from cnnlab.errors import ConfigError

CARRY_TRIES = 10
"""How often images are given to the workers again because a worker ended meanwhile."""


class Images:
    """What one client has given to all workers, present and future.

    Args:
        client: The client.
        is_shared: Whether the workers outlive the client, so that its images must be removed when it ends. Workers that
            end with the client need no removal, which would fail while they end.

    Attributes:
        prefix: How the names of this client's plugins start. Each name ends with the digest of what the plugin carries.
    """

    def __init__(self, client: Client, *, is_shared: bool) -> None:
        self._client, self._is_shared = client, is_shared
        self._carried, self._connection = set[str](), client.scheduler_comm
        self.prefix = f"cnnlab-{client.id}-"  # Dask makes the id from a UUID

    def carry(self, value: Dataset | Split) -> None:
        """Give images or a split to the workers, unless they have it. Raises ConfigError if that fails repeatedly."""
        if self._client.scheduler_comm is not self._connection:  # a new one: the scheduler has removed all images
            self.forget()
            self._connection = self._client.scheduler_comm
        if value.digest in self._carried:
            return
        # No class of ours but bytes: a worker of another version could not load it, and would end before it is named.
        plugin = WorkerPlugin()
        plugin.content = dumps(value)
        for left in reversed(range(CARRY_TRIES)):
            try:
                if self._is_shared:
                    self._client.register_plugin(_RemoveImages(self._client.id, self.prefix), self.prefix)
                self._client.register_plugin(plugin, self.prefix + value.digest)
                break
            except Exception as error:  # a worker that ends meanwhile causes one of several errors
                if not left:
                    raise ConfigError(
                        f"Expected the workers to take the images. Received: {type(error).__name__}, {CARRY_TRIES} "
                        "times. Check that the scheduler and its workers run; the same command continues."
                    ) from error
                time.sleep(0.2)
        self._carried.add(value.digest)

    def forget(self) -> None:
        """Give everything again when it is needed, because the scheduler may have removed it."""
        self._carried.clear()


def carried(prefix: str, digest: str) -> Any:
    """Return what a client has given to this worker; called in a task."""
    plugin = get_worker().plugins[prefix + digest]
    content = plugin.content
    if isinstance(content, bytes):
        plugin.content = content = loads(content)
    return content


class _RemoveImages(SchedulerPlugin):  # type: ignore[misc]
    """Removes a client's plugins from the scheduler and the workers when the client ends, even by SIGKILL."""

    idempotent = True

    def __init__(self, client: str, prefix: str) -> None:
        self._client, self._prefix = client, prefix

    def remove_client(self, scheduler: Any, client: str) -> None:
        if client == self._client:
            scheduler.remove_plugin(self._prefix)
            scheduler.loop.add_callback(self._remove, scheduler)

    async def _remove(self, scheduler: Any) -> None:
        for name in [name for name in scheduler.worker_plugins if name.startswith(self._prefix)]:
            with suppress(Exception):  # a worker that ends meanwhile takes its images with it
                await scheduler.unregister_worker_plugin(None, name)
