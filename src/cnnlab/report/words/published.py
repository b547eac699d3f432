"""The noise of the published study and of our runs: first the numbers, then tables and sentences."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from itertools import chain

import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown
from scipy.special import stdtrit

from cnnlab import evidence, study
from cnnlab.records import Record
from cnnlab.report.tables import count, mean_sd, table
from cnnlab.report.words.stage import own_images
from cnnlab.study import SPARSE_LOSS, PublishedFit, Trial
from cnnlab.tuning import StageResult, Tuning, advice, read_predictions

_PUBLISHED_TEST = 10_000
"""Test images of the published study."""
_OTHER_SIZE = "other size"


def _fits(stage: str) -> tuple[tuple[PublishedFit, Trial], ...]:
    """Return the published fits of a stage with the settings that they really had."""
    trials = study.published_trials(study.built_in().stage(stage), study.PROFILES["full"], study.PROTOCOLS["published"])
    return tuple((trial.published, trial.settings) for trial in trials if trial.published)


@cache
def replicates() -> tuple[tuple[PublishedFit, ...], ...]:
    """Return the groups of two or more published fits that really had the same settings."""
    groups: dict[Trial, list[PublishedFit]] = defaultdict(list)
    for fit, settings in (pair for stage in study.published_stages() for pair in _fits(stage)):
        groups[settings].append(fit)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def published_sd() -> tuple[float, int]:
    """Return the SD of one published fit's test macro-F1, pooled over the replicates, and its degrees of freedom."""
    return evidence.pooled_sd([fit.test_f1 for fit in group] for group in replicates())


def noise_limit() -> float:
    """Return by how much two published fits of one model differ at most in 95 % of pairs (Student's t)."""
    sd, dof = published_sd()
    return float(stdtrit(dof, (1 + evidence.CONFIDENCE) / 2) * sd * np.sqrt(2))


def published_choices() -> pd.DataFrame:
    """Return the published choices of the grayscale stages, one row per stage that had something to choose.

    The difference is that from the best other trial, the gain that over the choice of the previous stage. A choice
    leads if its difference is above `noise_limit`, or its gain if there was no other trial; "unknown" if the other
    trial had labels that its loss cannot use.
    """
    rows = []
    previous_f1 = np.nan
    for stage in study.published_stages():
        # Of fits with the same name, the first one counts.
        fits = {fit.trial: (fit, settings.training) for fit, settings in reversed(_fits(stage))}
        choice = next(fit for fit, _ in fits.values() if fit.chosen)
        if choice.on_colour:
            continue
        del fits[choice.trial]
        f1 = choice.test_f1
        gain, previous_f1 = f1 - previous_f1, f1
        if not choice.settings or np.isnan(gain):  # there was only the choice of the previous stage
            continue
        best_other, difference, wrong_labels = "", np.nan, False
        if fits:
            best_other, (other, training) = max(fits.items(), key=lambda item: item[1][0].test_f1)
            difference = f1 - other.test_f1
            wrong_labels = training.loss != SPARSE_LOSS and not training.one_hot
        leads = (difference if best_other else gain) > noise_limit()
        answer = "unknown" if leads and wrong_labels else "yes" if leads else "no"
        rows.append((stage, choice.trial, f1, best_other, difference, gain, answer))
    return pd.DataFrame(rows, columns=["stage", "choice", "F1", "best other trial", "difference", "gain", "leads"])


def replicates_table() -> HTML:
    """Return the groups of published fits that really had the same settings."""
    rows = [
        {
            "fits": ", ".join(fit.fit for fit in group),
            "stages": ", ".join(dict.fromkeys(fit.stage for fit in group)),
            "F1": ", ".join(f"{fit.test_f1:.3f}" for fit in group),
            "SD": float(np.std([fit.test_f1 for fit in group], ddof=1)),
        }
        for group in replicates()
    ]
    return table(rows, {"SD": ".4f"})


def published_noise_summary() -> Markdown:
    """Return how noisy one published fit is, and how much two must differ."""
    sd, dof = published_sd()
    return Markdown(
        f"Some fits of the published study are repetitions by mistake: {sum(map(len, replicates()))} of its fits are "
        f"only {len(replicates())} models. From these, the standard deviation of one fit's macro-F1 is **{sd:.4f}** "
        f"({dof} degrees of freedom), so in 95 % of pairs two fits of one model differ by at most "
        f"**{noise_limit():.3f}** (Student's t). A smaller difference does not show that two models differ."
    )


def published_choices_report() -> tuple[HTML, Markdown]:
    """Return the published choices as a table, and which of them lead by more than the noise."""
    choices, limit = published_choices(), noise_limit()
    stages = choices["stage"]
    yes, unknown = (list(stages[choices["leads"] == answer]) for answer in ("yes", "unknown"))
    summary = (
        f"A choice leads if it scores more than {limit:.3f} above the best other trial, or above the previous choice "
        f"where there was no other trial. **{len(yes)} of {len(choices)}** choices lead: {', '.join(yes) or 'none'}."
    )
    if unknown:
        summary += f" Unknown for {', '.join(unknown)}: the other trials had labels that their losses cannot use."
    return table(choices, {"F1": ".3f", "difference": "+.3f", "gain": "+.3f"}), Markdown(summary)


def our_noise_summary(tuning: Tuning, results: Sequence[StageResult]) -> Markdown:
    """Return how much our own runs of one trial differ, at their last and at their best epoch.

    Raises:
        DataError: The images cannot be used.
    """
    groups: dict[Trial, dict[str, Record]] = defaultdict(dict)  # by digest: a run that stages share counts once
    for result in results:
        for trial in result.distinct_trials:
            groups[trial.settings] |= {record.digest: record for record in result.records(trial.name)}
    # A trial of which one run learns and another does not would hide how much the others differ.
    runs = [
        list(group.values())
        for group in groups.values()
        if not any(advice.is_at_chance(tuning, [run]) for run in group.values())
    ]
    left_out = len(groups) - len(runs)
    if not runs:
        return Markdown("Every trial has a run that is no better than guessing, so they say nothing about noise.")
    sd, dof = evidence.pooled_sd([run.scores["test_f1"] for run in group] for group in runs)
    if not dof:
        return Markdown("These runs have one seed per trial, so they say nothing about noise.")
    last, _ = evidence.pooled_sd([run.history["val_accuracy"][-1] for run in group] for group in runs)
    best, _ = evidence.pooled_sd([run.history["val_accuracy"][run.best_epoch - 1] for run in group] for group in runs)
    change = f"{abs(100 * (1 - best / last)) if last else 0:.0f} % {'less' if best <= last else 'more'}"
    ended_at_best = 100 * np.mean([run.best_epoch == run.epochs for group in runs for run in group])
    split, published = runs[0][0].split, ""
    own = next(filter(None, (own_images(tuning, run) for run in runs)), "")
    differs = f"the seed and the {own} images differ" if own else "only the seed differs"
    if tuning.scope.has_published:
        times = sd / published_sd()[0]
        smaller = "; a smaller test set alone makes a score noisier" if split["test"] < _PUBLISHED_TEST else ""
        published = f" It is {times:.1f} times that of the published fits, which had 40,000 and 10,000 images{smaller}."
    others = ""
    if left_out:
        others = f" Left out: {count(left_out, 'trial')} of which a run is no better than guessing."
    return Markdown(
        f"With {split['train']:,} training and {split['test']:,} test images, the standard deviation of one run's "
        f"`test_f1` is **{sd:.4f}** ({count(dof, 'degree')} of freedom, from {count(len(runs), 'trial')}). Between "
        f"runs of one trial, {differs}.{published}{others}\n\n"
        "Is the last epoch noisier than the best one? The validation accuracy of runs of one trial has a standard "
        f"deviation of **{last:.4f}** at the last epoch and of **{best:.4f}** at the epoch with the lowest `val_loss`: "
        f"{change}. For {ended_at_best:.0f} % of the runs these are the same epoch."
    )


def selection_noise(tuning: Tuning, results: Sequence[StageResult]) -> Markdown:
    """Return what selecting by one run, and by its test score as the published study did, would do here."""
    optimism, n_same, n_selections = [], 0, 0
    for result in results:
        records = [result.records(trial.name) for trial in result.distinct_trials]
        if len(records) < 2 or result.decision.n_seeds < 2:
            continue
        labels, predicted, _ = read_predictions(tuning.store, [*chain(*records)], "test")
        optimism.append(evidence.optimism(labels, predicted.reshape(len(records), -1, len(labels))))
        val_f1 = np.array([[record.scores["val_f1"] for record in of_trial] for of_trial in records])
        for run in range(val_f1.shape[1]):
            n_same += int(val_f1[:, run].argmax() == np.delete(val_f1, run, axis=1).mean(axis=1).argmax())
            n_selections += 1
    if not optimism:
        return Markdown("The cost of selecting by one run cannot be estimated from one seed or from one trial a stage.")
    mean, low, high = (100 * value for value in (np.mean(optimism), min(optimism), max(optimism)))
    return Markdown(
        "Selecting each trial by the test score of one run would have overstated its score by about "
        f"**{mean:z.1f} points** on average over {count(len(optimism), 'stage')} (from {low:z.1f} to {high:z.1f}, by "
        "stage): the selected run on a random half of the test images scores so much higher than the trial's other "
        "runs on the other half. Selecting by the `val_f1` of one run finds the trial with the best mean of the other "
        f"runs in **{n_same} of {n_selections}** cases."
    )


def published_intro(tuning: Tuning) -> Markdown:
    """Return what the appendix is about, and how to compare it with one's own runs."""
    intro = (
        "The published study fitted nine CNN designs to grayscale and colour CIFAR-10: 51 fits, each one run without a "
        "seed."
    )
    if not tuning.scope.has_published:
        intro += (
            " The images of this report are others, so its scores are not compared with the published ones. To compare "
            "them, run the study on CIFAR-10: `make data`, then `make report DATA=data/cifar10`."
        )
    return Markdown(intro)


def agreement_report(results: Sequence[StageResult]) -> tuple[HTML, Markdown]:
    """Return each published fit beside our runs of it, and whether they agree within two standard deviations.

    The SD is that of the difference between one published run and the mean of ours: the SD of our runs pooled over the
    stage, times the root of 1 + 1/n. With one run per trial, the SD of the published replicates is used instead. Fits
    of networks of another size are not counted.
    """
    rows = []
    for result in results:
        scores = {
            name: [record.scores["test_f1"] for record in records] for name, records in result.records_by_trial.items()
        }
        sd, dof = evidence.pooled_sd(scores.values()) if result.decision.n_seeds > 1 else published_sd()
        for trial in result.trials:
            if not trial.published:
                continue
            ours, params = scores[trial.name], result.records(trial.name)[0].params
            difference = float(np.mean(ours)) - trial.published.test_f1
            limit = 2 * sd * float(np.sqrt(1 + 1 / len(ours))) if dof else float("nan")
            rows.append(
                {
                    "stage": result.stage.name,
                    "fit": trial.published.fit,
                    "published params": trial.published.params,
                    "our params": params,
                    "published F1": trial.published.test_f1,
                    "our test_f1": mean_sd(ours),
                    "difference": difference,
                    "two SD": limit,
                    "agree": _agree(abs(difference) <= limit, is_same_size=params == trial.published.params),
                }
            )
    if not rows:
        return table([]), Markdown("None of these trials was a fit of the published study.")
    split = results[0].selected_records[0].split
    n_agree, n_other = (sum(row["agree"] == answer for row in rows) for answer in ("yes", _OTHER_SIZE))
    formats = {
        "published params": ",d",
        "our params": ",d",
        "published F1": ".3f",
        "difference": "+z.3f",
        "two SD": ".3f",
    }
    others = ""
    if n_other:
        others = (
            f" Not counted: {count(n_other, 'fit')} of networks of another size, because the stages before selected "
            "other settings or the budget skips large networks."
        )
    return table(rows, formats), Markdown(
        f"Of {count(len(rows) - n_other, 'fit')} of networks of the same size, {n_agree} "
        f"{'agrees' if n_agree == 1 else 'agree'} with the published score within two standard deviations of the "
        f"difference between one fit and the mean of ours.{others} The published fits had 40,000 training and 10,000 "
        f"test images; these had {split['train']:,} and {split['test']:,}."
    )


def _agree(is_within: bool, *, is_same_size: bool) -> str:
    if not is_same_size:
        return _OTHER_SIZE
    return "yes" if is_within else "no"
