"""From the published study's mistakes to what is said of them: what each was, and what it cost."""

from collections.abc import Mapping, Sequence

import numpy as np
from IPython.display import HTML, Markdown

from cnnlab import study
from cnnlab.data import Dataset, Split
from cnnlab.evidence import Comparison
from cnnlab.models import scramble_channels
from cnnlab.report import plots
from cnnlab.report.plots import Picture
from cnnlab.report.tables import table, text
from cnnlab.report.words.comparison import comparison_table, verdict
from cnnlab.report.words.stage import score_columns
from cnnlab.study import MISTAKES
from cnnlab.tuning import MistakeResult, Tuning


def intro(tuning: Tuning) -> Markdown:
    """Say in which model the mistakes are made."""
    trial, profile = study.mistake_model(tuning.profile), tuning.profile
    filters = "-".join(map(str, trial.architecture.filters))
    said = [
        f"The model: the published study's CNN-8 as it was meant, filters {filters}"
        f"{'' if profile.expensive else ' (half of its own, to suit a CPU)'}, {trial.training.optimizer} at "
        f"{trial.training.learning_rate:g} (the rate that had scored highest), batch size {trial.training.batch_size}, "
        f"run by the corrected protocol, at most {profile.epochs} epochs. A positive difference is what the mistake "
        "cost, in macro-F1 on the test images; no choice is made by it. Each mistake is judged by itself, at 5 %."
    ]
    if profile.epochs < 50:
        said.append(
            "With so few epochs, early stopping hardly ever stops a fit, and what needs time to show cannot: the "
            "last weights are mostly the best ones."
        )
    if tuning.images.folder.colour is None:
        said.append("The colour mistakes are left out: there are no colour images.")
    return Markdown(" ".join(said))


def heading(found: MistakeResult) -> Markdown:
    """Give a mistake's heading and what it was."""
    return Markdown(f"## {found.mistake.title}\n\n{found.mistake.what}")


def mistake_table(found: MistakeResult) -> HTML:
    """Return the trials of a mistake, the one without it first."""
    rows = [{"model": name, **score_columns(records)} for name, records in found.records_by_trial.items()]
    return table(rows, {"params": ",d", "epochs": ".1f", "seconds": ".1f"})


def verdicts(found: MistakeResult) -> Markdown:
    """Say what a mistake cost."""
    return Markdown(
        "\n\n".join(
            f"**{text(c.trial)}** against **{text(c.against)}**, `test_f1`: {verdict(c)}" for c in found.effects
        )
    )


def cost_table(found: Sequence[MistakeResult]) -> HTML:
    """Return what each mistake cost, one row a mistake."""
    costs = [(cost, result.mistake.name) for result in found for cost in result.effects]
    return comparison_table([cost for cost, _ in costs], {"mistake": [name for _, name in costs]})


def costs(found: Sequence[MistakeResult]) -> Picture:
    """Draw what each mistake cost."""
    labelled: Mapping[str, Comparison] = {
        f"{result.mistake.name}: {cost.against}": cost for result in found for cost in result.effects
    }
    return plots.differences(labelled, "test_f1, without the mistake less with it")


def no_cost() -> Markdown:
    """List the mistakes that change no result."""
    return Markdown("\n".join(f"- **{mistake.title}.** {mistake.what}" for mistake in MISTAKES if not mistake.trials))


def layouts(dataset: Dataset, split: Split) -> Picture:
    """Show training images as they are and, below, as the published study's networks saw them."""
    shown = dataset.train_images[split.train[:8]]
    scrambled = scramble_channels(shown)
    names = [dataset.class_names[label] for label in dataset.train_labels[split.train[:8]]]
    return plots.images(
        np.concatenate([shown, scrambled]),
        [*names, *["scrambled"] * len(names)],
        f"Eight colour images ({', '.join(names)}), and below them what a reshape without a transpose makes of each: "
        "nine small, nearly gray copies.",
        columns=len(names),
    )
