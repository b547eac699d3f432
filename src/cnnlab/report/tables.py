"""Tables as HTML, and numbers and names as text, the same wherever they are shown."""

import html
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML

NOTHING = "-"
CLASSES = ("cnnlab", "tex2jax_ignore", "mathjax_ignore")
"""HTML classes of a table. The last two keep Jupyter from reading a name between two $ as mathematics."""


def table(rows: Sequence[Mapping[str, Any]] | pd.DataFrame, formats: Mapping[str, str] | None = None) -> HTML:
    """Return a table as HTML. Missing values are shown as a dash; everything is escaped.

    Args:
        rows: One mapping per row, of column names to values.
        formats: Column name to the format specification of its numbers, as ".3f".
    """
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows)
    # A list, not a mapping by name: columns named after classes may share a name.
    formatters: list[Callable[[Any], str]] = [partial(_cell, (formats or {}).get(str(name), "")) for name in frame]
    shown = frame.fillna(np.nan)  # pandas would show None as "None"
    return HTML(shown.to_html(formatters=formatters, na_rep=NOTHING, index=False, border=0, classes=CLASSES))


def _cell(form: str, value: Any) -> str:
    if value == "":
        return NOTHING
    return format(value, form) if isinstance(value, int | float | np.number) else str(value)


def mean_sd(values: Sequence[float]) -> str:
    """Return "0.812 ± 0.004", the mean and the standard deviation; the mean alone for one value."""
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


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
