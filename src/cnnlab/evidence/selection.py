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
    """Which trial a stage hands on, and the evidence.

    Attributes:
        stage: The stage.
        selected: Name of the trial handed on.
        rule: How it was found.
        selected_params: Its parameters.
        best: Name of the trial with the best mean `val_f1`.
        val_f1_mean: Mean `val_f1` of the selected trial.
        val_f1_se: Standard error of that mean, from the SD pooled over the stage's trials; NaN with one seed.
        n_seeds: Runs of each trial.
        published_choice: The published study's pick, or "".
        agrees: Whether it is the one selected.
        comparisons: The selected trial against each other trial of the stage, on `val_f1`.
        evidence: Of these, the one against the previous stage's model, or, where that is kept (or is no trial),
            the one against the best of the others; None where there is only one trial.
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
        """The verdict of `evidence`; "" where there is none."""
        return self.evidence.verdict if self.evidence else ""


def pooled_sd(frame: pd.DataFrame, score: str = "val_f1") -> tuple[float, int]:
    """Return the SD of one run's score pooled over trials, and its degrees of freedom.

    Args:
        frame: One row a run, with `trial` and the score.
        score: The score's column.

    Returns:
        NaN and 0 where no trial has two runs.
    """
    groups = frame.groupby("trial")[score]
    freedom = int((groups.count() - 1).sum())
    if freedom == 0:
        return float("nan"), 0
    return float(np.sqrt((groups.var(ddof=1).fillna(0) * (groups.count() - 1)).sum() / freedom)), freedom


def choose(mean: Mapping[str, float], params: Mapping[str, int], error: float) -> tuple[str, Rule]:
    """Return the trial that goes on and the rule by which it does.

    Among the trials whose mean `val_f1` is within one standard error of the best mean, the one with the fewest
    parameters; among equals the best mean (Breiman et al., Classification and Regression Trees, 1984, 3.4.3; Hastie,
    Tibshirani, Friedman, Elements of Statistical Learning, 7.10). With one seed there is no standard error, and the
    best score is taken.

    Args:
        mean: Mean `val_f1` of each trial.
        params: Parameters of each trial.
        error: Standard error of a mean; NaN with one seed.
    """
    best = max(mean, key=mean.__getitem__)
    if len(mean) == 1:
        return best, Rule.ONLY_TRIAL
    if np.isnan(error):
        return best, Rule.BEST
    within = [trial for trial, score in mean.items() if score >= mean[best] - error]
    return min(within, key=lambda trial: (params[trial], -mean[trial])), Rule.ONE_STANDARD_ERROR


def decide(
    stage: str,
    frame: pd.DataFrame,
    draws: NDArray[np.float64],
    incumbent: str | None,
    published_choice: str,
    *,
    pinned: bool = False,
) -> Decision:
    """Choose the trial that a stage hands on, by `choose`, and give the evidence. Only `val_f1` and `params` are read.

    Args:
        stage: Name of the stage.
        frame: One row a run, with `trial`, `params` and `val_f1`.
        draws: (n_runs, n_draws) `val_f1` of each row on each resample of the validation images.
        incumbent: Name of the trial that the stage before handed on; None where it is no trial.
        published_choice: The published study's pick.
        pinned: Hand on that pick whatever the scores are.
    """
    rows = {
        str(trial): places for trial, places in frame.reset_index(drop=True).groupby("trial", sort=False).groups.items()
    }
    score = frame["val_f1"].to_numpy(float)
    trials = {trial: Scores(score[places], draws[places]) for trial, places in rows.items()}
    mean = {trial: float(of.runs.mean()) for trial, of in trials.items()}
    params = {trial: int(frame["params"].iloc[places[0]]) for trial, places in rows.items()}
    n_seeds = min(len(of.runs) for of in trials.values())
    error = pooled_sd(frame)[0] / np.sqrt(n_seeds)
    selected, rule = choose(mean, params, float(error))
    if pinned and published_choice in mean and len(mean) > 1:
        selected, rule = published_choice, Rule.PUBLISHED_CHOICE
    # Not from a set: trials that tie are to come in the study's order, and so in the same one every time.
    others = sorted((trial for trial in mean if trial != selected), key=lambda trial: -mean[trial])
    comparisons = compare({trial: trials[trial] for trial in (selected, *others)})
    return Decision(
        stage=stage,
        selected=selected,
        rule=rule,
        selected_params=params[selected],
        best=max(mean, key=mean.__getitem__),
        val_f1_mean=mean[selected],
        val_f1_se=float(error),
        n_seeds=n_seeds,
        published_choice=published_choice,
        agrees=selected == published_choice,
        comparisons=comparisons,
        evidence=next((c for c in comparisons if c.against == incumbent), comparisons[0] if comparisons else None),
    )
