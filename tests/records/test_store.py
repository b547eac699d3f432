"""Records are whole or not there."""

import json
import os
from dataclasses import replace

import joblib
import numpy as np
import pytest

from cnnlab import records
from cnnlab.errors import RecordError, RecordWarning
from cnnlab.records import RunStore, to_frame
from cnnlab.study import Trial
from conftest import make_record

RECORD = make_record(Trial(), 3, params=10, history={"loss": [2.0, float("nan")]})
ARRAYS = {"val_probs": np.eye(2, dtype=np.float32)}


@pytest.fixture
def stored(tmp_path):
    """A store with one record: the store, the record's file and its arrays' file."""
    store = RunStore(tmp_path / "runs")
    record = store.put(RECORD, ARRAYS)
    return store, store.path / f"{RECORD.digest}.json", store.path / f"{RECORD.digest}-{record.arrays_sha256[:16]}.npz"


def test_a_record_comes_back_as_it_was_stored_nan_and_all(tmp_path):
    store = RunStore(tmp_path / "new")
    assert store.get(RECORD.digest) is None
    record = store.put(RECORD, ARRAYS)
    assert repr(store.get(RECORD.digest)) == repr(record)
    assert repr(RunStore(store.path).get(RECORD.digest)) == repr(record)
    np.testing.assert_array_equal(store.arrays(RECORD.digest)["val_probs"], ARRAYS["val_probs"])
    assert sorted(path.suffix for path in store.path.iterdir()) == [".json", ".npz"]


def outdated(text):
    form = {**json.loads(text), "schema": 1}
    form.pop("sha256")
    return json.dumps({**form, "sha256": records.json_digest(form)})


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda text: "", "torn"),
        (lambda text: text[: len(text) // 2], "torn"),
        (lambda text: "[]", "torn, or no record"),
        (lambda text: "[" * 100_000, "torn, or no record"),
        (lambda text: '{"schema": 0}', "torn, or no record"),
        (lambda text: text.replace('"val_f1": 0.5', '"val_f1": 0.9'), "has changed"),
        (lambda text: text.replace('"seed": 3', '"seed": 4'), "has changed"),
        (outdated, "format is 1, that of this version of cnnlab is 3"),
    ],
    ids=["empty", "half", "list", "nested", "foreign", "score", "seed", "outdated"],
)
def test_a_record_that_cannot_be_trusted_is_set_aside_with_a_warning_and_can_be_stored_anew(stored, spoil, words):
    store, file, arrays = stored
    text = file.read_text()
    file.write_text(spoil(text))
    assert file.read_text() != text
    with pytest.warns(RecordWarning, match=words):
        assert store.get(RECORD.digest) is None
    assert not file.exists()
    assert {path.name for path in (store.path / "quarantine").iterdir()} == {file.name, arrays.name}
    assert store.get(RECORD.digest) is None, "the warning comes once"
    store.put(RECORD, ARRAYS)
    assert store.get(RECORD.digest) is not None


def test_a_record_under_another_runs_name_is_set_aside(stored):
    store, file, _ = stored
    file.with_name("cd" * 32 + ".json").write_bytes(file.read_bytes())
    with pytest.warns(RecordWarning, match="the record of another run"):
        assert store.get("cd" * 32) is None


def test_a_record_whose_trial_is_not_what_it_is_named_by_is_set_aside(stored):
    store, file, _ = stored
    form = {**json.loads(file.read_text()), "seed": 4}
    form.pop("sha256")
    file.write_text(json.dumps({**form, "sha256": records.json_digest(form)}))
    with pytest.warns(RecordWarning, match="the record of another run"):
        assert store.get(RECORD.digest) is None


def test_a_record_without_its_arrays_is_set_aside(stored):
    store, _, arrays = stored
    arrays.unlink()
    with pytest.warns(RecordWarning, match="are missing"):
        assert store.get(RECORD.digest) is None


def test_changed_arrays_are_noticed_even_between_two_looks(stored):
    store, _, arrays = stored
    content = bytearray(arrays.read_bytes())
    content[len(content) // 2] ^= 1
    arrays.write_bytes(content)
    with (
        pytest.warns(RecordWarning, match="not the ones that were stored"),
        pytest.raises(RecordError, match="damaged"),
    ):
        store.arrays(RECORD.digest)


def flipped(file, rng):
    """Flip one bit of a file and return what it held."""
    whole = file.read_bytes()
    bit = int(rng.integers(8 * len(whole)))
    spoilt = bytearray(whole)
    spoilt[bit // 8] ^= 1 << bit % 8
    file.write_bytes(spoilt)
    return whole


def test_of_400_single_bit_flips_none_is_read_as_good(tmp_path):
    rng = np.random.default_rng(4)
    store = RunStore(tmp_path)
    record = store.put(RECORD, {"val_probs": rng.random((200, 10), np.float32)})
    for number in range(400):
        file = tmp_path / (
            f"{record.digest}.json" if number % 2 else f"{record.digest}-{record.arrays_sha256[:16]}.npz"
        )
        whole = flipped(file, rng)
        with pytest.warns(RecordWarning):
            assert RunStore(tmp_path).get(record.digest) is None, file.name
        for aside in (tmp_path / "quarantine").iterdir():
            aside.replace(tmp_path / aside.name)
        file.write_bytes(whole)
    assert repr(RunStore(tmp_path).get(record.digest)) == repr(record)


@pytest.mark.filterwarnings("ignore")
def test_a_cache_without_hashes_reads_most_of_400_bit_flips_as_good(tmp_path):
    """What the hashes are for: joblib's, of the same arrays."""
    rng = np.random.default_rng(4)
    probs = rng.random((200, 10), np.float32)
    cached = joblib.Memory(tmp_path, verbose=0).cache(lambda: probs)
    cached()
    (file,) = tmp_path.rglob("output.pkl")
    believed = 0
    for _ in range(400):
        whole = flipped(file, rng)
        believed += not np.array_equal(cached(), probs, equal_nan=True)
        file.write_bytes(whole)
    assert believed > 350


def test_files_that_are_not_the_stores_are_left_alone(stored):
    store, _, _ = stored
    (store.path / "notes.json").write_text("mine")
    assert len(store.records()) == 1
    store.checkpoints()
    assert (store.path / "notes.json").read_text() == "mine"


def test_what_killed_processes_left_is_swept_once_it_is_old(stored):
    store, file, arrays = stored
    place = store.checkpoints()
    orphan, done, going = "ab" * 32 + "-0123456789abcdef.npz", f"{RECORD.digest}.ckpt", "ab" * 32 + ".ckpt"
    left = [store.path / ".cnnlab-x.part", store.path / orphan, place / done]
    kept = [place / going, file, arrays, store.path / "mine.npz"]
    for path in left + kept[:1] + kept[3:]:
        path.write_bytes(b"half")
    store.checkpoints()
    assert all(path.exists() for path in left + kept), "they may belong to a process that is still at work"
    for path in left + kept:
        os.utime(path, (1, 1))
    store.checkpoints()
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)


def test_the_record_of_a_process_that_was_faster_stands(stored):
    store, _, _ = stored
    assert store.put(replace(RECORD, train_seconds=9.0), ARRAYS).train_seconds == RECORD.train_seconds


def test_storing_a_run_again_leaves_no_old_arrays_and_no_checkpoint(stored):
    store, file, arrays = stored
    (store.checkpoints() / f"{RECORD.digest}.ckpt").write_bytes(b"")
    os.utime(file, (1, 1))
    RunStore(store.path, fresh=True).put(RECORD, {"val_probs": np.ones((2, 2), np.float32)})
    assert not arrays.exists()
    assert len(list(store.path.glob("*.npz"))) == 1
    assert not list((store.path / "checkpoints").iterdir())


def test_a_fresh_store_sees_only_what_it_wrote_itself(tmp_path):
    RunStore(tmp_path).put(RECORD, ARRAYS)
    os.utime(tmp_path / f"{RECORD.digest}.json", (1, 1))
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
