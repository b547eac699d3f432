"""Rebuild data frames and CIFAR-10 batches from what an untrusted pickle asks for.

`_REBUILDERS` shows what is accepted: what pandas 1.0 to 3.x and numpy 1 and 2 write at protocols 2 to 5. Each function
checks what it is given and builds the value itself; anything else is refused by its name.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cnnlab.data.messages import unexpected
from cnnlab.data.untrusted.pickle_program import Budget, Global, Reduce, RefusedError, describe, interpret, require

MAX_BYTES = 2**31  # of a file: 50,000 colour images of 32 x 32 pixels, as int64, are 1.2 GB
MAX_STRING_COLUMNS = 1_000  # of pandas' own strings: each takes pandas a while, and they can share their values
_NUMBERS = {"b1", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"}


def read_frame(content: bytes, name: str) -> pd.DataFrame:
    """Read a pickled data frame whose columns are numbers or strings; errors call it `name`.

    Raises:
        DataError: It is no such pickle.
    """
    advice = "Write it again with to_pickle, after making its columns plain (df.astype, df.reset_index)."
    kind = "a pickled pandas DataFrame of plain columns"
    frame: pd.DataFrame = _load(content, name, kind, advice, lambda value, budget: _rebuild(value, budget, _frame))
    return frame


def read_batch(content: bytes, name: str) -> dict[str, Any]:
    """Read a CIFAR-10 batch, or its `batches.meta`; errors call it `name`.

    Returns:
        The entries "data" (an array), "labels" (a list or an array) and "label_names" (a list), as far as they exist.

    Raises:
        DataError: It is no such pickle.
    """
    batch: dict[str, Any] = _load(content, name, "a CIFAR-10 batch", "Fetch it again.", _batch)
    return batch


def _load(content: bytes, name: str, kind: str, advice: str, rebuild: Callable[[Any, Budget], Any]) -> Any:
    """Return what `rebuild` makes of a file. Whatever is raised here is the file's fault."""
    try:
        require(len(content) <= MAX_BYTES, f"a file of {len(content):,} bytes, more than {MAX_BYTES:,}")
        budget = Budget(8 * len(content) + 2**20)
        return rebuild(interpret(content, ACCEPTED, budget), budget)
    except RefusedError as error:
        reason = str(error)
    except Exception as error:  # numpy and pandas raise many kinds, SystemError and NotImplementedError among them
        reason = f"a file that is broken, or no pickle of that kind ({type(error).__name__})"
    raise unexpected(f"{name} to be {kind}", reason, advice)


def _rebuild(value: Any, budget: Budget, *allowed: "_Rebuilder") -> Any:
    """Rebuild what a call stands for, if one of the functions that are allowed here does that."""
    if type(value) is not Reduce or (rebuilder := _REBUILDERS.get(value.function)) not in allowed:
        raise RefusedError(f"{describe(value)} in an unusual place")
    return rebuilder(value, budget)


def _batch(value: Any, budget: Budget) -> dict[str, Any]:
    require(type(value) is dict, f"{describe(value)}, not a dictionary")
    batch = {key.decode("ascii", "replace") if type(key) is bytes else key: part for key, part in value.items()}
    return {
        key: [_item(item, budget) for item in part] if type(part) is list else _rebuild(part, budget, *_ARRAYS)
        for key, part in batch.items()
        if key in ("data", "labels", "label_names")
    }


def _item(value: Any, budget: Budget) -> Any:
    """Return a plain value of a list; None if it is missing."""
    if type(value) is Reduce:
        value = _rebuild(value, budget, _scalar)
    if type(value) is str:
        value.encode()  # lone surrogates would fail later, where the string is written
    elif type(value) is Global and value.name in _MISSING:
        return None
    elif type(value) is int:
        require(-(2**63) <= value < 2**64, "a number of more than 64 bits")  # any number of them can share one hash
    elif value is not None and type(value) not in (bytes, float, bool):
        raise RefusedError(f"{describe(value)} in an unusual place")
    return value


def _scalar(call: Reduce, budget: Budget) -> Any:
    kind, data = call.args
    dtype = _rebuild(kind, budget, _dtype)
    require(not dtype.hasobject and type(data) is bytes and len(data) == dtype.itemsize > 0, "a broken number")
    budget.take(64 + len(data))  # a list may hold the same one many times
    return np.frombuffer(data, dtype)[0].item()


def _dtype(call: Reduce, _: Budget) -> np.dtype[Any]:
    """Rebuild a type of numbers, of Python objects or of strings."""
    code, order = (part.decode("ascii") if type(part) is bytes else part for part in (call.args[0], call.state[1]))
    require(type(code) is str and order in ("<", ">", "|") and call.state[0] == 3, "an array of an unusual type")
    if code == "O8":
        return np.dtype(object)
    is_number = code in _NUMBERS and (order == "|") == (code[1] == "1")
    is_text = code[0] == "U" and code[1:].isdecimal() and len(code) < 6 and order != "|"
    require(is_number or is_text, f"an array of type {code[:20]!a}")
    return np.dtype(order + code)


def _array(call: Reduce, budget: Budget) -> NDArray[Any]:
    version, shape, kind, is_fortran, data = call.state
    require(version == 1, "an array in an unusual form")
    return _make_array(budget, data, kind, shape, "F" if is_fortran else "C")


def _array_from_buffer(call: Reduce, budget: Budget) -> NDArray[Any]:
    return _make_array(budget, *call.args)


def _make_array(budget: Budget, data: Any, kind: Any, shape: Any, order: Any) -> NDArray[Any]:
    """Build an array of one or two dimensions, of numbers or of plain Python values."""
    require(order in ("C", "F"), "an array in an unusual form")
    is_shape = type(shape) is tuple and len(shape) in (1, 2) and all(type(n) is int and n >= 0 for n in shape)
    require(is_shape, "an array of an unusual shape")
    dtype, size = _rebuild(kind, budget, _dtype), math.prod(shape)
    budget.take(size * dtype.itemsize + sum(shape))  # 2**60 columns are too many even without rows
    require(dtype.kind != "U", "an array of strings")  # numpy would not check the characters; pandas never writes it
    if dtype.hasobject:
        require(type(data) is list and len(data) == size, "an array with too few or too many values")
        objects = np.empty(size, object)
        objects[:] = [_item(item, budget) for item in data]
        return objects.reshape(shape)
    is_whole = type(data) in (bytes, bytearray) and len(data) == size * dtype.itemsize
    require(is_whole, "an array with too few or too many bytes")
    # numpy does not check that the bytes of booleans are 0 or 1; pandas needs the machine's byte order.
    values: NDArray[Any] = np.frombuffer(data, np.uint8) != 0 if dtype.kind == "b" else np.frombuffer(data, dtype)
    return values.reshape(shape, order=order).astype(dtype.newbyteorder("="), copy=False)


def _strings(call: Reduce, budget: Budget) -> Any:
    """Rebuild a column of pandas' own strings."""
    state = call.state
    if call.args:  # __pyx_unpickle_NDArrayBacked(class, checksum, None)
        kind, state = call.args[0], dict(zip(("_dtype", "_ndarray"), state, strict=False))
        is_strings = type(kind) is Global and _REBUILDERS.get(kind.name) is _strings
        require(is_strings, f"{describe(kind)} in an unusual place")
    if "_pa_array" in state:
        values = _rebuild(state["_pa_array"], budget, _arrow_strings)
    else:
        values = _rebuild(state["_ndarray"], budget, *_ARRAYS).tolist()
    is_text = all(item is None or type(item) is str or item != item for item in values)
    require(is_text, "a column of strings that holds something else")
    return pd.array(values, dtype=_rebuild(state["_dtype"], budget, _string_dtype))


def _string_dtype(call: Reduce, _: Budget) -> Any:
    has_nan = type(call.args[-1]) is float if call.args else call.state == {"storage": "pyarrow_numpy"}
    return pd.StringDtype(na_value=np.nan) if has_nan else pd.StringDtype("python")


def _arrow_strings(call: Reduce, budget: Budget) -> list[str | None]:
    """Rebuild an Arrow array of strings, without pyarrow: a validity bitmap, offsets and UTF-8.

    The layout is that of Arrow's columnar format, "Variable-size Binary Layout".
    """
    ((kind, length, _, offset, buffers, _, _),) = call.args
    width = _rebuild(kind, budget, _arrow_type)
    valid, offsets, text = (b"" if item is None else _rebuild(item, budget, _arrow_buffer) for item in buffers)
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


def _arrow_type(call: Reduce, _: Budget) -> str:
    """Return the dtype of an Arrow array's offsets."""
    match call.args:
        case ("string",):
            return "<i4"
        case ("large_string",):
            return "<i8"
    raise RefusedError("a column of an unusual Arrow type")


def _arrow_buffer(call: Reduce, _: Budget) -> bytes:
    (content,) = call.args
    require(type(content) in (bytes, bytearray), "a broken column of strings")
    return bytes(content)


def _index(call: Reduce, budget: Budget) -> "pd.Index[Any]":
    """Rebuild the names of columns or rows."""
    kind, state = call.args
    kind, name = describe(kind), state["name"]
    require(name is None or type(name) in (str, int), "an index with an unusual name")
    if kind in _RANGES:
        start, stop, step = bounds = [state[key] for key in ("start", "stop", "step")]
        require(all(type(bound) is int and abs(bound) < 2**62 for bound in bounds), "an index of unusual numbers")
        return pd.RangeIndex(start, stop, step, name=name)
    require(kind in _INDEXES, f"{kind} as an index")
    values = _rebuild(state["data"], budget, *_ARRAYS, _strings)
    require(values.ndim == 1, "an index of two dimensions")
    index: pd.Index[Any] = pd.Index(values, dtype=values.dtype, name=name)
    return index


def _block(call: Reduce, _: Budget) -> tuple[Any, Any]:
    """Return the values of a block and the positions of its columns, both not yet rebuilt."""
    values, placement, *dimensions = call.args
    require(dimensions in ([], [2]), "a table in an unusual form")
    return values, placement


def _manager(call: Reduce, budget: Budget) -> tuple[list[Any], list[tuple[Any, Any]]]:
    """Return the names of columns and rows, and the blocks."""
    if call.args:
        blocks, axes = call.args
        return axes, [_rebuild(block, budget, _block) for block in blocks]
    form = call.state[3]["0.14.1"]  # pandas before 1.3
    return form["axes"], [(block["values"], block["mgr_locs"]) for block in form["blocks"]]


def _frame(call: Reduce, budget: Budget) -> pd.DataFrame:
    """Rebuild a data frame from its blocks: each holds some of the columns, one per row of its array."""
    (names, rows), blocks = _rebuild(call.state["_mgr" if "_mgr" in call.state else "_data"], budget, _manager)
    strings: list[Any] = []
    arrays: dict[np.dtype[Any], list[NDArray[Any]]] = {}  # joined by dtype: a frame of read_csv has a block per column
    positions: dict[np.dtype[Any] | None, list[int]] = {None: []}
    n_rows: int | None = None
    for values, placement in blocks:
        block = _rebuild(values, budget, *_ARRAYS, _strings)
        is_text = not isinstance(block, np.ndarray)
        require(n_rows in (None, block.shape[-1]) and block.ndim == 2 - is_text, "a table of columns that differ")
        n_rows = block.shape[-1]
        if type(placement) is slice:
            indices = range(placement.start, placement.stop, placement.step or 1)
        else:
            indices = _rebuild(placement, budget, *_ARRAYS).tolist()
        require(len(indices) == (1 if is_text else len(block)), "a table with too few or too many columns")
        positions.setdefault(None if is_text else block.dtype, []).extend(indices)
        (strings if is_text else arrays.setdefault(block.dtype, [])).append(block)
        require(len(strings) <= MAX_STRING_COLUMNS, f"a table of over {MAX_STRING_COLUMNS:,} columns of strings")
    parts = [pd.DataFrame({0: column}, dtype=column.dtype) for column in strings]
    for dtype, same in arrays.items():
        parts.append(pd.DataFrame((same[0] if len(same) == 1 else np.concatenate(same)).T, dtype=dtype, copy=False))
    order = [position for key in (None, *arrays) for position in positions[key]]
    require(n_rows and order and sorted(order) == list(range(len(order))), "a table without rows or with wrong columns")
    frame = pd.concat(parts, axis=1, ignore_index=True)
    if order != sorted(order):
        frame = frame.iloc[:, np.argsort(order)]
    columns, index = (_rebuild(axis, budget, _index) for axis in (names, rows))
    require((len(index), len(columns)) == frame.shape, "an index of another length than its table")
    return frame.set_axis(columns, axis=1).set_axis(index, axis=0)


_Rebuilder = Callable[[Reduce, Budget], Any]
_ARRAYS: tuple[_Rebuilder, ...] = (_array, _array_from_buffer)
_CALLS: dict[_Rebuilder, list[str]] = {
    _dtype: ["numpy.dtype"],
    _array: ["numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"],  # numpy 1 and 2
    _array_from_buffer: ["numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer"],
    _scalar: ["numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"],
    _frame: ["pandas.core.frame.DataFrame", "pandas.DataFrame"],
    _manager: ["pandas.core.internals.managers.BlockManager"],
    _block: ["pandas._libs.internals._unpickle_block", "pandas.core.internals.blocks.new_block"],
    _index: ["pandas.core.indexes.base._new_Index"],
    _string_dtype: ["pandas.core.arrays.string_.StringDtype", "pandas.StringDtype"],
    _strings: [
        "pandas.arrays.StringArray",
        "pandas.arrays.ArrowStringArray",
        *(f"pandas.core.arrays.string_.StringArray{suffix}" for suffix in ("", "NumpySemantics")),
        *(f"pandas.core.arrays.string_arrow.ArrowStringArray{suffix}" for suffix in ("", "NumpySemantics")),
        "pandas._libs.arrays.__pyx_unpickle_NDArrayBacked",
    ],
    _arrow_strings: ["pyarrow.lib._restore_array"],
    _arrow_type: ["pyarrow.lib.type_for_alias"],
    _arrow_buffer: ["pyarrow.lib.py_buffer"],
}
"""Each function that rebuilds the result of a call, and the names that such a call has."""
_REBUILDERS = {name: rebuilder for rebuilder, names in _CALLS.items() for name in names}
_RANGES = {"pandas.core.indexes.range.RangeIndex", "pandas.RangeIndex"}
_INDEXES = {"pandas.core.indexes.base.Index", "pandas.Index"} | {
    f"pandas.core.indexes.numeric.{kind}Index" for kind in ("Int64", "UInt64", "Float64")
}
_MISSING = {"pandas._libs.missing.NA", "pandas.NA"}
ACCEPTED = {*_REBUILDERS, *_RANGES, *_INDEXES, *_MISSING, "numpy.ndarray", "functools.partial"}
"""Each accepted name, among them those that are only arguments of a call."""
