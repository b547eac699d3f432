"""A study in a notebook: its runs happen in the background, and the last cell shows how far they are."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from cnnlab.engine import Engine
from cnnlab.errors import ConfigError, did_you_mean, require
from cnnlab.lab.pending import Pending
from cnnlab.records import Record
from cnnlab.tuning import Callback, StageResult, Tuning, progress

POLL_SECONDS = 0.1
"""Time between two looks at the work in the background."""
MORE = ("runs", "protocol", "trust", "accept", "size", "trials", "fresh", "scheduler")
"""Further arguments of `Tuning` that `open_study` takes."""


class Stopped(KeyboardInterrupt):
    """The user has interrupted the work. IPython shows it in one line."""

    def _render_traceback_(self) -> list[str]:
        return [f"cnnlab: {self}"]


class _Relay(Callback):
    """Passes the calls of a study in another thread on to the notebook's own thread, where the bar is.

    Attributes:
        is_running: Set when a stage starts of which runs are missing, or when workers are missing.
        total: Runs of the stages that have started, as the bar counts them.
        stored: How many of them are stored.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[Callback], None]] = SimpleQueue()
        self.is_running = threading.Event()
        self._images = progress.ImagesBar(in_notebook=True)
        self.total = self.stored = 0

    def on_images(self, done: int, total: int) -> None:
        """See `Callback`. It is shown at once, in the cell that needs the images."""
        self._images.on_images(done, total)

    def on_stage_start(self, name: str, runs: int, missing: int) -> None:
        """See `Callback`."""
        self.total = self.stored + runs
        if missing:
            self.is_running.set()
        self._calls.put(lambda bar: bar.on_stage_start(name, runs, missing))

    def on_no_workers(self, address: str) -> None:
        """See `Callback`."""
        self.is_running.set()
        self._calls.put(lambda bar: bar.on_no_workers(address))

    def on_epoch(self, trial: str, seed: int, epoch: int, epochs: int, metrics: Mapping[str, float]) -> None:
        """See `Callback`."""
        self._calls.put(lambda bar: bar.on_epoch(trial, seed, epoch, epochs, metrics))

    def on_run_end(self, trial: str, record: Record, cached: bool) -> None:
        """See `Callback`."""
        self.stored += 1
        self._calls.put(lambda bar: bar.on_run_end(trial, record, cached))

    def on_stage_end(self, result: StageResult) -> None:
        """See `Callback`."""
        self._calls.put(lambda bar: bar.on_stage_end(result))

    def pass_on(self, bar: Callback, seconds: float) -> None:
        """Pass on the calls so far; if there are none, wait some seconds for one."""
        try:
            self._calls.get(seconds > 0, seconds)(bar)
            while True:
                self._calls.get_nowait()(bar)
        except Empty:
            pass

    def forget(self) -> None:
        """Forget the calls and the runs so far: they are about work that was stopped."""
        self.pass_on(Callback(), 0)
        self.total = self.stored = 0


class Session:
    """A study in a notebook. What is started runs in the background, one after the other.

    Args:
        tuning: The study.
    """

    def __init__(self, tuning: Tuning) -> None:
        self.tuning = tuning
        self._relay = _Relay()
        tuning.callback = self._relay
        self._waiting: list[Pending] = []
        self._queue: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        # Not an executor: the end of the kernel would wait for its threads.
        threading.Thread(target=self._work, name="cnnlab", daemon=True).start()

    def start(self, function: Callable[..., Any], *args: Any) -> Pending:
        """Start work in the background.

        If no run is missing, this returns when the work has ended, so that the cells after it are filled at once.
        Otherwise, it returns when the first run starts. Work of the same function that has not ended is continued if
        it has the same arguments, so that the cells that wait for it are filled, else replaced.

        Args:
            function: As `session.tuning.result`.
            args: Its arguments.

        Raises:
            CnnlabError: The work has ended with it already, for example because of a wrong setting.
            Stopped: The user has interrupted it.
        """
        while self._waiting and self._waiting[0].is_done:
            self._finish(self._waiting[0])
        pending = next((earlier for earlier in self._waiting if earlier.function == function), None)
        if pending and pending.args != args:
            self.stop()
            self._waiting.remove(pending)
            pending = None
        if not self._waiting:
            self._relay.is_running.clear()
        if not pending:
            pending = Pending(function, args, self.wait)
            self._waiting.append(pending)
        try:
            self._submit_again()
            while not pending.future.done() and not self._relay.is_running.wait(POLL_SECONDS):
                pass
        except KeyboardInterrupt:
            self._interrupt()
        if pending.future.done():
            self._finish(pending)
        return pending

    def wait(self) -> None:
        """Wait until all work has ended, with a progress bar, and fill the cells that wait for it.

        Work that was interrupted starts again; runs that are stored are not repeated.

        Raises:
            Stopped: The user has interrupted it.
            CnnlabError: The work has failed.
        """
        try:
            self._submit_again()
            with progress.Bar() as bar:
                while self._waiting:
                    self._relay.pass_on(bar, POLL_SECONDS)
                    if self._waiting[0].future.done():
                        self._finish(self._waiting[0])
        except KeyboardInterrupt:
            self._interrupt()

    def stop(self) -> None:
        """Stop all work, and wait until it has stopped. Runs that have ended are stored."""
        futures = [pending.future for pending in self._waiting]
        for future in reversed(futures):
            future.cancel()
        while not all(future.done() for future in futures):
            self.tuning.engine.interrupt()  # again: the work may be between the runs of two stages
            wait(futures, timeout=POLL_SECONDS)
        self._relay.forget()

    def close(self) -> None:
        """Stop all work for good, and end the connection to a scheduler that was named for this session alone."""
        self.stop()
        self._waiting.clear()
        self._queue.put(None)
        self.tuning.__exit__()

    def _finish(self, pending: Pending) -> None:
        """Fill the cells that wait for work that has ended; raise its error if it has failed."""
        pending.fill()
        self._waiting.remove(pending)
        pending.future.result()

    def _submit_again(self) -> None:
        """Start the work that is new or was interrupted."""
        for pending in self._waiting:
            if not pending.is_submitted or (pending.future.done() and not pending.is_done):
                pending.future, pending.is_submitted = Future(), True
                self._queue.put((pending.future, partial(pending.function, *pending.args)))

    def _work(self) -> None:
        """Do what is submitted, in a thread of its own."""
        while item := self._queue.get():
            future, work = item
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work())
                except BaseException as error:  # raised where the result is asked for
                    future.set_exception(error)

    def _interrupt(self) -> None:
        """Stop all work.

        Raises:
            Stopped: Always; its text says what is stored, and how to continue.
        """
        stored, total = self._relay.stored, self._relay.total
        with suppress(KeyboardInterrupt):  # a reader may press the button twice
            self.stop()
        runs = f"{stored} of {total} runs are stored and will not be repeated" if stored else "no run has ended yet"
        raise Stopped(f"Interrupted: {runs}. Run this cell again to continue.") from None


_session: Session | None = None
"""The notebook's last session."""
_workers: Engine | None = None
"""The workers of all sessions of the notebook, unless a scheduler is named. They end when its kernel does."""


def open_study(
    data: str | Path = "data/sample", study: str = "", budget: str | Mapping[str, Any] = "quick", **more: Any
) -> Session:
    """Open a study in a notebook. Work of an earlier session of the same notebook is stopped; its workers stay.

    Relative paths start in the project's folder, wherever the notebook runs.

    Args:
        data: Folder of the images.
        study: A study file, or "recipe"; "" for the published study.
        budget: A profile ("smoke", "quick", "laptop" or "full"), or a mapping of its name and what differs from it, as
            `{"profile": "quick", "seeds": 2}`; `Tuning` lists what may differ.
        more: Further settings, as `Tuning` describes them: `runs`, `protocol`, `trust`, `accept`, `size`, `trials`,
            `fresh` and `scheduler`.

    Raises:
        ConfigError: A setting does not exist, or has a wrong value.
        StudyError: The study file cannot be read, or something in it is wrong.
    """
    global _session, _workers
    for name in more:
        if name not in MORE:
            raise ConfigError(
                f"Expected further settings named {', '.join(MORE)}. Received: {name!r}.{did_you_mean(name, MORE)}"
            )
    require(isinstance(budget, str | Mapping), "budget", "a profile, or a mapping as {'profile': 'quick'}", budget)
    numbers: dict[str, Any] = {"profile": budget} if isinstance(budget, str) else dict(budget)
    _workers = _workers or Engine()
    tuning = Tuning(
        data,
        more.pop("runs", "reports/runs"),
        numbers.pop("profile", "quick"),
        more.pop("protocol", "corrected"),
        study=study,
        budget=numbers,
        **{"scheduler": _workers, **more},
    )
    if _session:  # not before: a wrong setting stops nothing
        _session.close()
    _session = Session(tuning)
    return _session
