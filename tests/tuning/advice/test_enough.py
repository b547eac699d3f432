"""Each note on a stage's budget is given where it is true, and only there."""

from dataclasses import replace

import numpy as np
import pytest

from cnnlab import evidence
from cnnlab.study import StageTrial, Trial, built_in, parse
from cnnlab.tuning import StageResult, Tuning, tables
from cnnlab.tuning.advice import NoteKind, budget_notes, has_not_learned
from cnnlab.tuning.halving import Dropped
from conftest import make_arrays, make_record, name_val


@pytest.fixture
def tuning(folder, tmp_path):
    """On images of ten classes, where chance is 0.1."""
    return Tuning(folder, tmp_path)


def make(trials, best="", stage="dense", changes=lambda trial, seed: {}):
    """A stage's result from the settings of its trials, the incumbent first; the best one has the highest scores."""
    made, runs = [], {}
    for place, (name, settings) in enumerate(trials.items()):
        made.append(StageTrial(name, Trial().change(**{"epochs": 9, **settings}), (1, 2), incumbent=place == 0))
        for seed in (1, 2):
            f1 = (0.9 if name == best else 0.5) + (place + seed) / 1000
            values = {"scores": {"val_f1": f1}, **changes(name, seed)}
            values["scores"] = {"val_f1": f1, **values["scores"]}
            runs[name, seed] = make_record(made[-1].settings, seed, **values)
    scores = {
        name: evidence.Scores(np.array([runs[name, seed].scores["val_f1"] for seed in (1, 2)])) for name in trials
    }
    decision = evidence.decide(stage, scores, dict.fromkeys(trials, 100), next(iter(trials)))
    return StageResult(built_in().stage(stage), tuple(made), runs, decision, ())


def notes(tuning, result):
    return {note.kind: note for note in budget_notes(tuning, result)}


def values_of(setting, *values):
    return {f"trial {place}": {setting: value} for place, value in enumerate(values)}


def test_a_stage_with_enough_budget_has_no_notes(tuning):
    assert budget_notes(tuning, make(values_of("dense_units", 32, 64, 128), best="trial 1")) == ()


@pytest.mark.parametrize(
    ("setting", "values", "best", "value", "side", "words"),
    [
        ("dense_units", (64, 32, 128), 2, 128, "higher", "dense_units, 128, is the highest of 3: try higher"),
        ("dense_units", (64, 32, 128), 1, 32, "lower", "dense_units, 32, is the lowest of 3: try lower"),
        ("learning_rate", (0.01, 1e-3, 1e-4), 2, 1e-4, "lower", "learning_rate, 0.0001, is the lowest"),
        ("filters", ((8, 8), (8, 16), (16, 32)), 2, [16, 32], "higher", "filters, 16-32, is the highest"),
        ("dropout", (0.1, 0.2, 0.3), 2, 0.3, "higher", "dropout, 0.3, is the highest"),
        ("dropout", ((), 0.2, 0.3), 2, 0.3, "higher", "dropout, 0.3, is the highest of 3"),
        ("dropout", ((0.1,) * 3 + (0.2,), (0.2,) * 4, (0.3,) * 4), 0, [0.1, 0.1, 0.1, 0.2], "lower", "0.1-0.1-0.1-0.2"),
        ("patience", (2, 3, 4), 2, 4, "higher", "patience, 4, is the highest"),
    ],
)  # fmt: skip
def test_a_selected_value_at_the_edge_of_its_range(tuning, setting, values, best, value, side, words):
    note = notes(tuning, make(values_of(setting, *values), best=f"trial {best}"))[NoteKind.EDGE]
    assert words in note.text
    assert note.trials == (f"trial {best}",)
    assert note.detail == {"setting": setting, "value": value, "side": side}


@pytest.mark.parametrize(
    ("setting", "values", "best"),
    [
        ("dense_units", (64, 32, 128), 0),  # between others
        ("dense_units", (64, 128), 1),  # two values
        ("optimizer", ("adam", "sgd", "nadam"), 2),  # no numbers
        ("batch_norm", (False, True), 1),
        ("patience", (2, 4, None), 1),
        ("filters", ((8, 16), (16, 8), (16, 32)), 2),  # in no order
        ("filters", ((8,), (8, 16), (8, 16, 32)), 2),  # of several lengths
        ("dropout", ((), 0.2, 0.3), 0),  # no rate below 0
        ("batch_size", (1, 2, 4), 0),
        ("convs_per_block", (1, 2, 3), 0),
        ("batch_size", (8, 16, 32), 2),  # a batch of all 20 training images, and more
        ("epochs", (3, 6, 9), 2),  # what the budget allows
        ("patience", (2, 4, 9), 2),  # a patience of 9 or more has no effect in 9 epochs
    ],
)
def test_no_edge(tuning, setting, values, best):
    assert NoteKind.EDGE not in notes(tuning, make(values_of(setting, *values), best=f"trial {best}"))


def test_trials_that_differ_in_two_settings_have_no_edge(tuning):
    trials = {f"{units}": {"dense_units": units, "batch_size": units} for units in (4, 8, 16)}
    assert NoteKind.EDGE not in notes(tuning, make(trials, best="16"))


def test_a_trial_that_halving_dropped_belongs_to_the_range(tuning):
    result = make({"32": {"dense_units": 32}, "64": {"dense_units": 64}, "256": {"dense_units": 256}}, best="256")
    assert NoteKind.EDGE in notes(tuning, result)
    result = replace(result, dropped=(Dropped("512", 3, 0.2, 0.5),))
    assert NoteKind.EDGE not in notes(tuning, result)


def history(epochs, **curves):
    return {name: [0.5] * epochs for name in ("loss", "accuracy", "val_loss", "val_accuracy")} | curves


@pytest.mark.parametrize(("unfinished", "is_noted"), [(0, False), (1, False), (2, True), (6, True)])
def test_runs_that_still_improved_in_their_last_epoch(tuning, unfinished, is_noted):
    names = [f"trial {place}" for place in range(3)]
    keys = [(name, seed) for name in names for seed in (1, 2)][:unfinished]

    def changes(name, seed):
        return {"history": history(9), "best_epoch": 9 if (name, seed) in keys else 4}

    found = notes(tuning, make(values_of("dense_units", 32, 64, 128), best="trial 1", changes=changes))
    assert (NoteKind.LAST_EPOCH in found) == is_noted
    if is_noted:
        note = found[NoteKind.LAST_EPOCH]
        assert note.text == (
            f"{unfinished} of 6 runs still improved in their last epoch: verdicts hold for fits of 9 epochs."
        )
        assert note.trials == tuple(names[: (unfinished + 1) // 2])
        assert note.detail == {"runs": unfinished, "of": 6, "epochs": 9}


def test_a_run_that_early_stopping_ended_was_not_in_its_last_epoch(tuning):
    result = make({"base": {}}, changes=lambda name, seed: {"history": history(7), "best_epoch": 7})
    assert NoteKind.LAST_EPOCH not in notes(tuning, result)


def test_the_scores_of_a_stage_with_one_trial_hold_for_its_epochs(tuning):
    result = make({"base": {}}, changes=lambda name, seed: {"history": history(9), "best_epoch": 9})
    assert "2 of 2 runs" in notes(tuning, result)[NoteKind.LAST_EPOCH].text
    assert "scores hold for fits of 9 epochs" in notes(tuning, result)[NoteKind.LAST_EPOCH].text


@pytest.mark.parametrize(
    ("n_images", "splits", "accuracy", "is_noted", "has_learned"),
    [
        (100, "s", 0.15, True, False),  # two standard errors are 0.06
        (100, "s", 0.17, False, True),
        (100, "st", 0.15, True, True),  # two draws have twice as many images: no run, but their mean is above chance
        (10_000, "s", 0.11, False, True),
    ],
)
def test_trials_at_chance(tuning, n_images, splits, accuracy, is_noted, has_learned):
    def changes(name, seed):
        split = {"digest": splits[seed % len(splits)], "train": 100, "val": n_images, "test": 10}
        return {"scores": {"val_accuracy": accuracy if name == "trial 2" else 0.5}, "split": split}

    result = make(values_of("dense_units", 32, 64, 128), best="trial 1", changes=changes)
    found = notes(tuning, result)
    assert has_not_learned(tuning, result) == ({} if has_learned else {"trial 2": "at chance"})
    assert (NoteKind.CHANCE in found) == is_noted
    if is_noted:
        assert found[NoteKind.CHANCE].text == (
            "Some runs are no better than guessing, which has a validation accuracy of 0.10: trial 2 (2 of 2 runs)."
        )
        assert found[NoteKind.CHANCE].trials == ("trial 2",)


def test_draws_of_training_images_alone_give_no_more_validation_images(tuning):
    """Where the files name the validation images, all seeds have the same 100 ones."""

    def changes(name, seed):
        split = {"digest": f"{seed}", "train": 100, "val": 100, "test": 10}
        return {"scores": {"val_accuracy": 0.15 if name == "trial 2" else 0.5}, "split": split}

    result = make(values_of("dense_units", 32, 64, 128), best="trial 1", changes=changes)
    assert has_not_learned(tuning, result) == {}
    name_val(tuning)
    assert has_not_learned(tuning, result) == {"trial 2": "at chance"}


@pytest.mark.parametrize("curve", ["loss", "val_loss"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("accuracy", [0.1, 0.5])
def test_a_run_that_diverged(tuning, curve, value, accuracy):
    """It has not learned if it is at chance: the best weights of an earlier epoch may be good."""

    def changes(name, seed):
        is_it = (name, seed) == ("trial 1", 2)
        curves = {curve: [0.5, value]} if is_it else {}
        split = {"digest": "s", "train": 100, "val": 200, "test": 10}
        scores = {"val_accuracy": accuracy if is_it else 0.5}
        return {"history": history(2, **curves), "scores": scores, "split": split}

    result = make(values_of("dense_units", 32, 64, 128), best="trial 1", changes=changes)
    note = notes(tuning, result)[NoteKind.DIVERGED]
    assert note.text == "The loss of 1 of 6 runs became infinite or NaN: trial 1."
    assert has_not_learned(tuning, result) == ({"trial 1": "diverged"} if accuracy == 0.1 else {})


def test_trials_at_the_ceiling(tuning):
    """There is room again if a smaller difference matters."""

    def changes(name, seed):
        return {"scores": {"val_f1": (0.985 if name == "trial 0" else 0.995) + seed / 1e5}}

    result = make(values_of("dense_units", 32, 64), changes=changes)
    note = notes(tuning, result)[NoteKind.CEILING]
    assert note.text == "All trials have a mean val_f1 of at least 0.985: there is no room for a difference of 0.02."
    tuning.study = replace(tuning.study, matters=0.01)
    assert NoteKind.CEILING not in notes(tuning, result)
    tuning.study = built_in()
    assert NoteKind.CEILING not in notes(tuning, make({"base": {}}, changes=changes)), "one trial answers no question"


def store_runs(tuning, wrong, splits="s"):
    """A stage's inconclusive result on 100 images, of which the second trial has some wrong and the first has none."""
    labels = np.arange(100) % 10

    def changes(name, seed):
        split = {"digest": splits[seed % len(splits)], "train": 100, "pool": 200, "val": 100, "test": 100}
        return {"scores": {"val_f1": 0.5 + (seed + (name == "b")) / 100}, "split": split}

    result = make({"a": {}, "b": {"dense_units": 32}}, changes=changes)
    assert result.decision.verdict == "inconclusive"
    for (name, _), record in result.runs.items():
        guesses = np.where(np.arange(100) < (wrong if name == "b" else 0), (labels + 1) % 10, labels)
        arrays = make_arrays(labels, labels, np.random.default_rng(0))
        tuning.store.put(record, arrays | {"val_probs": np.eye(10, dtype=np.float32)[guesses]})
    return result


@pytest.mark.parametrize(
    ("wrong", "splits", "matters", "images"),
    [
        (10, "s", 0.02, 970),  # 0.1 * (1.96 / 0.02) ** 2 is 960.4
        (10, "st", 0.02, 490),
        (10, "s", 0.05, 160),
        (10, "s", 0.1, None),
        (1, "s", 0.02, None),
        (0, "s", 0.02, None),
    ],
)
def test_too_few_validation_images(tuning, wrong, splits, matters, images):
    tuning.study = replace(tuning.study, matters=matters)
    found = notes(tuning, store_runs(tuning, wrong, splits))
    assert (NoteKind.FEW_IMAGES in found) == (images is not None)
    if images:
        note = found[NoteKind.FEW_IMAGES]
        assert note.text == (
            f"100 validation images are too few to show a difference of {matters:g}: it takes at least {images}."
        )
        assert note.detail == {"images": images}
        assert set(note.trials) == {"a", "b"}


def test_a_conclusive_verdict_has_enough_images(tuning):
    result = store_runs(tuning, 10)
    conclusive = replace(result.decision.evidence, verdict=evidence.Verdict.BETTER)
    result = replace(result, decision=replace(result.decision, evidence=conclusive))
    assert NoteKind.FEW_IMAGES not in notes(tuning, result)


def test_the_parameters_of_an_own_model_have_a_range(tuning, tmp_path):
    (tmp_path / "mine.py").write_text("def build(input_shape, n_classes, width=16):\n    return None\n")
    text = "model = 'mine.py:build'\n[[stage]]\nname = 'width'\nvary = 'width'\nvalues = [16, 32, 64]\n"
    study = parse(text, tmp_path / "mine.toml")
    result = make(values_of("dense_units", 16, 32, 64), best="trial 2")
    trials = tuple(
        replace(trial, settings=study.base.change(width=trial.settings.architecture.dense_units))
        for trial in result.trials
    )
    assert notes(tuning, replace(result, trials=trials))[NoteKind.EDGE].detail == {
        "setting": "width", "value": 64, "side": "higher",
    }  # fmt: skip


def test_the_notes_are_those_of_the_columns_of_the_decisions(tuning):
    result = make(
        values_of("dense_units", 32, 64, 128),
        best="trial 2",
        changes=lambda name, seed: {"history": history(9), "best_epoch": 9},
    )
    enough = make(values_of("dense_units", 32, 64, 128), best="trial 1")
    assert list(tables.decisions_table(tuning, [result, enough])["notes"]) == ["edge;last-epoch", ""]
