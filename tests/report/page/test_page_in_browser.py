"""How a reader meets the page: a report with the budget's shape of `quick`, in a real browser."""

import csv
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from notebook_corpus import Payload
from notebook_corpus import report as made_up

from browsers import axe, chromium, opened
from cnnlab.data import sample
from cnnlab.study import STAGES
from conftest import ROOT, made_up_workers

pytestmark = pytest.mark.slow

DESKTOP = {"viewport": {"width": 1280, "height": 800}}
LARGE = {"viewport": {"width": 1920, "height": 1080}}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
SMALL_PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
STAGES_TABLE = "#all-stages table"
OPEN_ALL = "for (const part of document.querySelectorAll('main details')) part.open = true"
SCREENS = "document.documentElement.scrollHeight / innerHeight"
CUT = """() => [...document.querySelectorAll("main :is(table, svg.plot, img, pre)")]
  .filter(part => part.checkVisibility() && !part.closest("#all-runs"))
  .filter(part => {
    const box = part.closest(".output_area, .scroll") ?? part.closest("section, header");
    return part.getBoundingClientRect().right > box.getBoundingClientRect().right + 1;
  }).map(part => `${part.closest("section, header").id}: ${part.outerHTML.slice(0, 80)}`)"""
"""The tables and pictures whose right side is hidden. The tables of all runs may scroll."""


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """A report on the built-in sample with the seeds, stages and trials of the profile quick; its runs are made up."""
    place = tmp_path_factory.mktemp("quick")
    sample.write(place / "sample", sample.make())
    words = ["report", "--profile", "quick", "--data", place / "sample", "--runs", place / "runs"]
    words += ["--report", place / "out", "--epochs", 2, "--train", 100, "--val", 100, "--test", 100]
    with made_up_workers() as address:
        command = [sys.executable, "-m", "cnnlab", *map(str, words), "--scheduler", address]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return place / "out"


@pytest.fixture(scope="module")
def browser():
    with opened(chromium("how a reader meets the page")) as found:
        yield found


@pytest.fixture
def show(browser, report):
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
        url = (report / "index.html").as_uri()
        shown.goto(url)
        assert noted.pop(0) == url
        return shown

    yield show
    for context in contexts:
        context.close()
    assert [line for line in noted if not line.startswith("blob:")] == []


LONG = "Dropout after each pooling and after the dense layer, at one rate, or at rates that grow with depth"


@pytest.mark.parametrize("settings", [DESKTOP, PHONE], ids=["1280", "390"])
@pytest.mark.parametrize("text", [LONG, "Dropoutratenwachstumsgeschwindigkeitsuntersuchungen"], ids=["words", "word"])
@pytest.mark.parametrize("place", ["stage title", "trial"])
def test_long_names_leave_the_tables_of_the_first_screen_whole(browser, tmp_path, settings, text, place):
    file = tmp_path / "index.html"
    file.write_text(made_up(Payload(place, "long", text), tmp_path), encoding="utf-8")
    context = browser.new_context(**settings)
    shown = context.new_page()
    shown.goto(file.as_uri())
    assert shown.evaluate("document.documentElement.scrollWidth") <= settings["viewport"]["width"]
    assert shown.locator(".choices tbody tr").bounding_box()["height"] <= 200, "not a letter a line"
    context.close()


@pytest.mark.parametrize(("settings", "most"), [(DESKTOP, 40), (LARGE, 40), (PHONE, 60)], ids=["1280", "1920", "390"])
def test_the_report_has_few_screens(show, settings, most):
    assert show(**settings).evaluate(SCREENS) <= most


def test_the_printed_report_has_at_most_25_pages(show):
    printed = show(**DESKTOP).pdf(format="A4")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) <= 25


def test_nothing_is_cut_on_paper_and_no_heading_stands_alone(show):
    shown = show(viewport={"width": 680, "height": 980})  # A4 with margins of 15 mm
    shown.emulate_media(media="print")
    assert shown.evaluate(CUT) == []
    assert shown.evaluate("document.documentElement.scrollWidth") == 680
    assert not shown.locator("#base h3", has_text="In Keras").is_visible(), "its code is folded"
    assert shown.locator("#dense h3", has_text="In Keras").is_visible()


def test_a_chapter_has_at_most_two_screens_before_more(show):
    shown = show(**DESKTOP)
    heights = {stage.name: shown.locator(f"#{stage.name}").bounding_box()["height"] for stage in STAGES}
    assert {name: height for name, height in heights.items() if height > 1600} == {}


def test_the_first_screen_answers(show):
    """Which model, how good, on what, which choices are backed by evidence, and what next."""
    shown = show(**DESKTOP)
    for part in (".thumbnails", "dl.settings", ".choices table", ".scores"):
        box = shown.locator(f"#answer {part}").bounding_box()
        assert box["y"] + box["height"] <= 800, part
    assert shown.locator("#next-steps").bounding_box()["y"] < 800


@pytest.mark.parametrize("settings", [DESKTOP, LARGE], ids=["1280", "1920"])
def test_no_table_and_no_picture_is_cut_on_a_desktop(show, settings):
    shown = show(**settings)
    assert shown.evaluate(CUT) == []
    shown.evaluate(OPEN_ALL)
    assert shown.evaluate(CUT) == []


def test_no_picture_is_cut_on_a_phone(show):
    shown = show(**PHONE)
    shown.evaluate(OPEN_ALL)
    assert [line for line in shown.evaluate(CUT) if "<table" not in line and "<pre" not in line] == []


def test_on_a_phone_the_first_column_stays_while_a_wide_table_scrolls(show):
    shown = show(**PHONE)
    area = shown.locator("#dense .output_area.wide-content:has(table)").first
    assert "inset" in area.evaluate("area => getComputedStyle(area).boxShadow"), "a shadow says that there is more"
    cell = area.locator("tbody td").first
    before = cell.bounding_box()["x"]
    area.evaluate("area => area.scrollBy(200, 0)")
    assert area.evaluate("area => area.scrollLeft") > 50
    assert cell.bounding_box()["x"] == pytest.approx(before, abs=2)


def test_a_mark_shows_its_values_on_hover_and_on_focus(show):
    shown = show(**DESKTOP)
    plot = shown.locator("#dense svg.plot.wide").first
    plot.scroll_into_view_if_needed()
    label = plot.locator(".mark[aria-label*='seed']").first.evaluate(
        """mark => {
          const box = mark.getBoundingClientRect();
          const at = [box.x + box.width / 2, box.y + box.height / 2];
          window.at = at;
          return document.elementFromPoint(...at).closest(".mark").ariaLabel; // another mark may cover it
        }"""
    )
    shown.mouse.move(*shown.evaluate("at"))
    assert re.search(r"\d", label)
    assert shown.locator(".tip").inner_text() == label
    shown.keyboard.press("Escape")
    assert not shown.locator(".tip").is_visible()
    marks = plot.locator(".mark")
    marks.first.focus()
    shown.keyboard.press("ArrowRight")
    shown.keyboard.press("ArrowRight")
    assert shown.locator(".tip").inner_text() == marks.nth(2).get_attribute("aria-label")
    far = shown.locator("#colour svg.plot.wide .mark").first
    far.focus()  # the browser scrolls to it
    shown.wait_for_timeout(300)
    assert shown.locator(".tip").inner_text() == far.get_attribute("aria-label")


@pytest.mark.parametrize("width", [390, 800, 1280, 1920])
def test_the_numbers_of_a_scale_stand_below_its_ends(show, width):
    shown = show(viewport={"width": width, "height": 800})
    [line, numbers] = [shown.locator(f".scores {part}").first.bounding_box() for part in (".score", ".scale")]
    for side in (0, 1):
        ends = [box["x"] + side * box["width"] for box in (line, numbers)]
        assert ends[0] == pytest.approx(ends[1], abs=2)


def test_a_thin_curve_shows_its_values_beside_its_line_too(show):
    shown = show(**DESKTOP)
    plot = shown.locator("#dense svg.plot.wide").nth(1)
    plot.scroll_into_view_if_needed()
    at = plot.locator(".mark > path[stroke-opacity='0']").first.evaluate(
        """path => {
          const point = path.getPointAtLength(path.getTotalLength() / 2).matrixTransform(path.getScreenCTM());
          return [point.x, point.y - 3];
        }"""
    )
    shown.mouse.move(*at)
    assert re.search(r"seed \d", shown.locator(".tip").inner_text())


def test_a_term_is_explained_on_hover_and_in_the_glossary(show):
    shown = show(**DESKTOP)
    term = shown.locator("#answer a.term", has_text="macro-F1").first
    term.hover()
    target = term.get_attribute("href")
    definition = shown.locator(f"{target} + dd").inner_text()
    assert shown.locator(".tip").inner_text() == definition
    assert len(definition) > 30


@pytest.mark.parametrize("press", ["click", "Enter"])
def test_a_trial_is_highlighted_in_pictures_and_tables(show, press):
    shown = show(**DESKTOP)
    chapter = shown.locator("#dense")
    name = shown.locator("#dense table .trial").nth(1)
    label, push = name.inner_text(), name.get_by_role("button")
    push.click() if press == "click" else push.press("Enter")
    assert push.get_attribute("aria-pressed") == "true"
    shown_names = chapter.locator("svg.plot.wide [data-trial]:not(.dim)").evaluate_all(
        "marks => [...new Set(marks.map(mark => mark.dataset.trial))]"
    )
    assert shown_names == [label]
    assert chapter.locator("svg.plot.wide [data-trial].dim").count() > 3
    assert chapter.locator("tr.dim").count() == chapter.locator("table .trial").count() - 1
    assert shown.locator("#dropout .dim").count() == 0, "another chapter is as before"
    push.click()
    assert chapter.locator(".dim").count() == 0


def test_a_picture_is_saved_as_svg_with_its_colours(show, tmp_path):
    shown = show(**DESKTOP)
    with shown.expect_download() as download:
        shown.locator("#dense figure.picture .tools button").first.click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    content = path.read_text(encoding="utf-8")
    assert path.name.startswith("dense-")
    assert content.startswith("<svg")
    assert "--c0:" in content
    assert "prefers-color-scheme: dark" in content


def test_runs_are_filtered_by_words(show):
    shown = show(**DESKTOP)
    shown.locator("details.runs > summary").click()
    rows = shown.locator("details.runs tbody tr:visible")
    whole = rows.count()
    shown.locator(".filter input").fill("nadam")
    assert 0 < rows.count() < whole
    assert all("nadam" in row.inner_text() for row in rows.all())
    assert shown.locator(".filter [role=status]").first.inner_text() == f"{rows.count()} of {whole} runs"
    shown.locator(".filter input").fill("nadam, seed 1")
    assert rows.count() > 0
    assert {row.locator("td").nth(2).inner_text() for row in rows.all()} == {"1"}
    shown.locator(".filter input").fill("batch_size 1")
    assert rows.count() == 0, "16 is another number"


def test_two_trials_are_compared_by_what_differs(show):
    shown = show(**DESKTOP)
    pickers = shown.locator("#all-runs select")
    pickers.nth(0).select_option(label="optimizer: sgd")
    pickers.nth(1).select_option(label="optimizer: nadam")
    differ = shown.locator("#all-runs .filter [role=status] li").all_inner_texts()
    assert differ == ["optimizer: sgd and nadam", "learning_rate: 0.01 and 0.001"]


def test_links_lead_to_files_beside_the_page(show, report):
    links = {link.get_attribute("href") for link in show(**DESKTOP).locator("a").all()}
    files = {link for link in links if not re.match(r"#|https?:", link)}
    assert {"model.keras", "model-card.md", "results.csv", "manifest.json"} <= files
    assert [link for link in files if not (report / link).is_file()] == []
    notebooks = {path.name for path in (report / "notebooks").iterdir()}
    assert {link.removeprefix("notebooks/") for link in files if link.startswith("notebooks/")} == notebooks


def test_the_details_are_printed_on_request(show):
    shown = show(**DESKTOP)
    shown.evaluate("window.print = () => { window.opened = document.querySelectorAll('details:not([open])').length }")
    shown.get_by_role("button", name="Print this report with all details").click()
    assert shown.evaluate("window.opened") == 0


def test_the_contents_lead_to_chapters_and_mark_the_one_in_view(show):
    shown = show(**DESKTOP)
    for link in shown.locator("nav a").all()[:-1]:  # the last one cannot scroll to the top
        link.click()
        shown.wait_for_function(
            "link => { const top = document.querySelector(link.hash).getBoundingClientRect().top;"
            " return top >= -2 && top < 60 && link.ariaCurrent === 'location' }",
            arg=link.element_handle(),
        )
        assert shown.locator("nav [aria-current]").count() == 1


def test_every_heading_has_a_link_to_itself(show):
    shown = show(**DESKTOP)
    headings = shown.locator("section.chapter :is(h2, h3, h4)[id]")
    assert headings.count() > 4 * len(STAGES)
    for heading in headings.all():
        assert heading.locator("a.anchor").get_attribute("href") == f"#{heading.get_attribute('id')}"


def test_a_click_sorts_a_table_and_a_second_one_reverses_it(show):
    shown = show(**DESKTOP)
    table = shown.locator(STAGES_TABLE).first

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
    shown = show(**DESKTOP)
    table = shown.locator(STAGES_TABLE).first
    shown.locator(f"{STAGES_TABLE} + .tools button").first.click()
    shown.locator(f"{STAGES_TABLE} + .tools [role=status]:text('Copied')").wait_for()
    rows = list(csv.reader(shown.evaluate("navigator.clipboard.readText()").splitlines()))
    assert rows[0] == table.locator("thead th").all_inner_texts()
    shown_rows = [row.locator("td").all_inner_texts() for row in table.locator("tbody tr").all()]
    assert rows[1:] == [[cell.replace("\n", " ") for cell in row] for row in shown_rows]


@pytest.mark.parametrize("kind", ["code", "numbers"])
def test_code_and_numbers_are_folded_away(show, kind):
    shown = show(**DESKTOP)
    if kind == "numbers":  # among the details
        shown.locator("#dense details.more > summary").click()
    part = shown.locator(f"#dense details.{kind}").first
    inside = part.locator("pre, table").first
    assert not inside.is_visible()
    part.locator("summary").click()
    assert inside.is_visible()


def test_pictures_have_text_alternatives_and_each_mark_its_values(show):
    shown = show(**DESKTOP)
    alts = shown.locator("svg.plot.wide").evaluate_all("plots => plots.map(plot => plot.ariaLabel)")
    alts += shown.locator("main .output_area img").evaluate_all("images => images.map(image => image.alt)")
    assert len(alts) > 2 * len(STAGES)
    assert all(len(alt) > 20 for alt in alts)
    marks = shown.locator("svg.plot .mark").evaluate_all("marks => marks.map(mark => mark.ariaLabel)")
    assert all(re.search(r"\d", mark) for mark in marks)


def test_nothing_is_wider_than_a_small_phone(show):
    shown = show(**SMALL_PHONE)
    assert shown.evaluate("document.documentElement.scrollWidth") == 360
    assert not shown.locator("nav ol").is_visible()
    shown.locator("nav summary").tap()
    shown.locator("nav a[href='#dense']").tap()
    assert not shown.locator("nav ol").is_visible()


def test_the_page_works_without_its_script(browser, report):
    shown = browser.new_page(java_script_enabled=False)
    shown.goto((report / "index.html").as_uri())
    for part in ("nav ol", "#answer dl.settings", STAGES_TABLE, "#dense h2", "#dense svg.plot", "#glossary dl"):
        assert shown.locator(part).first.is_visible()
    shown.close()


def test_the_printed_page_has_no_buttons_and_light_pictures(show):
    shown = show(color_scheme="dark")
    colour = "getComputedStyle(document.querySelector('#dense svg.plot text')).fill"
    assert shown.evaluate(colour) == "rgb(232, 232, 232)"
    shown.emulate_media(media="print")
    assert shown.evaluate(colour) == "rgb(0, 0, 0)"
    for part in ("nav", ".tools", "details.code", ".anchor"):
        assert not shown.locator(part).first.is_visible()
    assert shown.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"


@pytest.mark.parametrize("settings", [{}, {"color_scheme": "dark"}, PHONE], ids=["light", "dark", "phone"])
def test_axe_finds_nothing_serious(show, settings):
    source, shown = axe(), show(**settings)
    shown.evaluate(OPEN_ALL)
    shown.evaluate(source)
    found = shown.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    violations = [
        f"{one['id']}: {one['help']}: {one['nodes'][0]['html']}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert violations == []


def test_nothing_is_shown_twice(report):
    soup = BeautifulSoup((report / "index.html").read_text(encoding="utf-8"), "html.parser")
    for kind in ("table.cnnlab", "svg.plot", "img.photo"):
        shown = Counter(part.decode() for part in soup.select(f"main section {kind}"))
        assert [part[:200] for part, times in shown.items() if times > 1] == [], kind
