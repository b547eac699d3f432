"""The benchmarks time what they say they time."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmarks import __main__ as commands
from benchmarks import coverage, photos, plain, published, scaling, simulate, tables
from benchmarks import importance as searches
from benchmarks.fits import Fits, of_report
from benchmarks.machine import flops
from cnnlab import data, models, study
from cnnlab.records import Run, RunStore
from cnnlab.study import Architecture, Training, Trial, make_budget
from conftest import ROOT, make_record

SMALL = Trial(Architecture(filters=(2, 3), dense_units=4), Training(epochs=2, batch_size=16))


@pytest.mark.parametrize("number", range(1, 10))
def test_operations_are_counted_as_the_layers_have_them(number):
    architecture = study.published_architecture(number)
    counted, first = 0, None
    for layer in models.build(architecture).layers:
        if layer.name.startswith(("conv", "dense")):
            once = 2 * int(np.prod(layer.kernel.shape)) * int(np.prod(layer.output.shape[1:-1]))
            counted, first = counted + once, first or once
    assert flops(architecture, (32, 32, 1), 10, training=False) == counted
    assert flops(architecture, (32, 32, 1), 10, training=True) == 3 * counted - first


@pytest.fixture
def fits(folder):
    changes = {"convs_per_block": 2, "padding": "same", "batch_norm": True, "dropout": (0.1, 0.1, 0.1)}
    hard = SMALL.change(**changes, augmentation="flip-shift", loss="mean_squared_error", colour=True)
    return Fits(str(folder), (60, 20, 20), ((SMALL, 1), (hard, 2)))


def test_fits_can_be_written_and_read(fits, tmp_path):
    assert Fits.read(fits.write(tmp_path / "fits.json")) == fits


def test_the_fits_of_a_report_are_those_of_every_nth_of_its_trials(folder, tmp_path):
    store = RunStore(tmp_path)
    for units in (4, 5, 6, 7):
        for seed in (1, 2):
            store.put(make_record(SMALL.change(dense_units=units), seed), {"x": np.zeros(1)})
    found = of_report(str(folder), str(tmp_path), 2)
    assert len(found.fits) == 4
    assert len({trial for trial, _ in found.fits}) == 2
    assert {seed for _, seed in found.fits} == {1, 2}


@pytest.mark.slow
@pytest.mark.parametrize("way", commands.WAYS)
def test_each_way_makes_every_fit(way, fits, tmp_path):
    usage, outcomes = commands.timed(way, fits)
    assert [epochs for epochs, _ in outcomes] == [2, 2]
    assert all(0 <= score <= 1 for _, score in outcomes)
    assert usage.cpu_seconds > 1
    assert usage.peak_mb > 100


def test_the_plain_script_builds_models_of_the_same_size(fits):
    for trial, _ in fits.fits:
        shape = (32, 32, 3 if trial.input.colour else 1)
        assert plain.build(trial, shape[-1]).count_params() == models.build(trial.architecture, shape).count_params()


def record(val_f1, accuracies, seed):
    history = {"loss": accuracies, "val_loss": [1 - value for value in accuracies], "val_accuracy": accuracies}
    return make_record(SMALL, seed, scores={"val_f1": val_f1}, history=history)


def test_halving_is_held_against_the_whole_stage_with_the_epochs_of_both():
    """Five trials of six epochs and two seeds: three are left after two epochs, and all of these are fitted whole."""
    final = {"kept": 0.5, "a": 0.1, "b": 0.9, "c": 0.2, "d": 0.3}
    drawn = {name: [record(score + seed / 1000, [score] * 6, seed) for seed in (1, 2)] for name, score in final.items()}
    (whole, halved), (full, cost) = commands._both(drawn, "kept")
    assert (whole, halved) == ("b", "b")
    assert full == 4 * 2 * 6
    assert cost == 4 * 2 + 2 * 2 * 6  # a rung of two epochs for four, then two seeds of b and d


def test_a_simulated_better_trial_is_found_and_equal_ones_are_not():
    rng = np.random.default_rng(0)
    for draw_sd in (0.0, 1.0):
        better = list(simulate.stages(rng, "equal", 4, 5, 50, 6.0, draw_sd))
        equal = list(simulate.stages(rng, "equal", 4, 5, 50, 0.0, draw_sd))
        assert simulate.share(better, only_better=True) > 0.9 > 0.2 > simulate.share(equal)
        assert simulate.share_by_holm(better) > 0.9 > 0.2 > simulate.share_by_holm(equal)


def test_simulated_searches_find_a_strong_setting_and_nothing_in_noise():
    strong, none = (searches.simulate(kind, 48, 4, 1) for kind in ("one strong", "none"))
    assert (strong.shown, strong.wrong, strong.covered, none.wrong) == (1, 0, 1, 0)


def test_many_photos_are_written_and_imported(tmp_path):
    (tmp_path / "in").mkdir()
    photos.write(tmp_path / "in", 30)
    for _ in range(2):
        photos.main(str(tmp_path / "in"), str(tmp_path / "cache"), "24x20", str(tmp_path / "out.json"))
        seconds, n_bytes = json.loads((tmp_path / "out.json").read_text())
        assert seconds > 0
        assert n_bytes == 30 * 24 * 20 * 3
    assert len({path.read_bytes() for path in (tmp_path / "in").rglob("*.jpg")}) == 30
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.slow
def test_coverage_is_counted_over_studies_with_fixed_and_with_resampled_splits(folder, tmp_path, two_workers):
    budget = make_budget("smoke")
    made = coverage.make(str(folder), str(tmp_path), budget, n_draws=2)
    frame = made.table()
    assert len(frame) == 4 * 2 * (3 + 2)
    assert frame.groupby("trial")["draw"].nunique().tolist() == [6] * 4
    rows = coverage.pairs(made)
    assert [row[:2] for row in rows] == [[name, part] for part in ("val", "test") for name in coverage.CHANGES]
    assert {row[0] for row in coverage.together(made)} == {"val", "test"}


def test_a_study_with_runs_that_sleep_is_bounded_by_its_workers_and_by_its_longest_runs(cifar10):
    few, many = (scaling.measure(str(cifar10), "smoke", workers, seconds=4) for workers in (1, 8))
    assert few.runs > 20
    assert few.wall >= few.work == pytest.approx(few.stages)
    assert many.longest <= many.stages < many.work


def test_the_results_show_the_tables_of_the_reports_that_were_kept():
    shown = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    kept = [path.parent for path in commands.RESULTS.glob("*/manifest.json")]
    assert kept
    for report in kept:
        assert tables.of_report(report)[0] in shown


def test_the_runs_that_do_nothing_are_found_again(gray, tmp_path):
    split = data.split(gray, "stratified", 60, 20, 20)
    run, store = Run(SMALL, 1, gray.digest, split.digest), RunStore(tmp_path)
    store.put(*commands._nothing(run))
    assert store.get(run.digest)


def test_trials_whose_names_are_numbers_keep_them(tmp_path):
    tables.export(commands.RESULTS / "sample", tmp_path)
    for name in tables.EXPORTED:
        table = pd.read_csv(tmp_path / f"{name}.csv", keep_default_na=False, na_values=[""], dtype=str)
        if "stage" in table:
            table = table[table["stage"] == "batch-size"]
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    assert "| batch-size | 16 | 73,738 |" in tables.of_report(tmp_path)[0]
    assert "| 32 less 16 |" in tables.of_report(tmp_path)[0]


def test_a_report_is_kept_without_the_places_of_its_files(tmp_path):
    report, kept = commands.RESULTS / "sample", tmp_path / "kept"
    tables.export(report, kept)
    (kept / "manifest.json").write_text('{"command": "make report DATA=\'/home/me/my images\' RUNS=/tmp/runs", "n": 1}')
    tables.export(kept, tmp_path / "again")
    assert tables.of_report(tmp_path / "again") == tables.of_report(report)
    assert (
        tmp_path / "again" / "manifest.json"
    ).read_text() == '{"command": "make report DATA=\'my images\' RUNS=runs", "n": 1}'


def test_a_report_with_one_seed_has_tables_without_intervals(tmp_path):
    tables.export(commands.RESULTS / "sample", tmp_path)
    runs = pd.read_csv(tmp_path / "results.csv")
    runs[runs["seed"] == runs["seed"].min()].to_csv(tmp_path / "results.csv", index=False)
    for name in ("decisions", "comparisons", "mistake-effects"):
        compared = pd.read_csv(tmp_path / f"{name}.csv")
        compared.assign(low=np.nan, high=np.nan).to_csv(tmp_path / f"{name}.csv", index=False)
    text = "\n".join(tables.of_report(tmp_path))
    assert "nan" not in text
    assert "±" not in text
    assert "two less unchanged | -0.058 |" in text


def test_the_fits_at_full_size_are_what_the_published_study_chose_as_it_made_it(cifar10, tmp_path):
    with published.study(str(cifar10), str(tmp_path)) as tuning:
        by_fit = {trial.published.fit: trial for _, trial in published.chosen(tuning)}
        assert len(by_fit) == 13
        assert [by_fit[name].settings.training.batch_size for name in ("CNN-1", "CNN-8_v3 bs=32")] == [64, 32]
        assert by_fit["CNN-4_v5"].settings.architecture.dropout == (0.3, 0.3, 0.3, 0.3)  # as in the study's code
        assert {trial.settings.training.restore_best_weights for trial in by_fit.values()} == {False}
        assert {trial.settings.training.precision for trial in by_fit.values()} == {"float32"}
        [first, *_] = published.work(tuning, list(by_fit.values()))
        assert first[0].trial == by_fit["CNN-1"].settings
        assert published.table(tuning).empty
        arrays = {"x": np.zeros(1)}
        tuning.store.put(
            make_record(
                first[0].trial,
                first[0].seed,
                data={"digest": first[0].data_digest},
                split={"digest": first[0].split_digest},
                scores={"test_f1": 0.6},
            ),
            arrays,
        )
        [row] = published.rows(published.table(tuning))
        assert row[0] == "CNN-1"
        assert row[-2:] == ["-0.065", "no"]
