"""The walk through the stages: choices are handed on, and nothing is run twice."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from cnnlab import data
from cnnlab.errors import ConfigError, DataError
from cnnlab.records import SCORES
from cnnlab.report import words
from cnnlab.study import plan_trials
from cnnlab.tuning import Tuning
from cnnlab.tuning.progress import Callback
from conftest import make_arrays, make_record


def made_up(store, scores, test_seed=0):
    """Stand in for the workers: a record for each run, its val_f1 made up from its trial; remembers what was asked."""
    asked = []

    def run_all(work, _store, on_run_end, on_epoch):
        found = {}
        for run, dataset, split in work:
            asked.append(run)
            score = dict.fromkeys(SCORES, scores(run.settings) + run.seed / 1000)
            chance = np.random.default_rng([run.seed, test_seed])
            score |= {"test_f1": chance.random(), "test_loss": chance.random()}
            size = sum(run.settings.architecture.filters)
            of = {"data": {"digest": run.data_digest, "class_names": ["a", "b"]}, "split": {"digest": run.split_digest}}
            reached = [scores(run.settings)] * min(run.settings.training.epochs, 6)
            history = {"loss": reached, "accuracy": reached, "val_loss": reached, "val_accuracy": reached}
            record = make_record(run.settings, run.seed, scores=score, params=size, history=history, **of)
            arrays = make_arrays(dataset.train_labels[split.val], dataset.test_labels[split.test], chance)
            fixed = make_arrays(arrays["val_labels"], arrays["test_labels"], np.random.default_rng(run.seed))
            found[run.digest] = store.put(record, arrays | {"val_probs": fixed["val_probs"]})
            on_epoch(run, 1)
            on_run_end(found[run.digest], False)
        return found

    return SimpleNamespace(run_all=run_all, close=lambda: None, asked=asked)


@pytest.fixture
def tuning(folder, tmp_path):
    study = Tuning(folder, tmp_path)
    study.engine = made_up(study.store, lambda trial: 0.5 + 0.1 * trial.architecture.batch_norm)
    return study


def test_what_a_stage_chooses_is_what_the_next_one_starts_from(tuning):
    assert tuning.result("batchnorm").decision.selected == "batch normalisation"
    dense = tuning.result("dense")
    assert all(trial.settings.architecture.batch_norm for trial in dense.trials)


def test_a_stage_that_finds_nothing_better_hands_on_what_it_got(tuning):
    results = tuning.results("dropout")
    assert [result.decision.selected for result in results][-1] == "unchanged"
    assert results[-1].selected.settings == results[-2].selected.settings


def test_a_stage_that_is_left_out_hands_on_what_the_one_before_did(folder, tmp_path):
    study = Tuning(folder, tmp_path, skip=["depth"])
    study.engine = made_up(study.store, lambda trial: 0.5)
    assert study.incumbent(study.result("filters").stage) == study.result("base").selected.settings
    assert "depth" not in {stage.name for stage in study.stages}


def test_some_of_a_stages_trials_can_be_run_by_themselves_beside_its_incumbent(folder, tmp_path):
    study = Tuning(folder, tmp_path, seeds=2, trials={"dense": ["32"], "loss": []})
    study.engine = made_up(study.store, lambda trial: 0.5)
    result = study.result("dense")
    assert [trial.name for trial in result.trials] == ["32", "64"]
    assert {len(found) for found in result.records_by_trial.values()} == {2}
    study.trials["activation"] = ("swish",)
    with pytest.raises(ConfigError, match=r"Expected a trial named relu/relu, .* Received: 'swish'"):
        study.result("activation")


def test_a_trial_of_ones_own_is_held_against_the_others_and_starts_nothing(tuning):
    tried = tuning.compare_custom_trials("dense", {"wide": {"dense_units": 96}, "fast": {"learning_rate": 0.002}})
    assert [trial.name for trial in tried.trials][-2:] == ["wide", "fast"]
    wide, fast = (tried.trial(name).trial for name in ("wide", "fast"))
    assert wide == tuning.result("batchnorm").selected.settings.change(dense_units=96)
    assert fast.training.learning_rate == 0.002
    assert "wide" not in tuning.result("dense").groups
    with pytest.raises(ConfigError, match=r"a name that no trial of dense has.*'32'"):
        tuning.compare_custom_trials("dense", {"32": {"dense_units": 96}})
    with pytest.raises(ConfigError, match="units"):
        tuning.compare_custom_trials("dense", {"mine": {"units": 96}})


def test_the_published_protocol_runs_stages_independently_of_our_scores(folder, tmp_path):
    study = Tuning(folder, tmp_path, protocol="published")
    study.engine = made_up(study.store, lambda trial: 0.9 if trial.architecture.dense_units == 32 else 0.1)
    assert study.result("dense").decision.selected == "128"
    assert {trial.settings.architecture.dense_units for trial in study.result("activation").trials} == {128}
    assert len({run.digest for run in study.engine.asked}) == len(study.engine.asked)


def test_tables_have_the_columns_that_others_rely_on(tuning):
    results = tuning.results("filters")
    wanted = (
        "stage trial seed protocol params batch_size epochs train_seconds val_loss val_f1 val_accuracy "
        "test_loss test_f1 test_accuracy published_f1 digest cached"
    )
    frame = tuning.results_frame(results)
    assert set(wanted.split()) <= set(frame.columns)
    assert len(frame) == sum(len(result.runs) for result in results)
    wanted = (
        "stage selected rule selected_params best val_f1_mean val_f1_se n_seeds verdict published_choice agrees "
        "against difference low high probability p_adjusted smallest seeds_needed"
    )
    decisions = tuning.decisions_frame(results)
    assert set(wanted.split()) <= set(decisions.columns)
    assert decisions.set_index("stage").loc["depth", "against"] == "two"
    comparisons = tuning.comparisons_frame(results)
    assert comparisons.groupby("stage").size().to_dict() == {"depth": 1, "filters": 2}


def test_there_is_no_colour_stage_without_colour_images(folder, tmp_path):
    for path in folder.glob("*.pkl"):
        shutil.copy(path, tmp_path)
    study = Tuning(tmp_path, tmp_path / "runs")
    assert [stage.name for stage in study.stages][-1] == "augmentation"
    with pytest.raises(DataError, match=data.ARCHIVE):
        study.dataset(colour=True)


@pytest.mark.parametrize("seeds", [-1, 2.5])
def test_a_number_of_seeds_that_is_none_is_refused(folder, tmp_path, seeds):
    with pytest.raises(ConfigError, match="Expected seeds to be a whole number of at least 0"):
        Tuning(folder, tmp_path, seeds=seeds)


def test_unknown_names_are_refused(folder, tmp_path):
    with pytest.raises(ConfigError, match="profile"):
        Tuning(folder, tmp_path, profile="slow")
    with pytest.raises(ConfigError, match="protocol"):
        Tuning(folder, tmp_path, protocol="sloppy")
    with pytest.raises(ConfigError, match="stage"):
        Tuning(folder, tmp_path, skip=["pooling"])
    with pytest.raises(ConfigError, match="stage"):
        Tuning(folder, tmp_path).result("pooling")


def test_a_watcher_is_told_of_stages_runs_and_ends(tuning):
    told = []

    class Notes(Callback):
        def on_stage_start(self, name, runs, missing):
            told.append((name, runs, missing))

        def on_epoch(self, trial, seed, epoch, epochs):
            told.append((trial, seed, f"{epoch}/{epochs}"))

        def on_run_end(self, trial, record, cached):
            told.append((trial, record.seed))

        def on_stage_end(self, result):
            told.append(result.decision.selected)

    tuning.callback = Notes()
    tuning.result("base")
    runs = [told for seed in (1, 2, 3) for told in (("base", seed, "1/7"), ("base", seed))]
    assert told == [("base", 3, 3), *runs, "base"]


def test_all_candidates_of_a_stage_share_its_split(tuning):
    result = tuning.result("depth")
    assert len({run.split_digest for run in tuning.engine.asked}) == 1
    assert result.trials == plan_trials(result.stage, tuning.incumbent(result.stage), tuning.profile, tuning.protocol)


def test_test_scores_and_predictions_can_be_anything_without_a_decision_changing(folder, tmp_path):
    decisions = []
    for test_seed in (1, 2):
        study = Tuning(folder, tmp_path / str(test_seed))
        study.engine = made_up(study.store, lambda trial: 0.5 + 0.1 * trial.architecture.batch_norm, test_seed)
        results = study.results("dense")
        decisions.append([result.decision for result in results])
        scores = study.results_frame(results)["test_f1"]
    assert scores.nunique() > 1
    # Through text, since a NaN (a stage of one trial has no difference) is not equal to itself.
    assert repr(decisions[0]) == repr(decisions[1])


def test_a_stage_with_halving_keeps_the_incumbent_and_the_best_and_names_what_it_dropped(folder, tmp_path):
    study = Tuning(folder, tmp_path, halving=True)
    study.engine = made_up(study.store, lambda trial: trial.architecture.dense_units / 1000)
    study.result("batchnorm")
    study.engine.asked.clear()
    result = study.result("dense")  # 32, 64 (the incumbent), 128, 256, 512
    assert [trial.name for trial in result.trials] == ["64", "256", "512"]
    assert {one.name: (one.epochs, one.val_accuracy) for one in result.dropped} == {
        "32": (2, 0.032),
        "128": (None, 0.128),
    }
    assert result.decision.selected == "512"
    shorts = [run for run in study.engine.asked if run.settings.training.epochs == 2]
    assert {run.seed for run in shorts} == {1}
    assert {run.settings.architecture.dense_units for run in shorts} == {32, 128, 256, 512}
    units = [run.settings.architecture.dense_units for run in study.engine.asked if run.settings.training.epochs == 7]
    assert 32 not in units
    told = words.stage_intro(result).data
    assert "- 32: `val_accuracy` 0.032 after 2 epochs, where the best had 0.512" in told
    assert "- 128: `val_accuracy` 0.128 after a whole fit" in told


def test_precision_and_halving_are_part_of_how_a_study_is_run(folder, tmp_path):
    study = Tuning(folder, tmp_path, precision="mixed_bfloat16")
    study.engine = made_up(study.store, lambda trial: 0.5)
    assert {record.settings["training"]["precision"] for record in study.result("base").records("base")} == {
        "mixed_bfloat16"
    }
    assert "Precision of the fits: mixed_bfloat16" in words.settings(study.profile, study.protocol).data
    with pytest.raises(ConfigError, match="float32, mixed_bfloat16"):
        Tuning(folder, tmp_path, precision="half")
    with pytest.raises(ConfigError, match="HALVING="):
        Tuning(folder, tmp_path, protocol="published", halving=True)


def test_mistakes_share_the_corrected_model_and_are_compared_with_it(tuning):
    found = {result.mistake.name: result for result in tuning.mistake_results()}
    base = [record.digest for record in found["last-weights"].groups["corrected"]]
    assert [record.digest for record in found["aug-unused"].groups["not augmented"]] == base
    assert [cost.against for cost in found["colour"].effects] == ["scrambled", "unscaled", "both"]
    assert all(cost.trial == "corrected" for cost in found["colour"].effects)
    frame = tuning.mistakes_frame(tuning.mistake_results())
    assert len(frame) == sum(len(of) for result in found.values() for of in result.records_by_trial.values())


def test_grayscale_images_alone_leave_the_colour_mistakes_out(folder, tmp_path):
    for path in folder.glob("*.pkl"):
        shutil.copy(path, tmp_path)
    assert "colour" not in Tuning(tmp_path, tmp_path / "runs").mistake_trials


def test_the_published_protocol_and_a_wish_leave_the_mistakes_out(folder, tmp_path):
    assert Tuning(folder, tmp_path, protocol="published").mistakes == {}
    assert Tuning(folder, tmp_path, skip=["mistakes"]).mistakes == {}
