"""Execute notebooks with papermill, beside the runs of later stages."""

import json
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jupyter_client.manager import AsyncKernelManager

from cnnlab import files
from cnnlab.engine import ADDRESS, code_digest, discard_stderr
from cnnlab.records import Record, json_digest
from cnnlab.report.page import Chapter
from cnnlab.tuning import MistakeResult, StageResult, Tuning, progress

NOTEBOOK_SECONDS = 6 * 3600
"""Longest time a cell may take. Its runs are stored by then, but a drawing may wait for a worker to finish a run."""


KERNEL_TRIES = 3
"""How often a notebook is begun whose kernel dies of something else, as of another program that takes all memory."""


_KERNELS = "cnnlab.report.notebooks.KernelManager"


class _Book:
    """The notebooks of a report, executed beside the runs of the stages to come."""

    def __init__(self, tuning: Tuning, out: Path, sources: Path) -> None:
        self._tuning = tuning
        self._out = out
        self._sources = sources
        self._chapters: list[tuple[Chapter, _Job | None, Future[str] | None]] = []
        self._code = code_digest()

    def lose(self, name: str, title: str, error: str) -> None:
        """Add a chapter that cannot be made."""
        self._chapters.append((Chapter(name, title, self._path(name), error), None, None))

    def add(
        self,
        executor: Executor,
        name: str,
        title: str,
        source: str,
        results: Sequence[StageResult | MistakeResult],
        **more: str,
    ) -> None:
        """Add a chapter, and execute its notebook unless that has been done."""
        tuning, chapter = self._tuning, Chapter(name, title, self._path(name))
        parameters = {
            "data": os.path.relpath(tuning.images.path, self._sources),
            "runs": os.path.relpath(tuning.store.path, self._sources),
            "profile": tuning.profile.name,
            "protocol": tuning.protocol.name,
            "without": ",".join(sorted(tuning.skip)),
            "precision": tuning.profile.precision,
            "halving": tuning.profile.halving,
            **more,
        }
        key = json_digest(
            {
                "source": (self._sources / source).read_text(encoding="utf-8"),
                "parameters": parameters,
                "code": self._code,
                "data": [
                    dataset.digest for dataset in (tuning.images.folder.gray, tuning.images.folder.colour) if dataset
                ],
                "runs": [[record.digest, record.train_seconds] for record in _records(results)],
            }
        )
        if _key(chapter.path) == key:
            self._chapters.append((chapter, None, None))
            return
        job = (self._sources / source).resolve(), chapter.path.resolve(), parameters, key, tuning.engine.address
        future: Future[str] | None = None
        with suppress(BrokenProcessPool):
            future = executor.submit(_execute, *job)
        self._chapters.append((chapter, job, future))

    def _path(self, name: str) -> Path:
        return self._out / f"{len(self._chapters) + 1:02d}-{name}.ipynb"

    def finish(self, bar: progress.Bar) -> list[Chapter]:
        """Wait for the notebooks, and remove those of an earlier report that this one does not have."""
        again: list[tuple[Chapter, _Job]] = []
        for chapter, job, future in self._chapters:
            if future and not future.done():
                bar.show_waiting("notebooks", chapter.name)
            try:
                chapter.error = chapter.error or (future.result() if future else "")
            except BrokenProcessPool:
                future = None
            if job and not future:
                again.append((chapter, job))
        for chapter, job in again:  # one at a time, so that a notebook which kills its process takes no other along
            with _notebook_processes() as executor:
                try:
                    chapter.error = executor.submit(_execute, *job).result()
                except BrokenProcessPool:
                    chapter.error = "the process that executes it ended early, twice"
        for chapter, job, _ in self._chapters:
            if job and chapter.error:
                bar.write(f"{chapter.name}: {chapter.error}")
        kept = {chapter.path for chapter, *_ in self._chapters if not chapter.error}
        for path in self._out.glob("[0-9]*.ipynb"):
            if path not in kept and _key(path):
                path.unlink()
        return [chapter for chapter, *_ in self._chapters]


def _records(results: Sequence[StageResult | MistakeResult]) -> list[Record]:
    return [record for result in results for found in result.records_by_trial.values() for record in found]


def _key(path: Path) -> str:
    """Return what an executed notebook was made from; "" if it is not there or not ours."""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["metadata"]["cnnlab"]["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


@contextmanager
def _notebook_processes() -> Iterator[Executor]:
    """Offer processes that execute notebooks: papermill changes the working directory of the one it runs in."""
    context, cores = multiprocessing.get_context("spawn"), os.cpu_count() or 1
    executor = ProcessPoolExecutor(min(4, cores), context, discard_stderr)
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)  # if something went wrong, those that wait are not worth waiting for


_Job = tuple[Path, Path, Mapping[str, Any], str, str]


def _execute(source: Path, target: Path, parameters: Mapping[str, Any], key: str, scheduler: str) -> str:
    """Execute a notebook and put it in place once it has gone through; return why it has not, or ""."""
    import nbformat
    import papermill

    os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")  # this environment's kernel, not one of the user's
    os.environ[ADDRESS] = scheduler  # the kernel joins these workers
    scratch: Path | None = None
    try:
        scratch = files.temporary_file(target.parent, ".part.ipynb")
        for tried in range(KERNEL_TRIES):
            try:
                papermill.execute_notebook(
                    source,
                    scratch,
                    dict(parameters),
                    kernel_name="python3",
                    cwd=source.parent,
                    progress_bar=False,
                    execution_timeout=NOTEBOOK_SECONDS,
                    kernel_manager_class=_KERNELS,
                )
                break
            except RuntimeError as error:  # by the exception alone: in the notebook, every cell has "completed"
                if tried + 1 == KERNEL_TRIES or "Kernel died" not in str(error):
                    raise
        notebook = nbformat.read(scratch, as_version=4)
        notebook.metadata["cnnlab"] = {"key": key}
        nbformat.write(notebook, scratch)
        files.commit(scratch, target)
    except Exception as error:  # whatever a notebook died of, the others are worth having
        kind = getattr(error, "ename", "") or type(error).__name__
        message = getattr(error, "evalue", "") or str(error)
        return f"{kind}: {' '.join(message.split())[:300]}"
    finally:
        if scratch:
            scratch.unlink(missing_ok=True)
    return ""


class KernelManager(AsyncKernelManager):  # type: ignore[misc]
    """Talks to a kernel through sockets in a folder of its own.

    With TCP, kernels that start at the same moment in several processes may be given the same port, and one dies.
    """

    def __init__(self, **settings: Any) -> None:
        if os.name == "nt":  # no such sockets there
            super().__init__(**settings)
            return
        self._folder = TemporaryDirectory(prefix="cnnlab-")
        super().__init__(**settings, transport="ipc", ip=str(Path(self._folder.name) / "kernel"))

    def cleanup_ipc_files(self) -> None:
        """Remove the sockets with their folder, once the kernel has ended."""
        super().cleanup_ipc_files()
        if os.name != "nt":
            self._folder.cleanup()
