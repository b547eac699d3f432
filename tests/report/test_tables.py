"""Tables and texts: nothing from outside reaches a page as markup."""

import math

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from nbconvert.filters import markdown2html

from cnnlab.report import tables


def test_a_table_is_escaped():
    shown = tables.table([{"<i>": "<b>x</b>", "score": 0.123456}], {"score": ".2f"}).data
    assert "&lt;b&gt;x" in shown
    assert "&lt;i&gt;" in shown
    assert "<td>0.12</td>" in shown


@pytest.mark.parametrize("missing", [None, math.nan, ""])
def test_a_missing_value_is_a_dash(missing):
    """Also in a column of which nothing else is known, and between texts and numbers."""
    for others in ([], [0.5], ["x"], [0.5, "x"]):
        shown = tables.table([{"name": value} for value in (missing, *others)]).data
        assert shown.count(f">{tables.NOTHING}</td>") == 1
        assert "None" not in shown


def test_texts_are_aligned_to_the_left_and_numbers_to_the_right():
    assert "text-align: right" in tables.table([{"trial": "a", "score": 0.5}]).data
    assert "right" not in tables.table([{"stage": "a", "question": "b?"}]).data


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0434, "+0.043"), (-0.000136, "-0.0001"), (0.0004, "+0.0004"), (0.0, "+0.000"), (-1.0, "-1.000")],
)
def test_an_end_of_an_interval_shows_on_which_side_of_zero_it_is(value, shown):
    assert tables.interval_end(value) == shown


def test_an_end_in_points_has_one_decimal_or_shows_its_side_too():
    assert [tables.interval_end(value, 1) for value in (5.34, 0.04, -0.04, 0.0)] == ["+5.3", "+0.04", "-0.04", "+0.0"]


def test_columns_may_share_a_name():
    """Columns named after classes do."""
    shown = tables.table(pd.DataFrame([[1, 0.5]], columns=["x", "x"]), {"x": ".1f"}).data
    assert "<td>1.0</td>" in shown
    assert "<td>0.5</td>" in shown


def test_long_tables_and_texts_are_shown_in_full():
    shown = tables.table([{"name": "x" * 200, "number": number} for number in range(200)]).data
    assert shown.count("x" * 200) == 200


def test_an_untrusted_text_is_shown_as_it_is():
    assert tables.text("<i>a_b*`|") == "&lt;i&gt;a&#95;b&#42;&#96;&#124;"
    for start in ("# a", "## a", "- a", "+ a", "1. a", "23) a", "---", "#"):
        shown = BeautifulSoup(markdown2html(tables.text(start)), "html.parser")
        assert [element.name for element in shown.find_all(True)] == ["p"], start
        assert shown.get_text().strip() == start
    assert tables.text("0.25, -0.5") == "0.25, -0.5"
    assert tables.text("$a$\n\n# b") == "&#36;a&#36; # b", "on one line, and no mathematics"


def test_a_blank_name_is_quoted():
    assert [tables.visible_name(name) for name in ("a", "", " ")] == ["a", "''", "' '"]


def test_a_standard_deviation_needs_several_runs():
    assert tables.mean_sd([0.5]) == "0.500"
    assert tables.mean_sd([0.4, 0.6]) == "0.500 ± 0.141"


def test_a_count_has_a_plural():
    assert [tables.count(number, "run") for number in (0, 1, 2, 1234)] == ["0 runs", "1 run", "2 runs", "1,234 runs"]


def test_a_cell_of_markup_is_shown_as_it_is_and_every_other_text_is_escaped():
    rows = [
        {"<b>": tables.trial_cell("<i>", "c3"), "verdict": tables.verdict_cell("better"), "note": "<u>"},
        {"<b>": tables.trial_cell("plain"), "verdict": tables.verdict_cell(""), "note": None},
    ]
    soup = BeautifulSoup(tables.table(rows).data, "html.parser")
    assert [str(cell.next_element).strip() for cell in soup.select("td")] == [
        '<span class="trial c3">&lt;i&gt;</span>',
        '<span class="verdict better">better</span>',
        "<u>",
        '<span class="trial">plain</span>',
        "-",
        "-",
    ]
    assert soup.th.get_text() == "<b>"
