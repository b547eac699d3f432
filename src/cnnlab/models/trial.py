"""Train one run in this process, as the study trains it on a worker."""

import os
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from cnnlab.data import Dataset, Split
from cnnlab.records import Record, Run
from cnnlab.study import Trial
from cnnlab.surroundings import quiet

TRAINING_ENV = {
    # TensorFlow's sums, and so the scores, depend on the number of threads. Each process that trains has one.
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # Processes that share a GPU must each take only the memory that they need.
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}
"""Environment of each process that trains: workers, and processes that import `cnnlab.models`."""


def _prepare() -> bool:
    """Set this process's environment for training, and return whether TensorFlow has one thread.

    TensorFlow reads its number of threads when it first computes, not when it is imported.
    """
    started_so = all(os.environ.get(name) == value for name, value in TRAINING_ENV.items())
    os.environ.update(TRAINING_ENV)
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or started_so:
        return True
    try:
        tensorflow.config.threading.set_intra_op_parallelism_threads(1)
        tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:  # it has computed
        return False
    return True


_has_one_thread = _prepare()


def run_trial(
    trial: Trial,
    seed: int,
    dataset: Dataset,
    split: Split,
    on_epoch: Callable[[int, Mapping[str, float]], None] = lambda *_: None,
) -> tuple[Record, dict[str, NDArray[Any]]]:
    """Train one run of a trial in this process, as the study does, and score it. Nothing is stored.

    On the same machine, the result has the same bits as on a worker (`engine.call(run_trial, ...)`) and as the stored
    run of the study with the same digest. This needs TensorFlow with one thread, as the workers have. Importing
    `cnnlab.models` ensures that, unless TensorFlow has computed before; then there is a warning.

    Args:
        trial: The settings.
        seed: Of the initial weights, the order of the images, dropout and augmentation.
        dataset: The images, in colour if the trial's are.
        split: Which of them it trains on, validates on and is tested on.
        on_epoch: As for `models.fit.run`.

    Returns:
        The record and the arrays, as `models.fit.run` returns them: `val_probs` and `test_probs` (n, n_classes)
        float32, `val_labels` and `test_labels` (n,) int64, and the weights.

    Raises:
        ConfigError: The images are too small for the trial, or an own model fails.
    """
    with quiet():  # TensorFlow writes about the machine when it is loaded
        from cnnlab.models import fit

    if not _has_one_thread:
        warnings.warn(
            "Expected to import cnnlab.models before TensorFlow computes. Received: TensorFlow has computed with "
            "several threads, so the scores may differ a little from those of the study. Restart the kernel, and "
            "import cnnlab.models first.",
            stacklevel=2,
        )
    run = Run(trial.for_images(len(split.train)), seed, dataset.digest, split.digest)
    return fit.run(run, dataset, split, on_epoch=on_epoch)
