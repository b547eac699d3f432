"""End together: no process outlives the command that started it, and nothing outlives Ctrl-C."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

POLL_SECONDS = 0.2
WITH_PARENT = "CNNLAB_END_WITH_PARENT"
"""Environment variable that has a command end with the process that started it, as the Makefile wants it."""


def kill_children() -> None:
    """Kill every process that comes of this one, those too that are started meanwhile."""
    while children := [child for child in psutil.Process().children(recursive=True) if not _over(child)]:
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(children, timeout=0.1)


def _over(process: psutil.Process) -> bool:
    """Return whether a process has ended, though its own parent may not have heard of it yet."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def end_with(parent: int) -> None:
    """End this process, and all that it has started, soon after its parent has ended, however that ended.

    Args:
        parent: Process id of the parent; if it has ended before this call, that counts too.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        kill_children()
        os._exit(1)

    threading.Thread(target=watch, name="cnnlab-parent", daemon=True).start()


def end_at_signals(last_words: Callable[[], str]) -> None:
    """Have Ctrl-C, and a request to end, end this process and all that it has started at once.

    Python's own way, an exception, would wait for notebooks and workers. Signals that are ignored stay so: `nohup`
    and shells that put a command in the background rely on it.

    Args:
        last_words: Returns what is printed on stderr then.
    """

    def end(number: int, _: object) -> None:
        kill_children()
        with suppress(Exception):
            sys.stderr.write(f"\n{last_words()}\n")
            sys.stderr.flush()
        os._exit(128 + number)

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, end)
    if os.environ.pop(WITH_PARENT, ""):
        end_with(os.getppid())
