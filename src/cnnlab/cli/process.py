"""What surrounds a command: its processes, signals and warnings, and what it prints."""

import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from cnnlab import surroundings
from cnnlab.errors import RecordWarning


@contextmanager
def long_work(runs: Path | None, fresh: bool = False, scheduler: str | None = None) -> Iterator[None]:
    """Print warnings about stored runs in one line each, stop all child processes on Ctrl-C, and close the environment.

    Libraries read the environment when they are imported, so import them inside.

    Args:
        runs: Where runs are stored; None if none are made.
        fresh: Whether stored runs are repeated.
        scheduler: Address of a Dask scheduler.
    """
    keep_dask = bool(scheduler or os.environ.get(surroundings.ADDRESS))
    with surroundings.closed(keep_dask=keep_dask), _signals_and_warnings(runs, fresh):
        yield


@contextmanager
def _signals_and_warnings(runs: Path | None, fresh: bool) -> Iterator[None]:
    from tqdm.auto import tqdm

    from cnnlab.engine import lifetime

    again = f"the same command{' without --fresh (FRESH=)' if fresh else ''}"
    where = f" Finished runs are in {str(runs)!r}; {again} continues from there." if runs else ""
    usual = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *more: Any) -> None:
        if issubclass(category, RecordWarning):
            tqdm.write(f"cnnlab: {message}", file=sys.stderr)
        else:
            usual(message, category, *more)

    with (
        warnings.catch_warnings(),
        lifetime.kill_children_on_exit(f"cnnlab: stopped.{where}", os.environ[surroundings.FOLDER]),
    ):
        warnings.simplefilter("default", RecordWarning)
        warnings.showwarning = show  # type: ignore[assignment]
        yield


def shown(path: Path) -> Path:
    """Return a path as the shell would name it: relative if it is in the working directory."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def echo(lines: Iterable[object], *, err: bool = False) -> None:
    """Print lines, to stderr if `err`."""
    for line in lines:
        click.echo(line, err=err)
