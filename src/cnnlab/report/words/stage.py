"""Tables and sentences about one stage. No sentence says more than its numbers."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from IPython.display import HTML, Markdown

from cnnlab.evidence import Comparison, Rule, Verdict
from cnnlab.records import Record
from cnnlab.report import plots
from cnnlab.report.plots import Picture
from cnnlab.report.tables import count, mean_sd, table, text
from cnnlab.report.words.comparison import COMPARISON_FORMATS, comparison_columns, difference_text, outlook
from cnnlab.report.words.notes import comparison_verdict, not_learned_text
from cnnlab.study import PublishedFit
from cnnlab.tuning import StageResult, Tuning


def stage_intro(tuning: Tuning, result: StageResult) -> Markdown:
    """Return a stage's heading, question and reason, and which of its trials were not run in full."""
    stage = result.stage
    lines = [f"# {text(tuning.scope.title(stage))}"]
    lines += [f"**{text(stage.question)}**"] if stage.question else []
    lines += [text(stage.why)] if stage.why else []
    if result.skipped:
        lines.append(f"Expensive trials, skipped in this budget: {', '.join(map(text, result.skipped))}.")
    if result.dropped:
        lines.append("Dropped early by successive halving on one seed, so little is known about them:")
        lines.append(
            "\n".join(
                f"- {text(trial.name)}: `val_accuracy` {trial.val_accuracy:.3f} "
                f"{f'after {trial.epochs} epochs' if trial.epochs else 'after a full fit'}; the best trial had "
                f"{trial.best:.3f}"
                for trial in result.dropped
            )
        )
    return Markdown("\n\n".join(lines))


def layers_table(layers: Sequence[Mapping[str, str | int]]) -> HTML:
    """Return a model's layers with output shapes and parameters, and their sum."""
    total = {"layer": "total", "output": "", "params": sum(int(row["params"]) for row in layers)}
    return table([*layers, total], {"params": ",d"})


def model_drawing(png: bytes, layers: Sequence[Mapping[str, str | int]]) -> Picture | Markdown:
    """Return a visualkeras drawing with its text alternative, or a sentence if there is none."""
    from PIL import Image

    if not png:
        return Markdown("There is no drawing: visualkeras only draws layers that follow one another.")
    names = ", ".join(str(row["layer"]) for row in layers)
    width = Image.open(BytesIO(png)).width // plots.SHARPNESS
    return Picture(png, f"Drawing of the model, layer by layer: {names}.", width)


def trials_table(result: StageResult) -> HTML:
    """Return the stage's trials with size, cost and scores, and which is selected, or has the runs of another."""
    has_published = any(trial.published for trial in result.trials)
    rows = []
    for trial in result.trials:
        row = {
            "trial": f"{trial.name} (selected)" if trial == result.selected else trial.name,
            "incumbent": "yes" if trial.incumbent else _same_text(result, trial.name),
            **score_columns(result.records(trial.name)),
        }
        if has_published:
            row["published F1"] = _published_f1(trial.published) if trial.published else ""
        rows.append(row)
    return table(rows, SCORE_FORMATS)


def _same_text(result: StageResult, name: str) -> str:
    """Return "same as the incumbent in this budget" for a trial with the incumbent's runs, or the like; else ""."""
    if name not in (same_as := result.same_as):
        return ""
    other = result.trial(same_as[name])
    return f"same as {'the incumbent' if other.incumbent else other.name} in this budget"


SCORE_FORMATS = {"params": ",d", "epochs": ".1f", "seconds": ".1f"}
"""Formats of `score_columns`."""


def score_columns(records: Sequence[Record]) -> dict[str, Any]:
    """Return the columns that every table of trials has: size, cost, mean and SD of the scores."""
    return {
        "params": records[0].params,
        "runs": len(records),
        "epochs": float(np.mean([record.epochs for record in records])),
        # The median, because the first run may include the time to trace the model.
        "seconds": float(np.median([record.train_seconds for record in records])),
        "val_f1": mean_sd([record.scores["val_f1"] for record in records]),
        "test_f1": mean_sd([record.scores["test_f1"] for record in records]),
    }


def _published_f1(fit: PublishedFit) -> str:
    """Return the published score, with a star if the settings of the fit differ from its description."""
    return f"{fit.test_f1:.3f}*" if fit.changes else f"{fit.test_f1:.3f}"


def published_differences(result: StageResult) -> Markdown:
    """Return what the published figures in `trials_table` are, and in which settings their fits differ from our trials.

    It is "" where there are no published figures.
    """
    if not any(trial.published for trial in result.trials):
        return Markdown("")
    notes = [
        f"{text(fit.trial)} with {', '.join(f'{text(name)} {value}' for name, value in fit.changes.items())}"
        for fit in (trial.published for trial in result.trials)
        if fit and fit.changes
    ]
    lines = ["*published F1* is a test macro-F1 of the published study: one run, on its own test images."]
    if notes:
        lines.append(f"\\* What the published study really ran: {'; '.join(notes)}.")
    return Markdown(" ".join(lines))


def overfitting_summary(result: StageResult) -> Markdown:
    """Return how far training and validation accuracy are apart, and what happened after the best epoch."""
    records = result.selected_records
    train, val = (
        float(np.mean([record.history[metric][record.best_epoch - 1] for record in records]))
        for metric in ("accuracy", "val_accuracy")
    )
    gap = 100 * (train - val)
    reading = "There is little overfitting, as far as a training accuracy averaged over the epoch can show."
    if gap > 5:
        reading = "The model overfits: it fits the training images better than new ones."
    elif gap < -5:
        reading = (
            "Training accuracy is lower; it is averaged over the epoch, with any dropout and augmentation switched on. "
            "There is no sign of overfitting."
        )
    later = float(np.mean([record.epochs - record.best_epoch for record in records]))
    after = "It was the last epoch, so more epochs might have improved the model."
    if later:
        rise = float(np.mean([r.history["val_loss"][-1] - min(r.history["val_loss"]) for r in records]))
        after = f"In the {later:.1f} epochs after it, `val_loss` ended {rise:.3f} above its lowest value."
        if not np.isfinite(rise):
            after = "In the epochs after it, `val_loss` of a run became infinite or no number (NaN): the fit diverged."
    return Markdown(
        f"At the epoch with the lowest `val_loss`, training accuracy is {train:.3f} and validation accuracy {val:.3f} "
        f"(mean of {count(len(records), 'run')}), {abs(gap):.1f} points apart. {reading} {after}"
    )


def decision_summary(tuning: Tuning, result: StageResult) -> Markdown:
    """Return which trial a stage selects, by which rule, and the verdict."""
    decision, selected = result.decision, result.selected
    pooled = ", pooled over the trials" if len(result.distinct_trials) > 1 else ""
    se = "" if np.isnan(decision.val_f1_se) else f" (standard error {decision.val_f1_se:.3f}{pooled})"
    lines = [
        f"**{text(selected.name)}** is selected: mean `val_f1` {decision.val_f1_mean:.3f}{se}, "
        f"{decision.selected_params:,} parameters."
    ]
    if selected.incumbent and len(result.trials) > 1:
        lines.append("It is the incumbent, so this stage changes nothing.")
    lines.append(_rule(result))
    lines += [
        f"{text(same)} is the {text(_same_text(result, same))}, so it is not compared." for same in result.same_as
    ]
    if decision.evidence:
        lines.append(_verdict(tuning, result, decision.evidence))
    fits = [trial.published for trial in result.trials if trial.published and trial.name == decision.published_choice]
    if fits and len(result.trials) > 1 and decision.rule != Rule.PUBLISHED_CHOICE:
        same = "the same trial" if decision.agrees else f"the trial {text(fits[0].trial)}"
        lines.append(f"The published study chose {same} (test F1 {_published_f1(fits[0])}).")
    return Markdown(" ".join(lines))


def _rule(result: StageResult) -> str:
    """Return why the selected trial is selected."""
    decision = result.decision
    if decision.rule == Rule.ONLY_TRIAL:
        return "It is the only trial." if len(result.trials) == 1 else "No trial differs from it in this budget."
    if decision.rule == Rule.PUBLISHED_CHOICE:
        return "It is the published choice, which this protocol selects whatever the scores are."
    if decision.rule == Rule.BEST:
        return "It has the best `val_f1`. With one seed there is no standard error."
    params = {_params(result, trial.name) for trial in result.distinct_trials}
    if len(params) == 1:
        return "It has the best mean; all trials have the same number of parameters."
    if decision.selected == decision.best:
        if decision.selected_params == min(params):
            return "It has the best mean and the fewest parameters."
        return "It has the best mean, and no trial with fewer parameters is within one standard error of it."
    best = float(np.mean([record.scores["val_f1"] for record in result.records(decision.best)]))
    return (
        f"It has the fewest parameters of the trials within one standard error of the best mean, which is {best:.3f} "
        f"(**{text(decision.best)}**, {_params(result, decision.best):,} parameters)."
    )


def _params(result: StageResult, name: str) -> int:
    return result.records(name)[0].params


def _verdict(tuning: Tuning, result: StageResult, evidence: Comparison) -> str:
    """Return the verdict on the selected trial; where that is the reference, the verdict on the best other trial."""
    rule = result.decision.rule
    if evidence.against == result.decision.selected:
        trial = f"the best other trial (**{text(evidence.trial)}**)"
        reference = f"the {'incumbent' if result.incumbent else 'selected trial'}"
        is_larger = evidence.verdict == Verdict.BETTER
    else:
        trial = f"**{text(evidence.trial)}**"
        reference = f"the {_reference(result)} (**{text(evidence.against)}**)"
        is_larger = evidence.verdict == Verdict.WORSE
    difference = f"difference {difference_text(evidence)}."
    reason = text(not_learned_text(tuning, result, evidence))
    if not evidence.is_conclusive:
        compared = f"the comparison of {trial} with {reference} is **inconclusive**{reason and f', and {reason}'}"
        return f"Verdict: {compared}; {difference}{outlook(evidence)}"
    preferred = " The rule prefers the smaller trial." if is_larger and rule == Rule.ONE_STANDARD_ERROR else ""
    learned = reason and f", but {reason}"
    return f"Verdict: {trial} is **{evidence.verdict}** than {reference}{learned}; {difference}{preferred}"


def _reference(result: StageResult) -> str:
    return "incumbent" if result.incumbent else "first trial"


def comparisons(tuning: Tuning, result: StageResult) -> tuple[Markdown | HTML | Picture, ...]:
    """Return what a stage's comparisons rest on, and each other trial less the reference: a table and a picture."""
    made = result.decision.comparisons
    if not made:
        others = ", and the others are the same in this budget" if len(result.trials) > 1 else ""
        return (Markdown(f"There is only one trial{others}, so there is nothing to compare."),)
    rows = [
        {
            "trial": comparison.trial,
            **comparison_columns(comparison),
            "verdict": comparison_verdict(tuning, result, comparison),
        }
        for comparison in made
    ]
    picture = plots.differences(
        {comparison.trial: comparison for comparison in made}, f"mean val_f1, less that of the {_reference(result)}"
    )
    return _basis(result, made[0].against), table(rows, COMPARISON_FORMATS), picture


def _basis(result: StageResult, against: str) -> Markdown:
    """Return what a difference, its interval, its verdict and the seeds needed are, and on which images they rest."""
    records, reference = result.selected_records, _reference(result)
    why = "" if result.incumbent else "; this stage has no incumbent"
    images = f"{records[0].split['train']:,} training and {records[0].split['val']:,} validation images"
    if len(records) == 1:
        return Markdown(
            f"- *difference*: `val_f1` of the trial less that of the {reference} (**{text(against)}**{why}), one run "
            f"each, with the same {images}. Above zero, the trial scores higher.\n"
            "- *verdict*: inconclusive for all trials. One run per trial says nothing about noise, so there are no "
            "intervals."
        )
    seeds = f"{len(records)} seeds, all with the same {images}"
    varied = "other seeds and other validation images, but the same training images"
    if have_own_images(records):
        seeds = f"{len(records)} seeds, each with its own {images} (the same for all trials)"
        varied = "other seeds and other training and validation images"
    return Markdown(
        f"- *difference*: mean `val_f1` of the trial less that of the {reference} (**{text(against)}**{why}). Above "
        f"zero, the trial scores higher. A mean is over {seeds}.\n"
        f"- *95 % interval*: in 95 % of repetitions with {varied}, all intervals of the stage contain the true "
        "differences. They differ in width where some trials vary more than others.\n"
        "- *verdict*: better if the whole interval is above zero, worse if it is below, else inconclusive. "
        "Inconclusive does not mean equal.\n"
        "- *seeds needed*: with so many seeds per trial, a true difference of this size would be found in 80 % of "
        "repetitions. *More images*: more seeds alone would not show it."
    )


def have_own_images(records: Sequence[Record]) -> bool:
    """Return whether the seeds of a trial have training and validation images of their own."""
    return len({record.split["digest"] for record in records}) > 1
