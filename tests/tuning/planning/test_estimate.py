"""Before a study is run, its runs, epochs, images, disk space and time are estimated, from what the workers take."""

import math
import time
from dataclasses import replace

import numpy as np
import pytest

from cnnlab import data
from cnnlab.models.cost import Speed
from cnnlab.records import HISTORY
from cnnlab.study import StageTrial, Trial
from cnnlab.tuning import Tuning
from cnnlab.tuning.planning.calibration import Calibration, calibrate
from cnnlab.tuning.planning.estimate import TimeLeft, duration, estimate, plan_table
from cnnlab.tuning.planning.planner import PlannedRun, Planner, epoch_range, image_counts, stage_seconds
from conftest import make_arrays, make_record, make_result

WORKERS = Calibration(2, is_remote=False, start_seconds=8.0, read_seconds=3.0, seconds=20.0, speed=Speed(()))


@pytest.fixture
def tuning(folder, tmp_path):
    """A study whose runs are not stored: two seeds, at most nine epochs."""
    return Tuning(folder, tmp_path / "runs", "smoke", budget={"seeds": 2, "epochs": 9, "patience": 3})


def store(tuning, runs, epochs=4):
    """Store some runs of a study as if they had been made."""
    rng = np.random.default_rng(0)
    history = dict.fromkeys(HISTORY, [0.5] * epochs)
    for run, dataset, split in runs:
        record = make_record(
            run.trial, run.seed, history=history,
            data={"digest": run.data_digest, "class_names": list(dataset.class_names), "shape": [32, 32, 1]},
            split={"digest": run.split_digest, "pool": 200, "train": 1, "val": 1, "test": 1},
        )  # fmt: skip
        assert record.digest == run.digest
        tuning.store.put(record, make_arrays(dataset.train_labels[split.val], dataset.test_labels[split.test], rng))


def stage_runs(tuning, name):
    """The runs of a stage whose incumbent is the first one."""
    return [
        item
        for trial in tuning.scope.plan(tuning.study.stage(name), tuning.scope.start)
        for item in tuning.images.work(trial.settings, trial.seeds)
    ]


def by_name(made):
    return {stage.name: stage for stage in made.stages}


def test_each_stage_has_its_runs_and_shared_runs_count_once(tuning):
    stages = by_name(estimate(tuning, WORKERS))
    assert list(stages) == [*(stage.name for stage in tuning.stages), "learning-curve"]
    assert stages["base"].runs == 2
    assert stages["depth"].runs == 2, "the incumbent's runs are those of the stage before"
    assert stages["combination"].runs == 0
    assert stages["batch-size"].runs == 2 * 3


def test_the_learning_curve_counts_with_its_smaller_numbers_of_images(tuning):
    curve = by_name(estimate(tuning, WORKERS))["learning-curve"]
    assert curve.runs == 2 * 2
    n_train, n_val, _ = image_counts(tuning.images.dataset(False), tuning.budget)
    assert curve.images[1] == 9 * 2 * (n_train // 4 + n_train // 2 + 2 * n_val)
    other = estimate(tuning, WORKERS, replace(tuning.budget, train=32))
    assert "learning-curve" not in by_name(other), "a quarter would be fewer images than classes"


def test_early_stopping_decides_between_patience_and_all_epochs(tuning):
    base = by_name(estimate(tuning, WORKERS))["base"]
    assert base.epochs == (2 * (3 + 1), 2 * 9)
    images = sum(image_counts(tuning.images.dataset(False), tuning.budget)[:2])
    assert base.images == (8 * images, 18 * images)
    assert epoch_range(Trial().change(epochs=9, patience=None)) == (9, 9)
    assert epoch_range(Trial().change(epochs=3, patience=5)) == (3, 3)


def test_times_are_ordered_and_the_total_adds_what_is_not_a_run(tuning):
    made = estimate(tuning, WORKERS)
    for stage in made.stages:
        assert 0 <= stage.seconds[0] <= stage.seconds[1] < math.inf
    assert made.cheapest_seconds[1] < made.seconds[1]
    assert made.start_seconds == 8 + 3
    assert made.report_seconds > 0
    assert made.seconds[1] == pytest.approx(
        sum(stage.seconds[1] for stage in made.stages) + made.start_seconds + made.report_seconds
    )
    assert estimate(tuning, WORKERS, report=False).report_seconds == 0


def test_the_disk_space_is_about_that_of_a_stored_run(tuning):
    """The smallest record is made by hand, with the weights that a model of this size has."""
    base = by_name(estimate(tuning, WORKERS))["base"]
    [item, *_] = stage_runs(tuning, "base")
    _, n_val, n_test = image_counts(item[1], tuning.budget)
    params = Planner(tuning, Speed(())).seconds(item[0].trial).params
    assert base.disk_bytes / 2 == pytest.approx(4 * params + (n_val + n_test) * (4 * 10 + 8), rel=0.1)


@pytest.mark.parametrize("numbers", [(128, 100, 100), (60, 20, 10), (5000, 2000, 900), (150, 60, 100)])
def test_image_counts_are_those_of_the_split(colour, tuning, numbers):
    split = data.split(colour, "stratified", *numbers)
    budget = replace(tuning.budget, **dict(zip(("train", "val", "test"), numbers, strict=True)))
    assert image_counts(colour, budget) == (len(split.train), len(split.val), len(split.test))


def test_image_counts_are_those_of_validation_images_that_the_files_name(colour, tuning):
    """Of 200 training images, 30 are named: they are validation images, as many as the budget allows, or none."""
    named = replace(colour, given_val=np.arange(30))
    assert image_counts(named, replace(tuning.budget, train=5000, val=100, test=100)) == (170, 30, 100)
    assert image_counts(named, replace(tuning.budget, train=60, val=20, test=100)) == (60, 20, 100)


def test_stored_runs_take_no_time(tuning):
    store(tuning, stage_runs(tuning, "base"))
    base = by_name(estimate(tuning, WORKERS))["base"]
    assert (base.runs, base.stored, base.epochs, base.disk_bytes, base.seconds) == (2, 2, (0, 0), 0, (0, 0))


def test_a_stage_starts_from_the_trial_that_stored_runs_select(tuning):
    """What the stages before selected is known then: it is neither the costliest nor the cheapest."""

    def low_and_high():
        made = estimate(tuning, WORKERS)
        return [
            next(stage.seconds[1] for stage in stages if stage.name == "filters")
            for stages in (made.cheapest, made.stages)
        ]

    before = low_and_high()
    for name in ("base", "depth"):
        store(tuning, stage_runs(tuning, name))
    assert list(Planner(tuning, Speed(())).selected()) == ["base", "depth"]
    after = low_and_high()
    assert before[0] <= after[0] == after[1] <= before[1]
    assert before[0] < before[1]


def test_runs_that_are_repeated_have_as_many_epochs_as_before(folder, tuning):
    store(tuning, stage_runs(tuning, "base"), epochs=6)
    again = Tuning(folder, tuning.store.path, "smoke", budget=tuning.changes, fresh=True)
    base = by_name(estimate(again, WORKERS))["base"]
    assert (base.stored, base.epochs) == (0, (12, 12))
    assert base.seconds[0] == base.seconds[1] > 0


def test_stored_seeds_tell_the_epochs_of_others(folder, tuning):
    store(tuning, stage_runs(tuning, "base"), epochs=6)
    more = Tuning(folder, tuning.store.path, "smoke", budget=tuning.changes | {"seeds": 3})
    base = by_name(estimate(more, WORKERS))["base"]
    assert (base.runs, base.stored, base.epochs) == (3, 2, (6, 6))


def planned(key, seconds=1.0, trace=10.0):
    return PlannedRun(key, (1, 2), False, 100, 1000, epoch_seconds=seconds, rest_seconds=0.0, trace_seconds=trace)


def test_a_worker_traces_a_model_once_and_takes_its_runs_first():
    keys = [None, None]
    runs = [planned(name) for name in "AAABBB"]
    assert stage_seconds(runs, 0, keys) == 10 + 3
    assert stage_seconds(runs, 1, ["A", "B"]) == 3 * 2
    assert stage_seconds(runs[:3], 0, [None]) == 10 + 3
    assert set(keys) == {"A", "B"}
    assert stage_seconds([], 0, keys) == 0


def test_workers_share_the_runs_of_one_model():
    assert stage_seconds([planned("A")] * 4, 0, [None, None]) == 10 + 2


def test_the_table_fits_a_terminal_and_ends_with_the_total_and_what_the_range_means(tuning):
    made = estimate(tuning, WORKERS)
    lines = plan_table(made)
    assert max(map(len, lines)) <= 100
    assert lines[0].split() == ["stage", "runs", "stored", "epochs", "image", "passes", "disk", "time"]
    assert [line.split()[0] for line in lines[1:-5]] == [stage.name for stage in made.stages]
    assert [line.split()[0] for line in lines[-5:]] == ["start", "notebooks", "total", "Ranges:", "Each"]
    assert lines[-3].split()[1] == str(sum(stage.runs for stage in made.stages))


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        ((0,), "0 s"), ((45.4,), "45 s"), ((130,), "2.2 min"), ((720,), "12 min"), ((20_880,), "5.8 h"),
        ((400_000,), "4.6 days"), ((88, 130), "1.5-2.2 min"), ((1500, 20_880), "0.4-5.8 h"), ((61, 61.2), "61 s"),
    ],
)  # fmt: skip
def test_a_time_is_shown_in_a_unit_that_suits_it(seconds, shown):
    assert duration(*seconds) == shown


def test_a_table_without_ranges_does_not_explain_them(folder, tmp_path):
    made = estimate(Tuning(folder, tmp_path, "smoke", budget={"stages": "base"}), WORKERS, report=False)
    assert plan_table(made)[-1].startswith("total")


def test_the_time_left_follows_the_runs_that_are_made(tuning):
    left = TimeLeft(tuning, WORKERS, report=False)
    at_first = left.seconds
    left.start_stage("base", 2)
    [run, *_] = (run for run, _, _ in stage_runs(tuning, "base"))
    left.end_run(make_record(run.trial, run.seed, train_seconds=0.1))
    assert 0 < left.seconds < at_first


def test_runs_that_take_longer_than_estimated_make_the_time_left_longer(tuning):
    fast, slow = TimeLeft(tuning, WORKERS), TimeLeft(tuning, WORKERS)
    [run, *_] = (run for run, _, _ in stage_runs(tuning, "base"))
    for left, seconds in ((fast, 0.1), (slow, 1000.0)):
        left.start_stage("base", 2)
        left.end_run(make_record(run.trial, run.seed, train_seconds=seconds))
    assert slow.seconds > 5 * fast.seconds


def test_a_stage_that_selects_a_costly_trial_makes_the_time_left_longer(tuning):
    left = {}
    result = make_result("depth", one=(0.5,), two=(0.9,))
    for name, settings in (("cheap", tuning.scope.start), ("costly", Trial().change(filters=(256, 256, 256)))):
        left[name] = TimeLeft(tuning, WORKERS)
        for stage in ("base", "depth"):
            left[name].start_stage(stage, 2)
        trials = tuple(StageTrial(trial.name, settings, trial.seeds, trial.incumbent) for trial in result.trials)
        left[name].end_stage(type(result)(result.stage, trials, result.runs, result.decision, ()))
    assert left["costly"].seconds > 2 * left["cheap"].seconds


def test_the_time_left_passes_and_ends_at_0(tuning, monkeypatch):
    left = TimeLeft(tuning, WORKERS)
    before, now = left.seconds, time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: now + 10)
    assert left.seconds == pytest.approx(before - 10, abs=1)
    for stage in tuning.stages:
        left.start_stage(stage.name, 0)
    monkeypatch.setattr("time.monotonic", lambda: now + 10_000)
    assert left.seconds == 0


def test_estimating_makes_no_run_and_starts_no_worker(tuning):
    estimate(tuning, WORKERS)
    TimeLeft(tuning, WORKERS)
    assert tuning.engine._connected is None
    assert not tuning.store.path.exists()


@pytest.mark.slow
def test_a_calibration_measures_the_studys_trials_on_all_workers(folder, tmp_path, engine):
    """How exact the estimate is depends on what else the machine does, so no test judges it."""
    budget = {"stages": "base,depth", "epochs": 2}
    with Tuning(folder, tmp_path, "smoke", budget=budget, scheduler=engine.address) as tuning:
        calibration = calibrate(tuning, most_seconds=2)
        assert calibration.workers == 2
        measured = {timing.trial for timing in calibration.speed.timings}
        assert measured == {trial.settings for trials in tuning.scope.expected_trials().values() for trial in trials}
        made = estimate(tuning, calibration, report=False)
        assert 0 < made.seconds[0] <= made.seconds[1] < math.inf
        tuning.results()
        assert all(stage.stored == stage.runs for stage in estimate(tuning, calibration).stages)
