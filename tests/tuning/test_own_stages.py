"""A person may change the table of stages: add, rename and remove trials and whole stages."""

import io
import sys
from dataclasses import replace

import pytest
from test_tuning import fake_runs

from cnnlab.errors import ConfigError, RunError
from cnnlab.report import words
from cnnlab.report.words import published
from cnnlab.study import (
    CLAIMS,
    PROFILES,
    PROTOCOLS,
    STAGES,
    Stage,
    TrialSpec,
    mistake_model,
    published_architecture,
    published_trial,
)
from cnnlab.tuning import Tuning, check_claims, progress, run_study

FULL, PUBLISHED = PROFILES["full"], PROTOCOLS["published"]
OWN = Stage("kernel.2", 3, "Own", "What?", "Why.", ("dense_units",), (TrialSpec("96 | units", {"dense_units": 96}),))


def edit(edited, /, **changes):
    """The table of stages with one of them changed."""
    return tuple(replace(stage, **changes) if stage.name == edited else stage for stage in STAGES)


TABLES = {
    "another trial": edit("dropout", trials=(TrialSpec("0.1", {"dropout": 0.1}), TrialSpec("0.2", {"dropout": 0.2}))),
    "a renamed trial": edit("depth", trials=(TrialSpec("2", {"convs_per_block": 2, "padding": "same"}),)),
    "a renamed stage": edit("dense", name="units"),
    "a stage less": tuple(stage for stage in STAGES if stage.name not in ("augmentation", "dropout", "base")),
    "a stage more": (*STAGES[:3], OWN, *STAGES[3:]),
    "no trials": edit("optimizer", trials=()),
}


@pytest.fixture
def use(monkeypatch):
    """Puts a table in the place of the built-in one, everywhere."""

    def put(stages):
        published.replicates.cache_clear()
        for name, module in list(sys.modules.items()):
            if name.startswith("cnnlab") and getattr(module, "STAGES", None) is STAGES:
                monkeypatch.setattr(module, "STAGES", stages)

    yield put
    published.replicates.cache_clear()


def published_facts():
    return (
        words.published_noise_summary().data,
        words.published_choices_report()[0].data,
        words.published_choices_report()[1].data,
        words.replicates_table().data,
        mistake_model(FULL),
        published_trial("augmentation", FULL, PUBLISHED),
        [published_architecture(number) for number in range(1, 10)],
    )


@pytest.mark.parametrize("table", TABLES)
def test_facts_about_the_published_study_stay_as_they_are(use, table):
    before = published_facts()
    use(TABLES[table])
    assert published_facts() == before


@pytest.mark.parametrize("table", TABLES)
def test_a_study_of_changed_stages_runs_to_its_end(use, folder, tmp_path, monkeypatch, table):
    use(TABLES[table])
    terminal = io.StringIO()
    monkeypatch.setattr("sys.stderr", terminal)
    study = Tuning(folder, tmp_path)
    fake_runs(study, lambda trial: 0.5)
    with progress.Bar(study.planned_runs()) as bar:
        done = run_study(study, bar)
    assert done.failures == {}
    assert [result.stage for result in done.stages] == list(TABLES[table])
    skipped = {
        "another trial": ["dropout"],
        "a renamed trial": ["depth"],
        "a renamed stage": ["dense"],
        "a stage less": ["base", "dropout", "augmentation", "augmentation"],
        "no trials": ["optimizer"],
    }.get(table, [])
    claims = check_claims(study, done.stages)
    reasons = [result.reason for result in claims if result.status == "skipped"]
    assert len(claims) == len(CLAIMS)
    assert [reason for reason in reasons if any(name in reason for name in skipped)] == reasons
    assert len(reasons) == len(skipped)
    lines = [line for line in terminal.getvalue().splitlines() if not line.startswith("images:")]
    assert lines[: len(reasons)] == [
        f"Skipped claim: {result.claim.sentence} {result.reason}" for result in claims if result.reason
    ]
    shown = words.claim_table(claims).data
    assert shown.count("<td>skipped</td>") == len(reasons)
    assert words.findings(done.stages, study.profile)
    assert words.stages_table(done.stages).data.count("<tr>") == len(done.stages)


@pytest.mark.parametrize("table", TABLES)
def test_the_published_protocol_runs_the_published_fits_whatever_the_stages_are(use, folder, tmp_path, table):
    use(TABLES[table])
    study = Tuning(folder, tmp_path, protocol="published")
    own = {stage.name for stage in TABLES[table]} - {stage.name for stage in STAGES}
    assert {stage.name for stage in study.stages} == {stage.name for stage in TABLES[table]} - own
    fake_runs(study, lambda trial: 0.5)
    for stage in study.stages[:4]:
        assert all(trial.published for trial in study.result(stage.name).trials)
    for name in own:
        with pytest.raises(ConfigError, match="Expected a stage of the published study named"):
            study.result(name)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (edit("dense", trials=(TrialSpec("a", {"units": 3}),)), "Expected one of the settings"),
        (edit("dense", trials=(TrialSpec("a", {"dense_units": 0}),)), "Expected dense_units to be"),
        (edit("dense", trials=(TrialSpec("a", 3),)), "settings of the trial 'a' by their names"),
        (edit("dense", trials=(TrialSpec("a", {}), TrialSpec("a", {}))), "a name that no other trial of dense has"),
        (edit("dense", trials=(TrialSpec("unchanged", {}),)), "a name that no other trial of dense has"),
        (edit("dense", trials=(TrialSpec("", {}),)), "Expected a name of one line"),
        (edit("dense", trials=(TrialSpec(3, {}),)), "Expected a name of one line"),
        (edit("dense", trials=(TrialSpec("a", {"colour": True}),)), "Expected 'colour' in the axis of dense"),
        (edit("dense", name="loss"), "a name that no other stage or chapter has"),
        (edit("dense", name="mistakes"), "a name that no other stage or chapter has"),
        (edit("dense", name="a/b"), "Expected only letters, digits, hyphens, dots"),
        (edit("dense", name=""), "Expected only letters, digits, hyphens, dots"),
    ],
)
def test_an_error_in_the_table_is_found_before_anything_is_run(use, folder, tmp_path, stages, message):
    use(stages)
    with pytest.raises(ConfigError, match=message):
        Tuning(folder, tmp_path)


def test_a_stage_that_does_not_suit_the_selected_trial_is_one_missing_chapter(use, folder, tmp_path):
    """Four blocks need five dropout rates."""
    deep = edit("filters", trials=(TrialSpec("deep", {"filters": (8, 8, 8, 8)}),), keeps_incumbent=False)
    use(deep)
    study = Tuning(folder, tmp_path, profile="smoke")
    fake_runs(study, lambda trial: 0.5)
    with progress.Bar(study.planned_runs()) as bar:
        done = run_study(study, bar)
    assert list(done.failures) == ["dropout"]
    assert "Expected dropout to be empty or to have 5 rates" in str(done.failures["dropout"])
    assert isinstance(done.failures["dropout"], ConfigError)
    assert not isinstance(done.failures["dropout"], RunError)
    assert [result.stage.name for result in done.stages] == [stage.name for stage in deep if stage.name != "dropout"]
