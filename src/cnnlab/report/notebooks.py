"""Execute notebooks with papermill, while later stages still run."""

import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from cnnlab import files, surroundings
from cnnlab.engine import code_digest, discard_stderr
from cnnlab.records import Record, json_digest
from cnnlab.report.page import Chapter
from cnnlab.study import ALL_MISTAKES, LEARNING_CURVE
from cnnlab.tuning import Result, Tuning, progress

SILENT_SECONDS = 3600
"""How long a notebook may spend on a cell while no run is in progress, for which it might wait."""
START_SECONDS = 300
"""How long a kernel may take to start, on a machine that is busy with other work."""
KERNEL_TRIES = 3
"""How often a notebook is started whose kernel ends unexpectedly, for example because memory is short."""
POLL_SECONDS = 1  # between two looks at the time limit
KILL_SECONDS = 5  # for a killed process to end
Job = tuple[Path, Path, Mapping[str, Any], str, str]
"""A notebook, the file for the executed one, its parameters, its key, and the address of the scheduler it uses."""
PROCESS_TRIES = 2
"""How often a notebook is started whose own process ends unexpectedly."""
_CHAPTERS = {
    "data": ("The images", "01-data.ipynb"),
    "comparison": ("Comparison and final model", "04-comparison.ipynb"),
    "noise": ("How noisy are these runs?", "05-noise.ipynb"),
    LEARNING_CURVE: ("The learning curve", "04-comparison.ipynb"),
    ALL_MISTAKES: ("The effect of each mistake", "06-mistakes.ipynb"),
    "published": ("Appendix: the published study", "07-published.ipynb"),
}
"""Name of a chapter that is no stage: its title and its notebook."""


class NotebookRunner:
    """Executes notebooks of the folder `sources` into the folder `out`, several at once, unless they are there.

    `study` is the study file that they read; "" for the built-in study.

    Papermill changes the working directory of its process, so notebooks that are executed at the same time have
    processes of their own. Each belongs to a thread and is replaced if it ends, which affects no other notebook.
    """

    def __init__(self, tuning: Tuning, out: Path, sources: Path, study: str = "") -> None:
        self._tuning, self._out, self._sources, self._study = tuning, out, sources, study
        self._chapters: list[tuple[Chapter, Future[str] | None]] = []
        self._closed = False
        self._threads = ThreadPoolExecutor(min(4, os.cpu_count() or 1))
        self._processes: dict[int, NotebookProcess] = {}

    def __enter__(self) -> "NotebookRunner":
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        for process in list(self._processes.values()):
            process.kill()
        self._threads.shutdown(cancel_futures=True)

    def add(self, name: str, results: Sequence[Result]) -> None:
        """Add the chapter of a stage, "data", "comparison", "noise", "mistakes" or "published"; start its notebook.

        A notebook that was executed with the same text, parameters, code and results is kept.
        """
        try:
            self._chapters.append(self._start(name, results))
        except Exception as error:  # for example, no workers can be started; all runs may be stored
            self.add_failed(name, error)

    def _start(self, name: str, results: Sequence[Result]) -> tuple[Chapter, Future[str] | None]:
        tuning, (title, notebook) = self._tuning, self._chapter(name)
        source = self._sources / notebook
        parameters: dict[str, Any] = {
            "data": surroundings.relative_path(tuning.images.path),
            "runs": surroundings.relative_path(tuning.store.path),
            "study": self._study,
            "profile": tuning.budget.profile,
            "protocol": tuning.protocol.name,
            "budget": dict(tuning.changes),
        }
        for part, stages in (("stages", tuning.scope.asked), ("skip", tuning.scope.skip)):
            if stages:
                parameters["budget"][part] = ",".join(sorted(stages))
        if tuning.trust:
            parameters["trust"] = True
        if notebook in ("02-stage.ipynb", "03-colour.ipynb"):
            parameters["stage"] = name
        if notebook == "01-data.ipynb":
            parameters["accept"] = ",".join(sorted(tuning.images.accepted))
        folder = tuning.images.folder
        key = json_digest(
            {
                "source": source.read_text(encoding="utf-8"),
                "parameters": parameters,
                "code": code_digest(),
                "study": tuning.study.digest,
                "data": [dataset.digest for dataset in (folder.gray, folder.colour) if dataset],
                "runs": [[record.digest, record.train_seconds] for record in all_records(results)],
            }
        )
        chapter, future = Chapter(name, title, self._path(name)), None
        if read_key(chapter.path) != key:
            job = source.resolve(), chapter.path.resolve(), parameters, key, tuning.engine.address
            future = self._threads.submit(self._execute_apart, job)
        return chapter, future

    def add_failed(self, name: str, error: Exception) -> None:
        """Add a chapter without a notebook, because its stage or the mistakes failed."""
        self._chapters.append((Chapter(name, self._chapter(name)[0], self._path(name), str(error)), None))

    def wait(self, bar: progress.Bar) -> list[Chapter]:
        """Wait for the notebooks, remove those of an earlier report that this one lacks, and return the chapters."""
        for chapter, future in self._chapters:
            if future:
                if not future.done():
                    bar.show_waiting("notebooks", chapter.name)
                try:
                    chapter.error = future.result()
                except Exception as error:  # for example, no process can be started
                    chapter.error = f"{type(error).__name__}: {error}"
                if chapter.error:
                    bar.write(f"{chapter.name}: {chapter.error}")
        chapters = [chapter for chapter, _ in self._chapters]
        kept = {chapter.path for chapter in chapters if not chapter.error}
        for path in self._out.glob("[0-9]*.ipynb"):
            if path not in kept and read_key(path):
                path.unlink()
        return chapters

    def _execute_apart(self, job: Job) -> str:
        """Execute a notebook in this thread's process; return the error, or ""."""
        thread = threading.get_ident()
        for _ in range(PROCESS_TRIES):
            if thread not in self._processes:
                self._processes[thread] = NotebookProcess()
            if self._closed:  # `__exit__` may have missed the process
                self._processes[thread].kill()
            try:
                return self._processes[thread].execute(job, lambda: self._tuning.engine.idle_seconds)
            except EOFError:
                self._processes.pop(thread).kill()
                if self._closed:
                    break
            except TimeoutError as error:
                self._processes.pop(thread).kill()
                return str(error)
        return f"its process ended unexpectedly, {PROCESS_TRIES} times"

    def _chapter(self, name: str) -> tuple[str, str]:
        """Return the title of a chapter and the file name of its notebook."""
        if name in _CHAPTERS:
            return _CHAPTERS[name]
        stage = self._tuning.study.stage(name)
        return self._tuning.scope.title(stage), "03-colour.ipynb" if stage.on_colour else "02-stage.ipynb"

    def _path(self, name: str) -> Path:
        return self._out / f"{len(self._chapters) + 1:02d}-{name}.ipynb"


def all_records(results: Sequence[Result]) -> list[Record]:
    """Return the records behind some results; one that several trials share stands in the list for each."""
    return [record for result in results for records in result.records_by_trial.values() for record in records]


def read_key(path: Path) -> str:
    """Return the digest of what an executed notebook was made from; "" if it is missing or not ours."""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["metadata"]["cnnlab"]["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


class NotebookProcess:
    """A process that executes notebooks, one after the other.

    Not a `ProcessPoolExecutor`: that has no time limit, and cannot be killed while it works.
    """

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
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
                    nbformat.read(source, as_version=4),  # papermill would replace braces in a path
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


class KernelManager(AsyncKernelManager):  # type: ignore[misc]
    """Starts a kernel of this interpreter, whatever kernels the user has, and talks to it through sockets in a folder.

    TCP is used only where there is no folder for sockets: kernels that several processes start at the same moment may
    get the same port, and one of them ends.
    """

    def __init__(self, **settings: Any) -> None:
        parent = os.environ.get(surroundings.FOLDER)
        self._folder = Path(tempfile.mkdtemp(dir=parent)) if parent else surroundings.short_folder()
        settings["connection_file"] = str(self._folder / "kernel.json")
        if surroundings.takes_sockets(self._folder):
            settings |= {"transport": "ipc", "ip": str(self._folder / "kernel")}
        super().__init__(**settings)

    @property
    def kernel_spec(self) -> KernelSpec:
        """The kernel of this interpreter."""
        command = [sys.executable, "-P", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=command, display_name="Python 3", language="python")

    def cleanup_ipc_files(self) -> None:
        """Remove the sockets and their folder after the kernel has ended."""
        super().cleanup_ipc_files()
        shutil.rmtree(self._folder, ignore_errors=True)
