"""Successive halving: what is dropped, when, and what it is told by."""

import pytest

from cnnlab.tuning import halving
from cnnlab.tuning.halving import Dropped


def asked(scores, log):
    def ask(names, epochs):
        log.append((tuple(names), epochs))
        return {name: scores[name] for name in names}

    return ask


def test_the_worse_half_is_dropped_at_each_rung_until_few_are_left():
    scores = dict(zip("abcdefgh", (0.1, 0.8, 0.3, 0.7, 0.2, 0.6, 0.4, 0.5), strict=True))
    log = []
    dropped = halving.halve(list(scores), "b", (3, None), asked(scores, log))
    assert log == [(tuple("abcdefgh"), 3), (tuple("bdfh"), None)]
    assert {one.name: one.epochs for one in dropped} == {"a": 3, "c": 3, "e": 3, "g": 3, "f": None, "h": None}
    assert Dropped("g", 3, 0.4, 0.8) in dropped


def test_the_incumbent_is_never_dropped():
    scores = {"kept": 0.0, "a": 0.1, "b": 0.2, "c": 0.3}
    dropped = halving.halve(list(scores), "kept", (1,), asked(scores, []))
    assert [one.name for one in dropped] == ["a"]


def test_few_trials_are_not_worth_it():
    log = []
    assert halving.halve(["a", "b", "c"], "a", (1, None), asked({}, log)) == ()
    assert log == []


def test_the_first_rung_is_a_third_of_a_usual_fit():
    assert halving.rungs([7, 7, 7]) == (3, None)
    assert halving.rungs([30, 60]) == (15, None)


@pytest.mark.parametrize(("epochs", "value"), [(1, 0.2), (2, 0.5), (3, 0.5), (None, 0.5)])
def test_what_a_fit_has_reached_is_what_its_best_epoch_so_far_scored(epochs, value):
    history = {"val_loss": [2.0, 1.0, float("nan"), 1.5], "val_accuracy": [0.2, 0.5, 0.9, 0.8]}
    assert halving.reached(history, epochs) == value
