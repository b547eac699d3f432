"""Pictures with their alt texts, and the style that all plots share."""

import io
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib import font_manager
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from PIL import Image

from cnnlab.report.tables import table, visible_name

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#882255", "#999933")
"""Okabe and Ito's palette for colour-blind readers without yellow and black, then two colours of Tol's (muted)."""
INCUMBENT = "#333333"
"""The incumbent in every picture; the other trials of a stage take `COLOURS` in their order."""
INK = "#555555"
"""Lines that are no data."""
GREY = "#8a8a8a"
"""Inconclusive differences, and lines to compare with."""
_FONT = "DejaVu Sans"  # comes with Matplotlib
STYLE = {
    # Matplotlib's own defaults, in place of the user's settings. The rest of them is not about looks.
    **{
        setting: value
        for setting, value in mpl.rcParamsDefault.items()
        if not re.match(r"backend|date.epoch|docstring|figure.hooks|interactive|timezone|tk|toolbar|webagg", setting)
    },
    "font.family": [_FONT],
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "savefig.bbox": "tight",
}
FEW = 20
"""Most classes of a picture in which each class has a label and each pair of classes a number."""
_LABELS = 60  # for which an axis of a large picture has room
DPI = 96
SHARPNESS = 2
"""Pixels of a picture for each pixel that it takes on the page."""


@dataclass(frozen=True)
class Picture:
    """A PNG picture with its alt text and its numbers, shown by Jupyter and by the report.

    Attributes:
        png: Content of the file.
        alt: What it shows, in words and numbers.
        width: Width on the page, in pixels.
        numbers: HTML table of the numbers that are drawn; "" for none.
        photo: Whether it shows images: a dark page inverts other pictures.
    """

    png: bytes
    alt: str
    width: int
    numbers: str = ""
    photo: bool = False

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Any:  # noqa: ARG002 - IPython's
        about = {"alt": self.alt, "width": self.width, "photo": self.photo}
        return {"image/png": self.png, "text/plain": self.alt}, {"image/png": about}

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


def _picture(
    figure: Figure,
    alt: str,
    numbers: Sequence[Mapping[str, Any]] | pd.DataFrame = (),
    formats: Mapping[str, str] | None = None,
    *,
    photo: bool = False,
) -> Picture:
    raw = io.BytesIO()
    figure.savefig(raw, format="png", dpi=DPI * SHARPNESS, facecolor="white")
    image = Image.open(raw).convert("RGB")
    small = io.BytesIO()
    # With a palette of 256 colours a chart's file is a third as large and looks the same.
    image.quantize(256, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    listed = table(numbers, formats).data if len(numbers) else ""
    return Picture(small.getvalue(), alt, image.width // SHARPNESS, listed, photo)


def _figure(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def drawable(names: Iterable[str], most: int = 40) -> list[str]:
    """Return names as labels of a picture: on one line, and shortened in the middle to about `most` letters.

    Where the usual font lacks a letter, Matplotlib uses an installed font that has it, until the surrounding
    `mpl.rc_context` ends. Without such a font, the letter is escaped, as by Python's `ascii`.
    """
    return [_shorten(visible_name(name), most) for name in names]


def _shorten(name: str, most: int) -> str:
    drawn = list(map(_drawn, name))
    if sum(map(_width, drawn)) <= most:
        return "".join(drawn)
    first = _fitting(drawn, most // 2)
    last = _fitting(drawn[::-1], most - sum(map(_width, first)) - 1)
    return "".join([*first, "\N{HORIZONTAL ELLIPSIS}", *last[::-1]])


def _fitting(letters: Sequence[str], width: int) -> list[str]:
    """Return the first letters, as many as fit into a width."""
    return [letter for letter, end in zip(letters, accumulate(map(_width, letters)), strict=True) if end <= width]


def _width(letter: str) -> int:
    """Return the width of a letter or an escape, in letters of the usual width."""
    return 2 if len(letter) == 1 and unicodedata.east_asian_width(letter) in "WF" else len(letter)


def label_classes(axis: Axis, names: Sequence[str], rotation: float) -> None:
    """Label the classes on an axis of a large picture. Where there is no room for all, label every second or third.

    Args:
        axis: The axis.
        names: Labels of all classes, from `drawable`.
        rotation: Of the labels, in degrees.
    """
    step = -(-len(names) // _LABELS)
    axis.set_ticks(range(0, len(names), step), names[::step], rotation=rotation, fontsize=7, parse_math=False)


def _drawn(letter: str) -> str:
    """Return a letter, and make Matplotlib use a font that has it; return its escape if no font has it."""
    if letter.isprintable() and (family := _family_with(letter)):
        if family not in mpl.rcParams["font.family"]:
            mpl.rcParams["font.family"] = [*mpl.rcParams["font.family"], family]
        return letter
    if unicodedata.category(letter) in ("Cf", "Mn"):  # these only arrange or accent others
        return ""
    return letter.encode("unicode_escape").decode()


@cache
def _family_with(letter: str) -> str:
    """Return an installed family of fonts that has a letter, if possible the usual one; "" if there is none."""
    return next((family for family, path in _families().items() if ord(letter) in _letters(path)), "")


@cache
def _families() -> dict[str, str]:
    """Return the file of the regular font of each installed family that has one, the usual family first."""
    regular = [
        font
        for font in font_manager.fontManager.ttflist
        if (font.style, font.variant, font.stretch) == ("normal",) * 3
        and font.weight in (400, "normal", "regular")
        and "Last Resort" not in font.name  # Matplotlib's own, with a box for every letter
    ]
    regular.sort(key=lambda font: (font.name != _FONT, "Sans" not in font.name))
    families: dict[str, str] = {}
    for font in regular:
        families.setdefault(font.name, font.fname)
    return families


@cache
def _letters(path: str) -> frozenset[int]:
    """Return the letters that Matplotlib can draw with a font; none if its letters are pictures."""
    try:
        font = FT2Font(path)
        return frozenset(font.get_charmap()) if font.scalable else frozenset()
    except (OSError, RuntimeError):  # missing or damaged
        return frozenset()
