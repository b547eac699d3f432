"""The plot of a joint search: its scores, proposal by proposal."""

from itertools import accumulate
from statistics import fmean

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from cnnlab.report.plots.picture import INK, LINE, SMALLEST_RANGE, SOFT, STYLE, WIDE, Canvas, Picture, plot
from cnnlab.report.plots.svg import PALETTE, mark
from cnnlab.study.fields import show_value
from cnnlab.tuning.search import QUASI_RANDOM, Proposal, SearchResult, Status


@mpl.rc_context(STYLE)
def search(result: SearchResult) -> Picture:
    """Draw the `val_f1` of each proposal of a search in order, the best so far, and the mean of the incumbent."""
    scored = [(row, row.val_f1) for row in result.ledger if row.val_f1 is not None]
    best = list(accumulate((score for _, score in scored), max))
    records = result.records(result.incumbent.name) if result.incumbent else []
    reference = fmean(record.scores["val_f1"] for record in records) if records else None
    values = [*(score for _, score in scored), *([reference] if reference is not None else [])] or [0.0]
    middle, half = (max(values) + min(values)) / 2, 0.56 * max(max(values) - min(values), SMALLEST_RANGE)

    def draw(width: int) -> Canvas:
        canvas = Canvas(width, 192, _caption(result))
        right = 96 if width == WIDE else 78
        axis = canvas.axes(44, 8, width - 44 - right, 156)
        axis.set_xlim(0.3, len(result.ledger) + 0.7)
        axis.set_ylim(middle - half, middle + half)
        axis.xaxis.set_major_locator(MaxNLocator(10 if width == WIDE else 5, integer=True, min_n_ticks=1))
        axis.yaxis.set_major_locator(MaxNLocator(5))
        axis.grid(False, axis="x")
        axis.spines["bottom"].set(visible=True, color=LINE)
        if reference is not None:
            text = mark(f"incumbent: mean val_f1 {reference:.3f} of its {len(records)} runs")
            axis.axhline(reference, color=INK, linewidth=1.1, linestyle=(0, (5, 3)), gid=text)
        if scored:
            places = [row.number for row, _ in scored]
            axis.step(places, best, where="post", color=PALETTE["c2"], linewidth=1.5, zorder=2)
        for row, score in scored:
            _dot(axis, row, score, is_winner=row is result.winner)
        _name_lines(axis, {"incumbent": reference, "best so far": best[-1] if best else None})
        return canvas

    return plot(
        draw,
        _alt(result, reference),
        [
            {"trial": row.number, "part": row.part, "val_f1": score, "best so far": top}
            for (row, score), top in zip(scored, best, strict=True)
        ],
        {"val_f1": ".4f", "best so far": ".4f"},
    )


def _dot(axis: Axes, row: Proposal, score: float, *, is_winner: bool) -> None:
    settings = "; ".join(f"{name} {show_value(value)}" for name, value in row.settings.items())
    note = f", {row.reason}" if row.status == Status.REPEATED else ", the winner" if is_winner else ""
    shape, colour = ("o", PALETTE["c0"]) if row.part == QUASI_RANDOM else ("s", PALETTE["c1"])
    if row.status == Status.REPEATED:
        colour = SOFT
    gid = mark(f"{row.name} ({row.part}{note}): val_f1 {score:.3f}; {settings}")
    size = 9.0 if is_winner else 5.6
    axis.plot(row.number, score, shape, color=colour, alpha=0.85, markersize=size, markeredgewidth=0, gid=gid, zorder=4)


def _name_lines(axis: Axes, lines: dict[str, float | None]) -> None:
    """Write the names of lines beside their ends, apart from one another."""
    low, high = axis.get_ylim()
    apart = 0.08 * (high - low)
    ends = sorted((end, name) for name, end in lines.items() if end is not None)
    push = max(0.0, apart - (ends[-1][0] - ends[0][0])) / 2 if len(ends) > 1 else 0.0
    for (end, name), shift in zip(ends, (-push, push), strict=False):
        place, offset = (1, end + shift), (6, 0)
        axis.annotate(
            name, place, offset, ("axes fraction", "data"), "offset points", va="center", color=INK,
            annotation_clip=False,
        )  # fmt: skip


def _caption(result: SearchResult) -> str:
    repeated = " Grey: equal to an earlier one." if result.count(Status.REPEATED) else ""
    seeds = "" if result.search.seeds == 1 else f", mean of {result.search.seeds} runs"
    return (
        f"val_f1 by proposal{seeds}. Circle: quasi-random. Square: of the oracle. Large: the "
        f"winner.{repeated} Dashed: mean of the incumbent's runs."
    )


def _alt(result: SearchResult, reference: float | None) -> str:
    parts = []
    for part in dict.fromkeys(row.part for row in result.proposals_run):
        scores = [row.val_f1 or 0.0 for row in result.proposals_run if row.part == part]
        parts.append(f"{len(scores)} of the part {part}, {min(scores):.3f} to {max(scores):.3f}")
    winner, incumbent = result.winner, "" if reference is None else f" Mean of the incumbent's runs: {reference:.3f}."
    best = f" The best one is {winner.name} with {winner.val_f1:.3f}." if winner else ""
    return f"val_f1 of the proposals of the search: {'; '.join(parts) or 'none was run'}.{best}{incumbent}"
