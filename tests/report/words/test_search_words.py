"""Tables and sentences about a joint search say what its ledger and its runs say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from cnnlab.report import words
from cnnlab.study import Dimension, OracleKind, OwnModel, Search, Trial, built_in, parse
from cnnlab.tuning import Tuning
from cnnlab.tuning.search import Status
from conftest import make_result, make_search

NEW, OLD = (0.90, 0.91), (0.50, 0.51)


@pytest.fixture
def tuning(folder, tmp_path):
    return Tuning(folder, tmp_path)


def read(shown):
    lines = BeautifulSoup(shown.data, "html.parser").select("tr")
    rows = [[cell.get_text() for cell in line.select("th, td")] for line in lines]
    return pd.DataFrame(rows[1:], columns=rows[0])


@pytest.mark.parametrize(
    ("incumbent", "winner", "title", "answer"),
    [
        (
            OLD,
            NEW,
            "“winner” selected, 40.0 points better",
            "The winner of the search is **better** than the incumbent, so it is the model to use: mean `val_f1` "
            "0.905, difference +0.400 (95 % interval ",
        ),
        (
            NEW,
            OLD,
            "unchanged; “winner” is 40 points worse",
            "The winner of the search is **worse** than the incumbent, so the incumbent stays: mean `val_f1` 0.905, "
            "difference -0.400 (95 % interval ",
        ),
        (
            (0.5, 0.6),
            (0.55, 0.65),
            "unchanged; “winner” not shown to be better",
            "The winner of the search is not shown to be better, so the incumbent stays: mean `val_f1` 0.550. The "
            "comparison is **inconclusive**: difference +0.050 (95 % interval ",
        ),
        (
            (0.5,),
            (0.9,),
            "unchanged; winner +40.0 points (one run each)",
            "The winner of the search is not shown to be better, so the incumbent stays: mean `val_f1` 0.500. The "
            "comparison is **inconclusive**: difference +0.400; one run per trial says nothing about noise.",
        ),
        (
            OLD,
            (),
            "no proposal was run",
            "No proposal of the search was run, so the incumbent stays: mean `val_f1` 0.5",
        ),
    ],
)
def test_the_answer_is_whether_the_winner_is_better(tuning, incumbent, winner, title, answer):
    result = make_search(incumbent, winner)
    heading, *_, shown = words.stage_intro(tuning, result).data.split("\n\n")
    assert heading == f"# Joint search: {title}"
    assert shown.startswith(answer)


def test_a_winner_with_the_runs_of_the_incumbent_is_not_compared(tuning):
    same = make_search(OLD)
    both = make_search(OLD, OLD)
    runs = both.runs | {("winner", seed): both.runs["unchanged", seed] for seed in (1, 2)}
    result = make_search(OLD, OLD, runs=runs, decision=same.decision)
    heading, *_, shown = words.stage_intro(tuning, result).data.split("\n\n")
    assert heading == "# Joint search: its winner is the incumbent"
    assert shown.startswith("The winner of the search has the same runs as the incumbent, which stays: mean")
    assert "“winner” is the same as the incumbent" in words.decision_details(result).data


def test_the_decision_of_a_search_is_not_that_of_the_one_standard_error_rule():
    details = words.decision_details(make_search(OLD, NEW)).data
    assert details.startswith("- The incumbent stays unless the winner of the search is better")
    assert "within one standard error" not in details


def test_the_summary_counts_every_proposal_and_the_costs():
    ledger = (
        0.3, 0.5, (Status.REPEATED, "equal to trial 1"), (Status.FAILED, "no memory"), 0.4,
        (Status.PLANNED, "the budget was used up"), (Status.STOPPED, "3 rounds of the oracle had no new run"),
    )  # fmt: skip
    result = make_search(OLD, NEW, ledger)
    assert words.search_summary(result).data == (
        "6 proposals, 3 quasi-random and 3 of the Bayesian oracle: 3 run, 1 repeated, 1 failed, 1 planned; 3 runs that "
        "cost 0.75 TFLOP of training, 75 % of what the 8 runs of the stages before have cost (1 TFLOP). The search "
        "stopped early: 3 rounds of the oracle had no new run. The **ledger** (below, and in `search.csv`) lists "
        "every proposal and what became of it."
    )
    alone = words.search_summary(make_search(OLD, NEW, path_cost=0.0, path_runs=0)).data
    assert "2 runs that cost 0.5 TFLOP of training. The **ledger**" in alone


@pytest.mark.parametrize(
    ("winner", "words_of_it"),
    [
        ((0.4, 0.5), "had a `val_f1` of 0.500 in the search (1 run). Its mean with fresh seeds is 0.450 (2 runs); the "
         "score in the search was 0.050 above it."),
        ((0.5, 0.6), "is 0.550 (2 runs); the score in the search was 0.050 below it."),
        ((0.5, 0.5), "is 0.500 (2 runs); the score in the search was equal to it."),
    ],
)  # fmt: skip
def test_the_best_score_is_compared_with_the_mean_of_fresh_seeds(tuning, winner, words_of_it):
    shown = words.search_optimism(tuning, make_search(OLD, winner)).data
    assert shown.startswith("The best of 2 scores is partly luck, so it is often **optimistic**")
    assert "The winner, trial 2, " in shown
    assert words_of_it in shown


def test_without_a_winner_there_is_nothing_to_say_about_luck_and_settings(tuning):
    result = make_search(OLD, (), [(Status.FAILED, "no memory")])
    assert words.search_optimism(tuning, result).data == ""
    assert words.search_settings(result).data == "There is no winner: no proposal was run."
    assert "1 proposal, 0 quasi-random and 1 of the Bayesian oracle: 0 run" in words.search_summary(result).data


def test_the_winner_is_shown_by_the_settings_that_it_changes():
    shown = words.search_settings(make_search(OLD, NEW)).data
    assert shown == "What the winner changes (in brackets: the incumbent): dense&#95;units 11 (10)."


def test_a_parameter_of_an_own_model_that_the_incumbent_leaves_to_the_function_is_shown():
    result = make_search(OLD, NEW)
    model = OwnModel("build", "0" * 64, {}, parameters=("widths",))
    trials = [
        replace(trial, settings=Trial(model.change(**given)))
        for trial, given in zip(result.trials, ({}, {"widths": [16, 32]}), strict=True)
    ]
    shown = words.search_settings(replace(result, trials=tuple(trials))).data
    assert shown.endswith("(in brackets: the incumbent): widths 16-32 (not set).")


def test_a_setting_with_the_name_of_a_column_of_the_ledger_has_one_of_its_own():
    search = Search(OracleKind.RANDOM, (Dimension("epochs", (10, 20)),))
    result = make_search(OLD, NEW, (0.3, 0.5), search=search)
    ledger = tuple(replace(row, settings={"epochs": 12}) for row in result.ledger)
    table = read(words.search_ledger(replace(result, ledger=ledger)))
    assert (list(table["epochs"]), list(table["setting epochs"])) == (["2.0"] * 2, ["12"] * 2)


def test_a_setting_without_effect_is_not_a_change():
    result = make_search(OLD, NEW)
    [incumbent, winner] = result.trials
    same = replace(winner, settings=incumbent.settings.change(dropout=0.0))
    shown = words.search_settings(replace(result, trials=(incumbent, same))).data
    assert shown == "The winner has the settings of the incumbent."


def test_a_cost_of_several_times_that_of_the_stages_before_is_given_as_such():
    assert "0.5 TFLOP of training, 5 times what" in words.search_summary(make_search(OLD, NEW, path_cost=0.1)).data


def test_the_ledger_has_a_row_for_each_proposal_with_the_reason_why_it_was_not_run():
    result = make_search(OLD, NEW, (0.3, 0.5, (Status.FAILED, "<b>no memory</b>"), (Status.STOPPED, "nothing new")))
    table = read(words.search_ledger(result))
    assert list(table["trial"]) == ["1", "2 winner", "3", "4"]
    assert list(table["part"]) == ["quasi-random", "quasi-random", "bayesian", "bayesian"]
    assert list(table["status"]) == ["run", "run", "failed <b>no memory</b>", "stopped nothing new"]
    assert list(table["val_f1"]) == ["0.300", "0.500", "-", "-"]
    assert list(table["TFLOP"]) == ["0.25", "0.25", "-", "-"]
    assert list(table["dense_units"]) == ["16", "16", "16", "-"]


def test_the_tables_of_all_runs_and_settings_have_the_proposals_that_were_run():
    results = [make_result("dense", old=OLD, new=NEW), make_search(OLD, NEW, (0.3, (Status.FAILED, "no memory"), 0.5))]
    runs, settings = read(words.runs_table(results)), read(words.settings_table(results))
    names = list(dict.fromkeys(runs["trial"][runs["stage"] == "search"]))
    assert names[-2:] == ["trial 1", "trial 3"]
    assert list(settings["trial"][settings["stage"] == "search"]) == ["unchanged", "winner", "trial 1", "trial 3"]
    assert list(runs["seed"])[-1] == "100001"
    assert runs["settings that differ from the first model"].iloc[-1] == "dense_units 3"


def test_a_study_says_what_its_search_varies():
    search = "[search]\n[search.space]\ndropout = [0.0, 0.5]\nbatch_size = [16, 32]\n"
    study = parse(
        'title = "Mine"\n[[stage]]\nname = "dense"\nvary = "dense_units"\nvalues = [32]\n' + search, Path("mine.toml")
    )
    table = read(words.study_table(study)).set_index("stage")
    assert table.loc["search", "trials"] == "a search over dropout, batch_size"
    assert table.loc["dense", "trials"] == "32"


def test_a_stage_without_a_published_choice_has_a_dash_for_it(tuning):
    published = make_result("dense", old=OLD, new=NEW)
    assert published.decision.published_choice, built_in().title
    table = read(words.stages_table(tuning, [published, make_search(OLD, NEW)]))
    assert table["published"].iloc[1] == "-"
    assert np.array_equal(table["selected"], ["new", "winner"])
