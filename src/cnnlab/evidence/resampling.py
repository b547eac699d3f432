"""Scores on resampled images."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
"""Resamples of the images."""


_RESAMPLING_SEED = 1979


@cache
def image_weights(n_images: int) -> NDArray[np.float32]:
    """Return how often each image stands in each resample: (DRAWS, n_images) float32 counts, the same every time."""
    rng = np.random.default_rng(_RESAMPLING_SEED)
    return rng.multinomial(n_images, np.full(n_images, 1 / n_images), DRAWS).astype(np.float32)


def resampled_f1(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int, weights: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return the macro-F1 of runs on weighted images.

    Args:
        labels: (n_images,) true classes.
        predicted: (n_runs, n_images) predicted classes.
        n_classes: Number of classes; one that is neither true nor predicted scores 0, as in `training.scores`.
        weights: (n_draws, n_images) how often each image counts.

    Returns:
        (n_runs, n_draws).
    """
    classes = np.arange(n_classes)
    true = (labels[:, None] == classes).astype(np.float32)
    n_true = weights @ true
    scores = np.empty((len(predicted), len(weights)))
    for place, guesses in enumerate(predicted):
        guessed = (guesses[:, None] == classes).astype(np.float32)
        total = n_true + weights @ guessed
        scores[place] = (2 * (weights @ (true * guessed)) / np.maximum(total, 1e-9)).mean(axis=1)
    return scores


@dataclass(frozen=True)
class Scores:
    """One trial's macro-F1, run by run.

    Attributes:
        runs: (n_seeds,) score of each run.
        draws: (n_seeds, n_draws) score of each run on each resample of the images; the resamples are the same for
            all trials that are compared.
    """

    runs: NDArray[np.float64]
    draws: NDArray[np.float64]


def optimism(labels: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int, n_halves: int = 100) -> float:
    """Return how far above the truth a score stands by which its own trial was selected.

    The test images are halved at random; the trial with the best macro-F1 of one run on one half is selected, as the
    published study chose by one run's test score, and that score is held against the mean of the trial's other runs on
    the other half. The mean over all seeds and halvings is returned.

    Args:
        labels: (n_images,) true classes of the test images.
        predicted: (n_trials, n_seeds, n_images) predicted classes.
        n_classes: Number of classes.
        n_halves: Number of halvings.

    Returns:
        A difference of macro-F1; NaN with fewer than two trials or seeds.
    """
    n_trials, n_seeds, n_images = predicted.shape
    if n_trials < 2 or n_seeds < 2:
        return float("nan")
    rng = np.random.default_rng(_RESAMPLING_SEED)
    half = rng.permuted(np.tile(np.arange(n_images) % 2, (n_halves, 1)), axis=1).astype(np.float32)
    flat = predicted.reshape(-1, n_images)
    seen, unseen = (
        resampled_f1(labels, flat, n_classes, weights).reshape(n_trials, n_seeds, n_halves)
        for weights in (half, 1 - half)
    )
    rise = []
    for seed in range(n_seeds):
        selected = seen[:, seed].argmax(axis=0)
        others = np.delete(unseen, seed, axis=1).mean(axis=1)
        rise.append(seen[:, seed].max(axis=0) - others[selected, np.arange(n_halves)])
    return float(np.mean(rise))
