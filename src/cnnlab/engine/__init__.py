"""Where runs happen: Dask workers on this machine or on a cluster."""

from cnnlab.engine.cluster import ADDRESS, TELL_SECONDS, WORKER_ENV, Engine, Work, _run, code_digest, silence, versions

__all__ = ["ADDRESS", "TELL_SECONDS", "WORKER_ENV", "Engine", "Work", "_run", "code_digest", "silence", "versions"]
