"""The plot of which settings matter, a row for each setting."""

from collections.abc import Mapping

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from cnnlab.evidence import Importance, SettingImportance
from cnnlab.report.plots.labels import fitting, text_width
from cnnlab.report.plots.picture import INK, SOFT, STYLE, WIDE, Canvas, Picture, plot
from cnnlab.report.plots.svg import PALETTE, mark

_SMALLEST_RANGE = 0.01
"""Of the axis, in `val_f1`: a smaller one would make noise look large."""
_CAPTION = (
    "How much the error of the predicted val_f1 rises when a setting's values are shuffled. Tick: mean. Bar: 95 % "
    "interval of this setting alone, for other configurations. Dashed: noise floor. Grey: no importance shown, because "
)


@mpl.rc_context(STYLE)
def importance(made: Importance) -> Picture:
    """Draw how much each setting matters, the most important first, with 95 % intervals and the noise floor.

    Settings that are not shown to matter are grey.
    """
    caption = _CAPTION + (
        "the mean is not above the noise floor." if made.r2 > 0 else "the forest predicts no better than the mean."
    )
    low = min(0.0, *(one.low for one in made.settings))
    high = max(made.floor, _SMALLEST_RANGE, *(one.high for one in made.settings))
    margin = 0.03 * (high - low)

    def draw(width: int) -> Canvas:
        wide = width == WIDE
        row, middle, top = (28, 14, 0) if wide else (42, 29, 18)  # a narrow picture has each label above its row
        labels = [fitting(one.setting, 330 if wide else width - 16) for one in made.settings]
        left = max(map(text_width, labels)) + 24 if wide else 22
        canvas = Canvas(width, row * len(labels) + 24, caption)
        axis = canvas.axes(left, 0, width - left - 22, row * len(labels))
        axis.set_xlim(low - margin, high + margin)
        axis.set_ylim(row * len(labels), 0)
        axis.set_yticks([])
        axis.xaxis.set_major_locator(MaxNLocator(8 if wide else 4))
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:+z.3g}" if value else "0")
        for value, gid, line in ((0.0, None, "solid"), (made.floor, mark(_floor(made)), (0, (3, 2)))):
            for number in range(len(labels)):
                ends = [row * number + top, row * (number + 1)]
                axis.plot([value] * 2, ends, color=INK, linewidth=0.9, linestyle=line, gid=gid, zorder=2)
        for number, (label, one) in enumerate(zip(labels, made.settings, strict=True)):
            canvas.write(8, row * number + (14 if wide else 12), label)
            _draw(axis, row * number + middle, one)
        return canvas

    ranked = "; ".join(_text(one) for one in made.settings)
    return plot(
        draw,
        f"Importance of each setting with 95 % intervals: {ranked}. {_floor(made).capitalize()}.",
        [_row(one) for one in made.settings],
        dict.fromkeys(("importance", "low", "high"), "+z.4f"),
    )


def _draw(axis: Axes, height: float, one: SettingImportance) -> None:
    colour, gid = PALETTE["c0"] if one.is_shown else SOFT, mark(_text(one))
    place, width = (one.low, height - 4), one.high - one.low
    axis.add_patch(Rectangle(place, width, 8, facecolor=colour, alpha=0.3, gid=gid, zorder=3))
    ends = [height - 8, height + 8]
    axis.plot([one.mean] * 2, ends, color=colour, linewidth=2.2, solid_capstyle="butt", gid=gid, zorder=5)


def _floor(made: Importance) -> str:
    return f"noise floor {made.floor:.4f}"


def _text(one: SettingImportance) -> str:
    shown = "" if one.is_shown else ", no importance shown"
    return f"{one.setting} {one.mean:+z.4f} ({one.low:+z.4f} to {one.high:+z.4f}){shown}"


def _row(one: SettingImportance) -> Mapping[str, object]:
    return {
        "setting": one.setting, "importance": one.mean, "low": one.low, "high": one.high,
        "shown": "yes" if one.is_shown else "no",
    }  # fmt: skip
