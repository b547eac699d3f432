"""Honest pickles of every pandas in, their tables out; hostile ones do nothing, and end soon with one line."""

import importlib.util
import io
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import hypothesis
import numpy as np
import pandas as pd
import pickle_corpus as hostile
import pytest
from hypothesis import strategies as st

from cnnlab.data.untrusted import pickles
from cnnlab.errors import DataError

HERE = Path(__file__).parent
FILES = sorted((HERE / "pickles").glob("*.pkl"))
MUTATIONS = int(os.environ.get("CNNLAB_MUTATIONS", "2400"))
SECONDS, MEMORY = 10, 400 << 20


def load_make():
    spec = importlib.util.spec_from_file_location("make", HERE / "pickles" / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = load_make()
CASES = {path.name: path for path in FILES}
BATCHES = [name for name in CASES if name.split(".")[0] in make.BATCHES]
CATEGORIES = [name for name in CASES if name.startswith("categories.")]
FRAMES = [name for name in CASES if name not in BATCHES and name not in CATEGORIES]


def contents(frame):
    """Return what `make.expected` tells of a frame."""
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


def test_the_fixtures_are_all_there():
    assert len(FRAMES) > 90
    assert len(BATCHES) > 9
    assert len(CATEGORIES) > 9


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_of_any_pandas_is_read_as_it_was_written(name):
    assert contents(pickles.frame(CASES[name].read_bytes(), name)) == make.expected(name)


def why_pandas_cannot(name):
    """Return what keeps this environment's own pandas from reading a file, if anything does."""
    content = CASES[name].read_bytes()
    if b"NumpySemantics" in content:
        return "a class that pandas 3 has no longer"
    if b"pyarrow" in content and importlib.util.find_spec("pyarrow") is None:
        return "it needs pyarrow"
    if name.startswith(("string-type.pandas1.1", "string-type.pandas1.2")):
        return "pandas 3 reads its StringDtype as a broken one, without _na_value"
    return None


@pytest.mark.parametrize("name", [name for name in FRAMES if not why_pandas_cannot(name)])
def test_a_frame_is_read_as_pandas_reads_it(name):
    found = pickles.frame(CASES[name].read_bytes(), name)
    pd.testing.assert_frame_equal(found, pd.read_pickle(CASES[name]))


def test_few_files_are_beyond_pandas_itself():
    """What the test before leaves out; the reader needs neither pyarrow nor the pandas that wrote a file."""
    assert len([name for name in FRAMES if why_pandas_cannot(name)]) < 20


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_is_read_as_it_was_written_and_as_pickle_reads_it(name):
    content = CASES[name].read_bytes()
    found = pickles.batch(content, name)
    plain = pickle.loads(content, encoding="bytes")
    for expected in (make.expected(name), plain):
        known = {key.decode() if isinstance(key, bytes) else key: value for key, value in expected.items()}
        wanted = [key for key in ("data", "labels", "label_names") if key in known]
        assert sorted(found) == sorted(wanted)
        for key in wanted:
            np.testing.assert_array_equal(found[key], known[key])
    if "data" in found:
        assert found["data"].dtype == np.uint8


@pytest.mark.parametrize("name", CATEGORIES)
def test_a_frame_of_categories_is_refused_by_name_with_what_to_do(name):
    with pytest.raises(DataError, match=r"Categorical'\. Write it again with to_pickle.*df\.astype") as caught:
        pickles.frame(CASES[name].read_bytes(), name)
    assert is_one_line(str(caught.value))


TYPES = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "?"]


@st.composite
def frames(draw):
    """Frames as programs make them: pixels of one type, a label somewhere, rows as they are or selected."""
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


@hypothesis.settings(max_examples=300, deadline=None, derandomize=True)
@hypothesis.given(frames(), st.integers(2, 5))
def test_a_frame_that_this_pandas_writes_is_read_as_pandas_reads_it(frame, protocol):
    content = io.BytesIO()
    frame.to_pickle(content, compression=None, protocol=protocol)
    found = pickles.frame(content.getvalue(), "x")
    content.seek(0)
    pd.testing.assert_frame_equal(found, pd.read_pickle(content), check_exact=True)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_numbers_of_the_other_byte_order_are_read_in_this_machines(protocol):
    frame = pd.DataFrame(np.arange(6).reshape(2, 3).astype(">i4")).assign(label=np.array([1, 2], ">f8"))
    content = io.BytesIO()
    frame.to_pickle(content, compression=None, protocol=protocol)
    found = pickles.frame(content.getvalue(), "x")
    assert found.dtypes.tolist() == [np.dtype("i4")] * 3 + [np.dtype("f8")]
    assert found.to_numpy().tolist() == frame.to_numpy().tolist()
    content = pickle.dumps({"data": np.arange(6, dtype=">u2").reshape(2, 3), "labels": [0, 1]}, protocol)
    assert pickles.batch(content, "x")["data"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_truth_that_is_neither_true_nor_false_is_made_true():
    """NumPy trusts the bytes of such an array to be 0 or 1, and counts wrong where they are not."""
    odd = hostile.array(hostile.raw(b"\2\0\xff"), hostile.dtype("b1"), (3,))
    found = pickles.batch(hostile.whole(hostile.batch(labels=odd)), "x")["labels"]
    assert found.view("u1").tolist() == [1, 0, 1]


@pytest.mark.parametrize("protocol", range(2, 6))
def test_a_wide_table_of_a_text_file_is_read_in_a_moment(protocol):
    """It has a block a column."""
    names = ",".join(f"pixel{column}" for column in range(4096))
    frame = pd.read_csv(io.StringIO(f"{names},label\n" + (",".join(["7"] * 4096) + ",cat\n") * 3))
    content = io.BytesIO()
    frame.to_pickle(content, compression=None, protocol=protocol)
    pd.testing.assert_frame_equal(pickles.frame(content.getvalue(), "x"), frame)


def child(way, folder, **environment):
    """Let this file's last part do something in a process of its own; return what it reports, by name."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", HERE / "pickle_corpus.py", way],
        capture_output=True,
        text=True,
        timeout=None if "CNNLAB_MUTATIONS" in os.environ else 600,
        check=False,
        cwd=folder,
        env=os.environ | {hostile.MARK: str(folder / "mark"), "OMP_NUM_THREADS": "1"} | environment,
    )
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"after {reports[-1:]}:\n{done.stderr[-3000:]}"
    assert not list(folder.iterdir())
    return {report.pop("name"): report for report in reports}


@pytest.fixture(scope="module")
def fates(tmp_path_factory):
    return child("hostile", tmp_path_factory.mktemp("hostile"))


def test_there_are_many_hostile_pickles(fates):
    assert len(hostile.HOSTILE) > 300
    assert set(fates) == hostile.HOSTILE.keys() | hostile.HARMLESS.keys() | {"afterwards"}


@pytest.mark.parametrize("name", hostile.HOSTILE)
def test_a_hostile_pickle_is_refused_soon_in_one_line(name, fates):
    """As a table, and as a batch, if it is not one: some are honest in all that a batch needs."""
    fate = fates[name]
    assert fate["frame"].startswith("DataError: ")
    assert is_one_line(fate["frame"].removeprefix("DataError: "))
    if name not in hostile.READ_AS_BATCH and "batch" in fate:
        assert is_one_line(fate["batch"].removeprefix("DataError: "))
    assert fate["seconds"] < SECONDS
    assert fate["grown"] < MEMORY
    assert not fate["marked"]


@pytest.mark.parametrize("name", hostile.HARMLESS)
def test_an_odd_pickle_is_read_without_what_is_odd(name, fates):
    assert fates[name]["frame"] == "read the small table"
    assert not fates[name]["marked"]


def test_pandas_does_its_work_after_all_of_them(fates):
    assert fates["afterwards"] == {"well": True, "marked": False}


@pytest.mark.parametrize("name", ["os.system by REDUCE", "an attribute of Index", "builtins.open"])
def test_a_hostile_pickle_would_leave_its_mark(name):
    """The tests before can fail: Python's own reader does what these ask for."""
    assert hostile.tried(hostile.read_plainly, hostile.HOSTILE[name])["marked"]


def test_a_hostile_pickle_in_a_data_folder_is_refused(tmp_path):
    report = child("folders", tmp_path)
    assert len(report) > 30
    for name, fate in report.items():
        assert is_one_line(fate["fate"].removeprefix("DataError: ")), name
        assert fate["fate"].startswith("DataError: "), name


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
def test_an_odd_table_in_a_data_folder_is_refused_or_read(tmp_path, name):
    """Such a table is what its pickle says; it is the data set that it cannot be."""
    content = pickle.dumps(ODD_TABLES[name])
    (tmp_path / "pickled").write_bytes(content)
    done = subprocess.run(
        [sys.executable, HERE / "pickle_corpus.py", "folder", "pickled"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["fate"] == "read" or is_one_line(found["fate"].removeprefix("DataError: "))
    assert found["grown"] < MEMORY


def test_a_mutated_pickle_is_read_or_refused(tmp_path):
    """No mutation ends in anything but a value or a `DataError`; nor does it through the readers of data folders."""
    report = child("mutations", tmp_path, CNNLAB_MUTATIONS=str(MUTATIONS))["counts"]
    assert report["other"] == {}
    assert sum(report["counts"].values()) == 2 * MUTATIONS + report["folders"]
    assert report["counts"]["frame: read"] > MUTATIONS / 50
    assert report["counts"]["frame: DataError"] > MUTATIONS / 5


# Programs of steps in any order, mostly of such steps and names as honest files have.

NAMES = st.sampled_from(sorted(pickles._KNOWN)).map(lambda name: hostile.known(*name.rsplit(".", 1)))
PLAIN = st.one_of(
    st.integers(-3, 300).map(hostile.number),
    st.sampled_from([*hostile.EXTREMES, -(2**63)]).map(hostile.number),
    st.sampled_from(
        ["latin1", "label", "_mgr", "data", "name", "start", "string", "u1", "O8", "<", "|", "C", "0.14.1"]
    ).map(hostile.text),
    st.text(max_size=3).map(hostile.text),
    st.binary(max_size=9).map(hostile.raw),
    st.floats().map(hostile.value_of),
    st.sampled_from([b"N", b"\x88", b"\x89", b"]", b"}", b")", b"("]),
)
STEPS = st.one_of(
    PLAIN,
    NAMES,
    st.sampled_from([bytes([step]) for step in b"RRRbb\x81\x81ttaesu\x85\x85\x86\x87\x94\x94"]),
    st.integers(0, 5).map(lambda place: b"h" + bytes([place])),
    st.integers(0, 5).map(lambda place: b"q" + bytes([place])),
    st.sampled_from([hostile.PIXELS, hostile.LABELS, hostile.COLUMNS, hostile.ROWS, hostile.OBJECT, *hostile.BLOCKS]),
    st.binary(min_size=1, max_size=3),
)
# The parts of an honest table, any of which may be something else.
PARTS = st.one_of(PLAIN, NAMES, STEPS)


@st.composite
def tables(draw):
    def part(honest):
        return draw(st.one_of(st.just(honest), st.just(honest), st.just(honest), PARTS))

    shape = draw(st.lists(st.one_of(st.integers(0, 3), st.sampled_from(hostile.EXTREMES)), min_size=0, max_size=3))
    kind = hostile.dtype(
        draw(st.sampled_from(["u1", "i8", "f2", "b1", "O8", "U1", "V8", "M8"])), part(hostile.text("|"))
    )
    values = hostile.array(part(hostile.raw(bytes(4))), part(kind), part(hostile.value_of(tuple(shape))))
    blocks = tuple(part(one) for one in (hostile.block(part(hostile.PIXELS)), hostile.block(part(values), 2, 3)))
    return hostile.table(
        blocks, hostile.index(part(hostile.objects("a", "b", "label"))), part(hostile.ROWS), part(b"}")
    )


@hypothesis.settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
@hypothesis.given(st.one_of(st.lists(STEPS, max_size=40).map(b"".join), tables()))
def test_any_program_is_read_or_refused(program):
    for read in (pickles.frame, pickles.batch):
        try:
            found = read(hostile.whole(program), "x")
        except DataError as error:
            assert is_one_line(str(error))
        else:
            hostile.use(found)
