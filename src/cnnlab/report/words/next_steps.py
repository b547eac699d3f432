"""What to do next, and the learning curve, as lists, tables and sentences."""

from collections.abc import Sequence
from html import escape

from IPython.display import HTML, Markdown

from cnnlab.report.tables import count
from cnnlab.report.words.comparison import comparison_text
from cnnlab.tuning import LearningCurve, NextStep
from cnnlab.tuning.advice.next_steps import NOTHING


def next_steps_list(steps: Sequence[NextStep]) -> HTML:
    """Return steps as a numbered list: each with its estimated time and its command."""
    if not steps:
        return HTML(f"<p>{NOTHING}</p>")
    items = (
        f"<li>{escape(step.what)} <em>({escape(step.cost)})</em><br><code>{escape(step.command)}</code></li>"
        for step in steps
    )
    return HTML(f"<ol>{''.join(items)}</ol>")


def learning_curve_summary(curve: LearningCurve | None) -> Markdown:
    """Return what the second half of the training images changed, or that this was not measured."""
    if curve is None:
        return Markdown(
            "There is no learning curve: it was skipped, or a quarter of the training images would be fewer images "
            "than classes."
        )
    half, full = curve.points[-2:]
    own = ""
    if curve.gain.has_interval:
        own = " The intervals of two points may overlap: the difference has one of its own."
    return Markdown(
        f"The mean `val_f1` of the final model with {count(full.images, 'training image')}, less that with "
        f"{half.images:,}: {comparison_text(curve.gain)}{own}"
    )
