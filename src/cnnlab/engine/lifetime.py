"""Kill all child processes when the command ends, even by SIGKILL.

Run as a program, this module is the guard: it waits until its standard input closes, as it does when the command ends
in any way, and kills all processes with the command's marker. Threads in the workers could not do that: while a worker
loads TensorFlow, no thread of it runs for seconds.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

import psutil

MARKER = "CNNLAB_COMMAND"
"""Environment variable that a command sets to recognise the processes it started."""
PARENT = "CNNLAB_END_WITH_PARENT"
"""Environment variable with the id of the process that a command must end with; the Makefile sets it."""
POLL_SECONDS = 0.2
KILL_SECONDS = 5


@contextmanager
def kill_children_on_exit(exit_message: str, folder: str = "") -> Iterator[None]:
    """Kill every process started in this block when this process ends, and at once on SIGINT, SIGTERM and SIGHUP.

    Python's own reaction to Ctrl-C, an exception, would wait for notebooks and workers. Signals that are ignored stay
    ignored: `nohup`, and shells that put a command in the background, rely on it.

    Args:
        exit_message: Printed on stderr when a signal ends the process.
        folder: Removed when this process ends, even by SIGKILL; "" for none.
    """
    marker = os.environ[MARKER] = uuid4().hex
    guard = subprocess.Popen(  # noqa: S603 - this module
        [sys.executable, "-P", __file__, marker, folder],  # as a file: its package imports Dask, which takes a second
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C must not end it
    )

    def end(number: int, _: object) -> None:
        with suppress(OSError):
            os.write(2, f"\n{exit_message}\n".encode())
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # threads may complain about the killed processes
        _kill(lambda: _children(guard.pid))
        os._exit(128 + number)  # the guard kills what was started or orphaned meanwhile

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, end)
    if parent := os.environ.pop(PARENT, ""):
        threading.Thread(target=_end_with, args=(parent, exit_message), daemon=True).start()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        del os.environ[MARKER]
        guard.communicate()


def _end_with(parent: str, exit_message: str) -> None:
    while str(os.getppid()) == parent:
        time.sleep(POLL_SECONDS)
    with suppress(OSError):
        os.write(2, f"\n{exit_message}\n".encode())
    os._exit(1)  # the guard kills the rest


def _children(guard: int) -> list[psutil.Process]:
    found = psutil.Process().children(recursive=True)
    return [child for child in found if child.pid != guard and child.status() != psutil.STATUS_ZOMBIE]


def _marked(marker: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it has just ended, or belongs to another user
            # Python's resource tracker ends without help, after the process that it serves.
            tracker = "multiprocessing.resource_tracker" in " ".join(process.cmdline())
            if process.pid != os.getpid() and not tracker and process.environ().get(MARKER) == marker:
                found.append(process)
    return found


def _kill(find: Callable[[], list[psutil.Process]]) -> None:
    """Kill processes until none is left, since some may start others meanwhile; give up on one that hangs."""
    end = time.monotonic() + KILL_SECONDS
    while time.monotonic() < end:
        with suppress(psutil.Error):
            found = find()
            if not found:
                return
            for process in found:
                process.kill()
            psutil.wait_procs(found, timeout=0.1)


if __name__ == "__main__":
    sys.stdin.read()
    _kill(lambda: _marked(sys.argv[1]))
    if sys.argv[2]:
        shutil.rmtree(sys.argv[2], ignore_errors=True)
