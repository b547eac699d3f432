"""Select a stage's trial by the one-standard-error rule."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from cnnlab.evidence.comparison import Comparison, Verdict, compare
from cnnlab.evidence.resampling import Scores


class Rule(StrEnum):
    """How a stage selected its trial."""

    ONE_STANDARD_ERROR = "fewest parameters within one standard error of the best val_f1"
    BEST = "best val_f1 (one seed, so no standard error)"
    ONLY_TRIAL = "only one trial"
    PUBLISHED_CHOICE = "published choice"
    BETTER = "the incumbent, unless the other trial is better"


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
        comparisons: Each other trial against the incumbent, the best first, on `val_f1`. A stage without an incumbent
            compares with its first trial.
        evidence: The comparison of the selected trial. If that is the incumbent, or the first trial where there is no
            incumbent: the one of the best other trial. None if there is only one trial.
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


def pooled_sd(trials: Iterable[Sequence[float] | NDArray[np.float64]]) -> tuple[float, int]:
    """Return the SD of one run's score, pooled over trials, and its degrees of freedom.

    Args:
        trials: The scores of each trial's runs.

    Returns:
        NaN and 0 if no trial has two runs.
    """
    scores = [np.asarray(runs, float) for runs in trials]
    dof = sum(len(runs) - 1 for runs in scores)
    if dof == 0:
        return float("nan"), 0
    return float(np.sqrt(sum(((runs - runs.mean()) ** 2).sum() for runs in scores) / dof)), dof


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
    trials: Mapping[str, Scores],
    params: Mapping[str, int],
    incumbent: str | None,
    published_choice: str = "",
    *,
    pinned: bool = False,
    only_if_better: bool = False,
    family: int = 0,
) -> Decision:
    """Select a stage's trial by `choose` and give the evidence.

    Args:
        stage: Name of the stage.
        trials: The `val_f1` of each trial, by its name.
        params: Number of parameters of each trial.
        incumbent: Name of the trial that the previous stage selected; None if it is not a trial of this stage.
        published_choice: Name of the trial that the published study chose, or "".
        pinned: Select the published choice, whatever the scores are.
        only_if_better: Select the incumbent, unless the verdict on the best trial is that it is better.
        family: How many comparisons must be covered together, if these trials are what is left of more that were
            scored on the same images; 0 for those of these trials.
    """
    mean = {name: float(scores.runs.mean()) for name, scores in trials.items()}
    n_seeds = min(len(scores.runs) for scores in trials.values())
    se = float(pooled_sd(scores.runs for scores in trials.values())[0] / np.sqrt(n_seeds))
    selected, rule = choose(mean, params, se)
    if pinned and published_choice in mean and len(mean) > 1:
        selected, rule = published_choice, Rule.PUBLISHED_CHOICE
    reference = incumbent if incumbent in mean else next(iter(mean))
    # Not a set: tied trials must keep the study's order, the same every time.
    others = sorted((name for name in mean if name != reference), key=lambda name: -mean[name])
    comparisons = compare({name: trials[name] for name in (reference, *others)}, family)
    if only_if_better and comparisons:
        is_better = comparisons[0].verdict == Verdict.BETTER
        selected, rule = (comparisons[0].trial if is_better else reference), Rule.BETTER
    of_selected = next((made for made in comparisons if made.trial == selected), None)
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
        evidence=of_selected or (comparisons[0] if comparisons else None),
    )
