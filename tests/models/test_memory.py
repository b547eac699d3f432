"""Models that are no longer used take no memory."""

import gc

import pytest

from cnnlab import models
from cnnlab.models import fit
from cnnlab.study import Architecture, Training, Trial


def graphs():
    """The number of TensorFlow's graphs in this process."""
    gc.collect()
    return sum(type(one).__name__ == "FuncGraph" for one in gc.get_objects())


@pytest.mark.slow
def test_the_graphs_of_earlier_models_are_freed(work):
    def fit_models(*numbers):
        for units in numbers:
            run, dataset, split = work(Trial(Architecture(filters=(2,), dense_units=units), Training(epochs=1)), 1)
            fit.run(run, dataset, split)

    fit_models(2)
    models.forget_gradients()
    before = graphs()
    fit_models(3, 4, 5)
    kept = graphs()
    models.forget_gradients()
    assert graphs() <= before < kept
