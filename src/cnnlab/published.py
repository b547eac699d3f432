"""What the published figures say about their own noise: replicates among the fits, and choices that survive it."""

from collections import defaultdict
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from cnnlab import evidence, protocols
from cnnlab.config import SPARSE_LOSS, Trial
from cnnlab.study import STAGES, PublishedFit


@cache
def _fits() -> dict[str, tuple[tuple[PublishedFit, Trial], ...]]:
    """Return each stage's published fits with the settings they really had."""
    full, published = protocols.PROFILES["full"], protocols.PROTOCOLS["published"]
    found = {}
    for stage in STAGES:
        candidates = protocols.candidates(stage, Trial(), full, published)
        found[stage.name] = tuple((c.published, c.trial) for c in candidates if c.published)
    return found


def replicates() -> list[tuple[PublishedFit, ...]]:
    """Return the groups of two or more fits of one model with the same settings, found from what really ran."""
    groups: dict[Trial, list[PublishedFit]] = defaultdict(list)
    for fits in _fits().values():
        for fit, trial in fits:
            groups[trial].append(fit)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def noise() -> tuple[float, int]:
    """Return the SD of one published fit's F1, pooled over the replicates, and its degrees of freedom."""
    rows = [(number, fit.test_f1) for number, group in enumerate(replicates()) for fit in group]
    return evidence.pooled_sd(pd.DataFrame(rows, columns=["trial", "test_f1"]), "test_f1")


def least_difference() -> float:
    """Return how far two published fits must differ before the difference is worth a word (95 %, Student's t)."""
    sd, freedom = noise()
    return float(stdtrit(freedom, (1 + evidence.CONFIDENCE) / 2) * sd * np.sqrt(2))


@dataclass(frozen=True)
class Choice:
    """A choice of the published study.

    Attributes:
        stage: The stage.
        pick: What it picked.
        f1: The pick's test macro-F1.
        rival: The best other trial of the stage, or "".
        lead: How far the pick stands above it; NaN without one.
        gain: How far the pick stands above what the stage before handed on.
        spoilt: Whether the rival was given labels that its loss cannot use, so that the lead over it says nothing.
    """

    stage: str
    pick: str
    f1: float
    rival: str
    lead: float
    gain: float
    spoilt: bool


def choices() -> list[Choice]:
    """Return the published choices of the grayscale stages that had something to choose."""
    found = []
    before = None
    for stage in STAGES:
        scores = {fit.trial: fit.test_f1 for fit, _ in reversed(_fits()[stage.name])}
        trials = {fit.trial: trial.training for fit, trial in _fits()[stage.name]}
        if stage.on_colour or stage.pick not in scores:
            continue
        f1 = scores.pop(stage.pick)
        if before is not None and stage.variants:
            rival = max(scores, key=scores.__getitem__, default="")
            lead = f1 - scores[rival] if rival else np.nan
            spoilt = bool(rival) and trials[rival].loss != SPARSE_LOSS and not trials[rival].one_hot
            found.append(Choice(stage.name, stage.pick, f1, rival, lead, f1 - before, spoilt))
        before = f1
    return found
