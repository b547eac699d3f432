"""Execute notebooks with papermill, while later stages still run."""

import json
import multiprocessing
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jupyter_client.manager import AsyncKernelManager

from cnnlab import files
from cnnlab.engine import ADDRESS, code_digest, discard_stderr
from cnnlab.records import Record, json_digest
from cnnlab.report.page import Chapter
from cnnlab.study import ALL_MISTAKES, find_stage
from cnnlab.tuning import MistakeResult, StageResult, Tuning, progress

NOTEBOOK_SECONDS = 6 * 3600
"""Longest time of a cell. Its runs are stored by then, but a drawing may wait until a worker has finished a run."""
KERNEL_TRIES = 3
"""How often a notebook is started whose kernel dies, for example because another program takes all memory."""
PROCESS_TRIES = 2
"""How often a notebook is started whose own process dies."""
_CHAPTERS = {
    "data": ("The images", "01-data.ipynb"),
    "comparison": ("Comparison and final model", "04-comparison.ipynb"),
    "noise": ("How noisy was the published study?", "05-noise.ipynb"),
    ALL_MISTAKES: ("The effect of each mistake", "06-mistakes.ipynb"),
}
"""Name of a chapter that is no stage: its title and its notebook."""


class NotebookRunner:
    """Executes notebooks of the folder `sources` into the folder `out`, several at once, unless they are there.

    Papermill changes the working directory of its process, so notebooks that are executed at the same time have
    processes of their own. Each belongs to a thread and is replaced if it ends, which affects no other notebook.
    """

    def __init__(self, tuning: Tuning, out: Path, sources: Path) -> None:
        self._tuning, self._out, self._sources = tuning, out, sources
        self._chapters: list[tuple[Chapter, Future[str] | None]] = []
        self._threads = ThreadPoolExecutor(min(4, os.cpu_count() or 1))
        self._processes: dict[int, ProcessPoolExecutor] = {}

    def __enter__(self) -> "NotebookRunner":
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)
        for process in self._processes.values():
            process.shutdown()

    def add(self, name: str, results: Sequence[StageResult | MistakeResult]) -> None:
        """Add the chapter of a stage, "data", "comparison", "noise" or "mistakes", and start its notebook.

        A notebook that was executed with the same text, parameters, code and results is kept.
        """
        tuning, (title, notebook) = self._tuning, _chapter(name)
        source = self._sources / notebook
        parameters = {
            "data": os.path.relpath(tuning.images.path, self._sources),
            "runs": os.path.relpath(tuning.store.path, self._sources),
            "profile": tuning.profile.name,
            "protocol": tuning.protocol.name,
            "skip": ",".join(sorted(tuning.skip)),
            "precision": tuning.profile.precision,
            "halving": tuning.profile.halving,
        }
        if notebook == "02-stage.ipynb":
            parameters["stage"] = name
        if notebook == "01-data.ipynb":
            parameters["accept"] = ",".join(sorted(tuning.images.accepted))
        folder = tuning.images.folder
        key = json_digest(
            {
                "source": source.read_text(encoding="utf-8"),
                "parameters": parameters,
                "code": code_digest(),
                "data": [dataset.digest for dataset in (folder.gray, folder.colour) if dataset],
                "runs": [[record.digest, record.train_seconds] for record in all_records(results)],
            }
        )
        chapter, future = Chapter(name, title, self._path(name)), None
        if read_key(chapter.path) != key:
            job = source.resolve(), chapter.path.resolve(), parameters, key, tuning.engine.address
            future = self._threads.submit(self._execute_apart, *job)
        self._chapters.append((chapter, future))

    def add_failed(self, name: str, error: Exception) -> None:
        """Add a chapter without a notebook, because its stage or the mistakes failed."""
        self._chapters.append((Chapter(name, _chapter(name)[0], self._path(name), str(error)), None))

    def wait(self, bar: progress.Bar) -> list[Chapter]:
        """Wait for the notebooks, remove those of an earlier report that this one lacks, and return the chapters."""
        for chapter, future in self._chapters:
            if future:
                if not future.done():
                    bar.show_waiting("notebooks", chapter.name)
                chapter.error = future.result()
                if chapter.error:
                    bar.write(f"{chapter.name}: {chapter.error}")
        chapters = [chapter for chapter, _ in self._chapters]
        kept = {chapter.path for chapter in chapters if not chapter.error}
        for path in self._out.glob("[0-9]*.ipynb"):
            if path not in kept and read_key(path):
                path.unlink()
        return chapters

    def _execute_apart(self, *job: Any) -> str:
        """Execute a notebook in this thread's process; return the error, or ""."""
        thread = threading.get_ident()
        for _ in range(PROCESS_TRIES):
            if thread not in self._processes:
                context = multiprocessing.get_context("spawn")
                self._processes[thread] = ProcessPoolExecutor(1, context, discard_stderr)
            try:
                return self._processes[thread].submit(_execute, *job).result()
            except BrokenProcessPool:
                self._processes.pop(thread).shutdown()
        return f"its process ended unexpectedly, {PROCESS_TRIES} times"

    def _path(self, name: str) -> Path:
        return self._out / f"{len(self._chapters) + 1:02d}-{name}.ipynb"


def all_records(results: Sequence[StageResult | MistakeResult]) -> list[Record]:
    """Return the records behind some results; one that several trials share stands in the list for each."""
    return [record for result in results for records in result.records_by_trial.values() for record in records]


def read_key(path: Path) -> str:
    """Return the digest of what an executed notebook was made from; "" if it is missing or not ours."""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["metadata"]["cnnlab"]["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _chapter(name: str) -> tuple[str, str]:
    """Return the title of a chapter and the file name of its notebook."""
    if name in _CHAPTERS:
        return _CHAPTERS[name]
    stage = find_stage(name)
    return f"CNN-{stage.cnn}: {stage.title}", "03-colour.ipynb" if stage.on_colour else "02-stage.ipynb"


def _execute(source: Path, target: Path, parameters: Mapping[str, Any], key: str, scheduler: str) -> str:
    """Execute a notebook and move it to its place once it has succeeded; return the error, or ""."""
    import nbformat
    import papermill

    os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")  # the kernel of this environment, not one of the user's
    os.environ[ADDRESS] = scheduler  # the kernel uses these workers
    temporary: Path | None = None
    try:
        temporary = files.temporary_file(target.parent, ".part.ipynb")
        for attempt in range(1, KERNEL_TRIES + 1):
            try:
                papermill.execute_notebook(
                    source,
                    temporary,
                    dict(parameters),
                    kernel_name="python3",
                    cwd=source.parent,
                    progress_bar=False,
                    execution_timeout=NOTEBOOK_SECONDS,
                    kernel_manager_class=f"{__name__}.{KernelManager.__name__}",
                )
                break
            except RuntimeError as error:  # the notebook does not tell: after this, all its cells are "completed"
                if attempt == KERNEL_TRIES or "Kernel died" not in str(error):
                    raise
        notebook = nbformat.read(temporary, as_version=4)
        notebook.metadata["cnnlab"] = {"key": key}
        nbformat.write(notebook, temporary)
        files.commit(temporary, target)
    except Exception as error:  # any error in a notebook leaves the others as they are
        kind = getattr(error, "ename", "") or type(error).__name__
        message = getattr(error, "evalue", "") or str(error)
        return f"{kind}: {' '.join(message.split())[:300]}"
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)
    return ""


class KernelManager(AsyncKernelManager):  # type: ignore[misc]
    """Talks to its kernel through sockets in a folder of its own.

    With TCP, kernels that several processes start at the same moment may get the same port, and one of them dies.
    """

    def __init__(self, **settings: Any) -> None:
        if os.name == "nt":  # no such sockets there
            super().__init__(**settings)
            return
        self._folder = TemporaryDirectory(prefix="cnnlab-")
        super().__init__(**settings, transport="ipc", ip=str(Path(self._folder.name) / "kernel"))

    def cleanup_ipc_files(self) -> None:
        """Remove the sockets and their folder after the kernel has ended."""
        super().cleanup_ipc_files()
        if os.name != "nt":
            self._folder.cleanup()
