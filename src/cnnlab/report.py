"""Execute the notebooks with papermill, once a stage, and stitch them into one HTML page."""

import hashlib
import importlib.metadata
import json
import multiprocessing
import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cnnlab import models, page, progress
from cnnlab.claims import Judgement, judge_all
from cnnlab.config import Trial, digest
from cnnlab.defects import MISTAKES
from cnnlab.engine import ADDRESS, silence
from cnnlab.errors import ConfigError, DataError, RunError
from cnnlab.page import Chapter
from cnnlab.records import Record
from cnnlab.tuning import DefectResult, StageResult, Tuning

NOTEBOOK_SECONDS = 6 * 3600
"""Longest time a cell may take. Its runs are stored by then, but a drawing may wait for a worker to finish a run."""
BROKEN = "a process that executes the notebooks ended early"
_KERNELS = "cnnlab.kernels.KernelManager"


@dataclass(frozen=True)
class Report:
    """What `make` wrote: the chapters, in order, of which those with an `error` are missing, and the judged claims."""

    chapters: list[Chapter]
    judgements: list[Judgement]


def make(tuning: Tuning, out: str | Path, notebooks: str | Path = "notebooks") -> Report:
    """Run the study and write its report.

    Runs that are stored are not repeated; notebooks whose text, parameters and results are those of the last time are
    not executed again. A stage that fails does not lose the others.

    Args:
        tuning: The study.
        out: Folder of the report; made if missing.
        notebooks: Folder of the notebooks.

    Raises:
        ConfigError: The notebooks are not there, or the report's folder cannot be made.
        DataError: The images cannot be used.
        RecordError: The run store cannot be written.
    """
    begin = time.time()
    out, notebooks = Path(out), Path(notebooks)
    if not (notebooks / "02-stage.ipynb").is_file():
        raise ConfigError(
            f"Expected the notebooks in {str(notebooks)!r}. Received: none. Run cnnlab in the project's folder."
        )
    if (out / "notebooks").resolve() == notebooks.resolve():
        raise ConfigError(
            f"Expected a folder of its own for the report. Received: {str(out)!r}. Name one (REPORT=...)."
        )
    stages = tuning.stages  # reads the images, so that bad ones end the command before anything is written
    for colour in {False, any(stage.on_colour for stage in stages)}:
        tuning.split(tuning.dataset(colour))
    try:
        (out / "notebooks").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"Expected to write the report to {str(out)!r}. Received: {error.strerror}. Name another (REPORT=...)."
        ) from error
    book = _Book(tuning, out / "notebooks", notebooks)
    results: list[StageResult] = []
    with progress.Bar(progress.plan(tuning)) as bar, _notebook_processes() as executor:
        tuning.watcher = bar
        book.add(executor, "data", "The images", "01-data.ipynb", [])
        for stage in stages:
            title = f"CNN-{stage.cnn}: {stage.title}"
            try:
                results.append(tuning.result(stage.name))
            except (RunError, DataError) as error:
                tuning.without.add(stage.name)
                book.lose(stage.name, title, str(error))
                bar.say(f"{stage.name}: {error}")
                continue
            if stage.on_colour:
                book.add(executor, stage.name, title, "03-colour.ipynb", results)
            else:
                book.add(executor, stage.name, title, "02-stage.ipynb", results, stage=stage.name)
        if results:
            book.add(executor, "comparison", "Comparison and conclusion", "04-comparison.ipynb", results)
            book.add(executor, "noise", "How noisy was the published study?", "05-noise.ipynb", results)
        mistakes: list[DefectResult] = []
        if tuning.defects:
            title = "What each mistake cost"
            try:
                mistakes = tuning.mistakes()
                book.add(executor, MISTAKES, title, "06-mistakes.ipynb", [*results, *mistakes])
            except (RunError, DataError) as error:
                book.lose(MISTAKES, title, str(error))
                bar.say(f"{MISTAKES}: {error}")
        judgements = judge_all(tuning, results)
        chapters = book.finish(bar)
    for name, frame in (
        ("results", tuning.results_frame(results)),
        ("decisions", tuning.decisions_frame(results)),
        ("comparisons", tuning.comparisons_frame(results)),
        ("mistakes", tuning.defects_frame(mistakes)),
    ):
        frame.to_csv(out / f"{name}.csv", index=False)
    model: dict[str, Any] = {}
    try:
        model = _write_model(tuning, results, out)
    except Exception as error:  # a damaged store, or a worker that cannot: the page is worth having all the same
        chapters.append(Chapter("model", "model.keras", out, f"{type(error).__name__}: {error}"))
    manifest = {**_manifest(tuning, [*results, *mistakes], chapters, begin), "model": model}
    _write(out / "index.html", page.render(tuning, results, chapters, judgements, manifest).encode())
    _write(out / "manifest.json", json.dumps(manifest, indent=1).encode())
    return Report(chapters, judgements)


def _write(path: Path, content: bytes) -> None:
    scratch = path.with_name(f".{path.name}.part")
    scratch.write_bytes(content)
    scratch.replace(path)


class _Book:
    """The notebooks of a report, executed beside the runs of the stages to come."""

    def __init__(self, tuning: Tuning, out: Path, sources: Path) -> None:
        self._tuning = tuning
        self._out = out
        self._sources = sources
        self._chapters: list[tuple[Chapter, Future[str] | None]] = []
        self._code = _code_digest()

    def lose(self, name: str, title: str, error: str) -> None:
        """Add a chapter that cannot be made."""
        self._chapters.append((Chapter(name, title, self._path(name), error), None))

    def add(
        self,
        executor: Executor,
        name: str,
        title: str,
        source: str,
        results: Sequence[StageResult | DefectResult],
        **more: str,
    ) -> None:
        """Add a chapter, and execute its notebook unless that has been done."""
        tuning, chapter = self._tuning, Chapter(name, title, self._path(name))
        parameters = {
            "data": os.path.relpath(tuning.data, self._sources),
            "runs": os.path.relpath(tuning.store.path, self._sources),
            "profile": tuning.profile.name,
            "protocol": tuning.protocol.name,
            "without": ",".join(sorted(tuning.without)),
            **more,
        }
        key = digest(
            {
                "source": (self._sources / source).read_text(encoding="utf-8"),
                "parameters": parameters,
                "code": self._code,
                "data": [dataset.digest for dataset in (tuning.folder.gray, tuning.folder.colour) if dataset],
                "runs": [[record.digest, record.train_seconds] for record in _records(results)],
            }
        )
        future = None
        if _key(chapter.path) != key:
            job = (self._sources / source).resolve(), chapter.path.resolve(), parameters, key, tuning.engine.address
            try:
                future = executor.submit(_execute, *job)
            except BrokenProcessPool:
                chapter.error = BROKEN
        self._chapters.append((chapter, future))

    def _path(self, name: str) -> Path:
        return self._out / f"{len(self._chapters) + 1:02d}-{name}.ipynb"

    def finish(self, bar: progress.Bar) -> list[Chapter]:
        """Wait for the notebooks, and remove those of an earlier report that this one does not have."""
        for chapter, future in self._chapters:
            try:
                chapter.error = chapter.error or (future.result() if future else "")
            except BrokenProcessPool:
                chapter.error = BROKEN
            if future and chapter.error:
                bar.say(f"{chapter.name}: {chapter.error}")
        kept = {chapter.path for chapter, _ in self._chapters if not chapter.error}
        for path in self._out.glob("*.ipynb"):
            if path not in kept and _key(path):
                path.unlink()
        return [chapter for chapter, _ in self._chapters]


def _records(results: Sequence[StageResult | DefectResult]) -> list[Record]:
    return [record for result in results for found in result.groups.values() for record in found]


def _code_digest() -> str:
    """Return a digest of cnnlab's own code and tables: another version may show the same results otherwise."""
    sha = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*")):
        if path.suffix in (".py", ".csv"):
            sha.update(path.read_bytes())
    return sha.hexdigest()


def _key(path: Path) -> str:
    """Return what an executed notebook was made from; "" if it is not there or not ours."""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["metadata"]["cnnlab"]["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _notebook_processes() -> ProcessPoolExecutor:
    """Return processes that execute notebooks: papermill changes the working directory of the one it runs in."""
    return ProcessPoolExecutor(min(4, os.cpu_count() or 1), multiprocessing.get_context("spawn"), silence)


def _execute(source: Path, target: Path, parameters: Mapping[str, str], key: str, scheduler: str) -> str:
    """Execute a notebook and put it in place once it has gone through; return why it has not, or ""."""
    import nbformat
    import papermill

    os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")  # this environment's kernel, not one of the user's
    os.environ[ADDRESS] = scheduler  # the kernel joins these workers
    scratch = target.with_name(f".{target.stem}.part.ipynb")
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
        notebook = nbformat.read(scratch, as_version=4)
        notebook.metadata["cnnlab"] = {"key": key}
        nbformat.write(notebook, scratch)
        scratch.replace(target)
    except Exception as error:  # whatever a notebook died of, the others are worth having
        kind = getattr(error, "ename", "") or type(error).__name__
        message = getattr(error, "evalue", "") or str(error)
        return f"{kind}: {' '.join(message.split())[:300]}"
    finally:
        scratch.unlink(missing_ok=True)
    return ""


def _write_model(tuning: Tuning, results: Sequence[StageResult], out: Path) -> dict[str, Any]:
    """Write the final grayscale model: of the last such stage's choice, the run with the best `val_f1`."""
    gray = [result for result in results if not result.stage.on_colour]
    if not gray:
        return {}
    last = gray[-1]
    record = max(last.records(last.decision.chosen), key=lambda record: record.scores["val_f1"])
    about = {
        "run": record.digest,
        "stage": last.stage.name,
        "trial": last.decision.chosen,
        "seed": record.seed,
        "train_seconds": record.train_seconds,  # tells a run from its repetition
    }
    target = out / "model.keras"
    try:
        if json.loads((out / "manifest.json").read_bytes())["model"] == about and target.exists():
            return about
    except (OSError, ValueError, KeyError):
        pass
    arrays = tuning.store.arrays(record.digest)
    trial = Trial.from_canonical(record.trial)
    content = tuning.engine.call(
        models.deployable,
        trial.architecture,
        [arrays[name] for name in sorted(arrays) if name.startswith("weight_")],
        tuple(record.data["shape"]),
        len(record.data["class_names"]),
        scale=trial.input.scale,
    )
    _write(target, content)
    return about


def _manifest(
    tuning: Tuning, results: Sequence[StageResult | DefectResult], chapters: Sequence[Chapter], begin: float
) -> dict[str, Any]:
    folder = tuning.folder
    records = {record.digest: record for record in _records(results)}
    packages = ("cnnlab", "keras", "tensorflow", "numpy", "pandas", "scikit-learn", "distributed", "papermill")
    return {
        "profile": asdict(tuning.profile),
        "protocol": {**asdict(tuning.protocol), "settings": dict(tuning.protocol.settings)},
        "data": {
            "gray_digest": folder.gray.digest,
            "colour_digest": folder.colour.digest if folder.colour else None,
            "classes": list(folder.gray.class_names),
        },
        "splits": sorted({record.split["digest"] for record in records.values()}),
        "seeds": sorted({record.seed for record in records.values()}),
        "runs": len(records),
        "runs_made_now": len(tuning.made),
        "train_seconds": round(sum(record.train_seconds for record in records.values()), 1),
        "wall_seconds": round(time.time() - begin, 1),
        "missing": {chapter.name: chapter.error for chapter in chapters if chapter.error},
        "commit": _commit(),
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in packages if _installed(name)},
        "run_on": sorted({json.dumps(record.provenance, sort_keys=True) for record in records.values()}),
        "machine": {"system": f"{platform.system()} {platform.machine()}", "cores": os.cpu_count()},
    }


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _commit() -> str:
    """Return the git commit that this code is of, marked if there are changes on top; "unknown" outside git."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
