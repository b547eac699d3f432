"""Tables and texts: nothing from outside reaches a page as markup."""

import math

from cnnlab.report import tables


def test_a_table_escapes_what_it_shows_and_marks_what_is_missing():
    shown = tables.table([{"name": "<b>x</b>", "score": 0.123456, "none": math.nan}], {"score": ".2f"}).data
    assert "&lt;b&gt;x" in shown
    assert "<td>0.12</td>" in shown
    assert f"<td>{tables.NOTHING}</td>" in shown


def test_a_text_from_outside_is_shown_as_it_is():
    assert tables.text("<i>a_b*`|") == "&lt;i&gt;a&#95;b&#42;&#96;&#124;"


def test_a_spread_is_given_only_where_there_are_several_runs():
    assert tables.mean_sd([0.5]) == "0.500"
    assert tables.mean_sd([0.4, 0.6]) == "0.500 ± 0.141"
