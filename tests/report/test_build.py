"""Whole reports, made by the real command, with real kernels and real workers."""

import csv
import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import asdict

import nbformat
import pytest
from bs4 import BeautifulSoup

from browsers import chromium, opened
from cnnlab import report
from cnnlab.errors import ConfigError, RunError
from cnnlab.evidence import Rule
from cnnlab.report import words
from cnnlab.report.changes import changed_line
from cnnlab.study import PROFILES, STAGES, built_in, published_fits
from cnnlab.tuning import Tuning
from cnnlab.tuning.doubtful import COLUMNS
from cnnlab.tuning.scope import CURVE_PARTS
from conftest import ROOT, write_history

pytestmark = pytest.mark.slow
NAMES = [stage.name for stage in built_in().stages]
"""Names of all stages of a smoke report: those of the published study, and the joint search."""


def command(*words, cwd=ROOT):
    return subprocess.run(
        [sys.executable, "-m", "cnnlab", *map(str, words)], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def made(smoke_report):
    return smoke_report


@pytest.fixture(scope="module")
def page(made):
    return BeautifulSoup((made[0] / "index.html").read_text(encoding="utf-8"), "html.parser")


def test_the_page_shows_every_stage_and_starts_with_the_findings(page):
    links = [link["href"] for link in page.select("nav a")]
    chapters = ["data", *NAMES, "comparison", "noise", "published"]
    parts = [f"#{name}" for name in chapters]
    assert links == ["#answer", "#all-stages", *parts, "#all-runs", "#how", "#glossary"]
    for link in links:
        assert page.select_one(link)
    assert "The model to use" in page.select_one("#answer").get_text()
    for stage in STAGES:
        chapter = page.select_one(f"#{stage.name}")
        assert stage.question in chapter.get_text()
        assert stage.title in chapter.h2.get_text()
        assert len(chapter.select("figure.picture")) >= 2
        assert len(chapter.select("table.cnnlab:has(.trial)")) == 1
        headings = {heading.get_text().removesuffix(" #") for heading in chapter.select("details.more h3")}
        assert {"The decision", "The selected model"} <= headings


def test_the_joint_search_has_a_chapter_and_a_table_of_its_proposals(page, made):
    chapter = page.select_one("#search")
    assert built_in().stage("search").question in chapter.get_text()
    assert len(chapter.select("figure.picture")) >= 2
    headings = {heading.get_text().removesuffix(" #") for heading in chapter.select("details.more h3")}
    assert {"The ledger", "The decision"} <= headings
    assert [link.get_text() for link in page.select('#how a[href="search.csv"]')] == ["search.csv"]
    with (made[0] / "search.csv").open(newline="") as stream:
        proposals = list(csv.DictReader(stream))
    run = [row for row in proposals if row["status"] == "run"]
    assert len(run) == PROFILES["smoke"].search
    assert f"{len(proposals)} proposals, " in chapter.get_text()
    with (made[0] / "results.csv").open(newline="") as stream:
        rows = {row["trial"]: row["digest"] for row in csv.DictReader(stream) if row["stage"] == "search"}
    assert {row["runs"] for row in run} == {rows[f"trial {row['number']}"] for row in run}


def test_the_chapter_of_the_search_has_at_most_two_screens_before_more(made):
    with opened(chromium("how high a chapter is")) as browser:
        shown = browser.new_page(viewport={"width": 1280, "height": 800})
        shown.goto((made[0] / "index.html").as_uri(), timeout=120_000)
        assert shown.locator("#search").bounding_box()["height"] <= 1600


def test_the_page_is_one_file_whose_pictures_have_text_alternatives(page, made):
    for element in page.find_all(["link", "iframe", "object"]):
        pytest.fail(f"{element.name} loads or runs something")
    assert not re.search(r'src="(?!data:)', (made[0] / "index.html").read_text(encoding="utf-8"))
    assert '"Liberation Sans"' in page.style.get_text(), "the style sheet is not escaped"
    assert all(len(image["alt"]) > 20 for image in page.select(".output_area img"))
    assert all(len(plot["aria-label"]) > 20 for plot in page.select("svg.plot"))


def test_no_id_is_used_twice(page):
    ids = [element["id"] for element in page.select("[id]")]
    assert len(ids) == len(set(ids))


def test_other_images_than_cifar10_have_nothing_of_the_published_study_but_the_appendix(page, made):
    assert "They are not CIFAR-10" in page.select_one("#answer").get_text()
    for section in page.select("main > :not(#published, #glossary)"):
        for word in ("CNN-", "published F1", "published choice", "published study"):
            assert word not in section.get_text(), section["id"]
    appendix = page.select_one("#published").get_text()
    assert "0.0152 (11 degrees of freedom)" in appendix
    assert "make data, then make report DATA=data/cifar10" in appendix
    assert "Fit by fit" not in [heading.get_text() for heading in page.select("#published h3")]
    assert not page.select("#all-claims, #mistakes")
    for name, columns in (("results", ["published_f1"]), ("decisions", ["published_choice", "agrees"])):
        with (made[0] / f"{name}.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert rows
        for column in columns:
            assert {row[column] for row in rows} == {""}, column


def test_the_page_links_every_file_beside_it(page, made):
    files = {path.name for path in made[0].iterdir() if path.is_file()} - {"index.html"}
    assert {link["href"] for link in page.select("#how a[href]") if "#" not in link["href"]} == files


def test_the_page_is_small_enough_for_a_mail(made):
    assert (made[0] / "index.html").stat().st_size < 6e6


def test_the_tables_and_the_manifest_agree(made):
    with (made[0] / "decisions.csv").open(newline="") as stream:
        assert [row["stage"] for row in csv.DictReader(stream)] == NAMES
    with (made[0] / "results.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["stage"] for row in rows} == set(NAMES)
    assert {row["cached"] for row in rows} == {"False"}
    manifest = json.loads((made[0] / "manifest.json").read_bytes())
    assert manifest["missing"] == {}
    assert (made[0] / "mistakes.csv").read_text().splitlines() == ["mistake,trial"]
    assert (made[0] / "mistake-effects.csv").read_text().startswith("mistake,trial,against,difference,low,high,verdict")
    assert (made[0] / "claims.csv").read_text().startswith("claim,status,claimed,trial,against,difference,low,high,")
    assert (made[0] / "doubtful-labels.csv").read_text().splitlines()[0] == ",".join(COLUMNS)
    digests = {row["digest"] for row in rows}
    assert manifest["runs"] == manifest["runs_made_now"] == len(digests) + len(CURVE_PARTS)
    with (made[0] / "comparisons.csv").open(newline="") as stream:
        assert {row["stage"] for row in csv.DictReader(stream)} <= set(NAMES)
    assert len(list(made[1].glob("*.run"))) == manifest["runs"]
    assert manifest["study"]["built_in"] is True
    assert manifest["study"]["sha256"] == hashlib.sha256((made[0] / "study.toml").read_bytes()).hexdigest()
    assert manifest["budget"] == asdict(PROFILES["smoke"])
    assert manifest["repeat"]["command"] == f"make report PROFILE=smoke PROTOCOL=corrected DATA={made[3][4]}"


def test_every_notebook_was_executed_to_its_end(made):
    paths = sorted((made[0] / "notebooks").iterdir())
    names = ["data", *NAMES, "comparison", "noise", "published"]
    assert [path.stem.split("-", 1)[1] for path in paths] == names
    for path in paths:
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in cells)
        assert not any(output.output_type == "error" for cell in cells for output in cell.outputs)


def test_the_final_model_takes_raw_pixels_of_the_images_people_have(made, colour):
    import keras

    model = keras.saving.load_model(made[0] / "model.keras")
    assert model.predict(colour.test_images[:2].astype("float32"), verbose=0).sum() == pytest.approx(2, rel=1e-4)


def test_the_model_card_is_of_the_models_run(made):
    run = json.loads((made[0] / "manifest.json").read_bytes())["model"]["run"]
    assert f"Run `{run[:12]}`" in (made[0] / "model-card.md").read_text(encoding="utf-8")


def test_without_a_terminal_progress_is_a_line_an_event(made):
    *warnings, accept = [line for line in made[2].stderr.splitlines() if line.startswith("images: ")]
    assert [line.rpartition("[")[2] for line in warnings] == ["small-classes]"]
    assert accept.endswith("(ACCEPT=small-classes).")
    # Where these notebooks are being changed, a line says so.
    lines = [line for line in made[2].stderr.splitlines()[2:] if "git checkout" not in line]
    assert len([line for line in lines if not line.startswith("search")]) == 2 * len(STAGES) + 1, made[2].stderr
    assert lines[0] == "base: 1 run"
    assert lines[-1] == "learning-curve: 2 runs"


def test_the_command_ends_with_the_findings_and_the_path(made):
    *brief, path = made[2].stdout.splitlines()
    steps = [line for line in brief if line.startswith("next: ")]
    brief = brief[: -len(steps)]
    assert path == str(made[0] / "index.html")
    assert brief[0].startswith("Final model: test macro-F1 0.")
    assert 3 <= len(brief) <= 5
    assert 1 <= len(steps) <= 5
    assert any("SEEDS=3" in line for line in steps), "one seed gives no interval"


def test_a_second_report_repeats_nothing(made):
    kept = [*(made[0] / "notebooks").iterdir(), made[0] / "index.html", made[0] / "model.keras"]
    times = {path: path.stat().st_mtime_ns for path in kept}
    done = command(*made[3])
    assert done.returncode == 0
    assert done.stdout == made[2].stdout
    assert {path: path.stat().st_mtime_ns for path in kept} == times
    assert json.loads((made[0] / "manifest.json").read_bytes())["runs_made_now"] == 0
    with (made[0] / "results.csv").open(newline="") as stream:
        assert {row["cached"] for row in csv.DictReader(stream)} == {"True"}


def test_a_damaged_page_is_made_again(made):
    page = made[0] / "index.html"
    whole = page.read_bytes()
    page.write_bytes(whole[:-10])
    assert command(*made[3]).returncode == 0
    assert len(page.read_bytes()) > 0.99 * len(whole)
    assert page.read_bytes().rstrip().endswith(b"</html>")


def test_a_report_does_not_differ_from_itself(made):
    done = command("diff", made[0], made[0])
    assert done.returncode == 0
    assert "No setting differs." in done.stdout
    assert done.stdout.count(": same") == len(NAMES)


def test_a_study_of_some_trials_is_refused(folder, tmp_path):
    tuning = Tuning(folder, tmp_path / "runs", "smoke", trials={"dense": ["64"]})
    with pytest.raises(ConfigError, match="Leave trials out"):
        report.make(tuning, tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_a_report_in_the_folder_of_the_stored_runs_is_refused(folder, tmp_path):
    with pytest.raises(ConfigError, match="which is that of the stored runs"):
        report.make(Tuning(folder, tmp_path / "runs", "smoke"), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_report_never_overwrites_its_source_notebooks(folder, tmp_path):
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    done = command("report", "--data", folder, "--report", ".", cwd=tmp_path)
    assert done.returncode == 2
    assert "a folder for the report alone" in done.stderr
    assert len(list((tmp_path / "notebooks").iterdir())) == len(list((ROOT / "notebooks").glob("*.ipynb")))


@pytest.fixture
def short(tmp_path):
    """Notebooks of one cell each, which are executed faster."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name in ("01-data", "03-stage", "04-comparison", "05-noise", "07-published", "08-search"):
        names = nbformat.v4.new_code_cell('stage = data = study = budget = more = ""')
        names.metadata["tags"] = ["parameters"]
        check = nbformat.v4.new_code_cell('assert stage != "dense", "no dense layer"')
        nbformat.write(
            nbformat.v4.new_notebook(cells=[names, check], metadata={"language_info": {"name": "python"}}),
            folder / f"{name}.ipynb",
        )
    return folder


def test_a_copied_store_is_all_that_a_report_needs(made, folder, short, tmp_path, engine):
    shutil.copytree(made[1], tmp_path / "copied", copy_function=shutil.copyfile)
    with Tuning(folder, tmp_path / "copied", "smoke", scheduler=engine) as tuning:
        report.make(tuning, tmp_path / "out", short)
        assert tuning.made == set()
    assert (made[0] / "decisions.csv").read_text() == (tmp_path / "out" / "decisions.csv").read_text()


def test_a_failing_notebook_is_named_and_the_others_are_there(made, folder, short, tmp_path, engine):
    (tmp_path / "out" / "notebooks").mkdir(parents=True)
    (tmp_path / "out" / "notebooks" / "mine.ipynb").write_text("{}")
    with Tuning(folder, made[1], "smoke", scheduler=engine) as tuning:
        chapters = report.make(tuning, tmp_path / "out", short).chapters
    assert {c.name: c.error for c in chapters if c.error} == {"dense": "AssertionError: no dense layer"}
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "This report is not complete" in page
    assert "AssertionError: no dense layer" in page
    names = {path.name for path in (tmp_path / "out" / "notebooks").iterdir()}
    assert len(names) == len(NAMES) + 4
    assert "mine.ipynb" in names, "a notebook that is not ours is left alone"


def test_a_report_names_the_notebooks_that_differ_from_the_committed_ones(folder, short, tmp_path, capsys, engine):
    write_history(tmp_path)
    notebook = nbformat.read(short / "05-noise.ipynb", as_version=4)
    notebook.cells[1].source = "'changed'"
    nbformat.write(notebook, short / "05-noise.ipynb")
    budget = {"stages": "base", "skip": "learning-curve"}
    with Tuning(folder, tmp_path / "runs", "smoke", budget=budget, scheduler=engine) as tuning:
        report.make(tuning, tmp_path / "out", short)
    [line] = [line for line in capsys.readouterr().err.splitlines() if "git checkout" in line]
    assert line == changed_line([str(short / "05-noise.ipynb")])
    page = BeautifulSoup((tmp_path / "out" / "index.html").read_text(encoding="utf-8"), "html.parser")
    assert line in page.select_one("#how").get_text()
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    assert manifest["changed_notebooks"] == [str(short / "05-noise.ipynb")]


def test_a_failing_stage_does_not_affect_the_others(made, folder, short, tmp_path, monkeypatch, engine):
    def fail(self, name, whole=Tuning.result):
        if name == "dense":
            raise RunError("Expected 5 runs to finish. Received: 1 failed.")
        return whole(self, name)

    monkeypatch.setattr(Tuning, "result", fail)
    with Tuning(folder, made[1], "smoke", scheduler=engine) as tuning:
        chapters = report.make(tuning, tmp_path / "out", short).chapters
    assert [c.name for c in chapters if c.error] == ["dense"]
    with (tmp_path / "out" / "decisions.csv").open(newline="") as stream:
        stages = [row["stage"] for row in csv.DictReader(stream)]
    assert stages == [name for name in NAMES if name != "dense"]


@pytest.fixture
def plain_jupyter(tmp_path, monkeypatch):
    """Kernels of this environment, without the settings and kernels of the user."""
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the command is in this process
@pytest.mark.parametrize("broken", ["a figure", "an import"])
def test_a_part_that_cannot_be_made_is_named_and_costs_no_other(
    made, folder, short, tmp_path, monkeypatch, broken, engine
):
    def fail(*_, **__):
        raise ImportError("no such library")

    parts = {
        "a figure": [
            ("cnnlab.report.plots.mini_interval", "missing-choices"),
            ("cnnlab.report.words.evidence_summary", "missing-summary"),
        ],
        "an import": [
            ("cnnlab.report.page.chapters.make_exporter", "data"),
            ("cnnlab.report.outputs.write_model", "model"),
        ],
    }[broken]
    for name, _ in parts:
        monkeypatch.setattr(name, fail)
    monkeypatch.setattr("cnnlab.tuning.tables.comparisons_table", fail)
    monkeypatch.setattr("cnnlab.report.outputs.check_claims", fail)
    (tmp_path / "out").mkdir()
    for name in ("comparisons.csv", "claims.csv", "mine.csv"):
        (tmp_path / "out" / name).write_text("of an earlier report")
    with Tuning(folder, made[1], "smoke", scheduler=engine) as tuning:
        chapters = report.make(tuning, tmp_path / "out", short).chapters
    missing = {chapter.name: chapter.error for chapter in chapters if chapter.error}
    named = {*(name for _, name in parts), "comparisons.csv", "claims"}
    assert named <= missing.keys()
    assert all("no such library" in missing[name] for name in named)
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "This report is not complete" in page
    assert "ImportError: no such library" in page
    assert {path.stem for path in (tmp_path / "out").glob("*.csv")} == {
        "mine",
        "results",
        "decisions",
        "mistakes",
        "mistake-effects",
        "search",
        "doubtful-labels",
    }


def test_notebooks_run_from_anywhere_with_their_default_parameters_and_write_into_their_project(tmp_path, monkeypatch):
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    elsewhere.mkdir()
    for part in ("src", "notebooks"):
        shutil.copytree(ROOT / part, project / part, ignore=shutil.ignore_patterns("__pycache__"))
    plan = project / "src" / "cnnlab" / "study" / "plan.py"
    text = plan.read_text()
    assert text.count("epochs=24") == 1
    plan.write_text(text.replace("epochs=24", "epochs=1"))
    monkeypatch.setenv("PYTHONPATH", str(project / "src"))
    for name in ("00-start", "01-data", "03-stage"):
        words = [
            sys.executable,
            "-m",
            "papermill",
            "-k",
            "python3",
            project / "notebooks" / f"{name}.ipynb",
            "out.ipynb",
        ]
        subprocess.run([str(word) for word in words], cwd=elsewhere, check=True, capture_output=True)
    assert len(list((project / "reports" / "runs").glob("*.run"))) == 6, "three seeds of base, three of depth"
    assert (project / "data" / "sample").is_dir()
    assert {path.name for path in tmp_path.iterdir()} == {"project", "elsewhere"}
    assert [path.name for path in elsewhere.iterdir()] == ["out.ipynb"]


def test_a_reader_changes_the_parameters_and_adds_a_custom_trial(plain_jupyter, folder, tmp_path):
    from nbclient import NotebookClient

    notebook = nbformat.read(ROOT / "notebooks" / "03-stage.ipynb", as_version=4)
    budget = {"profile": "smoke", "seeds": 2, "stages": "base,dense"}
    more = {"runs": str(tmp_path), "trials": {"dense": "32"}}
    settings = {"stage": "dense", "data": str(folder), "budget": budget, "more": more}
    settings |= {"mine": {"fast": {"learning_rate": 0.002}}}
    for cell in notebook.cells:
        for name, value in settings.items():
            cell.source = re.sub(rf"^{name} = .*", f"{name} = {value!r}", cell.source, flags=re.MULTILINE)
    NotebookClient(notebook, kernel_name="python3", timeout=800).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    tables = [output["data"].get("text/html", "") for output in outputs if "data" in output]
    assert any("<td>fast" in table and "<td>32" in table and "<td>64" in table for table in tables)
    del budget["profile"]
    with Tuning(folder, tmp_path, "smoke", budget=budget, trials={"dense": ["32"]}) as tuning:
        tuning.result("dense")
        assert tuning.made == set()
        assert len(tuning.store.records()) == 6


def test_without_colour_images_there_is_no_colour_stage(folder, tmp_path, engine):
    for path in folder.glob("*.pkl"):
        shutil.copy(path, tmp_path)
    with Tuning(tmp_path, tmp_path / "runs", "smoke", budget={"stages": "base,colour"}, scheduler=engine) as tuning:
        chapters = report.make(tuning, tmp_path / "out", ROOT / "notebooks").chapters
    assert [(c.name, c.error) for c in chapters] == [
        (name, "") for name in ("data", "base", "comparison", "noise", "published")
    ]
    page = BeautifulSoup((tmp_path / "out" / "index.html").read_text(encoding="utf-8"), "html.parser")
    assert "stages on colour images are skipped" in page.get_text()


def test_the_published_protocol_runs_the_published_fits_with_their_repeats(cifar10, tmp_path, engine):
    stages = ("dropout", "optimizer", "colour")
    with Tuning(cifar10, tmp_path, "smoke", "published", budget={"stages": stages}, scheduler=engine) as tuning:
        results = tuning.results()
        fits, agreement = words.agreement_report(results)
    assert [result.stage.name for result in results] == list(stages)
    assert fits.data.count("<tr>") == sum(len(result.trials) for result in results)
    assert "agree with the published score" in agreement.data
    assert all(result.decision.agrees and result.decision.rule == Rule.PUBLISHED_CHOICE for result in results)
    # Two pairs of the dropout fits are one trial each, by a mistake of the study, and adam was fitted twice.
    assert len(tuning.store.records()) == len([fit for fit in published_fits() if fit.stage in stages])


def test_run_makes_all_runs_without_notebooks(made, folder):
    done = command("run", "--profile", "smoke", "--data", folder, "--runs", made[1])
    assert done.returncode == 0, done.stderr
    lines = [line.split()[0] for line in done.stdout.splitlines()]
    assert lines[: len(NAMES)] == NAMES
    assert set(lines[len(NAMES) :]) == {"next:"}
