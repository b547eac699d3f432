"""Plots of the whole study."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np

from cnnlab.report.plots.picture import COLOURS, STYLE, UNSETTLED, Picture, _figure, _picture
from cnnlab.tuning import StageResult


@mpl.rc_context(STYLE)
def path(results: Sequence[StageResult]) -> Picture:
    """Draw the path of choices, a step a stage: the score of the model handed on, and what the choice rests on.

    On the left, a dot a run and a line through the means, validation hollow and test filled. On the right, with its
    interval, the difference of the trial that would change the model from the model that came in: filled where it was
    handed on, grey where it is inconclusive. Where no model came in, as on the colour images and under the
    published protocol, it is that of the trial handed on from the best other one.
    """
    rows: list[dict[str, Any]] = []
    for result in results:
        made, one = result.decision, result.decision.evidence
        found = result.records(made.selected)
        sign = -1 if result.selected.incumbent else 1
        pair = (made.selected, one.against)[::sign] if one else ("", "")
        low, high = sorted((sign * one.low, sign * one.high)) if one else (np.nan, np.nan)
        rows.append(
            {
                "stage": result.stage.name,
                "handed on": made.selected,
                **{name: float(np.mean([record.scores[name] for record in found])) for name in ("val_f1", "test_f1")},
                "trial": pair[0],
                "against": pair[1],
                "difference": sign * one.difference if one else np.nan,
                "low": low,
                "high": high,
                "verdict": made.verdict,
            }
        )
    figure, axes = _figure(7.6, 1 + 0.33 * len(rows), 1, 2, sharey=True, width_ratios=(1, 1))
    left, right = axes[0]
    for part, colour, face in (("val_f1", COLOURS[1], "white"), ("test_f1", COLOURS[0], COLOURS[0])):
        left.plot([row[part] for row in rows], range(len(rows)), color=colour, linewidth=1.4, label=part)
        for place, result in enumerate(results):
            of = [record.scores[part] for record in result.selected_records]
            left.plot(of, [place] * len(of), "o", color=colour, markerfacecolor=face, markersize=4, alpha=0.7)
    right.axvline(0, color="#555555", linewidth=1)
    for place, (row, result) in enumerate(zip(rows, results, strict=True)):
        colour = COLOURS[0] if result.decision.evidence and result.decision.evidence.is_conclusive else UNSETTLED
        right.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=1.8)
        right.plot(
            row["difference"],
            place,
            "o",
            color=colour,
            markerfacecolor="white" if result.selected.incumbent else colour,
        )
    left.set_yticks(
        range(len(rows)), [f"{row['stage']}: {_short(str(row['handed on']))}" for row in rows], parse_math=False
    )
    left.set_ylim(len(rows) - 0.5, -0.5)
    left.set_xlabel("macro-F1\nof the model handed on")
    left.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
    right.set_xlabel("difference of val_f1\nfrom what it is held against")
    right.locator_params(axis="x", nbins=4)  # Matplotlib reckons with shorter labels than these
    right.legend(
        handles=[
            mpl.lines.Line2D([], [], color=COLOURS[0], label="distinguishable"),
            mpl.lines.Line2D([], [], color=UNSETTLED, label="not"),
        ],
        ncols=2,
        loc="lower center",
        bbox_to_anchor=(0.5, 1),
    )
    listed = []
    for row in rows:
        said = f"{row['stage']} {row['handed on']}, test_f1 {row['test_f1']:.3f}"
        if not np.isnan(row["low"]):
            interval = f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
            said += f", {row['trial']} less {row['against']} {interval}, {row['verdict']}"
        listed.append(said)
    return _picture(
        figure,
        f"The path of choices: {'; '.join(listed)}.",
        rows,
        {**dict.fromkeys(("val_f1", "test_f1"), ".4f"), **dict.fromkeys(("difference", "low", "high"), "+.4f")},
    )


def _short(name: str) -> str:
    return name if len(name) <= 26 else f"{name[:25]}…"
