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

from browsers import axe, chromium, opened
from cnnlab import report
from cnnlab.errors import ConfigError, RunError
from cnnlab.evidence import Rule
from cnnlab.report import words
from cnnlab.study import PROFILES, STAGES, published_fits
from cnnlab.tuning import Tuning
from cnnlab.tuning.scope import CURVE_PARTS
from conftest import ROOT

pytestmark = pytest.mark.slow


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
    chapters = ["data", *(stage.name for stage in STAGES), "comparison", "noise", "published"]
    parts = [
        "#next-steps",
        *(f"#overview-{part}" for part in ("path", "best")),
    ]  # with one run a trial, nothing is compared
    assert links == ["#answer", *parts, *(f"#{name}" for name in chapters), "#how"]
    for link in links:
        assert page.select_one(link)
    assert "test macro-F1" in page.select_one("#answer").get_text()
    for stage in STAGES:
        chapter = page.select_one(f"#{stage.name}")
        assert stage.question in chapter.get_text()
        headings = {heading.get_text().removesuffix(" #") for heading in chapter.select("h3")}
        assert {
            "Trials",
            "Learning curves",
            "The selected trial on the test images",
            "Overfitting",
            "Evidence",
            "Decision",
        } <= headings


def test_the_page_is_one_file_whose_pictures_have_alt_texts(page, made):
    for element in page.find_all(["link", "iframe", "object"]):
        pytest.fail(f"{element.name} loads or runs something")
    assert not re.search(r'(?:src|href)="(?!data:|#)', (made[0] / "index.html").read_text(encoding="utf-8"))
    assert '"Liberation Sans"' in page.style.get_text(), "the style sheet is not escaped"
    images = page.find_all("img")
    assert len(images) > 5 * len(STAGES) / 2
    assert all(len(image["alt"]) > 20 and "No description" not in image["alt"] for image in images)


def test_no_id_is_used_twice(page):
    ids = [element["id"] for element in page.select("[id]")]
    assert len(ids) == len(set(ids))


def test_other_images_than_cifar10_have_nothing_of_the_published_study_but_the_appendix(page, made):
    assert "They are not CIFAR-10" in page.select_one("#answer").get_text()
    for section in page.select("main > :not(#published)"):
        for word in ("CNN-", "published F1", "published choice", "published study"):
            assert word not in section.get_text(), section["id"]
    appendix = page.select_one("#published").get_text()
    assert "0.0152 (11 degrees of freedom)" in appendix
    assert "make data, then make report DATA=data/cifar10" in appendix
    assert "Fit by fit" not in [heading.get_text() for heading in page.select("#published h3")]
    assert not page.select("#overview-claims, #mistakes")
    for name, columns in (("results", ["published_f1"]), ("decisions", ["published_choice", "agrees"])):
        with (made[0] / f"{name}.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert rows
        for column in columns:
            assert {row[column] for row in rows} == {""}, column


@pytest.fixture(scope="module")
def browser():
    with opened(chromium("how a reader meets the page")) as found:
        yield found


@pytest.fixture
def show(browser, made):
    """Open the page with a browser's settings; afterwards, check that it requested nothing and met no error."""
    contexts, noted = [], []

    def show(**settings):
        context = browser.new_context(**settings)
        contexts.append(context)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        context.set_default_timeout(60_000)
        shown = context.new_page()
        shown.on("console", lambda message: noted.append(f"{message.type}: {message.text}"))
        shown.on("pageerror", lambda error: noted.append(str(error)))
        shown.on("request", lambda request: noted.append(request.url) if not request.url.startswith("data:") else None)
        url = (made[0] / "index.html").as_uri()
        shown.goto(url)
        assert noted.pop(0) == url
        return shown

    yield show
    for context in contexts:
        context.close()
    assert noted == []


PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
TABLE = "#overview table:has(th:has-text('params')):has(th:has-text('selected'))"


def test_the_contents_lead_to_chapters_and_mark_the_one_in_view(show):
    shown = show()
    for link in shown.locator("nav a").all()[:-1]:  # the last one cannot scroll to the top
        link.click()
        shown.wait_for_function(
            "link => { const top = document.querySelector(link.hash).getBoundingClientRect().top;"
            " return top >= -2 && top < 60 && link.ariaCurrent === 'location' }",
            arg=link.element_handle(),
        )
        assert shown.locator("nav [aria-current]").count() == 1


def test_every_heading_has_a_link_to_itself(show):
    shown = show()
    headings = shown.locator(":is(h2, h3, h4)[id]")
    assert headings.count() > 5 * len(STAGES)
    for heading in headings.all():
        assert heading.locator("a.anchor").get_attribute("href") == f"#{heading.get_attribute('id')}"


def test_a_click_sorts_a_table_and_a_second_one_reverses_it(show):
    shown = show()
    table = shown.locator(TABLE).first

    def column(name):
        place = [head.inner_text() for head in table.locator("thead th").all()].index(name) + 1
        return table.locator(f"tbody td:nth-child({place})").all_inner_texts(), table.locator(
            f"thead th:nth-child({place})"
        )

    before, head = column("params")
    for direction, reverse in (("ascending", False), ("descending", True)):
        head.get_by_role("button").click()
        now, _ = column("params")
        assert now == sorted(before, key=lambda text: int(text.replace(",", "")), reverse=reverse)
        assert head.get_attribute("aria-sort") == direction
    names, head = column("stage")
    head.get_by_role("button").press("Enter")
    assert column("stage")[0] == sorted(names)
    assert table.locator("[aria-sort]").count() == 1


def test_a_table_is_copied_as_csv(show):
    shown = show()
    table = shown.locator(TABLE).first
    shown.locator(f"{TABLE} + .tools button").first.click()
    shown.locator(f"{TABLE} + .tools [role=status]:text('Copied')").wait_for()
    rows = list(csv.reader(shown.evaluate("navigator.clipboard.readText()").splitlines()))
    assert rows[0] == table.locator("thead th").all_inner_texts()
    assert rows[1:] == [row.locator("td").all_inner_texts() for row in table.locator("tbody tr").all()]


@pytest.mark.parametrize("kind", ["code", "numbers"])
def test_code_and_numbers_are_folded_away(show, kind):
    part = show().locator(f"#dense details.{kind}").first
    inside = part.locator("pre, table").first
    assert not inside.is_visible()
    part.locator("summary").click()
    assert inside.is_visible()


def test_pictures_are_sharp_and_have_alt_texts(show):
    pictures = show().locator("img")
    assert pictures.count() > 5 * len(STAGES)
    for picture in pictures.all():
        assert len(picture.get_attribute("alt")) > 20
        shown, sharp = picture.evaluate("image => image.decode().then(() => [image.width, image.naturalWidth])")
        assert sharp > 1.9 * shown


def test_nothing_is_wider_than_a_small_phone(show):
    shown = show(**PHONE)
    assert shown.evaluate("document.documentElement.scrollWidth") == 360
    assert not shown.locator("nav ol").is_visible()
    shown.locator("nav summary").tap()
    shown.locator("nav a[href='#dense']").tap()
    assert not shown.locator("nav ol").is_visible()


def test_the_page_works_without_its_script(browser, made):
    shown = browser.new_page(java_script_enabled=False)
    shown.goto((made[0] / "index.html").as_uri())
    for part in ("nav ol", "#answer .key_figures", TABLE, "#dense h2", "#dense img"):
        assert shown.locator(part).first.is_visible()
    shown.close()


def test_the_printed_page_has_no_buttons_and_light_pictures(show):
    shown = show(color_scheme="dark")
    drawn = "getComputedStyle(document.querySelector('#dense img:not(.photo)')).filter"
    assert "invert" in shown.evaluate(drawn)
    shown.emulate_media(media="print")
    assert shown.evaluate(drawn) == "none"
    for part in ("nav", ".tools", "details.code", ".anchor"):
        assert not shown.locator(part).first.is_visible()
    assert shown.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"


@pytest.mark.parametrize("settings", [{}, {"color_scheme": "dark"}, PHONE], ids=["light", "dark", "phone"])
def test_axe_finds_nothing_serious(show, settings):
    source, shown = axe(), show(**settings)
    shown.evaluate("for (const part of document.querySelectorAll('#dense details')) part.open = true")
    shown.evaluate(source)
    found = shown.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    violations = [
        f"{one['id']}: {one['help']}: {one['nodes'][0]['html']}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert violations == []


def test_the_page_is_small_enough_for_a_mail(made):
    assert (made[0] / "index.html").stat().st_size < 6e6


def test_the_tables_and_the_manifest_agree(made):
    with (made[0] / "decisions.csv").open(newline="") as stream:
        assert [row["stage"] for row in csv.DictReader(stream)] == [stage.name for stage in STAGES]
    with (made[0] / "results.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["stage"] for row in rows} == {stage.name for stage in STAGES}
    assert {row["cached"] for row in rows} == {"False"}
    manifest = json.loads((made[0] / "manifest.json").read_bytes())
    assert manifest["missing"] == {}
    assert (made[0] / "mistakes.csv").read_text().splitlines() == ["mistake,trial"]
    digests = {row["digest"] for row in rows}
    assert manifest["runs"] == manifest["runs_made_now"] == len(digests) + len(CURVE_PARTS)
    with (made[0] / "comparisons.csv").open(newline="") as stream:
        assert {row["stage"] for row in csv.DictReader(stream)} <= {stage.name for stage in STAGES}
    assert len(list(made[1].glob("*.run"))) == manifest["runs"]
    assert manifest["study"]["built_in"] is True
    assert manifest["study"]["sha256"] == hashlib.sha256((made[0] / "study.toml").read_bytes()).hexdigest()
    assert manifest["budget"] == asdict(PROFILES["smoke"])
    assert manifest["repeat"]["command"] == f"make report PROFILE=smoke PROTOCOL=corrected DATA={made[3][4]}"


def test_every_notebook_was_executed_to_its_end(made):
    paths = sorted((made[0] / "notebooks").iterdir())
    names = ["data", *(stage.name for stage in STAGES), "comparison", "noise", "published"]
    assert [path.stem.split("-", 1)[1] for path in paths] == names
    for path in paths:
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in cells)
        assert not any(output.output_type == "error" for cell in cells for output in cell.outputs)


def test_the_final_model_takes_raw_pixels(made, gray):
    import keras

    model = keras.saving.load_model(made[0] / "model.keras")
    assert model.predict(gray.test_images[:2].astype("float32"), verbose=0).sum() == pytest.approx(2, rel=1e-4)


def test_the_model_card_is_of_the_models_run(made):
    run = json.loads((made[0] / "manifest.json").read_bytes())["model"]["run"]
    assert f"Run `{run[:12]}`" in (made[0] / "model-card.md").read_text(encoding="utf-8")


def test_without_a_terminal_progress_is_a_line_an_event(made):
    *warnings, accept = [line for line in made[2].stderr.splitlines() if line.startswith("images: ")]
    assert [line.rpartition("[")[2] for line in warnings] == ["small-classes]"]
    assert accept.endswith("(ACCEPT=small-classes).")
    lines = made[2].stderr.splitlines()[2:]
    assert len(lines) == 2 * len(STAGES) + 1, made[2].stderr
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
    assert done.stdout.count(": same") == len(STAGES)


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
    for name in ("01-data", "02-stage", "03-colour", "04-comparison", "05-noise", "07-published"):
        names = nbformat.v4.new_code_cell('stage = data = runs = study = profile = protocol = budget = ""')
        names.metadata["tags"] = ["parameters"]
        check = nbformat.v4.new_code_cell('assert stage != "dense", "no dense layer"')
        nbformat.write(
            nbformat.v4.new_notebook(cells=[names, check], metadata={"language_info": {"name": "python"}}),
            folder / f"{name}.ipynb",
        )
    return folder


def test_a_copied_store_is_all_that_a_report_needs(made, folder, short, tmp_path):
    shutil.copytree(made[1], tmp_path / "copied", copy_function=shutil.copyfile)
    with Tuning(folder, tmp_path / "copied", "smoke") as tuning:
        report.make(tuning, tmp_path / "out", short)
        assert tuning.made == set()
    assert (made[0] / "decisions.csv").read_text() == (tmp_path / "out" / "decisions.csv").read_text()


def test_a_failing_notebook_is_named_and_the_others_are_there(made, folder, short, tmp_path):
    (tmp_path / "out" / "notebooks").mkdir(parents=True)
    (tmp_path / "out" / "notebooks" / "mine.ipynb").write_text("{}")
    with Tuning(folder, made[1], "smoke") as tuning:
        chapters = report.make(tuning, tmp_path / "out", short).chapters
    assert {c.name: c.error for c in chapters if c.error} == {"dense": "AssertionError: no dense layer"}
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "This report is not complete" in page
    assert "AssertionError: no dense layer" in page
    names = {path.name for path in (tmp_path / "out" / "notebooks").iterdir()}
    assert len(names) == len(STAGES) + 4
    assert "mine.ipynb" in names, "a notebook that is not ours is left alone"


def test_a_failing_stage_does_not_affect_the_others(made, folder, short, tmp_path, monkeypatch):
    def fail(self, name, whole=Tuning.result):
        if name == "dense":
            raise RunError("Expected 5 runs to finish. Received: 1 failed.")
        return whole(self, name)

    monkeypatch.setattr(Tuning, "result", fail)
    with Tuning(folder, made[1], "smoke") as tuning:
        chapters = report.make(tuning, tmp_path / "out", short).chapters
    assert [c.name for c in chapters if c.error] == ["dense"]
    with (tmp_path / "out" / "decisions.csv").open(newline="") as stream:
        stages = [row["stage"] for row in csv.DictReader(stream)]
    assert stages == [stage.name for stage in STAGES if stage.name != "dense"]


@pytest.fixture
def plain_jupyter(tmp_path, monkeypatch):
    """Kernels of this environment, without the settings and kernels of the user."""
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the command is in this process
@pytest.mark.parametrize("broken", ["a figure", "an import"])
def test_a_part_that_cannot_be_made_is_named_and_costs_no_other(made, folder, short, tmp_path, monkeypatch, broken):
    def fail(*_, **__):
        raise ImportError("no such library")

    parts = {
        "a figure": [
            ("cnnlab.report.plots.path", "missing-path"),
            ("cnnlab.report.words.findings", "missing-findings"),
        ],
        "an import": [("cnnlab.report.page._exporter", "data"), ("cnnlab.report.build.write_model", "model")],
    }[broken]
    for name, _ in parts:
        monkeypatch.setattr(name, fail)
    monkeypatch.setattr("cnnlab.tuning.tables.comparisons_table", fail)
    monkeypatch.setattr("cnnlab.report.build.check_claims", fail)
    with Tuning(folder, made[1], "smoke") as tuning:
        chapters = report.make(tuning, tmp_path / "out", short).chapters
    missing = {chapter.name: chapter.error for chapter in chapters if chapter.error}
    named = {*(name for _, name in parts), "comparisons.csv", "claims"}
    assert named <= missing.keys()
    assert all("no such library" in missing[name] for name in named)
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "This report is not complete" in page
    assert "ImportError: no such library" in page
    assert {path.stem for path in (tmp_path / "out").glob("*.csv")} == {"results", "decisions", "mistakes"}


def test_notebooks_run_from_anywhere_with_their_default_parameters_and_write_into_their_project(tmp_path, monkeypatch):
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    elsewhere.mkdir()
    for part in ("src", "notebooks"):
        shutil.copytree(ROOT / part, project / part, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("PYTHONPATH", str(project / "src"))
    for name in ("00-start", "01-data", "02-stage"):
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
    assert len(list((project / "reports" / "runs").glob("*.run"))) == 3
    assert (project / "data" / "sample").is_dir()
    assert {path.name for path in tmp_path.iterdir()} == {"project", "elsewhere"}
    assert [path.name for path in elsewhere.iterdir()] == ["out.ipynb"]


def test_a_reader_changes_the_parameters_and_adds_a_custom_trial(plain_jupyter, folder, tmp_path):
    from nbclient import NotebookClient

    notebook = nbformat.read(ROOT / "notebooks" / "02-stage.ipynb", as_version=4)
    budget = {"seeds": 2, "stages": "base,dense"}
    settings = {"stage": "dense", "data": str(folder), "runs": str(tmp_path), "profile": "smoke", "budget": budget}
    settings |= {"trials": "32", "mine": {"fast": {"learning_rate": 0.002}}}
    for cell in notebook.cells:
        for name, value in settings.items():
            cell.source = re.sub(rf"^{name} = .*", f"{name} = {value!r}", cell.source, flags=re.MULTILINE)
    NotebookClient(notebook, kernel_name="python3", timeout=800).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    tables = [output["data"].get("text/html", "") for output in outputs if "data" in output]
    assert any("<td>fast" in table and "<td>32" in table and "<td>64" in table for table in tables)
    with Tuning(folder, tmp_path, "smoke", budget=budget, trials={"dense": ["32"]}) as tuning:
        tuning.result("dense")
        assert tuning.made == set()
        assert len(tuning.store.records()) == 6


def test_without_colour_images_there_is_no_colour_stage(folder, tmp_path):
    for path in folder.glob("*.pkl"):
        shutil.copy(path, tmp_path)
    with Tuning(tmp_path, tmp_path / "runs", "smoke", budget={"stages": "base,colour"}) as tuning:
        chapters = report.make(tuning, tmp_path / "out", ROOT / "notebooks").chapters
    assert [(c.name, c.error) for c in chapters] == [
        (name, "") for name in ("data", "base", "comparison", "noise", "published")
    ]
    assert "the colour stage is skipped" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


def test_the_published_protocol_runs_the_published_fits_with_their_repeats(cifar10, tmp_path):
    stages = ("dropout", "optimizer", "loss", "colour")
    with Tuning(cifar10, tmp_path, "smoke", "published", budget={"stages": stages}) as tuning:
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
    stages = [stage.name for stage in STAGES]
    assert lines[: len(stages)] == stages
    assert set(lines[len(stages) :]) == {"next:"}
