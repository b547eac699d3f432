"""A study runs stage after stage: each selects a trial, and no run is made twice."""

import shutil

import pytest

from cnnlab import data
from cnnlab.errors import ConfigError, DataError
from cnnlab.evidence import compare
from cnnlab.records import HISTORY
from cnnlab.report import words
from cnnlab.study import make_budget, parse, plan_trials
from cnnlab.tuning import Tuning, read_scores, tables
from cnnlab.tuning.progress import Callback
from conftest import fake_runs


@pytest.fixture
def tuning(folder, tmp_path):
    study = Tuning(folder, tmp_path, budget={"epochs": 6})
    fake_runs(study, lambda trial: 0.5 + 0.1 * trial.architecture.batch_norm)
    return study


def test_the_next_stage_starts_from_the_selected_trial(tuning):
    assert tuning.result("batchnorm").decision.selected == "batch normalisation"
    dense = tuning.result("dense")
    assert all(trial.settings.architecture.batch_norm for trial in dense.trials)


def test_a_stage_without_a_better_trial_selects_its_incumbent(tuning):
    results = tuning.results("dropout")
    assert [result.decision.selected for result in results][-1] == "unchanged"
    assert results[-1].selected.settings == results[-2].selected.settings


def test_the_stage_after_a_skipped_one_starts_from_the_stage_before(folder, tmp_path):
    study = Tuning(folder, tmp_path, budget={"skip": ["depth"]})
    fake_runs(study, lambda trial: 0.5)
    assert study.incumbent(study.result("filters").stage) == study.result("base").selected.settings
    assert "depth" not in {stage.name for stage in study.stages}


def test_some_trials_of_a_stage_can_be_run_beside_its_incumbent(folder, tmp_path):
    study = Tuning(folder, tmp_path, budget={"seeds": 2}, trials={"dense": ["32"], "loss": []})
    fake_runs(study, lambda trial: 0.5)
    result = study.result("dense")
    assert [trial.name for trial in result.trials] == ["32", "64"]
    assert {len(found) for found in result.records_by_trial.values()} == {2}
    study.scope.trials["activation"] = ("swish",)
    with pytest.raises(ConfigError, match=r"Expected a trial named relu/relu, .* Received: 'swish'"):
        study.result("activation")


def test_a_custom_trial_is_compared_with_the_others_and_no_stage_starts_from_it(tuning):
    tried = tuning.compare_custom_trials("dense", {"wide": {"dense_units": 96}, "fast": {"learning_rate": 0.002}})
    assert [trial.name for trial in tried.trials][-2:] == ["wide", "fast"]
    wide, fast = (tried.trial(name).settings for name in ("wide", "fast"))
    assert wide == tuning.result("batchnorm").selected.settings.change(dense_units=96)
    assert fast.training.learning_rate == 0.002
    assert "wide" not in tuning.result("dense").records_by_trial
    with pytest.raises(ConfigError, match=r"a name that no trial of dense has.*'32'"):
        tuning.compare_custom_trials("dense", {"32": {"dense_units": 96}})
    with pytest.raises(ConfigError, match="units"):
        tuning.compare_custom_trials("dense", {"mine": {"units": 96}})


def test_published_stages_do_not_depend_on_our_scores(folder, tmp_path):
    study = Tuning(folder, tmp_path, protocol="published")
    made = fake_runs(study, lambda trial: 0.9 if trial.architecture.dense_units == 32 else 0.1)
    assert study.result("dense").decision.selected == "128"
    assert {trial.settings.architecture.dense_units for trial in study.result("activation").trials} == {128}
    assert len({run.digest for run in made}) == len(made)


def test_published_figures_stand_beside_the_published_fits_only_on_cifar10(folder, cifar10, tmp_path):
    """The published protocol runs the fits on any images."""
    for path, has_figures in ((cifar10, True), (folder, False)):
        study = Tuning(path, tmp_path / path.name, protocol="published")
        fake_runs(study, lambda trial: 0.5)
        result = study.result("dense")
        assert {trial.published is not None for trial in result.trials} == {has_figures}
        assert result.decision.selected == "128"


def test_the_momentum_of_batch_normalisation_follows_from_the_number_of_steps(folder, tmp_path):
    """Every run has a number, from the images that the budget leaves; one that the study names stays."""
    for epochs, momentum in ((2, 0.722), (30, 0.722)):  # 6 epochs of 6 steps
        study = Tuning(folder, tmp_path, budget={"epochs": epochs, "train": 96, "val": 20})
        trial = study.scope.start.change(batch_norm=True, batch_size=16)
        [(run, _, split)] = study.images.work(trial, [1])
        assert len(split.train) == 96
        assert run.trial.architecture.batch_norm_momentum == momentum
        [(fixed, *_)] = study.images.work(trial.change(batch_norm_momentum=0.7), [1])
        assert fixed.trial.architecture.batch_norm_momentum == 0.7
        [(plain, *_)] = study.images.work(study.scope.start, [1])
        assert plain.trial.architecture.batch_norm_momentum is None


def test_a_budget_changes_what_every_fit_has(folder, tmp_path):
    budget = {"seeds": 2, "epochs": 4, "patience": 3, "train": 90, "val": 30, "test": 50}
    study = Tuning(folder, tmp_path, "laptop", budget=budget)
    made = fake_runs(study, lambda trial: 0.5)
    study.result("dense")
    assert {run.seed for run in made} == {1, 2}
    assert {(run.trial.training.epochs, run.trial.training.patience) for run in made} == {(4, 3)}
    split = study.images.split(study.images.dataset(colour=False))
    assert (len(split.train), len(split.val), len(split.test)) == (90, 30, 50)
    assert study.changes == budget
    assert study.budget.profile == "laptop"


def test_another_budget_can_be_used_before_anything_is_run(folder, tmp_path):
    study = Tuning(folder, tmp_path, budget={"skip": "depth"})
    study.use_budget(make_budget("laptop", {"seeds": 1, "epochs": 3, "train": 80}))
    made = fake_runs(study, lambda trial: 0.5)
    result = study.result("filters")
    assert {(run.seed, run.trial.training.epochs) for run in made} == {(1, 3)}
    assert len(study.images.split(study.images.dataset(colour=False)).train) == 80
    assert study.changes == {"seeds": 1, "epochs": 3, "train": 80}
    assert result.skipped == ("64-128-256", "128-256-512")
    assert "depth" not in study.planned_runs()


def test_the_expected_runs_are_known_before_anything_is_run(cifar10, tmp_path):
    """As if no stage before changed the model: with other selections there may be more or fewer."""
    study = Tuning(cifar10, tmp_path, budget={"seeds": 2, "stages": "dense,batchnorm,mistakes"})
    made = fake_runs(study, lambda trial: 0.5)
    planned = study.planned_runs()
    assert list(planned) == ["batchnorm", "dense", "mistakes"]
    assert (planned["batchnorm"], planned["dense"]) == (4, 10)
    assert made == []
    study.results()
    assert len({run.digest for run in made}) == 12, "the incumbent of both stages is one trial"
    study.mistake_results()
    assert len({run.digest for run in made}) == 12 + planned["mistakes"]


def test_tables_have_the_documented_columns(tuning):
    results = tuning.results("filters")
    wanted = (
        "stage trial seed protocol params batch_size epochs train_seconds val_loss val_f1 val_accuracy "
        "test_loss test_f1 test_accuracy published_f1 digest cached"
    )
    frame = tables.runs_table(tuning, results)
    assert set(wanted.split()) <= set(frame.columns)
    assert len(frame) == sum(len(result.runs) for result in results)
    wanted = (
        "stage selected rule selected_params best val_f1_mean val_f1_se n_seeds verdict published_choice agrees "
        "trial against difference low high seeds_needed notes"
    )
    decisions = tables.decisions_table(tuning, results)
    assert set(wanted.split()) <= set(decisions.columns)
    assert tuple(decisions.set_index("stage").loc["depth", ["trial", "against"]]) == ("two", "unchanged")
    comparisons = tables.comparisons_table(results)
    assert comparisons.groupby("stage").size().to_dict() == {"depth": 1, "filters": 2}


def test_there_is_no_colour_stage_without_colour_images(folder, tmp_path):
    for path in folder.glob("*.pkl"):
        shutil.copy(path, tmp_path)
    study = Tuning(tmp_path, tmp_path / "runs")
    assert [stage.name for stage in study.stages][-1] == "augmentation"
    with pytest.raises(DataError, match="Expected colour images in"):
        study.images.dataset(colour=True)


@pytest.mark.parametrize("seeds", [-1, 0, 2.5])
def test_a_wrong_number_of_seeds_is_refused(folder, tmp_path, seeds):
    with pytest.raises(ConfigError, match="Expected SEEDS to be a whole number of at least 1"):
        Tuning(folder, tmp_path, budget={"seeds": seeds})


def test_unknown_names_are_refused(folder, tmp_path):
    with pytest.raises(ConfigError, match="profile"):
        Tuning(folder, tmp_path, profile="slow")
    with pytest.raises(ConfigError, match="protocol"):
        Tuning(folder, tmp_path, protocol="sloppy")
    with pytest.raises(ConfigError, match="stage"):
        Tuning(folder, tmp_path, budget={"skip": ["pooling"]})
    with pytest.raises(ConfigError, match="stage"):
        Tuning(folder, tmp_path).result("pooling")


def test_a_callback_is_called_for_stages_epochs_and_runs(tuning):
    calls = []

    class Notes(Callback):
        def on_stage_start(self, name, runs, missing):
            calls.append((name, runs, missing))

        def on_epoch(self, trial, seed, epoch, epochs, metrics):
            calls.append((trial, seed, f"{epoch}/{epochs}", metrics))

        def on_run_end(self, trial, record, cached):
            calls.append((trial, record.seed))

        def on_stage_end(self, result):
            calls.append(result.decision.selected)

    tuning.callback = Notes()
    tuning.result("base")
    runs = [call for seed in (1, 2, 3) for call in (("base", seed, "1/6", dict.fromkeys(HISTORY, 0.5)), ("base", seed))]
    assert calls == [("base", 3, 3), *runs, "base"]


def test_each_seed_has_images_of_its_own_which_all_trials_share(tuning):
    result = tuning.result("depth")
    splits = {seed: set() for seed in (1, 2, 3)}
    for (_, seed), record in result.runs.items():
        splits[seed].add(record.split["digest"])
    assert [len(of_seed) for of_seed in splits.values()] == [1, 1, 1]
    assert len(set.union(*splits.values())) == 3
    assert result.trials == plan_trials(result.stage, tuning.incumbent(result.stage), tuning.budget)


def test_with_fixed_splits_all_seeds_share_their_images(folder, tmp_path):
    study = Tuning(folder, tmp_path, budget={"splits": "fixed"})
    fake_runs(study, lambda trial: 0.5)
    assert len({record.split["digest"] for record in study.result("depth").runs.values()}) == 1


def test_the_published_protocol_has_one_split(folder, tmp_path):
    assert Tuning(folder, tmp_path, protocol="published").budget.splits == "fixed"
    with pytest.raises(ConfigError, match=r"one split under the published protocol. Received: resampled splits"):
        Tuning(folder, tmp_path, protocol="published", budget={"splits": "resampled"})


def test_no_decision_depends_on_test_scores_or_predictions(folder, tmp_path):
    decisions = []
    for test_seed in (1, 2):
        study = Tuning(folder, tmp_path / str(test_seed))
        fake_runs(study, lambda trial: 0.5 + 0.1 * trial.architecture.batch_norm, test_seed)
        results = study.results("dense")
        decisions.append([result.decision for result in results])
        scores = tables.runs_table(study, results)["test_f1"]
    assert scores.nunique() > 1
    # Through text, since a NaN (a stage of one trial has no difference) is not equal to itself.
    assert repr(decisions[0]) == repr(decisions[1])


def test_halving_keeps_the_incumbent_and_the_best_and_names_the_dropped(folder, tmp_path):
    study = Tuning(folder, tmp_path, budget={"epochs": 6, "halving": True})
    made = fake_runs(study, lambda trial: trial.architecture.dense_units / 1000)
    study.result("batchnorm")
    made.clear()
    result = study.result("dense")  # 32, 64 (the incumbent), 128, 256, 512
    assert [trial.name for trial in result.trials] == ["64", "256", "512"]
    assert {one.name: (one.epochs, one.val_accuracy) for one in result.dropped} == {
        "32": (2, 0.032),
        "128": (None, 0.128),
    }
    assert result.decision.selected == "512"
    shorts = [run for run in made if run.trial.training.epochs == 2]
    assert {run.seed for run in shorts} == {1}
    assert {run.trial.architecture.dense_units for run in shorts} == {32, 128, 256, 512}
    units = [run.trial.architecture.dense_units for run in made if run.trial.training.epochs == 6]
    assert 32 not in units
    scores = {name: read_scores(study.store, result.records(name), "val") for name in ("64", "512", "256")}
    assert result.decision.comparisons == compare(scores, 4), "the dropped trials count too"
    shown = words.stage_intro(study, result).data
    assert "“32” (`val_accuracy` 0.032, that of the best trial 0.512, epoch 2)" in shown
    assert "“128” (`val_accuracy` 0.128, that of the best trial 0.512, full fit)" in shown


@pytest.mark.parametrize(
    "vary",
    [
        'vary = "epochs"\nvalues = [2, 3, 4, 5, 6]',
        'vary = "patience"\nvalues = [1, 2, 3, 4, 6]',
        'vary = "learning_rate"\nvalues = [0.001, 0.002, 0.003, 0.004]\n[start]\nschedule = "cosine"',
    ],
)
def test_where_short_fits_are_no_part_of_the_whole_ones_halving_drops_after_whole_fits_only(folder, tmp_path, vary):
    text = f'[[stage]]\nname = "fit"\n{vary}\n'
    made = parse(text, tmp_path / "mine.toml")
    study = Tuning(folder, tmp_path, study=made, budget={"epochs": 6, "halving": True})
    fake_runs(study, lambda trial: trial.training.epochs / 10 + trial.training.learning_rate)
    assert {one.epochs for one in study.result("fit").dropped} == {None}


def test_a_study_takes_a_precision_and_halving(folder, tmp_path):
    study = Tuning(folder, tmp_path, budget={"precision": "mixed_bfloat16"})
    fake_runs(study, lambda trial: 0.5)
    assert {record.trial["training"]["precision"] for record in study.result("base").records("base")} == {
        "mixed_bfloat16"
    }
    assert (
        "Precision of the fits: mixed_bfloat16"
        in words.study_settings(study.budget, study.protocol, study.images.dataset(False)).data
    )
    with pytest.raises(ConfigError, match="float32, mixed_bfloat16"):
        Tuning(folder, tmp_path, budget={"precision": "half"})
    with pytest.raises(ConfigError, match="Received: halving"):
        Tuning(folder, tmp_path, protocol="published", budget={"halving": True})


def test_mistakes_share_the_corrected_model_and_are_compared_with_it(cifar10, tmp_path):
    tuning = Tuning(cifar10, tmp_path)
    fake_runs(tuning, lambda trial: 0.5)
    found = {result.mistake.name: result for result in tuning.mistake_results()}
    base = [record.digest for record in found["last-weights"].records_by_trial["corrected"]]
    assert [record.digest for record in found["aug-unused"].records_by_trial["not augmented"]] == base
    assert [effect.trial for effect in found["colour"].effects] == ["scrambled", "unscaled", "both"]
    assert all(effect.against == "corrected" for effect in found["colour"].effects)
    frame = tables.mistakes_table(tuning.mistake_results())
    assert len(frame) == sum(len(of) for result in found.values() for of in result.records_by_trial.values())
    effects = tables.effects_table(tuning.mistake_results())
    assert effects.loc[effects["mistake"] == "colour", "trial"].tolist() == ["scrambled", "unscaled", "both"]
    assert effects["difference"].abs().max() == 0


def test_without_colour_images_the_colour_mistakes_are_skipped(folder, tmp_path):
    for path in folder.glob("*.pkl"):
        shutil.copy(path, tmp_path)
    study = Tuning(tmp_path, tmp_path / "runs", budget={"stages": "mistakes"})
    assert set(Tuning(folder, tmp_path, budget={"stages": "mistakes"}).scope.mistake_trials()) - {"colour"} == set(
        study.scope.mistake_trials()
    )


def test_a_trial_with_the_incumbents_runs_is_named_and_not_compared(tuning):
    """Whether the difference cannot have an effect, or has had none."""
    mine = {
        "patient": {"patience": 10},
        "patience 6": {"patience": 6},
        "no dropout": {"dropout": 0},
        "other": {"dense_units": 48},
        "other twice": {"dense_units": 48, "one_hot": False},
    }
    usual, tried = tuning.result("dense"), tuning.compare_custom_trials("dense", mine)
    assert tried.same_as == {
        "patient": "64", "patience 6": "64", "no dropout": "64", "other twice": "other",
    }  # fmt: skip
    digests = {name: [record.digest for record in tried.records(name)] for name in tried.records_by_trial}
    assert digests["no dropout"] == digests["64"] == [run.digest for run in usual.records("64")]
    compared = {comparison.trial for comparison in tried.decision.comparisons} | {tried.incumbent.name}
    assert compared == {*usual.records_by_trial, "other"}
    shown = words.trials_table(tuning, tried).data
    assert shown.count("same as the incumbent</small>") == 3
    assert shown.count("same as “other”</small>") == 1
    details = words.decision_details(tried).data
    assert "“patient” is the same as the incumbent in this budget, so it is not compared." in details
    assert "“other twice” is the same as “other” in this budget, so it is not compared." in details


def test_a_stage_whose_trials_are_all_the_same_has_no_verdict(tuning):
    tried = tuning.compare_custom_trials("combination", {"patient": {"patience": 10}})
    assert (tried.decision.selected, tried.decision.comparisons) == ("unchanged", ())
    assert "All trials have the same runs in this budget" in words.decision_details(tried).data


@pytest.mark.parametrize(
    ("mine", "message"),
    [
        (
            {"dropout": 0.2},
            r"Expected a name for each trial and its settings, as \{'96 units': .* Received for 'dropout': 0\.2\. Give",
        ),
        (["dropout"], "Expected a name for each trial and its settings"),
        (None, "Expected a name for each trial and its settings"),
        ({"a": {"dropout": 0.2}, "b": None}, "Expected a name for each trial and its settings"),
        ({"a": {1: 2}}, "settings of the trial 'a' by their names"),
        ({"a": {"seeds": 5}}, "Expected one of the settings .* Received: 'seeds'"),
        ({"a": {"dropout": "0.2"}}, "Expected dropout to be a number"),
        ({"a": {"dropout": float("nan")}}, "Expected dropout to be a number"),
        ({"a": {"filters": 64}}, "Expected filters to be a list of whole numbers"),
        ({"a": {"dropout": [0.1, 0.2]}}, "Expected dropout to be empty or to have 4 rates"),
        ({7: {"dropout": 0.2}}, "Expected a name of one line"),
        ({"": {"dropout": 0.2}}, "Expected a name of one line"),
        ({" ": {"dropout": 0.2}}, "Expected a name of one line"),
        ({"a\nb": {"dropout": 0.2}}, "Expected a name of one line"),
    ],
)
def test_a_mistake_in_a_custom_trial_is_a_config_error(tuning, mine, message):
    with pytest.raises(ConfigError, match=message):
        tuning.compare_custom_trials("dense", mine)


def test_one_dropout_rate_of_a_custom_trial_is_that_rate_everywhere(tuning):
    tried = tuning.compare_custom_trials("dense", {"a": {"dropout": 0.2}})
    assert tried.trial("a").settings.architecture.dropout == (0.2,) * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": None}, "Expected data to be a folder. Received: None"),
        ({"runs": 5}, "Expected runs to be a folder"),
        ({"profile": None}, "Expected a profile named"),
        ({"profile": ["quick"]}, "Expected a profile named"),
        ({"protocol": {}}, "Expected a protocol named"),
        ({"scheduler": 8786}, "Expected scheduler to be an address, an engine, or None"),
        ({"fresh": "no"}, "Expected fresh to be True or False"),
        ({"trust": 1}, "Expected trust to be True or False"),
        ({"study": 3}, "Expected study to be a study file, one of published, recipe, or ''"),
        ({"study": None}, "Expected study to be a study file, one of published, recipe, or ''"),
        ({"budget": ["seeds"]}, "Expected budget to be numbers by names"),
        ({"budget": {"seed": 3}}, "Expected a part of a budget named .* Received: 'seed'"),
        ({"budget": {3: 3}}, "Expected a part of a budget named .* Received: 3"),
        ({"budget": {"halving": 1}}, "Expected halving to be True or False"),
        ({"budget": {"precision": 3}}, "Expected precision to be one of"),
        ({"budget": {"precision": []}}, "Expected precision to be one of"),
        ({"budget": {"seeds": "3"}}, "Expected SEEDS to be a whole number"),
        ({"budget": {"seeds": True}}, "Expected SEEDS to be a whole number"),
        ({"budget": {"skip": 3}}, "Expected skip to be names"),
        ({"budget": {"skip": [None]}}, "Expected skip to be names"),
        ({"budget": {"skip": "dropuot"}}, "Expected a stage named .* Received: 'dropuot'"),
        ({"budget": {"stages": "dropuot"}}, "Expected a stage named .* Received: 'dropuot'"),
        ({"trials": ["32"]}, "Expected trials to be names by stage"),
        ({"trials": {"dense": 32}}, "Expected trials to be names"),
        ({"trials": {"dence": "32"}}, "Expected a stage named .* Received: 'dence'"),
        ({"trials": {None: "32"}}, "Expected a stage named"),
    ],
)
def test_a_wrong_argument_is_a_config_error(folder, tmp_path, arguments, message):
    with pytest.raises(ConfigError, match=message):
        Tuning(**{"data": folder, "runs": tmp_path, **arguments})


@pytest.mark.parametrize("stage", [None, 3, [], {}, "", "dence"])
def test_a_wrong_stage_is_a_config_error(tuning, stage):
    for ask in (tuning.result, lambda name: tuning.compare_custom_trials(name, {})):
        with pytest.raises(ConfigError, match="Expected a stage named"):
            ask(stage)


def test_names_may_stand_in_one_text_with_commas_between(folder, tmp_path):
    study = Tuning(folder, tmp_path, budget={"skip": "dropout, loss,"}, trials={"dense": "32, 64", "loss": ""})
    assert study.scope.skip == {"dropout", "loss", "search"}, "a search must be asked for"
    assert study.scope.trials == {"dense": ("32", "64")}


def test_what_is_no_callback_is_refused(tuning):
    for callback in (None, Callback):
        with pytest.raises(ConfigError, match=r"Expected callback to be a Callback, as progress.Bar\(\)"):
            tuning.callback = callback


def test_an_engine_that_a_study_is_given_stays_open_and_its_own_ends(folder, tmp_path, engine):
    with Tuning(folder, tmp_path, "smoke", scheduler=engine) as tuning:
        assert tuning.engine is engine
    assert engine.client.status == "running"
    with Tuning(folder, tmp_path, "smoke", scheduler=engine.address) as tuning:
        client = tuning.engine.client
    assert client.status == "closed"


def test_size_cache_and_progress_reach_the_images(folder, tmp_path, monkeypatch):
    loaded, asked, shown = data.load(folder), [], []

    def load(path, size, cache, on_progress):
        asked.append((size, cache))
        on_progress(1, 2)
        return loaded

    class Notes(Callback):
        def on_images(self, done, total):
            shown.append((done, total))

    monkeypatch.setattr("cnnlab.data.load", load)
    tuning = Tuning(folder, tmp_path / "runs", size="24x40")
    tuning.callback = Notes()
    assert tuning.images.folder is tuning.images.folder is loaded, "they are read once"
    assert asked == [((24, 40), tmp_path / "runs" / "images")]
    assert shown == [(1, 2)]
    for size, error in ((48, "Expected size to be a text"), ("7", "Expected a size of 8 to 512 pixels")):
        with pytest.raises(ConfigError, match=error):
            Tuning(folder, tmp_path, size=size)
