"""Rebuild what an untrusted data frame has beside plain arrays: strings, categories, nullable numbers, indexes."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cnnlab.data.untrusted.pickle_arrays import ARRAYS, MAX_DIMENSIONS, REBUILDERS, rebuild
from cnnlab.data.untrusted.pickle_program import Budget, Global, Reduce, RefusedError, describe, require


def strings(call: Reduce, budget: Budget) -> Any:
    """Rebuild a column of pandas' own strings."""
    state = call.state
    if "_pa_array" in state:
        values = rebuild(state["_pa_array"], budget, arrow_strings)
    else:
        values = rebuild(state["_ndarray"], budget, *ARRAYS).tolist()
    is_text = all(item is None or type(item) is str or item != item for item in values)
    require(is_text, "a column of strings that holds something else")
    return pd.array(values, dtype=rebuild(state["_dtype"], budget, string_dtype))


def backed(call: Reduce, budget: Budget) -> Any:
    """Rebuild a column of strings or of categories in the form (class, checksum, None), whose state is a tuple."""
    kind = call.args[0]
    rebuilder = REBUILDERS.get(kind.name) if type(kind) is Global else None
    if rebuilder not in (strings, categories):
        raise RefusedError(f"{describe(kind)} in an unusual place")
    values = "_ndarray" if rebuilder is strings else "_codes"
    return rebuilder(Reduce(call.function, (), dict(zip(("_dtype", values), call.state, strict=False))), budget)


def masked(call: Reduce, budget: Budget) -> NDArray[Any]:
    """Rebuild a column of pandas' nullable numbers or booleans, without missing values, as a plain array."""
    values: NDArray[Any] = rebuild(call.state["_data"], budget, *ARRAYS)
    mask: NDArray[Any] = rebuild(call.state["_mask"], budget, *ARRAYS)
    require(values.ndim == mask.ndim == 1 and len(values) == len(mask), "a broken column of nullable numbers")
    require(values.dtype.kind in "biuf" and mask.dtype.kind == "b", "a broken column of nullable numbers")
    require(not mask.any(), f"a column with {mask.sum()} missing values")
    return values


def categories(call: Reduce, budget: Budget) -> NDArray[Any]:
    """Rebuild a column of categories, without missing values, as a plain array."""
    codes = rebuild(call.state["_codes"], budget, *ARRAYS)
    names = rebuild(rebuild(call.state["_dtype"], budget, category_dtype), budget, index)
    require(codes.ndim == 1 and codes.dtype.kind in "iu", "a broken column of categories")
    require(not (codes == -1).any(), f"a column with {(codes == -1).sum()} missing values")
    require(not len(codes) or 0 <= codes.min() <= codes.max() < len(names), "a broken column of categories")
    budget.take(8 * (len(codes) + len(names)))  # a range may be long
    values = names.to_numpy() if names.dtype.kind in "biuf" else names.to_numpy(object)
    taken: NDArray[Any] = values[codes]
    return taken


def category_dtype(call: Reduce, _: Budget) -> Any:
    """Return the names of categories, not yet rebuilt."""
    return call.state["categories"]


def string_dtype(call: Reduce, _: Budget) -> Any:
    """Rebuild the type of a column of pandas' own strings."""
    has_nan = type(call.args[-1]) is float if call.args else call.state == {"storage": "pyarrow_numpy"}
    return pd.StringDtype(na_value=np.nan) if has_nan else pd.StringDtype("python")


def arrow_strings(call: Reduce, budget: Budget) -> list[str | None]:
    """Rebuild an Arrow array of strings, without pyarrow: a validity bitmap, offsets and UTF-8.

    The layout is that of Arrow's columnar format, "Variable-size Binary Layout".
    """
    ((kind, length, _, offset, buffers, _, _),) = call.args
    width = rebuild(kind, budget, arrow_type)
    valid, offsets, text = (b"" if item is None else rebuild(item, budget, arrow_buffer) for item in buffers)
    require(offset == 0 and type(length) is int and length >= 0, "a column of an unusual Arrow type")
    budget.take(64 * length + len(text))
    bounds = np.frombuffer(offsets, width, length + 1)
    is_ascending = bounds[0] >= 0 and (bounds[1:] >= bounds[:-1]).all()  # their differences may overflow
    has_bits = buffers[0] is None or 8 * len(valid) >= length
    require(is_ascending and bounds[-1] <= len(text) and has_bits, "a broken column of strings")
    bits = np.ones(length, np.uint8)
    if valid:
        bits = np.unpackbits(np.frombuffer(valid, np.uint8), count=length, bitorder="little")
    spans = zip(bits.tolist(), bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    return [text[start:end].decode() if bit else None for bit, start, end in spans]


def arrow_type(call: Reduce, _: Budget) -> str:
    """Return the dtype of an Arrow array's offsets."""
    match call.args:
        case ("string",):
            return "<i4"
        case ("large_string",):
            return "<i8"
    raise RefusedError("a column of an unusual Arrow type")


def arrow_buffer(call: Reduce, _: Budget) -> bytes:
    """Return the bytes of a part of an Arrow array."""
    (content,) = call.args
    require(type(content) in (bytes, bytearray), "a broken column of strings")
    return bytes(content)


RANGES = {"pandas.core.indexes.range.RangeIndex", "pandas.RangeIndex"}
MULTI_INDEXES = {"pandas.core.indexes.multi.MultiIndex", "pandas.MultiIndex"}
PLAIN_INDEXES = {"pandas.core.indexes.base.Index", "pandas.Index"} | {
    f"pandas.core.indexes.numeric.{kind}Index" for kind in ("Int64", "UInt64", "Float64")
}


def index(call: Reduce, budget: Budget) -> "pd.Index[Any]":
    """Rebuild the names of columns, rows or categories; names of several levels become tuples."""
    kind, state = call.args
    kind = describe(kind)
    if kind in MULTI_INDEXES:
        return _tuples(state["levels"], state["codes"], budget)
    name = state["name"]
    require(name is None or type(name) in (str, int), "an index with an unusual name")
    if kind in RANGES:
        start, stop, step = bounds = [state[key] for key in ("start", "stop", "step")]
        require(all(type(bound) is int and abs(bound) < 2**62 for bound in bounds), "an index of unusual numbers")
        return pd.RangeIndex(start, stop, step, name=name)
    require(kind in PLAIN_INDEXES, f"{kind} as an index")
    values = rebuild(state["data"], budget, *ARRAYS, strings, backed, masked)
    require(values.ndim == 1, "an index of two dimensions")
    plain_index: pd.Index[Any] = pd.Index(values, dtype=values.dtype, name=name, tupleize_cols=False)
    return plain_index


def _tuples(levels: Any, codes: Any, budget: Budget) -> "pd.Index[Any]":
    require(type(levels) is type(codes) is list and 0 < len(levels) == len(codes) <= MAX_DIMENSIONS, "a broken index")
    parts = []
    for level, places in zip(levels, codes, strict=True):
        names, indices = rebuild(level, budget, index), rebuild(places, budget, *ARRAYS)
        require(indices.ndim == 1 and indices.dtype.kind in "iu", "a broken index")
        require(not len(indices) or 0 <= indices.min() <= indices.max() < len(names), "an index with missing names")
        budget.take(64 * (len(indices) + len(names)))
        parts.append(names.to_numpy(object)[indices].tolist())
    require(len({len(part) for part in parts}) == 1, "a broken index")
    tuples = np.empty(len(parts[0]), object)
    tuples[:] = list(zip(*parts, strict=True))
    names_of_all: pd.Index[Any] = pd.Index(tuples, dtype=object, tupleize_cols=False)
    return names_of_all
