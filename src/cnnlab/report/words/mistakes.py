"""Tables and sentences about the published study's mistakes and their effects."""

from collections.abc import Sequence
from typing import cast

import numpy as np
from IPython.display import HTML, Markdown
from markupsafe import Markup

from cnnlab.data import Dataset, Split
from cnnlab.models import scramble_channels
from cnnlab.report import plots
from cnnlab.report.plots import Picture
from cnnlab.report.tables import count, remark, table, trial_cell, verdict_cell
from cnnlab.report.words.comparison import difference_cell
from cnnlab.report.words.stage import SCORE_FORMATS, score_columns
from cnnlab.study import Architecture, Mistake, built_in, mistake_model
from cnnlab.tuning import MistakeResult, Tuning, have_same_runs


def mistakes_intro(tuning: Tuning) -> Markdown:
    """Return which model is run with and without each mistake, and what this budget cannot show."""
    budget = tuning.budget
    trial = mistake_model(budget)
    model = cast(Architecture, trial.architecture)
    half = "" if budget.expensive else " (half of the study's, to suit a CPU)"
    lines = [
        "The model is CNN-8 of the published study as intended, with filters "
        f"{'-'.join(map(str, model.filters))}{half}, {count(model.convs_per_block, 'convolution')} per block, batch "
        f"normalisation, dropout, {trial.training.optimizer}, learning rate "
        f"{trial.training.learning_rate:g}, batch size {trial.training.batch_size} and at most "
        f"{count(budget.epochs, 'epoch')}."
    ]
    if budget.epochs < 50:
        lines.append("With so few epochs, early stopping rarely stops a fit, and slow effects cannot show.")
    if budget.seeds > 1:
        images = "test images"
        if budget.splits == "resampled":
            images = (
                "training and test images" if tuning.images.has_given_val else "training, validation and test images"
            )
        lines.append(f"The intervals cover other seeds and other {images}; they hold together within a mistake only.")
    if tuning.images.folder.colour is None:
        lines.append("Mistakes with colour images are skipped, because there are no colour images.")
    return Markdown(" ".join(lines))


def mistakes_table(results: Sequence[MistakeResult]) -> HTML:
    """Return what each mistake is, and its effect on `test_f1`: one row per trial with the mistake."""
    rows = []
    for result in results:
        for index, effect in enumerate(result.effects):
            runs = [result.records_by_trial[name] for name in (effect.trial, effect.against)]
            is_same = have_same_runs(*runs)
            rows.append(
                {
                    "mistake": _mistake_cell(result.mistake, is_described=index == 0),
                    "with it": trial_cell(effect.trial),
                    "without it": trial_cell(effect.against),
                    "difference": remark("the same runs in this budget") if is_same else difference_cell(effect),
                    "verdict": "" if is_same else verdict_cell(effect.verdict),
                }
            )
    rows += [
        {"mistake": _mistake_cell(mistake), "difference": remark("changes no result")}
        for mistake in built_in().mistakes
        if not mistake.trials
    ]
    return table(rows)


def _mistake_cell(mistake: Mistake, *, is_described: bool = True) -> Markup:
    title = Markup("<strong>{}</strong>").format(mistake.title)
    return title + Markup(' <span class="about">{}</span>').format(mistake.description) if is_described else title


def mistake_trials_table(result: MistakeResult) -> HTML:
    """Return the trials of a mistake, first the one without it."""
    rows = [{"trial": name, **score_columns(records)} for name, records in result.records_by_trial.items()]
    return table(rows, SCORE_FORMATS)


def mistake_effects_plot(results: Sequence[MistakeResult]) -> Picture | Markdown:
    """Return a plot of the effects of all mistakes, or how to run them where none is."""
    if not results:
        return Markdown(
            "No mistakes are run here: they are those of the published study with the corrected protocol, and `STAGES` "
            '(in a notebook, `"stages"` in `budget`) must name `mistakes`.'
        )
    effects = {
        f"{result.mistake.title}{f': {effect.trial}' if len(result.effects) > 1 else ''}": effect
        for result in results
        for effect in result.effects
    }
    return plots.differences(effects, "mean test_f1 with the mistake, less that without it")


def scrambled_images(dataset: Dataset, split: Split) -> Picture:
    """Return training images and, below them, what the published study's networks were shown."""
    indices = split.train[:8]
    images, names = dataset.train_images[indices], [dataset.class_names[i] for i in dataset.train_labels[indices]]
    return plots.images(
        np.concatenate([images, scramble_channels(images)]),
        [*names, *["scrambled"] * len(names)],
        f"Eight colour images ({', '.join(names)}). Below each, what a reshape without a transpose makes of it: nine "
        "small, nearly gray copies.",
        columns=len(names),
    )
