"""Write small pickled data frames and CIFAR-10 batches: fixtures for the tests of the reader of pickles.

Run it in any environment with Python 3.6 or newer and pandas 1.0 or newer; it writes its files into its own folder:

    python make.py                                  # every case at every protocol of this Python
    python make.py uint8-str batch --protocols 5    # these cases (see FRAMES and BATCHES) at these protocols
    python make.py batch meta --python2 /usr/bin/python2.7    # what that Python 2 (it needs numpy) writes

A file is named `<case>.<what wrote it>-p<protocol>.pkl`; `expected` returns its content from the name alone. The files
kept here are a selection from many environments in which every structure occurs. "infer" after the number of a pandas 2
means that `future.infer_string` was on; pyarrow is named if it was installed.
"""

import argparse
import io
import pickle
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROWS = 6
NUMBERS = [3, 1, 2, 1, 3, 2]
WORDS = ["frog", "cat", "ko\u010dka", "cat", "frog", "ko\u010dka"]
SHUFFLED = [5, 2, 1, 3, 0, 4]

# What a case holds: type of the pixels, kind of the labels, where the label column is (-1: last), whether columns have
# names, which rows, and how the rows are called (none: by their numbers).
FRAMES = {
    "uint8-int": ("uint8", int, -1, False, range(6), None),
    "uint8-str": ("uint8", str, -1, False, range(6), None),
    "int64-int": ("int64", int, -1, False, range(6), None),
    "int64-str": ("int64", str, -1, False, range(6), None),
    "float64-int": ("float64", int, -1, False, range(6), None),
    "float32-str": ("float32", str, -1, False, range(6), None),
    "int16-int": ("int16", int, -1, False, range(6), None),
    "names-uint8-int-first": ("uint8", int, 0, True, range(6), None),
    "names-int64-str-first": ("int64", str, 0, True, range(6), None),
    "label-between": ("uint8", int, 2, True, range(6), None),
    "one-block": ("int64", int, -1, True, range(6), None),
    "one-block-uint8": ("uint8", int, -1, True, range(6), None),
    "csv-int": ("int64", int, -1, True, range(6), None),
    "csv-str": ("int64", str, 0, True, range(6), None),
    "from-lists": ("int64", int, -1, True, range(6), None),
    "set-afterwards": ("int64", int, -1, True, range(6), None),
    "copied": ("int64", int, -1, False, range(6), None),
    "filtered": ("uint8", int, -1, False, [0, 2, 4, 5], None),
    "shuffled": ("uint8", str, -1, False, SHUFFLED, None),
    "every-second": ("uint8", int, -1, False, [0, 2, 4], None),
    "sliced": ("uint8", str, -1, False, [2, 3, 4], None),
    "backwards": ("int64", str, -1, True, range(5, -1, -1), None),
    "row-names": ("uint8", int, -1, True, range(6), ["a", "b", "c", "d", "e", "f"]),
    "concatenated": ("uint8", str, -1, False, range(6), [0, 1, 2, 0, 1, 2]),
    "concatenated-anew": ("uint8", int, -1, False, range(6), None),
    "fortran": ("uint8", int, -1, False, range(6), None),
    "read-only": ("uint8", int, -1, False, range(6), None),
    "numpy-names": ("uint8", int, -1, False, range(6), None),
    "numpy-words": ("uint8", str, -1, False, range(6), None),
    "string-type": ("uint8", str, -1, False, range(6), None),
    "categories": ("uint8", str, -1, False, range(6), None),
    "categories-int": ("uint8", int, -1, False, range(6), None),
    "nullable": ("int64", int, -1, True, range(6), None),
    "nullable-uint8-str": ("uint8", str, 0, True, range(6), None),
    "nullable-float64": ("float64", int, -1, False, range(6), None),
    "wide": ("uint8", int, -1, True, range(6), None),
}
# Type of the keys, and of a label: a number, one of numpy's, or the list is an array.
BATCHES = {
    "batch": (bytes, int),
    "batch-str": (str, int),
    "batch-scalars": (bytes, "scalar"),
    "batch-array": (bytes, "array"),
    "meta": (bytes, None),
}


def width(case):
    """Return the number of a frame's pixel columns; those of "wide" take a pickle's long opcodes."""
    return 324 if case == "wide" else 4


def make_pixels(columns):
    """Return rows of numbers from 0 to 255."""
    return [[(row * 50 + column * 7) % 256 for column in range(columns)] for row in range(ROWS)]


def expected(name):
    """Return the content of the file of that name.

    Returns:
        Of a frame: a dictionary of columns and index (lists of names), dtype (of the pixels), pixels (lists of
        numbers, a row each, without the label) and labels (a list). Of a batch: the dictionary itself, with lists
        instead of arrays; Python 2's strings are bytes, as encoding="bytes" gives them.
    """
    case = name.split(".")[0]
    if case in BATCHES:
        return _batch(*BATCHES[case])
    dtype, kind, place, named, rows, names = FRAMES[case]
    columns = [f"pixel{column}" if named else column for column in range(width(case))]
    columns.insert(place % (len(columns) + 1), "label")
    labels = NUMBERS if kind is int else WORDS
    pixels = make_pixels(width(case))
    return {
        "columns": columns,
        "index": list(names or rows),
        "dtype": dtype,
        "pixels": [pixels[row] for row in rows],
        "labels": [labels[row] for row in rows],
    }


def _batch(key, label):
    if label is None:
        items = [("num_cases_per_batch", ROWS), ("label_names", ["cat", "frog"]), ("num_vis", 48)]
    else:
        items = [
            ("batch_label", "training batch 1 of 1"),
            ("labels", NUMBERS),
            ("data", make_pixels(48)),
            ("filenames", [f"{row:05}.png" for row in range(ROWS)]),
        ]
    if key is str:
        return dict(items)
    encoded = {}
    for name, value in items:
        if name in ("filenames", "label_names"):
            value = [text.encode() for text in value]
        encoded[name.encode()] = value.encode() if isinstance(value, str) else value
    return encoded


def make_batch(case):
    """Make the batch of a case."""
    import numpy as np

    key, label = BATCHES[case]
    batch = _batch(key, label)
    data, labels = ("data", "labels") if key is str else (b"data", b"labels")
    if data in batch:
        batch[data] = np.array(batch[data], np.uint8)
    if label == "scalar":
        batch[labels] = list(np.array(NUMBERS, np.int64))
    elif label == "array":
        batch[labels] = np.array(NUMBERS, np.int64)
    return batch


def make_frame(case):
    """Make the frame of a case."""
    import numpy as np
    import pandas as pd

    dtype, kind, place, named, _, _ = FRAMES[case]
    labels = np.array(NUMBERS, np.int64) if kind is int else WORDS
    if case == "numpy-words":
        labels = list(np.array(WORDS))
    pixels = make_pixels(width(case))
    array = np.array(pixels, dtype, order="F" if case == "fortran" else "C")
    names = [f"pixel{column}" for column in range(width(case))] if named else None
    if case == "read-only":
        array.flags.writeable = False
        frame = pd.DataFrame(array, columns=names, copy=False)
    else:
        frame = pd.DataFrame(array, columns=names)
    if case.startswith("one-block"):
        return pd.DataFrame(np.column_stack([array, labels]).astype(dtype), columns=[*names, "label"])
    if case == "from-lists":
        lists = {name: [row[i] for row in pixels] for i, name in enumerate(names)}
        return pd.DataFrame(dict(lists, label=NUMBERS))
    if case == "set-afterwards":
        frame["label"] = NUMBERS
    elif place == -1:
        frame = frame.assign(label=labels)
    else:
        frame.insert(place, "label", labels)
    if case.startswith("csv"):
        frame = pd.read_csv(io.StringIO(frame.to_csv(index=False)))
    elif case == "copied":
        frame = frame.copy()
    elif case == "filtered":
        frame = frame[frame["label"] != 1]
    elif case == "shuffled":
        frame = frame.sample(frac=1, random_state=0)
    elif case == "every-second":
        frame = frame[::2]
    elif case == "sliced":
        frame = frame[2:5]
    elif case == "backwards":
        frame = frame[::-1]
    elif case == "row-names":
        frame.index = pd.Index(FRAMES[case][5], name="image")
    elif case == "concatenated":
        frame = pd.concat([frame[:3], frame[3:].reset_index(drop=True)])
    elif case == "concatenated-anew":
        frame = pd.concat([frame[:3], frame[3:]], ignore_index=True)
    elif case == "numpy-names":
        frame.columns = [*np.arange(4), "label"]
    elif case == "string-type":
        frame["label"] = frame["label"].astype("string")
    elif case.startswith("categories"):
        frame["label"] = frame["label"].astype("category")
    elif case.startswith("nullable"):
        types = {"int64": "Int64", "uint8": "UInt8", "float64": "Float64"}
        kinds = {column: types[dtype] for column in frame.columns if column != "label"}
        frame = frame.astype(dict(kinds, label="Int64" if kind is int else "string"))
    return frame


def write_frames(cases, protocols, writer):
    """Write frames of these cases."""
    for case in cases:
        for protocol in protocols:
            path = HERE / f"{case}.{writer}-p{protocol}.pkl"
            make_frame(case).to_pickle(str(path), compression=None, protocol=protocol)


def write_batches(cases, protocols, writer):
    """Write batches of these cases."""
    for case in cases:
        for protocol in protocols:
            path = HERE / f"{case}.{writer}-p{protocol}.pkl"
            path.write_bytes(pickle.dumps(make_batch(case), protocol))


# Python 2's strings are bytes, so b"" marks nothing there; its cPickle is what wrote the official batches.
PYTHON2 = """
import cPickle, sys, numpy
batch = %r
if b"data" in batch:
    batch[b"data"] = numpy.array(batch[b"data"], numpy.uint8)
sys.stderr.write(numpy.__version__)
sys.stdout.write(cPickle.dumps(batch, 2))
"""


def write_python2(cases, program):
    """Write batches of these cases with Python 2."""
    for case in cases:
        code = PYTHON2 % _batch(*BATCHES[case])
        process = subprocess.Popen([program, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        payload, version = process.communicate()
        if process.returncode:
            raise SystemExit(version.decode())
        (HERE / f"{case}.python2.7-numpy{version.decode()}-p2.pkl").write_bytes(payload)


def main():
    """Write what this environment can write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*")
    parser.add_argument("--protocols", nargs="+", type=int, default=range(pickle.HIGHEST_PROTOCOL + 1))
    parser.add_argument("--python2")
    args = parser.parse_args()
    frames = [case for case in FRAMES if case in args.cases or not args.cases]
    batches = [case for case in BATCHES if case in args.cases or not args.cases]
    if args.python2:
        write_python2([case for case in batches if case in ("batch", "meta")], args.python2)
        return
    import numpy as np
    import pandas as pd

    numpy = f"numpy{np.__version__}-python{sys.version_info[0]}.{sys.version_info[1]}"
    try:
        import pyarrow

        arrow = f"-pyarrow{pyarrow.__version__}"
    except ImportError:
        arrow = ""
    write_batches(batches, args.protocols, numpy)
    write_frames(frames, args.protocols, f"pandas{pd.__version__}-{numpy}{arrow}")
    if pd.__version__.startswith("2."):
        strings = [case for case in frames if FRAMES[case][1] is str or FRAMES[case][3]]
        try:
            with pd.option_context("future.infer_string", True):
                write_frames(strings, args.protocols, f"pandas{pd.__version__}infer-{numpy}{arrow}")
        except (KeyError, ImportError):  # no such option yet, or it needs pyarrow
            pass


if __name__ == "__main__":
    main()
