"""Execute a notebook with papermill, in a process and with a kernel of its own."""

import multiprocessing
import os
import shutil
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner

from cnnlab import files, surroundings
from cnnlab.engine import discard_stderr

SILENT_SECONDS = 3600
"""How long a notebook may spend on a cell while no run is in progress, for which it might wait."""
START_SECONDS = 300
"""How long a kernel may take to start, on a machine that is busy with other work."""
KERNEL_TRIES = 3
"""How often a notebook is started whose kernel ends unexpectedly, for example because memory is short."""
POLL_SECONDS = 1  # between two looks at the time limit
KILL_SECONDS = 5  # for a killed process to end
JUPYTER = "jupyter"
"""Tag of the cells that are for Jupyter alone: a report does not execute them."""
FORKS = sys.platform == "linux"
"""Whether a kernel is a copy of a process that has imported what notebooks need: elsewhere a copy may not be safe."""
_IMPORTED = ["cnnlab.lab", "cnnlab.report", "matplotlib.pyplot", "sklearn.calibration", "ipykernel.zmqshell", __name__]
_COMMAND = [sys.executable, "-P", "-m", "ipykernel_launcher"]
_PATH = sys.path[:]  # in the process that is copied, it is that of Python alone, without the folder of a command
Job = tuple[Path, Path, Mapping[str, Any], str, str]
"""A notebook, the file for the executed one, its parameters, its key, and the address of the scheduler it uses."""


class NotebookProcess:
    """A process that executes notebooks, one after the other.

    Not a `ProcessPoolExecutor`: that has no time limit, and cannot be killed while it works.
    """

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,))
        self._process.start()
        theirs.close()  # so that the connection ends with the process

    def execute(self, job: Job, idle_seconds: Callable[[], float]) -> str:
        """Execute a notebook; return the error, or "".

        Args:
            job: The notebook.
            idle_seconds: Returns for how long no run has been in progress.

        Raises:
            EOFError: The process ended.
            TimeoutError: The notebook did not answer.
        """
        try:
            self._connection.send(job)
            heard = time.monotonic()
            while min(time.monotonic() - heard, idle_seconds()) <= SILENT_SECONDS:
                if self._connection.poll(POLL_SECONDS):
                    answer = self._connection.recv()
                    if isinstance(answer, str):
                        return answer
                    heard = time.monotonic()  # a cell has ended
        except OSError as error:  # a broken pipe, or `kill` in another thread
            raise EOFError from error
        raise TimeoutError(
            f"it did not answer for {SILENT_SECONDS} s while no run was in progress. Run the same command again."
        )

    def kill(self) -> None:
        """End the process whatever it does; its kernel ends with it."""
        self._process.kill()
        self._process.join(KILL_SECONDS)


def _serve(connection: Connection) -> None:
    """Execute the notebooks that are sent, and send back `None` after each cell and the error, or "", at the end."""
    discard_stderr()
    os.dup2(2, 1)  # a kernel says there how to connect to it
    tempfile.tempdir = os.environ.get(surroundings.FOLDER)  # the user's may have a path that is too long for sockets
    if FORKS:
        multiprocessing.get_context("forkserver").set_forkserver_preload(_IMPORTED)
    with suppress(EOFError, OSError):  # the command has ended
        while True:
            connection.send(_execute(connection.recv(), lambda **_: connection.send(None)))


def _execute(job: Job, on_cell: Callable[..., None]) -> str:
    """Execute a notebook and write it to its place once it has succeeded; return the error, or ""."""
    source, target, parameters, key, scheduler = job
    try:
        import nbformat
        import papermill

        os.environ[surroundings.ADDRESS] = scheduler  # the kernel uses these workers
        for attempt in range(1, KERNEL_TRIES + 1):
            try:
                notebook = papermill.execute_notebook(
                    _for_report(source),  # papermill would replace braces in a path
                    None,
                    dict(parameters),
                    kernel_name="python3",
                    cwd=source.parent,
                    progress_bar=False,
                    start_timeout=START_SECONDS,
                    kernel_manager_class=f"{__name__}.{KernelManager.__name__}",
                    on_cell_executed=on_cell,
                )
                break
            except RuntimeError as error:  # its cells do not show this: all are "completed"
                if attempt == KERNEL_TRIES or "Kernel died" not in str(error):
                    raise
        notebook.metadata["cnnlab"] = {"key": key}
        files.write(target, nbformat.writes(notebook).encode())
    except Exception as error:  # any error in a notebook leaves the others as they are
        kind = getattr(error, "ename", "") or type(error).__name__
        message = getattr(error, "evalue", "") or str(error)
        return f"{kind}: {' '.join(message.split())[:300]}"
    return ""


def _for_report(source: Path) -> Any:
    """Read a notebook without the cells that are for Jupyter alone."""
    import nbformat

    notebook = nbformat.read(source, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if JUPYTER not in cell.metadata.get("tags", [])]
    return notebook


class KernelManager(AsyncKernelManager):  # type: ignore[misc]
    """Starts a kernel of this interpreter, whatever kernels the user has, and talks to it through sockets in a folder.

    TCP is used only where there is no folder for sockets: kernels that several processes start at the same moment may
    get the same port, and one of them ends.
    """

    def __init__(self, **settings: Any) -> None:
        parent = os.environ.get(surroundings.FOLDER)
        self._folder = Path(tempfile.mkdtemp(dir=parent)) if parent else surroundings.short_folder()
        settings["connection_file"] = str(self._folder / "kernel.json")
        has_sockets = surroundings.takes_sockets(self._folder)
        if has_sockets:
            settings |= {"transport": "ipc", "ip": str(self._folder / "kernel")}
        super().__init__(**settings)
        if FORKS and has_sockets:
            self.kernel_id = uuid.uuid4().hex
            self.provisioner = _Copies(kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self)

    @property
    def kernel_spec(self) -> KernelSpec:
        """The kernel of this interpreter."""
        return KernelSpec(argv=[*_COMMAND, "-f", "{connection_file}"], display_name="Python 3", language="python")

    def cleanup_ipc_files(self) -> None:
        """Remove the sockets and their folder after the kernel has ended."""
        super().cleanup_ipc_files()
        shutil.rmtree(self._folder, ignore_errors=True)


if FORKS:

    class _Kernel(multiprocessing.context.ForkServerProcess):
        """A kernel, with the methods of `subprocess.Popen` that Jupyter calls."""

        stdin = stdout = stderr = None

        def __init__(self, options: list[str], folder: Path, environment: Mapping[str, str]) -> None:
            super().__init__()
            self._options, self._folder, self._environment = options, folder, environment

        def run(self) -> None:
            """Run the kernel, as the command that it replaces would."""
            from ipykernel.kernelapp import IPKernelApp

            os.setsid()
            threading.Thread(target=_end_with_parent, daemon=True).start()
            os.environ.update(self._environment)
            os.chdir(self._folder)
            sys.path[:] = _PATH
            IPKernelApp.launch_instance([*self._options, "--ignore-cwd"])

        def poll(self) -> int | None:
            return self.exitcode

        def wait(self) -> int | None:
            self.join()
            return self.exitcode

        def send_signal(self, number: int) -> None:
            if self.pid and self.exitcode is None:
                os.kill(self.pid, number)

    class _Copies(LocalProvisioner):  # type: ignore[misc]
        """Starts kernels as copies of one process, which saves three seconds of imports each."""

        async def launch_kernel(self, cmd: list[str], **settings: Any) -> Any:
            self.process = _Kernel(cmd[len(_COMMAND) :], Path.cwd(), settings["env"])
            self.process.start()
            self.pid = self.pgid = self.process.pid  # `run` makes it the first of a group
            return self.connection_info


def _end_with_parent() -> None:
    """End this kernel when the process that has asked for it has ended."""
    if parent := multiprocessing.parent_process():
        parent.join()
    os._exit(1)
