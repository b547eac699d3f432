"""Where runs happen: Dask workers on this machine or on a cluster."""

from cnnlab.engine.ahead import Work
from cnnlab.engine.cluster import code_digest, versions
from cnnlab.engine.dispatch import Interrupted
from cnnlab.engine.engine import Engine
from cnnlab.engine.workers import WORKER_ENV, discard_stderr

__all__ = ["WORKER_ENV", "Engine", "Interrupted", "Work", "code_digest", "discard_stderr", "versions"]
