"""Comparisons and verdicts as cells of tables and as sentences."""

import numpy as np

from cnnlab.evidence import Comparison
from cnnlab.report.tables import interval_end, text


def quoted(name: str) -> str:
    """Return the name of a trial as Markdown in a sentence: in quotes, because names such as none read oddly."""
    return f"“{text(name)}”"


def comparison_text(comparison: Comparison) -> str:
    """Return a comparison as Markdown: difference, interval, verdict, and how to reach one."""
    return f"{difference_text(comparison)}: **{comparison.verdict}**{outlook(comparison)}."


def difference_text(comparison: Comparison) -> str:
    """Return "+0.043 (95 % interval -0.007 to +0.093)"; without the interval if there is none."""
    interval = f" (95 % interval {interval_text(comparison)})" if comparison.has_interval else ""
    return f"{comparison.difference:+z.3f}{interval}"


def outlook(comparison: Comparison) -> str:
    """Return why a comparison is inconclusive, or how to change that, as "; a clause"; "" if it is conclusive."""
    if comparison.is_conclusive:
        return ""
    if not comparison.has_interval:
        return "; one run per trial says nothing about noise"
    if _is_zero(comparison):
        return "; more seeds would hardly help, because the difference is 0 to three decimals"
    if np.isinf(comparison.seeds_needed):
        return "; more seeds alone cannot show a difference of this size, so use more images"
    return f"; {comparison.seeds_needed:.0f} seeds per trial would probably show a true difference of this size"


def difference_cell(comparison: Comparison) -> str:
    """Return "+0.043 (-0.007 to +0.093)", a difference with its interval, for a table."""
    interval = f" ({interval_text(comparison)})" if comparison.has_interval else ""
    return f"{comparison.difference:+z.3f}{interval}"


def seeds_needed(comparison: Comparison) -> str:
    """Return how many seeds an inconclusive comparison needs, or "more images"; "" where neither would help."""
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
    return f"{interval_end(comparison.low)} to {interval_end(comparison.high)}"
