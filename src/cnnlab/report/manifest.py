"""The manifest: what it takes to repeat a report."""

import hashlib
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cnnlab.engine import WORKER_ENV
from cnnlab.report.notebooks import _records
from cnnlab.report.page import Chapter
from cnnlab.tuning import MistakeResult, StageResult, Tuning


def _manifest(
    tuning: Tuning, results: Sequence[StageResult | MistakeResult], chapters: Sequence[Chapter], begin: float
) -> dict[str, Any]:
    folder = tuning.images.folder
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
            f"DATA={shlex.quote(str(tuning.images.path))} PRECISION={tuning.profile.precision} "
            f"HALVING={'1' * tuning.profile.halving}",
            "skipped": sorted(tuning.skip),
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
        return hashlib.sha256((Path(__file__).parents[3] / "requirements.lock").read_bytes()).hexdigest()
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
