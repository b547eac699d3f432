"""Progress of a study: callbacks, and a bar in a terminal or in Jupyter, or one line an event elsewhere."""

import sys
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from tqdm import tqdm as text_bar
from tqdm.auto import tqdm

from cnnlab.records import Record
from cnnlab.tuning.results import StageResult

if TYPE_CHECKING:
    from cnnlab.tuning.planning.estimate import TimeLeft


SHOWN = "val_loss", "val_f1"
"""The metrics of an epoch that the bar shows."""
WAITING = "waiting for workers"
"""What the bar says until the first worker has a run."""
QUIET_SECONDS = 2.0
"""How long images are decoded before anything is shown."""
LINE_SECONDS = 10.0
"""Time between two lines about them, where there is no terminal."""


class Callback:
    """Methods that a study calls as it runs. Those of this base class do nothing."""

    def on_images(self, done: int, total: int) -> None:
        """Images are decoded, before anything else: how many of all. Called often, and not for stored images."""

    def on_stage_start(self, name: str, runs: int, missing: int) -> None:
        """A stage, or "mistakes", starts: its number of runs, and how many of them are not stored yet.

        A part of a stage, as "search, quasi-random", has the name of its stage up to the comma.
        """

    def on_no_workers(self, address: str) -> None:
        """The scheduler at an address has no workers yet, or no longer. What waits for one continues to wait."""

    def on_epoch(self, trial: str, seed: int, epoch: int, epochs: int, metrics: Mapping[str, float]) -> None:
        """A run has ended an epoch (from 1, of at most `epochs`): its metrics, by their names in `Record.history`.

        Not called for every epoch where they are short. Before a model is traced, called with 0 and no metrics.
        """

    def on_run_end(self, trial: str, record: Record, cached: bool) -> None:
        """A run has its record: stored before (`cached`), or just made."""

    def on_stage_end(self, result: StageResult) -> None:
        """A stage has selected its trial."""


class ImagesBar(Callback):
    """Images that are decoded, of all: a bar in a terminal or in Jupyter, a line from time to time elsewhere.

    Nothing is shown if it takes less than two seconds, as with images that were decoded before.

    Args:
        in_notebook: Whether it is in Jupyter, where a bar is text too: a report leaves such text out.
    """

    def __init__(self, *, in_notebook: bool = False) -> None:
        self._prints_lines = not in_notebook and not sys.stderr.isatty()
        self._bar: text_bar[NoReturn] | None = None
        self._next_line = 0.0

    def on_images(self, done: int, total: int) -> None:
        """See `Callback`."""
        if self._prints_lines:
            now = time.monotonic()
            self._next_line = self._next_line or now + QUIET_SECONDS
            if now >= self._next_line:
                self._next_line = now + LINE_SECONDS
                print(f"images: {done:,} of {total:,} read", file=sys.stderr, flush=True)  # noqa: T201 - the progress
            return
        if self._bar is None:
            self._bar = text_bar(total=total, desc="images", leave=False, dynamic_ncols=True, delay=QUIET_SECONDS)
        self._bar.update(done - self._bar.n)
        if done == total:
            self._bar.close()
            self._bar = None

    def on_no_workers(self, address: str) -> None:
        """See `Callback`."""
        print(_no_workers_line(address), file=sys.stderr, flush=True)  # noqa: T201 - else nobody knows what it waits for


def _no_workers_line(address: str) -> str:
    return (
        f"workers: none at {address} yet. This continues with the first one: a job that waits in a queue, or "
        f"`dask worker {address} --nthreads 1`."
    )


class _Line(tqdm):  # type: ignore[type-arg]
    """A bar of ten columns, followed by the current run, in one line of fixed layout.

    tqdm alone would change the length of the bar with every name. In a narrow terminal, a long text shortens the bar
    until the stage ends; beyond that, metrics are left out, the first one first, and then the name is cut.

    Attributes:
        trial: The run's trial.
        detail: The run's seed and epoch, or its score.
        metrics: The metrics of that epoch.
        shortened: Columns by which the bar is shorter than ten.
        seconds_left: Returns the time left; None to let tqdm derive it from the number of runs.
    """

    FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{left}] {run}"
    WITHOUT_ESTIMATE = FORMAT.replace("left", "remaining")

    trial = ""
    detail = ""
    metrics: tuple[str, ...] = ()
    shortened = 0
    seconds_left: Callable[[], float] | None = None

    @property
    def format_dict(self) -> MutableMapping[str, Any]:
        """What tqdm fills its format with, and `left` and `run`."""
        values = super().format_dict
        values["left"] = self.format_interval(self.seconds_left()) if self.seconds_left else "?"
        trial, metrics, room = self.trial, self.metrics, 0
        if columns := values["ncols"]:
            room = columns - len(self.format_meter(**{**values, "ncols": None, "run": ""}))  # beside a bar of ten
            while metrics and len(self._run(trial, metrics)) > room + 9:  # beside a bar of one
                metrics = metrics[1:]
            self.shortened = max(self.shortened, min(len(self._run(trial, metrics)) - room, 9))
            room += self.shortened
            kept = max(room - len(self._run(trial, metrics)) + len(trial), 0)
            trial = trial if len(trial) <= kept else f"{trial[: max(kept - 2, 0)]}.."
        return {**values, "run": self._run(trial, metrics).ljust(room)}

    def _run(self, trial: str, metrics: Sequence[str]) -> str:
        return ", ".join(part for part in (trial, self.detail, *metrics) if part)


class Bar(Callback):
    """Finished runs of planned runs, with the time left. Stored runs count as finished, but not for the time.

    Args:
        plan: Expected runs of the stages to come, corrected as each starts. None for stages asked for one by one, as in
            a notebook: the bar then appears only if runs are missing.
        estimate: Returns what estimates the time left; called when the bar appears. Without it, all runs count as
            equally long.
    """

    def __init__(self, plan: Mapping[str, int] | None = None, estimate: "Callable[[], TimeLeft] | None" = None) -> None:
        self._estimate = estimate
        self._time_left: TimeLeft | None = None
        self._plan = dict(plan or {})
        self._has_plan = plan is not None
        self._prints_lines = plan is not None and not sys.stderr.isatty()
        self._bar: Any = None
        if plan is not None and not self._prints_lines:
            self._open()

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._show()
            self._bar.close()

    def _open(self) -> None:
        with suppress(Exception):  # an estimate that fails must not end a study
            self._time_left = self._estimate() if self._estimate else None
        time_left = self._time_left
        bar_format = _Line.FORMAT if time_left else _Line.WITHOUT_ESTIMATE
        self._bar = _Line(total=sum(self._plan.values()), smoothing=0, dynamic_ncols=True, bar_format=bar_format)
        if time_left:
            self._bar.seconds_left = lambda: time_left.seconds

    def _show(self, trial: str = "", detail: str = "", *metrics: str) -> None:
        self._bar.trial, self._bar.detail, self._bar.metrics = trial, detail, metrics
        self._bar.refresh()

    def on_stage_start(self, name: str, runs: int, missing: int) -> None:
        """See `Callback`."""
        stage, _, part = name.partition(", ")
        if part:
            self._plan[stage] = max(self._plan.get(stage, 0) - runs, 0)
        self._plan[name] = runs
        if self._prints_lines:
            stored = f", {runs - missing if missing else 'all'} stored" if missing < runs else ""
            self.write(f"{name}: {runs} run{'' if runs == 1 else 's'}{stored}")
            return
        if self._bar is None and missing:
            self._open()
        if self._bar is not None:
            if self._time_left:
                with suppress(Exception):
                    self._time_left.start_stage(name, missing)
            self._bar.total = sum(self._plan.values()) if self._has_plan else self._bar.n + runs
            self._bar.shortened = 0
            self._bar.set_description(name, refresh=False)
            self._show(detail=WAITING if missing else "")

    def on_no_workers(self, address: str) -> None:
        """See `Callback`."""
        if self._bar is not None:
            self._show(detail=WAITING)
        self.write(_no_workers_line(address))

    def on_epoch(self, trial: str, seed: int, epoch: int, epochs: int, metrics: Mapping[str, float]) -> None:
        """See `Callback`."""
        if self._bar is not None:
            what = f"epoch {epoch}/{epochs}" if epoch else "tracing the model"
            self._show(trial, f"seed {seed}, {what}", *(f"{name} {metrics[name]:.3f}" for name in SHOWN if metrics))

    def on_run_end(self, trial: str, record: Record, cached: bool) -> None:
        """See `Callback`."""
        if self._bar is None:
            return
        self._bar.n += 1
        if cached:
            self._bar.initial += 1
            self._bar.refresh()
        else:
            if self._time_left:
                with suppress(Exception):
                    self._time_left.end_run(record)
            self._show(trial, f"val_f1 {record.scores['val_f1']:.3f}")

    def on_stage_end(self, result: StageResult) -> None:
        """See `Callback`."""
        if self._bar is not None and self._time_left:
            with suppress(Exception):
                self._time_left.end_stage(result)
        if self._prints_lines:
            decision = result.decision
            mean, n_seeds = decision.val_f1_mean, decision.n_seeds
            self.write(f"{decision.stage}: {decision.selected} selected, val_f1 {mean:.3f} (n = {n_seeds})")

    def show_waiting(self, name: str, detail: str) -> None:
        """Show what is waited for beside runs."""
        if self._bar is not None:
            self._bar.set_description(name, refresh=False)
            self._show(detail=detail)

    def write(self, line: str) -> None:
        """Print a line without disturbing the bar."""
        if self._prints_lines:
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - where there is no terminal, this is the progress
        else:
            tqdm.write(line, file=sys.stderr)
