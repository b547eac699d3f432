"""Execute the notebooks of a report, while later stages still run."""

import json
import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cnnlab import surroundings
from cnnlab.engine import code_digest
from cnnlab.records import json_digest
from cnnlab.report.notebooks.kernels import Job, NotebookProcess
from cnnlab.report.page import Chapter
from cnnlab.study import ALL_MISTAKES, LEARNING_CURVE
from cnnlab.tuning import Result, Tuning, distinct_records, progress
from cnnlab.tuning.search import SearchResult

PROCESS_TRIES = 2
"""How often a notebook is started whose own process ends unexpectedly."""
_CHAPTERS = {
    "data": ("The images", "01-data.ipynb"),
    "comparison": ("The final model, and what to do next", "04-comparison.ipynb"),
    "noise": ("How noisy are these runs?", "05-noise.ipynb"),
    LEARNING_CURVE: ("The learning curve", "04-comparison.ipynb"),
    ALL_MISTAKES: ("The effect of each mistake", "06-mistakes.ipynb"),
    "published": ("Appendix: the published study", "07-published.ipynb"),
}
"""Name of a chapter that is no stage: its title and its notebook."""
_SEARCH_NOTEBOOK = "08-search.ipynb"
"""The notebook of a joint search."""


class NotebookRunner:
    """Executes notebooks of the folder `sources` into the folder `out`, several at once, unless they are there.

    `study` is the study that they open: its file or its name; "" for the published study.

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

    def sources(self) -> list[Path]:
        """Return the notebooks that the report is going to run."""
        names = ["data", *self._tuning.planned_runs(), "comparison", "noise"]
        if self._tuning.study.is_built_in:
            names.append("published")
        return sorted({self._sources / self._chapter(name)[1] for name in names})

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
        budget, more = {"profile": tuning.budget.profile, **tuning.changes}, dict[str, Any]()
        for part, stages in (("stages", tuning.scope.asked), ("skip", tuning.scope.skip)):
            if stages:
                budget[part] = ",".join(sorted(stages))
        more["runs"] = surroundings.relative_path(tuning.store.path)
        more["protocol"] = tuning.protocol.name
        if tuning.trust:
            more["trust"] = True
        if tuning.images.accepted:
            more["accept"] = ",".join(sorted(tuning.images.accepted))
        if tuning.images.size:
            more["size"] = str(tuning.images.size)
        data = surroundings.relative_path(tuning.images.path)
        parameters = {"data": data, "study": self._study, "budget": budget, "more": more}
        if notebook == surroundings.STAGE_NOTEBOOK:
            parameters["stage"] = name
        folder = tuning.images.folder
        key = json_digest(
            {
                "source": source.read_text(encoding="utf-8"),
                "parameters": parameters,
                "code": code_digest(),
                "study": tuning.study.digest,
                "data": [dataset.digest for dataset in (folder.gray, folder.colour) if dataset],
                "runs": [[digest, record.train_seconds] for digest, record in distinct_records(results).items()],
                "ledgers": [
                    [row.number, row.status, row.reason]
                    for result in results
                    if isinstance(result, SearchResult)
                    for row in result.ledger
                ],
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
        return self._tuning.scope.title(stage), _SEARCH_NOTEBOOK if stage.search else surroundings.STAGE_NOTEBOOK

    def _path(self, name: str) -> Path:
        return self._out / f"{len(self._chapters) + 1:02d}-{name}.ipynb"


def read_key(path: Path) -> str:
    """Return the digest of what an executed notebook was made from; "" if it is missing or not ours."""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["metadata"]["cnnlab"]["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
