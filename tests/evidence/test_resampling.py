"""Macro-F1 on resampled images, and the optimism of selecting by the test score."""

import numpy as np
import pytest
from sklearn.metrics import f1_score
from world import World

from cnnlab.evidence import N_RESAMPLES, image_weights, optimism, resampled_f1


def test_macro_f1():
    """With each image once, the score is that of scikit-learn over the classes with images."""
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 4, 50), rng.integers(0, 5, (3, 50))
    ours = resampled_f1(labels, predicted, np.ones((1, 50), np.float32))[:, 0]
    theirs = [f1_score(labels, run, average="macro", labels=range(4), zero_division=0) for run in predicted]
    assert ours == pytest.approx(theirs)


def test_weights():
    """An image counts as often as it was drawn, and each resample has as many images as there are."""
    labels, predicted = np.array([0, 1, 1]), np.array([[0, 0, 1]])
    score = resampled_f1(labels, predicted, np.array([[1, 2, 0]], np.float32))
    assert score[0, 0] == pytest.approx(f1_score([0, 1, 1], [0, 0, 0], average="macro", zero_division=0))
    assert image_weights(30).sum(axis=1).tolist() == [30] * N_RESAMPLES


def test_optimism_of_equal_trials():
    labels, predicted = World(1, 0.5, 0.1, 0.5).draw(8, 3)
    assert 0.02 < optimism(labels, predicted) < 0.3


def test_no_optimism_if_one_trial_is_far_better():
    labels, predicted = World(1, 0.0, 0.0, 0.3).draw(2, 3, better=3)
    assert abs(optimism(labels, predicted)) < 0.02


def test_optimism_needs_two_seeds():
    labels, predicted = World(1, 0.0, 0.0, 0.3).draw(2, 1)
    assert np.isnan(optimism(labels, predicted))
