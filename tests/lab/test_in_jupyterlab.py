"""The notebooks in a real JupyterLab, used by a browser as their readers use them."""

import json
import re
from contextlib import nullcontext

import pytest

import jupyter_lab
from browsers import chromium
from conftest import made_up_workers

pytestmark = pytest.mark.slow

LONG = "import time\nfrom IPython.display import HTML, Image, display\n" + "print(1)\n" * 40
BAR = "from tqdm.auto import tqdm\nfor i in tqdm(range(20)):\n    time.sleep(0.4)"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture(scope="module")
def project(folder, tmp_path_factory):
    return jupyter_lab.make_project(tmp_path_factory.mktemp("lab") / "project", folder)


@pytest.fixture(scope="module")
def lab(project):
    browser = chromium("how the notebooks work in JupyterLab")
    home = project.parent / "home"
    home.mkdir()
    with jupyter_lab.running(browser, project, home) as running:
        yield running


def test_the_first_notebook_runs_and_leads_to_the_others(lab, project):
    notebook = lab.open("notebooks/00-start.ipynb")
    notebook.run_all()
    notebook.wait_until_idle()
    assert notebook.errors() == []
    assert "learning-rate" in notebook.outputs()[-1]
    links = {link.inner_text() for link in notebook.cells.locator("a").all()}
    others = {path.stem for path in (project / "notebooks").glob("0*.ipynb")} - {"00-start"}
    assert links - {""} == others


def test_a_live_bar_is_in_sight_after_run_all_if_text_stands_below_its_cell(lab, project):
    jupyter_lab.write_notebook(project / "notebooks" / "bar.ipynb", LONG, LONG, BAR, "## What next\n\n- one\n- two")
    notebook = lab.open("notebooks/bar.ipynb")
    notebook.run_all()
    notebook.wait_for_text("/20", cell=-2)
    assert notebook.is_in_sight(".widget-hprogress", cell=-2)
    assert notebook.prompts() == ["[1]:", "[2]:", "[*]:", ""]
    notebook.wait_until_idle()
    assert "20/20" in notebook.outputs()[2]


def test_the_last_cell_fills_an_output_further_up_whatever_is_shown_there(lab, project):
    first = LONG + "shown = display(HTML('<b>waits</b>'), display_id=True)"
    last = f"import base64\nshown.update(Image(base64.b64decode('{PIXEL}')))"
    jupyter_lab.write_notebook(project / "notebooks" / "fill.ipynb", first, last)
    notebook = lab.open("notebooks/fill.ipynb")
    notebook.run(0)
    notebook.wait_for_text("waits", cell=0)
    assert notebook.kinds(0)[-1] == "text/html"
    notebook.run_all()
    notebook.wait_until_idle()
    assert notebook.kinds(0)[-1] == "image/png"
    assert notebook.errors() == []


def test_an_interrupted_cell_can_be_edited_and_run_again(lab, project):
    jupyter_lab.write_notebook(
        project / "notebooks" / "stop.ipynb", "import time\nprint('waits')\ntime.sleep(60)", "'after'"
    )
    notebook = lab.open("notebooks/stop.ipynb")
    notebook.run_all()
    notebook.wait_for_text("waits", cell=0)
    notebook.interrupt()
    notebook.wait_until_idle(20)
    assert [error.partition(":")[0] for error in notebook.errors()] == ["KeyboardInterrupt"]
    assert notebook.outputs()[1] == ""
    notebook.change("sleep(60)", "sleep(0)\nfor i in (1, 2):\n    print(i)")
    notebook.run_all()
    notebook.wait_until_idle(20)
    assert notebook.errors() == []
    assert notebook.outputs() == ["waits\n1\n2", "'after'"]


BUDGET = {"profile": "smoke", "seeds": 2, "stages": "base,depth"}
CHANGES = {
    "01-data": {"budget": '"smoke"'},
    "02-one-model": {"epochs": "1"},
    "03-stage": {"budget": repr(BUDGET)},
    "04-comparison": {"budget": repr(BUDGET)},
    "05-noise": {"budget": repr(BUDGET)},
    "06-mistakes": {"budget": '{"profile": "smoke", "stages": "mistakes", "train": 60}'},
    "07-published": {"budget": repr(BUDGET)},
    "08-search": {"budget": repr(BUDGET | {"stages": "base,depth,search"})},
}
WAITS = "is filled when its runs have ended"


def set_parameters(notebook, **values):
    """Change the first code cell, as a reader does."""
    [(cell, source)] = [
        (place, cell["source"])
        for place, cell in enumerate(notebook.content())
        if "parameters" in cell["metadata"].get("tags", [])
    ]
    for name, value in values.items():
        source = re.sub(rf"^{name} = .*", lambda _, line=f"{name} = {value}": line, source, flags=re.MULTILINE)
    notebook.edit(cell, source)


def cell_of(notebook, start):
    """The number of the cell whose text starts with something."""
    [cell] = [place for place, source in enumerate(notebook.sources()) if source.startswith(start)]
    return cell


def stored_outputs(notebook):
    """The outputs of each cell as its file would hold them, also of cells that are out of sight."""
    return [json.dumps(cell.get("outputs", []), ensure_ascii=False) for cell in notebook.content()]


def test_the_settings_of_each_notebook_are_changed_here(project):
    assert sorted(path.stem for path in (project / "notebooks").glob("0[1-9]*.ipynb")) == list(CHANGES)


@pytest.mark.parametrize("name", CHANGES)
def test_a_notebook_runs_with_changed_settings(name, lab, engine):
    notebook = lab.open(f"notebooks/{name}.ipynb")
    # 03-stage starts workers of its own; the others join some, so that they need not wait for theirs. The runs of the
    # mistakes, which take longest, are made up.
    with made_up_workers() if name == "06-mistakes" else nullcontext(engine.address) as address:
        more = {"more": repr({"scheduler": address})} if name != "03-stage" else {}
        set_parameters(notebook, **CHANGES[name], **more)
        notebook.run_all()
        notebook.wait_until_idle(400)
        assert notebook.errors() == []
        assert WAITS not in "".join(stored_outputs(notebook))
        notebook.close()


def test_a_reader_of_a_stage_sees_its_progress_interrupts_it_and_continues_and_adds_trials_of_their_own(lab, project):
    notebook = lab.open("notebooks/03-stage.ipynb")
    long = {"profile": "smoke", "epochs": 60, "patience": 60, "seeds": 3, "train": 150}
    set_parameters(notebook, stage='"depth"', budget=repr(long), more='{"runs": "reports/long"}')
    wait = cell_of(notebook, "session.wait()")
    model = cell_of(notebook, "from keras import Input, Sequential, layers")
    notebook.edit(model, notebook.sources()[model].replace("filters=32", "filters=4"))
    notebook.run_all()
    notebook.wait_for_text(re.compile(r"seed\s\d,\sepoch\s\d+/60,.*val_f1\s0\.\d"), cell=wait, seconds=300)
    assert notebook.is_in_sight(".widget-hprogress", cell=wait)
    assert WAITS in stored_outputs(notebook)[cell_of(notebook, "runs.show(plots.scores)")]

    notebook.interrupt()
    notebook.wait_until_idle(60)
    assert re.search(r"Interrupted: \d of \d runs are stored", notebook.outputs()[wait])
    assert "Traceback" not in notebook.outputs()[wait]
    notebook.run(wait)
    notebook.wait_until_idle(400)
    assert notebook.errors() == []
    assert '"image/png"' in stored_outputs(notebook)[cell_of(notebook, "runs.show(plots.scores)")]

    mine = cell_of(notebook, "mine = {}")
    source = notebook.sources()[mine]
    trials = '{"96 units": {"dense_units": 96}, "my model": two_big_convolutions}'
    notebook.edit(mine, source.replace("mine = {}", f"mine = {trials}"))
    notebook.run(mine)
    notebook.run(wait)
    notebook.wait_until_idle(400)
    assert notebook.errors() == []
    shown = stored_outputs(notebook)[mine]
    assert "“96 units”: `val_f1` " in shown
    assert re.search(r"“my model”: `val_f1` .*Compared with the incumbent: .*(better|worse|inconclusive)", shown)
    notebook.close()


def test_a_wrong_setting_is_one_line(lab):
    notebook = lab.open("notebooks/03-stage.ipynb")
    set_parameters(notebook, stage='"droput"', budget='"smoke"')
    notebook.run_all()
    notebook.wait_until_idle(120)
    outputs = [output for cell in notebook.content() for output in cell.get("outputs", [])]
    [error] = [output for output in outputs if output["output_type"] == "error"]
    [line] = error["traceback"]
    assert line.startswith("cnnlab: Expected a stage named base")
    assert "\n" not in line
    notebook.close()
