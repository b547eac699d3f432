"""Names say which stages are run; the images say what of the published study concerns them."""

import io
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from cnnlab import surroundings
from cnnlab.data import sample
from cnnlab.errors import ConfigError, DataError, StudyError
from cnnlab.study import CIFAR10_NAMES, INCUMBENT, STAGES, built_in, bundled, parse, stage_fits
from cnnlab.tuning import Tuning, check_claims, check_study, final_stage, last_gray_stage, progress, run_study
from conftest import fake_runs

MINE = "[[stage]]\nname = 'a'\nvary = 'dense_units'\nvalues = [8, 16]\n[[stage]]\nname = 'b'\n"
ALL = [stage.name for stage in STAGES]
WITH_RUNS = 10  # mistakes that change a result


def mine(text=MINE):
    return parse(text, Path("mine.toml"))


def scope(data, tmp_path, **arguments):
    return Tuning(data, tmp_path / "runs", **arguments).scope


def stages(scope):
    return [stage.name for stage in scope.stages]


@pytest.mark.parametrize(
    ("budget", "names", "n_mistakes"),
    [
        ({}, ALL, 0),
        ({"stages": ""}, ALL, 0),
        ({"stages": "all"}, ALL, 0),
        ({"stages": "dense,base"}, ["base", "dense"], 0),
        ({"stages": ["dense", "base"], "skip": "base"}, ["dense"], 0),
        ({"stages": "all,mistakes"}, ALL, WITH_RUNS),
        ({"stages": "mistakes"}, [], WITH_RUNS),
        ({"stages": ("mistakes", "loss")}, ["loss"], WITH_RUNS),
        ({"stages": "all, mistakes", "skip": "mistakes"}, ALL, 0),
        ({"skip": " dropout , colour,"}, [name for name in ALL if name not in ("dropout", "colour")], 0),
        ({"stages": "all,dense", "skip": "base"}, ALL[1:], 0),
    ],
)
def test_stages_and_skip(folder, tmp_path, budget, names, n_mistakes):
    """Stages keep the study's order. On other images than CIFAR-10, mistakes are run only if they are asked for."""
    found = scope(folder, tmp_path, budget=budget)
    assert stages(found) == names
    assert len(found.mistake_trials()) == n_mistakes
    curve = ["learning-curve"] if not budget.get("stages") or "all" in budget["stages"] else []
    assert list(found.expected_trials()) == [*names, *curve, *(["mistakes"] if n_mistakes else [])]


@pytest.mark.parametrize(
    ("budget", "n_mistakes"),
    [
        ({}, WITH_RUNS),
        ({"stages": "all"}, WITH_RUNS),
        ({"stages": "dense"}, 0),
        ({"stages": "dense,mistakes"}, WITH_RUNS),
        ({"skip": "dense"}, WITH_RUNS),
        ({"skip": "mistakes"}, 0),
    ],
)
def test_mistakes_on_cifar10(cifar10, tmp_path, budget, n_mistakes):
    """They are run with the stages, unless only some stages are asked for."""
    assert len(scope(cifar10, tmp_path, budget=budget).mistake_trials()) == n_mistakes
    assert scope(cifar10, tmp_path, budget=budget, protocol="published").mistake_trials() == {}


@pytest.mark.parametrize("name", ["stages", "skip"])
@pytest.mark.parametrize("value", ["dence", "dense,dence", ["Dense"], "dense mistakes"])
def test_unknown_names(folder, tmp_path, name, value):
    with pytest.raises(ConfigError, match=r"Expected a stage named base, depth, .*mistakes.* Received: "):
        scope(folder, tmp_path, budget={name: value})


def test_all_cannot_be_skipped(folder, tmp_path):
    with pytest.raises(ConfigError, match="Received: 'all'"):
        scope(folder, tmp_path, budget={"skip": "all"})


@pytest.mark.parametrize("budget", [{"stages": "dense", "skip": "dense"}, {"skip": [*ALL, "mistakes"]}])
def test_nothing_to_run(folder, tmp_path, budget):
    with pytest.raises(ConfigError, match=r"Expected at least one stage of published to run\. Received: none"):
        Tuning(folder, tmp_path, budget=budget).check()


def test_stage_after_a_skipped_one(folder, tmp_path):
    """It starts from the stage that was run before."""
    found = scope(folder, tmp_path, budget={"skip": "depth,filters"})
    assert found.previous(built_in().stage("dropout")).name == "base"
    assert found.previous(built_in().stage("base")) is None
    assert scope(folder, tmp_path, budget={"stages": "loss"}).previous(built_in().stage("loss")) is None


def test_stage_after_a_colour_stage_without_colour_images(folder, tmp_path):
    for path in folder.glob("*.pkl"):
        shutil.copy(path, tmp_path)
    study = mine("[[stage]]\nname = 'colour-first'\ntrials = { colour = { colour = true } }\n" + MINE)
    found = scope(tmp_path, tmp_path, study=study)
    assert stages(found) == ["a", "b"]
    assert found.previous(study.stage("a")) is None
    with pytest.raises(ConfigError, match="stages about colour need colour images"):
        Tuning(tmp_path, tmp_path, study=study, budget={"stages": "colour-first"}).check()


def test_published_figures(cifar10, tmp_path):
    """They concern the built-in study on images with CIFAR-10's names and size, however many there are."""
    ours = scope(cifar10, tmp_path)
    assert ours.has_published
    assert len(ours.claims) == 10
    assert ours.title(built_in().stage("dense")) == "CNN-6: Dense units"
    assert ours.published_choice(built_in().stage("dense")) == "128"
    fits = stage_fits("dense")
    planned = ours.plan(built_in().stage("dense"), ours.start)
    assert [trial.published for trial in planned] == [fits[name] for name in ("32", "64", "128", "256", "512")]


def test_no_published_figures(folder, cifar10, colour, gray, tmp_path):
    """They do not concern other images, images of another size, and a user's study."""
    sample.write(tmp_path / "renamed", replace(colour, class_names=(*CIFAR10_NAMES[:9], "lorry")))
    small = Tuning(cifar10, tmp_path)
    cut = replace(
        gray, train_images=gray.train_images[:, 4:], test_images=gray.test_images[:, 4:], class_names=CIFAR10_NAMES
    )
    small.images.folder = replace(small.images.folder, gray=cut, colour=None)
    for found in (
        scope(folder, tmp_path),
        scope(tmp_path / "renamed", tmp_path),
        small.scope,
        scope(cifar10, tmp_path, study=mine()),
    ):
        stage = found.stages[0]
        assert not found.has_published
        assert found.title(stage) == stage.title
        assert found.published_choice(stage) == ""
        assert found.claims == ()
        assert found.mistake_trials() == {}
        assert not any(trial.published for trial in found.plan(stage, found.start))


def test_line_about_the_images(folder, cifar10, tmp_path):
    assert "built-in sample" in scope(folder, tmp_path).about_images
    assert scope(cifar10, tmp_path).about_images == ""
    study = mine("images = 'Photos of flowers'\n" + MINE)
    assert scope(folder, tmp_path, study=study).about_images == "Photos of flowers"


def test_other_study_under_the_published_protocol(folder, tmp_path):
    with pytest.raises(
        ConfigError, match=r"Expected all runs of the published study .* Received: the study mine\. Leave"
    ):
        Tuning(folder, tmp_path, protocol="published", study=mine())


def test_mistakes_of_another_study(folder, tmp_path):
    """It has none, so they cannot be asked for."""
    with pytest.raises(ConfigError, match=r"Expected a stage named a, b, learning-curve, all\. Received: 'mistakes'"):
        Tuning(folder, tmp_path, study=mine(), budget={"stages": "all,mistakes"})


def test_study_file(folder, tmp_path, monkeypatch):
    """A relative path starts in the project's folder, whatever the working directory is."""
    monkeypatch.setattr(surroundings, "project_path", lambda path: tmp_path / path)
    monkeypatch.chdir("/")
    (tmp_path / "mine.toml").write_text(MINE)
    assert Tuning(folder, tmp_path, study="mine.toml").study.name == "mine"
    assert stages(scope(folder, tmp_path, study=tmp_path / "mine.toml")) == ["a", "b"]
    with pytest.raises(StudyError, match=r"missing.toml: Expected a study file at '.*missing.toml'. Received: No such"):
        Tuning(folder, tmp_path, study="missing.toml")
    (tmp_path / "copy.toml").write_text(built_in().text)
    assert Tuning(folder, tmp_path, study="copy.toml").study is built_in()


def test_trust(folder, tmp_path):
    """The code of an own model is read, and not run, until it is trusted."""
    (tmp_path / "models.py").write_text("def build(input_shape, n_classes, units=3):\n    raise ValueError('it ran')\n")
    (tmp_path / "mine.toml").write_text(
        "model = 'models.py:build'\n[[stage]]\nname = 'a'\nvary = 'units'\nvalues = [1]"
    )
    with pytest.raises(
        ConfigError,
        match=r"Expected permission to run the code of the own model .* Received: none\. .*TRUST=1 \(--trust",
    ):
        Tuning(folder, tmp_path, study=tmp_path / "mine.toml")
    trusted = Tuning(folder, tmp_path, study=tmp_path / "mine.toml", trust=True)
    assert trusted.trust
    assert {trial.name for trial in trusted.scope.expected_trials()["a"]} == {"unchanged", "1"}
    lines = check_study(trusted.study, folder, "quick", {})
    assert lines == ["models.py was not run; --trust builds its model and checks it."]


def test_check_of_a_study(folder, tmp_path):
    """Images, budget and networks are checked together, for what is run."""
    deep = MINE + "[[stage]]\nname = 'deep'\nvary = 'filters'\nvalues = [[8, 8, 8, 8]]\n"
    with pytest.raises(
        StudyError, match=r"mine.toml: stage 'deep', trial '8-8-8-8': Expected images of at least 46 x 46"
    ):
        check_study(mine(deep), folder, "quick", {})
    assert check_study(mine(deep), folder, "quick", {"skip": "deep"}) == []
    text = MINE + "[[stage]]\nname = 'long'\nvary = 'epochs'\nvalues = [50]\n"
    [line] = check_study(mine(text), folder, "laptop", {"epochs": 9})
    assert (
        line
        == "stage 'long', trial '50': epochs = 50 has no effect, because the budget allows at most 9 epochs (EPOCHS)."
    )
    with pytest.raises(ConfigError, match="Expected SEEDS to be"):
        check_study(mine(), folder, "quick", {"seeds": 0})
    with pytest.raises(DataError):
        check_study(mine(), tmp_path / "missing", "quick", {})


def test_stage_of_expensive_trials_only(folder, tmp_path):
    """A smaller budget skips it, as it skips the trials, and says so."""
    text = "[[stage]]\nname = 'wide'\nincumbent = false\nvary = 'dense_units'\nvalues = [512]\nexpensive = ['512']\n"
    found = scope(folder, tmp_path, study=mine(text + MINE))
    assert stages(found) == ["a", "b"]
    assert found.previous(found.stages[0]) is None
    assert check_study(mine(text + MINE), folder, "quick", {}) == [
        "stage 'wide': its trials are expensive, so this budget skips it."
    ]
    with pytest.raises(ConfigError, match="Expected a trial of wide that this budget runs"):
        Tuning(folder, tmp_path, study=mine(text + MINE)).result("wide")
    assert stages(scope(folder, tmp_path, profile="full", study=mine(text + MINE))) == ["wide", "a", "b"]


def test_stage_that_may_need_another_model(folder):
    """It is named before anything is run: here the images are too small, unless the first stage changes the padding."""
    text = "[[stage]]\nname = 'same'\nvary = 'padding'\nvalues = ['same']\n"
    text += "[[stage]]\nname = 'deep'\nvary = 'filters'\nvalues = [[8, 8, 8, 8]]\n"
    [line] = check_study(mine(text), folder, "quick", {})
    assert line.startswith("stage 'deep': a trial does not suit the study's first model")
    assert "may suit one that an earlier stage selects. Expected images" in line


def test_start_on_colour_images(folder, tmp_path):
    """A study may be about colour images from its start; its final model is then that of its last stage."""
    text = (
        "start = { colour = true }\n"
        + MINE
        + ("[[claim]]\nsays = 'It helps.'\nbetter = ['final', 'selected']\nthan = ['a', 'incumbent']\n")
    )
    study = Tuning(folder, tmp_path, study=mine(text))
    made = fake_runs(study, lambda trial: 0.5)
    assert study.check() == []
    results = study.results()
    digest = study.images.dataset(colour=True).digest
    assert {run.data_digest for run in made} == {digest} != {study.images.dataset(colour=False).digest}
    assert not any(stage.on_colour for stage in study.stages)
    assert final_stage(results).stage.name == last_gray_stage(results).stage.name == "b"
    [claim] = check_claims(study, results)
    assert claim.claim.than == ("a", INCUMBENT)
    assert claim.status in ("inconclusive", "skipped")
    shutil.copytree(folder, tmp_path / "gray")
    for path in (tmp_path / "gray").glob("*.tar.gz"):
        path.unlink()
    with pytest.raises(DataError, match="Received: grayscale images only"):
        Tuning(tmp_path / "gray", tmp_path, study=mine(text)).check()


COLOUR = """
[[stage]]
name = "colour"
incumbent = false
trials = { plain = { colour = true }, flipped = { colour = true, augmentation = "flip-shift" } }
"""


def test_the_final_model_is_that_of_the_images_people_have(folder, tmp_path):
    """Its learning curve too. A claim about "final" still compares models of one kind of images."""
    claim = "[[claim]]\nsays = 'It helps.'\nbetter = ['final', 'selected']\nthan = ['a', 'incumbent']\n"
    study = Tuning(folder, tmp_path, study=mine(MINE + COLOUR + claim), budget={"seeds": 2})
    made = fake_runs(study, lambda trial: 0.5)
    results = study.results()
    assert (final_stage(results).stage.name, last_gray_stage(results).stage.name) == ("colour", "b")
    made.clear()
    curve = study.learning_curve()
    assert {run.data_digest for run in made} == {study.images.dataset(colour=True).digest}
    assert len(made) == study.planned_runs()["learning-curve"] == 4
    assert curve.points[-1].records == final_stage(results).selected_records
    [checked] = check_claims(study, results)
    assert checked.comparison is not None
    skipped = Tuning(folder, tmp_path, study=mine(MINE + COLOUR), budget={"seeds": 2, "skip": "colour"})
    fake_runs(skipped, lambda trial: 0.5)
    assert final_stage(skipped.results()).stage.name == "b"
    assert final_stage([]) is None


def test_the_final_model_takes_no_scrambled_images(folder, tmp_path):
    """The published study read its colour images like that, and the published protocol repeats it."""
    tuning = Tuning(folder, tmp_path, protocol="published", budget={"stages": "augmentation,colour"})
    fake_runs(tuning, lambda trial: 0.5)
    results = tuning.results()
    assert [result.stage.name for result in results] == ["augmentation", "colour"]
    assert final_stage(results).stage.name == "augmentation"
    assert final_stage(results[1:]) is None


def test_the_recipe_runs_to_its_end(folder, tmp_path, monkeypatch):
    """Its images are colour images from the first stage; its final model and learning curve too."""
    monkeypatch.setattr("sys.stderr", io.StringIO())
    tuning = Tuning(folder, tmp_path, study="recipe", budget={"seeds": 2})
    assert tuning.study is bundled("recipe")
    made = fake_runs(tuning, lambda trial: 0.5 + (trial.training.optimizer == "sgd") / 10)
    with progress.Bar(tuning.planned_runs()) as bar:
        done = run_study(tuning, bar)
    assert (done.failures, done.mistakes) == ({}, [])
    assert [result.stage.name for result in done.stages] == ["plain", "ingredients", "together"]
    assert {run.data_digest for run in made} == {tuning.images.dataset(colour=True).digest}
    assert [name for name, runs in tuning.planned_runs().items() if runs] == [*stages(tuning), "learning-curve"]
    assert {str(claim.status) for claim in check_claims(tuning, done.stages)} <= {
        "supported",
        "refuted",
        "inconclusive",
    }
    assert done.curve.points[-1].images == 2 * done.curve.points[1].images
    assert "This is a demo." in tuning.scope.about_images


def test_all_ingredients_together_against_the_plain_model_alone(folder, tmp_path):
    """As is done with all of CIFAR-10, where the other trials would take days."""
    found = scope(folder, tmp_path, study="recipe", budget={"stages": "plain,together"})
    plain, together = found.stages
    assert found.previous(together) == plain
    assert [trial.name for trial in found.plan(together, found.start)] == ["unchanged", "all together"]
    tuning = Tuning(folder, tmp_path, study="recipe", budget={"seeds": 2, "stages": "plain,together"})
    fake_runs(tuning, lambda trial: 0.5)
    statuses = [str(claim.status) for claim in check_claims(tuning, tuning.results())]
    assert statuses[0] != "skipped"
    assert statuses[1:] == ["skipped", "skipped"]


def test_a_study_of_colour_images_needs_them(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "gray")
    for path in (tmp_path / "gray").glob("*.tar.gz"):
        path.unlink()
    with pytest.raises(DataError, match=r"colour.* Received: grayscale images only\."):
        Tuning(tmp_path / "gray", tmp_path, study="recipe").check()
