"""Tables as HTML and numbers and names as text, the same way wherever they are shown."""

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML

NOTHING = "-"


def table(rows: Sequence[Mapping[str, Any]] | pd.DataFrame, formats: Mapping[str, str] | None = None) -> HTML:
    """Return a table as HTML. Missing numbers are shown as a dash; everything is escaped.

    Args:
        rows: One mapping a row, of column names to values.
        formats: Format specification of a column's numbers, as ".3f".
    """
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows)

    def cell(value: Any, form: str) -> str:
        if value is None or value == "" or (isinstance(value, float) and np.isnan(value)):
            return NOTHING
        return html.escape(format(value, form) if isinstance(value, int | float | np.number) else str(value))

    # By place: columns that are called after classes may share a name.
    columns = [
        [cell(value, (formats or {}).get(str(name), "")) for value in frame.iloc[:, place]]
        for place, name in enumerate(frame)
    ]
    heads = [html.escape(str(name)) for name in frame]
    shown = pd.DataFrame(list(zip(*columns, strict=True)), columns=heads, dtype=object)
    return HTML(shown.to_html(index=False, border=0, escape=False, classes="cnnlab"))


def mean_sd(values: Sequence[float]) -> str:
    """Return "0.812 ± 0.004": mean and standard deviation; the mean alone for one value."""
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def text(value: str) -> str:
    """Return a text from outside so that Markdown shows it as it is."""
    return re.sub(r"[|*_`\[\]\\~]", lambda match: f"&#{ord(match[0])};", html.escape(value))
