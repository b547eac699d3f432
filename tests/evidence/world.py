"""Simulated images and trials, of which a stage can be drawn again and again."""

import numpy as np

from cnnlab.evidence import Scores, image_weights, resampled_f1


def certain(*runs):
    """A trial's scores where images add no noise."""
    return Scores(np.array(runs, float))


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

SPREADS = {
    "equal": lambda k: np.ones(k),
    "noisy reference": lambda k: np.where(np.arange(k) == 0, 3.0, 1.0),
    "one noisy trial": lambda k: np.where(np.arange(k) == 1, 3.0, 1.0),
    "one very noisy trial": lambda k: np.where(np.arange(k) == 1, 8.0, 1.0),
    "half at chance": lambda k: np.where(np.arange(k) > k // 2, 1e-3, 1.0),
    "all but two at chance": lambda k: np.where(np.arange(k) > 1, 1e-3, 1.0),
    "reference at chance": lambda k: np.where(np.arange(k) == 0, 1e-3, 1.0),
    "only the reference varies": lambda k: np.where(np.arange(k) == 0, 1.0, 1e-3),
    "graded": lambda k: np.linspace(0.5, 2.0, k),
}
"""The SD of a run of each of k trials, as a share."""


def stage(rng, spreads, n_seeds, draw_sd):
    """The runs (n_trials, n_seeds) of a stage without a difference; the images of a seed change all trials alike."""
    noise = rng.normal(size=(len(spreads), n_seeds)) * spreads[:, None] + draw_sd * rng.normal(size=n_seeds)
    return 0.5 + 0.02 * noise
