"""Pictures with their alt texts, and the style that all plots share."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from cnnlab.report.plots.labels import FONT, wrapped
from cnnlab.report.plots.svg import FONT_SIZE, PALETTE, clean
from cnnlab.report.tables import PLOT_TYPE, table

INK, SOFT, LINE = PALETTE["ink"], PALETTE["soft"], PALETTE["line"]
STYLE = {
    # Matplotlib's own defaults, in place of the user's settings. The rest of them is not about looks.
    **{
        setting: value
        for setting, value in mpl.rcParamsDefault.items()
        if not re.match(r"backend|date.epoch|docstring|figure.hooks|interactive|timezone|tk|toolbar|webagg", setting)
    },
    "font.family": [FONT],
    "font.size": FONT_SIZE,
    "svg.fonttype": "none",  # texts stay texts
    **dict.fromkeys(("figure.facecolor", "axes.facecolor"), "none"),
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    **{f"axes.spines.{side}": False for side in ("left", "right", "top", "bottom")},
    **dict.fromkeys(("xtick.major.size", "ytick.major.size"), 0),
    **dict.fromkeys(("xtick.major.pad", "ytick.major.pad"), 3),
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
}
WIDE, NARROW = 960, 350
"""Widths of a picture on a screen and on a phone, in CSS pixels."""
_LINE_HEIGHT = 16
FEW = 20
"""Most classes of a picture in which each class has a label and each pair of classes a number."""
SMALLEST_RANGE = 0.05
"""Of an axis of scores: a smaller one would make noise look large."""
DPI = 96
SHARPNESS = 2
"""Pixels of a picture for each pixel that it takes on the page."""


@dataclass(frozen=True)
class Picture:
    """A picture with its alt text and its numbers: PNG for Jupyter, SVG for the report.

    Attributes:
        png: Content of the PNG file.
        alt: What it shows, in words and numbers.
        width: Width in Jupyter, in CSS pixels.
        numbers: HTML table of the numbers that are drawn; "" for none.
        photo: Whether it shows images.
        html: `<figure>` with the SVG for a screen and the one for a phone; "" if there is only the PNG.
    """

    png: bytes
    alt: str
    width: int
    numbers: str = ""
    photo: bool = False
    html: str = ""

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Any:  # noqa: ARG002 - IPython's
        about = {"alt": self.alt, "width": self.width, "photo": self.photo}
        content = {"image/png": self.png, "text/plain": self.alt} | ({PLOT_TYPE: self.html} if self.html else {})
        return content, {"image/png": about}

    def _ipython_display_(self) -> None:
        # Not as one piece of HTML: Jupyter shows its pictures only after the reader has trusted the notebook.
        from IPython.display import HTML, display

        content, about = self._repr_mimebundle_()
        display(content, raw=True, metadata=about)
        if self.numbers:
            display(HTML(self.folded))

    @property
    def folded(self) -> str:
        """The numbers as HTML, folded away; "" if there are none."""
        return f'<details class="numbers"><summary>Numbers</summary>{self.numbers}</details>' if self.numbers else ""


class Canvas:
    """A figure with a caption at its foot. All places and sizes are CSS pixels, from the left upper corner."""

    def __init__(self, width: float, height: float, caption: str = "") -> None:
        """Make an empty figure with a caption below it, in as many lines as its width demands."""
        lines = wrapped(caption, width - 12)
        self.width, self.height = width, height + _LINE_HEIGHT * len(lines)
        self.figure = Figure(figsize=(self.width / DPI, self.height / DPI), dpi=DPI)
        for index, line in enumerate(lines):
            self.write(8, height + _LINE_HEIGHT * (index + 0.5), line)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Return new axes."""
        place = (left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height)
        return self.figure.add_axes(place)

    def write(self, left: float, top: float, text: str, **options: Any) -> None:
        """Write one line with its middle at a height."""
        place = left / self.width, 1 - top / self.height
        self.figure.text(*place, text, va="center", parse_math=False, **options)

    def write_upright(self, left: float, top: float, text: str) -> None:
        """Write one line upwards, with its middle at a height."""
        self.write(left, top, text, rotation=90, ha="center", rotation_mode="anchor")


def plot(
    draw: Callable[[int], Canvas],
    alt: str,
    numbers: Sequence[Mapping[str, Any]] | pd.DataFrame = (),
    formats: Mapping[str, str] | None = None,
    *,
    has_svg: bool = True,
) -> Picture:
    """Return a picture of data.

    Args:
        draw: Draws it, given the largest width: `WIDE` or `NARROW`.
        alt: What it shows, in words and numbers.
        numbers: Those that are drawn, as `table` takes them.
        formats: Of the numbers.
        has_svg: Whether the page gets it as SVG; False where that would be too large.
    """
    wide = draw(WIDE).figure
    figures = {"wide": wide, "narrow": draw(NARROW).figure} if has_svg else {}
    svgs = "".join(clean(_file(figure, "svg"), alt, kind) for kind, figure in figures.items())
    listed = table(numbers, formats).data if len(numbers) else ""
    html = f'<figure class="picture">{svgs}</figure>' if svgs else ""
    png, shown = _png(wide)
    return Picture(png, alt, shown, listed, html=html)


def photo(figure: Figure, alt: str) -> Picture:
    """Return a picture of images; `alt` says what they show."""
    png, width = _png(figure, bbox_inches="tight")
    return Picture(png, alt, width, photo=True)


def _png(figure: Figure, **options: Any) -> tuple[bytes, int]:
    raw = _file(figure, "png", dpi=DPI * SHARPNESS, facecolor="white", **options)
    image = Image.open(io.BytesIO(raw)).convert("RGB")
    small = io.BytesIO()
    # With a palette of 256 colours a chart's file is a third as large and looks the same.
    image.quantize(256, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue(), image.width // SHARPNESS


def _file(figure: Figure, form: str, **options: Any) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format=form, **options)
    return content.getvalue()
