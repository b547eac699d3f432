"""Drop the worse trials of a stage early: successive halving over epochs, with one seed.

Karnin, Koren and Somekh, Almost Optimal Exploration in Multi-Armed Bandits, ICML 2013; with fits cut short, Jamieson
and Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization, AISTATS 2016 (arXiv:1502.07943).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

MIN_TRIALS = 4  # the smallest number of trials for which halving saves runs
FIRST_RUNG = 1 / 3  # share of the epochs of the incumbent's fits; the second rung is a whole fit


@dataclass(frozen=True)
class Dropped:
    """A trial that was dropped.

    Attributes:
        name: Its name in the stage.
        epochs: Epochs after which it was dropped; None for a whole fit.
        val_accuracy: Its validation accuracy by then, with the first seed.
        best: The highest validation accuracy among the trials of that rung.
    """

    name: str
    epochs: int | None
    val_accuracy: float
    best: float


def rungs(epochs: Sequence[int]) -> tuple[int | None, ...]:
    """Return after how many epochs trials are dropped, given those of the incumbent's fits; None is a whole fit."""
    return math.ceil(FIRST_RUNG * sum(epochs) / len(epochs)), None


def val_accuracy_at(history: Mapping[str, Sequence[float]], epochs: int | None) -> float:
    """Return the validation accuracy at the epoch with the lowest `val_loss` so far; None is the whole fit."""
    losses = [math.inf if math.isnan(loss) else loss for loss in history["val_loss"][:epochs]]
    return history["val_accuracy"][losses.index(min(losses))]


def successive_halving(
    names: Sequence[str],
    incumbent: str,
    rungs: Sequence[int | None],
    evaluate: Callable[[Sequence[str], int | None], Mapping[str, float]],
) -> tuple[Dropped, ...]:
    """Return the trials that are dropped: the worse half at each rung, but never the incumbent.

    Args:
        names: The trials.
        incumbent: The trial that the previous stage selected.
        rungs: Epochs of each rung, as from `rungs`.
        evaluate: Given the remaining trials and a rung, returns `val_accuracy_at` this rung for each.
    """
    remaining, dropped = list(names), []
    for epochs in rungs:
        if len(remaining) < MIN_TRIALS:
            break
        scores = evaluate(remaining, epochs)
        ranked = sorted(remaining, key=lambda name: -scores[name])
        worse = [name for name in ranked[math.ceil(len(remaining) / 2) :] if name != incumbent]
        dropped += [Dropped(name, epochs, scores[name], scores[ranked[0]]) for name in worse]
        remaining = [name for name in remaining if name not in worse]
    return tuple(dropped)
