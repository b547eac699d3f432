"""The picture of a joint search has a mark for each score, and says in words what it shows."""

import re

import pytest
from bs4 import BeautifulSoup

from cnnlab.report import plots
from cnnlab.tuning.search import Status
from conftest import make_search

OLD, NEW = (0.50, 0.51), (0.90, 0.91)


def labels(picture, kind="wide"):
    [svg] = BeautifulSoup(picture.html, "html.parser").select(f"svg.{kind}")
    return [mark["aria-label"] for mark in svg.select("g.mark")]


@pytest.mark.parametrize("kind", ["wide", "narrow"])
def test_each_score_has_a_mark_with_its_part_and_settings(kind):
    picture = plots.search(make_search(OLD, NEW, (0.3, 0.5, (Status.FAILED, "no memory"), 0.4)))
    assert sorted(labels(picture, kind)) == [
        "incumbent: mean val_f1 0.505 of its 2 runs",
        "trial 1 (quasi-random): val_f1 0.300; dense_units 16; dropout 0.25",
        "trial 2 (quasi-random, the winner): val_f1 0.500; dense_units 16; dropout 0.25",
        "trial 4 (bayesian): val_f1 0.400; dense_units 16; dropout 0.25",
    ]
    assert picture.alt == (
        "val_f1 of the proposals of the search: 2 of the part quasi-random, 0.300 to 0.500; 1 of the part bayesian, "
        "0.400 to 0.400. The best one is trial 2 with 0.500. Mean of the incumbent's runs: 0.505."
    )


def test_the_numbers_have_the_best_score_so_far():
    picture = plots.search(make_search(OLD, NEW, (0.3, 0.5, 0.4)))
    rows = BeautifulSoup(picture.numbers, "html.parser").select("tbody tr")
    assert [row.select("td")[-1].get_text() for row in rows] == ["0.3000", "0.5000", "0.5000"]


def test_a_search_without_a_score_has_a_picture_that_says_so():
    picture = plots.search(make_search(OLD, (), [(Status.FAILED, "no memory")]))
    assert "none was run" in picture.alt
    assert len(labels(picture)) == 1


def test_the_picture_of_a_hundred_proposals_is_small():
    picture = plots.search(make_search(OLD, NEW, [0.3 + number / 1_000 for number in range(100)]))
    assert len(picture.html) < 100_000
    assert len(set(re.findall(r"trial \d+", picture.html))) == 100
