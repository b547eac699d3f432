"""Notebooks are executed in processes of their own."""

import json
import time
from types import SimpleNamespace

import nbformat
import pytest

from cnnlab import surroundings
from cnnlab.data import Size
from cnnlab.report.notebooks import NotebookRunner, kernels
from cnnlab.report.notebooks.runner import _CHAPTERS
from cnnlab.study import PROFILES
from cnnlab.tuning import progress


@pytest.fixture
def execute(tmp_path):
    """Execute notebooks of one cell each beside each other; return each one's error, "" for none."""
    gray = SimpleNamespace(digest="d")
    tuning = SimpleNamespace(
        images=SimpleNamespace(
            path=tmp_path / "data", folder=SimpleNamespace(gray=gray, colour=None), accepted=frozenset(), size=None
        ),
        store=SimpleNamespace(path=tmp_path / "runs"),
        study=SimpleNamespace(digest="s"),
        budget=PROFILES["smoke"],
        changes={},
        protocol=SimpleNamespace(name="corrected"),
        scope=SimpleNamespace(asked=set(), skip=set()),
        trust=False,
        engine=SimpleNamespace(address="tcp://127.0.0.1:1", idle_seconds=0.0),
    )
    (tmp_path / "sources").mkdir()
    (tmp_path / "out").mkdir()

    def execute(**cells):
        for name, code in cells.items():
            cell = nbformat.v4.new_code_cell(code, id=name)
            notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"language_info": {"name": "python"}})
            nbformat.write(notebook, tmp_path / "sources" / _CHAPTERS[name][1])
        runner = NotebookRunner(tuning, tmp_path / "out", tmp_path / "sources")
        with surroundings.closed(), runner:
            for name in cells:
                runner.add(name, [])
            return {chapter.name: chapter.error for chapter in runner.wait(progress.Bar())}

    execute.tuning = tuning
    return execute


DIES = """
import multiprocessing, os, signal
with open("{name}", "a") as log:
    log.write("x")
if len(open("{name}").read()) <= {times}:
    os.kill({process}, signal.SIGKILL)
    import time
    time.sleep(60)
"""

PROCESS = "multiprocessing.parent_process().pid if multiprocessing.parent_process() else os.getppid()"
"""The process of the notebook, which has started the kernel."""


@pytest.mark.slow
def test_a_notebook_whose_process_dies_is_started_once_more_and_takes_no_other_along(execute, tmp_path):
    cells = {
        "data": DIES.format(name="once", times=1, process=PROCESS),
        "noise": DIES.format(name="twice", times=2, process=PROCESS),
        "comparison": "1 + 1",
    }
    assert execute(**cells) == {"data": "", "noise": "its process ended unexpectedly, 2 times", "comparison": ""}
    assert [len((tmp_path / "sources" / name).read_text()) for name in ("once", "twice")] == [2, 2]
    assert {path.name for path in (tmp_path / "out").glob("[0-9]*")} == {"01-data.ipynb", "03-comparison.ipynb"}


@pytest.mark.slow
def test_a_notebook_whose_kernel_dies_is_started_again(execute, tmp_path):
    cells = {
        "data": DIES.format(name="twice", times=2, process="os.getpid()"),
        "noise": DIES.format(name="thrice", times=3, process="os.getpid()"),
        "comparison": "raise ValueError('wrong')",
    }
    errors = execute(**cells)
    assert errors["data"] == ""
    assert "Kernel died" in errors["noise"]
    assert errors["comparison"] == "ValueError: wrong"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["01-data.ipynb"]


SURROUNDINGS = """
import json, os, signal, sys
print(json.dumps({
    "command": "ipykernel_launcher" in sys.orig_argv,
    "variables": sorted(name for name in os.environ if not name.startswith("JPY_")),  # of Jupyter itself
    "same": [os.getcwd(), sys.path, sys.flags.safe_path, os.getsid(0) == os.getpid()],
    "interrupted": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not kernels.FORKS, reason="here every kernel is a command")
def test_a_kernel_that_is_a_copy_has_the_surroundings_of_one_that_is_a_command(execute, tmp_path, monkeypatch):
    monkeypatch.setenv(surroundings.ADDRESS, "")  # so that it has its value again after this test
    assert execute(data=SURROUNDINGS) == {"data": ""}
    monkeypatch.setattr(kernels, "FORKS", False)
    job = tmp_path / "sources" / "01-data.ipynb", tmp_path / "command.ipynb", {}, "key", "tcp://127.0.0.1:1"
    with surroundings.closed():
        assert kernels._execute(job, lambda **_: None) == ""
    copy, command = (
        json.loads(nbformat.read(path, as_version=4).cells[-1].outputs[0].text)
        for path in (tmp_path / "out" / "01-data.ipynb", tmp_path / "command.ipynb")
    )
    assert [copy.pop("command"), command.pop("command")] == [False, True]
    assert set(command.pop("variables")) <= set(copy.pop("variables"))  # imports may set some
    assert copy == command


@pytest.mark.slow
def test_a_notebook_that_was_executed_is_kept_and_one_that_is_no_longer_needed_is_removed(execute, tmp_path):
    code = "import os; print(os.environ['DASK_SCHEDULER_ADDRESS'])"
    execute(data=code, noise="1")
    path = tmp_path / "out" / "01-data.ipynb"
    assert "tcp://127.0.0.1:1" in path.read_text()
    (tmp_path / "out" / "03-mine.ipynb").write_text("{}")
    before = path.stat().st_mtime_ns
    execute(data=code)
    assert path.stat().st_mtime_ns == before
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"01-data.ipynb", "03-mine.ipynb"}
    execute.tuning.study.digest = "another study"
    execute(data=code)
    assert path.stat().st_mtime_ns > before


@pytest.mark.slow
def test_a_notebook_has_the_parameters_of_its_report(execute, tmp_path):
    execute.tuning.changes = {"seeds": 2, "precision": "mixed_bfloat16"}
    execute.tuning.scope.skip = {"loss", "dense"}
    execute.tuning.images.size = Size(24, 40)
    assert execute(data="print(data, repr(study), budget, more)\nprint('stage' in dir())") == {"data": ""}
    [cell] = [cell for cell in nbformat.read(tmp_path / "out" / "01-data.ipynb", as_version=4).cells if cell.outputs]
    budget = {"profile": "smoke", "seeds": 2, "precision": "mixed_bfloat16", "skip": "dense,loss"}
    more = {"runs": str(tmp_path / "runs"), "protocol": "corrected", "size": "24x40"}
    assert cell.outputs[0].text.splitlines() == [f"{tmp_path / 'data'} '' {budget} {more}", "False"]


SLEEPS = "import time\ntime.sleep(1000)"


@pytest.mark.slow
def test_a_notebook_that_does_not_answer_is_given_up_and_the_others_are_kept(execute, tmp_path, monkeypatch):
    class Engine:
        """No run is in progress from the moment at which one notebook has ended and the other one waits."""

        address = "tcp://127.0.0.1:1"

        @property
        def idle_seconds(self):
            return 1000.0 if (tmp_path / "out" / "01-data.ipynb").exists() and waits.exists() else 0.0

    waits = tmp_path / "waits"
    monkeypatch.setattr(kernels, "SILENT_SECONDS", 3)
    execute.tuning.engine = Engine()
    errors = execute(data="1 + 1", noise=f"open({str(waits)!r}, 'w').close()\n{SLEEPS}")
    assert errors["data"] == ""
    assert "did not answer for 3 s while no run was in progress" in errors["noise"]


@pytest.mark.slow
def test_a_notebook_may_wait_as_long_as_a_run_is_under_way(execute, monkeypatch):
    monkeypatch.setattr(kernels, "SILENT_SECONDS", 0)
    assert execute(data="import time\ntime.sleep(3)") == {"data": ""}


@pytest.mark.slow
def test_a_command_that_ends_early_does_not_wait_for_its_notebooks(execute, tmp_path):
    execute(noise="1")  # writes the source
    (tmp_path / "sources" / "01-data.ipynb").write_text(
        (tmp_path / "sources" / "05-noise.ipynb").read_text().replace('"1"', json.dumps(SLEEPS))
    )
    started = time.monotonic()
    with NotebookRunner(execute.tuning, tmp_path / "out", tmp_path / "sources") as runner:
        runner.add("data", [])
        time.sleep(2)
    assert time.monotonic() - started < 300, "the notebook sleeps for 1,000 seconds"


@pytest.mark.slow
@pytest.mark.parametrize("place", ["{a}", "with 'quotes' \"and\" spaces", "ä$HOME~", "two\nlines"])
def test_a_report_in_a_folder_of_any_name_is_executed_there(execute, tmp_path, place):
    out = tmp_path / place
    out.mkdir()
    execute.tuning.images.path = out / "data"
    source = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell("data = ''", id="first", metadata={"tags": ["parameters"]}),
            nbformat.v4.new_code_cell("print(data)", id="second"),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    (out / "sources").mkdir()
    nbformat.write(source, out / "sources" / "01-data.ipynb")
    with NotebookRunner(execute.tuning, out, out / "sources") as runner:
        runner.add("data", [])
        [chapter] = runner.wait(progress.Bar())
    assert chapter.error == ""
    executed = nbformat.read(out / "01-data.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].text == f"{out / 'data'}\n"
