"""What a process that does runs needs: its environment, and no stderr."""

import os

from cnnlab.models import TRAINING_ENV

WORKER_ENV = {
    **TRAINING_ENV,
    # One thread per worker: two processes with one thread fit more images per second than one with two.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""Environment of the workers that cnnlab starts, and defaults for the workers of a cluster."""


def discard_stderr() -> None:
    """Send this process's stderr to /dev/null: TensorFlow and kernels write to it, and errors return as exceptions."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
