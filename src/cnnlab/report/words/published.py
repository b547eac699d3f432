"""Tables and sentences about the noise of the published study and of our runs."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown
from scipy.special import stdtrit

from cnnlab import evidence, study
from cnnlab.evidence import pooled_sd
from cnnlab.records import Record
from cnnlab.report.tables import mean_sd, table
from cnnlab.study import SPARSE_LOSS, STAGES, PublishedFit, Trial
from cnnlab.tuning import StageResult, Tuning, read_predictions


@cache
def _fits() -> dict[str, tuple[tuple[PublishedFit, Trial], ...]]:
    """Return each stage's published fits with the settings they really had."""
    full, published = study.PROFILES["full"], study.PROTOCOLS["published"]
    found = {}
    for stage in STAGES:
        trials = study.plan_trials(stage, Trial(), full, published)
        found[stage.name] = tuple((c.published, c.settings) for c in trials if c.published)
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
        published_choice: What it picked.
        f1: The pick's test macro-F1.
        rival: The best other trial of the stage, or "".
        lead: How far the pick stands above it; NaN without one.
        gain: How far the pick stands above what the stage before handed on.
        spoilt: Whether the rival was given labels that its loss cannot use, so that the lead over it says nothing.
    """

    stage: str
    published_choice: str
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
        if stage.on_colour or stage.published_choice not in scores:
            continue
        f1 = scores.pop(stage.published_choice)
        if before is not None and stage.trials:
            rival = max(scores, key=scores.__getitem__, default="")
            lead = f1 - scores[rival] if rival else np.nan
            spoilt = bool(rival) and trials[rival].loss != SPARSE_LOSS and not trials[rival].one_hot
            found.append(Choice(stage.name, stage.published_choice, f1, rival, lead, f1 - before, spoilt))
        before = f1
    return found


def replicate_table() -> HTML:
    """Return the groups of published fits that are one model with the same settings."""
    return table(
        [
            {
                "fits": ", ".join(fit.fit for fit in group),
                "stages": ", ".join(dict.fromkeys(fit.stage for fit in group)),
                "F1": ", ".join(f"{fit.test_f1:.3f}" for fit in group),
                "SD": float(np.std([fit.test_f1 for fit in group], ddof=1)),
            }
            for group in replicates()
        ],
        {"SD": ".4f"},
    )


def published_noise() -> Markdown:
    """Say how noisy one published fit is, and how far two must differ."""
    groups = replicates()
    sd, freedom = noise()
    return Markdown(
        f"The published study's slips made replicates: {sum(map(len, groups))} of its fits are {len(groups)} models "
        f"with the same settings, fitted again. From them, the standard deviation of one fit's macro-F1 is "
        f"**{sd:.4f}** ({freedom} degrees of freedom), so two single fits must differ by "
        f"**{least_difference():.3f}** "
        f"before the difference is worth a word (95 %, Student's t; {1.96 * np.sqrt(2) * sd:.3f} if the SD were known)."
    )


def published_choices() -> tuple[HTML, Markdown]:
    """Return the published choices with what they rest on, and how many survive the study's own noise."""
    least = least_difference()
    rows = []
    survive: list[str] = []
    spoilt: list[str] = []
    gains: list[str] = []
    for choice in choices():
        rests_on = choice.lead if choice.rival else choice.gain
        if rests_on > least:
            (spoilt if choice.spoilt else survive).append(choice.stage)
        if choice.gain > least:
            gains.append(choice.stage)
        rows.append(
            {
                "stage": choice.stage,
                "pick": choice.published_choice,
                "F1": choice.f1,
                "best other trial": choice.rival,
                "lead over it": choice.lead,
                "over the stage before": choice.gain,
                "survives": "no" if rests_on <= least else "cannot be said" if choice.spoilt else "yes",
            }
        )
    formats = {"F1": ".3f", "lead over it": "+.3f", "over the stage before": "+.3f"}
    return table(rows, formats), Markdown(
        f"A choice survives if the pick leads the best other trial (where it had none, the model of the stage before) "
        f"by more than {least:.3f}. **{len(survive)} of {len(rows)}**: {', '.join(survive) or 'none'}."
        + (
            f" Of {', '.join(spoilt)} it cannot be said: the others were given labels that their losses cannot use."
            if spoilt
            else ""
        )
        + f" Above the model of the stage before by more than that: {', '.join(gains) or 'none'}."
    )


def our_noise(tuning: Tuning, results: Sequence[StageResult]) -> Markdown:
    """Say how much our own runs of one trial differ, and what scoring the best epoch does about it."""
    groups: dict[Trial, list[Record]] = defaultdict(list)
    for result in results:
        for trial in result.trials:
            known = {record.digest for record in groups[trial.settings]}
            groups[trial.settings] += [r for r in result.records(trial.name) if r.digest not in known]
    frame = pd.DataFrame(
        [
            {
                "trial": number,
                "test_f1": record.scores["test_f1"],
                "last": record.history["val_accuracy"][-1],
                "best": record.history["val_accuracy"][record.best_epoch - 1],
            }
            for number, found in enumerate(groups.values())
            for record in found
        ]
    )
    sd, freedom = pooled_sd(frame, "test_f1")
    if not freedom:
        return Markdown("These runs have one seed a trial, so they say nothing about noise.")
    last, best = (pooled_sd(frame, score)[0] for score in ("last", "best"))
    theirs, _ = noise()
    at_best = np.mean([record.best_epoch == record.epochs for found in groups.values() for record in found])
    split = next(iter(groups.values()))[0].split
    return Markdown(
        f"**Our runs** under the {tuning.protocol.name} protocol, {split['train']:,} training and {split['test']:,} "
        f"test images: the standard deviation of one run's `test_f1` is **{sd:.4f}** ({freedom} degrees of freedom, "
        f"pooled over {len(groups)} trials), {sd / theirs:.1f} times that of the published fits, which had 40,000 "
        "and 10,000 images. A smaller test set alone makes a score noisier.\n\n"
        "How much of it comes from scoring the last epoch can be read off the same runs: the validation accuracy of "
        f"runs of one trial differs with an SD of **{last:.4f}** at their last epoch, which the published study "
        f"scored, and of **{best:.4f}** at the epoch with the lowest `val_loss`, which the corrected protocol scores: "
        f"{abs(100 * (1 - best / last)) if last else 0:.0f} % {'less' if best <= last else 'more'}. "
        f"({100 * at_best:.0f} % of the runs ended with that epoch.)"
    )


def selection(tuning: Tuning, results: Sequence[StageResult]) -> Markdown:
    """Say what choosing by one run, and by its test score, as the published study did, would have cost here."""
    rises, same, choices = [], 0, 0
    for result in results:
        found = [result.records(trial.name) for trial in result.trials]
        if len(found) < 2 or result.decision.n_seeds < 2:
            continue
        labels, predicted, n_classes = read_predictions(tuning.store, [record for of in found for record in of], "test")
        rises.append(evidence.optimism(labels, predicted.reshape(len(found), -1, len(labels)), n_classes))
        score = np.array([[record.scores["val_f1"] for record in of] for of in found])
        same += int((score.argmax(axis=0) == score.mean(axis=1).argmax()).sum())
        choices += score.shape[1]
    if not rises:
        return Markdown(
            "With one seed, or one trial a stage, nothing can be said about what choosing by one run costs."
        )
    return Markdown(
        f"Choosing each stage's trial by the test score of one run, as the published study did, would have overstated "
        f"the selected score by about **{100 * np.mean(rises):z.1f} points** on average over {len(rises)} stages "
        f"({100 * min(rises):z.1f} to {100 * max(rises):z.1f}; selected on one random half of the test images, held "
        f"against the trial's other runs on the other half). Choosing by one run's `val_f1` picks the trial with the "
        f"best mean in **{same} of {choices}** cases."
    )


def agreement_table(results: Sequence[StageResult]) -> tuple[HTML, Markdown]:
    """Return each published fit beside our runs of it, and whether they agree within two standard deviations.

    The SD is that of the difference between one published run and the mean of ours: the SD of our runs pooled over the
    stage, times the root of 1 + 1/n; with one run each, the published replicates' SD takes its place.
    """
    rows = []
    for result in results:
        ours = pd.DataFrame(
            [(name, record.scores["test_f1"]) for name, found in result.records_by_trial.items() for record in found],
            columns=["trial", "test_f1"],
        )
        sd, freedom = pooled_sd(ours, "test_f1") if result.decision.n_seeds > 1 else noise()
        for trial in result.trials:
            if trial.published is None:
                continue
            scores = [record.scores["test_f1"] for record in result.records(trial.name)]
            difference = float(np.mean(scores)) - trial.published.test_f1
            limit = 2 * sd * float(np.sqrt(1 + 1 / len(scores))) if freedom else float("nan")
            rows.append(
                {
                    "stage": result.stage.name,
                    "fit": trial.published.fit,
                    "published F1": trial.published.test_f1,
                    "our test_f1": mean_sd(scores),
                    "difference": difference,
                    "two SD": limit,
                    "agree": "yes" if abs(difference) <= limit else "no",
                }
            )
    if not rows:
        return table([]), Markdown("None of these trials was a fit of the published study.")
    split = results[0].records(results[0].decision.selected)[0].split
    count = sum(row["agree"] == "yes" for row in rows)
    formats = {"published F1": ".3f", "difference": "+.3f", "two SD": ".3f"}
    return table(rows, formats), Markdown(
        f"{count} of {len(rows)} fits agree with the published figure within two standard deviations. The published "
        f"fits had 40,000 training and 10,000 test images; these had {split['train']:,} and {split['test']:,}."
    )
