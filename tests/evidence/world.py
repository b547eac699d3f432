"""Simulated images and trials, of which a stage can be drawn again and again."""

import numpy as np
import pandas as pd

from cnnlab.evidence import Scores, image_weights, resampled_f1


def frame(**trials):
    """One row per run; each trial is (params, scores)."""
    rows = [(name, params, score) for name, (params, scores) in trials.items() for score in scores]
    return pd.DataFrame(rows, columns=["trial", "params", "val_f1"])


class World:
    """Images of various difficulty, and trials that differ in the images that suit them.

    An image is classified correctly if a sum is positive: of a part of the image, of the trial on that image, of the
    run, and of the run on that image.
    """

    n_classes, n_images = 5, 100

    def __init__(self, seed, trial_spread, run_spread, noise):
        self.rng = np.random.default_rng(seed)
        self.spreads = trial_spread, run_spread, noise

    def draw(self, n_trials, n_seeds, better=0.0):
        """Return labels (n_images,) and predictions (n_trials, n_seeds, n_images); the first trial may be better."""
        trial_spread, run_spread, noise = self.spreads
        shape = n_trials, n_seeds, self.n_images
        labels = self.rng.permutation(np.arange(self.n_images) % self.n_classes)
        margin = (
            self.rng.normal(0.5, 1, self.n_images)
            + self.rng.normal(0, trial_spread, (n_trials, 1, self.n_images))
            + self.rng.normal(0, run_spread, (n_trials, n_seeds, 1))
            + self.rng.normal(0, noise, shape)
        )
        margin[0] += better
        others = (labels + self.rng.integers(1, self.n_classes, shape)) % self.n_classes
        return labels, np.where(margin > 0, labels, others)

    def scores(self, labels, predicted):
        """Return each trial's scores, with 200 resamples of the images."""
        flat = predicted.reshape(-1, len(labels))
        all_images = np.ones((1, len(labels)), np.float32)
        runs = resampled_f1(labels, flat, all_images).reshape(predicted.shape[:2])
        bootstrap_f1 = resampled_f1(labels, flat, image_weights(len(labels))[:200])
        by_trial = bootstrap_f1.reshape(*predicted.shape[:2], -1)
        return [Scores(*trial) for trial in zip(runs, by_trial, strict=True)]


WORLDS = {
    "mixed": (0.3, 0.05, 0.5),
    "runs differ as wholes": (0.0, 0.3, 0.2),
    "runs differ image by image": (0.0, 0.0, 1.0),
    "trials differ image by image": (0.8, 0.0, 0.3),
}
