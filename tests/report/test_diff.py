"""Two reports, compared."""

import json

import numpy as np
import pytest

from cnnlab.errors import ConfigError
from cnnlab.records import RunStore
from cnnlab.report import diff
from cnnlab.study import Trial
from conftest import make_record, write_report


def read_report(path, *args, **options):
    return diff.read(write_report(path, *args, **options))


@pytest.fixture
def a(tmp_path):
    selected = {"base": "base", "dense": "128", "loss": "hinge"}
    return read_report(tmp_path / "a", selected, {"base": [0.5, 0.51, 0.52], "dense": [0.6, 0.61, 0.62], "loss": [0.1]})


def test_settings_that_differ_are_listed(a, tmp_path):
    """But not times, which differ every time."""
    b = read_report(tmp_path / "b", {"base": "base"}, {"base": [0.5]}, keras="3.16.0")
    assert diff.settings(a, b) == {"versions.keras": ("3.15.1", "3.16.0")}


def test_results_are_no_settings(tmp_path):
    sides = []
    for name in ("a", "b"):
        folder = write_report(tmp_path / name, {"base": "base"}, {"base": [0.5]})
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest |= {"doubtful_labels": {"runs": [name]}, "model": {"run": name}, "missing": {name: "an error"}}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        sides.append(diff.read(folder))
    assert diff.settings(*sides) == {}


def test_trials_are_called_what_their_study_calls_them(tmp_path):
    a, b = (
        read_report(tmp_path / name, {"1": trial}, {"1": [0.5, 0.51, 0.52]}, first_digest=10 * len(trial))
        for name, trial in (
            ("a", "None"),
            ("b", "nan"),
        )
    )
    [change] = diff.scores(a, b)
    assert (change.stage, change.trials) == ("1", ("None", "nan"))


def test_a_score_has_moved_only_by_more_than_noise(a, tmp_path):
    selected = {"base": "base", "dense": "64", "loss": "hinge"}
    scores = {"base": [0.52, 0.50, 0.53], "dense": [0.8, 0.81, 0.82], "loss": [0.2]}
    b = read_report(tmp_path / "b", selected, scores, first_digest=10)
    base, dense, loss = diff.scores(a, b)
    assert (base.verdict, dense.verdict, loss.verdict) == ("inconclusive", "moved", "too few runs")
    assert dense.trials == ("128", "64")
    assert dense.comparison.difference == pytest.approx(0.2)
    assert base.comparison.low < base.comparison.difference < base.comparison.high


def test_of_reports_with_other_numbers_of_seeds_the_first_seeds_are_compared(tmp_path):
    few = read_report(tmp_path / "few", {"base": "base", "dense": "64"}, {"base": [0.5, 0.6], "dense": [0.5, 0.6]})
    scores = {"base": [0.5, 0.6, 0.9], "dense": [0.6, 0.65, 0.9]}
    more = read_report(tmp_path / "more", {"base": "base", "dense": "64"}, scores)
    base, dense = diff.scores(few, more)
    assert (base.verdict, base.means) == ("same", (0.55, 0.55))
    assert dense.means == pytest.approx((0.55, 0.625))
    assert dense.comparison.difference == pytest.approx(0.075)


def test_scores_on_other_images_are_not_compared(a, tmp_path):
    b = read_report(tmp_path / "b", {"base": "base"}, {"base": [0.9, 0.91, 0.92]}, images="xyz", first_digest=10)
    [base, *_] = diff.scores(a, b)
    assert (base.verdict, base.comparison) == ("other images", None)
    assert diff.settings(a, b) == {"data.gray_digest": ("abc", "xyz")}


def test_the_same_runs_are_the_same(a):
    assert {change.verdict for change in diff.scores(a, a)} == {"same"}
    assert diff.settings(a, a) == {}


def test_a_stage_that_one_report_lacks(a, tmp_path):
    b = read_report(tmp_path / "b", {"depth": "two"}, {"depth": [0.5, 0.6]})
    verdicts = {change.stage: change.verdict for change in diff.scores(a, b)}
    assert verdicts == dict.fromkeys(["base", "dense", "loss"], "only in A") | {"depth": "only in B"}
    text = diff.lines(a, b)
    assert text[text.index("  depth: (none) -> two") + 1] == "    only in B"


def test_the_lines_say_the_sign_and_that_the_intervals_hold_together(a, tmp_path):
    selected = {"base": "base", "dense": "128"}
    scores = {"base": [0.52, 0.50, 0.53], "dense": [0.8, 0.81, 0.82]}
    text = "\n".join(diff.lines(a, read_report(tmp_path / "b", selected, scores, first_digest=10)))
    assert "the difference, B less A, with its 95 % interval" in text
    assert (
        "The intervals of all stages hold together. If one report has more seeds, the first ones are compared:\n"
        in text
    )
    assert "  dense: 128\n    0.610 -> 0.810, +0.200 (+0." in text


def test_a_folder_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"with manifest\.json"):
        diff.read(tmp_path)
    (tmp_path / "package.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"with manifest\.json"):
        diff.read(tmp_path)


def test_a_folder_of_stored_runs_is_refused_with_advice(tmp_path):
    RunStore(tmp_path / "runs").put(make_record(Trial()), {"weight_000": np.zeros(1)})
    with pytest.raises(ConfigError, match="to_frame") as refused:
        diff.read(tmp_path / "runs")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("manifest", ["{", "[]", "{}", '{"data": {}, "splits": []}'])
def test_an_incomplete_report_is_refused(tmp_path, manifest):
    (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(ConfigError, match="Make it again"):
        diff.read(tmp_path)


def test_a_damaged_table_is_refused(a, tmp_path):
    (tmp_path / "a" / "results.csv").write_text("stage,trial\nbase,base\n")
    with pytest.raises(ConfigError, match="Make it again"):
        diff.read(tmp_path / "a")


def test_a_report_of_the_version_before_is_refused_in_a_line(a, tmp_path):
    path = tmp_path / "a" / "decisions.csv"
    path.write_text(path.read_text().replace("selected", "chosen"))
    with pytest.raises(ConfigError, match=r"made by cnnlab 0\.1\.0; make it again\.$") as refused:
        diff.read(tmp_path / "a")
    assert "\n" not in str(refused.value)
