"""Comparisons and verdicts as tables and sentences."""

from collections.abc import Sequence

import numpy as np
from IPython.display import HTML

from cnnlab.evidence import Comparison
from cnnlab.report.tables import table


def comparison_text(comparison: Comparison) -> str:
    """Return a comparison as Markdown: difference, interval, probability, verdict, and what could be shown."""
    verdict = f"Verdict: **{comparison.verdict}**"
    if not comparison.has_interval:
        return f"{comparison.difference:+.3f}. {verdict}, because one run per trial says nothing about noise."
    p = "below 1e-6" if comparison.p_adjusted < 1e-6 else f"= {comparison.p_adjusted:.2g}"
    outlook = f"Differences above {comparison.detectable_difference:.3f} would have been significant."
    if not comparison.is_conclusive:
        outlook += f" {_outlook(comparison)}"
    return (
        f"{comparison.difference:+.3f} (95 % interval {interval_text(comparison)}); the probability that a new run "
        f"scores higher than a new run of the other trial is {probability_text(comparison)}. "
        f"{verdict} (p {p} after Holm's correction). {outlook}"
    )


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
            "P(new run higher)": probability_text(comparison),
            "p (Holm)": comparison.p_adjusted,
            "verdict": comparison.verdict,
            "detectable difference": comparison.detectable_difference,
            "seeds needed": _seeds_needed(comparison),
        }
        for index, comparison in enumerate(comparisons)
    ]
    return table(rows, {"difference": "+.3f", "p (Holm)": ".2g", "detectable difference": ".3f"})


def _seeds_needed(comparison: Comparison) -> str:
    if np.isnan(comparison.seeds_needed) or comparison.difference == 0:
        return ""
    return "more images" if np.isinf(comparison.seeds_needed) else f"{comparison.seeds_needed:.0f}"


def probability_text(comparison: Comparison) -> str:
    """Return "0.82", the probability of a higher new run, or "above 0.99", since none is certain; "" if unknown."""
    if np.isnan(comparison.p_superiority):
        return ""
    if comparison.p_superiority > 0.99:
        return "above 0.99"
    return "below 0.01" if comparison.p_superiority < 0.01 else f"{comparison.p_superiority:.2f}"


def interval_text(comparison: Comparison | None) -> str:
    """Return "-0.007 to +0.093", the 95 % interval of a comparison; "" if there is none."""
    if comparison is None or not comparison.has_interval:
        return ""
    return f"{comparison.low:+.3f} to {comparison.high:+.3f}"
