"""Where runs happen: Dask workers on this machine or on a cluster."""

from cnnlab.engine.ahead import Work
from cnnlab.engine.engine import Engine
from cnnlab.engine.environment import WORKER_ENV, discard_stderr
from cnnlab.engine.events import Interrupted
from cnnlab.engine.queue import RunQueue
from cnnlab.engine.versions import code_digest, versions

__all__ = ["WORKER_ENV", "Engine", "Interrupted", "RunQueue", "Work", "code_digest", "discard_stderr", "versions"]
