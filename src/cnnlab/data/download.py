"""Download CIFAR-10 (Krizhevsky 2009) from its home page, with a checksum; a broken download is resumed."""

import hashlib
from pathlib import Path

import requests
from tqdm.auto import tqdm

from cnnlab.data.finding import ARCHIVE
from cnnlab.data.messages import unexpected

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
TIMEOUT_SECONDS = 60
"""How long the server may send nothing."""


def fetch(directory: str | Path, url: str = URL, sha256: str = SHA256) -> Path:
    """Download the archive into a folder, unless it is there; return its path.

    A broken download is kept as `.part` and resumed by the next call. The file gets its name once the checksum matches.

    Args:
        directory: The folder; made if missing.
        url: Address of the archive.
        sha256: Checksum of the archive, 64 hex digits.

    Raises:
        DataError: The server cannot be reached, or the checksum differs.
    """
    target = Path(directory) / ARCHIVE
    if target.exists():
        _check(target, sha256)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{ARCHIVE}.part")
    size = part.stat().st_size if part.exists() else 0
    try:
        headers = {"Range": f"bytes={size}-", "Accept-Encoding": "identity"}
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
            # 416: the part is already as long as the file, and the checksum below decides.
            if response.status_code != requests.codes.requested_range_not_satisfiable:
                response.raise_for_status()
                _write(response, part, size if response.status_code == requests.codes.partial_content else 0)
    except requests.RequestException as error:
        advice = "Try again: the part that was received is kept."
        raise unexpected(f"{ARCHIVE} from {url}", error, advice) from error
    _check(part, sha256)
    part.replace(target)
    return target


def _write(response: requests.Response, part: Path, start: int) -> None:
    """Write a response to a file, from byte `start` on: 0 if the server cannot resume."""
    total = start + int(response.headers.get("Content-Length", 0)) or None
    with (
        part.open("r+b" if part.exists() else "wb") as stream,
        tqdm(initial=start, total=total, unit="B", unit_scale=True, desc=ARCHIVE, disable=None) as bar,
    ):
        stream.seek(start)
        stream.truncate()
        for chunk in response.iter_content(1 << 16):
            bar.update(stream.write(chunk))


def _check(path: Path, sha256: str) -> None:
    """Compare the checksum. A wrong download is deleted, a file of the user never."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != sha256:
        advice = "Move it away and try again."
        if path.suffix == ".part":
            path.unlink()
            advice = "Try again."
        raise unexpected(f"{path.name} with SHA-256 {sha256[:16]}...", f"{digest[:16]}...", advice)
