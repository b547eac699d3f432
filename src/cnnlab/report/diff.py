"""Compare two reports, or two folders of stored runs: what changed, and whether a score moved by more than noise."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cnnlab import evidence
from cnnlab.errors import ConfigError
from cnnlab.evidence import Comparison, Scores
from cnnlab.records import RunStore
from cnnlab.study import Trial

_CHANGES_EVERY_TIME = ("wall_seconds", "train_seconds", "runs_made_now", "model", "page", "run_on")


@dataclass(frozen=True)
class Side:
    """One of the two things compared.

    Attributes:
        settings: What it was made with, name to value.
        images: What they were scored on; "" for a folder of runs, whose trials name it themselves.
        scores: By stage (of a report) or trial (of a folder of runs): the model's name, the `test_f1` of its runs, and
            their digests.
    """

    settings: dict[str, str]
    images: str
    scores: dict[str, tuple[str, list[float], list[str]]]


def read(path: str | Path) -> Side:
    """Read a report's folder, or a folder of stored runs.

    Raises:
        ConfigError: It is neither, or a file in it is broken.
    """
    path = Path(path)
    try:
        if (path / "manifest.json").is_file():
            return _report(path)
        if (found := _store(path)).scores:
            return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"Expected a whole report in {str(path)!r}. Received: {type(error).__name__}: {error}. Make it again."
        ) from error
    raise ConfigError(
        f"Expected a report (with manifest.json) or a folder of stored runs. Received: {str(path)!r}, which is neither."
    )


def _report(path: Path) -> Side:
    manifest = json.loads((path / "manifest.json").read_bytes())
    settings = _flat({name: value for name, value in manifest.items() if name not in _CHANGES_EVERY_TIME})
    results = pd.read_csv(path / "results.csv", dtype={"trial": str})
    scores = {}
    for stage, selected in pd.read_csv(path / "decisions.csv", dtype={"selected": str})[
        ["stage", "selected"]
    ].itertuples(index=False):
        runs = results[(results["stage"] == stage) & (results["trial"] == selected)]
        scores[stage] = selected, runs["test_f1"].tolist(), runs["digest"].tolist()
    return Side(settings, json.dumps([manifest["data"], manifest["splits"]]), scores)


def _store(path: Path) -> Side:
    settings: dict[str, set[str]] = defaultdict(set)
    scores: dict[str, tuple[str, list[float], list[str]]] = {}
    for record in RunStore(path).records():
        for name, value in {
            **record.provenance,
            "data digest": record.data["digest"],
            "split digest": record.split["digest"],
        }.items():
            settings[name].add(str(value))
        name = f"{_changes(record.trial)} on {record.data['digest'][:8]}, split {record.split['digest'][:8]}"
        _, runs, digests = scores.setdefault(name, ("", [], []))
        runs.append(record.scores["test_f1"])
        digests.append(record.digest)
    return Side({name: ", ".join(sorted(values)) for name, values in settings.items()}, "", scores)


def _changes(trial: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a trial's settings as far as they are not the defaults."""
    default = Trial().canonical()
    changed = {
        name: value for part, of in trial.items() for name, value in of.items() if value != default[part].get(name)
    }
    return ", ".join(f"{name} {value}" for name, value in changed.items()) or "the default trial"


def _flat(form: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in form.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value if isinstance(value, str) else json.dumps(value)
    return found


@dataclass(frozen=True)
class Change:
    """What became of a stage of two reports, or of a trial in two folders of runs.

    Attributes:
        name: The stage or trial.
        models: What each chose; "" for a trial.
        means: Mean `test_f1` in each; NaN where it has none.
        comparison: B against A, over seeds; None where there are not two runs of each to compare.
        verdict: "same" (equal scores of the same runs), "only in A", "only in B", "other images" or "too few runs" (so
            that nothing can be said), "moved" (more than noise, after Holm's correction over all) or "within noise".
    """

    name: str
    models: tuple[str, str]
    means: tuple[float, float]
    comparison: Comparison | None
    verdict: str


def settings(a: Side, b: Side) -> dict[str, tuple[str, str]]:
    """Return the settings that differ, with their values in each; "" where one has none."""
    names = {**a.settings, **b.settings}
    values = {name: (a.settings.get(name, ""), b.settings.get(name, "")) for name in names}
    return {name: pair for name, pair in values.items() if pair[0] != pair[1]}


def scores(a: Side, b: Side) -> list[Change]:
    """Compare the scores of two reports stage by stage, or of two folders of runs trial by trial.

    Raises:
        ConfigError: One is a report, the other a folder of runs.
    """
    if bool(a.images) != bool(b.images):
        raise ConfigError("Expected two reports, or two folders of stored runs. Received: one of each.")
    changes = []
    for name in {**a.scores, **b.scores}:
        sides = [side.scores.get(name, ("", [], [])) for side in (a, b)]
        runs = [np.array(scores) for _, scores, _ in sides]
        comparison, verdict = None, ""
        if not all(map(len, runs)):
            verdict = "only in A" if len(runs[0]) else "only in B"
        elif dict(zip(sides[0][2], runs[0], strict=True)) == dict(zip(sides[1][2], runs[1], strict=True)):
            verdict = "same"
        elif a.images != b.images:
            verdict = "other images"
        elif min(map(len, runs)) < 2:
            verdict = "too few runs"
        else:
            # On the same images; other images are not in the interval, for the predictions are not in a report.
            as_scores = {side: Scores(of, np.zeros((len(of), 2))) for side, of in zip("AB", runs, strict=True)}
            [comparison] = evidence.compare({"B": as_scores["B"], "A": as_scores["A"]})
        means = [float(of.mean()) if len(of) else float("nan") for of in runs]
        changes.append(Change(name, (sides[0][0], sides[1][0]), (means[0], means[1]), comparison, verdict))
    tested = np.array([change.comparison.p_value for change in changes if change.comparison])
    moved = iter(evidence.holm(tested) <= 1 - evidence.CONFIDENCE)
    return [
        replace(change, verdict="moved" if next(moved) else "within noise") if change.comparison else change
        for change in changes
    ]


def lines(a: Side, b: Side) -> list[str]:
    """Return what differs, in lines of text."""
    changed = settings(a, b)
    said = ["Settings that differ:" if changed else "No setting differs."]
    said += [f"  {name}: {left or '(none)'} -> {right or '(none)'}" for name, (left, right) in changed.items()]
    said += ["", "Mean test_f1, A -> B, with the 95 % interval of the difference over seeds, on these images:"]
    for change in scores(a, b):
        models = " -> ".join(dict.fromkeys(model or "(none)" for model in change.models))
        said.append(f"  {change.name}" + (f": {models}" if any(change.models) else ""))
        one, figures = change.comparison, ""
        if "only" not in change.verdict:
            interval = f" ({one.low:+.3f} to {one.high:+.3f})" if one else ""
            left, right = change.means
            figures = f"{left:.3f} -> {right:.3f}, {right - left:+.3f}{interval}: "
        said.append(f"    {figures}{change.verdict}")
    return said
