"""Read pickled data frames and CIFAR-10 batches of strangers, without doing anything that a pickle asks for.

A pickle is a program. Python's own reader runs it, and to let it call a few trusted functions only is not enough: those
of numpy, given a crafted state, read memory that is not theirs. Here the program's steps are listed by
`pickletools.genops` and followed on plain values alone. What a function would have made stays a note of its name and
arguments (`_Call`), nothing is imported or called by name, and the notes that an honest file holds (pandas 1.0 to 3.x,
numpy 1 and 2, protocols 2 to 5) are checked and rebuilt by the functions below. Everything else is refused by its name.
"""

import math
import pickletools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cnnlab.errors import DataError

MAX_BYTES = 2**31
"""Largest file that is read: 50,000 images of 32 x 32 in colour, as int64, are 1.2 GB."""


MAX_STEPS = 2_000_000
"""Most steps of a file's program; an honest one has few, but for some a row where labels are strings."""


MAX_TEXTS = 1_000
"""Most columns of pandas' own strings: each takes pandas a while, and its values can be another's."""


_NUMPY = ("numpy.core", "numpy._core")  # 1 and 2


_INDEX = "pandas.core.indexes.base.Index"


_INDEXES = {
    _INDEX,
    "pandas.Index",
    *(f"pandas.core.indexes.numeric.{kind}Index" for kind in ("Int64", "UInt64", "Float64")),
}


_RANGES = {"pandas.core.indexes.range.RangeIndex", "pandas.RangeIndex"}


_FRAMES = {"pandas.core.frame.DataFrame", "pandas.DataFrame"}


_MANAGER = "pandas.core.internals.managers.BlockManager"


_BLOCK, _BLOCK_13 = "pandas._libs.internals._unpickle_block", "pandas.core.internals.blocks.new_block"


_TEXT_STORED = {  # string columns held by numpy
    "pandas.core.arrays.string_.StringArray",
    "pandas.core.arrays.string_.StringArrayNumpySemantics",
    "pandas.arrays.StringArray",
}


_TEXT_ARROW = {  # string columns held by pyarrow, which is not needed to read them
    "pandas.core.arrays.string_arrow.ArrowStringArray",
    "pandas.core.arrays.string_arrow.ArrowStringArrayNumpySemantics",
    "pandas.arrays.ArrowStringArray",
}


_TEXT_TYPES = {"pandas.core.arrays.string_.StringDtype", "pandas.StringDtype"}


_MISSING = {"pandas._libs.missing.NA", "pandas.NA"}


_BACKED = "pandas._libs.arrays.__pyx_unpickle_NDArrayBacked"


_ARRAYS = {f"{core}.multiarray._reconstruct" for core in _NUMPY}


_BUFFERS = {f"{core}.numeric._frombuffer" for core in _NUMPY}


_SCALARS = {f"{core}.multiarray.scalar" for core in _NUMPY}


_PARTIAL = "functools.partial"


_ARROW_ARRAY, _ARROW_TYPE, _ARROW_BUFFER = (
    f"pyarrow.lib.{name}" for name in ("_restore_array", "type_for_alias", "py_buffer")
)


_PLAIN = {"_codecs.encode"} | {
    f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("bytes", "bytearray", "slice")
}


_KNOWN = {
    "numpy.dtype", "numpy.ndarray", "pandas.core.indexes.base._new_Index", _MANAGER, _BLOCK, _BLOCK_13, _BACKED,
    _PARTIAL, _ARROW_ARRAY, _ARROW_TYPE, _ARROW_BUFFER, *_PLAIN, *_INDEXES, *_RANGES, *_FRAMES, *_TEXT_STORED,
    *_TEXT_ARROW, *_TEXT_TYPES, *_MISSING, *_ARRAYS, *_BUFFERS, *_SCALARS,
}  # fmt: skip


_Built = TypeVar("_Built")


_NUMBERS = {"b1", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"}


def frame(content: bytes, name: str) -> pd.DataFrame:
    """Read a pickled data frame whose columns are numbers or strings.

    Args:
        content: The file's content.
        name: The file's name, for errors.

    Raises:
        DataError: It is no such pickle.
    """
    return _guarded(content, name, "a pickled pandas DataFrame of plain columns", "Write it again with to_pickle, after"
        " making its columns plain (df.astype, df.reset_index).", _frame)  # fmt: skip


def batch(content: bytes, name: str) -> dict[str, Any]:
    """Read a batch of CIFAR-10's format, or its `batches.meta`.

    Args:
        content: The file's content.
        name: The file's name, for errors.

    Returns:
        What the pickled dictionary holds of "data" (an array), "labels" (a list or an array), "label_names" (a list).

    Raises:
        DataError: It is no such pickle.
    """
    return _guarded(content, name, "a CIFAR-10 batch", "Fetch it again.", _batch)


def _guarded(content: bytes, name: str, kind: str, todo: str, build: "Callable[[Any, _Budget], _Built]") -> _Built:
    """Return what a builder makes of a file. Whatever its content sets off in here is the file's fault."""
    try:
        if len(content) > MAX_BYTES:
            raise _RefusedError(f"a file of {len(content):,} bytes, more than {MAX_BYTES:,}")
        budget = _Budget(8 * len(content) + 2**20)
        return build(_followed(content, budget), budget)
    except _RefusedError as error:
        reason = str(error)
    except Exception as error:  # numpy and pandas have many kinds, SystemError and NotImplementedError among them
        reason = f"a file that is broken, or no pickle of that kind ({type(error).__name__})"
    raise DataError(f"Expected {name} to be {kind}. Received: {reason}. {todo}")


class _RefusedError(Exception):
    """What a file holds that is not read."""


class _Budget:
    """How many bytes may still be made of a file, which can name the same long value a thousand times."""

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise _RefusedError("far more values than a file of its size can hold")


@dataclass(frozen=True, slots=True)
class _Name:
    """A function or class that the pickle names."""

    text: str


@dataclass(slots=True, eq=False)
class _Call:
    """What calling a function, or making an object of a class, would have given."""

    function: str
    args: tuple[Any, ...]
    state: Any = None


def _followed(content: bytes, budget: _Budget) -> Any:
    """Follow a pickle's steps and return its value, made of plain values, `_Name` and `_Call`."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def pop() -> Any:
        if len(stack) <= (marks[-1] if marks else 0):
            raise _RefusedError("a broken pickle")
        return stack.pop()

    def top(kind: type) -> Any:
        if type(stack[-1]) is not kind:
            raise _RefusedError(f"a pickle that treats a {type(stack[-1]).__name__} as a {kind.__name__}")
        return stack[-1]

    def marked() -> list[Any]:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    arg: Any
    for count, (opcode, arg, _) in enumerate(pickletools.genops(content)):
        if count > MAX_STEPS:
            raise _RefusedError(f"a pickle of more than {MAX_STEPS:,} steps")
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case (
                "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT"
                | "SHORT_BINUNICODE" | "BINUNICODE" | "BINUNICODE8"
                | "SHORT_BINBYTES" | "BINBYTES" | "BINBYTES8" | "BYTEARRAY8"
            ):  # fmt: skip
                stack.append(arg)
            case "SHORT_BINSTRING" | "BINSTRING":  # Python 2's
                stack.append(arg.encode("latin-1"))
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode.name])
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_TUPLE":
                stack.append(())
            case "MARK":
                marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(marked()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple([pop() for _ in range(int(opcode.name[-1]))][::-1]))
            case "APPEND":
                item = pop()
                top(list).append(item)
            case "APPENDS":
                items = marked()
                top(list).extend(items)
            case "SETITEM" | "SETITEMS":
                items = marked() if opcode.name == "SETITEMS" else [pop(), pop()][::-1]
                for key, value in zip(items[::2], items[1::2], strict=True):
                    if type(key) not in (str, bytes) and not _is_small(key):
                        raise _RefusedError(f"a dictionary with a {type(key).__name__} as a key")
                    top(dict)[key] = value
            case "BINPUT" | "LONG_BINPUT":
                memo[arg] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[arg])
            case "GLOBAL":
                stack.append(_named(arg.replace(" ", ".", 1)))
            case "STACK_GLOBAL":
                name, module = pop(), pop()
                if type(name) is not str or type(module) is not str:  # to show nested tuples can take for ever
                    raise _RefusedError("a broken pickle")
                stack.append(_named(f"{module}.{name}"))
            case "NEWOBJ" | "REDUCE":
                args, function = pop(), pop()
                stack.append(_called(function, args, budget))
            case "BUILD":
                state, made = pop(), top(_Call)
                if made.state is not None:
                    raise _RefusedError(f"a {made.function} that is changed again")
                made.state = state
            case "STOP":
                return pop()
            case other:
                raise _RefusedError(f"a pickle with the step {other}")
    raise _RefusedError("a file that ends early")


def _named(text: str) -> _Name:
    if text not in _KNOWN:
        raise _RefusedError(f"one that needs {text[:80]!a}")
    return _Name(text)


def _called(function: Any, args: Any, budget: _Budget) -> Any:
    """Return the value of a call of Python's own that writes bytes and slices; of any other one, a note."""
    if type(args) is not tuple:
        raise _RefusedError("a broken pickle")
    if type(function) is _Call and function.function == _PARTIAL and function.args == (_Name(_BLOCK_13),):
        return _Call(_BLOCK, (*args, 2))
    if type(function) is not _Name:
        raise _RefusedError(f"a pickle that calls a {type(function).__name__}")
    if function.text not in _PLAIN:
        return _Call(function.text, args)
    match function.text.rpartition(".")[2], args:
        case "encode", (str(text), "latin1" | "latin-1"):
            budget.take(len(text))
            return text.encode("latin-1")
        case "bytes" | "bytearray", ():
            return b""
        case "bytearray", (bytes(data),):
            return data
        case "slice", (int(), int(), int() | None):
            return slice(*args)
    raise _RefusedError(f"an unusual call of {function.text}")


def _is_small(value: Any) -> bool:
    """Tell whether this is a whole number of at most 64 bits. Of larger ones, any number can share one hash."""
    return type(value) is int and -(2**63) <= value < 2**64


def _call(value: Any, functions: Iterable[str]) -> _Call:
    """Insist on the note of a call of one of some functions."""
    if type(value) is not _Call or value.function not in functions:
        named = value.function if type(value) is _Call else f"a {type(value).__name__}"
        raise _RefusedError(f"{named} in an unusual place")
    return value


def _dtype(value: Any) -> np.dtype[Any]:
    """Rebuild a type of numbers, of Python objects or of strings."""
    call = _call(value, {"numpy.dtype"})
    code, order = call.args[0], call.state[1]
    code, order = (part.decode("ascii") if type(part) is bytes else part for part in (code, order))
    if type(code) is not str or order not in ("<", ">", "|") or call.state[0] != 3:
        raise _RefusedError("an array of an unusual type")
    if code == "O8":
        return np.dtype(object)
    if code in _NUMBERS and (order == "|") == (code[1] == "1"):
        return np.dtype(order + code)
    if code[0] == "U" and code[1:].isdecimal() and len(code) < 6 and order != "|":
        return np.dtype(order + code)
    raise _RefusedError(f"an array of type {code[:20]!a}")


def _array(value: Any, budget: _Budget) -> NDArray[Any]:
    """Rebuild an array of one or two dimensions, of numbers or of plain Python values."""
    call = _call(value, _ARRAYS | _BUFFERS)
    if call.function in _ARRAYS:
        version, shape, kind, fortran, data = call.state
        if version != 1:
            raise _RefusedError("an array in an unusual form")
    else:
        data, kind, shape, order = call.args
        fortran = order == "F"
        if order not in ("C", "F"):
            raise _RefusedError("an array in an unusual form")
    if type(shape) is not tuple or len(shape) not in (1, 2) or not all(type(n) is int and n >= 0 for n in shape):
        raise _RefusedError("an array of an unusual shape")
    dtype, size = _dtype(kind), math.prod(shape)
    budget.take(size * dtype.itemsize + sum(shape))  # nothing in 2**60 columns is a lot too
    if dtype.kind == "U":  # numpy trusts such bytes to be characters; pandas stores strings otherwise
        raise _RefusedError(f"an array of type {dtype.str}")
    if dtype.hasobject:
        if type(data) is not list or len(data) != size:
            raise _RefusedError("an array with too few or too many values")
        values = np.empty(size, object)
        values[:] = [_item(item, budget) for item in data]
        return values.reshape(shape)
    if type(data) not in (bytes, bytearray) or len(data) != size * dtype.itemsize:
        raise _RefusedError("an array with too few or too many bytes")
    if dtype.kind == "b":  # numpy trusts such bytes to be 0 or 1
        truth: NDArray[Any] = np.frombuffer(data, np.uint8) != 0
        return truth.reshape(shape, order="F" if fortran else "C")
    numbers = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    return numbers.astype(dtype.newbyteorder("="), copy=False)  # pandas can do little with numbers of another order


def _item(value: Any, budget: _Budget) -> Any:
    """Return a plain value out of a list."""
    if type(value) is _Call:
        kind, data = _call(value, _SCALARS).args
        dtype = _dtype(kind)
        if dtype.hasobject or type(data) is not bytes or len(data) != dtype.itemsize or not data:
            raise _RefusedError("a broken number")
        budget.take(64 + len(data))  # a list may hold the same one many times
        value = np.frombuffer(data, dtype)[0].item()
    if type(value) is str:
        value.encode()  # lone surrogates would fail where the string is written
        return value
    if value is None or type(value) in (bytes, float, bool) or _is_small(value):
        return value
    if type(value) is _Name and value.text in _MISSING:
        return None
    raise _RefusedError(f"{value.text if type(value) is _Name else f'a {type(value).__name__}'} in an unusual place")


def _text(value: Any, budget: _Budget) -> pd.api.extensions.ExtensionArray:
    """Rebuild a column of pandas' own strings."""
    call = _call(value, {_BACKED} | _TEXT_STORED | _TEXT_ARROW)
    if call.function in _TEXT_ARROW:
        kind, values = call.state["_dtype"], _arrow(call.state["_pa_array"], budget)
    elif call.function in _TEXT_STORED:
        kind, values = call.state["_dtype"], _array(call.state["_ndarray"], budget).tolist()
    else:
        if type(call.args[0]) is not _Name or call.args[0].text not in _TEXT_STORED:
            raise _RefusedError(call.args[0].text if type(call.args[0]) is _Name else "an unusual column")
        kind, values = call.state[0], _array(call.state[1], budget).tolist()
    if not all(item is None or type(item) is str or item != item for item in values):
        raise _RefusedError("a column of strings that holds something else")
    kind = _call(kind, _TEXT_TYPES)
    with_nan = type(kind.args[-1]) is float if kind.args else kind.state == {"storage": "pyarrow_numpy"}
    return pd.array(values, dtype=pd.StringDtype(na_value=np.nan) if with_nan else pd.StringDtype("python"))


def _arrow(value: Any, budget: _Budget) -> list[str | None]:
    """Rebuild an Arrow array of strings from its buffers: a bit a row for "present", offsets, UTF-8.

    The layout is that of Arrow's columnar format, "Variable-size Binary Layout".
    """
    ((kind, length, _, offset, buffers, _, _),) = _call(value, {_ARROW_ARRAY}).args
    present, ends, letters = (None if buffer is None else _call(buffer, {_ARROW_BUFFER}).args[0] for buffer in buffers)
    widths = {"string": "<i4", "large_string": "<i8"}
    (alias,) = _call(kind, {_ARROW_TYPE}).args
    if type(alias) is not str or alias not in widths or offset != 0 or type(length) is not int or length < 0:
        raise _RefusedError("a column of an unusual Arrow type")
    letters = letters or b""
    if any(type(buffer) not in (bytes, bytearray) for buffer in (ends, letters, present or b"")) or not ends:
        raise _RefusedError("a broken column of strings")
    budget.take(64 * length + len(letters))
    bounds = np.frombuffer(ends, widths[alias], length + 1)
    if bounds[0] < 0 or (bounds[1:] < bounds[:-1]).any() or bounds[-1] > len(letters):  # their differences may overflow
        raise _RefusedError("a broken column of strings")
    if present is not None and 8 * len(present) < length:
        raise _RefusedError("a broken column of strings")
    bits = [1] * length if present is None else np.unpackbits(
        np.frombuffer(present, np.uint8), count=length, bitorder="little"
    ).tolist()  # fmt: skip
    spans = zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    return [letters[start:end].decode() if bit else None for bit, (start, end) in zip(bits, spans, strict=True)]


def _index(value: Any, length: int, budget: _Budget) -> "pd.Index[Any]":
    """Rebuild the names of columns or rows."""
    kind, state = _call(value, {"pandas.core.indexes.base._new_Index"}).args
    if type(kind) is not _Name:
        raise _RefusedError("an unusual index")
    name = state["name"]
    if name is not None and type(name) not in (str, int):
        raise _RefusedError("an index with an unusual name")
    if kind.text in _RANGES:
        bounds = [state[key] for key in ("start", "stop", "step")]
        if not all(type(bound) is int and abs(bound) < 2**62 for bound in bounds) or len(range(*bounds)) != length:
            raise _RefusedError("an index of another length than its table")
        start, stop, step = bounds
        return pd.RangeIndex(start, stop, step, name=name)
    if kind.text not in _INDEXES:
        raise _RefusedError(kind.text)
    data = state["data"]
    strings = type(data) is _Call and data.function not in _ARRAYS | _BUFFERS
    values: Any = _text(data, budget) if strings else _array(data, budget)
    if values.ndim != 1 or len(values) != length:
        raise _RefusedError("an index of another length than its table")
    found: pd.Index[Any] = pd.Index(values, dtype=values.dtype, name=name)
    return found


def _frame(value: Any, budget: _Budget) -> pd.DataFrame:
    """Rebuild a data frame from its blocks: arrays that hold some of its columns each, a row a column."""
    state = _call(value, _FRAMES).state
    manager = _call(state["_mgr" if "_mgr" in state else "_data"], {_MANAGER})
    if manager.args:
        notes, axes = manager.args
        parts = [_call(note, {_BLOCK}).args for note in notes]
        if any(dimensions != 2 for _, _, dimensions in parts):
            raise _RefusedError("a table in an unusual form")
        blocks = [(values, place) for values, place, _ in parts]
    else:  # pandas before 1.3
        form = manager.state[3]["0.14.1"]
        axes, blocks = form["axes"], [(block["values"], block["mgr_locs"]) for block in form["blocks"]]
    texts: list[Any] = []
    arrays: dict[np.dtype[Any], list[NDArray[Any]]] = {}  # by type, for a frame of read_csv has a block a column
    places: dict[np.dtype[Any] | None, list[Any]] = {}
    n_rows: int | None = None
    for values, place in blocks:
        strings = type(values) is _Call and values.function not in _ARRAYS | _BUFFERS
        block: Any = _text(values, budget) if strings else _array(values, budget)
        if n_rows not in (None, block.shape[-1]) or block.ndim != 2 - strings:
            raise _RefusedError("a table whose columns differ in length")
        n_rows = block.shape[-1]
        at = range(place.start, place.stop, place.step or 1) if type(place) is slice else _array(place, budget)
        if len(at) != (1 if strings else len(block)):
            raise _RefusedError("a table with too few or too many columns")
        places.setdefault(None if strings else block.dtype, []).extend(at if type(at) is range else at.tolist())
        (texts if strings else arrays.setdefault(block.dtype, [])).append(block)
        if len(texts) > MAX_TEXTS:
            raise _RefusedError(f"a table of more than {MAX_TEXTS:,} columns of strings")
    pieces = [pd.DataFrame({0: text}, dtype=text.dtype) for text in texts]
    order = places.pop(None, [])
    for dtype, some in arrays.items():
        joined = some[0] if len(some) == 1 else np.concatenate(some)
        pieces.append(pd.DataFrame(joined.T, dtype=dtype, copy=False))
        order += places[dtype]
    if not n_rows or not order or sorted(order) != list(range(len(order))):
        raise _RefusedError("a table without rows or columns, or with some that are missing or there twice")
    names, rows = axes
    table = pd.concat(pieces, axis=1, ignore_index=True)
    if order != sorted(order):
        table = table.iloc[:, np.argsort(order)]
    return table.set_axis(_index(names, len(order), budget), axis=1).set_axis(_index(rows, n_rows, budget), axis=0)


def _batch(value: Any, budget: _Budget) -> dict[str, Any]:
    """Rebuild the parts of a batch that are used."""
    if type(value) is not dict:
        raise _RefusedError(f"a {value.function if type(value) is _Call else type(value).__name__}, not a dictionary")
    found: dict[str, Any] = {}
    for key, part in value.items():
        name = key.decode("ascii", "replace") if type(key) is bytes else key
        if name in ("data", "labels", "label_names"):
            found[name] = [_item(item, budget) for item in part] if type(part) is list else _array(part, budget)
    return found
