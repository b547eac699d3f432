"""Comparisons and verdicts as tables and sentences."""

from collections.abc import Sequence

import numpy as np
from IPython.display import HTML

from cnnlab.evidence import Comparison
from cnnlab.report.tables import table


def comparison_text(comparison: Comparison) -> str:
    """Return a comparison as Markdown: difference, interval, verdict, and what a verdict would take."""
    if not comparison.has_interval:
        return f"{comparison.difference:+.3f}; **{comparison.verdict}**, because one run says nothing about noise."
    verdict = f"{comparison.difference:+.3f} (95 % interval {interval_text(comparison)}): **{comparison.verdict}**."
    return verdict if comparison.is_conclusive else f"{verdict} {_outlook(comparison)}"


def _outlook(comparison: Comparison) -> str:
    """Say what it takes to show a difference as large as that of an inconclusive comparison."""
    if comparison.difference == 0:
        return "The difference is 0, so more seeds would not help."
    needed = "more images, not only more seeds"
    if np.isfinite(comparison.seeds_needed):
        needed = f"{comparison.seeds_needed:.0f} seeds per trial"
    return f"To show a difference of {abs(comparison.difference):.3f} takes {needed}."


def comparison_table(comparisons: Sequence[Comparison], **labels: Sequence[str]) -> HTML:
    """Return comparisons as a table, after further columns of labels."""
    rows = [
        {
            **{name: column[index] for name, column in labels.items()},
            "trial": comparison.trial,
            "against": comparison.against,
            "difference": comparison.difference,
            "95 % interval": interval_text(comparison),
            "verdict": comparison.verdict,
            "seeds needed": _seeds_needed(comparison),
        }
        for index, comparison in enumerate(comparisons)
    ]
    return table(rows, {"difference": "+.3f"})


def _seeds_needed(comparison: Comparison) -> str:
    if np.isnan(comparison.seeds_needed) or comparison.difference == 0:
        return ""
    return "more images" if np.isinf(comparison.seeds_needed) else f"{comparison.seeds_needed:.0f}"


def interval_text(comparison: Comparison | None) -> str:
    """Return "-0.007 to +0.093", the interval of a comparison; "" if there is none."""
    if comparison is None or not comparison.has_interval:
        return ""
    return f"{comparison.low:+.3f} to {comparison.high:+.3f}"
