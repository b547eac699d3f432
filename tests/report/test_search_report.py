"""A report's files about a joint search, and the notebook of its chapter."""

import pandas as pd
import pytest

from cnnlab.report.manifest import make_manifest
from cnnlab.report.notebooks import NotebookRunner
from cnnlab.report.outputs import _write_tables
from cnnlab.tuning import StudyResults, Tuning
from conftest import make_result, make_search

OLD, NEW = (0.50, 0.51), (0.90, 0.91)


@pytest.fixture
def tuning(folder, tmp_path):
    return Tuning(folder, tmp_path / "runs", "smoke")


def test_the_ledger_lies_beside_the_other_tables_as_long_as_there_is_a_search(tuning, tmp_path):
    dense, search = make_result("dense", old=OLD, new=NEW), make_search(OLD, NEW, (0.3, 0.5, 0.4))
    _write_tables(tuning, StudyResults([dense, search], [], {}, None), tmp_path, [])
    ledger, runs = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("search", "results"))
    assert ledger["status"].tolist() == ["run"] * 3
    of_search = runs[runs["stage"] == "search"]
    assert of_search["trial"].value_counts().to_dict() == {
        "unchanged": 2, "winner": 2, "trial 1": 1, "trial 2": 1, "trial 3": 1
    }  # fmt: skip
    assert ledger["runs"].tolist() == of_search["digest"].tolist()[-3:]
    _write_tables(tuning, StudyResults([dense], [], {}, None), tmp_path, [])
    assert not (tmp_path / "search.csv").exists()
    assert set(pd.read_csv(tmp_path / "results.csv")["stage"]) == {"dense"}


def test_the_manifest_counts_the_runs_of_the_proposals(tuning, tmp_path):
    manifest = make_manifest(tuning, [make_search(OLD, NEW, (0.3, 0.5, 0.4))], [], 0.0, tmp_path)
    assert manifest["runs"] == 7
    assert manifest["seeds"] == [1, 2, 100_001]


@pytest.mark.parametrize(("skip", "has_it"), [((), True), ("search", False)])
def test_the_chapter_of_a_search_has_a_notebook_of_its_own(folder, tmp_path, skip, has_it):
    tuning = Tuning(folder, tmp_path / "runs", "smoke", budget={"skip": skip})
    with NotebookRunner(tuning, tmp_path / "out", tmp_path / "notebooks") as runner:
        assert ("08-search.ipynb" in [path.name for path in runner.sources()]) == has_it
