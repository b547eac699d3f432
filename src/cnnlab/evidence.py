"""From scores to choices: the one-standard-error rule and a verdict on what it changed. Numpy, pandas, scipy only."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

CONFIDENCE = 0.95
PINNED = "published pick"
"""The rule of a stage that hands on the published study's choice, whatever its scores are."""


@dataclass(frozen=True)
class Decision:
    """Which trial a stage hands on, and the evidence.

    Attributes:
        stage: The stage.
        chosen: Name of the trial handed on.
        rule: How it was found.
        chosen_params: Its parameters.
        best: Name of the trial with the best mean `val_f1`.
        val_f1_mean: Mean `val_f1` of the chosen trial.
        val_f1_se: Standard error of that mean, from the SD pooled over the stage's trials; NaN with one seed.
        n_seeds: Runs of each trial.
        difference: Mean `val_f1` of the chosen trial less the reference's; NaN where they are the same.
        margin: Half the width of its 95 % t interval, with Bonferroni's correction for the number of trials that
            might have been chosen.
        verdict: The chosen trial against the reference: "better", "not distinguishable" (a trial within one standard
            error of the best is never worse), or "" where they are the same.
        published_choice: The published study's pick, or "".
        agrees: Whether it is the one chosen.
    """

    stage: str
    chosen: str
    rule: str
    chosen_params: int
    best: str
    val_f1_mean: float
    val_f1_se: float
    n_seeds: int
    difference: float
    margin: float
    verdict: str
    published_choice: str
    agrees: bool


def pooled_sd(frame: pd.DataFrame) -> tuple[float, int]:
    """Return the SD of one run's `val_f1` pooled over trials, and its degrees of freedom.

    Args:
        frame: One row a run, with `trial` and `val_f1`.

    Returns:
        NaN and 0 where no trial has two runs.
    """
    groups = frame.groupby("trial")["val_f1"]
    freedom = int((groups.count() - 1).sum())
    if freedom == 0:
        return float("nan"), 0
    return float(np.sqrt((groups.var(ddof=1).fillna(0) * (groups.count() - 1)).sum() / freedom)), freedom


def decide(
    stage: str, frame: pd.DataFrame, reference: str | None, published_choice: str, *, pinned: bool = False
) -> Decision:
    """Choose the trial that a stage hands on.

    Among the trials whose mean `val_f1` is within one standard error of the best mean, the one with the fewest
    parameters; among equals the best mean (Breiman et al., Classification and Regression Trees, 1984, 3.4.3; Hastie,
    Tibshirani, Friedman, Elements of Statistical Learning, 7.10). With one seed there is no standard error, and the
    best score is taken. Only `val_f1` and `params` are read.

    Args:
        stage: Name of the stage.
        frame: One row a run, with `trial`, `seed`, `params` and `val_f1`.
        reference: Name of the trial that the choice is held against: what the stage before handed on.
        published_choice: The published study's pick.
        pinned: Hand on that pick whatever the scores are.
    """
    groups = frame.groupby("trial", sort=False)
    mean = {str(trial): float(score) for trial, score in groups["val_f1"].mean().items()}
    params = {str(trial): int(count) for trial, count in groups["params"].first().items()}
    n_seeds = int(groups["val_f1"].count().min())
    sd, freedom = pooled_sd(frame)
    error = sd / np.sqrt(n_seeds)
    best = max(mean, key=mean.__getitem__)
    if len(mean) == 1:
        chosen, rule = best, "only one trial"
    elif pinned and published_choice in mean:
        chosen, rule = published_choice, PINNED
    elif np.isnan(error):
        chosen, rule = best, "best val_f1 (one seed, so no standard error)"
    else:
        within = [trial for trial, score in mean.items() if score >= mean[best] - error]
        chosen = min(within, key=lambda trial: (params[trial], -mean[trial]))
        rule = "fewest parameters within one standard error of the best val_f1"
    difference = margin = float("nan")
    verdict = ""
    if reference is not None and chosen != reference and not pinned:
        difference = mean[chosen] - mean[reference]
        if freedom:
            error_rate = (1 - CONFIDENCE) / (len(mean) - 1)
            margin = float(stdtrit(freedom, 1 - error_rate / 2) * sd * np.sqrt(2 / n_seeds))
        verdict = "better" if difference > margin else "not distinguishable"
    return Decision(
        stage=stage,
        chosen=chosen,
        rule=rule,
        chosen_params=params[chosen],
        best=best,
        val_f1_mean=mean[chosen],
        val_f1_se=float(error),
        n_seeds=n_seeds,
        difference=difference,
        margin=margin,
        verdict=verdict,
        published_choice=published_choice,
        agrees=chosen == published_choice,
    )
