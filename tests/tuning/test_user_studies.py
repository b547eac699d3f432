"""A study file may be changed in any way: trials and whole stages are added, renamed and removed."""

import io
import re
from pathlib import Path

import pytest

from cnnlab.errors import ConfigError, RunError, StudyError
from cnnlab.report import words
from cnnlab.study import (
    PROFILES,
    PROTOCOLS,
    mistake_model,
    new_text,
    parse,
    published_architecture,
    published_trial,
)
from cnnlab.tuning import Tuning, check_claims, progress, run_study, tables
from conftest import fake_runs

FULL, PUBLISHED = PROFILES["full"], PROTOCOLS["published"]
HEAD, *BLOCKS = re.split(r"^(?=\[\[)", new_text("published"), flags=re.MULTILINE)
OWN = '[[stage]]\nname = "kernel.2"\ntrials = { "96 | units" = { dense_units = 96 } }\n'


def text(changes, *, with_all_claims=False):
    """The published study's file with the blocks of some stages changed, without the claims about these stages."""
    blocks = []
    for block in BLOCKS:
        name = block.partition('name = "')[2].partition('"')[0] if block.startswith("[[stage]]") else ""
        is_gone = block.startswith("[[claim]]") and any(f'["{stage}"' in block for stage in changes)
        if not is_gone or with_all_claims:
            blocks.append(changes.get(name, block))
    return HEAD + "".join(blocks)


def block(name):
    return next(block for block in BLOCKS if f'\nname = "{name}"\n' in block)


CHANGES = {
    "another trial": {"dropout": '[[stage]]\nname = "dropout"\nvary = "dropout"\nvalues = [0.1, 0.2]\n'},
    "a renamed trial": {"depth": block("depth").replace("{ two =", '{ "2" =')},
    "a renamed stage": {"dense": block("dense").replace('"dense"', '"units"')},
    "a stage less": {"base": "", "dropout": "", "augmentation": ""},
    "a stage more": {"filters": block("filters") + OWN},
    "no trials": {"optimizer": '[[stage]]\nname = "optimizer"\n'},
    "another order": {"loss": "", "base": block("loss") + block("base")},
    "colour first": {"colour": "", "base": block("colour") + block("base")},
}


def study(changes):
    return parse(text(changes), Path("mine.toml"))


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


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_study_runs_to_its_end(cifar10, tmp_path, monkeypatch, change):
    """No published figure is in its results, not even on CIFAR-10; the published facts stay as they are."""
    before, made = published_facts(), study(CHANGES[change])
    monkeypatch.setattr("sys.stderr", io.StringIO())
    tuning = Tuning(cifar10, tmp_path, study=made, budget={"seeds": 2})
    fake_runs(tuning, lambda trial: 0.5)
    with progress.Bar(tuning.planned_runs()) as bar:
        done = run_study(tuning, bar)
    assert done.failures == {}
    assert [result.stage for result in done.stages] == [stage for stage in made.stages if not stage.search]
    assert done.mistakes == []
    claims = check_claims(tuning, done.stages)
    assert [result.claim for result in claims] == list(made.claims)
    assert {str(result.status) for result in claims} <= {"supported", "refuted", "inconclusive"}
    assert words.claim_table(claims).data.count("<tr>") == len(claims)
    assert words.terminal_summary(tuning, done.stages, claims)
    assert words.stages_table(tuning, done.stages).data.count("<tr>") == len(done.stages)
    assert tables.runs_table(tuning, done.stages)["published_f1"].isna().all()
    assert set(tables.decisions_table(tuning, done.stages)["published_choice"]) == {""}
    assert published_facts() == before


@pytest.mark.parametrize("change", ["another trial", "a renamed trial", "a renamed stage", "a stage less", "no trials"])
def test_claims_about_what_is_gone_are_found_before_anything_is_run(change):
    """All of them."""
    with pytest.raises(StudyError) as caught:
        parse(text(CHANGES[change], with_all_claims=True), Path("mine.toml"))
    gone = len(text(CHANGES[change], with_all_claims=True).split("[[claim]]")) - len(
        text(CHANGES[change]).split("[[claim]]")
    )
    assert len({problem.partition(":")[0] for problem in caught.value.problems}) == gone
    assert all(problem.startswith("claim ") for problem in caught.value.problems)


def test_a_stage_that_does_not_suit_the_selected_trial_is_one_missing_chapter(folder, tmp_path, monkeypatch):
    """Four blocks need five dropout rates."""
    monkeypatch.setattr("sys.stderr", io.StringIO())
    deep = '[[stage]]\nname = "filters"\nincumbent = false\n'
    deep += 'trials = { deep = { filters = [8, 8, 8, 8], padding = "same" } }\n'
    made = study({"filters": deep})
    tuning = Tuning(folder, tmp_path, profile="smoke", study=made)
    fake_runs(tuning, lambda trial: 0.5)
    with progress.Bar(tuning.planned_runs()) as bar:
        done = run_study(tuning, bar)
    assert list(done.failures) == ["dropout"]
    assert "Expected dropout to be empty or to have 5 rates" in str(done.failures["dropout"])
    assert isinstance(done.failures["dropout"], ConfigError)
    assert not isinstance(done.failures["dropout"], RunError)
    assert [result.stage.name for result in done.stages] == [
        stage.name for stage in made.stages if stage.name != "dropout"
    ]


def test_what_a_user_should_know_is_said_before_the_first_run(folder, tmp_path, monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr("sys.stderr", terminal)
    made = parse("[[stage]]\nname = 'a'\nvary = 'epochs'\nvalues = [2, 90]\n", Path("mine.toml"))
    tuning = Tuning(folder, tmp_path, study=made, budget={"epochs": 4})
    fake_runs(tuning, lambda trial: 0.5)
    with progress.Bar(tuning.planned_runs()) as bar:
        run_study(tuning, bar)
    first, *_ = terminal.getvalue().splitlines()
    assert first == (
        "study: stage 'a', trial '90': epochs = 90 has no effect, because the budget allows at most 4 epochs (EPOCHS)."
    )
