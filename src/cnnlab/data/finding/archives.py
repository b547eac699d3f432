"""Which files are archives, by their content and their names."""

import re
from pathlib import Path

from cnnlab.data.finding.pictures import is_picture
from cnnlab.data.untrusted import compressed, packed, tar
from cnnlab.errors import DataError

_ARCHIVE = re.compile(r".+\.(tar|tgz|tbz2?|txz|tzst|zip|7z|rar|xz|zst|tar\.[a-z0-9]{1,4})", re.I)


def is_archive(path: Path) -> bool:
    """Return whether a file is a tar archive, or looks like an archive of another kind."""
    if tar.is_tar(path) or _ARCHIVE.fullmatch(path.name):
        return True
    return not path.suffix and _other_packing(path) != ""


def has_pictures(path: Path) -> bool:
    """Return whether a file is a zip archive with images in it: its name may be that of a batch, as train.zip.

    Documents with another ending may be zip archives with images too.
    """
    try:
        return path.suffix.lower() == ".zip" and packed.is_zip(path) and any(map(is_picture, packed.zip_names(path)))
    except DataError:
        return False


def _other_packing(path: Path) -> str:
    """Return what a file is packed by, if not as a tar archive that is read; empty for any other file."""
    try:
        with path.open("rb") as stream:
            start = stream.read(16)
    except OSError:
        return ""
    if start.startswith(b"PK\3\4"):
        return "zip"
    return "xz" if start.startswith(b"\xfd7zXZ\0") else compressed.unsupported(start)


def reason(path: Path, error: DataError) -> str:
    """Say why an archive cannot be read, in a few words."""
    if other := _other_packing(path):
        return f"it is packed by {other}: extract it"
    return str(error).partition("Received: ")[2].rstrip(".")
