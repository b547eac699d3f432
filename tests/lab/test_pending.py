"""Cells that wait for work are filled when it has ended, whatever they show."""

import nbformat
import pytest
from nbclient import NotebookClient

from cnnlab.errors import RunError
from cnnlab.lab import Pending

pytestmark = pytest.mark.slow

START = """
from concurrent.futures import Future
import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import HTML, Markdown, display
from cnnlab.lab import Pending
pending = Pending(lambda: None, (), lambda: None)
"""
SHOWS = [
    "pending.show(lambda result: Markdown(f'**{result}**'))",
    "pending.show(lambda result: print(result) or pd.DataFrame({'a': [result]}))",
    "@pending.show\ndef figure(result):\n    plt.plot([0, result])",
    "pending.show(lambda result: None)",
    "pending.show(lambda result: 'a line\\nand another')",
    "@pending.show\ndef many(result):\n    for number in range(7):\n        display(f'number {number}')",
]
WRONG = "pending.show(lambda result: result['a'])"
END = "pending.future.set_result(3)\npending.fill()"


def kinds(cell):
    """The outputs of a cell that show something: for each, what it is as the best type, and its text."""
    texts = [(output.get("data", {}), output.get("text", "")) for output in cell.outputs]
    return [(list(data), text or data.get("text/plain", "")) for data, text in texts if data != {"text/html": ""}]


@pytest.fixture(scope="module")
def executed():
    """The same cells in two notebooks of a real kernel: filled later, and with the result there already."""
    made = {}
    for name, sources in (("later", [START, WRONG, *SHOWS, END]), ("at once", [START + END, *SHOWS])):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
        made[name] = notebook.cells[-len(SHOWS) - 1 : -1] if name == "later" else notebook.cells[1:]
        made["wrong"] = made.get("wrong", notebook.cells[1])
    return made


def test_a_cell_is_filled_later_with_what_it_would_show_at_once(executed):
    for later, now in list(zip(executed["later"], executed["at once"], strict=True))[:4]:
        assert [sorted(types) for types, _ in kinds(later)] == [
            sorted(types or ["text/plain"]) for types, _ in kinds(now)
        ]


def test_a_text_is_shown_as_its_lines(executed):
    for name in ("later", "at once"):
        [(_, text)] = kinds(executed[name][4])
        assert text.strip() == "a line\nand another"


def test_a_cell_that_shows_more_than_it_has_places_for_shows_all_texts(executed):
    shown = "\n".join(text for _, text in kinds(executed["later"][5]))
    assert all(f"number {number}" in shown for number in range(7))


def test_an_error_stands_in_its_cell_and_the_other_cells_are_filled(executed):
    [(_, text)] = kinds(executed["wrong"])
    assert text == "TypeError: 'int' object is not subscriptable"


def test_the_error_of_the_work_stands_in_the_cells_that_wait_for_it(capsys):
    pending = Pending(lambda: None, (), lambda: None)
    pending.show(lambda result: result)
    capsys.readouterr()
    handle = pending._shows[0][1][0]
    updated = []
    handle.update = lambda data, **_: updated.append(data)
    pending.future.set_exception(RunError("Expected 2 runs to finish."))
    pending.fill()
    assert updated == [{"text/plain": "cnnlab: Expected 2 runs to finish."}]


def test_the_last_cell_shows_none_of_it(executed):
    assert kinds(executed["later"][3]) == []
