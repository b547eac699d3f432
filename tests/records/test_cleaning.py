"""Stored runs are listed by what they are good for, and only those that nobody can use are removed unless told."""

import os

import numpy as np
import pytest

from cnnlab.errors import RecordError
from cnnlab.records import RunStore, describe_runs, remove_runs
from cnnlab.records.store import CHECKPOINTS, IMAGES, QUARANTINE
from cnnlab.study import Trial
from conftest import make_record


@pytest.fixture
def runs(tmp_path):
    """A folder with two runs of this version, one of another, a damaged, an unfinished one, photos, and the user's."""
    store = RunStore(tmp_path)
    for seed, changes in ((1, {}), (2, {}), (3, {"code": "0" * 64})):
        store.put(make_record(Trial(), seed, **changes), {"weight_000": np.zeros(1000)})
    for name in (
        *(f"{QUARANTINE}/damaged.run", f"{CHECKPOINTS}/unfinished.ckpt", f"{IMAGES}/photos-1f.npz"),
        f"{IMAGES}/archive-2e.npz",
        *("notes.txt", f"{IMAGES}/mine.npz"),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes(2_000_000))
    return tmp_path


def test_each_kind_of_run_is_counted_with_its_size(runs):
    first, *lines = describe_runs(runs)
    assert first == f"Stored runs in {str(runs)!r}:"
    assert [line.split(" ")[-1] for line in lines] == ["MB"] * 5
    counts = {line.strip().partition(" ")[2].rpartition(":")[0]: line.split()[0] for line in lines}
    assert counts == {
        "usable by this version": "2",
        "of other code or another format": "1",
        "damaged, moved aside": "1",
        "unfinished, to be resumed": "1",
        "folders and archives of photos, decoded and resized, which are not decoded again": "2",
    }
    assert lines[-1].endswith(": 4.0 MB")


def test_unused_runs_are_removed_and_those_that_help_are_kept(runs):
    assert remove_runs(runs, only_unused=True).startswith("Removed 2 files, 2.0 MB")
    assert len(RunStore(runs).records()) == 2
    assert len(describe_runs(runs)) == 4
    assert (runs / IMAGES / "photos-1f.npz").exists()
    assert (runs / IMAGES / "archive-2e.npz").exists()
    assert (runs / CHECKPOINTS / "unfinished.ckpt").exists()


def test_runs_of_the_first_version_are_unused(runs):
    for name in (f"{'0' * 64}.json", "mine.json"):
        (runs / name).write_text("{}")
    assert "2 of other code or another format" in " ".join(" ".join(describe_runs(runs)).split())
    remove_runs(runs, only_unused=True)
    assert [path.name for path in runs.glob("*.json")] == ["mine.json"]


def test_all_runs_are_removed_and_other_files_are_left_alone(runs):
    remove_runs(runs, only_unused=False)
    assert describe_runs(runs)[1:] == ["       0 usable by this version: 0.0 MB"]
    assert {path.name for path in runs.rglob("*") if path.is_file()} == {"notes.txt", "mine.npz"}


def test_a_folder_that_does_not_exist_has_no_runs(tmp_path):
    assert describe_runs(tmp_path / "none")[1:] == ["       0 usable by this version: 0.0 MB"]
    assert remove_runs(tmp_path / "none", only_unused=False) == "Removed 0 files, 0.0 MB."
    assert not (tmp_path / "none").exists()


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="root may remove any file")
def test_a_run_that_cannot_be_removed_is_an_error_of_a_line(runs):
    runs.chmod(0o500)
    with pytest.raises(RecordError, match="Allow cnnlab to write there") as refused:
        remove_runs(runs, only_unused=False)
    runs.chmod(0o700)
    assert "\n" not in str(refused.value)
