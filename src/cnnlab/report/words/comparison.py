"""Comparisons and verdicts as tables and sentences."""

from collections.abc import Mapping, Sequence

import numpy as np
from IPython.display import HTML

from cnnlab.evidence import Comparison
from cnnlab.report.tables import table


def verdict(comparison: Comparison) -> str:
    """Return a comparison as Markdown: difference, interval, probability, verdict, and what could have been shown."""
    if np.isnan(comparison.low):
        return f"{comparison.difference:+.3f}, **{comparison.verdict}**: one run of each says nothing about noise."
    said = (
        f"{comparison.difference:+.3f} (95 % interval {interval(comparison)}); a new run of "
        f"it scores higher with a probability {chance(comparison)}. Verdict: **{comparison.verdict}** "
        f"(p {'below 1e-6' if comparison.p_adjusted < 1e-6 else f'= {comparison.p_adjusted:.2g}'} after Holm's correction). "
    )
    if comparison.is_conclusive:
        return said + f"Anything above {comparison.detectable_difference:.3f} would have been enough."
    return said + (
        f"The smallest difference that these runs could have shown is {comparison.detectable_difference:.3f}; {seeds(comparison)}."
    )


def seeds(comparison: Comparison) -> str:
    """Say how many seeds would settle a comparison that is not settled."""
    if comparison.difference == 0:
        return "there is no difference that more seeds could settle"
    if np.isinf(comparison.seeds_needed):
        return f"to settle one of {abs(comparison.difference):.3f}, more seeds alone will not do: it takes more images"
    return f"to settle one of {abs(comparison.difference):.3f}, it takes {comparison.seeds_needed:.0f} seeds a trial"


def comparison_table(comparisons: Sequence[Comparison], labels: Mapping[str, Sequence[str]] | None = None) -> HTML:
    """Return comparisons as a table, after further columns of labels."""
    rows = []
    for place, one in enumerate(comparisons):
        known = not np.isnan(one.low)
        rows.append(
            {
                **{name: column[place] for name, column in (labels or {}).items()},
                "trial": one.trial,
                "against": one.against,
                "difference": one.difference,
                "95 % interval": interval(one),
                "P(new run higher)": chance(one).removeprefix("of "),
                "p (Holm)": one.p_adjusted,
                "verdict": one.verdict,
                "could have shown": one.detectable_difference,
                "seeds to settle": ""
                if not known or np.isnan(one.seeds_needed) or one.difference == 0
                else "more images"
                if np.isinf(one.seeds_needed)
                else f"{one.seeds_needed:.0f}",
            }
        )
    formats = {"difference": "+.3f", "p (Holm)": ".2g", "could have shown": ".3f"}
    return table(rows, formats)


def chance(comparison: Comparison) -> str:
    """Return "of 0.82", a comparison's probability, or "above 0.99": none is certain; "" where there is none."""
    if np.isnan(comparison.p_superiority):
        return ""
    if comparison.p_superiority > 0.99:
        return "above 0.99"
    return "below 0.01" if comparison.p_superiority < 0.01 else f"of {comparison.p_superiority:.2f}"


def interval(comparison: Comparison | None) -> str:
    """Return "-0.007 to +0.093", a comparison's 95 % interval; "" where there is none."""
    if comparison is None or np.isnan(comparison.low):
        return ""
    return f"{comparison.low:+.3f} to {comparison.high:+.3f}"
