"""Rebuild the arrays and the plain values that an untrusted pickle asks for."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnlab.data.untrusted.pickle_program import Budget, Global, Reduce, RefusedError, describe, require

MAX_DIMENSIONS = 4  # images, rows, columns, channels
_NUMBERS = {"b1", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"}
MISSING = {"pandas._libs.missing.NA", "pandas.NA"}

Rebuilder = Callable[[Reduce, Budget], Any]
REBUILDERS: dict[str, Rebuilder] = {}
"""The function that rebuilds the result of a call, by the call's name; `pickle_values` fills it."""


def rebuild(value: Any, budget: Budget, *allowed: Rebuilder) -> Any:
    """Rebuild what a call stands for, if one of the functions that are allowed here does that."""
    if type(value) is not Reduce or (rebuilder := REBUILDERS.get(value.function)) not in allowed:
        raise RefusedError(f"{describe(value)} in an unusual place")
    return rebuilder(value, budget)


def plain(value: Any, budget: Budget) -> Any:
    """Return a plain value of a list, or a short tuple of names or numbers; None if it is missing."""
    if type(value) is Reduce:
        value = rebuild(value, budget, scalar)
    if type(value) is str:
        value.encode()  # lone surrogates would fail later, where the string is written
    elif type(value) is Global and value.name in MISSING:
        return None
    elif type(value) is int:
        require(-(2**63) <= value < 2**64, "a number of more than 64 bits")  # any number of them can share one hash
    elif type(value) is tuple:
        is_short = 0 < len(value) <= MAX_DIMENSIONS and all(type(part) in (str, int) for part in value)
        require(is_short, "a tuple in an unusual place")
        return tuple(plain(part, budget) for part in value)
    elif value is not None and type(value) not in (bytes, float, bool):
        raise RefusedError(f"{describe(value)} in an unusual place")
    return value


def scalar(call: Reduce, budget: Budget) -> Any:
    """Rebuild one of numpy's numbers."""
    kind, data = call.args
    dtype = rebuild(kind, budget, build_dtype)
    require(not dtype.hasobject and type(data) is bytes and len(data) == dtype.itemsize > 0, "a broken number")
    budget.take(64 + len(data))  # a list may hold the same one many times
    return np.frombuffer(data, dtype)[0].item()


def build_dtype(call: Reduce, _: Budget) -> np.dtype[Any]:
    """Rebuild a type of numbers, of Python objects or of strings."""
    code, order = (part.decode("ascii") if type(part) is bytes else part for part in (call.args[0], call.state[1]))
    require(type(code) is str and order in ("<", ">", "|") and call.state[0] == 3, "an array of an unusual type")
    if code == "O8":
        return np.dtype(object)
    is_number = code in _NUMBERS and (order == "|") == (code[1] == "1")
    is_text = code[0] == "U" and code[1:].isdecimal() and len(code) < 6 and order != "|"
    require(is_number or is_text, f"an array of type {code[:20]!a}")
    return np.dtype(order + code)


def array(call: Reduce, budget: Budget) -> NDArray[Any]:
    """Rebuild an array of protocols 0 to 4."""
    version, shape, kind, is_fortran, data = call.state
    require(version == 1, "an array in an unusual form")
    return _make_array(budget, data, kind, shape, "F" if is_fortran else "C")


def array_from_buffer(call: Reduce, budget: Budget) -> NDArray[Any]:
    """Rebuild an array of protocol 5."""
    data, kind, shape, order, *axes = call.args
    if order != "K":
        return _make_array(budget, data, kind, shape, order)
    (axes,) = axes  # a transposed array
    is_permutation = type(axes) is tuple and all(type(axis) is int for axis in axes)
    require(is_permutation and sorted(axes) == list(range(len(shape))), "an array in an unusual form")
    return _make_array(budget, data, kind, shape, "C").transpose(axes)


def _make_array(budget: Budget, data: Any, kind: Any, shape: Any, order: Any) -> NDArray[Any]:
    """Build an array of one to four dimensions, of numbers or of plain Python values."""
    require(order in ("C", "F"), "an array in an unusual form")
    is_shape = (
        type(shape) is tuple and 0 < len(shape) <= MAX_DIMENSIONS and all(type(n) is int and n >= 0 for n in shape)
    )
    require(is_shape, f"an array of an unusual shape, not of 1 to {MAX_DIMENSIONS} dimensions")
    dtype, size = rebuild(kind, budget, build_dtype), math.prod(shape)
    budget.take(size * dtype.itemsize + sum(shape))  # 2**60 columns are too many even without rows
    require(dtype.kind != "U", "an array of strings")  # numpy would not check the characters; pandas never writes it
    if dtype.hasobject:
        require(type(data) is list and len(data) == size, "an array with too few or too many values")
        objects = np.empty(size, object)
        objects[:] = [plain(item, budget) for item in data]
        return objects.reshape(shape)
    is_whole = type(data) in (bytes, bytearray) and len(data) == size * dtype.itemsize
    require(is_whole, "an array with too few or too many bytes")
    # numpy does not check that the bytes of booleans are 0 or 1; pandas needs the machine's byte order.
    values: NDArray[Any] = np.frombuffer(data, np.uint8) != 0 if dtype.kind == "b" else np.frombuffer(data, dtype)
    return values.reshape(shape, order=order).astype(dtype.newbyteorder("="), copy=False)


ARRAYS: tuple[Rebuilder, ...] = (array, array_from_buffer)
