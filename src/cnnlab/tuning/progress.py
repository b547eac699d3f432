"""Progress of a study: a bar in a terminal or in Jupyter, one line an event elsewhere."""

import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

from tqdm.auto import tqdm

from cnnlab.records import Record
from cnnlab.tuning.callbacks import Callback
from cnnlab.tuning.results import StageResult


class _Line(tqdm):  # type: ignore[type-arg]
    """A bar of ten columns, followed by a run: never more than one line, and in one place whatever the names.

    In a narrow terminal, long names take columns of the bar, which keeps that length; then they are cut.

    Attributes:
        trial: The run's trial.
        how_far: What is said of the run itself.
        taken: Columns of the bar that are gone.
    """

    FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}] {run}"

    trial = ""
    how_far = ""
    taken = 0

    @property
    def format_dict(self) -> MutableMapping[str, Any]:
        """What tqdm fills its format with, and `run`."""
        found = super().format_dict
        trial, rest, room = self.trial, f", {self.how_far}" if self.trial else self.how_far, 0
        if columns := found["ncols"]:
            room = columns - len(self.format_meter(**{**found, "ncols": None, "run": ""}))  # beside a bar of ten
            self.taken = max(self.taken, min(len(trial + rest) - room, 9))
            room += self.taken
            kept = max(room - len(rest), 0)
            trial = trial if len(trial) <= kept else f"{trial[: max(kept - 2, 0)]}.."
        return {**found, "run": f"{trial}{rest}".ljust(room)}


class Bar(Callback):
    """Runs done of runs planned, with the time left; stored runs count as done and not for the time.

    Args:
        plan: Expected runs of the stages to come; corrected as each begins. None for stages asked for one by one, as
            in a notebook, where nothing is shown while nothing is missing.
    """

    def __init__(self, plan: Mapping[str, int] | None = None) -> None:
        self._plan = dict(plan or {})
        self._planned = plan is not None
        self._lines = plan is not None and not sys.stderr.isatty()
        self._bar: Any = None
        if plan is not None and not self._lines:
            self._open()

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._show()
            self._bar.close()

    def _open(self) -> None:
        self._bar = _Line(total=sum(self._plan.values()), smoothing=0, dynamic_ncols=True, bar_format=_Line.FORMAT)

    def _show(self, trial: str = "", how_far: str = "") -> None:
        self._bar.trial, self._bar.how_far = trial, how_far
        self._bar.refresh()

    def on_stage_start(self, name: str, runs: int, missing: int) -> None:
        """See `Callback`."""
        self._plan[name] = runs
        if self._lines:
            stored = f", {runs - missing if missing else 'all'} stored" if missing < runs else ""
            self.say(f"{name}: {runs} run{'s' * (runs > 1)}{stored}")
            return
        if self._bar is None and missing:
            self._open()
        if self._bar is not None:
            self._bar.total = sum(self._plan.values()) if self._planned else self._bar.n + runs
            self._bar.taken = 0
            self._bar.set_description(name, refresh=False)
            self._show()

    def on_epoch(self, trial: str, seed: int, epoch: int, epochs: int) -> None:
        """See `Callback`."""
        if self._bar is not None:
            self._show(trial, f"seed {seed}, epoch {epoch}/{epochs}")

    def on_run_end(self, trial: str, record: Record, cached: bool) -> None:
        """See `Callback`."""
        if self._bar is None:
            return
        self._bar.n += 1
        if cached:
            self._bar.initial += 1
            self._show()
        else:
            self._show(trial, f"val_f1 {record.scores['val_f1']:.3f}")

    def on_stage_end(self, result: StageResult) -> None:
        """See `Callback`."""
        if self._lines:
            made = result.decision
            self.say(f"{made.stage}: {made.selected} goes on, val_f1 {made.val_f1_mean:.3f} (n = {made.n_seeds})")

    def now(self, name: str, what: str) -> None:
        """Show what is waited for beside runs."""
        if self._bar is not None:
            self._bar.set_description(name, refresh=False)
            self._show(how_far=what)

    def say(self, line: str) -> None:
        """Print a line without disturbing the bar."""
        if self._lines:
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - where there is no terminal, this is the progress
        else:
            tqdm.write(line, file=sys.stderr)
