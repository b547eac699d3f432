"""Download the real CIFAR-10 (Krizhevsky 2009) from its home page, checked and resumable."""

import hashlib
from pathlib import Path

import requests
from tqdm.auto import tqdm

from cnnlab.data.folder import ARCHIVE
from cnnlab.errors import DataError

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"


SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"


STALLED_SECONDS = 60
"""How long the server may send nothing."""


def fetch(directory: str | Path, url: str = URL, sha256: str = SHA256) -> Path:
    """Download the archive into a folder, unless it is there; return its path.

    What a broken download left is kept (`.part`) and gone on with at the next call. The file gets its name only once
    its checksum is right.

    Args:
        directory: Where to; made if missing.
        url: Where from.
        sha256: The checksum it must have.

    Raises:
        DataError: The server cannot be reached or sends something else.
    """
    target = Path(directory) / ARCHIVE
    if target.exists():
        _check(target, sha256)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{ARCHIVE}.part")
    have = part.stat().st_size if part.exists() else 0
    try:
        headers = {"Range": f"bytes={have}-", "Accept-Encoding": "identity"}
        with requests.get(url, headers=headers, stream=True, timeout=STALLED_SECONDS) as answer:
            # 416: the part is already as long as the file, and the checksum below decides.
            if answer.status_code != requests.codes.requested_range_not_satisfiable:
                answer.raise_for_status()
                _write(answer, part, have if answer.status_code == requests.codes.partial_content else 0)
    except requests.RequestException as error:
        raise DataError(
            f"Expected {ARCHIVE} from {url}. Received: {error}. Try again: what has come is kept."
        ) from error
    _check(part, sha256)
    part.replace(target)
    return target


def _write(answer: requests.Response, part: Path, start: int) -> None:
    """Write what comes to a file, from a byte on: 0 where the server does not go on from the middle."""
    total = start + int(answer.headers.get("Content-Length", 0)) or None
    with (
        part.open("r+b" if part.exists() else "wb") as stream,
        tqdm(initial=start, total=total, unit="B", unit_scale=True, desc=ARCHIVE, disable=None) as bar,
    ):
        stream.seek(start)
        stream.truncate()
        for piece in answer.iter_content(1 << 16):
            bar.update(stream.write(piece))


def _check(path: Path, sha256: str) -> None:
    """Insist on a file's checksum; a download that is wrong is deleted, a file of the user's never."""
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        todo = "Try again." if path.suffix == ".part" else "Move it away and try again."
        if path.suffix == ".part":
            path.unlink()
        raise DataError(f"Expected {path.name} with SHA-256 {sha256[:16]}... Received: {found[:16]}... {todo}")
