"""Two reports, or two folders of runs, compared."""

import json

import numpy as np
import pandas as pd
import pytest

from cnnlab.errors import ConfigError
from cnnlab.records import RunStore
from cnnlab.report import diff
from cnnlab.study import Trial
from conftest import make_record


def write_report(path, selected, scores, *, keras="3.15.1", images="abc", first_digest=0):
    """A report's folder with what `diff` reads: one run a score."""
    path.mkdir()
    manifest = {"versions": {"keras": keras}, "data": {"gray_digest": images}, "splits": ["s"], "wall_seconds": 1.5}
    (path / "manifest.json").write_text(json.dumps(manifest))
    pd.DataFrame({"stage": list(selected), "selected": list(selected.values())}).to_csv(
        path / "decisions.csv", index=False
    )
    rows = [(stage, selected[stage], score) for stage, of in scores.items() for score in of]
    frame = pd.DataFrame(rows, columns=["stage", "trial", "test_f1"])
    frame.assign(digest=[f"d{first_digest + i}" for i in range(len(frame))]).to_csv(path / "results.csv", index=False)
    return diff.read(path)


@pytest.fixture
def a(tmp_path):
    selected = {"base": "base", "dense": "128", "loss": "hinge"}
    return write_report(
        tmp_path / "a", selected, {"base": [0.5, 0.51, 0.52], "dense": [0.6, 0.61, 0.62], "loss": [0.1]}
    )


def test_settings_that_differ_are_named_and_times_are_not(a, tmp_path):
    b = write_report(tmp_path / "b", {"base": "base"}, {"base": [0.5]}, keras="3.16.0")
    assert diff.settings(a, b) == {"versions.keras": ("3.15.1", "3.16.0")}


def test_a_score_has_moved_only_if_that_is_more_than_noise(a, tmp_path):
    selected = {"base": "base", "dense": "64", "loss": "hinge"}
    scores = {"base": [0.52, 0.50, 0.53], "dense": [0.8, 0.81, 0.82], "loss": [0.2]}
    b = write_report(tmp_path / "b", selected, scores, first_digest=10)
    base, dense, loss = diff.scores(a, b)
    assert (base.verdict, dense.verdict, loss.verdict) == ("within noise", "moved", "too few runs")
    assert dense.models == ("128", "64")
    assert dense.comparison.difference == pytest.approx(0.2)
    assert base.comparison.low < base.comparison.difference < base.comparison.high


def test_scores_on_other_images_are_not_compared(a, tmp_path):
    b = write_report(tmp_path / "b", {"base": "base"}, {"base": [0.9, 0.91, 0.92]}, images="xyz", first_digest=10)
    [base, *_] = diff.scores(a, b)
    assert (base.verdict, base.comparison) == ("other images", None)
    assert diff.settings(a, b) == {"data.gray_digest": ("abc", "xyz")}


def test_the_same_runs_are_the_same(a):
    assert {change.verdict for change in diff.scores(a, a)} == {"same"}
    assert diff.settings(a, a) == {}


def test_a_stage_of_one_report_alone_is_said_to_be_so(a, tmp_path):
    b = write_report(tmp_path / "b", {"depth": "two"}, {"depth": [0.5, 0.6]})
    verdicts = {change.name: change.verdict for change in diff.scores(a, b)}
    assert verdicts == dict.fromkeys(a.scores, "only in A") | {"depth": "only in B"}
    assert "  depth: (none) -> two" in diff.lines(a, b)


def test_folders_of_runs_are_compared_trial_by_trial(tmp_path):
    for side, keras, shift in (("a", "3.15", 0.0), ("b", "3.16", 0.3)):
        store = RunStore(tmp_path / side)
        for seed, score in ((1, 0.5), (2, 0.51), (3, 0.52)):
            for units in (64, 128):
                trial = Trial().change(dense_units=units)
                scores = {"test_f1": score + shift * (units == 128)}
                record = make_record(trial, seed, scores=scores, provenance={"keras": keras})
                store.put(record, {"weight_000": np.zeros(1)})
    one, other = diff.read(tmp_path / "a"), diff.read(tmp_path / "b")
    assert diff.settings(one, other) == {"keras": ("3.15", "3.16")}
    verdicts = {change.name.split(" on ")[0]: change.verdict for change in diff.scores(one, other)}
    assert verdicts == {"the default trial": "same", "dense_units 128": "moved"}


def test_what_is_neither_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="which is neither"):
        diff.read(tmp_path)
    (tmp_path / "package.json").write_text("{}")
    with pytest.raises(ConfigError, match="which is neither"):
        diff.read(tmp_path)


@pytest.mark.parametrize("manifest", ["{", "[]", "{}", '{"data": {}, "splits": []}'])
def test_a_report_that_is_not_whole_is_refused(tmp_path, manifest):
    (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(ConfigError, match="Make it again"):
        diff.read(tmp_path)


def test_a_report_and_a_folder_of_runs_are_not_compared(a, tmp_path):
    RunStore(tmp_path / "runs").put(make_record(Trial()), {"weight_000": np.zeros(1)})
    with pytest.raises(ConfigError, match="one of each"):
        diff.scores(a, diff.read(tmp_path / "runs"))
