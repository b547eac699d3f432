"""End together: no process outlives the command that started it, however that ended.

Run as a program, this is the guard that sees to it: it waits until its standard input ends, as it does when the command
is killed, and kills what bears the command's mark. Threads in the workers could not: while a worker loads TensorFlow,
none of them runs for seconds.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

import psutil

MARK = "CNNLAB_COMMAND"
"""Environment variable by which the processes of a command are told from all others."""


WITH_PARENT = "CNNLAB_END_WITH_PARENT"
"""Environment variable with the process that a command is to end with, as the Makefile wants it."""


POLL_SECONDS = 0.2


KILL_SECONDS = 5


@contextmanager
def kill_children_on_exit(exit_message: str) -> Iterator[None]:
    """Have everything that is started from here on end when this process does, and all of it at once at Ctrl-C.

    Python's own way at Ctrl-C, an exception, would wait for notebooks and workers. The same goes for a request to end
    (SIGTERM) and a closed terminal (SIGHUP). Signals that are ignored stay so: `nohup`, and shells that put a command
    in the background, rely on it.

    Args:
        exit_message: Printed on stderr then.
    """
    mark = os.environ[MARK] = uuid4().hex
    guard = subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, "-m", "cnnlab.engine.lifetime", mark],
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is not for it
    )

    def end(number: int, _: object) -> None:
        with suppress(OSError):
            os.write(2, f"\n{exit_message}\n".encode())
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what the threads say of what is killed
        _kill(lambda: _children(guard.pid))
        os._exit(128 + number)  # and the guard looks for what was started or orphaned meanwhile

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, end)
    if parent := os.environ.pop(WITH_PARENT, ""):
        threading.Thread(target=_end_with, args=(parent, exit_message), daemon=True).start()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        del os.environ[MARK]
        guard.communicate()


def _end_with(parent: str, exit_message: str) -> None:
    while str(os.getppid()) == parent:
        time.sleep(POLL_SECONDS)
    with suppress(OSError):
        os.write(2, f"\n{exit_message}\n".encode())
    os._exit(1)  # the guard does the rest


def _children(guard: int) -> list[psutil.Process]:
    found = psutil.Process().children(recursive=True)
    return [child for child in found if child.pid != guard and child.status() != psutil.STATUS_ZOMBIE]


def _marked(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it has just ended, or it is another user's
            # Python's own tracker of shared resources ends by itself, and serves its process on if this is not over.
            tracker = "multiprocessing.resource_tracker" in " ".join(process.cmdline())
            if process.pid != os.getpid() and not tracker and process.environ().get(MARK) == mark:
                found.append(process)
    return found


def _kill(find: Callable[[], list[psutil.Process]]) -> None:
    """Kill processes until there are none: some may start others meanwhile. One that hangs in a driver is left."""
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
