"""Stored runs are whole, or not there."""

import json
import os
import warnings
import zipfile
from dataclasses import asdict, replace

import joblib
import numpy as np
import pytest

from cnnlab.errors import RecordError, RecordWarning
from cnnlab.records import RunStore, sealed, to_frame
from cnnlab.records.record import FORMAT, HISTORY
from cnnlab.study import OwnModel, Trial
from conftest import make_record

RECORD = make_record(Trial(), 3, params=10, history={name: [2.0, float("nan")] for name in HISTORY})
ARRAYS = {"val_probs": np.eye(2, dtype=np.float32)}
FORM = {"format": FORMAT, **asdict(RECORD)}
NO_EPOCH: dict[str, list[float]] = {name: [] for name in HISTORY}


@pytest.fixture
def stored(tmp_path):
    """A store with one run, and its file."""
    store = RunStore(tmp_path / "runs")
    store.put(RECORD, ARRAYS)
    return store, store.path / f"{RECORD.digest}.run"


def test_a_stored_run_is_read_as_it_was_written(tmp_path):
    store = RunStore(tmp_path / "new")
    assert store.get(RECORD.digest) is None
    record = store.put(RECORD, ARRAYS)
    assert repr(store.get(RECORD.digest)) == repr(record)
    assert repr(RunStore(store.path).get(RECORD.digest)) == repr(record)
    np.testing.assert_array_equal(store.arrays(RECORD.digest)["val_probs"], ARRAYS["val_probs"])
    np.testing.assert_array_equal(store.arrays(RECORD.digest, "val_probs")["val_probs"], ARRAYS["val_probs"])


def test_a_run_is_one_zip_file_whose_first_member_is_the_record(stored):
    store, file = stored
    assert [path.name for path in store.path.iterdir()] == [file.name]
    with zipfile.ZipFile(file) as archive:
        assert archive.namelist() == ["record.json", "val_probs.npy"]
        assert json.loads(archive.read("record.json"))["seed"] == 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda whole: b"", "its content has changed"),
        (lambda whole: whole[: len(whole) // 2], "its content has changed"),
        (lambda whole: whole + b"x", "its content has changed"),
        (lambda whole: whole.replace(b'"val_f1": 0.5', b'"val_f1": 0.9'), "its content has changed"),
        (lambda whole: sealed.pack({}, {}), "its format is None, and this version of cnnlab reads 6"),
        (lambda whole: sealed.pack({**FORM, "format": 5}, ARRAYS), "its format is 5"),
        (lambda whole: sealed.pack({**FORM, "more": 1}, ARRAYS), "its format is 6"),
        (lambda whole: sealed.pack({**FORM, "seed": 4}, ARRAYS), "the record of another run"),
        (lambda whole: sealed.pack({**FORM, "code": "other"}, ARRAYS), "the record of another run"),
        (lambda whole: sealed.pack({**FORM, "scores": {}}, ARRAYS), "its record is not complete"),
        (lambda whole: sealed.pack({**FORM, "history": {"loss": [2.0]}}, ARRAYS), "its record is not complete"),
        (lambda whole: sealed.pack({**FORM, "history": NO_EPOCH}, ARRAYS), "the record of another run"),
    ],
    ids=[
        "empty",
        "half",
        "longer",
        "score",
        "no record",
        "format",
        "field",
        "seed",
        "code",
        "scores",
        "history",
        "no epoch",
    ],
)
def test_a_file_that_cannot_be_trusted_is_quarantined_with_one_warning(stored, content, reason):
    store, file = stored
    file.write_bytes(content(file.read_bytes()))
    with pytest.warns(RecordWarning, match=reason):
        assert store.get(RECORD.digest) is None
    assert not file.exists()
    assert [path.name for path in (store.path / "quarantine").iterdir()] == [file.name]
    assert store.get(RECORD.digest) is None, "the warning comes once"
    store.put(RECORD, ARRAYS)
    assert store.get(RECORD.digest) is not None


def test_a_record_under_the_name_of_another_run_is_quarantined(stored):
    store, file = stored
    file.with_name("cd" * 32 + ".run").write_bytes(file.read_bytes())
    with pytest.warns(RecordWarning, match="the record of another run"):
        assert store.get("cd" * 32) is None


def test_arrays_that_change_after_the_record_was_read_are_noticed(stored):
    store, file = stored
    assert store.get(RECORD.digest) is not None
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    os.utime(file, (1, 1))  # on some file systems, two times within a few milliseconds are the same
    with pytest.warns(RecordWarning, match="has changed"), pytest.raises(RecordError, match="damaged"):
        store.arrays(RECORD.digest)


def flip_one_bit(file, rng):
    """Flip one bit of a file and return what it held."""
    whole = file.read_bytes()
    bit = int(rng.integers(8 * len(whole)))
    changed = bytearray(whole)
    changed[bit // 8] ^= 1 << bit % 8
    file.write_bytes(changed)
    return whole


def test_each_of_400_single_bit_flips_is_noticed(tmp_path):
    rng = np.random.default_rng(4)
    RunStore(tmp_path).put(RECORD, {"val_probs": rng.random((200, 10), np.float32)})
    file = tmp_path / f"{RECORD.digest}.run"
    for _ in range(400):
        whole = flip_one_bit(file, rng)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RecordWarning)
            RunStore(tmp_path).prepare()  # looks into the file too, and must not fail
        with pytest.warns(RecordWarning):
            assert RunStore(tmp_path).get(RECORD.digest) is None
        file.write_bytes(whole)
    assert repr(RunStore(tmp_path).get(RECORD.digest)) == repr(RECORD)


@pytest.mark.filterwarnings("ignore")
def test_a_cache_without_hashes_reads_most_of_400_bit_flips_as_good(tmp_path):
    """What the seal is for: joblib's cache of the same arrays."""
    rng = np.random.default_rng(4)
    probs = rng.random((200, 10), np.float32)
    cached = joblib.Memory(tmp_path, verbose=0).cache(lambda: probs)
    cached()
    (file,) = tmp_path.rglob("output.pkl")
    believed = 0
    for _ in range(400):
        whole = flip_one_bit(file, rng)
        believed += not np.array_equal(cached(), probs, equal_nan=True)
        file.write_bytes(whole)
    assert believed > 350


def test_a_store_full_of_unusable_runs_is_named_in_one_line(stored):
    store, _ = stored
    for number in range(3):
        form = {**FORM, "code": "other", "seed": number}
        (store.path / f"{number:064x}.run").write_bytes(sealed.pack(form, ARRAYS))
        (store.path / f"{number:064x}.json").write_text("{}")  # of version 0.1.0
    (store.path / "notes.json").write_text("mine")
    with pytest.warns(RecordWarning) as given:
        store.prepare()
        store.prepare()
    assert len(given) == 1
    message = str(given[0].message)
    assert "6 stored runs" in message
    assert "3 were made by other code" in message
    assert "3 by a version before 0.2.0" in message
    assert (store.path / "notes.json").read_text() == "mine"


def test_runs_of_other_code_are_in_the_table_under_their_code(stored):
    store, _ = stored
    other = make_record(Trial(), 3, code="other")
    store.put(other, ARRAYS)
    assert sorted(to_frame(store.path)["code"]) == sorted([RECORD.code, "other"])


def test_files_that_the_store_does_not_know_are_left_alone(stored):
    store, _ = stored
    (store.path / "notes.run.txt").write_text("mine")
    assert len(store.records()) == 1
    store.prepare()
    assert (store.path / "notes.run.txt").read_text() == "mine"


def test_files_of_killed_processes_are_removed_once_they_are_old(stored):
    store, file = stored
    checkpoints = store.prepare()
    left = [store.path / ".cnnlab-x.part", checkpoints / f"{RECORD.digest}.ckpt"]
    kept = [checkpoints / ("ab" * 32 + ".ckpt"), file, store.path / "mine.npz"]
    for path in (*left, kept[0], kept[2]):
        path.write_bytes(b"half")
    store.prepare()
    assert all(path.exists() for path in left + kept), "a process may still use them"
    for path in left + kept:
        os.utime(path, (1, 1))
    store.prepare()
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)


def test_the_record_of_the_faster_of_two_processes_is_kept(stored):
    store, _ = stored
    assert store.put(replace(RECORD, train_seconds=9.0), ARRAYS).train_seconds == RECORD.train_seconds


def test_storing_a_run_again_leaves_no_checkpoint(stored):
    store, file = stored
    (store.prepare() / f"{RECORD.digest}.ckpt").write_bytes(b"")
    os.utime(file, (1, 1))
    RunStore(store.path, fresh=True).put(RECORD, {"val_probs": np.ones((2, 2), np.float32)})
    assert [path.name for path in store.path.glob("*.*")] == [file.name]
    assert not list((store.path / "checkpoints").iterdir())


def test_a_fresh_store_sees_only_what_it_wrote_itself(tmp_path):
    RunStore(tmp_path).put(RECORD, ARRAYS)
    os.utime(tmp_path / f"{RECORD.digest}.run", (1, 1))
    fresh = RunStore(tmp_path, fresh=True)
    assert fresh.get(RECORD.digest) is None
    fresh.put(replace(RECORD, params=11), ARRAYS)
    assert fresh.get(RECORD.digest).params == 11


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="RUNS="):
        RunStore(tmp_path / "file" / "runs").put(RECORD, ARRAYS)


def test_a_store_becomes_a_table_with_the_settings_as_columns(tmp_path):
    RunStore(tmp_path).put(RECORD, ARRAYS)
    frame = to_frame(tmp_path)
    assert frame.loc[0, ["seed", "params", "epochs", "dense_units", "loss"]].tolist() == [
        3, 10, 2, 64, "sparse_categorical_crossentropy",
    ]  # fmt: skip
    with pytest.raises(RecordError, match="a folder of stored runs"):
        to_frame(tmp_path / "nowhere")


def test_own_models_in_a_table(tmp_path):
    """The parameters of an own model are columns; one cannot hide what the run itself says."""
    settings = {"units": 3, "seed": 99}
    trial = Trial(OwnModel("build", "abc", settings))
    RunStore(tmp_path).put(make_record(trial, 7), ARRAYS)
    row = to_frame(tmp_path).iloc[0]
    assert (row["function"], row["file"], row["units"], row["seed"]) == ("build", "abc", 3, 7)
