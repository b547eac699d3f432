"""The versions that workers must share with the process that sends them runs."""

import hashlib
import importlib.metadata
from functools import cache
from pathlib import Path

from cnnlab import __version__


@cache
def code_digest() -> str:
    """Return a digest (64 hex digits) of cnnlab's own code and tables, on which results and pages depend."""
    sha = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*")):
        if path.suffix in (".py", ".csv"):
            sha.update(path.read_bytes())
    return sha.hexdigest()


@cache
def versions() -> dict[str, str]:
    """Return the versions that workers and client must share."""
    return {"cnnlab": f"{__version__} (code {code_digest()[:12]})", "keras": importlib.metadata.version("keras")}
