"""Records are whole or not there."""

from dataclasses import replace

import numpy as np
import pytest

from cnnlab.config import Trial
from cnnlab.errors import RecordError
from cnnlab.records import RunStore, to_frame
from conftest import make_record

RECORD = make_record(Trial(), 3, digest="ab" * 32, params=10, history={"loss": [2.0, float("nan")]})
ARRAYS = {"val_probs": np.eye(2, dtype=np.float32)}


def test_a_record_comes_back_as_it_was_stored_nan_and_all(tmp_path):
    store = RunStore(tmp_path / "new")
    assert store.get(RECORD.digest) is None
    store.put(RECORD, ARRAYS)
    assert repr(store.get(RECORD.digest)) == repr(RECORD)
    np.testing.assert_array_equal(store.arrays(RECORD.digest)["val_probs"], ARRAYS["val_probs"])
    assert sorted(path.suffix for path in store.path.iterdir()) == [".json", ".npz"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema": 0}', b"\xff\xfe"])
def test_a_record_that_is_not_one_counts_as_missing(tmp_path, content):
    store = RunStore(tmp_path)
    store.put(RECORD, ARRAYS)
    (tmp_path / f"{RECORD.digest}.json").write_bytes(content)
    assert store.get(RECORD.digest) is None


def test_a_record_under_another_digest_or_without_its_arrays_counts_as_missing(tmp_path):
    store = RunStore(tmp_path)
    store.put(RECORD, ARRAYS)
    (tmp_path / ("cd" * 32 + ".json")).write_bytes((tmp_path / f"{RECORD.digest}.json").read_bytes())
    assert store.get("cd" * 32) is None
    (tmp_path / f"{RECORD.digest}.npz").unlink()
    assert store.get(RECORD.digest) is None


def test_a_record_with_one_digit_changed_counts_as_missing(tmp_path):
    store = RunStore(tmp_path)
    store.put(RECORD, ARRAYS)
    path = tmp_path / f"{RECORD.digest}.json"
    text = path.read_text()
    assert text.count('"val_f1": 0.5') == 1
    path.write_text(text.replace('"val_f1": 0.5', '"val_f1": 0.9'))
    assert store.get(RECORD.digest) is None


def test_changed_arrays_are_noticed_and_count_as_missing(tmp_path):
    store = RunStore(tmp_path)
    store.put(RECORD, ARRAYS)
    path = tmp_path / f"{RECORD.digest}.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert store.get(RECORD.digest) is None
    with pytest.raises(RecordError, match="damaged"):
        store.arrays(RECORD.digest)


def test_a_fresh_store_sees_only_what_it_wrote_itself(tmp_path):
    RunStore(tmp_path).put(RECORD, ARRAYS)
    import os

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
