"""How fast the machine is, and what a command used of it."""

import os
import platform
import resource
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from cnnlab.study import Architecture

_SGEMM = """
import time
import numpy as np
a = np.random.default_rng(0).random((2048, 2048), dtype=np.float32)
a @ a
begin, done = time.perf_counter(), 0
while time.perf_counter() - begin < 2:
    a @ a
    done += 2 * len(a) ** 3
print(done / (time.perf_counter() - begin) / 1e9)
"""
_POLL_SECONDS = 0.2


def sgemm() -> float:
    """Return the gigaflops a second of all cores together, each multiplying matrices (2048, 2048) float32 by itself."""
    one_thread = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")}

    def rate(_: int) -> float:
        done = subprocess.run(
            [sys.executable, "-c", _SGEMM], env=one_thread, capture_output=True, text=True, check=True
        )
        return float(done.stdout)

    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        return sum(pool.map(rate, range(cores)))


def flops(architecture: Architecture, shape: tuple[int, int, int], n_classes: int, *, training: bool) -> int:
    """Return the floating-point operations that one image takes in convolutions and dense layers.

    A multiplication with the following addition counts as two. Training takes three times those of inference: the
    outputs, and the gradients by weights and by inputs; the latter are not needed in the first layer. Everything else
    (batch normalisation, dropout, pooling, activations, the optimizer) counts as none.
    """
    height, width, channels = shape
    once = []
    for filters in architecture.filters:
        for _ in range(architecture.convs_per_block):
            if architecture.padding == "valid":
                height, width = height - 2, width - 2
            once.append(2 * height * width * 9 * channels * filters)
            channels = filters
        height, width = height // 2, width // 2
    once += [2 * height * width * channels * architecture.dense_units, 2 * architecture.dense_units * n_classes]
    return 3 * sum(once) - once[0] if training else sum(once)


@dataclass(frozen=True)
class Usage:
    """What a command took: wall and CPU seconds, and the most resident memory of its processes together, in MB."""

    wall_seconds: float
    cpu_seconds: float
    peak_mb: float


def measure(command: list[str], **environment: str) -> Usage:
    """Run a command of Python's (`-m` and so on) to its end and return what it took.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], env={**os.environ, **environment}, stderr=subprocess.PIPE)
    peak, over = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(_POLL_SECONDS):
            with suppress(psutil.Error):
                whole = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
                now = 0
                for one in whole:
                    with suppress(psutil.Error):
                        now += one.memory_info().rss
                peak = max(peak, now)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        _, said = process.communicate()
    finally:
        over.set()
    watcher.join()
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, stderr=said.decode(errors="replace")[-2000:])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Usage(wall, cpu, peak / 1e6)


def about() -> str:
    """Return the machine and the versions that matter, in a line."""
    from importlib.metadata import version

    name = platform.processor() or platform.machine()
    with suppress(OSError), Path("/proc/cpuinfo").open() as stream:
        name = next(line.split(":")[1].strip() for line in stream if line.startswith("model name"))
    packages = ", ".join(f"{package} {version(package)}" for package in ("tensorflow", "keras", "distributed", "numpy"))
    return f"{os.cpu_count()} cores of {name}, Python {platform.python_version()}, {packages}"
