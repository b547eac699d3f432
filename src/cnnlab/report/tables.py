"""Tables as HTML, numbers and names as text, and the type of a plot: the same wherever they are shown."""

import html
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML
from markupsafe import Markup

NOTHING = "-"
PLOT_TYPE = "application/vnd.cnnlab.plot+html"
"""MIME type of a plot as the page shows it; Jupyter shows its PNG."""
CLASSES = ("cnnlab", "tex2jax_ignore", "mathjax_ignore")
"""HTML classes of a table. The last two keep Jupyter from reading a name between two $ as mathematics."""


def table(rows: Sequence[Mapping[str, Any]] | pd.DataFrame, formats: Mapping[str, str] | None = None) -> HTML:
    """Return a table as HTML. Missing values are shown as a dash; everything but `Markup` is escaped.

    Args:
        rows: One mapping per row, of column names to values.
        formats: Column name to the format specification of its numbers, as ".3f".
    """
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows, dtype=object)
    # A list, not a mapping by name: columns named after classes may share a name.
    formatters: list[Callable[[Any], str]] = [partial(_cell, (formats or {}).get(str(name), "")) for name in frame]
    # As objects, because a column of strings would lose that some are markup. pandas would show None as "None".
    shown = (
        frame.astype(object).fillna(np.nan).set_axis([html.escape(str(name), quote=False) for name in frame], axis=1)
    )
    content = shown.to_html(formatters=formatters, na_rep=NOTHING, index=False, border=0, classes=CLASSES, escape=False)
    if not any(isinstance(value, int | float | np.number) for value in frame.to_numpy(object).flat if value == value):
        # Jupyter aligns all cells to the right. The page removes the style and has its own.
        content = content.replace("text-align: right", "text-align: left")
        content = content.replace("<td>", '<td style="text-align: left">')
    return HTML(content)


def _cell(form: str, value: Any) -> str:
    if value == "":
        return NOTHING
    if isinstance(value, int | float | np.number):
        return format(value, form)
    return value if isinstance(value, Markup) else html.escape(str(value), quote=False)


def trial_cell(name: str, colour: str = "") -> Markup:
    """Return a trial's name as a cell, with its colour in the stage's pictures (as `plots.colours` returns it)."""
    return Markup('<span class="{}">{}</span>').format(f"trial {colour}".strip(), name)


def verdict_cell(verdict: str) -> Markup:
    """Return a verdict as a cell that shows it in colour; "" for none."""
    return Markup('<span class="verdict {0}">{0}</span>').format(verdict) if verdict else Markup("")


def remark(words: str) -> Markup:
    """Return words instead of a number: where its column is sorted, they come last, as missing values do."""
    return Markup('<span class="remark">{}</span>').format(words)


def mean_sd(values: Sequence[float]) -> str:
    """Return "0.812 ± 0.004", the mean and the standard deviation; the mean alone for one value."""
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def interval_end(value: float, decimals: int = 3) -> str:
    """Return "+0.043", an end of an interval; "-0.0001" where the decimals would hide on which side of zero it is."""
    return f"{value:+.1g}" if value and round(value, decimals) == 0 else f"{value:+.{decimals}f}"


def count(number: int, noun: str) -> str:
    """Return "1 run" or "3 runs"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def text(value: str) -> str:
    """Return an untrusted text so that Markdown shows it as it is, on one line."""
    one_line = html.escape(" ".join(value.split()))
    inline = re.sub(r"[|*_`\[\]\\~$]", lambda match: f"&#{ord(match[0])};", one_line)
    # At the start of a line, `# `, `- ` and `1. ` would make a heading or a list.
    return re.sub(r"^(\d*)([#+.)-])(?=[ #+-]|$)", lambda match: f"{match[1]}&#{ord(match[2])};", inline)


def visible_name(value: str) -> str:
    """Return a name from the data on one line; a blank one in quotes, so that it can be seen."""
    return " ".join(value.split()) or repr(value)
