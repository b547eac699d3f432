"""Malicious pickles. Run this file to see what several ways of reading them do.

Those that run code only leave a mark: a file at the path in the environment variable MALICIOUS_MARK, a file in the
current folder, or the attribute `malicious_mark` of a class.
"""

import argparse
import contextlib
import io
import json
import marshal
import os
import pickle
import pickletools
import random
import re
import resource
import select
import signal
import struct
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from cnnlab import data
from cnnlab.data.untrusted.pickle_program import MAX_STEPS, PLAIN_CALLS, Reduce
from cnnlab.data.untrusted.pickle_values import ACCEPTED, read_batch, read_frame
from cnnlab.errors import CnnlabError, DataError

MARK = "MALICIOUS_MARK"
PYTHON = f"open(__import__('os').environ['{MARK}'], 'w').close()"
SHELL = f'touch "${MARK}"'
SH = ("sh", "-c", SHELL)


# One function for each kind of value: it returns the steps that make it.


def text(value: str) -> bytes:
    encoded = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def raw(value: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(value)) + value


def number(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    encoded = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(encoded)]) + encoded


def value_of(value) -> bytes:
    """Return the steps of a plain value; bytes are steps already."""
    match value:
        case bytes():
            return value
        case None | bool():
            return {None: b"N", True: b"\x88", False: b"\x89"}[value]
        case str():
            return text(value)
        case int():
            return number(value)
        case float():
            return b"G" + struct.pack(">d", value)
        case tuple():
            return b"(" + b"".join(map(value_of, value)) + b"t"
        case list():
            return b"](" + b"".join(map(value_of, value)) + b"e"
        case dict():
            return b"}(" + b"".join(value_of(part) for item in value.items() for part in item) + b"u"
    raise TypeError(value)


def known(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


def call(function: bytes, *args) -> bytes:
    return function + value_of(args) + b"R"


def new(kind: bytes, *args) -> bytes:
    return kind + value_of(args) + b"\x81"


def build(made: bytes, state) -> bytes:
    return made + value_of(state) + b"b"


def put(place: int) -> bytes:
    return b"r" + struct.pack("<I", place)


def get(place: int) -> bytes:
    return b"j" + struct.pack("<I", place)


def whole(*steps: bytes) -> bytes:
    return b"\x80\x04" + b"".join(steps) + b"."


# The parts of valid files, to be combined in other ways.

ARRAY, BUFFER, SCALAR = (
    known("numpy._core.multiarray", "_reconstruct"),
    known("numpy._core.numeric", "_frombuffer"),
    known("numpy._core.multiarray", "scalar"),
)
NDARRAY, DTYPE = known("numpy", "ndarray"), known("numpy", "dtype")
INDEX, RANGE, NEW_INDEX = (
    known("pandas", "Index"),
    known("pandas", "RangeIndex"),
    known("pandas.core.indexes.base", "_new_Index"),
)
MANAGER, BLOCK = (
    known("pandas.core.internals.managers", "BlockManager"),
    known("pandas._libs.internals", "_unpickle_block"),
)
DATAFRAME, SLICE, ENCODE = known("pandas", "DataFrame"), known("builtins", "slice"), known("_codecs", "encode")
PARTIAL, NEW_BLOCK = known("functools", "partial"), known("pandas.core.internals.blocks", "new_block")
BACKED = known("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked")
STRINGS, STRING_TYPE = known("pandas.arrays", "StringArray"), known("pandas", "StringDtype")
ARROW_STRINGS = known("pandas.arrays", "ArrowStringArray")
RESTORE, ALIAS, PY_BUFFER = (known("pyarrow.lib", name) for name in ("_restore_array", "type_for_alias", "py_buffer"))
BYTES, BYTEARRAY = known("builtins", "bytes"), known("builtins", "bytearray")


def dtype(code="u1", order=None, more=(None, None, None, -1, -1, 0), version=3) -> bytes:
    if order is None:
        order = "|" if (str(code)[1:] in ("1", "8") and str(code)[0] in "O") or str(code)[1:] == "1" else "<"
    return build(call(DTYPE, code, False, True), (version, order, *more))


OBJECT = dtype("O8", "|", (None, None, None, -1, -1, 63))


def array(data, kind=None, shape=(2,), fortran=False, version=1, cls=NDARRAY) -> bytes:
    made = call(ARRAY, cls, (0,), raw(b"b"))
    return build(made, (version, shape, dtype() if kind is None else kind, fortran, data))


def buffer(data, kind=None, shape=(2,), order="C") -> bytes:
    return call(BUFFER, data, dtype() if kind is None else kind, shape, order)


def index(data, name=None, kind=INDEX, **more) -> bytes:
    return call(NEW_INDEX, kind, {"data": data, "name": name, **more})


def rows(start=0, stop=2, step=1, name=None) -> bytes:
    return call(NEW_INDEX, RANGE, {"name": name, "start": start, "stop": stop, "step": step})


def objects(*items) -> bytes:
    return array(list(items), OBJECT, (len(items),))


def block(values: bytes, start=0, stop=2, step=1) -> bytes:
    return call(BLOCK, values, call(SLICE, start, stop, step), 2)


PIXELS = array(raw(b"\1\2\3\4"), shape=(2, 2))
LABELS = array(raw(struct.pack("<2q", 0, 1)), dtype("i8"), (1, 2))
COLUMNS = index(objects("pixel0", "pixel1", "label"))
BLOCKS = (block(PIXELS), block(LABELS, 2, 3))
ROWS = rows()
SPANS = struct.pack("<3q", 0, 1, 2)
FLAGS = value_of({"allows_duplicate_labels": True})


def table(blocks=BLOCKS, columns=COLUMNS, index=ROWS, attrs=b"}", more=()) -> bytes:
    manager = call(MANAGER, tuple(blocks), [columns, index])
    state = {"_mgr": manager, "_typ": "dataframe", "_metadata": [], "attrs": attrs, "_flags": FLAGS, **dict(more)}
    return build(new(DATAFRAME), state)


def labelled(values: bytes) -> bytes:
    """Return a table with these labels: a column of pandas' strings, or a block of one row."""
    return table((BLOCKS[0], block(values, 2, 3)))


def strings(data: bytes, kind: bytes = STRINGS) -> bytes:
    return build(call(BACKED, kind, 82904607, None), (call(STRING_TYPE, "python", float("nan")), data))


def py_buffer(content: bytes | None) -> bytes | None:
    return None if content is None else call(PY_BUFFER, call(BYTEARRAY, raw(content)))


def arrow(ends=SPANS, letters=b"ab", length=2, present=None, alias="large_string", kind=None, offset=0, buffers=None):
    """Return a column of strings in Arrow's form; `buffers` are steps that replace those of the contents."""
    if buffers is None:
        buffers = [py_buffer(content) for content in (present, ends, letters)]
    data = (kind or call(ALIAS, alias), length, 0, offset, list(buffers), [], None)
    state = {"_pa_array": call(RESTORE, data), "_dtype": call(STRING_TYPE, "pyarrow", float("nan"))}
    return build(new(ARROW_STRINGS), state)


def batch(data=None, labels=b"](K\0K\1e", **more) -> bytes:
    values = array(raw(bytes(range(24))), shape=(2, 12)) if data is None else data
    return value_of({"labels": labels, "data": values, **more})


def laughs(depth: int, start: bytes = b")", last: bytes = b"") -> bytes:
    """Nested tuples: one step per level, but 2 ** depth items for code that walks through them."""
    levels = b"".join(put(1000 + i) + get(1000 + i) + b"\x86" for i in range(depth))
    return start + levels + last


def npy(content: bytes) -> bytes:
    """Return a NumPy file of one object: `numpy.load` unpickles it where that is allowed."""
    file = io.BytesIO()
    np.save(file, np.array([None], object), allow_pickle=True)
    written = file.getvalue()
    return written[: written.index(b"\x80")] + content


def os_system(way: str) -> bytes:
    """Call os.system in one of the ways in which a pickle can call a function."""
    function, argument = known("os", "system"), text(SHELL)
    return {
        "REDUCE": function + argument + b"\x85R",
        "OBJ": b"(" + function + argument + b"o",
        "INST": b"(" + argument + b"ios\nsystem\n",
        "NEWOBJ": function + argument + b"\x85\x81",
        "GLOBAL": b"cos\nsystem\n" + argument + b"\x85R",
        "protocol 0": b"cos\nsystem\n(S" + repr(SHELL).encode() + b"\ntR",
        "POSIX": b"cposix\nsystem\n" + argument + b"\x85R",
    }[way]


def getattr_(made, name: str) -> bytes:
    return call(known("builtins", "getattr"), made, name)


NESTED = whole(os_system("REDUCE"))
BYTES_IO = call(known("io", "BytesIO"), raw(NESTED))
CODE = marshal.dumps(compile(PYTHON, "x", "exec"))
EVIL = call(known("builtins", "eval"), PYTHON)
POPEN = known("subprocess", "Popen")

CODE_EXECUTION: dict[str, bytes] = {
    **{
        f"os.system by {way}": whole(os_system(way))
        for way in ("REDUCE", "OBJ", "INST", "NEWOBJ", "GLOBAL", "protocol 0", "POSIX")
    },
    "os.popen": whole(getattr_(call(known("os", "popen"), SHELL), "read"), b")R"),
    "os.posix_spawn": whole(
        call(
            known("os", "posix_spawn"),
            "/bin/sh",
            list(SH),
            call(known("builtins", "dict"), getattr_(known("os", "environ"), "_data")),
        )
    ),
    "subprocess.run": whole(call(known("subprocess", "run"), list(SH))),
    "subprocess.Popen by NEWOBJ": whole(new(POPEN, list(SH))),
    "subprocess.Popen by NEWOBJ_EX": whole(POPEN, value_of((list(SH),)), b"}\x92", b"0", call(POPEN, list(SH))),
    "subprocess.getoutput": whole(call(known("subprocess", "getoutput"), SHELL)),
    "builtins.eval": whole(EVIL),
    "builtins.eval of Python 2": whole(call(known("__builtin__", "eval"), PYTHON)),
    "builtins.exec": whole(call(known("builtins", "exec"), PYTHON)),
    "builtins.getattr": whole(call(getattr_(call(known("builtins", "__import__"), "os"), "system"), SHELL)),
    "builtins.__import__": whole(call(getattr_(call(known("builtins", "__import__"), "posix"), "system"), SHELL)),
    "builtins.open": whole(call(known("builtins", "open"), "opened", "w")),
    "builtins.map": whole(
        call(known("builtins", "list"), call(known("builtins", "map"), known("os", "system"), [SHELL]))
    ),
    "builtins.compile": whole(call(known("builtins", "eval"), call(known("builtins", "compile"), PYTHON, "x", "exec"))),
    "importlib.import_module": whole(call(getattr_(call(known("importlib", "import_module"), "os"), "system"), SHELL)),
    "runpy": whole(call(known("runpy", "_run_code"), call(known("builtins", "compile"), PYTHON, "x", "exec"), {})),
    "pty.spawn": whole(call(known("pty", "spawn"), list(SH))),
    "ctypes": whole(call(getattr_(call(known("ctypes", "CDLL"), None), "system"), raw(SHELL.encode()))),
    "timeit": whole(call(known("timeit", "timeit"), "0", PYTHON, b"cbuiltins\nlen\n", 1)),
    "cProfile": whole(call(known("cProfile", "run"), PYTHON)),
    "bdb": whole(call(getattr_(call(known("bdb", "Bdb")), "run"), PYTHON)),
    "code.InteractiveInterpreter": whole(
        call(getattr_(call(known("code", "InteractiveInterpreter")), "runsource"), PYTHON)
    ),
    "types.FunctionType of marshalled code": whole(
        call(call(known("types", "FunctionType"), call(known("marshal", "loads"), raw(CODE)), {})),
    ),
    "operator.methodcaller": whole(
        call(call(known("operator", "methodcaller"), "system", SHELL), call(known("builtins", "__import__"), "os"))
    ),
    "operator.attrgetter": whole(
        call(call(call(known("operator", "attrgetter"), "system"), call(known("builtins", "__import__"), "os")), SHELL)
    ),
    "functools.partial": whole(call(call(PARTIAL, known("os", "system"), SHELL))),
    "functools.partial that BUILD fills": whole(
        call(build(call(PARTIAL, BYTES), (known("os", "system"), (SHELL,), {}, None)))
    ),
    "functools.reduce": whole(
        call(known("functools", "reduce"), known("builtins", "getattr"), ["x", "__class__"])
        + b"0"
        + call(known("functools", "reduce"), known("builtins", "eval"), [PYTHON, {}])
    ),
    "numpy's runstring": whole(call(known("numpy.testing._private.utils", "runstring"), PYTHON, {})),
    "numpy's f2py": whole(call(known("numpy.f2py.crackfortran", "myeval"), PYTHON)),
    "numpy.load of pickled objects": whole(
        call(known("numpy", "load"), call(known("io", "BytesIO"), raw(npy(NESTED))), None, True)
    ),
    "pandas.eval": whole(
        call(known("pandas", "eval"), f"mark('{SHELL}')", "pandas", "python", {"mark": known("os", "system")})
    ),
    "DataFrame.query": whole(
        call(getattr_(call(DATAFRAME, {"a": [1]}), "query"), f"@pd.compat.os.system('{SHELL}') == a")
    ),
    "DataFrame.pipe": whole(call(known("pandas", "DataFrame.pipe"), SHELL, known("os", "system"))),
    "Series.apply": whole(
        call(known("pandas", "Series.apply"), call(known("pandas", "Series"), [SHELL]), known("os", "system"))
    ),
    "pandas.read_pickle": whole(call(known("pandas", "read_pickle"), BYTES_IO)),
    "pandas.to_pickle to a place of choice": whole(call(known("pandas", "to_pickle"), {"x": 1}, "written")),
    "joblib.load": whole(call(known("joblib", "load"), BYTES_IO)),
    "pickle.loads": whole(call(known("pickle", "loads"), raw(NESTED))),
    "_pickle.loads": whole(call(known("_pickle", "loads"), raw(NESTED))),
    "multiprocessing's loads": whole(call(known("multiprocessing.reduction", "_ForkingPickler.loads"), raw(NESTED))),
    "codecs.decode to a pickle": whole(
        call(known("pickle", "loads"), call(known("codecs", "decode"), raw(NESTED.hex().encode()), "hex"))
    ),
    "_codecs.lookup": whole(call(known("_codecs", "lookup"), "idna"), b"0", EVIL),
    "_codecs.register of a function": whole(
        call(known("_codecs", "register"), known("builtins", "exec")), b"0", call(ENCODE, "x", PYTHON)
    ),
    "a dotted name": whole(call(known("os", "path.os.system"), SHELL)),
    "a dotted module": whole(call(known("os.path", "os.system"), SHELL)),
    "a dotted name inside numpy": whole(call(known("numpy", "f2py.os.system"), SHELL)),
    "a dotted name inside what is known": whole(
        call(known("pandas", "DataFrame.to_csv"), call(DATAFRAME, {"a": [1]}), "written")
    ),
    "a class's __init__.__globals__": whole(
        call(call(known("pandas", "DataFrame.__init__.__globals__.__getitem__"), "sys")), b"0", EVIL
    ),
    "what is known, split elsewhere": whole(call(known("os.path.os", "system"), SHELL)),
    "a known name from the memo, of another place": whole(
        text("numpy"), put(0), text("os"), put(0), get(0), text("system"), b"\x93", text(SHELL), b"\x85R"
    ),
    "code inside a valid table": whole(table(attrs=value_of({"x": os_system("REDUCE")}))),
    "code before a valid table": whole(os_system("REDUCE"), b"0", table()),
    "code in a mark that is dropped": whole(b"(", os_system("REDUCE"), b"1", table()),
    "code beside a valid batch": whole(batch(x=EVIL)),
    "code as a key": whole(b"}", EVIL, b"K\1s"),
    "code in a frozenset": whole(b"(", EVIL, b"\x91"),
    "code after two protocols": b"\x80\x02\x80\x04" + NESTED[2:],
    "code in a frame that ends early": b"\x80\x04\x95" + struct.pack("<Q", 4) + NESTED[2:],
    "code by EXT1, of the cache": whole(
        call(known("copyreg", "add_extension"), "os", "system", 99), b"0\x82\x63", text(SHELL), b"\x85R"
    ),
    "__reduce__ as a state": whole(
        build(new(known("types", "SimpleNamespace")), {"__reduce__": known("os", "system")}), b"0", EVIL
    ),
    "a __setstate__ of choice": whole(
        build(build(new(known("types", "SimpleNamespace")), {"__setstate__": known("os", "system")}), SHELL)
    ),
    "a generator's frame": whole(
        call(known("builtins", "all"), call(known("builtins", "map"), known("builtins", "exec"), [PYTHON]))
    ),
    "an attribute of DataFrame": whole(DATAFRAME, value_of((None, {"malicious_mark": 1})), b"b"),
    "an attribute of Index": whole(INDEX, value_of((None, {"malicious_mark": 1})), b"b0", table()),
    "an attribute of RangeIndex": whole(RANGE, value_of((None, {"malicious_mark": 1})), b"b0", table()),
    "no get_loc for Index": whole(INDEX, value_of((None, {"get_loc": BYTES})), b"b", table()),
    "no length for RangeIndex": whole(RANGE, value_of((None, {"__len__": BYTES})), b"b", table()),
    "no constructor for DataFrame": whole(DATAFRAME, value_of((None, {"__init__": BYTES})), b"b0", table()),
    "no values for BlockManager": whole(MANAGER, value_of((None, {"as_array": BYTES})), b"b0", table()),
    "another partial for all": whole(NEW_BLOCK, value_of((None, {"malicious_mark": 1})), b"b0", table()),
    "another StringDtype for all": whole(STRING_TYPE, value_of((None, {"name": 1})), b"b0", table()),
    "an attribute of the reader's own class": whole(
        known("cnnlab.data.untrusted.pickle_program", "Reduce"), value_of((None, {"malicious_mark": 1})), b"b"
    ),
    "the reader's list of what is known": whole(
        call(getattr_(known("cnnlab.data.untrusted.pickle_values", "ACCEPTED"), "add"), "os.system"), b"0", EVIL
    ),
}
"""Pickles that run code, or change a class for the rest of the process."""

RAW_OBJECT = dtype("O8", "|")  # flags that say "no Python objects inside"
ADDRESSES = struct.pack("<2Q", 0x4141414141414141, 0x1000)
FIELDS = {"a": (OBJECT, 0), "b": (dtype("i8"), 1 << 40)}
NUMPY: dict[str, bytes] = {
    "addresses as objects": whole(batch(array(raw(ADDRESSES), OBJECT, (1, 2)))),
    "addresses as objects, flags cleared": whole(batch(array(raw(ADDRESSES), RAW_OBJECT, (1, 2)))),
    "addresses as objects in a table": whole(
        table((BLOCKS[0], block(array(raw(ADDRESSES), RAW_OBJECT, (1, 2)), 2, 3)))
    ),
    "addresses as objects of a buffer": whole(batch(buffer(raw(ADDRESSES), RAW_OBJECT, (1, 2)))),
    "an address as a number of Python": whole(call(SCALAR, RAW_OBJECT, raw(ADDRESSES[:8]))),
    "an address as a label": whole(batch(labels=value_of([0, call(SCALAR, RAW_OBJECT, raw(ADDRESSES[:8]))]))),
    "an object as a number": whole(batch(labels=value_of([0, call(SCALAR, OBJECT, [EVIL])]))),
    "a type with metadata": whole(
        batch(
            array(
                raw(bytes(24)),
                build(call(DTYPE, "u1", False, True), (4, "|", None, None, None, -1, -1, 0, {"x": 1})),
                (2, 12),
            )
        )
    ),
    "a type of a negative size": whole(batch(array(raw(bytes(24)), dtype("V8", "|", (None, None, None, -8, 1, 0))))),
    "a type of a huge size": whole(batch(array(raw(bytes(24)), dtype("V8", "|", (None, None, None, 2**31 - 1, 1, 0))))),
    "a type of no size": whole(batch(array(raw(b""), dtype("V0", "|", (None, None, None, 0, 1, 0)), (2**62,)))),
    "a number of a huge size": whole(batch(array(raw(bytes(24)), dtype("u1", "|", (None, None, None, 2**30, 1, 0))))),
    "a type with fields of objects": whole(
        batch(array(raw(ADDRESSES), dtype("V16", "|", (None, ("a", "b"), FIELDS, 16, 1, 0)), (1,)))
    ),
    "a type whose names are no names": whole(
        batch(array(raw(bytes(16)), dtype("V16", "|", (None, 7, {7: 7}, 16, 1, 16)), (1,)))
    ),
    "a type with a field beyond itself": whole(
        batch(array(raw(bytes(8)), dtype("V8", "|", (None, ("b",), FIELDS, 8, 1, 16)), (1,)))
    ),
    "a type of a huge subarray": whole(
        batch(array(raw(bytes(8)), dtype("V8", "|", ((dtype("i8"), (2**40,)), None, None, 8, 1, 0)), (1,)))
    ),
    "a type that is its own subarray": whole(
        call(DTYPE, "V8"), put(0), value_of((3, "|", (get(0), (2,)), None, None, 8, 1, 0)), b"b"
    ),
    "a type with an alignment of nothing": whole(
        batch(array(raw(bytes(24)), dtype("i8", "<", (None,) * 3 + (8, 0, 0))))
    ),
    "a type with all flags": whole(batch(array(raw(bytes(24)), dtype("u1", "|", (None, None, None, -1, -1, -1))))),
    "a type without a state": whole(batch(array(raw(bytes(24)), call(DTYPE, "u1", False, True), (2, 12)))),
    "a type with a state of no tuple": whole(batch(array(raw(bytes(24)), build(call(DTYPE, "u1"), "x" * 8), (2, 12)))),
    "a type from commas": whole(batch(array(raw(bytes(24)), dtype("u1,O8", "|"), (2, 12)))),
    "a type from a dictionary": whole(
        batch(
            array(raw(bytes(24)), dtype(value_of({"names": ["a"], "formats": ["O"], "offsets": [2**40]}), "|"), (2, 12))
        )
    ),
    "a type of dates": whole(batch(array(raw(bytes(16)), dtype("M8"), (2,)))),
    "a type of numbers of another alphabet": whole(batch(array(raw(bytes(24)), dtype("U\u0663", "<"), (2,)))),
    "a type of long strings": whole(batch(array(raw(bytes(24)), dtype("U999999999", "<"), (2,)))),
    "a byte order that is none": whole(batch(array(raw(bytes(24)), dtype("u4", "?"), (2, 3)))),
    "a byte order that is the machine's": whole(batch(array(raw(bytes(24)), dtype("u4", "="), (2, 3)))),
    "strings that are no characters": whole(batch(labels=array(raw(b"\xff" * 8), dtype("U1", "<")))),
    "strings of no characters as names": whole(table(columns=index(array(raw(b"\xff" * 12), dtype("U1", "<"), (3,))))),
    "a string of no character as a label": whole(
        batch(labels=value_of([call(SCALAR, dtype("U1", "<"), raw(b"\xff" * 4))] * 2))
    ),
    "an array of another class": whole(batch(array(raw(bytes(24)), cls=DATAFRAME))),
    "an array of a class that runs": whole(batch(array(raw(bytes(24)), cls=known("subprocess", "Popen")))),
    "an array without a state": whole(batch(call(ARRAY, NDARRAY, (2**40,), raw(b"b")))),
    "an array that starts huge": whole(
        build(call(ARRAY, NDARRAY, (2**62, 8), raw(b"b")), (1, (0,), dtype(), False, b"C\0"))
    ),
    "an array of a huge shape": whole(batch(array(raw(bytes(24)), shape=(2**40, 12)))),
    "an array of a negative shape": whole(batch(array(raw(bytes(24)), shape=(-2, -12)))),
    "an array of a shape whose product overflows": whole(batch(array(raw(b""), shape=(2**32, 2**32)))),
    "an array of a shape whose product overflows to fit": whole(batch(array(raw(b"12"), shape=(2**63 + 1, 2)))),
    "an array of nothing in many columns": whole(table((block(array(raw(b""), shape=(2**31, 0)), 0, 2**31),))),
    "an array of nothing in many rows": whole(
        table((block(array(raw(b""), shape=(0, 2**61)), 0, 0),), index(objects()), rows(0, 2**61))
    ),
    "an array of a shape of 2,000 bits": whole(batch(array(raw(bytes(24)), shape=(1 << 2000, 0)))),
    "an array of 70 dimensions": whole(batch(array(raw(b"x"), shape=(1,) * 70))),
    "an array of a shape of floats": whole(batch(array(raw(bytes(24)), shape=(2.0, 12.0)))),
    "an array of a shape of truth": whole(batch(array(raw(bytes(24)), shape=(True, 24)))),
    "an array of too few bytes": whole(batch(array(raw(bytes(5)), shape=(2, 12)))),
    "an array of a string": whole(batch(array(text("x" * 24), shape=(2, 12)))),
    "an array of a number": whole(batch(array(number(2**40), shape=(2, 12)))),
    "an array that is its own data": whole(
        call(ARRAY, NDARRAY, (0,), raw(b"b")), put(0), value_of((1, (1,), OBJECT, False, [get(0)])), b"b"
    ),
    "an array that is changed twice": whole(
        build(array(raw(bytes(24)), shape=(2, 12)), (1, (2**40,), dtype(), False, b"C\0"))
    ),
    "a buffer of a number": whole(batch(buffer(2**40, shape=(2**40,)))),
    "a buffer of a string": whole(batch(buffer("x" * 24, shape=(2, 12)))),
    "a buffer of an array that is freed": whole(batch(buffer(array(raw(bytes(24)), shape=(24,)), shape=(2, 12)))),
    "a buffer of a huge count": whole(batch(buffer(raw(bytes(24)), shape=(2**60, 12)))),
    "a buffer of nothing in many rows": whole(batch(buffer(raw(b""), dtype("V0", "|"), (2**62, 0)))),
    "a buffer in an order of its own": whole(batch(buffer(raw(bytes(24)), shape=(2, 12), order="K"))),
    "a buffer with strides": whole(call(NDARRAY, (2, 2**30), "i8", raw(bytes(24)), 0, (2**40, 8))),
    "a number of too few bytes": whole(batch(labels=value_of([call(SCALAR, dtype("i8"), raw(b"1"))] * 2))),
    "a number of a list": whole(batch(labels=value_of([call(SCALAR, dtype("i8"), [1])] * 2))),
    "an array as memory of choice": whole(
        call(known("numpy.lib.stride_tricks", "as_strided"), array(raw(b"ab")), (2**20,), (4096,))
    ),
    "an array of a file of choice": whole(call(known("numpy", "memmap"), "mapped", "u1", "w+", 0, (9,))),
    "an array of the network's choice": whole(call(known("numpy", "genfromtxt"), "http://127.0.0.1:9/x")),
}
"""Arrays that no valid file holds: what numpy is told about its memory is not true."""

ARROW_BUFFERS = [py_buffer(SPANS), py_buffer(b"ab")]
OVERFLOWING = struct.pack("<7q", 0, 2**63 - 1, 5 - 2**63, 0, 2**63 - 1, 6 - 2**63, -1)
TABLES: dict[str, bytes] = {
    "a table with overlapping columns": whole(table((BLOCKS[0], block(LABELS, 1, 2)))),
    "a table with a column missing": whole(table((BLOCKS[0], block(LABELS, 3, 4)))),
    "a table with too many places": whole(table((block(PIXELS, 0, 3), block(LABELS, 3, 4)))),
    "a table with places far away": whole(table((BLOCKS[0], block(LABELS, 2**60, 2**60 + 1)))),
    "a table with a slice of all": whole(table((block(PIXELS, 0, 2**62), block(LABELS, 2, 3)))),
    "a table with a slice backwards": whole(table((block(PIXELS, 1, -3, -2), block(LABELS, 2, 3)))),
    "a table with a slice of strings": whole(table((call(BLOCK, PIXELS, call(SLICE, "a", "b", "c"), 2), BLOCKS[1]))),
    "a table with negative places": whole(
        table((call(BLOCK, PIXELS, array(raw(struct.pack("<2q", -3, -2)), dtype("i8")), 2), BLOCKS[1]))
    ),
    "a table with places of 2 ** 63": whole(table((call(BLOCK, PIXELS, array(raw(b"\xff" * 16), dtype("u8")), 2),))),
    "a table with places that are not numbers": whole(table((call(BLOCK, PIXELS, objects("a", None), 2), BLOCKS[1]))),
    "a table with places of NaN": whole(table((call(BLOCK, PIXELS, array(raw(b"\xff" * 16), dtype("f8")), 2),))),
    "a table of three dimensions": whole(table((block(array(raw(bytes(8)), shape=(2, 2, 2))), BLOCKS[1]))),
    "a table of a block of three dimensions": whole(table((call(BLOCK, PIXELS, call(SLICE, 0, 2, 1), 3), BLOCKS[1]))),
    "a table of one dimension": whole(table((block(array(raw(b"12"))), BLOCKS[1]))),
    "a table of a number": whole(table((block(number(7)), BLOCKS[1]))),
    "a table of itself": whole(
        new(DATAFRAME), put(0), value_of({"_mgr": call(MANAGER, (block(get(0)),), [COLUMNS, ROWS])}), b"b"
    ),
    "a table of columns of different length": whole(table((BLOCKS[0], block(array(raw(b"123"), shape=(1, 3)), 2, 3)))),
    "a table of no blocks": whole(table((), index(objects()))),
    "a table of 10 ** 18 rows and no columns": whole(table((), index(objects()), rows(0, 10**18))),
    "a table of fewer rows than blocks": whole(table(index=rows(0, 1))),
    "a table of 10 ** 18 row names": whole(table(index=rows(0, 10**18))),
    "a table of rows whose count overflows": whole(table(index=rows(-(2**63), 2**63 - 1, 2**62))),
    "a table of rows in steps of nothing": whole(table(index=rows(0, 2, 0))),
    "a table of rows of 2,000 bits": whole(table(index=rows(1 << 2000, (1 << 2000) + 2))),
    "a table of rows that are changed": whole(table(index=build(rows(), {"_range": 7, "_cache": {"x": EVIL}}))),
    "a table of rows of a range of strings": whole(table(index=rows("0", "2"))),
    "a table of fewer names than columns": whole(table(columns=index(objects("a", "label")))),
    "a table of names in two dimensions": whole(table(columns=index(array(list("abc"), OBJECT, (3, 1))))),
    "a table of names of a class of choice": whole(table(columns=index(objects("a", "b"), kind=POPEN))),
    "a table of names of a frame": whole(table(columns=index(objects("a", "b"), kind=DATAFRAME))),
    "a table whose index has a name of a list": whole(table(index=index(array(raw(b"12")), name=[[]]))),
    "a table whose index is of half floats": whole(table(index=index(array(raw(bytes(4)), dtype("f2"))))),
    "a table that is built twice": whole(build(table(), {"_mgr": None})),
    "a table without a manager": whole(build(new(DATAFRAME), {"attrs": {}})),
    "a table whose state is a string": whole(build(new(DATAFRAME), "_mgr")),
    "a table of pandas 1.0 whose state is a string": whole(
        build(new(DATAFRAME), {"_data": build(new(MANAGER), ("", "", "", "0.14.1"))})
    ),
    "a table of pandas 1.0 without axes": whole(
        build(new(DATAFRAME), {"_data": build(new(MANAGER), ([], [], [], {"0.14.1": {"blocks": []}}))})
    ),
    "a partial of another function": whole(table((call(call(PARTIAL, BYTES), PIXELS, call(SLICE, 0, 2, 1)),))),
    "a partial of a partial": whole(table((call(call(PARTIAL, call(PARTIAL, NEW_BLOCK)), PIXELS),))),
    "a partial of nothing": whole(call(PARTIAL)),
    "a known name that is called for nothing": whole(call(known("pandas", "NA"))),
    "bytes of a number": whole(call(BYTES, 2**40)),
    "a bytearray of a number": whole(call(BYTEARRAY, 2**40)),
    "a slice of lists": whole(call(SLICE, [], [], [])),
    "strings that are numbers": whole(labelled(strings(array(raw(bytes(16)), dtype("i8"))))),
    "strings of another class": whole(labelled(strings(objects("a", "b"), kind=DATAFRAME))),
    "strings of nested tuples as a class": whole(labelled(strings(objects("a", "b"), kind=laughs(60)))),
    "strings in two dimensions": whole(labelled(strings(array(list("ab"), OBJECT, (1, 2))))),
    "strings that hold a list": whole(labelled(strings(objects("a", [])))),
    "strings of a type of choice": whole(labelled(build(call(BACKED, STRINGS, 1, None), (EVIL, objects("a", "b"))))),
    "strings without a state": whole(labelled(call(BACKED, STRINGS, 82904607, None))),
    "strings with lone surrogates": whole(labelled(strings(objects("\udc80", "\ud800")))),
    "labels with lone surrogates": whole(labelled(array(["\udc80", "\ud800"], OBJECT, (1, 2)))),
    "labels of 2,000 bits": whole(labelled(array([1 << 2000, 0], OBJECT, (1, 2)))),
    "labels that are lists": whole(labelled(array([[], []], OBJECT, (1, 2)))),
    "labels that are tables": whole(labelled(array([table(), table()], OBJECT, (1, 2)))),
    "labels that are names": whole(labelled(array([DATAFRAME, DATAFRAME], OBJECT, (1, 2)))),
    "Arrow offsets out of range": whole(labelled(arrow(struct.pack("<3q", 0, 1, 2**40)))),
    "Arrow offsets below nothing": whole(labelled(arrow(struct.pack("<3q", -(2**40), 1, 2)))),
    "Arrow offsets that descend": whole(labelled(arrow(struct.pack("<3q", 2, 1, 0)))),
    "Arrow offsets whose differences overflow": whole(
        table((block(arrow(OVERFLOWING, b"ab" * 50, 6), 0, 1),), index(objects("label")), rows(0, 6))
    ),
    "Arrow offsets that are too few": whole(labelled(arrow(struct.pack("<2q", 0, 1)))),
    "Arrow offsets of nothing": whole(labelled(arrow(ends=None))),
    "Arrow offsets of half the width": whole(labelled(arrow(struct.pack("<3i", 0, 1, 2)))),
    "an Arrow array of 2 ** 60": whole(labelled(arrow(length=2**60))),
    "an Arrow array of -1": whole(labelled(arrow(length=-1))),
    "an Arrow array with an offset": whole(labelled(arrow(offset=2**40))),
    "Arrow strings that are no UTF-8": whole(labelled(arrow(letters=b"\xff\xfe"))),
    "Arrow strings without letters": whole(labelled(arrow(letters=None))),
    "Arrow bits that are too few": whole(labelled(arrow(present=b""))),
    "Arrow bits of a number": whole(labelled(arrow(buffers=[call(PY_BUFFER, 2**34), *ARROW_BUFFERS]))),
    "Arrow letters of a number": whole(labelled(arrow(buffers=[None, ARROW_BUFFERS[0], call(PY_BUFFER, 2**40)]))),
    "Arrow letters at an address": whole(
        labelled(arrow(buffers=[None, ARROW_BUFFERS[0], call(known("pyarrow.lib", "foreign_buffer"), 0x1000, 9, None)]))
    ),
    "an Arrow type of numbers": whole(labelled(arrow(alias="int64"))),
    "an Arrow type of nested tuples": whole(labelled(arrow(alias=laughs(60)))),
    "an Arrow type of a function": whole(labelled(arrow(kind=EVIL))),
    "an Arrow file of choice": whole(call(known("pyarrow", "memory_map"), "mapped", "w")),
    "a column of categories with codes out of range": whole(
        labelled(build(new(known("pandas", "Categorical")), {"_codes": array(raw(b"\x7f\x80"), dtype("i1"))}))
    ),
}
"""Tables whose parts do not fit together or are of a wrong kind."""

LONG = b"x" * (1 << 20)
MILLIONS = MAX_STEPS - 99  # what such a pickle may have
SAME_HASH = [number(i * (2**61 - 1)) for i in range(1, 60_000)]


def shared_blocks(count: int, values: bytes, n_rows: int, width: int = 1) -> bytes:
    """Return a table of `count` blocks that share the same values: the file contains them once."""
    start = values + put(7) + BLOCK + put(8) + SLICE + put(9)  # the value of a pickle is the last one
    blocks = b"".join(
        b"h\x08h\x07h\x09" + number(i * width) + number((i + 1) * width) + b"K\1\x87RK\2\x87R" for i in range(count)
    )
    names = index(objects(*["x"] * 3))
    manager = MANAGER + b"(" + blocks + b"t" + value_of([names, rows(0, n_rows)]) + b"\x86R"
    return start + build(new(DATAFRAME), {"_mgr": manager})


def same_number(count: int, code: str, data: bytes) -> bytes:
    """Return a batch whose labels share the same number: the file contains it once."""
    return call(SCALAR, dtype(code), raw(data)) + put(7) + batch(labels=b"](" + b"h\x07" * count + b"e")


SIZES: dict[str, bytes] = {
    "nested tuples": whole(laughs(60)),
    "nested tuples as a key": whole(b"}", laughs(60), b"K\1s"),
    "nested tuples as a module": whole(laughs(60), text("x"), b"\x93"),
    "nested tuples as a name": whole(text("numpy"), laughs(60), b"\x93"),
    "nested tuples as a function": whole(laughs(60), b")R"),
    "nested tuples as labels": whole(batch(labels=laughs(60))),
    "nested tuples as a label": whole(batch(labels=b"]" + laughs(60) + b"a")),
    "nested tuples as the name of an index": whole(table(index=index(array(raw(b"12")), name=laughs(60)))),
    "nested tuples as a type": whole(batch(array(raw(bytes(24)), dtype(laughs(60), "|"), (2, 12)))),
    "nested tuples as a byte order": whole(batch(array(raw(bytes(24)), dtype("u4", laughs(60)), (2, 3)))),
    "nested tuples as a shape": whole(batch(array(raw(bytes(24)), shape=laughs(60)))),
    "nested tuples as an encoding": whole(call(ENCODE, "x", laughs(60))),
    "nested tuples as a place": whole(table((call(BLOCK, PIXELS, laughs(60), 2), BLOCKS[1]))),
    "nested lists that multiply": whole(b"]" + b"".join(put(i) + b"](" + get(i) * 9 + b"e" for i in range(40))),
    "a list in itself": whole(b"]", put(0), get(0), b"a"),
    "a dictionary in itself": whole(b"}", put(0), text("data"), get(0), b"s"),
    "a tuple in itself": whole(b"]", put(0), get(0), b"\x85", put(1), b"a", get(1)),
    "labels in themselves": whole(batch(labels=b"]" + put(0) + get(0) + b"a")),
    "an index in itself": whole(b"}", put(0), text("data"), NEW_INDEX, INDEX, get(0), b"\x86Rs", get(0)),
    "blocks in themselves": whole(b"]", put(0), get(0), b"a", table((), index(get(0)))),
    "the same bytes as a thousand arrays": whole(
        raw(LONG), put(7), b"](" + b"".join(array(get(7), shape=(1 << 10, 1 << 10)) for _ in range(1000)) + b"e"
    ),
    "the same bytes as a thousand columns": whole(
        raw(LONG), put(5), shared_blocks(1000, array(get(5), shape=(1, 1 << 20)), 1 << 20)
    ),
    "the same string a thousand times encoded": whole(
        text("x" * (1 << 20)), put(7), b"](", (ENCODE + get(7) + text("latin1") + b"\x86R") * 1000, b"e"
    ),
    "the same strings as 50,000 columns": whole(shared_blocks(50_000, strings(objects("a")), 1)),
    "the same array as 100,000 columns": whole(shared_blocks(100_000, array(raw(b"x"), shape=(1, 1)), 1)),
    "no columns 100,000 times": whole(shared_blocks(100_000, array(raw(b""), shape=(0, 1)), 1, 0)),
    "the same long string as 100,000 labels": whole(
        same_number(100_000, "U9999", "\U0001f438".encode("utf-32-le") * 9999)
    ),
    "the same number as a million labels": whole(same_number(1_000_000, "i8", bytes(8))),
    "the same Arrow bits as a thousand columns": whole(
        shared_blocks(1000, arrow(struct.pack("<2q", 0, 1), b"a", 1, bytes([1]) + LONG), 1)
    ),
    "the same Arrow strings as 300 columns": whole(
        shared_blocks(300, arrow(np.arange(100_001, dtype="<i8").tobytes(), b"ab" * 50_000, 100_000), 100_000)
    ),
    "Arrow strings that all are all letters": whole(
        table(
            (
                block(
                    arrow(
                        np.resize(np.array([0, 2**63 - 1, 5 - 2**63]), 60_001).astype("<i8").tobytes()[:-8]
                        + struct.pack("<q", -1),
                        LONG,
                        60_000,
                    ),
                    0,
                    1,
                ),
            ),
            index(objects("label")),
            rows(0, 60_000),
        )
    ),
    "keys that share a hash": whole(b"}(", b"N".join(SAME_HASH) + b"Nu"),
    "labels that share a hash": whole(batch(labels=b"](" + b"".join(SAME_HASH) + b"e")),
    "columns that share a hash": whole(
        table(
            (block(array(raw(bytes(59_999)), shape=(59_999, 1)), 0, 59_999),),
            index(array(b"](" + b"".join(SAME_HASH) + b"e", OBJECT, (59_999,))),
            rows(0, 1),
        )
    ),
    "millions of marks": whole(b"(" * MILLIONS),
    "millions of lists": whole(b"]" * MILLIONS),
    "millions of dictionaries": whole(b"}" * MILLIONS),
    "millions of tuples in tuples": whole(b")" + b"\x85" * MILLIONS),
    "millions of lists in lists": whole(b"]" * (MILLIONS // 2) + b"a" * (MILLIONS // 2 - 1)),
    "millions of steps more than allowed": whole(b"N" * (MAX_STEPS + 9)),
    "millions of calls": whole(PARTIAL, put(0), b"h\0)R" * (MILLIONS // 3)),
    "calls in calls": whole(PARTIAL, put(0), b"N", b"q\1h\0h\1\x85R" * 300_000),
    "states in states": whole(DATAFRAME, put(0), b"N", b"q\1h\0)\x81h\1b" * 300_000),
    "a memo place of 2 ** 31": whole(b"]r" + struct.pack("<I", 2**31) + b"j" + struct.pack("<I", 2**31)),
    "a memo place of 2 ** 32 - 1": whole(b"]r" + struct.pack("<I", 2**32 - 1)),
    "a memo place of protocol 0": whole(b"]p99999999999999\n"),
    "a memo place below nothing": whole(b"]p-1\ng-1\n"),
    "a memo place that is empty": whole(b"h\x63"),
    "a number of 2 ** 31 bytes": whole(b"\x8b" + struct.pack("<i", 2**31 - 1)),
    "a number of -1 bytes": whole(b"\x8b" + struct.pack("<i", -1)),
    "a number of a million digits": whole(b"L" + b"9" * 1_000_000 + b"L\n"),
    "bytes of terabytes": whole(b"\x8e" + struct.pack("<Q", 2**42)),
    "bytes of 2 ** 64 - 1": whole(b"\x8e" + struct.pack("<Q", 2**64 - 1)),
    "a bytearray of terabytes": whole(b"\x96" + struct.pack("<Q", 2**42)),
    "a bytearray of gigabytes": whole(b"\x96" + struct.pack("<Q", 3 << 30)),
    "a string of terabytes": whole(b"\x8d" + struct.pack("<Q", 2**42)),
    "a string of 4 GiB": whole(b"X" + struct.pack("<I", 2**32 - 1)),
    "a string of Python 2 of -1 bytes": whole(b"T" + struct.pack("<i", -1)),
    "a frame of terabytes": b"\x80\x04\x95" + struct.pack("<Q", 2**42) + b"N.",
    "a frame of 2 ** 64 - 1": b"\x80\x04\x95" + struct.pack("<Q", 2**64 - 1) + b"N.",
    "a line without end": b"\x80\x02c" + b"x" * (8 << 20),
}
"""Small on disk, large in memory or long in time; each is a table, a batch or neither."""


def cut(content: bytes, at: float) -> bytes:
    return content[: int(len(content) * at)]


VALID, VALID_BATCH = whole(table()), whole(batch())
SHAPES: dict[str, bytes] = {
    "nothing": b"",
    "a stop": b".",
    "a protocol alone": b"\x80",
    "a protocol and a stop": b"\x80\x04.",
    **{f"a table cut at {at:.0%}": cut(VALID, at) for at in (0.01, 0.1, 0.3, 0.5, 0.8, 0.95)},
    **{f"a batch cut at {at:.0%}": cut(VALID_BATCH, at) for at in (0.3, 0.6, 0.9)},
    "a table without a stop": VALID[:-1],
    "a table without its state": VALID[:-2] + b".",
    "a batch without its items": VALID_BATCH[:-2] + b".",
    "a table in which bytes are cut": VALID[: VALID.index(b"\1\2\3\4") + 2],
    "a key that is a list": whole(b"}]K\1s"),
    "a key that is a dictionary": whole(b"}}K\1s"),
    "a key that is a slice": whole(b"}", call(SLICE, 1, 2, 3), b"K\1s"),
    "a key that is not a number": whole(b"}", value_of(float("nan")), b"K\1s"),
    "a key without a value": whole(b"}(K\1u"),
    "a key of a list": whole(b"]K\1K\2s"),
    "items of a tuple": whole(b")K\1a"),
    "items of nothing": whole(b"K\1a"),
    "items below a mark": whole(b"](N(e"),
    "a state of a number": whole(b"K\1}b"),
    "a state of a name": whole(DATAFRAME, b"}b"),
    "a call of a number": whole(b"K\1)R"),
    "a call of a list of arguments": whole(DTYPE, b"]R"),
    "a call without arguments": whole(DTYPE, b"R"),
    "a name of numbers": whole(b"K\1K\2\x93"),
    "a name of bytes": whole(raw(b"os"), raw(b"system"), b"\x93"),
    "a name with a NUL": whole(known("os\0", "system")),
    "a name with a line break": whole(known("os\n", "system\r\n")),
    "a name of another alphabet": whole(known("\uff4f\uff53", "system")),
    "a name of Cyrillic letters": whole(known("p\u0430ndas", "DataFrame")),
    "a name with escapes": b"\x80\x02cnu\\x6dpy\ndtype\\d\n.",
    "a name of escape sequences": whole(known("\x1b[2J\x1b]0;x\a", "\x1b[31m")),
    "a name of markup": whole(known("<script>alert(1)</script>", "<img src=x onerror=alert(1)>")),
    "a name that turns the text around": whole(known("\u202e\u2066", "\u2028\u2029\x85")),
    "a name of a megabyte": whole(known("x" * (1 << 20), "y")),
    "a name of nothing": whole(known("", "")),
    "a name of spaces": b"\x80\x02cbuiltins eval\nslice\n.",
    "a name of lone surrogates": whole(known("\udc80", "\ud800")),
    "a name that shadows another": whole(known("builtins.slice", ""), b")R"),
    "a persistent id": whole(b"Pos.system\n"),
    "a persistent id of an object": whole(text("os.system"), b"Q"),
    "an extension by EXT1": whole(b"\x82\1"),
    "an extension by EXT2": whole(b"\x83\1\1"),
    "an extension by EXT4": whole(b"\x84\1\1\1\1"),
    "an extension below nothing": whole(b"\x84\xff\xff\xff\xff"),
    "a protocol of 6": b"\x80\x06" + VALID_BATCH[2:-1] + b"0}.",
    "a protocol of 255": b"\x80\xff}.",
    "protocol 0": pickle.dumps({"data": 1}, 0),
    "protocol 1": pickle.dumps({"data": [1, 2.5, "x"]}, 1),
    "a buffer from outside": whole(b"\x97"),
    "a buffer from outside, read-only": whole(b"\x97\x98"),
    "a set that grows": whole(b"\x8f(K\1\x90"),
    "pops of nothing": whole(b"0" * 99),
    "pops of marks": whole(b"(1" * 99),
    "doubles of nothing": whole(b"2"),
    "a float of infinity": whole(value_of(float("inf"))),
    "a float that is text": whole(b"Fnan\n"),
    "a string in quotes that do not end": whole(b"S'x\n"),
    "a string of escapes that are none": whole(b"S'\\d\\8'\n"),
    "a string with lone surrogates": whole(text("\ud800" * 9)),
    "a string that is no UTF-8": whole(b"X\2\0\0\0\xff\xff"),
    "a string that has no Latin-1": whole(call(ENCODE, "\u0107", "latin1")),
    "another encoding": whole(call(ENCODE, "eval", "rot13")),
    "an encoding with a handler": whole(call(ENCODE, "\u0107", "ascii", "xmlcharrefreplace")),
    "another function of codecs": whole(call(known("_codecs", "escape_decode"), raw(b"x"))),
    "an opcode that is none": whole(b"\xff"),
    "an archive": b"PK\3\4" + bytes(99),
    "a page": b"<html><script>alert(1)</script>not\nfound</html>",
    "compressed": b"\x1f\x8b\x08" + bytes(99),
    "zeros": bytes(9999),
    "a batch of no dictionary": whole(batch(), b"\x85"),
    "a batch of arrays of strings": whole(batch(data=objects("a", "b"), labels=DATAFRAME)),
    "a batch of labels that are functions": whole(batch(labels=value_of([DATAFRAME] * 2))),
    "a batch of labels that are dictionaries": whole(batch(labels=b"}")),
    "a batch of names that are bytes no one reads": whole(batch(label_names=value_of([raw(b"\xff"), "\udc80"]))),
}
"""Broken programs, and steps and names that no valid file has."""

HARMLESS: dict[str, bytes] = {
    "something after the stop": VALID + NESTED,
    "two values": b"\x80\x04" + b"K\1" + VALID[2:],
    "a memo that is overwritten": whole(b"K\1", put(0), b"N", put(0), table()),
    "an attribute that is nested tuples": whole(table(attrs=value_of({"x": laughs(60)}))),
    "an attribute that holds itself": whole(table(attrs=b"}" + put(0) + text("x") + get(0) + b"s")),
    "an attribute that nobody calls": whole(table(attrs=value_of({"x": call(RESTORE, 1, 2)}))),
    "a huge array that nobody reads": whole(table(attrs=value_of({"x": array(raw(b""), shape=(2**60,))}))),
    "an unknown part of the state": whole(table(more=[("__class__", "x"), ("_mgr2", [1])])),
    "a type with metadata of nothing": whole(
        table((block(array(raw(b"\1\2\3\4"), dtype(more=(None, None, None, 2**30, 2**30, 255)), (2, 2))), BLOCKS[1]))
    ),
    "a table with a slice of step nothing": whole(table((block(PIXELS, 0, 2, 0), block(LABELS, 2, 3, 2**70)))),
    "a protocol that is none": b"\x80\xff" + VALID[2:],
    "many protocols": b"\x80\x04" * 99 + VALID,
    "a frame of a wrong length": b"\x80\x04\x95" + struct.pack("<Q", 2**40) + VALID[2:],
    "an array that starts huge, and of another class": whole(
        table(
            (block(build(call(ARRAY, DATAFRAME, (2**62,)), (1, (2, 2), dtype(), False, raw(b"\1\2\3\4")))), BLOCKS[1])
        )
    ),
    "a manager that is changed": whole(
        build(new(DATAFRAME), {"_mgr": build(call(MANAGER, BLOCKS, [COLUMNS, ROWS]), ({}, {}, {}))})
    ),
}
"""Odd pickles that are all read as the same small table: their odd part is ignored."""

MALICIOUS: dict[str, bytes] = CODE_EXECUTION | NUMPY | TABLES | SIZES | SHAPES
SMALL = pd.DataFrame({"pixel0": [1, 2], "pixel1": [3, 4], "label": [0, 1]})
READ_AS_BATCH = {"millions of dictionaries", "a table without its state", "a protocol of 255", "protocol 1"}
"""Malicious ones whose entries of a batch are valid."""

SMALL = SMALL.astype({"pixel0": "u1", "pixel1": "u1"}).set_axis(SMALL.columns.astype(object), axis=1)
HARMLESS |= {f"a table in protocol {protocol}": pickle.dumps(SMALL, protocol) for protocol in (0, 1)}


# Valid files with mistakes.

EXTREMES = [0, 1, 2, 255, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**61, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**2000]
Fixture = tuple[bytes, list[int], list[tuple[str, object]]]


def read_fixtures() -> dict[str, Fixture]:
    """Return the valid files, each with the positions and the meaning of its steps."""
    found = {}
    for path in sorted((Path(__file__).parent / "pickles").glob("*.pkl")):
        content = path.read_bytes()
        steps = list(pickletools.genops(content))
        found[path.name] = content, [place for _, _, place in steps], [(step.name, arg) for step, arg, _ in steps]
    return found


def mutated(rng: random.Random, fixtures: list[Fixture]) -> bytes:
    """Return one of the files with one or two mistakes."""
    content, places, steps = rng.choice(fixtures)
    mutant = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2])):
        if len(mutant) < 4:
            break
        whole_steps = len(mutant) == len(content)  # else the places below are those of a random byte, which is fine too
        start, end = sorted(rng.sample(range(len(places)), 2))
        match rng.randrange(9):
            case 0:
                mutant[rng.randrange(len(mutant))] ^= 1 << rng.randrange(8)
            case 1:
                for _ in range(rng.randint(1, 4)):
                    mutant[rng.randrange(len(mutant))] = rng.randrange(256)
            case 2:
                del mutant[rng.randrange(len(mutant)) :]
            case 3:  # the start of one file, the rest of another
                other, others, _ = rng.choice(fixtures)
                mutant[places[end] :] = other[rng.choice(others) :]
            case 4:  # a part of another file in place of one of this
                other, others, _ = rng.choice(fixtures)
                first, last = sorted(rng.sample(range(len(others)), 2))
                last = min(last, first + 40)
                mutant[places[start] : places[min(end, start + 40)]] = other[others[first] : others[last]]
            case 5:
                del mutant[places[start] : places[min(end, start + rng.randint(1, 30))]]
            case 6:
                piece = content[places[start] : places[min(end, start + rng.randint(1, 30))]]
                at = rng.choice(places)
                mutant[at:at] = piece * rng.choice([1, 1, 1, 30])
            case 7:  # a number, or the place of another value in the memo
                wanted = [i for i, (name, _) in enumerate(steps) if "INT" in name or name in ("LONG1", "BINGET")]
                at = rng.choice(wanted or [0])
                value = rng.choice(EXTREMES) * rng.choice([1, 1, -1])
                new_step = number(value) if rng.random() < 0.6 else b"h" + bytes([value % 256])
                if whole_steps and at + 1 < len(places):
                    mutant[places[at] : places[at + 1]] = new_step
            case 8:  # a value in place of another
                at = rng.randrange(len(places) - 1)
                mutant[places[at] : places[at + 1]] = rng.choice(
                    [
                        b"N",
                        b"]",
                        b"}",
                        b")",
                        b"h\1",
                        b"K\0",
                        b"K\1",
                        b"B\0\0\0\0",
                        b"X\0\0\0\0",
                        b"\x88",
                        b"0",
                        b"(",
                        b"2",
                    ]
                )
    return bytes(mutant)


# Reading them. This part runs in other processes.

SECONDS = 20
MEMORY = 4 << 30


def read_plainly(content: bytes):
    return pd.read_pickle(io.BytesIO(content))


def read_by_list(content: bytes):
    """Read with Python's own reader, which may import only the names of valid files."""

    class Reader(pickle.Unpickler):
        def find_class(self, module, name):
            if f"{module}.{name}" not in ACCEPTED | PLAIN_CALLS:
                raise pickle.UnpicklingError(f"{module}.{name}")
            return super().find_class(module, name)

    return Reader(io.BytesIO(content), encoding="bytes").load()


def use(value) -> None:
    """Use pixels and labels, as a program does that loads a file."""
    if isinstance(value, pd.DataFrame):
        value.to_numpy().tolist()
    elif isinstance(value, dict):
        for key in ("data", "labels", b"data", b"labels"):
            if key in value:
                np.asarray(value[key]).tolist()


def is_marked(folder: str) -> bool:
    """Return whether code ran: it made a file or changed a class."""
    classes = [pd.DataFrame, pd.Index, pd.RangeIndex, pd.StringDtype, Reduce, type(SMALL._mgr)]
    blocks = sys.modules["pandas.core.internals.blocks"]
    return any(Path(folder).iterdir()) or any(hasattr(one, "malicious_mark") for one in [*classes, blocks.new_block])


def is_well() -> bool:
    """Return whether pandas still works in this process."""
    try:
        again = pd.read_pickle(io.BytesIO(pickle.dumps(SMALL)))
        pd.testing.assert_frame_equal(again, SMALL)
        pd.testing.assert_frame_equal(pd.read_pickle(io.BytesIO(VALID)), SMALL)
        rest = again[again["label"] == 1].reset_index(drop=True).astype({"label": str})
        return list(rest.columns) == list(SMALL.columns) and len(rest) == 1 and pd.StringDtype().name == "string"
    except Exception:
        return False


def peak() -> int:
    """Return the peak memory of this process, in bytes."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) << 10


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def tried(read, content: bytes) -> dict[str, object]:
    """Read a pickle in another process; return the outcome."""
    with tempfile.TemporaryDirectory() as folder:
        receiving, sending = os.pipe()
        child = os.fork()
        if child == 0:
            os.setsid()
            os.chdir(folder)
            os.environ[MARK] = f"{folder}/mark"
            null = os.open(os.devnull, os.O_RDWR)
            for standard in range(3):
                os.dup2(null, standard)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            warnings.simplefilter("ignore")
            forget_peak()
            before, outcome = peak(), "read"
            try:
                use(read(content))
            except BaseException as error:
                outcome = type(error).__name__
            found = {"outcome": outcome, "grown": peak() - before, "well": is_well(), "marked": is_marked(folder)}
            os.write(sending, json.dumps(found).encode())
            os._exit(0)
        os.close(sending)
        ready, _, _ = select.select([receiving], [], [], SECONDS)
        reported = os.read(receiving, 1 << 16) if ready else b""
        os.close(receiving)
        if not ready:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        time.sleep(0.05)  # for processes that it started
        found = json.loads(reported) if reported else {"outcome": "crash" if ready else "hang", "status": status}
        found["marked"] = found.get("marked", False) or any(Path(folder).iterdir())
        return found


def summary(read, contents: dict[str, bytes], shown: bool = False) -> Counter[str]:
    """Count the outcomes of reading pickles: the worst one of each."""
    counts: Counter[str] = Counter()
    for name, content in contents.items():
        found = tried(read, content)
        exceptions = found["outcome"] not in ("read", "crash", "hang")
        what = (
            "ran code or wrote where it should not"
            if found["marked"]
            else "crashed"
            if found["outcome"] == "crash"
            else "hung"
            if found["outcome"] == "hang"
            else "broke pandas for the process"
            if not found["well"]
            else "asked for more than 2 GB"
            if found["grown"] > 2 << 30 or found["outcome"] == "MemoryError"
            else "was refused as it should be"
            if found["outcome"] == "DataError"
            else "raised something"
            if exceptions
            else "was read without an error"
        )
        counts[what] += 1
        if shown:
            sys.stdout.write(f"    {name}: {what} ({found['outcome']})\n")
    return counts


def read_here(content: bytes):
    """Read as cnnlab does: as a table, or else as a batch."""
    try:
        return read_frame(content, "x")
    except DataError:
        return read_batch(content, "x")


# Reports for the tests, a line of JSON each.


def say(name: str, **found) -> None:
    sys.stdout.write(json.dumps({"name": name, **found}) + "\n")
    sys.stdout.flush()


def outcome_of(read, *args) -> str:
    try:
        found = read(*args)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "read the small table" if isinstance(found, pd.DataFrame) and found.equals(SMALL) else "read"


def report_malicious() -> None:
    """Read every pickle, and print the outcome."""
    for name, content in (MALICIOUS | HARMLESS).items():
        sys.stderr.write(f"{name}\n")  # tells which pickle ended this process
        found = {}
        forget_peak()
        before, start = peak(), time.process_time()
        found["frame"] = outcome_of(read_frame, content, "x")
        found["seconds"] = time.process_time() - start
        if found["seconds"] < 1:  # else interpreting takes all the time, and would again
            found["batch"] = outcome_of(read_batch, content, "x")
        say(name, **found, grown=peak() - before, marked=is_marked("."))
    say("afterwards", well=is_well(), marked=is_marked("."))


GRAY = "train_batch1.pkl"
COLOUR, TEST, META = (f"cifar-10-batches-py/{name}" for name in ("data_batch_1", "test_batch", "batches.meta"))


def write_folder(folder: Path, changes: dict[str, bytes]) -> None:
    """Write a data folder of valid files, some of them replaced."""
    table = "uint8-str.pandas3.1.1-numpy2.5.5-python3.13-p5.pkl"
    batch = "batch.python2.7-numpy1.16.6-p2.pkl"
    changes = {META: whole(value_of({"label_names": ["frog", "cat", "dog", "bird"]}))} | changes
    valid = {
        **dict.fromkeys((GRAY, "test_batch1.pkl"), table),
        **dict.fromkeys((COLOUR, TEST), batch),
        META: batch,
    }
    (folder / COLOUR).parent.mkdir(exist_ok=True)
    for name, source in valid.items():
        content = changes.get(name)
        if content is None:
            content = (Path(__file__).parent / "pickles" / source).read_bytes()
        (folder / name).write_bytes(content)


def report_folders() -> None:
    """Read data folders with some of the pickles, and print the outcomes."""
    some = list(MALICIOUS)[::10]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for pickled in some:
            for place in (GRAY, COLOUR):
                write_folder(folder, {place: MALICIOUS[pickled]})
                say(f"{pickled} as {place}", outcome=outcome_of(data.load, folder))
        write_folder(folder, {})
        data.load(folder)


def report_folder(path: str) -> None:
    """Read a data folder with one given file as its grayscale batches."""
    content = Path(path).read_bytes()
    with tempfile.TemporaryDirectory() as name:
        write_folder(Path(name), {GRAY: content, "test_batch1.pkl": content})
        forget_peak()
        before = peak()
        say(path, outcome=outcome_of(data.load_gray_batches, name), grown=peak() - before)


def report_mutations(mutations: int) -> None:
    """Read valid files with mistakes, every eighth in a data folder too, and count the outcomes."""
    rng = random.Random(20220)
    fixtures = list(read_fixtures().values())
    counts: Counter[str] = Counter()
    other: dict[str, str] = {}
    folders = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(mutations):
            content = mutated(rng, fixtures)
            reads = [(read_frame, content, "x"), (read_batch, content, "x")]
            if number % 8 == 0:
                place = rng.choice([GRAY, "test_batch1.pkl", COLOUR, TEST, META])
                write_folder(folder, {place: content})
                reads.append((data.load_cifar10 if place.startswith("cifar") else data.load_gray_batches, folder))
                folders += 1
            for read, *args in reads:
                try:
                    use(read(*args))
                    what = "read"
                except CnnlabError as error:
                    what = type(error).__name__
                    if not str(error).isprintable() or len(str(error)) > 600:
                        other[f"{number} {read.__name__}"] = f"not one line: {error}"
                except BaseException as error:
                    what = "other"
                    other[f"{number} {read.__name__}"] = f"{type(error).__name__}: {error}"
                counts[f"{read.__name__}: {what}"] += 1
    say("counts", counts=counts, folders=folders, other=other)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "report", nargs="?", choices=["malicious", "folders", "folder", "mutations"], help="what the tests ask for"
    )
    parser.add_argument("path", nargs="?", help="of the pickle that `folder` is about")
    parser.add_argument("--mutations", type=int, default=2000)
    parser.add_argument("--each", action="store_true", help="show the outcome of each pickle")
    args = parser.parse_args()
    if args.report:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        warnings.simplefilter("error")
        {
            "malicious": report_malicious,
            "folders": report_folders,
            "folder": lambda: report_folder(args.path),
            "mutations": lambda: report_mutations(int(os.environ["CNNLAB_MUTATIONS"])),
        }[args.report]()
        return
    rng = random.Random(20220)
    fixtures = list(read_fixtures().values())
    mutations = {str(number): mutated(rng, fixtures) for number in range(args.mutations)}
    ways = {"pandas.read_pickle": read_plainly, "find_class with a list": read_by_list, "cnnlab": read_here}
    for title, contents in {"malicious pickles": MALICIOUS, "mutations of valid ones": mutations}.items():
        for way, read in ways.items():
            sys.stdout.write(f"{len(contents):,} {title} by {way}:\n")
            for what, count in summary(read, contents, args.each).most_common():
                sys.stdout.write(f"  {count:6,} {what}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
