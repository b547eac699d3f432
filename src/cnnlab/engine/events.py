"""What reaches a `run_all` in progress from other threads."""

from queue import SimpleQueue
from typing import Any

# Not `distributed.as_completed`: its timeout is for the whole iteration, but epochs must be reported and workers looked
# at meanwhile. Dask puts into this queue from other threads; callbacks run in the caller's.
Events = SimpleQueue[Any]
"""Dask futures of tasks that have ended, mappings that describe epochs, and None to interrupt the runs."""


class Interrupted(Exception):  # noqa: N818 - not an error
    """`Engine.interrupt` was called."""

    def __init__(self) -> None:
        super().__init__("Interrupted: the runs that ended are stored.")
