"""Tables of predictions are right whatever the classes are called."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from cnnlab.report import words
from conftest import make_record, make_result


@pytest.fixture
def predicted(monkeypatch):
    """Makes a stage whose selected trial has one run with some predictions; returns what the functions take."""

    def make(names, true, guesses):
        result = make_result("base", base=(0.5,))
        data = {"digest": "d", "class_names": list(names), "shape": [12, 12, 1]}
        result.runs["base", 1] = make_record(result.selected.settings, data=data)
        monkeypatch.setattr(
            words.predictions, "read_predictions", lambda *_: (np.array(true), np.array([guesses]), len(names))
        )
        engine = SimpleNamespace(call=lambda function, *arguments: function(*arguments))
        return SimpleNamespace(store=None, engine=engine), result

    return make


def rows(table):
    return [re.findall("<td>(.*?)</td>", row) for row in re.findall("<tr>(.*?)</tr>", table.data, re.DOTALL)]


@pytest.mark.parametrize(
    "names",
    [
        ("accuracy", "speed"),
        ("macro avg", "weighted avg"),
        ("f1-score", "support"),
        ("same", "same"),
        ("0", "1"),
        ("micro avg", "precision"),
    ],
)
def test_each_class_has_its_own_scores_whatever_it_is_called(predicted, names):
    table, _summary, picture = words.classification_report(*predicted(names, [0, 0, 0, 1], [0, 0, 1, 1]))
    first, second, macro, weighted = rows(table)
    assert first == [names[0], "1.000", "0.667", "0.800", "3"]
    assert second == [names[1], "0.500", "1.000", "0.667", "1"]
    assert macro == ["macro average", "0.750", "0.833", "0.733", "4"]
    assert weighted == ["weighted average", "0.875", "0.750", "0.767", "4"]
    assert "4 predictions, 3 of them right" in picture.alt


def test_a_class_without_test_images_does_not_count_in_the_averages(predicted):
    table, _, _ = words.classification_report(*predicted(("a", "b", "c"), [0, 0, 1, 1], [0, 0, 1, 1]))
    assert rows(table)[2] == ["c", "0.000", "0.000", "0.000", "0"]
    assert rows(table)[3][1:4] == ["1.000"] * 3


def test_blank_names_can_be_seen_and_others_are_not_markup(predicted):
    table, _summary, _ = words.classification_report(*predicted(("", "<b>$x$|`y`"), [0, 1], [0, 1]))
    assert [row[0] for row in rows(table)][:2] == ["''", "&lt;b&gt;$x$|`y`"]
    assert "mathjax_ignore" in table.data


def test_the_most_confused_pairs_come_first(predicted):
    table = words.confused_pairs_table(*predicted(("a", "a", "c"), [0, 0, 0, 1], [1, 1, 2, 1]))
    assert rows(table) == [["a", "a", "2", "66.7%"], ["a", "c", "1", "33.3%"]]


def test_without_errors_there_are_no_confused_pairs(predicted):
    assert "No prediction is wrong" in words.confused_pairs_table(*predicted(("a", "b"), [0, 1], [0, 1])).data
