"""Which notebooks differ from the committed ones."""

import nbformat
import pytest

from cnnlab.report import changes
from conftest import write_history


def write(path, *sources, tags=(), output=""):
    cells = [nbformat.v4.new_code_cell(source, id=f"cell-{place}") for place, source in enumerate(sources)]
    cells[0].metadata |= {"tags": list(tags)} if tags else {}
    if output:
        cells[0].outputs = [nbformat.v4.new_output("stream", text=output)]
        cells[0].execution_count = 7
        cells[0].metadata["trusted"] = True
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


@pytest.fixture
def project(tmp_path):
    """A project with three committed notebooks, in a repository that begins further up."""
    paths = [tmp_path / "project" / "notebooks" / f"{name}.ipynb" for name in ("01-data", "03-stage", "05-noise")]
    for path in paths:
        write(path, "a = 1", "a + 1\na + 2")
    write_history(tmp_path)
    return paths


def test_committed_notebooks_do_not_differ(project):
    assert changes.changed_notebooks(project) == []


def test_a_notebook_whose_text_tags_or_kind_of_cell_differ_is_named(project):
    write(project[0], "a = 1", "a + 1\na + 3")
    write(project[1], "a = 1", "a + 1\na + 2", tags=["parameters"])
    assert changes.changed_notebooks(project) == [str(path) for path in project[:2]]
    notebook = nbformat.read(project[2], as_version=4)
    notebook.cells[1].cell_type = "raw"
    nbformat.write(notebook, project[2])
    assert changes.changed_notebooks(project[2:]) == [str(project[2])]


def test_outputs_and_an_empty_cell_at_the_end_are_no_difference(project):
    write(project[0], "a = 1", "a + 1\na + 2", "", output="2")
    assert changes.changed_notebooks(project) == []


def test_a_notebook_that_is_not_committed_or_cannot_be_read_is_left_out(project):
    write(project[0].with_name("new.ipynb"), "a = 1")
    project[1].write_text("{}")
    project[2].unlink()
    assert changes.changed_notebooks([project[0].with_name("new.ipynb"), *project]) == []
    project[1].write_text('{"cells": [{"cell_type": "code", "source": "a = 1", "metadata": []}]}')
    assert changes.changed_notebooks(project) == []


def test_without_git_or_a_repository_nothing_is_named(tmp_path, project, monkeypatch):
    write(project[0], "a = 2")
    outside = tmp_path.with_name(f"{tmp_path.name}-outside") / "01-data.ipynb"
    write(outside, "a = 2")
    assert changes.changed_notebooks([outside]) == []
    assert changes.changed_notebooks([]) == []
    monkeypatch.setenv("PATH", "")
    assert changes.changed_notebooks(project) == []
    assert changes.commit() == "unknown"


def test_the_line_says_what_is_run_and_how_to_get_the_committed_notebooks_back():
    line = changes.changed_line(["notebooks/03-stage.ipynb", "my notebooks/05-noise.ipynb"])
    assert line == (
        "Notebooks that differ from the committed ones: 03-stage.ipynb, 05-noise.ipynb. This report runs them as they "
        "are. To get the committed ones back: git checkout HEAD notebooks/03-stage.ipynb 'my notebooks/05-noise.ipynb'"
    )
    assert changes.changed_line([]) == ""
