"""What git knows about this code: its commit, and which notebooks differ from the committed ones."""

import json
import shlex
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cnnlab import surroundings


def commit() -> str:
    """Return the git commit of this code, marked if there are changes on top; "unknown" outside git."""
    output = _run_git(Path(__file__).parent, "describe", "--always", "--dirty", "--abbrev=40")
    return output.decode().strip() or "unknown"


def changed_notebooks(notebooks: Sequence[Path]) -> list[str]:
    """Return which notebooks differ from those of the last git commit, as paths in the project.

    The type, the text and the tags of a cell count; outputs and empty cells do not. A notebook that is not committed,
    or that cannot be read, is not in the list.

    Args:
        notebooks: Notebooks of one folder.
    """
    if not notebooks:
        return []
    names = "".join(f"HEAD:./{path.name}\n" for path in notebooks)
    # For each name, git prints a line that ends with the number of bytes, and the file; or a line with "missing".
    output, changed = _run_git(notebooks[0].parent, "cat-file", "--batch", asked=names.encode()), []
    for path in notebooks:
        head, _, output = output.partition(b"\n")
        size = head.rpartition(b" ")[2]
        if not size.isdigit():
            continue
        committed, output = output[: int(size)], output[int(size) + 1 :]
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            if _cells(committed) != _cells(path.read_bytes()):
                changed.append(surroundings.relative_path(path))
    return changed


def changed_line(notebooks: Sequence[str]) -> str:
    """Return the line of the terminal and of the page about what `changed_notebooks` returns; "" if it is empty."""
    if not notebooks:
        return ""
    names = ", ".join(path.rpartition("/")[2] for path in notebooks)
    return (
        f"Notebooks that differ from the committed ones: {names}. This report runs them as they are. "
        f"To get the committed ones back: git checkout HEAD {shlex.join(notebooks)}"
    )


def _cells(notebook: bytes) -> list[tuple[str, str, list[str]]]:
    """Return the type, the text and the tags of each cell of a notebook's file, without empty cells.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: It is not a notebook.
    """
    cells = [
        (cell["cell_type"], "".join(cell["source"]), sorted(cell["metadata"].get("tags", [])))
        for cell in json.loads(notebook)["cells"]
    ]
    return [cell for cell in cells if cell[1].strip()]


def _run_git(folder: Path, *words: str, asked: bytes = b"") -> bytes:
    """Return what git prints in a folder, asked through its input; b"" without git, outside git, and if it fails."""
    # Git refuses a folder of another user unless it is named.
    command = ["git", "-c", "safe.directory=*", "-C", str(folder), *words]
    try:
        return subprocess.run(command, input=asked, capture_output=True, check=True).stdout  # noqa: S603
    except (OSError, ValueError, subprocess.CalledProcessError):
        return b""
