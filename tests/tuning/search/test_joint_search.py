"""A joint search runs ordinary runs, loses nothing, repeats nothing, and wins only if it is better."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from cnnlab.errors import ConfigError, RunError
from cnnlab.evidence import compare
from cnnlab.study import parse
from cnnlab.study.search import FIRST_SEED
from cnnlab.tuning import Tuning, read_scores
from cnnlab.tuning.search import SearchResult, Status, ledger_table
from cnnlab.tuning.search.cost import Costs
from conftest import fake_runs

STUDY = """
start = { filters = [8, 16], padding = "same" }
[[stage]]
name = "dense"
vary = "dense_units"
values = [16, 32, 64, 128]
"""
SPACE = """
oracle = "random"
[search.space]
dropout = { from = 0.0, to = 0.5 }
dense_units = [16, 32, 64, 128]
"""


@pytest.fixture
def make(folder, tmp_path):
    """Makes a study with a search; its scores are those of a function, and its workers are this process."""

    def make(search="[search]" + SPACE, scores=lambda trial: 0.5, runs=tmp_path / "runs", **budget):
        settings = {"stages": "all,search", "seeds": 2, "epochs": 2, **budget}
        tuning = Tuning(folder, runs, study=parse(STUDY + search, Path("mine.toml")), budget=settings)
        made = fake_runs(tuning, scores)
        tuning.engine.call = lambda function, *arguments: function(*arguments)
        tuning.runs_made = made
        return tuning

    return make


def seeds_of(runs):
    return {run.seed for run in runs}


def test_a_search_costs_about_what_the_stages_before_cost(make):
    tuning = make()
    result = tuning.result("search")
    assert isinstance(result, SearchResult)
    assert result.unit == "TFLOP"
    assert result.path_runs == 8  # four trials, two seeds
    dearest = max(row.cost for row in result.ledger)
    assert result.path_cost <= result.cost < result.path_cost + dearest
    parts = [row.part for row in result.ledger if row.status == Status.RUN]
    first = sum(row.cost for row in result.ledger if row.part == "quasi-random")
    assert result.path_cost / 2 <= first < result.path_cost / 2 + dearest
    assert set(parts) == {"quasi-random", "random"}


def test_the_number_of_trials_may_be_given(make):
    tuning = make("[search]\ntrials = 5\nseeds = 3\n" + SPACE)
    result = tuning.result("search")
    assert result.count(Status.RUN) == 5
    assert [row.part for row in result.ledger[:5]] == [*["quasi-random"] * 3, *["random"] * 2]
    assert [len(row.records) for row in result.ledger[:5]] == [3] * 5
    names = [row.name for row in result.ledger]
    assert names == [f"trial {number}" for number in range(1, len(names) + 1)]


def test_the_winner_is_run_again_with_the_seeds_of_the_incumbent(make):
    tuning = make("[search]\ntrials = 4\n" + SPACE, lambda trial: 0.5 + sum(trial.architecture.dropout[:1]))
    tuning.result("dense")
    before = len(tuning.runs_made)
    result = tuning.result("search")
    compared = [run for run in tuning.runs_made[before:] if run.seed < FIRST_SEED and run.trial.architecture.dropout]
    searched = [run for run in tuning.runs_made if run.seed >= FIRST_SEED]
    assert seeds_of(searched) == {FIRST_SEED}
    assert len(searched) == 4
    assert seeds_of(compared) == {1, 2}
    assert {run.trial.architecture.dropout for run in compared} == {result.winner.trial.architecture.dropout}
    assert [trial.name for trial in result.trials] == ["unchanged", "winner"]
    assert result.winner.val_f1 == max(row.val_f1 for row in result.ledger if row.records)


@pytest.mark.parametrize(("gain", "selected"), [(0.5, "winner"), (0.0, "unchanged"), (-0.5, "unchanged")])
def test_the_winner_is_selected_only_if_it_is_better(make, gain, selected):
    """Although it has fewer parameters: each trial of the search has one block instead of two."""
    search = (
        '[search]\noracle = "random"\ntrials = 4\nfixed = { filters = [8] }\n[search.space]\ndense_units = [16, 32]\n'
    )
    tuning = make(search, lambda trial: 0.5 + gain * (len(trial.architecture.filters) == 1))
    result = tuning.result("search")
    assert result.decision.selected == selected
    assert result.decision.verdict == {0.5: "better", 0.0: "inconclusive", -0.5: "worse"}[gain]
    assert result.decision.rule == "the incumbent, unless the other trial is better"


@pytest.mark.parametrize(("splits", "n_compared"), [("resampled", 1), ("fixed", 4)])
def test_the_interval_of_a_winner_on_the_images_of_the_search_is_that_of_all_its_trials(make, splits, n_compared):
    """It is the best of them on these images, whatever the seeds."""
    tuning = make(
        "[search]\ntrials = 4\n" + SPACE, lambda trial: 0.5 + sum(trial.architecture.dropout[:1]) / 9, splits=splits
    )
    result = tuning.result("search")
    scores = {name: read_scores(tuning.store, records, "val") for name, records in result.records_by_trial.items()}
    assert result.decision.comparisons == compare(scores, n_compared * (splits == "fixed"))
    assert result.count(Status.RUN) == 4


def test_with_one_seed_nothing_is_better(make):
    tuning = make("[search]\ntrials = 4\n" + SPACE, lambda trial: 0.5 + sum(trial.architecture.dropout[:1]), seeds=1)
    assert tuning.result("search").decision.selected == "unchanged"


def test_equal_proposals_share_their_runs_and_end_a_small_search(make):
    tuning = make("[search]\ntrials = 50\n[search.space]\ndense_units = [16, 32]\nepochs = [5, 9]\n")
    result = tuning.result("search")  # the budget allows two epochs: two trials are left of four
    assert result.count(Status.RUN) == 2
    repeated = [row for row in result.ledger if row.status == Status.REPEATED]
    first = {row.number: row for row in result.ledger if row.status == Status.RUN}
    assert repeated
    for row in repeated:
        other = first[int(row.reason.removeprefix("equal to trial "))]
        assert (row.records, row.cost) == (other.records, 0.0)
    assert result.ledger[-1].status == Status.STOPPED
    assert "no new run" in result.ledger[-1].reason


def test_the_random_oracle_says_that_nothing_is_left(make):
    search = "[search]\noracle = 'random'\ntrials = 50\n[search.space]\ndense_units = [16, 32, 64]\n"
    result = make(search).result("search")
    assert result.count(Status.RUN) == 3
    assert result.ledger[-1].status == Status.STOPPED
    assert result.ledger[-1].reason == "the oracle found no trial that it had not proposed yet"


def test_settings_that_do_not_suit_each_other_are_a_row_of_the_ledger(make):
    space = "filters = [[8], [8, 8, 8, 8, 8, 8]]\ndropout = [0.0, 0.1, 0.2]\n"
    search = f"[search]\noracle = 'random'\ntrials = 6\n[search.space]\n{space}"
    result = make(search).result("search")
    failed = [row for row in result.ledger if row.status == Status.FAILED]
    assert failed
    for row in failed:
        assert row.reason.startswith("Expected images of at least 64 x 64 pixels")
        assert not row.records
        assert not row.cost
    assert result.count(Status.RUN) >= 3


def test_a_run_that_fails_does_not_stop_the_search(make):
    tuning = make("[search]\ntrials = 8\n" + SPACE)
    run_all = tuning.engine.run_all

    def run_some(work, *rest):
        kept = [item for item in work if item[0].trial.architecture.dense_units != 16 or item[0].seed < FIRST_SEED]
        records = run_all(kept, *rest)
        if len(kept) < len(work):
            lost = {item[0].digest: f"seed 1: {len(item[0].digest)} is broken" for item in work if item not in kept}
            raise RunError("Expected 1 runs to finish. Received: 1 failed. First, seed 1: it is broken", lost)
        return records

    tuning.engine.run_all = run_some
    result = tuning.result("search")
    failed = [row for row in result.ledger if row.status == Status.FAILED]
    assert failed
    assert all(row.settings["dense_units"] == 16 and row.reason == "seed 1: 64 is broken" for row in failed)
    assert result.count(Status.RUN) + len(failed) == 8
    again = make("[search]\ntrials = 8\n" + SPACE)  # on workers that are whole again
    assert ledger_table(again.result("search")).equals(ledger_table(result))
    tried = [run for run in again.runs_made if run.seed >= FIRST_SEED]
    assert all(run.trial.architecture.dense_units != 16 for run in tried), "a run that failed is not tried again"


def test_a_trial_of_which_one_seed_failed_keeps_its_other_runs_and_their_cost(make):
    tuning = make("[search]\ntrials = 4\nseeds = 2\n" + SPACE)
    run_all = tuning.engine.run_all

    def run_first_seed(work, *rest):
        kept = [item for item in work if item[0].seed != FIRST_SEED + 1]
        records = run_all(kept, *rest)
        if len(kept) < len(work):
            raise RunError("failed", {item[0].digest: "it is broken" for item in work if item not in kept})
        return records

    tuning.engine.run_all = run_first_seed
    result = tuning.result("search")
    failed = [row for row in result.ledger if row.trial]
    assert {(row.status, row.reason, len(row.records), row.val_f1) for row in failed} == {
        (Status.FAILED, "it is broken", 1, None)
    }
    assert all(row.cost > 0 for row in failed)
    assert result.winner is None


def test_a_search_whose_runs_all_fail_ends_and_the_incumbent_stays(make):
    tuning = make()
    run_all = tuning.engine.run_all

    def run_none(work, *rest):
        if any(run.seed >= FIRST_SEED for run, *_ in work):
            raise RunError("Expected 4 runs to finish. Received: 4 failed.")
        return run_all(work, *rest)

    tuning.engine.run_all = run_none
    result = tuning.result("search")
    assert result.winner is None
    assert [trial.name for trial in result.trials] == ["unchanged"]
    assert result.ledger[-1].status == Status.STOPPED


def test_a_search_that_was_interrupted_continues_with_nothing_repeated(make, tmp_path):
    whole = make(runs=tmp_path / "whole")
    expected = ledger_table(whole.result("search"))
    total = 0
    for number in (1, 3, 5, 1_000):
        tuning = make(runs=tmp_path / "parts")
        run_all = tuning.engine.run_all

        def run_few(work, store, on_run_end, on_epoch, left=[number], run_all=run_all):  # noqa: B006 - a counter
            records = {}
            for item in work:
                if record := store.get(item[0].digest):
                    records[record.digest] = record
                    continue
                if not left[0]:
                    raise KeyboardInterrupt
                left[0] -= 1
                records |= run_all([item], store, on_run_end, on_epoch)
            return records

        tuning.engine.run_all = run_few
        with suppress(KeyboardInterrupt):
            result = tuning.result("search")
        total += len(tuning.runs_made)
    assert total == len({run.digest for run in whole.runs_made})
    assert ledger_table(result).equals(expected)


def test_an_oracle_is_asked_once_although_its_answer_is_damaged_later(make, tmp_path):
    first = ledger_table(make().result("search"))
    stored = sorted((tmp_path / "runs" / "proposals").glob("*.json"))
    asked = []
    tuning = make()
    tuning.engine.call = lambda function, *arguments: asked.append(function) or function(*arguments)
    assert ledger_table(tuning.result("search")).equals(first)
    assert asked == []
    for path, content in zip(stored, [b"[[0.1", b"[[0.1]]", b"[3]", b'[[0.1, "x"]]'], strict=False):
        path.write_bytes(content)
    tuning = make()
    tuning.engine.call = lambda function, *arguments: asked.append(function) or function(*arguments)
    assert ledger_table(tuning.result("search")).equals(first)
    assert len(asked) == min(len(stored), 4)


def test_the_ledger_is_a_table_with_a_row_for_each_proposal(make):
    result = make("[search]\ntrials = 5\n" + SPACE).result("search")
    table = ledger_table(result)
    assert len(table) == len(result.ledger)
    assert table["number"].tolist() == list(range(1, len(table) + 1))
    assert table["is_winner"].sum() == 1
    assert {"setting_dropout", "setting_dense_units", "part", "status", "reason", "val_f1", "cost", "unit"} <= set(
        table
    )
    of_winner = table[table["is_winner"]].iloc[0]
    assert of_winner["val_f1"] == table["val_f1"].max()
    assert of_winner["runs"] == result.winner.records[0].digest


def test_a_search_is_run_if_it_is_asked_for(make):
    assert [stage.name for stage in make(stages=()).stages] == ["dense"]
    assert [stage.name for stage in make().stages] == ["dense", "search"]
    assert [stage.name for stage in make(stages="search").stages] == ["search"]


def test_smoke_searches_two_trials(folder, tmp_path):
    tuning = Tuning(folder, tmp_path, "smoke", study=parse(STUDY + "[search]" + SPACE, Path("mine.toml")))
    fake_runs(tuning, lambda trial: 0.5)
    tuning.engine.call = lambda function, *arguments: function(*arguments)
    assert tuning.result("search").count(Status.RUN) == 2


def test_a_search_alone_needs_a_number_of_trials(make):
    with pytest.raises(ConfigError, match=r"Expected stages before the search, .* Received: neither"):
        make(stages="search").check()
    make("[search]\ntrials = 3\n" + SPACE, stages="search").check()


def test_the_published_protocol_has_no_search(folder, tmp_path):
    with pytest.raises(ConfigError, match="Expected the corrected protocol for a search"):
        Tuning(folder, tmp_path, protocol="published", budget={"stages": "all,search"})
    with pytest.raises(ConfigError, match="Expected the corrected protocol for a search"):
        Tuning(folder, tmp_path, "smoke", protocol="published").result("search")


def test_a_missing_keras_tuner_is_one_line_before_anything_is_run(make, monkeypatch):
    monkeypatch.setattr("cnnlab.tuning.search.oracle.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"Expected the package keras-tuner for a joint search. Received: none"):
        make().check()


def test_a_search_of_an_own_model_counts_images(folder, tmp_path):
    (tmp_path / "net.py").write_text(
        "import keras\nfrom keras import layers\n"
        "def build(input_shape, n_classes, units=8):\n"
        "    return keras.Sequential([keras.Input(input_shape), layers.Flatten(), layers.Dense(units),\n"
        "        layers.Dense(n_classes, activation='softmax')])\n"
    )
    stage = '[[stage]]\nname = "units"\nvary = "units"\nvalues = [4]\n'
    text = f'model = "net.py:build"\n{stage}[search.space]\nunits = [4, 8, 16]\n'
    own = Tuning(
        folder, tmp_path / "runs", study=parse(text, tmp_path / "mine.toml"), trust=True,
        budget={"stages": "all,search", "seeds": 1, "epochs": 2},
    )  # fmt: skip
    costs = Costs(own.images, own.budget, own.scope.start)
    assert costs.unit == "million images"
    assert costs.trial(own.scope.start) == pytest.approx(2 * 160 / 1e6), "two epochs of 160 images"


def test_a_plan_counts_the_runs_of_a_search(make):
    tuning = make("[search]\ntrials = 5\nseeds = 2\n" + SPACE)
    # Those of the incumbent, which the stage before made too; the search; and its winner, with fresh seeds.
    assert tuning.planned_runs()["search"] == 2 + 5 * 2 + 2
    by_cost = make().planned_runs()["search"]
    result = make().result("search")
    assert by_cost - 4 == pytest.approx(result.count(Status.RUN), rel=0.3)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL on Windows")
def test_a_search_that_is_killed_continues_with_nothing_repeated(folder, tmp_path):
    """The whole command, with its workers, by SIGKILL; then the same command again."""
    (tmp_path / "mine.toml").write_text(STUDY + "[search]\ntrials = 8\n" + SPACE.replace("random", "bayesian"))
    runs = tmp_path / "runs"
    command = [
        sys.executable, "-m", "cnnlab", "run", "--study", tmp_path / "mine.toml", "--data", folder, "--runs", runs,
        "--stages", "dense,search", "--seeds", "1", "--epochs", "1", "--train", "60", "--val", "20", "--test", "20",
    ]  # fmt: skip

    def stored():
        return {path.name: path.stat().st_mtime_ns for path in runs.glob("*.run")}

    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 600
    while len(stored()) < 8 and process.poll() is None and time.monotonic() < end:  # 4 of the stage, 4 of the search
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = stored()
    assert 8 <= len(before) < 13
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    after = stored()
    assert before.items() <= after.items()
    assert len(after) <= 4 + 8 + 1  # the winner may be the incumbent
