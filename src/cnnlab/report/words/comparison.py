"""Comparisons and verdicts as tables and sentences."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from IPython.display import HTML

from cnnlab.evidence import Comparison
from cnnlab.report.tables import table

COMPARISON_FORMATS = {"difference": "+z.3f"}
"""Formats of `comparison_columns`."""


def comparison_text(comparison: Comparison) -> str:
    """Return a comparison as Markdown: difference, interval, verdict, and how to reach one."""
    return f"{difference_text(comparison)}: **{comparison.verdict}**.{outlook(comparison)}"


def difference_text(comparison: Comparison) -> str:
    """Return "+0.043 (95 % interval -0.007 to +0.093)"; without the interval if there is none."""
    interval = f" (95 % interval {interval_text(comparison)})" if comparison.has_interval else ""
    return f"{comparison.difference:+z.3f}{interval}"


def outlook(comparison: Comparison) -> str:
    """Return why a comparison is inconclusive, or how to change that, as " A sentence."; "" if it is conclusive."""
    if comparison.is_conclusive:
        return ""
    if not comparison.has_interval:
        return " One run per trial says nothing about noise."
    if _is_zero(comparison):
        return " The difference is 0 to three decimals, so more seeds would hardly help."
    if np.isinf(comparison.seeds_needed):
        return f" More seeds alone cannot show a difference of {abs(comparison.difference):.3f}; use more images."
    return (
        f" If the true difference is {abs(comparison.difference):.3f}, {comparison.seeds_needed:.0f} seeds per trial "
        "would probably show it."
    )


def comparison_columns(comparison: Comparison) -> dict[str, Any]:
    """Return the columns that every table of comparisons has: difference, interval, verdict and seeds needed."""
    return {
        "difference": comparison.difference,
        "95 % interval": interval_text(comparison),
        "verdict": comparison.verdict,
        "seeds needed": _seeds_needed(comparison),
    }


def comparison_table(comparisons: Sequence[Comparison], **labels: Sequence[str]) -> HTML:
    """Return comparisons with different references as a table, after further columns of labels."""
    rows = [
        {
            **{name: column[index] for name, column in labels.items()},
            "trial": comparison.trial,
            "against": comparison.against,
            **comparison_columns(comparison),
        }
        for index, comparison in enumerate(comparisons)
    ]
    return table(rows, COMPARISON_FORMATS)


def _seeds_needed(comparison: Comparison) -> str:
    if np.isnan(comparison.seeds_needed) or _is_zero(comparison):
        return ""
    return "more images" if np.isinf(comparison.seeds_needed) else f"{comparison.seeds_needed:.0f}"


def _is_zero(comparison: Comparison) -> bool:
    """Return whether a difference is zero as it is shown."""
    return round(comparison.difference, 3) == 0


def interval_text(comparison: Comparison | None) -> str:
    """Return "-0.007 to +0.093", the interval of a comparison; "" if there is none."""
    if comparison is None or not comparison.has_interval:
        return ""
    return f"{comparison.low:+z.3f} to {comparison.high:+z.3f}"
