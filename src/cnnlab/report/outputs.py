"""Write the files of a report that need no executed notebooks: the tables and the model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd

from cnnlab import files, models
from cnnlab.engine import code_digest
from cnnlab.evidence import mean_interval
from cnnlab.records import json_digest
from cnnlab.report import page
from cnnlab.report.manifest import read_manifest
from cnnlab.report.page import Chapter, guarded
from cnnlab.tuning import (
    ClaimResult,
    NextStep,
    NoAnswer,
    StageResult,
    StudyResults,
    Tuning,
    check_claims,
    doubtful_labels,
    doubtful_runs,
    final_stage,
    next_steps,
    notes_by_stage,
    read_scores,
    tables,
)
from cnnlab.tuning.search import SearchResult, ledger_table

DOUBTFUL = "doubtful-labels.csv"
"""The table of the labels that the predictions contradict."""
_MODEL_FILES = ("model.keras", "model-card.md")


@dataclass
class Outputs:
    """What the page says of files that are written before it; `origins` are their parts of the manifest."""

    claim_results: list[ClaimResult] = field(default_factory=list)
    steps: list[NextStep] | None = None
    origins: dict[str, dict[str, Any]] = field(default_factory=dict)


def write_outputs(tuning: Tuning, study: StudyResults, out: Path, missing: list[Chapter]) -> Outputs:
    """Write what needs no notebooks: tables and model. A part that fails is added to `missing`, with the reason."""
    made = Outputs()
    _write_tables(tuning, study, out, missing)
    with guarded(missing, "claims", "The claims", out / "claims.csv"):
        made.claim_results = check_claims(tuning, study.stages)
        _write_csv(out, "claims", tables.claims_table(made.claim_results))
    with guarded(missing, "next", "What to do next"):
        made.steps = next_steps(tuning, study.stages, study.curve, notes_by_stage(tuning, study.stages))
    with guarded(missing, "model", "model.keras", *(out / name for name in _MODEL_FILES)):
        made.origins["model"] = write_model(tuning, study.stages, out)
    with guarded(missing, DOUBTFUL, DOUBTFUL, out / DOUBTFUL):
        made.origins["doubtful_labels"] = _write_doubtful(tuning, study.stages, out)
    return made


def _write_tables(tuning: Tuning, study: StudyResults, out: Path, missing: list[Chapter]) -> None:
    """Write the CSV files; add those that fail to `missing`."""
    makers: dict[str, Callable[[], pd.DataFrame]] = {
        "results": lambda: tables.runs_table(tuning, study.stages),
        "decisions": lambda: tables.decisions_table(tuning, study.stages),
        "comparisons": lambda: tables.comparisons_table(study.stages),
        "mistakes": lambda: tables.mistakes_table(study.mistakes),
        "mistake-effects": lambda: tables.effects_table(study.mistakes),
    }
    searches = [result for result in study.stages if isinstance(result, SearchResult)]
    if searches:
        makers["search"] = lambda: ledger_table(searches[0])
    else:  # one of an earlier report
        (out / "search.csv").unlink(missing_ok=True)
    for name, make_table in makers.items():
        with guarded(missing, f"{name}.csv", f"{name}.csv", out / f"{name}.csv"):
            _write_csv(out, name, make_table())


def _write_csv(out: Path, name: str, table: pd.DataFrame) -> None:
    files.write(out / f"{name}.csv", _csv(table))


def _csv(table: pd.DataFrame) -> bytes:
    """Return a table as CSV. A name of a file may hold bytes that are no UTF-8."""
    return table.to_csv(index=False).encode("utf-8", "backslashreplace")


def write_model(tuning: Tuning, results: Sequence[StageResult], out: Path) -> dict[str, Any]:
    """Write the final model with its card, unless they are there already; return their origin.

    The model is the run with the best `val_f1` of the trial that the `final_stage` selected; without such a stage,
    the files of an earlier report are removed and {} is returned.
    """
    final = final_stage(results)
    if final is None:
        for name in _MODEL_FILES:
            (out / name).unlink(missing_ok=True)
        return {}
    record, records = final.best_run, final.selected_records
    origin = {
        "run": record.digest,
        "stage": final.stage.name,
        "trial": final.decision.selected,
        "seed": record.seed,
        "train_seconds": record.train_seconds,  # differs if the run was repeated
        "runs": [run.digest for run in records],
        "code": code_digest(),
        "templates": page.templates_digest(),
    }
    if (about := _about_files(out, origin, *_MODEL_FILES)) == read_manifest(out, "model"):
        return about
    page.import_libraries()
    from cnnlab.report import card  # imports Matplotlib, which takes seconds

    arrays = tuning.store.arrays(record.digest)
    trial = final.selected.settings.for_images(record.split["train"])
    weights = [arrays[name] for name in sorted(arrays) if name.startswith("weight_")]
    shape, n_classes = tuple(record.data["shape"]), len(record.data["class_names"])
    content = tuning.engine.call(
        models.deployable, trial.architecture, weights, shape, n_classes, scale=trial.input.scale
    )
    files.write(out / "model.keras", content)
    labels, probs = arrays["test_labels"], arrays["test_probs"]
    interval = mean_interval(read_scores(tuning.store, records, "test", given_val=tuning.images.has_given_val))
    dataset = tuning.images.dataset(trial.input.colour)
    text = card.markdown(
        final, record, labels, probs, tuning.budget, tuning.protocol, dataset=dataset, interval=interval
    )
    files.write(out / "model-card.md", text.encode())
    return _about_files(out, origin, *_MODEL_FILES)


def _write_doubtful(tuning: Tuning, results: Sequence[StageResult], out: Path) -> dict[str, Any]:
    """Write the table of the doubtful labels, unless it is there already; return its origin."""
    runs, folder = doubtful_runs(tuning, results), tuning.images.folder
    origin = {
        "runs": runs if isinstance(runs, NoAnswer) else [record.digest for record in runs],
        "files": json_digest(
            [[dataset.train_files, dataset.test_files] for dataset in (folder.gray, folder.colour) if dataset]
        ),
        "code": code_digest(),
    }
    if (about := _about_files(out, origin, DOUBTFUL)) == read_manifest(out, "doubtful_labels"):
        return about
    files.write(out / DOUBTFUL, _csv(doubtful_labels(tuning, results).table))
    return _about_files(out, origin, DOUBTFUL)


def _about_files(out: Path, origin: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return what the manifest says of some files: their origin, and the SHA-256 of each that is there.

    An origin alone would not do: a command that was stopped has written files, but no manifest.
    """
    there = [name for name in names if (out / name).is_file()]
    return origin | {"sha256": {name: sha256((out / name).read_bytes()).hexdigest() for name in there}}
