"""Tables and sentences about one stage. No sentence says more than its numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from IPython.display import HTML, Markdown

from cnnlab.evidence import Rule
from cnnlab.records import Record
from cnnlab.report import plots
from cnnlab.report.plots import Picture
from cnnlab.report.tables import mean_sd, table, text
from cnnlab.report.words.comparison import comparison_table, verdict
from cnnlab.study import StageTrial
from cnnlab.tuning import StageResult


def stage_intro(result: StageResult) -> Markdown:
    """Give a stage's heading, question and reason, and what is left out of it."""
    stage = result.stage
    skipped = (
        f"\n\nNot run in this profile, being 4 to 16 times as costly: {', '.join(result.skipped)}."
        if result.skipped
        else ""
    )
    dropped = "".join(
        f"\n- {text(one.name)}: `val_accuracy` {one.val_accuracy:.3f} "
        f"{f'after {one.epochs} epochs' if one.epochs else 'after a whole fit'}, where the best had {one.best:.3f}"
        for one in result.dropped
    )
    if dropped:
        dropped = f"\n\nDropped early, by successive halving on one seed; nothing more is known of them:\n{dropped}"
    return Markdown(f"# CNN-{stage.cnn}: {stage.title}\n\n**{stage.question}**\n\n{stage.why}{skipped}{dropped}")


def model_table(layers: Sequence[Mapping[str, str | int]]) -> HTML:
    """Return a model's layers with output shapes and parameters, and their sum."""
    total = {"layer": "total", "output": "", "params": sum(int(row["params"]) for row in layers)}
    return table([*layers, total], {"params": ",d"})


def model_picture(png: bytes, layers: Sequence[Mapping[str, str | int]]) -> Picture:
    """Return a visualkeras drawing with its text alternative."""
    from io import BytesIO

    from PIL import Image

    names = ", ".join(str(row["layer"]) for row in layers)
    return Picture(
        png, f"Drawing of the model, layer by layer: {names}.", Image.open(BytesIO(png)).width // plots.SHARPNESS
    )


def trial_table(result: StageResult) -> HTML:
    """Return the stage's trials with size, cost and scores; the selected one is marked."""
    rows = []
    for trial in result.trials:
        found = result.records(trial.name)
        mark = " (selected)" if trial.name == result.decision.selected else ""
        rows.append(
            {
                "trial": trial.name + mark,
                "incumbent": "yes" if trial.incumbent else "",
                **score_columns(found),
                "published F1": _published(trial),
            }
        )
    return table(rows, {"params": ",d", "epochs": ".1f", "seconds": ".1f"})


def _published(trial: StageTrial) -> str:
    """Return the published study's figure, with a star where its fit was not what it says."""
    fit = trial.published
    return f"{fit.test_f1:.3f}{'*' * bool(fit.changes)}" if fit else ""


def published_note(result: StageResult) -> Markdown:
    """Say how the published fits differ from our trials of the same name."""
    notes = [
        f"{text(fit.trial)}: {', '.join(f'{text(name)} {value}' for name, value in fit.changes.items())}"
        for fit in (trial.published for trial in result.trials)
        if fit and fit.changes
    ]
    about = "Published F1: macro-F1 on the published study's own test images, one run each."
    slips = f" \\* The study's fit was not what it says; it ran with {'; '.join(notes)}." if notes else ""
    return Markdown(about + slips)


def score_columns(found: Sequence[Record]) -> dict[str, Any]:
    """Return the columns that every table of trials has: size, cost, mean and SD of the scores."""
    return {
        "params": found[0].params,
        "runs": len(found),
        "epochs": float(np.mean([record.epochs for record in found])),
        "seconds": float(
            np.median([record.train_seconds for record in found])
        ),  # the first one may have traced the model
        "val_f1": mean_sd([record.scores["val_f1"] for record in found]),
        "test_f1": mean_sd([record.scores["test_f1"] for record in found]),
    }


def overfitting(result: StageResult) -> Markdown:
    """Say how far training and validation are apart in the selected trial, and what happened after the best epoch."""
    found = result.selected_records
    at_best = [record.best_epoch - 1 for record in found]
    train, val = (
        float(np.mean([record.history[name][epoch] for record, epoch in zip(found, at_best, strict=True)]))
        for name in ("accuracy", "val_accuracy")
    )
    gap = 100 * (train - val)
    rise = float(np.mean([r.history["val_loss"][-1] - min(r.history["val_loss"]) for r in found]))
    later = float(np.mean([record.epochs - record.best_epoch for record in found]))
    if gap > 5:
        reading = "the model fits the training images better than new ones: it overfits"
    elif gap < -5:
        reading = (
            "training accuracy is the lower one, being a mean over the epoch, with dropout and augmentation at work; "
            "no sign of overfitting"
        )
    else:
        reading = "little overfitting at that epoch, as far as a training accuracy averaged over the epoch can tell"
    after = (
        f" In the {later:.1f} epochs after it, `val_loss` ended {rise:.3f} above its lowest value."
        if later
        else " It was the last one: the fit may have had more to gain."
    )
    return Markdown(
        f"At the epoch with the lowest `val_loss`, training accuracy is {train:.3f} and validation accuracy {val:.3f} "
        f"(mean of {len(found)}), {abs(gap):.1f} points apart: {reading}.{after}"
    )


def decision(result: StageResult) -> Markdown:
    """Say what the stage hands on and why."""
    made = result.decision
    spread = "" if np.isnan(made.val_f1_se) else f" with a standard error of {made.val_f1_se:.3f}"
    lines = [
        f"**{text(made.selected)}** goes on: mean `val_f1` {made.val_f1_mean:.3f}{spread}, "
        f"{made.selected_params:,} parameters. Rule: {made.rule}."
    ]
    if made.selected != made.best:
        best = float(np.mean([record.scores["val_f1"] for record in result.records(made.best)]))
        lines.append(f"The best mean is that of {text(made.best)}, {best:.3f}.")
    if result.selected.incumbent and len(result.trials) > 1:
        lines.append("It is what the stage before handed on: this stage changes nothing.")
    if made.evidence:
        against = next(c for c in result.trials if c.name == made.evidence.against)
        name = "the incumbent" if against.incumbent else f"the best other trial, {text(against.name)}"
        lines.append(f"Against {name}: {verdict(made.evidence)}")
    fit = next((c.published for c in result.trials if c.published and c.name == made.published_choice), None)
    if fit and len(result.trials) > 1 and made.rule != Rule.PUBLISHED_CHOICE:
        agreement = "the same" if made.agrees else "another one"
        star = "*" if fit.changes else ""
        lines.append(f"The published study picked {text(fit.trial)} (test F1 {fit.test_f1:.3f}{star}): {agreement}.")
    return Markdown(" ".join(lines))


def evidence(result: StageResult) -> tuple[HTML | Markdown, Markdown]:
    """Return the selected trial's comparisons with all others, and how to read them."""
    if not result.decision.comparisons:
        return Markdown("There is one trial, so nothing to compare."), Markdown("")
    images = result.selected_records[0].split["val"]
    n_seeds = result.decision.n_seeds
    return comparison_table(result.decision.comparisons), Markdown(
        f"Differences of mean `val_f1` over {n_seeds} seed{'s' * (n_seeds > 1)} and {images:,} validation images. An "
        "interval is that of one comparison named in advance, over new seeds and new validation images, on the same "
        "training images; like the probability, it flatters a trial that was selected as the best of several. The "
        "verdict does not: it uses Holm's correction over all pairs of the stage's trials, for any of them might have "
        "come out best. Could have shown: what the difference had to exceed for a verdict. Seeds to settle: how many a "
        "trial would find a difference of this size in 80 % of repetitions."
    )
