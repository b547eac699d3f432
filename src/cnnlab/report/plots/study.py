"""Plots of the whole study."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from cnnlab.report.plots.picture import COLOURS, GREY, INK, STYLE, Picture, _figure, _picture, drawable
from cnnlab.tuning import StageResult


@mpl.rc_context(STYLE)
def path(results: Sequence[StageResult]) -> Picture:
    """Draw the selections, one row a stage.

    On the left, the macro-F1 of the selected trial: a dot a run and a line through the means, validation hollow and
    test filled. On the right, the evidence of each stage (`Decision.evidence`) with its interval: the selected trial
    less the incumbent, filled; or, where the incumbent was kept, the best other trial less the incumbent, hollow. Grey
    where it is inconclusive. In a stage without an incumbent, the first trial is the reference.
    """
    figure, axes = _figure(7.6, 1 + 0.33 * len(results), 1, 2, sharey=True)
    left, right = axes[0]
    selected = drawable((result.decision.selected for result in results), 26)
    stages = [f"{result.stage.name}: {trial}" for result, trial in zip(results, selected, strict=True)]
    left.set_yticks(range(len(results)), stages, parse_math=False)
    left.set_ylim(len(results) - 0.5, -0.5)
    _draw_scores(left, results)
    _draw_evidence(right, results)
    for axis in (left, right):
        axis.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
    rows, sentences = [], []
    for result in results:
        row = {"stage": result.stage.name, "selected": result.decision.selected}
        means = {part: _mean(result, part) for part in ("val_f1", "test_f1")}
        sentence = f"{row['stage']} {row['selected']}, test_f1 {means['test_f1']:.3f}"
        one = result.decision.evidence
        shown = {
            name: getattr(one, name, None) for name in ("trial", "against", "difference", "low", "high", "verdict")
        }
        if one and one.has_interval:
            interval = f"{one.difference:+z.3f} ({one.low:+z.3f} to {one.high:+z.3f})"
            sentence += f", {one.trial} less {one.against} {interval}, {one.verdict}"
        rows.append({**row, **means, **shown})
        sentences.append(sentence)
    formats = dict.fromkeys(("val_f1", "test_f1"), ".4f") | dict.fromkeys(("difference", "low", "high"), "+z.4f")
    return _picture(figure, f"The selected trials, stage by stage: {'; '.join(sentences)}.", rows, formats)


def _mean(result: StageResult, score: str) -> float:
    return float(np.mean([record.scores[score] for record in result.selected_records]))


def _draw_scores(axis: Axes, results: Sequence[StageResult]) -> None:
    for score, colour, face in (("val_f1", COLOURS[1], "white"), ("test_f1", COLOURS[0], COLOURS[0])):
        means = [_mean(result, score) for result in results]
        axis.plot(means, range(len(results)), color=colour, linewidth=1.4, label=score)
        for index, result in enumerate(results):
            runs = [record.scores[score] for record in result.selected_records]
            axis.plot(runs, [index] * len(runs), "o", color=colour, markerfacecolor=face, markersize=4, alpha=0.7)
    axis.set_xlabel("macro-F1\nof the selected trial")


def _draw_evidence(axis: Axes, results: Sequence[StageResult]) -> None:
    axis.axvline(0, color=INK, linewidth=1)
    for label, colour in (("conclusive", COLOURS[0]), ("inconclusive", GREY)):
        axis.plot([], [], color=colour, label=label)
    for index, result in enumerate(results):
        if one := result.decision.evidence:
            colour = COLOURS[0] if one.is_conclusive else GREY
            face = colour if one.trial == result.decision.selected else "white"
            axis.plot([one.low, one.high], [index, index], color=colour, linewidth=1.8)
            axis.plot(one.difference, index, "o", color=colour, markerfacecolor=face)
    axis.set_xlabel("val_f1 of the selected trial (filled) or the best\nother one (hollow), less that of the incumbent")
    axis.locator_params(axis="x", nbins=4)  # Matplotlib expects shorter labels than these
