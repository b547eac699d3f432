"""Labels of pictures: names that any font can draw, and their widths."""

import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import accumulate
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from matplotlib.textpath import text_to_path

from cnnlab.report.tables import visible_name

FONT = "DejaVu Sans"
"""The usual font, which comes with Matplotlib. It is wide: a text that fits in it fits in the font of the page."""
_PIXEL = 96 / 72  # of CSS, in a point


def drawable(names: Iterable[str], most: int = 40) -> list[str]:
    """Return names as labels of a picture: on one line, and shortened in the middle to about `most` letters.

    Where the usual font lacks a letter, Matplotlib uses an installed font that has it, until the surrounding
    `mpl.rc_context` ends. Without such a font, the letter is escaped, as by Python's `ascii`.
    """
    return [_shorten(visible_name(name), most) for name in names]


def fitting(name: str, width: float, most: int = 60, **font: Any) -> str:
    """Return a name as a label of a picture, shortened to a width.

    Args:
        name: The name.
        width: Largest width, in CSS pixels.
        most: Most letters.
        font: Of the label, as `text_width` takes it.
    """
    [label] = drawable([name], most)
    while most > 3 and text_width(label, **font) > width:
        most -= 1
        [label] = drawable([name], most)
    return label


def text_width(text: str, size: float = 9, weight: str = "normal") -> float:
    """Return the width of a text in the usual font, in CSS pixels.

    Args:
        text: One line.
        size: Of the font, in points.
        weight: "normal" or "bold".
    """
    font = font_manager.FontProperties(size=size, weight=weight)
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]) * _PIXEL


def wrapped(text: str, width: float) -> list[str]:
    """Return a text as lines of at most a width, in CSS pixels, broken at spaces."""
    lines: list[str] = []
    for word in text.split():
        if lines and text_width(longer := f"{lines[-1]} {word}") <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


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
    regular.sort(key=lambda font: (font.name != FONT, "Sans" not in font.name))
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
