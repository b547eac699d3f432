"""Scores on resampled images."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

N_RESAMPLES = 1000
"""Resamples of the images."""
_RESAMPLING_SEED = 1979


@cache
def image_weights(n_images: int) -> NDArray[np.float32]:
    """Return how often each image occurs in each resample: (N_RESAMPLES, n_images) float32 counts, always the same."""
    rng = np.random.default_rng(_RESAMPLING_SEED)
    return rng.multinomial(n_images, np.full(n_images, 1 / n_images), N_RESAMPLES).astype(np.float32)


def resampled_f1(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], weights: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return the macro-F1 of runs on weighted images, over the classes that occur among the true ones.

    Args:
        labels: (n_images,) true classes.
        predicted: (n_runs, n_images) predicted classes.
        weights: (n_resamples, n_images) how often each image counts; a class without any scores 0.

    Returns:
        (n_runs, n_resamples), in [0, 1].
    """
    classes = np.unique(labels)
    is_true = (labels[:, None] == classes).astype(np.float32)
    n_true = weights @ is_true
    scores = np.empty((len(predicted), len(weights)))
    for i, run in enumerate(predicted):
        is_predicted = (run[:, None] == classes).astype(np.float32)
        total = n_true + weights @ is_predicted
        scores[i] = (2 * (weights @ (is_true * is_predicted)) / np.maximum(total, 1e-9)).mean(axis=1)
    return scores


@dataclass(frozen=True)
class Scores:
    """The macro-F1 of one trial's runs.

    Attributes:
        runs: (n_seeds,) score of each run.
        bootstrap_f1: (n_seeds, n_resamples) score of each run on each resample of the images. Trials that are compared
            have the same resamples. None where each seed has images of its own, so that its runs vary with them.
        overlap: What to add to 1/n_seeds in the variance of a mean over seeds because their training and validation
            images overlap: validation images as a share of all others they are drawn from (Nadeau and Bengio,
            Inference for the generalization error, Machine Learning 52, 2003, doi:10.1023/A:1024068626366, section 3).
            0 where all seeds have the same images: what is said holds for these.
    """

    runs: NDArray[np.float64]
    bootstrap_f1: NDArray[np.float64] | None = None
    overlap: float = 0.0


def optimism(labels: NDArray[np.int64], predicted: NDArray[np.int64], n_halves: int = 100) -> float:
    """Estimate the optimism of selecting a trial by the test score of one run, as the published study did.

    The test images are halved at random. The trial with the best macro-F1 of one run on one half is selected. Its
    optimism is this score minus the mean of its other runs on the other half, averaged over all seeds and halvings.

    Args:
        labels: (n_images,) true classes of the test images.
        predicted: (n_trials, n_seeds, n_images) predicted classes.
        n_halves: Number of halvings.

    Returns:
        A difference of macro-F1; NaN with fewer than two trials or seeds.
    """
    n_trials, n_seeds, n_images = predicted.shape
    if n_trials < 2 or n_seeds < 2:
        return float("nan")
    rng = np.random.default_rng(_RESAMPLING_SEED)
    half = rng.permuted(np.tile(np.arange(n_images) % 2, (n_halves, 1)), axis=1).astype(np.float32)
    runs = predicted.reshape(-1, n_images)
    seen, unseen = (
        resampled_f1(labels, runs, weights).reshape(n_trials, n_seeds, n_halves) for weights in (half, 1 - half)
    )
    optimisms = []
    for seed in range(n_seeds):
        selected = seen[:, seed].argmax(axis=0)
        other_runs = np.delete(unseen, seed, axis=1).mean(axis=1)
        optimisms.append(seen[:, seed].max(axis=0) - other_runs[selected, np.arange(n_halves)])
    return float(np.mean(optimisms))
