"""The learning curve: the final model with a quarter, a half and all of its training images."""

import io
import math

import pytest

from cnnlab.errors import ConfigError, RunError
from cnnlab.records import SCORES
from cnnlab.study import make_budget
from cnnlab.tuning import Tuning, progress, run_study
from conftest import fake_runs

STAGES = ["base", "dense", "learning-curve"]


def curve_of(folder, runs, **budget):
    """The learning curve of a study of two stages, and the runs made for it; the score is that of the trial."""
    tuning = Tuning(folder, runs, budget={"stages": STAGES, "seeds": 2, **budget})
    made = fake_runs(tuning, lambda trial: 0.5)
    stages = tuning.results()
    of_stages = {run.digest for run in made}
    return tuning, stages, tuning.learning_curve(), [run for run in made if run.digest not in of_stages]


@pytest.mark.parametrize("splits", ["resampled", "fixed"])
def test_each_part_of_a_seeds_images_contains_the_smaller_one(folder, tmp_path, splits):
    tuning = Tuning(folder, tmp_path, budget={"splits": splits})
    dataset = tuning.images.dataset(colour=False)
    for seed in (1, 2):
        full, half, quarter = (tuning.images.split(dataset, seed, share) for share in (1.0, 0.5, 0.25))
        assert [len(part.train) for part in (full, half, quarter)] == [160, 80, 40]
        assert set(quarter.train) < set(half.train) < set(full.train)
        assert half.val.tolist() == quarter.val.tolist() == full.val.tolist()
        assert half.test.tolist() == quarter.test.tolist() == full.test.tolist()


def test_the_final_model_is_run_with_every_seed_on_parts_of_its_images(folder, tmp_path):
    tuning, stages, curve, made = curve_of(folder, tmp_path)
    assert [point.images for point in curve.points] == [40, 80, 160]
    assert [len(point.records) for point in curve.points] == [2, 2, 2]
    assert curve.points[-1].records == stages[-1].selected_records
    final = stages[-1].selected.settings
    assert {run.trial for run in made} == {final.for_images(40), final.for_images(80)}
    assert len(made) == tuning.planned_runs()["learning-curve"] == 4
    tuning.learning_curve()
    again = Tuning(folder, tmp_path, budget={"stages": STAGES, "seeds": 2})
    assert again.learning_curve().points[0].records == curve.points[0].records, "stored runs are not repeated"


def test_batch_normalisation_suits_the_smaller_numbers_of_images(folder, tmp_path):
    tuning = Tuning(folder, tmp_path, budget={"stages": ["batchnorm", "learning-curve"], "seeds": 2})
    made = fake_runs(tuning, lambda trial: 0.5 + 0.1 * trial.architecture.batch_norm)
    assert tuning.result("batchnorm").selected.settings.architecture.batch_norm
    for point in tuning.learning_curve().points:
        for record in point.records:
            trial = tuning.result("batchnorm").selected.settings.for_images(point.images)
            assert record.trial == trial.canonical()
    assert made


def test_means_and_the_gain_have_intervals_with_several_seeds_only(folder, tmp_path):
    _, _, curve, _ = curve_of(folder, tmp_path / "two")
    for point in curve.points:
        assert point.val_interval[0] <= point.val_f1 <= point.val_interval[1]
        assert point.test_interval[0] <= point.test_f1 <= point.test_interval[1]
    assert curve.gain.against == "half of the images"
    assert curve.gain.difference == pytest.approx(curve.points[2].val_f1 - curve.points[1].val_f1)
    assert curve.gain.has_interval
    _, _, curve, _ = curve_of(folder, tmp_path / "one", seeds=1)
    assert math.isnan(curve.points[0].val_interval[0])
    assert not curve.gain.has_interval


@pytest.mark.parametrize(
    ("protocol", "budget"),
    [
        ("corrected", {"train": 39}),  # a quarter would be nine images of ten classes
        ("corrected", {"skip": "learning-curve"}),
        ("corrected", {"stages": "base"}),
        ("published", {}),
    ],
)
def test_there_may_be_none(folder, tmp_path, protocol, budget):
    tuning = Tuning(folder, tmp_path, "smoke", protocol, budget={"skip": "colour", **budget})
    made = fake_runs(tuning, lambda trial: 0.5)
    tuning.results()
    before = len(made)
    assert tuning.learning_curve() is None
    assert len(made) == before
    assert "learning-curve" not in tuning.planned_runs()


def test_another_budget_has_another_curve(folder, tmp_path):
    tuning = Tuning(folder, tmp_path, budget={"stages": STAGES})
    tuning.use_budget(make_budget("quick", {"seeds": 1, "train": 80}))
    fake_runs(tuning, lambda trial: 0.5)
    assert [point.images for point in tuning.learning_curve().points] == [20, 40, 80]


def test_no_stage_may_have_its_name(folder, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[[stage]]\nname = "learning-curve"\nvary = "epochs"\nvalues = [1, 2]\n')
    with pytest.raises(ConfigError, match="learning-curve"):
        Tuning(folder, tmp_path, study=path)


def test_a_failed_learning_curve_costs_no_stage(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stderr", io.StringIO())
    tuning = Tuning(folder, tmp_path, budget={"stages": STAGES, "seeds": 2})
    fake_runs(tuning, lambda trial: 0.5)
    usual, chapters, failed = tuning.engine.run_all, [], []

    def fail_on_parts(work, *others):
        if any(len(split.train) < 160 for _, _, split in work):
            raise RunError("Expected 4 runs to finish. Received: 1 failed.")
        return usual(work, *others)

    tuning.engine.run_all = fail_on_parts
    with progress.Bar(tuning.planned_runs()) as bar:
        done = run_study(tuning, bar, lambda name, _: chapters.append(name), lambda name, _: failed.append(name))
    assert failed == list(done.failures) == ["learning-curve"]
    assert done.curve is None
    assert chapters == ["data", "base", "dense", "comparison", "noise", "published"]
    assert tuning.learning_curve() is None, "the notebook of the comparison does not try again"


@pytest.mark.slow
def test_real_runs_are_stored_and_shown_as_a_stage(folder, tmp_path, engine, capsys):
    tuning = Tuning(folder, tmp_path, "smoke", budget={"stages": ["base", "learning-curve"]})
    tuning.engine = tuning._runner._engine = engine
    with progress.Bar(tuning.planned_runs()) as bar:
        done = run_study(tuning, bar)
    assert "learning-curve: 2 runs\n" in capsys.readouterr().err
    assert [point.images for point in done.curve.points] == [32, 64, 128]
    assert all(record.scores[name] >= 0 for point in done.curve.points for record in point.records for name in SCORES)
    assert len(tuning.store.records()) == 3
    with progress.Bar(tuning.planned_runs()) as bar:
        assert run_study(tuning, bar).curve == done.curve
    assert "learning-curve: 2 runs, all stored\n" in capsys.readouterr().err
