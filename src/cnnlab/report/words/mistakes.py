"""Tables and sentences about the published study's mistakes and their effects."""

from collections.abc import Sequence
from typing import cast

import numpy as np
from IPython.display import HTML, Markdown

from cnnlab.data import Dataset, Split
from cnnlab.models import scramble_channels
from cnnlab.report import plots
from cnnlab.report.plots import Picture
from cnnlab.report.tables import count, table, text
from cnnlab.report.words.comparison import COMPARISON_FORMATS, comparison_columns, comparison_text
from cnnlab.report.words.stage import SCORE_FORMATS, score_columns
from cnnlab.study import Architecture, built_in, mistake_model
from cnnlab.tuning import MistakeResult, Tuning, have_same_runs


def mistakes_intro(tuning: Tuning) -> Markdown:
    """Return which model is run with and without each mistake, and what this budget cannot show."""
    budget = tuning.budget
    trial = mistake_model(budget)
    model = cast(Architecture, trial.architecture)
    half = "" if budget.expensive else " (half of the study's, to suit a CPU)"
    lines = [
        f"The model is the published study's CNN-8 as intended: filters "
        f"{'-'.join(map(str, model.filters))}{half}, {trial.training.optimizer} with a learning rate of "
        f"{trial.training.learning_rate:g} (the rate with the highest published score), batch size "
        f"{trial.training.batch_size}, corrected protocol, at most {count(budget.epochs, 'epoch')}."
    ]
    if budget.epochs < 50:
        lines.append(
            "With so few epochs, early stopping rarely stops a fit, the last weights are mostly the best, and slow "
            "effects cannot show."
        )
    if budget.seeds > 1:
        images = "training, validation and test images" if budget.splits == "resampled" else "test images"
        lines.append(f"The intervals cover other seeds and other {images}.")
    if tuning.images.folder.colour is None:
        lines.append("The mistakes with colour images are skipped, because there are no colour images.")
    return Markdown(" ".join(lines))


def mistake_heading(result: MistakeResult) -> Markdown:
    """Return a mistake's heading and what the study did."""
    return Markdown(f"## {result.mistake.title}\n\n{result.mistake.description}")


def mistake_trials_table(result: MistakeResult) -> HTML:
    """Return the trials of a mistake, first the one without it."""
    rows = [{"trial": name, **score_columns(records)} for name, records in result.records_by_trial.items()]
    return table(rows, SCORE_FORMATS)


def mistake_verdicts(result: MistakeResult) -> Markdown:
    """Return the effects of a mistake as sentences."""
    runs = result.records_by_trial
    return Markdown(
        "\n\n".join(
            f"`test_f1` with the mistake (**{text(effect.trial)}**) less that without it (**{text(effect.against)}**): "
            + (
                "the runs of both are the same in this budget, so it shows no effect."
                if have_same_runs(runs[effect.trial], runs[effect.against])
                else comparison_text(effect)
            )
            for effect in result.effects
        )
    )


def mistake_effects_table(results: Sequence[MistakeResult]) -> HTML:
    """Return the effects of all mistakes, one row per trial with a mistake."""
    rows = [
        {
            "mistake": result.mistake.name,
            "with it": effect.trial,
            "without it": effect.against,
            **comparison_columns(effect),
        }
        for result in results
        for effect in result.effects
    ]
    return table(rows, COMPARISON_FORMATS)


def mistake_effects_plot(results: Sequence[MistakeResult]) -> Picture:
    """Return a plot of the effects of all mistakes."""
    effects = {f"{result.mistake.name}: {effect.trial}": effect for result in results for effect in result.effects}
    return plots.differences(effects, "mean test_f1 with the mistake, less that without it")


def mistakes_without_effect() -> Markdown:
    """Return a list of the mistakes that change no result."""
    return Markdown(
        "\n".join(
            f"- **{mistake.title}.** {mistake.description}" for mistake in built_in().mistakes if not mistake.trials
        )
    )


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
