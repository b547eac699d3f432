"""Download the real CIFAR-10 (Krizhevsky 2009) from its home page, checked and resumable."""

import hashlib
from pathlib import Path

from cnnlab.data import ARCHIVE
from cnnlab.errors import DataError

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"


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
    import certifi
    import pycurl
    from tqdm.auto import tqdm

    target = Path(directory) / ARCHIVE
    if target.exists():
        _check(target, sha256)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{ARCHIVE}.part")
    have = part.stat().st_size if part.exists() else 0
    curl = pycurl.Curl()
    with part.open("ab") as stream, tqdm(initial=have, unit="B", unit_scale=True, desc=ARCHIVE, disable=None) as bar:

        def show(total: float, now: float, *_: float) -> None:
            bar.total = have + int(total) or None
            bar.update(have + int(now) - bar.n)

        for option, value in (
            (pycurl.URL, url),
            (pycurl.CAINFO, certifi.where()),
            (pycurl.FOLLOWLOCATION, True),
            (pycurl.FAILONERROR, True),
            (pycurl.CONNECTTIMEOUT, 30),
            # Give up on a connection that has stalled for a minute.
            (pycurl.LOW_SPEED_LIMIT, 1),
            (pycurl.LOW_SPEED_TIME, 60),
            (pycurl.RESUME_FROM_LARGE, have),
            (pycurl.NOPROGRESS, False),
            (pycurl.XFERINFOFUNCTION, show),
            (pycurl.WRITEDATA, stream),
        ):
            curl.setopt(option, value)
        try:
            curl.perform()
        except pycurl.error as error:
            # 416: the part is already as long as the file, and the checksum below decides.
            if curl.getinfo(pycurl.RESPONSE_CODE) != 416:
                raise DataError(
                    f"Expected {ARCHIVE} from {url}. Received: {error.args[1]}. Try again: what has come is kept."
                ) from error
        finally:
            curl.close()
    _check(part, sha256)
    part.replace(target)
    return target


def _check(path: Path, sha256: str) -> None:
    """Insist on a file's checksum; a download that is wrong is deleted, a file of the user's never."""
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        todo = "Try again." if path.suffix == ".part" else "Move it away and try again."
        if path.suffix == ".part":
            path.unlink()
        raise DataError(f"Expected {path.name} with SHA-256 {sha256[:16]}... Received: {found[:16]}... {todo}")
