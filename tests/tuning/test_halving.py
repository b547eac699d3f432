"""Successive halving: which trials are dropped, when, and by which score."""

import pytest

from cnnlab.tuning.halving import Dropped, rungs, successive_halving, val_accuracy_at


def evaluator(scores, calls):
    def evaluate(names, epochs):
        calls.append((tuple(names), epochs))
        return {name: scores[name] for name in names}

    return evaluate


def test_worse_half_is_dropped():
    """The worse half is dropped at each rung until few trials remain."""
    scores = dict(zip("abcdefgh", (0.1, 0.8, 0.3, 0.7, 0.2, 0.6, 0.4, 0.5), strict=True))
    calls = []
    dropped = successive_halving(list(scores), "b", (3, None), evaluator(scores, calls))
    assert calls == [(tuple("abcdefgh"), 3), (tuple("bdfh"), None)]
    assert {one.name: one.epochs for one in dropped} == {"a": 3, "c": 3, "e": 3, "g": 3, "f": None, "h": None}
    assert Dropped("g", 3, 0.4, 0.8) in dropped


def test_incumbent_is_kept():
    scores = {"kept": 0.0, "a": 0.1, "b": 0.2, "c": 0.3}
    dropped = successive_halving(list(scores), "kept", (1,), evaluator(scores, []))
    assert [one.name for one in dropped] == ["a"]


def test_few_trials():
    """With few trials nothing is evaluated or dropped."""
    calls = []
    assert successive_halving(["a", "b", "c"], "a", (1, None), evaluator({}, calls)) == ()
    assert calls == []


def test_rungs():
    """The first rung is a third of the mean epochs of the incumbent's fits."""
    assert rungs([7, 7, 7]) == (3, None)
    assert rungs([30, 60]) == (15, None)


@pytest.mark.parametrize(("epochs", "value"), [(1, 0.2), (2, 0.5), (3, 0.5), (None, 0.5)])
def test_val_accuracy_at(epochs, value):
    """The score of a rung is that of the best epoch so far; an epoch with a NaN loss is never the best."""
    history = {"val_loss": [2.0, 1.0, float("nan"), 1.5], "val_accuracy": [0.2, 0.5, 0.9, 0.8]}
    assert val_accuracy_at(history, epochs) == value
