"""The manifest: everything needed to repeat a report."""

import hashlib
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cnnlab import surroundings
from cnnlab.engine import WORKER_ENV
from cnnlab.records import fit_code_digest
from cnnlab.report import changes
from cnnlab.study import OwnModel
from cnnlab.tuning import Result, Tuning, distinct_records, make_command

STUDY_FILE = "study.toml"
"""The copy of the study file in a report."""
_PACKAGES = ("cnnlab", "keras", "tensorflow", "numpy", "pandas", "scikit-learn", "distributed", "papermill")


def make_manifest(
    tuning: Tuning, results: Sequence[Result], changed_notebooks: Sequence[str], started: float, out: Path
) -> dict[str, Any]:
    """Return the settings, data, code, versions and machines behind some results, as JSON values.

    Args:
        tuning: The study.
        results: Its results.
        changed_notebooks: What `changes.changed_notebooks` returned before the runs started.
        started: When the command started, as `time.time` returns.
        out: Folder of the report.
    """
    folder, budget, protocol = tuning.images.folder, tuning.budget, tuning.protocol
    model = tuning.study.base.architecture
    records = distinct_records(results)
    return {
        "study": {
            "title": tuning.study.title,
            "built_in": tuning.study.is_built_in,
            "sha256": hashlib.sha256(tuning.study.text.encode()).hexdigest(),
            **({"model_sha256": model.digest} if isinstance(model, OwnModel) else {}),
        },
        "budget": asdict(budget),
        "protocol": {**asdict(protocol), "settings": dict(protocol.settings)},
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
        "wall_seconds": round(time.time() - started, 1),
        "time": _time(tuning, time.time() - started),
        "commit": changes.commit(),
        "changed_notebooks": list(changed_notebooks),
        "fit_code": fit_code_digest(),
        "versions": _versions(),
        "run_on": sorted({json.dumps(record.provenance, sort_keys=True) for record in records.values()}),
        "machine": {"system": f"{platform.system()} {platform.machine()}", "cores": os.cpu_count()},
        "repeat": {
            "command": make_command(tuning, surroundings.relative_path(out / STUDY_FILE)),
            "skipped": sorted(tuning.scope.skip),
            "environment": f"make .venv/.ready, from the requirements.lock of this commit (SHA-256 {_lock_digest()})",
            "bit_identical": "on a machine as in run_on, with these environment variables of the workers",
            "workers": WORKER_ENV,
        },
    }


def _time(tuning: Tuning, wall_seconds: float) -> dict[str, Any]:
    """Return the time that was asked for, what was estimated, and what the command took; {} without TIME."""
    if not tuning.time:
        return {}
    asked = {name: value for name, value in tuning.time.items() if name != "spent_before"}
    return {**asked, "took_seconds": round(wall_seconds + tuning.time["spent_before"], 1)}


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def read_manifest(out: Path, part: str) -> dict[str, Any]:
    """Return a part of the manifest that an earlier command wrote; {} if it is missing."""
    try:
        return dict(json.loads((out / "manifest.json").read_bytes())[part])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _lock_digest() -> str:
    """Return the hash of the project's lock file; "unknown" where cnnlab was installed without its project."""
    try:
        return hashlib.sha256((Path(__file__).parents[3] / "requirements.lock").read_bytes()).hexdigest()
    except OSError:
        return "unknown"
