"""Run the study and write its report."""

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from cnnlab import files, surroundings
from cnnlab.engine import code_digest
from cnnlab.errors import ConfigError
from cnnlab.records import json_digest
from cnnlab.report import page
from cnnlab.report.changes import changed_line, changed_notebooks
from cnnlab.report.manifest import STUDY_FILE, make_manifest, read_manifest
from cnnlab.report.notebooks import NotebookRunner, read_key
from cnnlab.report.outputs import Outputs, write_outputs
from cnnlab.report.page import Chapter, guarded
from cnnlab.study import OwnModel, name_or_file
from cnnlab.tuning import (
    ClaimResult,
    NextStep,
    StageResult,
    StudyResults,
    TimeLeft,
    Tuning,
    next_lines,
    progress,
    run_study,
)


@dataclass(frozen=True)
class Report:
    """A report that `make` wrote: its chapters (one with an `error` is missing), claims, and findings as plain text."""

    chapters: list[Chapter]
    claim_results: list[ClaimResult]
    findings: list[str]


def make(tuning: Tuning, out: str | Path, notebooks: str | Path = "notebooks") -> Report:
    """Run the study and write its report.

    Stored runs are not repeated; a notebook with the same text, parameters and results as last time is not executed
    again. A stage that fails is skipped.

    Args:
        tuning: The study.
        out: Folder of the report; made if missing.
        notebooks: Folder of the notebooks.

    Raises:
        ConfigError: The notebooks are missing, the report's folder cannot be used, only some trials of a stage are to
            be run, or there is no scheduler.
        DataError: The images cannot be used.
        RecordError: The run store cannot be written.
        WorkerError: A worker of a cluster has other versions.
    """
    started, out, notebooks = time.time(), surroundings.project_path(out), surroundings.project_path(notebooks)
    with surroundings.closed(keep_dask=tuning.engine.is_remote):
        _check(tuning, out, notebooks)
        _prepare(out)
        missing: list[Chapter] = []
        named = _write_study(tuning, out)
        with (
            progress.Bar(tuning.planned_runs(), lambda: TimeLeft(tuning, tuning.calibration)) as bar,
            NotebookRunner(tuning, out / "notebooks", notebooks, named) as runner,
        ):
            changed = changed_notebooks(runner.sources())
            if changed:
                bar.write(changed_line(changed))
            study = run_study(tuning, bar, runner.add, runner.add_failed)
            made = write_outputs(tuning, study, out, missing)  # while the last notebooks are executed
            chapters = [*runner.wait(bar), *missing]
        return _write(tuning, study, chapters, made, changed, started, out)


def _write(
    tuning: Tuning,
    study: StudyResults,
    chapters: list[Chapter],
    made: Outputs,
    changed: Sequence[str],
    started: float,
    out: Path,
) -> Report:
    """Write page and manifest. A part that fails is added to the chapters, with the reason."""
    curve = [study.curve] if study.curve else []
    manifest = make_manifest(tuning, [*study.stages, *study.mistakes, *curve], changed, started, out)
    manifest |= {"model": {}, "doubtful_labels": {}, **made.origins, "page": {"key": "", "sha256": "", "findings": []}}
    with guarded(chapters, "page", "index.html", out / "index.html"):
        manifest["page"] = _write_page(tuning, study.stages, chapters, made.claim_results, made.steps, manifest, out)
    manifest["missing"] = {chapter.name: chapter.error for chapter in chapters if chapter.error}
    with guarded(chapters, "manifest", "manifest.json"):
        files.write(out / "manifest.json", json.dumps(manifest, indent=1).encode())
    return Report(chapters, made.claim_results, manifest["page"]["findings"])


def _check(tuning: Tuning, out: Path, notebooks: Path) -> None:
    """Refuse now what would fail after hours."""
    if tuning.scope.trials:
        raise ConfigError(
            "Expected a study with all trials, as the notebooks of a report run it. Received: some trials. Leave "
            "trials out, or use Tuning.results without a report."
        )
    if not (notebooks / surroundings.STAGE_NOTEBOOK).is_file():
        raise ConfigError(
            f"Expected the notebooks in {str(notebooks)!r}. Received: none. Run cnnlab in the project's folder."
        )
    if out == tuning.store.path:
        raise ConfigError(
            f"Expected a folder for the report alone. Received: {str(out)!r}, which is that of the stored runs. "
            "Name another (REPORT=...)."
        )
    if (out / "notebooks" / surroundings.STAGE_NOTEBOOK).exists():  # a report has none of this name
        raise ConfigError(
            f"Expected a folder for the report alone. Received: {str(out)!r}, which holds the notebooks. "
            "Name another (REPORT=...)."
        )
    for name, content in _study_files(tuning).items():
        target = out / name
        if target.is_file() and not (out / "manifest.json").exists() and target.read_bytes() != content:
            raise ConfigError(
                f"Expected a folder for the report alone. Received: {str(out)!r}, whose {name} would be replaced. "
                "Name another (REPORT=...)."
            )
    tuning.check()


def _study_files(tuning: Tuning) -> dict[str, bytes]:
    """Return the files of a study by their names in the report: the study, and perhaps its own model."""
    study, model = tuning.study, tuning.study.base.architecture
    copies = {STUDY_FILE: study.text.encode()}
    return copies | {model.file: model.source.encode()} if isinstance(model, OwnModel) else copies


def _prepare(out: Path) -> None:
    """Make the folders of the report, and check that they can be written."""
    try:
        (out / "notebooks").mkdir(parents=True, exist_ok=True)
        for folder in (out, out / "notebooks"):
            files.temporary_file(folder).unlink()
            files.remove_stale_files(folder)
    except OSError as error:
        raise ConfigError(
            f"Expected to write the report to {str(out)!r}. Received: {error.strerror}. "
            f"{files.advice(error, 'REPORT=...')}"
        ) from error


def _write_study(tuning: Tuning, out: Path) -> str:
    """Copy the study file and its own model into the report; return what the notebooks name the study by.

    They read the copy of a user's file, which may be changed while the report is made. A manifest, empty until the end,
    tells the next command that these copies are ours.
    """
    if not (out / "manifest.json").exists():
        files.write(out / "manifest.json", b"{}")
    for name, content in _study_files(tuning).items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        files.write(out / name, content)
    return name_or_file(tuning.study, surroundings.relative_path(out / STUDY_FILE))


def _write_page(
    tuning: Tuning,
    results: Sequence[StageResult],
    chapters: list[Chapter],
    claim_results: Sequence[ClaimResult],
    steps: Sequence[NextStep] | None,
    manifest: Mapping[str, Any],
    out: Path,
) -> dict[str, Any]:
    """Write the page unless it is there already; return the digest of its origin, its hash, and the findings."""
    target = out / "index.html"
    key = json_digest(
        {
            "chapters": [[chapter.name, chapter.title, read_key(chapter.path)] for chapter in chapters],
            "code": code_digest(),
            "templates": page.templates_digest(),
            "study": tuning.study.digest,
            "made_with": [manifest["commit"], manifest["versions"], manifest["changed_notebooks"]],
        }
    )
    before, is_complete = read_manifest(out, "page"), not any(chapter.error for chapter in chapters)
    old = ""
    with suppress(OSError):
        old = sha256(target.read_bytes()).hexdigest()
    if is_complete and before == {"key": key, "sha256": old, "findings": before.get("findings")}:
        return before
    content = page.render(tuning, results, chapters, claim_results, steps, manifest, out).encode()
    files.write(target, content)
    findings: list[str] = []
    with guarded(chapters, "findings", "The findings in the terminal"):
        from cnnlab.report import words  # imports Matplotlib, which takes seconds

        findings = [*words.terminal_summary(tuning, results, claim_results), *next_lines(steps or ())]
    is_complete = not any(chapter.error for chapter in chapters)  # rendering may have failed for some
    return {
        "key": key if is_complete else "",  # so that the next command tries again
        "sha256": sha256(content).hexdigest(),
        "findings": findings,
    }
