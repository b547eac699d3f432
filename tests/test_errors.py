"""A user's mistake is one line, in a notebook too."""

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from cnnlab import errors
from cnnlab.errors import CnnlabError, ConfigError

CHAINED = """
from cnnlab.errors import DataError
try:
    {}["missing"]
except KeyError as error:
    raise DataError("Expected one.\\nReceived: none.") from error
"""


@pytest.mark.slow
def test_in_a_notebook_a_mistake_is_one_line_whatever_caused_it():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CHAINED)])
    with pytest.raises(CellExecutionError) as caught:
        NotebookClient(notebook, kernel_name="python3").execute()
    assert (caught.value.ename, caught.value.evalue) == ("DataError", "Expected one.\nReceived: none.")
    [output] = notebook.cells[0].outputs
    assert (output.ename, output.evalue) == ("DataError", "Expected one.\nReceived: none.")
    assert output.traceback == ["cnnlab: Expected one. Received: none."]


@pytest.mark.parametrize(
    "kind", [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, CnnlabError)]
)
def test_every_error_of_ours_is_shown_in_one_line(kind):
    assert kind("Expected a.\n  Received: b.")._render_traceback_() == ["cnnlab: Expected a. Received: b."]


def test_names_come_as_a_list_or_as_a_text():
    assert errors.split_names("skip", "a, b c,,") == errors.split_names("skip", ["a", "b c ", ""]) == ("a", "b c")
    for wrong in (3, None, ["a", 3], b"a"):
        with pytest.raises(ConfigError, match="Expected skip to be names"):
            errors.split_names("skip", wrong)


@pytest.mark.parametrize("name", ["a", "\u732b", "32-64 (my own)", "$x$"])
def test_a_usable_name(name):
    errors.require_name("a trial", name)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x1b[2J", None, 3, b"a", ("a",)])
def test_a_name_that_cannot_be_shown(name):
    with pytest.raises(ConfigError, match="Expected a name of one line"):
        errors.require_name("a trial", name)
