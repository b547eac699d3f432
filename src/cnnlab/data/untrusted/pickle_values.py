"""Rebuild data frames and CIFAR batches from what an untrusted pickle asks for.

`_CALLS` shows what is accepted: what pandas 1.0 to 3.x and numpy 1 and 2 write at protocols 0 to 5. Each function
checks what it is given and builds the value itself; anything else is refused by its name.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cnnlab.data.messages import unexpected
from cnnlab.data.untrusted import pickle_arrays as arrays
from cnnlab.data.untrusted import pickle_columns as columns
from cnnlab.data.untrusted.pickle_arrays import ARRAYS, REBUILDERS, Rebuilder, plain, rebuild
from cnnlab.data.untrusted.pickle_program import Budget, Reduce, RefusedError, describe, interpret, require

MAX_BYTES = 2**31  # of a file: 50,000 colour images of 32 x 32 pixels, as int64, are 1.2 GB
MAX_STRING_COLUMNS = 1_000  # of pandas' own strings: each takes pandas a while, and they can share their values
LABEL_KEYS = {"labels": "label_names", "fine_labels": "fine_label_names", "coarse_labels": "coarse_label_names"}
"""Entries of a batch with labels, best first, and the entries of batches.meta that name their classes."""
BATCH_KEYS = {"data", *LABEL_KEYS, *LABEL_KEYS.values()}
_OTHER_FORMATS = {
    b"<": "a web page", b"version https://git-lfs": "a pointer of Git LFS (git lfs pull fetches the file)",
    b"\x93NUMPY": "an array that np.save wrote", b"\x89HDF": "an HDF5 file", b"PAR1": "a Parquet file",
    b"\x89PNG": "a picture", b"\xff\xd8\xff": "a picture",
}  # fmt: skip
"""How files of other formats start, and what they are."""


def read_frame(content: bytes, name: str) -> pd.DataFrame:
    """Read a pickled data frame whose columns are numbers or strings; errors call it `name`.

    Raises:
        DataError: It is no such pickle.
    """
    advice = "Write it again with to_pickle, after making its columns plain (df.dropna, df.astype, df.reset_index)."
    kind = "a pickled pandas DataFrame of plain columns"
    frame: pd.DataFrame = _load(content, name, kind, advice, _only_frame)
    return frame


def read_batch(content: bytes, name: str, advice: str = "Fetch it again.") -> dict[str, Any]:
    """Read a batch of CIFAR-10 or CIFAR-100, or its `batches.meta` or `meta`; errors call it `name`.

    Args:
        content: The pickle.
        name: The file's name.
        advice: What to do if it cannot be read.

    Returns:
        Of its entries, those in `BATCH_KEYS`: each an array, or a list of plain values, lists or arrays.

    Raises:
        DataError: It is no such pickle.
    """
    batch: dict[str, Any] = _load(content, name, "a CIFAR batch", advice, _batch)
    return batch


def _load(content: bytes, name: str, kind: str, advice: str, rebuild: Callable[[Any, Budget], Any]) -> Any:
    """Return what `rebuild` makes of a file. Whatever is raised here is the file's fault."""
    try:
        require(len(content) <= MAX_BYTES, f"a file of {len(content):,} bytes, more than {MAX_BYTES:,}")
        budget = Budget(8 * len(content) + 2**20)
        return rebuild(interpret(content, ACCEPTED, budget), budget)
    except RefusedError as error:
        reason = _other_format(content) or str(error)
    except Exception as error:  # numpy and pandas raise many kinds, SystemError and NotImplementedError among them
        reason = _other_format(content) or f"a file that is broken, or no pickle of that kind ({type(error).__name__})"
    raise unexpected(f"{name} to be {kind}", reason, advice)


def _other_format(content: bytes) -> str:
    """Return what a file is, by its first bytes; empty if they do not tell."""
    first_line = content[:200].partition(b"\n")[0]
    if not content:
        return "an empty file"
    if content[:1_000].isascii() and first_line.count(b",") > 1:
        return "a table of text, such as CSV"
    return next((words for start, words in _OTHER_FORMATS.items() if content.lstrip().startswith(start)), "")


def _only_frame(value: Any, budget: Budget) -> pd.DataFrame:
    require(type(value) is not dict, "a dictionary, whose file should have a name of CIFAR's batches (data_batch_1)")
    frame: pd.DataFrame = rebuild(value, budget, _frame)
    return frame


def _batch(value: Any, budget: Budget) -> dict[str, Any]:
    is_frame = type(value) is Reduce and REBUILDERS.get(value.function) is _frame
    require(not is_frame, "a data frame, whose file should have a name of grayscale batches (train_batch1.pkl)")
    require(type(value) is dict, f"{describe(value)}, not a dictionary")
    batch: dict[str, Any] = {}
    for key, part in value.items():
        text = key.decode("ascii", "replace") if type(key) is bytes else key
        if text in BATCH_KEYS:
            require(text not in batch, f"a dictionary with the key {text} twice")
            is_list = type(part) in (list, tuple)
            batch[text] = [_entry(item, budget) for item in part] if is_list else rebuild(part, budget, *ARRAYS)
    return batch


def _entry(value: Any, budget: Budget) -> Any:
    """Return an entry of a batch's list: a plain value, a list of plain values or an array."""
    if type(value) is list:
        budget.take(64 + 8 * len(value))  # the same list may occur many times
        return [plain(item, budget) for item in value]
    if type(value) is Reduce and REBUILDERS.get(value.function) in ARRAYS:
        return rebuild(value, budget, *ARRAYS)
    return plain(value, budget)


def _block(call: Reduce, _: Budget) -> tuple[Any, Any]:
    """Return the values of a block and the positions of its columns, both not yet rebuilt."""
    values, placement, *dimensions = call.args
    require(dimensions in ([], [2]), "a table in an unusual form")
    return values, placement


def _manager(call: Reduce, budget: Budget) -> tuple[list[Any], list[tuple[Any, Any]]]:
    """Return the names of columns and rows, and the blocks."""
    if call.args:
        blocks, axes = call.args
        return axes, [rebuild(block, budget, _block) for block in blocks]
    form = call.state[3]["0.14.1"]  # pandas before 1.3
    return form["axes"], [(block["values"], block["mgr_locs"]) for block in form["blocks"]]


def _frame(call: Reduce, budget: Budget) -> pd.DataFrame:
    """Rebuild a data frame from its blocks: each holds some of the columns, one per row of its array."""
    (names, rows), blocks = rebuild(call.state["_mgr" if "_mgr" in call.state else "_data"], budget, _manager)
    strings: list[Any] = []
    # Joined by dtype: a frame of read_csv has a block per column.
    same_type: dict[np.dtype[Any], list[NDArray[Any]]] = {}
    positions: dict[np.dtype[Any] | None, list[int]] = {None: []}
    n_rows: int | None = None
    for values, placement in blocks:
        block = rebuild(values, budget, *ARRAYS, columns.strings, columns.backed, columns.masked, columns.categories)
        is_text = not isinstance(block, np.ndarray)
        if not is_text and block.ndim == 1:
            block = block[None]
        require(n_rows in (None, block.shape[-1]) and block.ndim == 2 - is_text, "a table of columns that differ")
        n_rows = block.shape[-1]
        if type(placement) is slice:
            indices = range(placement.start, placement.stop, placement.step or 1)
        else:
            indices = rebuild(placement, budget, *ARRAYS).tolist()
        require(len(indices) == (1 if is_text else len(block)), "a table with too few or too many columns")
        positions.setdefault(None if is_text else block.dtype, []).extend(indices)
        (strings if is_text else same_type.setdefault(block.dtype, [])).append(block)
        require(len(strings) <= MAX_STRING_COLUMNS, f"a table of over {MAX_STRING_COLUMNS:,} columns of strings")
    parts = [pd.DataFrame({0: column}, dtype=column.dtype) for column in strings]
    for dtype, same in same_type.items():
        parts.append(pd.DataFrame((same[0] if len(same) == 1 else np.concatenate(same)).T, dtype=dtype, copy=False))
    order = [position for key in (None, *same_type) for position in positions[key]]
    require(n_rows and order and sorted(order) == list(range(len(order))), "a table without rows or with wrong columns")
    frame = pd.concat(parts, axis=1, ignore_index=True)
    if order != sorted(order):
        frame = frame.iloc[:, np.argsort(order)]
    names, rows = (rebuild(axis, budget, columns.index) for axis in (names, rows))
    require((len(rows), len(names)) == frame.shape, "an index of another length than its table")
    return frame.set_axis(names, axis=1).set_axis(rows, axis=0)


_CALLS: dict[Rebuilder, list[str]] = {
    arrays.build_dtype: ["numpy.dtype"],
    arrays.array: [f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core")],  # numpy 1 and 2
    arrays.array_from_buffer: [f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core")],
    arrays.scalar: [f"numpy.{core}.multiarray.scalar" for core in ("core", "_core")],
    _frame: ["pandas.core.frame.DataFrame", "pandas.DataFrame"],
    _manager: ["pandas.core.internals.managers.BlockManager"],
    _block: ["pandas._libs.internals._unpickle_block", "pandas.core.internals.blocks.new_block"],
    columns.index: ["pandas.core.indexes.base._new_Index"],
    columns.string_dtype: ["pandas.core.arrays.string_.StringDtype", "pandas.StringDtype"],
    columns.strings: [
        "pandas.arrays.StringArray",
        "pandas.arrays.ArrowStringArray",
        *(f"pandas.core.arrays.string_.StringArray{suffix}" for suffix in ("", "NumpySemantics")),
        *(f"pandas.core.arrays.string_arrow.ArrowStringArray{suffix}" for suffix in ("", "NumpySemantics")),
    ],
    columns.masked: [
        f"pandas.{module}{kind}Array"
        for kind, place in (("Integer", "integer"), ("Floating", "floating"), ("Boolean", "boolean"))
        for module in ("arrays.", f"core.arrays.{place}.")
    ],
    columns.categories: ["pandas.core.arrays.categorical.Categorical", "pandas.Categorical"],
    columns.category_dtype: ["pandas.core.dtypes.dtypes.CategoricalDtype", "pandas.CategoricalDtype"],
    columns.backed: ["pandas._libs.arrays.__pyx_unpickle_NDArrayBacked"],
    columns.arrow_strings: ["pyarrow.lib._restore_array"],
    columns.arrow_type: ["pyarrow.lib.type_for_alias"],
    columns.arrow_buffer: ["pyarrow.lib.py_buffer"],
}
"""Each function that rebuilds the result of a call, and the names that such a call has."""
REBUILDERS.update({name: rebuilder for rebuilder, names in _CALLS.items() for name in names})
_MASKED_TYPES = {
    f"pandas.{module}{kind}Dtype"
    for place, kinds in (
        ("integer", [f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)]),
        ("floating", ["Float32", "Float64"]),
        ("boolean", ["Boolean"]),
    )
    for kind in kinds
    for module in ("", f"core.arrays.{place}.")
}
ACCEPTED = {
    *REBUILDERS, *columns.RANGES, *columns.MULTI_INDEXES, *columns.PLAIN_INDEXES, *arrays.MISSING, *_MASKED_TYPES,
    "numpy.ndarray", "functools.partial",
}  # fmt: skip
"""Each accepted name, among them those that are only arguments of a call."""
