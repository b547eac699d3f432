"""Compare what two stores of runs hold."""

import numpy as np


def assert_same_runs(ours, theirs):
    """Check that two stores have the same runs, bit by bit."""
    assert {record.digest for record in ours.records()} == {record.digest for record in theirs.records()}
    for record in ours.records():
        other = theirs.get(record.digest)
        assert other.history == record.history
        assert other.scores == record.scores
        arrays = theirs.arrays(record.digest)
        for name, values in ours.arrays(record.digest).items():
            np.testing.assert_array_equal(arrays[name], values)
