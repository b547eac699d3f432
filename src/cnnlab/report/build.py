"""Run the study and write its report."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnlab import files, models
from cnnlab.engine import code_digest
from cnnlab.errors import ConfigError, DataError, RunError
from cnnlab.evidence import mean_interval
from cnnlab.records import json_digest
from cnnlab.report import page
from cnnlab.report.manifest import _manifest, _missing
from cnnlab.report.notebooks import _Book, _key, _notebook_processes
from cnnlab.report.page import Chapter
from cnnlab.study import ALL_MISTAKES, Stage, Trial, find_profile
from cnnlab.tuning import ClaimResult, MistakeResult, StageResult, Tuning, check_claims, progress, read_scores, tables


@dataclass(frozen=True)
class Report:
    """What `make` wrote.

    Attributes:
        chapters: In order; those with an `error` are missing.
        claim_results: The judged claims.
        findings: What the study came to, in a few lines of plain text.
    """

    chapters: list[Chapter]
    claim_results: list[ClaimResult]
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
        tuning.images.split(tuning.images.dataset(colour))
    try:
        (out / "notebooks").mkdir(parents=True, exist_ok=True)
        for folder in (out, out / "notebooks"):
            files.temporary_file(folder).unlink()  # hours before it would be found out otherwise
            files.remove_stale_files(folder)
    except OSError as error:
        raise ConfigError(
            f"Expected to write the report to {str(out)!r}. Received: {error.strerror}. Name another (REPORT=...)."
        ) from error
    book = _Book(tuning, out / "notebooks", notebooks)
    results: list[StageResult] = []
    with progress.Bar(tuning.planned_runs()) as bar, _notebook_processes() as executor:
        tuning.callback = bar

        def lose(name: str, title: str, error: Exception) -> None:
            book.lose(name, title, str(error))
            bar.write(f"{name}: {error}")

        def title(stage: Stage) -> str:
            return f"CNN-{stage.cnn}: {stage.title}"

        book.add(executor, "data", "The images", "01-data.ipynb", [])
        for result in tuning.iter_results(lambda stage, error: lose(stage.name, title(stage), error)):
            results.append(result)
            stage = result.stage
            if stage.on_colour:
                book.add(executor, stage.name, title(stage), "03-colour.ipynb", results)
            else:
                book.add(executor, stage.name, title(stage), "02-stage.ipynb", results, stage=stage.name)
        if results:
            book.add(executor, "comparison", "Comparison and final model", "04-comparison.ipynb", results)
            book.add(executor, "noise", "How noisy was the published study?", "05-noise.ipynb", results)
        mistakes: list[MistakeResult] = []
        if tuning.mistake_trials:
            costs = "What each mistake cost"
            try:
                mistakes = tuning.mistake_results()
                book.add(executor, ALL_MISTAKES, costs, "06-mistakes.ipynb", [*results, *mistakes])
            except (RunError, DataError) as error:
                lose(ALL_MISTAKES, costs, error)
        claim_results = check_claims(tuning, results)
        chapters = book.finish(bar)
    for name, frame in (
        ("results", tables.runs_table(tuning, results)),
        ("decisions", tables.decisions_table(results)),
        ("comparisons", tables.comparisons_table(results)),
        ("mistakes", tables.mistakes_table(mistakes)),
    ):
        files.write(out / f"{name}.csv", frame.to_csv(index=False).encode())
    model: dict[str, Any] = {}
    try:
        model = _write_model(tuning, results, out)
    except Exception as error:  # a damaged store, or a worker that cannot: the page is worth having all the same
        chapters.append(Chapter("model", "model.keras", out, f"{type(error).__name__}: {error}"))
    manifest = {**_manifest(tuning, [*results, *mistakes], chapters, begin), "model": model}
    manifest["page"] = _write_page(tuning, results, chapters, claim_results, manifest, out)
    manifest["missing"] = _missing(chapters)  # some may not have been fit to be rendered
    files.write(out / "manifest.json", json.dumps(manifest, indent=1).encode())
    return Report(chapters, claim_results, manifest["page"]["findings"])


def _write_page(
    tuning: Tuning,
    results: Sequence[StageResult],
    chapters: Sequence[Chapter],
    claim_results: Sequence[ClaimResult],
    manifest: Mapping[str, Any],
    out: Path,
) -> dict[str, Any]:
    """Write the page unless it is there and would be the same.

    Returns:
        What it was made from, its hash, and the findings in brief.
    """
    target = out / "index.html"
    key = json_digest(
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
    from cnnlab.report import words  # and Matplotlib, which a page that is kept as it is does without

    content = page.render(tuning, results, chapters, claim_results, manifest).encode()
    files.write(target, content)
    lost = any(chapter.error for chapter in chapters)  # some only now: the next command is to try them again
    return {
        "key": "" if lost else key,
        "sha256": hashlib.sha256(content).hexdigest(),
        "findings": words.terminal_summary(results, claim_results, tuning.profile),
    }


def _write_model(tuning: Tuning, results: Sequence[StageResult], out: Path) -> dict[str, Any]:
    """Write the final grayscale model, of the last such stage's choice the run with the best `val_f1`, and its card."""
    gray = [result for result in results if not result.stage.on_colour]
    if not gray:
        return {}
    last = gray[-1]
    record, found = last.best_run, last.selected_records
    about = {
        "run": record.digest,
        "stage": last.stage.name,
        "trial": last.decision.selected,
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
    from cnnlab.report import card  # and Matplotlib, which a card that is kept as it is does without

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
        interval=mean_interval(read_scores(tuning.store, found, "test")),
    )
    files.write(described, said.encode())
    return about
