"""Pictures with their alt texts, and the style that all plots share."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from cnnlab.report.tables import table

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#882255", "#999933")
"""Okabe and Ito's palette for colour-blind readers without yellow and black, then two colours of Tol's (muted)."""
INCUMBENT = "#333333"
"""The incumbent in every picture; the other trials of a stage take `COLOURS` in their order."""
INK = "#555555"
"""Lines that are no data."""
GREY = "#8a8a8a"
"""Inconclusive differences, and lines to compare with."""
STYLE: dict[str, Any] = {
    # Matplotlib's defaults, not the settings of a user (matplotlibrc). Its backend is not used.
    **{name: value for name, value in mpl.rcParamsDefault.items() if name != "backend"},
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
