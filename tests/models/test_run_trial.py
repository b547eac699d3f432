"""One run, trained in a notebook's own process: the same bits as the study gets from its workers."""

import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

from cnnlab import data
from cnnlab.models import run_trial, trial
from cnnlab.records import Run, RunStore
from cnnlab.study import Architecture, Training, Trial

SMALL = Trial(Architecture(filters=(8, 16), dense_units=16, batch_norm=True), Training(epochs=2, batch_size=32))
SIZES = ("stratified", 120, 40, 60)
IN_A_KERNEL = """
import json, sys
{before}
import numpy as np
from cnnlab import data
from cnnlab.models import run_trial
from cnnlab.study import Trial
dataset = data.load_gray_batches(sys.argv[1])
record, arrays = run_trial(
    Trial.from_canonical(json.loads(sys.argv[2])), 3, dataset, data.split(dataset, "stratified", 120, 40, 60)
)
np.savez(sys.argv[3], **arrays)
print(json.dumps([record.digest, record.scores]))
"""


def in_a_kernel(folder, out, before="", **environment):
    """The digest, the scores and the arrays of a run in a process of its own, as a notebook's kernel is one."""
    code, settings = IN_A_KERNEL.format(before=before), json.dumps(SMALL.canonical())
    command = [sys.executable, "-c", code, folder, settings, out]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TF_")} | environment
    done = subprocess.run(command, env=clean, capture_output=True, text=True, check=True)
    with np.load(out) as arrays:
        return (*json.loads(done.stdout), dict(arrays), done.stderr)


def same(arrays, others):
    return arrays.keys() == others.keys() and all(np.array_equal(arrays[name], others[name]) for name in arrays)


@pytest.fixture(scope="module")
def on_a_worker(shared_engine, folder):
    gray = data.load_gray_batches(folder)
    return shared_engine.call(run_trial, SMALL, 3, gray, data.split(gray, *SIZES))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "environment"),
    [("", {}), ("import keras", {}), ("", {"TF_NUM_INTRAOP_THREADS": "8"})],
    ids=["as it is", "Keras imported first", "with threads of the user's"],
)
def test_a_kernel_and_a_worker_give_the_same_bits(on_a_worker, folder, tmp_path, before, environment):
    record, arrays = on_a_worker
    digest, scores, kernel_arrays, _ = in_a_kernel(folder, tmp_path / "arrays.npz", before, **environment)
    assert digest == record.digest
    assert scores == record.scores
    assert same(kernel_arrays, arrays)


@pytest.mark.slow
def test_the_run_is_the_one_that_the_study_stores(engine, on_a_worker, folder, tmp_path):
    record, arrays = on_a_worker
    gray = data.load_gray_batches(folder)
    split = data.split(gray, *SIZES)
    run, store = Run(SMALL.for_images(120), 3, gray.digest, split.digest), RunStore(tmp_path)
    stored = engine.run_all([(run, gray, split)], store)[run.digest]
    assert record.digest == stored.digest
    assert record.scores == stored.scores
    assert record.history == stored.history
    assert same(arrays, store.arrays(run.digest))


@pytest.mark.slow
def test_where_tensorflow_has_computed_with_several_threads_there_is_a_warning(folder, tmp_path):
    *_, stderr = in_a_kernel(folder, tmp_path / "arrays.npz", "import keras; keras.ops.ones(3) + 1")
    assert "Restart the kernel, and import cnnlab.models first." in stderr


def test_it_trains_in_this_process_and_says_each_epoch(tiny):
    epochs = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record, arrays = run_trial(
            SMALL, 1, tiny, data.split(tiny, "stratified", 20, 8, 10), lambda epoch, *_: epochs.append(epoch)
        )
    assert [epoch for epoch in epochs if epoch] == [1, 2]
    assert record.epochs == 2
    assert record.trial["architecture"]["batch_norm_momentum"] == SMALL.for_images(20).architecture.batch_norm_momentum
    assert arrays["test_probs"].shape == (10, 2)


def test_importing_the_models_sets_the_threads_of_training():
    code = "import json, os, cnnlab.models; print(json.dumps(dict(os.environ)))"
    clean = {name: value for name, value in os.environ.items() if name not in trial.TRAINING_ENV}
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True)
    assert trial.TRAINING_ENV.items() <= json.loads(done.stdout).items()
