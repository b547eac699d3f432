"""Notebooks are executed in processes of their own, and their kernels do not get in each other's way."""

import os
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from cnnlab.report import notebooks
from cnnlab.report.notebooks import KernelManager, NotebookRunner
from cnnlab.tuning import progress


@pytest.mark.skipif(os.name == "nt", reason="Windows has no sockets in the file system")
def test_every_kernel_has_its_own_sockets_and_leaves_none_behind():
    first, second = KernelManager(), KernelManager()
    assert first.transport == second.transport == "ipc"
    assert first.ip != second.ip
    for manager in (first, second):
        folder = Path(manager.ip).parent
        assert folder.is_dir()
        manager.cleanup_ipc_files()
        assert not folder.exists()


@pytest.fixture
def execute(tmp_path):
    """Execute notebooks of one cell each beside each other; return each one's error, "" for none."""
    gray = SimpleNamespace(digest="d")
    tuning = SimpleNamespace(
        images=SimpleNamespace(path=tmp_path / "data", folder=SimpleNamespace(gray=gray, colour=None)),
        store=SimpleNamespace(path=tmp_path / "runs"),
        profile=SimpleNamespace(name="smoke", precision="float32", halving=False),
        protocol=SimpleNamespace(name="corrected"),
        skip=set(),
        engine=SimpleNamespace(address="tcp://127.0.0.1:1"),
    )
    (tmp_path / "sources").mkdir()
    (tmp_path / "out").mkdir()

    def execute(**cells):
        for name, code in cells.items():
            cell = nbformat.v4.new_code_cell(code, id=name)
            notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"language_info": {"name": "python"}})
            nbformat.write(notebook, tmp_path / "sources" / notebooks._CHAPTERS[name][1])
        with NotebookRunner(tuning, tmp_path / "out", tmp_path / "sources") as runner:
            for name in cells:
                runner.add(name, [])
            return {chapter.name: chapter.error for chapter in runner.wait(progress.Bar())}

    return execute


# The process of a notebook is the parent of its kernel.
DIES = """
import os, pathlib, signal
with open("{name}", "a") as log:
    log.write("x")
if len(open("{name}").read()) <= {times}:
    os.kill(os.{process}(), signal.SIGKILL)
    import time
    time.sleep(60)
"""


@pytest.mark.slow
def test_a_notebook_whose_process_dies_is_started_once_more_and_takes_no_other_along(execute, tmp_path):
    cells = {
        "data": DIES.format(name="once", times=1, process="getppid"),
        "noise": DIES.format(name="twice", times=2, process="getppid"),
        "comparison": "1 + 1",
    }
    assert execute(**cells) == {"data": "", "noise": "its process ended unexpectedly, 2 times", "comparison": ""}
    assert [len((tmp_path / "sources" / name).read_text()) for name in ("once", "twice")] == [2, 2]
    assert {path.name for path in (tmp_path / "out").glob("[0-9]*")} == {"01-data.ipynb", "03-comparison.ipynb"}


@pytest.mark.slow
def test_a_notebook_whose_kernel_dies_is_started_again(execute, tmp_path):
    cells = {
        "data": DIES.format(name="twice", times=2, process="getpid"),
        "noise": DIES.format(name="thrice", times=3, process="getpid"),
        "comparison": "raise ValueError('wrong')",
    }
    errors = execute(**cells)
    assert errors["data"] == ""
    assert "Kernel died" in errors["noise"]
    assert errors["comparison"] == "ValueError: wrong"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["01-data.ipynb"]


@pytest.mark.slow
def test_a_notebook_that_was_executed_is_kept_and_one_that_is_no_longer_needed_is_removed(execute, tmp_path):
    code = "import os; print(os.environ['DASK_SCHEDULER_ADDRESS'], os.environ['JUPYTER_PREFER_ENV_PATH'])"
    execute(data=code, noise="1")
    path = tmp_path / "out" / "01-data.ipynb"
    assert "tcp://127.0.0.1:1 1" in path.read_text()
    (tmp_path / "out" / "03-mine.ipynb").write_text("{}")
    before = path.stat().st_mtime_ns
    execute(data=code)
    assert path.stat().st_mtime_ns == before
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"01-data.ipynb", "03-mine.ipynb"}
