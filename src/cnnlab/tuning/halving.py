"""Drop hopeless trials of a stage early: successive halving over epochs, on one seed.

Karnin, Koren and Somekh, Almost Optimal Exploration in Multi-Armed Bandits, ICML 2013; for fits cut short, Jamieson and
Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization, AISTATS 2016 (arXiv:1502.07943).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

MIN_TRIALS = 4
"""Fewest trials among which halving saves anything."""


FIRST_RUNG = 1 / 3
"""Share of a usual fit's epochs after which the first half is dropped; the second is judged by whole fits."""


@dataclass(frozen=True)
class Dropped:
    """A trial that was dropped.

    Attributes:
        name: Its name in the stage.
        epochs: Epochs after which it was dropped; None for a whole fit.
        val_accuracy: What it had reached by then, with the first seed.
        best: The highest of the trials it was held against.
    """

    name: str
    epochs: int | None
    val_accuracy: float
    best: float


def rungs(usual: Sequence[int]) -> tuple[int | None, ...]:
    """Return after how many epochs trials are dropped, given the epochs of usual fits; None is a whole fit."""
    return math.ceil(FIRST_RUNG * sum(usual) / len(usual)), None


def val_accuracy_at(history: Mapping[str, Sequence[float]], epochs: int | None) -> float:
    """Return the validation accuracy that a fit has reached after some epochs: that of its lowest `val_loss` so far."""
    losses = [math.inf if math.isnan(loss) else loss for loss in history["val_loss"][:epochs]]
    return history["val_accuracy"][losses.index(min(losses))]


def successive_halving(
    names: Sequence[str],
    incumbent: str,
    rungs: Sequence[int | None],
    evaluate: Callable[[Sequence[str], int | None], Mapping[str, float]],
) -> tuple[Dropped, ...]:
    """Return which trials are dropped: at each rung the worse half, but never the incumbent.

    Args:
        names: The trials.
        incumbent: What the stage before handed on, which stays.
        rungs: After how many epochs each time, as of `rungs`.
        evaluate: Given the trials that are left and a rung, returns what each has `reached`.
    """
    left, dropped = list(names), []
    for epochs in rungs:
        if len(left) < MIN_TRIALS:
            break
        scores = evaluate(left, epochs)
        ranked = sorted(left, key=lambda name: -scores[name])
        worse = [name for name in ranked[math.ceil(len(left) / 2) :] if name != incumbent]
        dropped += [Dropped(name, epochs, scores[name], scores[ranked[0]]) for name in worse]
        left = [name for name in left if name not in worse]
    return tuple(dropped)
