"""Scores are read with what is known about the images they are from."""

from dataclasses import replace

import numpy as np
import pytest

from cnnlab.evidence import mean_interval
from cnnlab.records import RunStore
from cnnlab.study import Trial
from cnnlab.tuning import read_scores
from conftest import make_arrays, make_record


@pytest.fixture
def stored(tmp_path):
    """Two stored runs, each with training images of its own."""
    rng, labels, store, records = np.random.default_rng(0), np.arange(60) % 2, RunStore(tmp_path), []
    for seed in (1, 2):
        split = {"digest": f"{seed}", "pool": 300, "train": 100, "val": 60, "test": 60}
        scores = {
            f"{part}_{metric}": 0.5 + seed / 100 for part in ("val", "test") for metric in ("f1", "loss", "accuracy")
        }
        record = make_record(Trial(), seed, split=split, scores=scores)
        records.append(store.put(record, make_arrays(labels, labels, rng)))
    return store, records


def test_seeds_with_validation_images_of_their_own_vary_with_these(stored):
    scores = read_scores(*stored, "val")
    assert scores.bootstrap_f1 is None
    assert scores.overlap == 60 / 240


def test_validation_images_that_the_files_name_are_resampled_as_test_images_are(stored):
    """The training images are draws of all others, so no overlap is corrected for."""
    store, records = stored
    for part in ("val", "test"):
        scores = read_scores(store, records, part, given_val=True)
        assert scores.bootstrap_f1.shape[0] == 2
        assert scores.overlap == 0
    same = [replace(record, split={**record.split, "digest": "s"}) for record in records]
    fixed = read_scores(store, same, "val")
    assert mean_interval(fixed) == mean_interval(read_scores(store, records, "val", given_val=True))
