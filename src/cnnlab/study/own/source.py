"""The source of functions and classes, the global names in it, and plain values as Python code."""

import ast
import inspect
import math
import symtable
import sys
import textwrap
from contextlib import suppress
from typing import Any, cast

import numpy as np

from cnnlab.errors import ConfigError

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_COMPREHENSIONS = {"listcomp", "setcomp", "dictcomp", "genexpr"}


def read_source(python: Any, name: str) -> tuple[str, int]:
    """Return the source of a function or a class, and which line of it, from 0, has its name.

    Raises:
        ConfigError: It is not available.
    """
    try:
        text = inspect.getsource(python)
    except (OSError, TypeError):  # Python finds no class of a notebook
        text = _class_in_cells(python.__name__) if inspect.isclass(python) else ""
    text = textwrap.dedent(text).rstrip()
    with suppress(SyntaxError, ValueError, IndexError):
        first = ast.parse(text).body[0]
        if isinstance(first, _DEFINITIONS) and first.name == python.__name__:  # else the file has changed since then
            return text, first.lineno - 1
    raise ConfigError(
        f"Expected the source of {name}. Received: none, or that of other code. Define it in a cell, and run the cell "
        "again."
    )


def _class_in_cells(name: str) -> str:
    """Return the source of a class from the last cell that IPython ran with it; "" if there is none."""
    for cell in reversed(getattr(sys.modules["__main__"], "In", [])):
        try:
            classes = [node for node in ast.parse(cell).body if isinstance(node, ast.ClassDef) and node.name == name]
        except SyntaxError:
            continue
        if classes:
            last = classes[-1]
            first = min([last.lineno, *(decorator.lineno for decorator in last.decorator_list)])
            return "\n".join(cell.splitlines()[first - 1 : last.end_lineno])
    return ""


def used_names(text: str) -> tuple[set[str], set[str]]:
    """Return the global names that a definition needs at once, and all that it uses."""
    top = symtable.symtable(text, "<definition>", "exec")
    at_once = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_referenced()}
    used, waiting = set(at_once), [(child, True) for child in top.get_children()]
    while waiting:
        table, is_run = waiting.pop()
        is_run = is_run and (table.get_type() == "class" or table.get_name() in _COMPREHENSIONS)
        names = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global() and symbol.is_referenced()}
        used |= names
        at_once |= names if is_run else set()
        waiting += [(child, is_run) for child in table.get_children()]
    return at_once, used


def plain_code(value: object) -> str:
    """Return a plain value as Python code; "" for any other value."""
    if isinstance(value, np.generic):
        value = value.item()
    if type(value) is float and not math.isfinite(value):
        return f"float({str(value)!r})"
    if value is None or type(value) in (bool, int, float, str):
        return repr(value)
    if type(value) not in (list, tuple, dict):
        return ""
    try:
        pairs = value.items() if isinstance(value, dict) else ((None, part) for part in cast(Any, value))
        parts = [(plain_code(key), plain_code(part)) for key, part in pairs]
    except RecursionError:  # it contains itself
        return ""
    if not all(key and part for key, part in parts):
        return ""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {part}" for key, part in parts) + "}"
    listed = ", ".join(part for _, part in parts)
    return f"[{listed}]" if isinstance(value, list) else f"({listed}{',' * (len(parts) == 1)})"
