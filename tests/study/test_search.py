"""The joint search in a study file: which settings it varies, and how."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnlab.errors import StudyError
from cnnlab.study import PROFILES, SEARCH, STAGES, Dimension, OracleKind, Trial, built_in, parse, require_size
from cnnlab.study.search import FIRST_SEED

STAGE = "[[stage]]\nname = 'dense'\nvary = 'dense_units'\nvalues = [32]\n"
COLOUR = "[[stage]]\nname = 'rgb'\ntrials = { rgb = { colour = true } }\n"
SPACE = "[search.space]\ndense_units = [16, 32]\n"


def read(text):
    return parse(STAGE + text, Path("mine.toml"))


def search(text):
    return read(text).stage(SEARCH).search


def problem(text):
    with pytest.raises(StudyError) as caught:
        read(text)
    [only] = caught.value.problems
    return only


def test_a_search_has_the_settings_of_its_table():
    made = search(
        "[search]\noracle = 'random'\ntrials = 7\nseeds = 2\nparallel = 3\nfixed = { padding = 'same' }\n"
        "[search.space]\nfilters = [[8, 16], [16, 32]]\nbatch_norm = [false, true]\npatience = [3, 'none']\n"
        "dropout = { from = 0.0, to = 0.3, step = 0.1 }\ndense_units = { from = 8, to = 64, log = true }\n"
        "epochs = { from = 2, to = 5 }\nlearning_rate = { from = 1e-4, to = 0.1, log = true }\n"
        "weight_decay = { from = 0.0, to = 0.1 }\n"
    )
    assert (made.oracle, made.trials, made.parallel, made.fixed) == (OracleKind.RANDOM, 7, 3, {"padding": "same"})
    assert made.seed_numbers == (FIRST_SEED, FIRST_SEED + 1)
    space = {dimension.setting: dimension for dimension in made.space}
    assert space["filters"].values == ([8, 16], [16, 32])
    assert space["patience"].values == (3, None)
    assert space["dropout"].values == (0.0, 0.1, 0.2, 0.3)
    assert space["epochs"].values == (2, 3, 4, 5)
    assert [space["dense_units"].value(position) for position in (0, 0.5, 1)] == [8, 23, 64]
    assert [space["learning_rate"].value(position) for position in (0, 0.5, 1)] == [0.0001, 0.00316, 0.1]
    assert [space["weight_decay"].value(position) for position in (0, 0.5, 1)] == [0.0, 0.05, 0.1]
    assert made.settings([0.6, 0, 0.9, 0.99, 0, 0, 0, 1]) == {
        "filters": [16, 32], "batch_norm": False, "patience": None, "dropout": 0.3, "dense_units": 8, "epochs": 2,
        "learning_rate": 0.0001, "weight_decay": 0.1,
    }  # fmt: skip


def test_defaults():
    made = search(SPACE)
    assert (made.oracle, made.trials, made.seeds, made.parallel, made.fixed) == (OracleKind.BAYESIAN, None, 1, 4, {})


@given(st.floats(0, 1), st.booleans(), st.booleans())
def test_a_position_of_a_value_gives_that_value(position, log, is_whole):
    for dimension in (
        Dimension("x", (1, 2, 3)),
        Dimension("x", low=2, high=90, log=log, is_whole=is_whole),
        Dimension("x", low=0.0001, high=0.1, log=log),
    ):
        value = dimension.value(position)
        assert dimension.value(dimension.position(value)) == value


def test_numbers_and_booleans_are_different_values_of_an_own_model():
    dimension = Dimension("x", (1, True))
    assert [dimension.position(value) for value in dimension.values] == [0.25, 0.75]


def test_all_mistakes_of_a_search_are_named():
    with pytest.raises(StudyError) as caught:
        read(
            "[search]\ntrails = 4\nseads = 2\ntrials = 0\noracle = 1\n[search.space]\ndropout = [2]\nfiltres = [[8]]\n"
        )
    assert len(caught.value.problems) == 6


def test_values_of_a_list_are_equally_likely():
    dimension = Dimension("x", ("a", "b", "c", "d"))
    values = [dimension.value(number / 100) for number in range(100)]
    assert [values.count(value) for value in "abcd"] == [25] * 4
    assert dimension.value(1.0) == "d"


def test_the_search_follows_all_stages_but_those_about_colour():
    assert [stage.name for stage in read(SPACE).stages] == ["dense", SEARCH]
    assert [stage.name for stage in read(COLOUR + SPACE).stages] == ["dense", SEARCH, "rgb"]
    assert [stage.name for stage in built_in().stages] == [*(stage.name for stage in STAGES[:-1]), SEARCH, "colour"]


def test_every_value_of_the_published_space_suits_the_others():
    made = built_in().stage(SEARCH).search
    middle = made.settings([0.5] * len(made.space))
    for dimension in made.space:
        for number in range(20):
            trial = Trial().change(**{**made.fixed, **middle, dimension.setting: dimension.value(number / 19)})
            require_size(trial.architecture, (32, 32, 1))


def test_only_smoke_searches_without_being_asked():
    assert {name: profile.search for name, profile in PROFILES.items() if profile.search} == {"smoke": 2}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("search = 3\n", "search: Expected the search under a line [search]. Received: 3."),
        ("[search]\n", "Expected settings and their values under a line [search.space]"),
        ("[search]\nspace = [1]\n", "Expected settings and their values under a line [search.space]"),
        ("[search]\noracel = 'random'\n" + SPACE, "Received: 'oracel'. Did you mean 'oracle'?"),
        ("[search]\noracle = 'grid'\n" + SPACE, "Expected oracle to be one of random, bayesian. Received: 'grid'."),
        ("[search]\ntrials = 0\n" + SPACE, "Expected trials to be a whole number of at least 1. Received: 0."),
        ("[search]\nseeds = 101\n" + SPACE, "Expected seeds to be at most 100. Received: 101."),
        ("[search]\ntrials = 1001\n" + SPACE, "Expected trials to be at most 1,000. Received: 1001."),
        ("[search.space]\ncolour = [true, false]\n", "settings of the model and its training. Received: 'colour'."),
        ("[search]\nfixed = { layout = 'published' }\n" + SPACE, "Received: 'layout'. Write a stage about colour"),
        ("[search.space]\npatience = [1, 1.0]\n", "Expected"),
        ("[search.space]\nweight_decay = [0, 0.0]\n", "Expected each value of weight_decay once."),
        ("[search]\nparallel = 'x'\n" + SPACE, "Expected parallel to be a whole number of at least 1. Received: 'x'."),
        ("[search]\nfixed = { pading = 'same' }\n" + SPACE, "Received: 'pading'. Did you mean 'padding'?"),
        ("[search]\nfixed = { dense_units = 8 }\n" + SPACE, "in fixed or in space. Received: 'dense_units' in both."),
        ("[search.space]\ndens_units = [1]\n", "Received: 'dens_units'. Did you mean 'dense_units'?"),
        ("[search.space]\ndense_units = []\n", "Expected dense_units to be a list of values, or { from = LOW"),
        ("[search.space]\ndense_units = 8\n", "Expected dense_units to be a list of values, or { from = LOW"),
        ("[search.space]\ndense_units = [8, 0]\n", "Expected dense_units to be a whole number"),
        ("[search.space]\ndense_units = [8, 8]\n", "Expected each value of dense_units once. Received: [8, 8]."),
        ("[search.space]\npatience = ['none', 'none']\n", "Expected each value of patience once."),
        ("[search.space]\ndropout = { from = 0.1 }\n", "Expected dropout from a number to a larger one."),
        ("[search.space]\ndropout = { from = 0.5, to = 0.1 }\n", "Expected dropout from a number to a larger one."),
        ("[search.space]\ndropout = { from = 0.1, to = inf }\n", "Expected dropout from a number to a larger one."),
        ("[search.space]\ndropout = { from = 0.1, to = nan }\n", "Expected dropout from a number to a larger one."),
        ("[search.space]\ndropout = { from = true, to = 3 }\n", "Expected dropout from a number to a larger one."),
        ("[search.space]\ndropout = { from = 0.1, to = 1.5 }\n", "Expected dropout to be a number of at least 0"),
        ("[search.space]\ndropout = { from = 0.1, too = 0.5 }\n", "Received: 'too'. Did you mean 'to'?"),
        ("[search.space]\ndropout = { from = 0, to = 0.5, log = true }\n", "above 0 on a log scale. Received: 0."),
        (
            "[search.space]\ndropout = { from = 0.1, to = 0.5, log = 3 }\n",
            "Expected log of dropout to be true or false.",
        ),
        ("[search.space]\ndropout = { from = 0.1, to = 0.5, step = 0 }\n", "Expected step of dropout to be above 0"),
        ("[search.space]\ndropout = { from = 0.1, to = 0.5, step = 1 }\n", "and at most 0.4. Received: 1."),
        *(
            (
                f"[search.space]\ndropout = {{ from = 0.1, to = 0.5, step = {step} }}\n",
                "at most 1,000 values of dropout.",
            )
            for step in ("1e-9", "1e-310")
        ),
        (
            "[search.space]\ndense_units = { from = 32, to = 5000 }\n",
            "Received: 4,969. Give a larger step, or",
        ),
        (
            "[search.space]\nlearning_rate = { from = 0.1, to = 0.5, step = 0.1, log = true }\n",
            "Expected step of learning_rate to be missing on a log scale.",
        ),
    ],
)
def test_each_mistake_in_a_search_is_one_line(text, words):
    if text.startswith("search ="):
        with pytest.raises(StudyError) as caught:
            parse(text + STAGE, Path("mine.toml"))
        [line] = caught.value.problems
    else:
        line = problem(text)
    assert words in line
    assert line.startswith("search: ")
    assert len(line.splitlines()) == 1
