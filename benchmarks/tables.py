"""The tables of `docs/results.md`, from the files of a report."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

EXPORTED = ("results", "decisions", "comparisons", "mistakes", "mistake-effects", "claims")
"""The tables that are kept of a report, beside its manifest."""
MEASURES = ("val_f1", "test_f1")
NAMES = ("stage", "trial", "selected", "against", "published_choice")
"""Columns that hold names, of which some look like numbers."""


def export(report: Path, folder: Path) -> None:
    """Copy the tables and the manifest of a report, with the last parts of absolute paths alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in EXPORTED:
        shutil.copy(report / f"{name}.csv", folder)
    manifest = (report / "manifest.json").read_text(encoding="utf-8")
    short = re.sub(r"((?:STUDY|DATA|RUNS|REPORT)='?)/[^\s\"]*/", r"\1", manifest)
    (folder / "manifest.json").write_text(short, encoding="utf-8")


def table(rows: Sequence[Sequence[Any]], heads: Sequence[str]) -> str:
    """Return rows as a Markdown table."""
    lines = [heads, ["---"] * len(heads), *[[str(cell) for cell in row] for row in rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def of_report(folder: Path) -> list[str]:
    """Return the tables of a report as Markdown: stages, all trials, and claims and mistakes if there are any."""
    runs, decisions, comparisons, effects, claims = (
        pd.read_csv(folder / f"{name}.csv", keep_default_na=False, na_values=[""], dtype=dict.fromkeys(NAMES, str))
        for name in ("results", "decisions", "comparisons", "mistake-effects", "claims")
    )
    trials = _trials(runs)
    tables = [_stages(trials, decisions), _all_trials(trials, decisions, comparisons)]
    return [*tables, *([_claims(claims)] if len(claims) else []), *([_mistakes(effects)] if len(effects) else [])]


def _trials(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the number of runs, the parameters and the scores of each trial, in the order of the report."""
    by_trial = runs.groupby(["stage", "trial"], sort=False)
    means, deviations = by_trial[list(MEASURES)].mean(), by_trial[list(MEASURES)].std()
    trials = by_trial.agg(n=("seed", "size"), params=("params", "first"), epochs=("epochs", "mean"))
    for name in MEASURES:
        pairs = zip(means[name], deviations[name], strict=True)
        trials[name] = [f"{mean:.3f}" if pd.isna(sd) else f"{mean:.3f} ± {sd:.3f}" for mean, sd in pairs]
    return trials


def _stages(trials: pd.DataFrame, decisions: pd.DataFrame) -> str:
    has_published = bool(decisions["published_choice"].notna().any())
    rows = []
    for stage in decisions.itertuples():
        selected = trials.loc[(stage.stage, stage.selected)]
        compared = ["", "", ""]
        if pd.notna(stage.difference):
            compared = [f"{stage.trial} less {stage.against}", difference(stage), stage.verdict]
        row = [stage.stage, stage.selected, f"{stage.selected_params:,}", *selected[list(MEASURES)], *compared]
        if has_published:
            row.append("same" if stage.agrees is True else stage.published_choice if stage.agrees is False else "")
        rows.append(row)
    heads = ["stage", "selected", "params", "val F1", "test F1", "difference of", "val F1 (95 %)", "verdict"]
    return table(rows, [*heads, "published choice"] if has_published else heads)


def _all_trials(trials: pd.DataFrame, decisions: pd.DataFrame, comparisons: pd.DataFrame) -> str:
    compared = comparisons.set_index(["stage", "trial"])
    selected = set(zip(decisions["stage"], decisions["selected"], strict=True))
    rows = []
    for name, trial in trials.iterrows():
        with_incumbent = ["", ""]
        if name in compared.index:
            with_incumbent = [difference(compared.loc[name]), compared.loc[name, "verdict"]]
        shown = f"**{name[1]}**" if name in selected else name[1]
        row = [
            name[0],
            shown,
            f"{trial['params']:,}",
            f"{trial['epochs']:.0f}",
            *trial[list(MEASURES)],
            *with_incumbent,
        ]
        rows.append(row)
    heads = ["stage", "trial", "params", "epochs", "val F1", "test F1", "less the incumbent, val F1 (95 %)", "verdict"]
    return table(rows, heads)


def _claims(claims: pd.DataFrame) -> str:
    rows = [
        [one.claim, f"> {one.claimed:g}", difference(one) if pd.notna(one.difference) else one.reason, one.status]
        for one in claims.itertuples()
    ]
    return table(rows, ["claim", "claimed", "difference of test F1 (95 %)", "status"])


def _mistakes(effects: pd.DataFrame) -> str:
    rows = [[one.mistake, one.trial, one.against, difference(one), one.verdict] for one in effects.itertuples()]
    return table(rows, ["mistake", "with it", "without it", "difference of test F1 (95 %)", "verdict"])


def difference(row: Any) -> str:
    """Return a difference with its interval, which one seed does not have."""
    if pd.isna(row.low):
        return f"{row.difference:+.3f}"
    return f"{row.difference:+.3f} ({row.low:+.3f} to {row.high:+.3f})"
