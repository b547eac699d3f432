"""Select a stage's trial by the one-standard-error rule."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cnnlab.evidence.comparison import Comparison, compare
from cnnlab.evidence.resampling import Scores


class Rule(StrEnum):
    """How a stage selected its trial."""

    ONE_STANDARD_ERROR = "fewest parameters within one standard error of the best val_f1"
    BEST = "best val_f1 (one seed, so no standard error)"
    ONLY_TRIAL = "only one trial"
    PUBLISHED_CHOICE = "published choice"


@dataclass(frozen=True)
class Decision:
    """The trial that a stage selects, and the evidence.

    Attributes:
        stage: Name of the stage.
        selected: Name of the selected trial.
        rule: How it was selected.
        selected_params: Its number of parameters.
        best: Name of the trial with the best mean `val_f1`.
        val_f1_mean: Mean `val_f1` of the selected trial.
        val_f1_se: Standard error of that mean, from the SD pooled over the stage's trials; NaN with one seed.
        n_seeds: Seeds of each trial.
        published_choice: Name of the trial that the published study chose, or "".
        agrees: Whether it is the selected trial.
        comparisons: The selected trial against each other trial, the best first, on `val_f1`.
        evidence: The comparison with the incumbent. If the incumbent is selected or is not a trial, the one with the
            best other trial. None if there is only one trial.
    """

    stage: str
    selected: str
    rule: Rule
    selected_params: int
    best: str
    val_f1_mean: float
    val_f1_se: float
    n_seeds: int
    published_choice: str
    agrees: bool
    comparisons: tuple[Comparison, ...]
    evidence: Comparison | None

    @property
    def verdict(self) -> str:
        """The verdict of `evidence`; "" if there is none."""
        return self.evidence.verdict if self.evidence else ""


def pooled_sd(frame: pd.DataFrame, score: str = "val_f1") -> tuple[float, int]:
    """Return the SD of one run's score, pooled over trials, and its degrees of freedom.

    Args:
        frame: One row per run, with `trial` and the score.
        score: Name of the score's column.

    Returns:
        NaN and 0 if no trial has two runs.
    """
    runs = frame.groupby("trial")[score]
    dof = int((runs.count() - 1).sum())
    if dof == 0:
        return float("nan"), 0
    return float(np.sqrt((runs.var(ddof=1).fillna(0) * (runs.count() - 1)).sum() / dof)), dof


def choose(mean: Mapping[str, float], params: Mapping[str, int], se: float) -> tuple[str, Rule]:
    """Return the selected trial and the rule that selected it.

    Among the trials whose mean `val_f1` is within one standard error of the best mean, the one with the fewest
    parameters; among equals the best mean (Breiman et al., Classification and Regression Trees, 1984, 3.4.3; Hastie,
    Tibshirani, Friedman, Elements of Statistical Learning, 7.10). With one seed there is no standard error, and the
    trial with the best score is selected.

    Args:
        mean: Mean `val_f1` of each trial.
        params: Number of parameters of each trial.
        se: Standard error of a mean; NaN with one seed.
    """
    best = max(mean, key=mean.__getitem__)
    if len(mean) == 1:
        return best, Rule.ONLY_TRIAL
    if np.isnan(se):
        return best, Rule.BEST
    within = [trial for trial, score in mean.items() if score >= mean[best] - se]
    return min(within, key=lambda trial: (params[trial], -mean[trial])), Rule.ONE_STANDARD_ERROR


def decide(
    stage: str,
    frame: pd.DataFrame,
    bootstrap_f1: NDArray[np.float64],
    incumbent: str | None,
    published_choice: str,
    *,
    pinned: bool = False,
) -> Decision:
    """Select a stage's trial by `choose` and give the evidence. Only `val_f1` and `params` are read.

    Args:
        stage: Name of the stage.
        frame: One row per run, with `trial`, `params` and `val_f1`.
        bootstrap_f1: (n_runs, n_resamples) `val_f1` of each row on each resample of the validation images.
        incumbent: Name of the trial that the previous stage selected; None if it is not a trial of this stage.
        published_choice: Name of the trial that the published study chose, or "".
        pinned: Select the published choice, whatever the scores are.
    """
    rows: dict[str, list[int]] = {}
    for i, trial in enumerate(frame["trial"]):
        rows.setdefault(str(trial), []).append(i)
    val_f1 = frame["val_f1"].to_numpy(float)
    trials = {name: Scores(val_f1[indices], bootstrap_f1[indices]) for name, indices in rows.items()}
    mean = {name: float(scores.runs.mean()) for name, scores in trials.items()}
    params = {name: int(frame["params"].iloc[indices[0]]) for name, indices in rows.items()}
    n_seeds = min(map(len, rows.values()))
    se = float(pooled_sd(frame)[0] / np.sqrt(n_seeds))
    selected, rule = choose(mean, params, se)
    if pinned and published_choice in mean and len(mean) > 1:
        selected, rule = published_choice, Rule.PUBLISHED_CHOICE
    # Not a set: tied trials must keep the study's order, the same every time.
    others = sorted((name for name in mean if name != selected), key=lambda name: -mean[name])
    comparisons = compare({name: trials[name] for name in (selected, *others)})
    return Decision(
        stage=stage,
        selected=selected,
        rule=rule,
        selected_params=params[selected],
        best=max(mean, key=mean.__getitem__),
        val_f1_mean=mean[selected],
        val_f1_se=se,
        n_seeds=n_seeds,
        published_choice=published_choice,
        agrees=selected == published_choice,
        comparisons=comparisons,
        evidence=next((c for c in comparisons if c.against == incumbent), comparisons[0] if comparisons else None),
    )
