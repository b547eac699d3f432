"""Decode images in child processes: a malicious image can end one of them, and no more."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnlab import surroundings
from cnnlab.data.photos import decoding
from cnnlab.data.size import Size

MOST = 8
"""Child processes: more would need too much memory."""
SHARED_BYTES = 100 << 20
"""Memory for images that are decoded side by side. Larger ones are decoded one after the other."""
FEW = 20
"""Images for which no further process is started."""
AHEAD = 8
"""Images a process that may be decoded before the first of them is taken."""
_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(1 << 20), "MALLOC_TRIM_THRESHOLD_": str(8 << 20)}
"""glibc's settings with which the memory of a large image is given back."""


class About(NamedTuple):
    """What is known of an image, apart from its pixels.

    Attributes:
        digest: SHA-256 of its file's content.
        own: Height and width of the file's image, upright.
        has_gray_mode: Whether the file says that it is gray.
        is_gray: Whether all pixels are gray: those of a colour file may be so too.
    """

    digest: bytes
    own: tuple[int, int]
    has_gray_mode: bool
    is_gray: bool


@dataclass(frozen=True)
class Photo:
    """An image as it was decoded.

    Attributes:
        about: What is known of it.
        pixels: (h, w, c) uint8; c is 1 if all its pixels are gray, else 3.
    """

    about: About
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class Refused:
    """A file that is no usable image.

    Attributes:
        reason: Why, as "it is empty".
        format: Name of its format, if it is one that is not read; else "".
    """

    reason: str
    format: str = ""


_ENDED = Refused("it ends the program that decodes it")


class Decoders:
    """Child processes that decode images. Each starts when it is first needed, and again after it has ended."""

    def __init__(self, n_files: int) -> None:
        """Prepare as many processes as this one may use cores, and fewer for few files."""
        self._n = max(min(surroundings.cores(), MOST, -(-n_files // FEW)), 1)
        self._pool = ThreadPoolExecutor(self._n)
        self._large = threading.Lock()
        self._children = [_Child(SHARED_BYTES // self._n, self._large) for _ in range(self._n)]
        self._idle: SimpleQueue[_Child] = SimpleQueue()
        for child in self._children:
            self._idle.put(child)

    def __enter__(self) -> "Decoders":
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children:
            child.kill()
        self._pool.shutdown(cancel_futures=True)
        for child in self._children:
            child.stop()

    def decode(self, paths: Iterable[Path], size: Size) -> Iterator[Photo | Refused]:
        """Yield the images of some files in their order, each of a size."""
        waiting: deque[Future[Photo | Refused]] = deque()
        for path in paths:
            waiting.append(self._pool.submit(self._decode, path, size))
            if len(waiting) >= AHEAD * self._n:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _decode(self, path: Path, size: Size) -> Photo | Refused:
        child = self._idle.get()
        try:
            return child.decode(path, size)
        finally:
            self._idle.put(child)


class _Child:
    def __init__(self, may_take: int, large: threading.Lock) -> None:
        """Prepare a process that may take a number of bytes for an image, and more while it holds a lock."""
        self._may_take, self._large = may_take, large
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._is_closed = False

    def decode(self, path: Path, size: Size) -> Photo | Refused:
        """Decode an image; if that ends the process, the image is refused.

        It is tried twice: something else may have ended the process, as where memory is short.
        """
        outcome = self._try(path, size)
        return self._try(path, size) if outcome is _ENDED else outcome

    def _try(self, path: Path, size: Size) -> Photo | Refused:
        process = self._start()
        begin = time.monotonic()
        request = {"path": os.fsencode(path.absolute()).hex(), "height": size.height, "width": size.width}
        try:
            header = _ask(process, json.dumps(request | {"may_take": self._may_take}))
            if "waits" in header:
                with self._large:
                    begin = time.monotonic()
                    header = _ask(process, "")
                    return _receive(process, header, size)
            return _receive(process, header, size)
        except (OSError, EOFError, ValueError):  # it has ended
            self.stop()
            if time.monotonic() - begin >= decoding.SECONDS:
                return Refused(f"it takes more than {decoding.SECONDS} seconds")
            return _ENDED

    def _start(self) -> "subprocess.Popen[bytes]":
        with self._lock:
            if self._is_closed:
                raise RuntimeError("The decoders are closed.")
            if self._process is None:
                self._process = subprocess.Popen(  # noqa: S603 - a file of ours
                    [sys.executable, "-P", decoding.__file__],  # as a file: its package imports pandas
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env={**os.environ, **_ENVIRONMENT},
                )
            return self._process

    def stop(self) -> None:
        """End the process; the next image starts another one."""
        with self._lock:
            process, self._process = self._process, None
        if process:
            process.kill()
            process.wait()
            for stream in filter(None, (process.stdin, process.stdout)):
                with suppress(OSError):  # it flushes what the process has not read
                    stream.close()

    def kill(self) -> None:
        """End the process, and start no other."""
        with self._lock:
            self._is_closed = True
            if self._process:
                self._process.kill()  # `decode` notices it


def _ask(process: "subprocess.Popen[bytes]", request: str) -> dict[str, Any]:
    """Send a line, and return the header of the answer."""
    assert process.stdin
    assert process.stdout
    process.stdin.write(request.encode() + b"\n")
    process.stdin.flush()
    header: dict[str, Any] = json.loads(process.stdout.readline())  # ValueError at the end of the stream
    return header


def _receive(process: "subprocess.Popen[bytes]", header: dict[str, Any], size: Size) -> Photo | Refused:
    """Return what an answer says."""
    assert process.stdout
    if "reason" in header:
        return Refused(header["reason"], header["format"])
    shape = (size.height, size.width, header["channels"])
    n_bytes = size.height * size.width * header["channels"]
    content = process.stdout.read(n_bytes)
    if len(content) < n_bytes:
        raise EOFError
    height, width = header["own"]
    about = About(bytes.fromhex(header["digest"]), (height, width), header["has_gray_mode"], shape[2] == 1)
    return Photo(about, np.frombuffer(content, np.uint8).reshape(shape))
