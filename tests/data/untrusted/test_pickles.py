"""Pickles of every pandas are read; malicious ones run nothing and are refused quickly, in one line."""

import gc
import importlib.util
import io
import json
import os
import pickle
import subprocess
import sys
import tracemalloc
from pathlib import Path

import hypothesis
import numpy as np
import pandas as pd
import pickle_corpus as corpus
import pytest
from hypothesis import strategies as st

from cnnlab.data.untrusted.pickle_program import PLAIN_CALLS
from cnnlab.data.untrusted.pickle_values import ACCEPTED, read_batch, read_frame
from cnnlab.errors import DataError
from conftest import ROOT

HERE = Path(__file__).parent
FILES = sorted((HERE / "pickles").glob("*.pkl"))
MUTATIONS = int(os.environ.get("CNNLAB_MUTATIONS", "2400"))
SECONDS, MEMORY = 10, 400 << 20
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""NumPy takes 40 MB for each core of the machine as it is imported."""


def load_make():
    spec = importlib.util.spec_from_file_location("make", HERE / "pickles" / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = load_make()
CASES = {path.name: path for path in FILES}
BATCHES = [name for name in CASES if name.split(".")[0] in make.BATCHES]
MADE_PLAIN = [name for name in CASES if name.startswith(("categories", "nullable"))]
FRAMES = [name for name in CASES if name not in BATCHES and name not in MADE_PLAIN]


def contents(frame):
    """Return a frame in the form of `make.expected`."""
    pixels = frame.drop(columns="label")
    (dtype,) = set(pixels.dtypes)
    return {
        "columns": list(frame.columns),
        "index": list(frame.index),
        "dtype": dtype.name,
        "pixels": pixels.to_numpy().tolist(),
        "labels": list(frame["label"]),
    }


def is_one_line(message):
    return message.startswith("Expected ") and " Received: " in message and message.isprintable() and len(message) < 500


def test_number_of_fixtures():
    assert len(FRAMES) > 90
    assert len(BATCHES) > 9
    assert len(MADE_PLAIN) > 20


@pytest.mark.parametrize("name", FRAMES)
def test_frame_as_written(name):
    """Frames that many versions of pandas wrote are read as they were written."""
    assert contents(read_frame(CASES[name].read_bytes(), name)) == make.expected(name)


def why_pandas_cannot(name):
    """Return why the pandas of this environment cannot read a file, or None."""
    content = CASES[name].read_bytes()
    if b"NumpySemantics" in content:
        return "pandas 3 removed its class"
    if b"pyarrow" in content and importlib.util.find_spec("pyarrow") is None:
        return "it needs pyarrow"
    if name.startswith(("string-type.pandas1.1", "string-type.pandas1.2")):
        return "pandas 3 reads its StringDtype as a broken one, without _na_value"
    return None


@pytest.mark.parametrize("name", [name for name in FRAMES if not why_pandas_cannot(name)])
def test_frame_as_pandas_reads_it(name):
    found = read_frame(CASES[name].read_bytes(), name)
    pd.testing.assert_frame_equal(found, pd.read_pickle(CASES[name]))


def test_few_files_that_pandas_cannot_read():
    """The previous test omits them; our reader needs neither pyarrow nor the pandas that wrote a file."""
    assert len([name for name in FRAMES if why_pandas_cannot(name)]) < 20


@pytest.mark.parametrize("name", BATCHES)
def test_batch(name):
    """A batch is read as it was written, and as pickle reads it."""
    content = CASES[name].read_bytes()
    found = read_batch(content, name)
    plain = pickle.loads(content, encoding="bytes")
    for expected in (make.expected(name), plain):
        known = {key.decode() if isinstance(key, bytes) else key: value for key, value in expected.items()}
        wanted = [key for key in ("data", "labels", "label_names") if key in known]
        assert sorted(found) == sorted(wanted)
        for key in wanted:
            np.testing.assert_array_equal(found[key], known[key])
    if "data" in found:
        assert found["data"].dtype == np.uint8


@pytest.mark.parametrize("name", MADE_PLAIN)
def test_categories_and_nullable_columns(name):
    """They are read as plain columns."""
    assert contents(read_frame(CASES[name].read_bytes(), name)) == make.expected(name)


TYPES = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "?"]


@st.composite
def frames(draw):
    """Frames as programs make them: pixels of one type, labels in any column, all rows or some of them."""
    n_rows, n_pixels = draw(st.integers(1, 9)), draw(st.integers(1, 20))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    pixels = rng.integers(0, 128, (n_rows, n_pixels)).astype(draw(st.sampled_from(TYPES)))
    frame = pd.DataFrame(np.asfortranarray(pixels) if draw(st.booleans()) else pixels)
    if draw(st.booleans()):
        frame.columns = [f"pixel{column}" for column in range(n_pixels)]
    texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    labels = draw(
        st.one_of(
            st.lists(st.integers(-(2**63), 2**63 - 1), min_size=n_rows, max_size=n_rows),
            st.lists(texts, min_size=n_rows, max_size=n_rows),
            st.lists(texts, min_size=n_rows, max_size=n_rows).map(lambda found: np.array(found, object)),
            st.lists(st.one_of(texts, st.none()), min_size=n_rows, max_size=n_rows),
            st.lists(st.floats(), min_size=n_rows, max_size=n_rows),
            st.lists(st.integers(0, 255), min_size=n_rows, max_size=n_rows).map(lambda found: np.array(found, "u1")),
        )
    )
    frame.insert(draw(st.integers(0, n_pixels)), "label", labels)
    match draw(st.integers(0, 6)):
        case 0:
            frame = frame.sample(frac=1, random_state=0)
        case 1 if n_rows > 1:
            frame = frame[frame.index % 2 == 1]
        case 2:
            frame.index = pd.Index([f"image {row}" for row in range(n_rows)], name="image")
        case 3:
            frame = frame[::-1].set_axis(np.arange(n_rows) / 2, axis=0)
        case 4:
            frame = frame.iloc[:, ::-1]
        case 5:
            frame.columns.name = "pixel"
            frame.attrs = {"made": "today", "by": ["us", 1, {"x": None}]}
    return frame


@hypothesis.settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
@hypothesis.given(frames(), st.integers(0, 5))
def test_random_frame(frame, protocol):
    """What this pandas writes is read as pandas reads it."""
    content = io.BytesIO()
    frame.to_pickle(content, compression=None, protocol=protocol)
    found = read_frame(content.getvalue(), "x")
    content.seek(0)
    pd.testing.assert_frame_equal(found, pd.read_pickle(content), check_exact=True)


@pytest.mark.parametrize("protocol", range(6))
def test_byte_order(protocol):
    """Numbers of the other byte order get this machine's."""
    frame = pd.DataFrame(np.arange(6).reshape(2, 3).astype(">i4")).assign(label=np.array([1, 2], ">f8"))
    content = io.BytesIO()
    frame.to_pickle(content, compression=None, protocol=protocol)
    found = read_frame(content.getvalue(), "x")
    assert found.dtypes.tolist() == [np.dtype("i4")] * 3 + [np.dtype("f8")]
    assert found.to_numpy().tolist() == frame.to_numpy().tolist()
    content = pickle.dumps({"data": np.arange(6, dtype=">u2").reshape(2, 3), "labels": [0, 1]}, protocol)
    assert read_batch(content, "x")["data"].tolist() == [[0, 1, 2], [3, 4, 5]]


PYTHON2 = b"""(dp0
S'data'
cnumpy.core.multiarray
_reconstruct
(cnumpy
ndarray
(I0
tS'b'
tR(I1
(I2
I2
tcnumpy
dtype
(S'u1'
I0
I1
tR(I3
S'|'
NNNI-1
I-1
I0
tbI00
S'\\x00a\xff\\n'
tbsS'labels'
(lI1
aI2
as."""


def test_protocol_0_of_python_2():
    """Its strings may have any bytes, which `pickletools` refuses."""
    found = read_batch(PYTHON2, "x")
    assert found["data"].tolist() == [[0, 97], [255, 10]]
    assert found["labels"] == [1, 2]


def line(opcode, text):
    return opcode + text + b"\n."


@pytest.mark.parametrize(
    "content",
    [
        line(b"I", b"9" * 10_000), line(b"L", b"9" * 10_000), line(b"F", b"9" * 10_000), line(b"g", b"9" * 10_000),
        line(b"cx\n", b"x" * 10_000), line(b"S", b"'"), line(b"S", b"'x"), line(b"S", b"x"), line(b"S", b"'\\x'"),
        line(b"V", b"\\ud800"), line(b"V", b"\\u12"), line(b"I", b"x"), line(b"I", b""), b"I1",
        b"(I1\nd.", b"d.", b"l.", b"(d",
        b"(I1\np99999999999999\n0.", b"(lp-1\n.", b"(dp0\n(g0\ng0\nd.",
        b"ccopy_reg\n_reconstructor\n(cos\nsystem\nNNtR.",
        b"ccopyreg\n_reconstructor\n(cpandas\nDataFrame\nc__builtin__\nobject\nI1\ntR.",
        b"ccopyreg\n_reconstructor\n(NNNtR.",
        b"ccopyreg\n_reconstructor\n(cnumpy\nndarray\ncnumpy\nndarray\nNtR.", b"c__builtin__\nobject\n(tR.",
    ],
    ids=lambda content: repr(content)[:40],
)  # fmt: skip
def test_malicious_text(content):
    """Steps of protocols 0 and 1 that no valid file has."""
    for read in (read_frame, read_batch):
        with pytest.raises(DataError) as caught:
            read(content, "x")
        assert is_one_line(str(caught.value))


@pytest.mark.parametrize("codes", [b"\xfe\0", b"\xff\0", b"\0\x02", b"\0"], ids=repr)
def test_broken_categories(codes):
    """Their codes are out of range, -1 for a missing value, or too few."""
    kind = corpus.build(
        corpus.new(corpus.known("pandas", "CategoricalDtype")),
        {"categories": corpus.index(corpus.objects("a", "b")), "ordered": False},
    )
    values = corpus.array(corpus.raw(codes), corpus.dtype("i1"), (len(codes),))
    column = corpus.build(corpus.call(corpus.BACKED, corpus.known("pandas", "Categorical"), 1, None), (kind, values))
    with pytest.raises(DataError):
        read_frame(corpus.whole(corpus.labelled(column)), "x")


@pytest.mark.parametrize(
    ("values", "mask"),
    [(b"\1\2", b"\0"), (b"\1\2", b"\0\1"), (b"\1", b"\0"), (b"\1\2\3", b"\0\0\0")],
    ids=["a short mask", "a missing value", "too few", "too many"],
)
def test_broken_nullable_column(values, mask):
    state = {
        "_data": corpus.array(corpus.raw(values), corpus.dtype("u1"), (len(values),)),
        "_mask": corpus.array(corpus.raw(mask), corpus.dtype("b1"), (len(mask),)),
    }
    column = corpus.build(corpus.new(corpus.known("pandas.arrays", "IntegerArray")), state)
    with pytest.raises(DataError):
        read_frame(corpus.whole(corpus.labelled(column)), "x")


def test_long_ranges_of_categories_and_lists_of_lists():
    """Neither the names of categories nor a list that stands somewhere many times may take much memory."""
    kind = corpus.build(
        corpus.new(corpus.known("pandas", "CategoricalDtype")), {"categories": corpus.rows(0, 2**40), "ordered": False}
    )
    values = corpus.array(corpus.raw(b"\0\1"), corpus.dtype("i1"))
    column = corpus.build(corpus.call(corpus.BACKED, corpus.known("pandas", "Categorical"), 1, None), (kind, values))
    with pytest.raises(DataError, match="far more values"):
        read_frame(corpus.whole(corpus.labelled(column)), "x")
    shared = corpus.value_of([0] * 5000) + corpus.put(7)
    labels = b"](" + corpus.get(7) * 50_000 + b"e"
    with pytest.raises(DataError, match="far more values"):
        read_batch(corpus.whole(shared, corpus.batch(labels=labels)), "x")


def test_boolean_bytes():
    """NumPy expects 0 or 1 in an array of booleans, and counts wrong otherwise: any other byte becomes 1."""
    odd = corpus.array(corpus.raw(b"\2\0\xff"), corpus.dtype("b1"), (3,))
    found = read_batch(corpus.whole(corpus.batch(labels=odd)), "x")["labels"]
    assert found.view("u1").tolist() == [1, 0, 1]


@pytest.mark.parametrize("protocol", range(6))
def test_wide_table(protocol):
    """A table of read_csv has a block per column, and is read quickly all the same."""
    names = ",".join(f"pixel{column}" for column in range(4096))
    frame = pd.read_csv(io.StringIO(f"{names},label\n" + (",".join(["7"] * 4096) + ",cat\n") * 3))
    content = io.BytesIO()
    frame.to_pickle(content, compression=None, protocol=protocol)
    pd.testing.assert_frame_equal(read_frame(content.getvalue(), "x"), frame)


def test_memory_is_freed():
    """Also without the garbage collector: the values of a file are in no cycle."""
    content = corpus.whole(corpus.batch(x=corpus.raw(bytes(8 << 20))))
    gc.disable()
    tracemalloc.start()
    try:
        read_batch(content, "x")
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
    finally:
        tracemalloc.stop()
        gc.enable()


def in_small_process(folder, *words):
    """Run Python with one thread, whose memory does not depend on the number of cores; return what it prints."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=os.environ | ONE_THREAD,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_corpus(report, folder, **environment):
    """Run the corpus as a program in another process; return its reports by name."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", HERE / "pickle_corpus.py", report],
        capture_output=True,
        text=True,
        timeout=None if "CNNLAB_MUTATIONS" in os.environ else 600,
        check=False,
        cwd=folder,
        env=os.environ | {corpus.MARK: str(folder / "mark")} | ONE_THREAD | environment,
    )
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"after {reports[-1:]}:\n{done.stderr[-3000:]}"
    assert not list(folder.iterdir())
    return {entry.pop("name"): entry for entry in reports}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    return run_corpus("malicious", tmp_path_factory.mktemp("malicious"))


def test_number_of_malicious_pickles(outcomes):
    assert len(corpus.MALICIOUS) > 300
    n, read = len(corpus.MALICIOUS), len(corpus.READ_AS_BATCH)
    shown = f"| {n} malicious pickles | none runs code: {n - read} refused in one line, {read} read as "
    assert shown in (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert f"none of {n} malicious" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(outcomes) == corpus.MALICIOUS.keys() | corpus.HARMLESS.keys() | {"afterwards"}


@pytest.mark.parametrize("name", corpus.MALICIOUS)
def test_malicious_pickle(name, outcomes):
    """It is refused in one line, as a table and as a batch, except a few that are valid batches."""
    outcome = outcomes[name]
    assert outcome["frame"].startswith("DataError: ")
    assert is_one_line(outcome["frame"].removeprefix("DataError: "))
    if name not in corpus.READ_AS_BATCH and "batch" in outcome:
        assert is_one_line(outcome["batch"].removeprefix("DataError: "))
    assert outcome["seconds"] < SECONDS
    assert outcome["grown"] < MEMORY
    assert not outcome["marked"]


@pytest.mark.parametrize("name", corpus.HARMLESS)
def test_harmless_pickle(name, outcomes):
    """An odd pickle is read as the small table; its odd part is ignored."""
    assert outcomes[name]["frame"] == "read the small table"
    assert not outcomes[name]["marked"]


def test_pandas_works_afterwards(outcomes):
    assert outcomes["afterwards"] == {"well": True, "marked": False}


@pytest.mark.parametrize("name", ["os.system by REDUCE", "an attribute of Index", "builtins.open"])
def test_marks(name):
    """The previous tests can fail: Python's own reader runs what these pickles ask for."""
    # In a small process: other tests and a machine with many cores make this one larger than the limit on memory.
    code = "import pickle_corpus as c, sys; print(c.tried(c.read_plainly, c.MALICIOUS[sys.argv[1]])['marked'])"
    assert in_small_process(HERE, "-c", code, name) == "True\n"


def test_malicious_pickle_in_a_data_folder(tmp_path):
    report = run_corpus("folders", tmp_path)
    assert len(report) > 30
    for name, outcome in report.items():
        assert is_one_line(outcome["outcome"].removeprefix("DataError: ")), name
        assert outcome["outcome"].startswith("DataError: "), name


PIXELS = np.zeros((2, 1), np.uint8)
ODD_TABLES = {
    "columns with numbers far apart": pd.DataFrame(np.zeros((2, 2), np.uint8))
    .set_axis(["pixel0", "pixel999999999"], axis=1)
    .assign(label=[0, 1]),
    "one long label among many": pd.DataFrame(np.zeros((100_000, 1), np.uint8)).assign(
        label=["x" * 100_000, *["y"] * 99_999]
    ),
    "labels of bytes": pd.DataFrame(PIXELS).assign(label=np.array([b"\xff", b"x"], object)),
    "labels of half floats": pd.DataFrame(PIXELS).assign(label=np.array([1, 60_000], "f2")),
}


@pytest.mark.parametrize("name", ODD_TABLES)
def test_odd_table_in_a_data_folder(tmp_path, name):
    """A valid table that is no valid batch of images."""
    content = pickle.dumps(ODD_TABLES[name])
    (tmp_path / "pickled").write_bytes(content)
    found = json.loads(in_small_process(tmp_path, HERE / "pickle_corpus.py", "folder", "pickled"))
    assert found["outcome"] == "read" or is_one_line(found["outcome"].removeprefix("DataError: "))
    assert found["grown"] < MEMORY


def test_mutations(tmp_path):
    """Every mutated pickle is read or refused with a `DataError`, also as part of a data folder."""
    report = run_corpus("mutations", tmp_path, CNNLAB_MUTATIONS=str(MUTATIONS))["counts"]
    assert report["other"] == {}
    assert sum(report["counts"].values()) == 2 * MUTATIONS + report["folders"]
    assert report["counts"]["read_frame: read"] > MUTATIONS / 50
    assert report["counts"]["read_frame: DataError"] > MUTATIONS / 5


# Programs of steps in any order, mostly steps and names of valid files.

NAMES = st.sampled_from(sorted(ACCEPTED | PLAIN_CALLS)).map(lambda name: corpus.known(*name.rsplit(".", 1)))
PLAIN = st.one_of(
    st.integers(-3, 300).map(corpus.number),
    st.sampled_from([*corpus.EXTREMES, -(2**63)]).map(corpus.number),
    st.sampled_from(
        ["latin1", "label", "_mgr", "data", "name", "start", "string", "u1", "O8", "<", "|", "C", "0.14.1"]
    ).map(corpus.text),
    st.text(max_size=3).map(corpus.text),
    st.binary(max_size=9).map(corpus.raw),
    st.floats().map(corpus.value_of),
    st.sampled_from([b"N", b"\x88", b"\x89", b"]", b"}", b")", b"("]),
)
STEPS = st.one_of(
    PLAIN,
    NAMES,
    st.sampled_from([bytes([step]) for step in b"RRRbb\x81\x81ttaesu\x85\x85\x86\x87\x94\x94"]),
    st.integers(0, 5).map(lambda place: b"h" + bytes([place])),
    st.integers(0, 5).map(lambda place: b"q" + bytes([place])),
    st.sampled_from([corpus.PIXELS, corpus.LABELS, corpus.COLUMNS, corpus.ROWS, corpus.OBJECT, *corpus.BLOCKS]),
    st.binary(min_size=1, max_size=3),
)
# Parts of, any of which may be something else.
PARTS = st.one_of(PLAIN, NAMES, STEPS)


@st.composite
def tables(draw):
    def part(valid):
        return draw(st.one_of(st.just(valid), st.just(valid), st.just(valid), PARTS))

    shape = draw(st.lists(st.one_of(st.integers(0, 3), st.sampled_from(corpus.EXTREMES)), min_size=0, max_size=3))
    kind = corpus.dtype(draw(st.sampled_from(["u1", "i8", "f2", "b1", "O8", "U1", "V8", "M8"])), part(corpus.text("|")))
    values = corpus.array(part(corpus.raw(bytes(4))), part(kind), part(corpus.value_of(tuple(shape))))
    blocks = tuple(part(one) for one in (corpus.block(part(corpus.PIXELS)), corpus.block(part(values), 2, 3)))
    return corpus.table(blocks, corpus.index(part(corpus.objects("a", "b", "label"))), part(corpus.ROWS), part(b"}"))


@hypothesis.settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
@hypothesis.given(st.one_of(st.lists(STEPS, max_size=40).map(b"".join), tables()))
def test_random_programs(program):
    for read in (read_frame, read_batch):
        try:
            found = read(corpus.whole(program), "x")
        except DataError as error:
            assert is_one_line(str(error))
        else:
            corpus.use(found)
