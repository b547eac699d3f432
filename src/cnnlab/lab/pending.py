"""Work in the background of a notebook, and the cells that show its result."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from traceback import format_exception_only
from typing import Any

from IPython import get_ipython
from IPython.display import HTML, DisplayHandle, display
from IPython.utils.capture import capture_output

from cnnlab.errors import CnnlabError

PLACES = 4
"""Outputs of a cell that is filled later: Jupyter can change the outputs of a cell that has ended, but not add any. If
there are more, the last one has the texts of the rest."""
WAITING = (
    "<i>This cell is filled when its runs have ended. <code>session.wait()</code> below shows how far they are.</i>"
)


class Pending:
    """Work that a session does in the background, in the order in which it was started.

    Args:
        function: What does it, in another thread.
        args: Its arguments.
        wait: Waits, in the notebook's own thread, until all work has ended.

    Attributes:
        future: Its result, or its error.
        is_submitted: Whether it was given to the other thread.
    """

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], wait: Callable[[], None]) -> None:
        self.function, self.args, self._wait = function, args, wait
        self.future, self.is_submitted = Future[Any](), False
        self._shows: list[tuple[Callable[[Any], Any], Sequence[DisplayHandle]]] = []

    @property
    def is_done(self) -> bool:
        """Whether the work has ended without an error."""
        return self.future.done() and not self.future.cancelled() and self.future.exception() is None

    def result(self) -> Any:
        """Return the result of the work. If it has not ended, wait for it.

        It raises what the work does, and `Stopped` if the user interrupts it.
        """
        if not self.is_done:
            self._wait()
        return self.future.result()

    def show(self, function: Callable[[Any], Any]) -> None:
        """Show what a function makes of the result, in this cell: now, or when the work has ended.

        It can be used as a decorator. The function may return something to display, display something itself, or
        print; `None` shows nothing.

        Args:
            function: Called with the result.
        """
        if self.is_done:
            _show(function, self.future.result())
        else:
            handles = [DisplayHandle() for _ in range(PLACES)]
            for number, handle in enumerate(handles):
                handle.display(HTML("" if number else WAITING))
            self._shows.append((function, handles))

    def fill(self) -> None:
        """Fill the cells that wait for work that has ended: with its result, or with its error or their own."""
        while self._shows:
            function, handles = self._shows[0]
            with capture_output() as captured:
                try:
                    _show(function, self.future.result())
                except Exception as error:  # the other cells are filled
                    lines = [f"cnnlab: {error}"] if isinstance(error, CnnlabError) else format_exception_only(error)
                    print("".join(lines).strip())  # noqa: T201 - a cell's output
                if shell := get_ipython():
                    shell.events.trigger("post_execute")  # Matplotlib's figures are shown only then
            outputs = [(output.data, output.metadata) for output in captured.outputs]
            if captured.stdout:
                outputs.insert(0, ({"text/plain": captured.stdout.rstrip("\n")}, {}))
            if len(outputs) > PLACES:
                merged = "\n".join(str(data.get("text/plain", "")) for data, _ in outputs[PLACES - 1 :])
                outputs[PLACES - 1 :] = [({"text/plain": merged}, {})]
            outputs += [({"text/html": ""}, {})] * (PLACES - len(outputs))
            for handle, (data, metadata) in zip(handles, outputs, strict=True):
                handle.update(data, raw=True, metadata=metadata)
            self._shows.pop(0)  # only now: a reader may interrupt it


def _show(function: Callable[[Any], Any], result: Any) -> None:
    """Call a function, and display what it returns, unless that is None."""
    value = function(result)
    if isinstance(value, str):
        print(value)  # noqa: T201 - a cell's output
    elif value is not None:
        display(value)
