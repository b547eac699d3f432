"""Execute the notebooks with papermill, once a stage, and stitch them into one HTML page."""

import hashlib
import importlib.metadata
import json
import multiprocessing
import os
import platform
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cnnlab import files, models, page, progress
from cnnlab.claims import Judgement, judge_all
from cnnlab.config import Trial, digest
from cnnlab.defects import MISTAKES
from cnnlab.engine import ADDRESS, WORKER_ENV, code_digest, silence
from cnnlab.errors import ConfigError, DataError, RunError
from cnnlab.evidence import mean_interval
from cnnlab.page import Chapter
from cnnlab.protocols import find_profile
from cnnlab.records import Record
from cnnlab.study import Stage
from cnnlab.tuning import DefectResult, StageResult, Tuning

NOTEBOOK_SECONDS = 6 * 3600
"""Longest time a cell may take. Its runs are stored by then, but a drawing may wait for a worker to finish a run."""
KERNEL_TRIES = 3
"""How often a notebook is begun whose kernel dies of something else, as of another program that takes all memory."""
_KERNELS = "cnnlab.kernels.KernelManager"


@dataclass(frozen=True)
class Report:
    """What `make` wrote.

    Attributes:
        chapters: In order; those with an `error` are missing.
        judgements: The judged claims.
        findings: What the study came to, in a few lines of plain text.
    """

    chapters: list[Chapter]
    judgements: list[Judgement]
    findings: list[str]


def make(tuning: Tuning, out: str | Path, notebooks: str | Path = "notebooks") -> Report:
    """Run the study and write its report.

    Runs that are stored are not repeated; notebooks whose text, parameters and results are those of the last time are
    not executed again. A stage that fails does not lose the others.

    Args:
        tuning: The study.
        out: Folder of the report; made if missing.
        notebooks: Folder of the notebooks.

    Raises:
        ConfigError: The notebooks are not there, the report's folder cannot be made, the study has numbers of seeds or
            a choice of trials of its own, or there is no scheduler, or no workers.
        DataError: The images cannot be used.
        RecordError: The run store cannot be written.
        WorkerError: A worker of a cluster is of other versions.
    """
    begin = time.time()
    out, notebooks = Path(out), Path(notebooks)
    if tuning.trials or tuning.profile.seeds != find_profile(tuning.profile.name).seeds:
        raise ConfigError(
            "Expected a study with all trials and its profile's seeds, for that is what a report's notebooks take. "
            f"Received: {'some trials' if tuning.trials else f'{tuning.profile.seeds} seeds'}. Leave seeds and trials "
            "out, or take the runs alone from Tuning.results."
        )
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
        for folder in (out, out / "notebooks"):
            files.scratch(folder).unlink()  # hours before it would be found out otherwise
            files.sweep(folder)
    except OSError as error:
        raise ConfigError(
            f"Expected to write the report to {str(out)!r}. Received: {error.strerror}. Name another (REPORT=...)."
        ) from error
    book = _Book(tuning, out / "notebooks", notebooks)
    results: list[StageResult] = []
    with progress.Bar(progress.plan(tuning)) as bar, _notebook_processes() as executor:
        tuning.watcher = bar

        def lose(name: str, title: str, error: Exception) -> None:
            book.lose(name, title, str(error))
            bar.say(f"{name}: {error}")

        def title(stage: Stage) -> str:
            return f"CNN-{stage.cnn}: {stage.title}"

        book.add(executor, "data", "The images", "01-data.ipynb", [])
        for result in tuning.walk(lambda stage, error: lose(stage.name, title(stage), error)):
            results.append(result)
            stage = result.stage
            if stage.on_colour:
                book.add(executor, stage.name, title(stage), "03-colour.ipynb", results)
            else:
                book.add(executor, stage.name, title(stage), "02-stage.ipynb", results, stage=stage.name)
        if results:
            book.add(executor, "comparison", "Comparison and final model", "04-comparison.ipynb", results)
            book.add(executor, "noise", "How noisy was the published study?", "05-noise.ipynb", results)
        mistakes: list[DefectResult] = []
        if tuning.defects:
            costs = "What each mistake cost"
            try:
                mistakes = tuning.mistakes()
                book.add(executor, MISTAKES, costs, "06-mistakes.ipynb", [*results, *mistakes])
            except (RunError, DataError) as error:
                lose(MISTAKES, costs, error)
        judgements = judge_all(tuning, results)
        chapters = book.finish(bar)
    for name, frame in (
        ("results", tuning.results_frame(results)),
        ("decisions", tuning.decisions_frame(results)),
        ("comparisons", tuning.comparisons_frame(results)),
        ("mistakes", tuning.defects_frame(mistakes)),
    ):
        files.write(out / f"{name}.csv", frame.to_csv(index=False).encode())
    model: dict[str, Any] = {}
    try:
        model = _write_model(tuning, results, out)
    except Exception as error:  # a damaged store, or a worker that cannot: the page is worth having all the same
        chapters.append(Chapter("model", "model.keras", out, f"{type(error).__name__}: {error}"))
    manifest = {**_manifest(tuning, [*results, *mistakes], chapters, begin), "model": model}
    manifest["page"] = _write_page(tuning, results, chapters, judgements, manifest, out)
    manifest["missing"] = _missing(chapters)  # some may not have been fit to be rendered
    files.write(out / "manifest.json", json.dumps(manifest, indent=1).encode())
    return Report(chapters, judgements, manifest["page"]["findings"])


def _write_page(
    tuning: Tuning,
    results: Sequence[StageResult],
    chapters: Sequence[Chapter],
    judgements: Sequence[Judgement],
    manifest: Mapping[str, Any],
    out: Path,
) -> dict[str, Any]:
    """Write the page unless it is there and would be the same.

    Returns:
        What it was made from, its hash, and the findings in brief.
    """
    target = out / "index.html"
    key = digest(
        {
            "chapters": [[chapter.name, chapter.title, _key(chapter.path)] for chapter in chapters],
            "code": code_digest(),
            "templates": page.templates_digest(),
            "made_with": [manifest["commit"], manifest["versions"]],
        }
    )
    with suppress(OSError, ValueError, KeyError, TypeError):
        made = json.loads((out / "manifest.json").read_bytes())["page"]
        same = made == {
            "key": key,
            "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
            "findings": made["findings"],
        }
        if same and not any(chapter.error for chapter in chapters):
            return {**made}
    from cnnlab import overview  # and Matplotlib, which a page that is kept as it is does without

    content = page.render(tuning, results, chapters, judgements, manifest).encode()
    files.write(target, content)
    lost = any(chapter.error for chapter in chapters)  # some only now: the next command is to try them again
    return {
        "key": "" if lost else key,
        "sha256": hashlib.sha256(content).hexdigest(),
        "findings": overview.in_brief(results, judgements, tuning.profile),
    }


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
            "precision": tuning.profile.precision,
            "halving": tuning.profile.halving,
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
                bar.now("notebooks", chapter.name)
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
                bar.say(f"{chapter.name}: {chapter.error}")
        kept = {chapter.path for chapter, *_ in self._chapters if not chapter.error}
        for path in self._out.glob("[0-9]*.ipynb"):
            if path not in kept and _key(path):
                path.unlink()
        return [chapter for chapter, *_ in self._chapters]


def _records(results: Sequence[StageResult | DefectResult]) -> list[Record]:
    return [record for result in results for found in result.groups.values() for record in found]


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
    executor = ProcessPoolExecutor(min(4, cores), context, silence)
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
        scratch = files.scratch(target.parent, ".part.ipynb")
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
        files.put(scratch, target)
    except Exception as error:  # whatever a notebook died of, the others are worth having
        kind = getattr(error, "ename", "") or type(error).__name__
        message = getattr(error, "evalue", "") or str(error)
        return f"{kind}: {' '.join(message.split())[:300]}"
    finally:
        if scratch:
            scratch.unlink(missing_ok=True)
    return ""


def _write_model(tuning: Tuning, results: Sequence[StageResult], out: Path) -> dict[str, Any]:
    """Write the final grayscale model, of the last such stage's choice the run with the best `val_f1`, and its card."""
    gray = [result for result in results if not result.stage.on_colour]
    if not gray:
        return {}
    last = gray[-1]
    record, found = last.best_run, last.records(last.decision.chosen)
    about = {
        "run": record.digest,
        "stage": last.stage.name,
        "trial": last.decision.chosen,
        "seed": record.seed,
        "train_seconds": record.train_seconds,  # tells a run from its repetition
        "runs": [of.digest for of in found],
        "code": code_digest(),
    }
    target, described = out / "model.keras", out / "model-card.md"
    with suppress(OSError, ValueError, KeyError, TypeError):
        written = json.loads((out / "manifest.json").read_bytes())["model"]
        if written == about and target.exists() and described.exists():
            return about
    from cnnlab import card  # and Matplotlib, which a card that is kept as it is does without

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
    files.write(target, content)
    said = card.markdown(
        last,
        record,
        arrays["test_labels"],
        arrays["test_probs"],
        tuning.profile,
        tuning.protocol,
        interval=mean_interval(tuning.scores(found, "test")),
    )
    files.write(described, said.encode())
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
        "runs_made_now": len(tuning.made & records.keys()),
        "train_seconds": round(sum(record.train_seconds for record in records.values()), 1),
        "wall_seconds": round(time.time() - begin, 1),
        "missing": _missing(chapters),
        "commit": _commit(),
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in packages if _installed(name)},
        "run_on": sorted({json.dumps(record.provenance, sort_keys=True) for record in records.values()}),
        "machine": {"system": f"{platform.system()} {platform.machine()}", "cores": os.cpu_count()},
        "repeat": {
            "command": f"make report PROFILE={tuning.profile.name} PROTOCOL={tuning.protocol.name} "
            f"DATA={shlex.quote(str(tuning.data))} PRECISION={tuning.profile.precision} "
            f"HALVING={'1' * tuning.profile.halving}",
            "left_out": sorted(tuning.without),
            "environment": f"make .venv/.ready, from the requirements.lock of this commit (SHA-256 {_lock_digest()})",
            "bit_identical": "on a machine like those of run_on, with these settings of the workers",
            "workers": WORKER_ENV,
        },
    }


def _missing(chapters: Sequence[Chapter]) -> dict[str, str]:
    return {chapter.name: chapter.error for chapter in chapters if chapter.error}


def _lock_digest() -> str:
    """Return the hash of the project's lock file; "unknown" for a cnnlab that was installed without its project."""
    try:
        return hashlib.sha256((Path(__file__).parents[2] / "requirements.lock").read_bytes()).hexdigest()
    except OSError:
        return "unknown"


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
