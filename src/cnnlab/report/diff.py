"""Compare two reports: their settings, and whether a score moved by more than the noise between seeds."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cnnlab import evidence
from cnnlab.errors import ConfigError
from cnnlab.evidence import Comparison, Scores
from cnnlab.report.tables import interval_end

_NO_SETTINGS = {
    "wall_seconds", "time", "train_seconds", "runs_made_now", "model", "doubtful_labels", "page", "missing", "run_on"
}  # fmt: skip
"""Parts of a manifest that differ from command to command, or are results."""


class ChangeVerdict(StrEnum):
    """What happened to the score of a stage."""

    SAME = "same"
    MOVED = "moved"
    INCONCLUSIVE = "inconclusive"
    ONLY_IN_A = "only in A"
    ONLY_IN_B = "only in B"
    OTHER_IMAGES = "other images"
    TOO_FEW_RUNS = "too few runs"


@dataclass(frozen=True)
class Side:
    """One of two reports.

    Attributes:
        settings: Name to value of what the report was made with.
        images: Identifies the test images.
        runs: One row a run of each selected trial: stage, selected, test_f1, digest.
    """

    settings: dict[str, str]
    images: str
    runs: pd.DataFrame


@dataclass(frozen=True)
class Change:
    """A stage in reports A and B.

    Attributes:
        stage: The stage.
        trials: The selected trials; "" where a report lacks the stage.
        means: Their mean `test_f1`; NaN where a report lacks the stage.
        verdict: SAME for equal scores of the same runs, MOVED for a difference whose interval excludes zero. The
            intervals of all stages hold together.
        comparison: B against A, over seeds; None where they cannot be compared.
    """

    stage: str
    trials: tuple[str, str]
    means: tuple[float, float]
    verdict: ChangeVerdict
    comparison: Comparison | None


def read(path: str | Path) -> Side:
    """Read the folder of a report.

    Raises:
        ConfigError: It is no report, a file in it is damaged, or cnnlab 0.1.0 made it.
    """
    path = Path(path)
    if not (path / "manifest.json").is_file():
        raise ConfigError(
            f"Expected the folder of a report, with manifest.json. Received: {str(path)!r}, which has none. Make a "
            "report; for folders of stored runs, compare tables of cnnlab.records.to_frame."
        )
    try:
        manifest = json.loads((path / "manifest.json").read_bytes())
        decisions = pd.read_csv(path / "decisions.csv", dtype=str, keep_default_na=False)
        if "chosen" in decisions:
            raise ConfigError(
                f"Expected a report of this version. Received: {str(path)!r}, made by cnnlab 0.1.0; make it again."
            )
        results = pd.read_csv(
            path / "results.csv", dtype={"stage": str, "trial": str}, keep_default_na=False, na_values={"test_f1": [""]}
        ).rename(columns={"trial": "selected"})
        runs = decisions[["stage", "selected"]].merge(results[["stage", "selected", "test_f1", "digest"]])
        settings = _flatten({name: value for name, value in manifest.items() if name not in _NO_SETTINGS})
        settings.pop("repeat.command", None)  # it names the folder; what it sets has lines of its own
        return Side(
            settings, json.dumps([manifest["data"], manifest["protocol"]["split"], manifest["budget"]["test"]]), runs
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"Expected a complete report in {str(path)!r}. Received: {type(error).__name__}: {error}. Make it again."
        ) from error


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value if isinstance(value, str) else json.dumps(value)
    return flat


def settings(a: Side, b: Side) -> dict[str, tuple[str, str]]:
    """Return the settings that differ, with their values in A and B; "" where one lacks it."""
    values = {name: (a.settings.get(name, ""), b.settings.get(name, "")) for name in a.settings | b.settings}
    return {name: (old, new) for name, (old, new) in values.items() if old != new}


def scores(a: Side, b: Side) -> list[Change]:
    """Compare the scores of two reports, stage by stage."""
    sides = {
        stage: _first_seeds(*(side.runs[side.runs["stage"] == stage].set_index("digest") for side in (a, b)))
        for stage in pd.unique(pd.concat([a.runs["stage"], b.runs["stage"]]))
    }
    verdicts = {stage: _obstacle(*runs, same_images=a.images == b.images) for stage, runs in sides.items()}
    n_compared = sum(verdict is None for verdict in verdicts.values())
    changes = []
    for stage, (old, new) in sides.items():
        verdict, comparison = verdicts[stage], None
        if verdict is None:  # over seeds, on the same images: a report has no predictions from which to resample images
            pair = {"A": Scores(old["test_f1"].to_numpy()), "B": Scores(new["test_f1"].to_numpy())}
            [comparison] = evidence.compare(pair, family=n_compared)
            verdict = ChangeVerdict.MOVED if comparison.is_conclusive else ChangeVerdict.INCONCLUSIVE
        trials = ["" if runs.empty else str(runs["selected"].iloc[0]) for runs in (old, new)]
        means = float(old["test_f1"].mean()), float(new["test_f1"].mean())
        changes.append(Change(stage, (trials[0], trials[1]), means, verdict, comparison))
    return changes


def _first_seeds(old: pd.DataFrame, new: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return as many of the first runs of both, where both have some: seeds are compared in pairs."""
    n = min(len(old), len(new)) or None
    return old[:n], new[:n]


def _obstacle(old: pd.DataFrame, new: pd.DataFrame, *, same_images: bool) -> ChangeVerdict | None:
    """Return why the runs of a stage are not compared; None where they are."""
    if old.empty or new.empty:
        return ChangeVerdict.ONLY_IN_B if old.empty else ChangeVerdict.ONLY_IN_A
    if old["test_f1"].to_dict() == new["test_f1"].to_dict():
        return ChangeVerdict.SAME
    if not same_images:
        return ChangeVerdict.OTHER_IMAGES
    return ChangeVerdict.TOO_FEW_RUNS if min(len(old), len(new)) < 2 else None


def lines(a: Side, b: Side) -> list[str]:
    """Return the differences as lines of text."""
    differing = settings(a, b)
    text = ["Settings that differ:" if differing else "No setting differs."]
    text += [f"  {name}: {old or '(none)'} -> {new or '(none)'}" for name, (old, new) in differing.items()]
    text += [
        "",
        "Mean test_f1, A -> B, and the difference, B less A, with its 95 % interval over seeds, on these images.",
        "The intervals of all stages hold together. If one report has more seeds, the first ones are compared:",
    ]
    for change in scores(a, b):
        text.append(f"  {change.stage}: {' -> '.join(dict.fromkeys(trial or '(none)' for trial in change.trials))}")
        (old, new), one = change.means, change.comparison
        interval = f" ({interval_end(one.low)} to {interval_end(one.high)})" if one else ""
        figures = "" if np.isnan(new - old) else f"{old:.3f} -> {new:.3f}, {new - old:+z.3f}{interval}: "
        text.append(f"    {figures}{change.verdict}")
    return text
