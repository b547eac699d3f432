"""No markup from data runs in a report's page: the sanitiser and the policy both prevent it, each by itself."""

import functools
import hashlib
import json
import re
import threading
import time
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pytest
from bs4 import BeautifulSoup
from nbconvert import HTMLExporter
from nbformat import v4
from notebook_corpus import DOCUMENT, IN_HTML, OF_THE_PAGE, PAYLOADS, PIXEL, RUN, URL, Payload, notebook, report

from browsers import chromium, opened
from cnnlab.report import page, plots, tables, words
from cnnlab.report.page import Chapter, chapters
from cnnlab.report.page.terms import TermLinks
from cnnlab.report.tables import PLOT_TYPE
from cnnlab.tuning import Tuning
from conftest import ROOT, make_result

pytestmark = [
    pytest.mark.filterwarnings("ignore:Your element with mimetype:UserWarning"),  # an output that is not shown
    pytest.mark.filterwarnings("ignore:No lexer found:UserWarning"),  # a language that is markup
]

ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "nav", "main", "header", "section", "a", "img", "br", "hr"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "div", "span", "pre", "code", "ul", "ol", "li", "details", "summary"),
    *(
        "blockquote",
        "em",
        "strong",
        "b",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "dl",
        "dt",
        "dd",
        "figure",
        "small",
    ),
    *("svg", "g", "path", "rect", "circle", "line", "polyline", "text", "tspan"),
}
ATTRIBUTES = {
    *("lang", "charset", "name", "content", "http-equiv", "class", "id", "role", "aria-label", "href"),
    *("rel", "aria-hidden"),
    *("src", "alt", "width", "scope", "open", "title", "data-trial", "viewbox", "d", "fill", "stroke", "cx", "cy", "r"),
    *(
        "x",
        "y",
        "transform",
        "text-anchor",
        "font-size",
        "font-weight",
        "opacity",
        "points",
        "height",
        "x1",
        "x2",
        "y1",
    ),
    *("y2", "rx", "dx", "dy", "fill-opacity", "stroke-width", "stroke-dasharray", "stroke-opacity", "stroke-linecap"),
}
COLOUR = r"none|transparent|currentColor|var\(--[a-z0-9-]+\)"
FILES = r"(?:notebooks/)?[a-z0-9-]+\.(?:csv|ipynb|json|keras|md|toml)"
TEMPLATES = files("cnnlab.report") / "templates"
SCRIPT = "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in ("tables.js", "figures.js", "page.js"))
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">')
CLICKS = r"""window.print = () => {};
addEventListener("load", () => {
  for (const element of document.querySelectorAll("body, body *")) {
    if (element.matches("a[href^=http]") || /^[\w/-]+\.\w+$/.test(element.getAttribute("href") ?? "")) continue;
    for (const kind of ["mouseover", "focus", "toggle", "beforetoggle", "click"])
      element.dispatchEvent(new MouseEvent(kind, {bubbles: true, cancelable: true}));
  }
});"""
"""Does all that a reader can do with a page, but does not follow links to other sites and files."""

TELL = """const say = (kind, frame) => document.documentElement.append(`{${kind} ${frame.id}}`);
document.addEventListener("load", event => say("read", event.target), true);
addEventListener("message", event => {
  let one = event.source;
  while (one && one.parent !== top) one = one.parent;
  say("ran", [...document.querySelectorAll("iframe")].find(frame => frame.contentWindow === one) ?? {id: "?"});
});"""
"""Notes which frames were read to their end, and in which of them, or in a frame inside, a script ran."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The page of each payload, with and without the sanitiser."""
    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        # Compiling the exporter's templates takes longest.
        patch.setattr(chapters, "make_exporter", functools.cache(chapters.make_exporter))
        clean = {payload: report(payload, folder) for payload in PAYLOADS}
        for module in (chapters, page.page):
            patch.setattr(module, "sanitise", lambda fragment: fragment)
        return clean, {payload: report(payload, folder) for payload in PAYLOADS}


def faults(html: str) -> list[str]:
    """Everything in a page that could run, load or hide something, or that no report has."""
    soup = BeautifulSoup(html, "html.parser")
    found = []
    *others, script = soup.find_all("script") or [soup.new_tag("script")]
    if others or script.attrs or script.parent is not soup.body or script.string != SCRIPT:
        found.append("a script that is not the page's own")
    for element in soup.find_all(True):
        if element.name not in ELEMENTS and element is not script:
            found.append(f"<{element.name}>")
        for name, value in element.attrs.items():
            if (
                name not in ATTRIBUTES
                or (name == "href" and not re.match("#|https?://", value) and not re.fullmatch(FILES, value))
                or (
                    name in ("fill", "stroke")
                    and not re.fullmatch(r"none|transparent|currentColor|var\(--[a-z0-9-]+\)", value)
                )
                or (name == "src" and not re.fullmatch("data:image/(png|jpeg);base64,[A-Za-z0-9+/=]+", value))
                or (name == "width" and not value.isdecimal())
            ):
                found.append(f"<{element.name} {name}={value!r}>")
    if [element.name for element in soup.head.find_all(True)] != ["meta"] * 4 + ["title", "style", "style"]:
        found.append(f"head: {soup.head.decode()[:200]}")
    if len(soup.find_all(["html", "head", "meta", "title", "style", "body", "main", "nav", "header"])) != 4 + 9:
        found.append("a part of the page twice")
    sections = [section.get("id") for section in soup.select("html > body > main > section")]
    own = ["all-stages", "all-claims", "chapter", "lost", "all-runs", "how", "glossary"]
    if sections != [name for name in own if name in sections or name not in ("all-stages", "all-runs")]:
        found.append("a chapter is not in its place")
    return found


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: f"{payload.place}: {payload.name}")
def test_nothing_in_a_page_can_run_or_load(pages, payload):
    assert faults(pages[0][payload]) == []


def test_open_markup_does_not_swallow_later_cells(pages):
    for payload in PAYLOADS:
        soup = BeautifulSoup(pages[0][payload], "html.parser")
        headings = [soup.select_one(f"#chapter h2#chapter-{name}") for name in ("before", "after")]
        assert all(headings), payload


def test_faults_finds_what_is_wrong_without_the_sanitiser(pages):
    assert sum(bool(faults(pages[1][payload])) for payload in PAYLOADS if payload.place == "text/html") > 80


def test_attributes_are_escaped_even_without_the_sanitiser(pages):
    places = {"image/png", "image/jpeg", "picture", "picture's width", "cell tag", "kernel", "class name"}
    for payload in PAYLOADS:
        if payload.place in places:
            assert not BeautifulSoup(pages[1][payload], "html.parser").select(
                "[onload], [onerror], main script, script + *"
            ), payload


@pytest.mark.parametrize("name", IN_HTML)
def test_sanitising_again_changes_nothing(name):
    """Markup that one parse makes harmless and the next one would make run again changes when it is parsed twice."""
    once = page.sanitise(Payload("", name, IN_HTML[name]).whole)
    assert page.sanitise(once) == once
    assert BeautifulSoup(once, "html.parser").decode(formatter="minimal").count("<") == once.count("<")


@pytest.mark.parametrize(
    "kept",
    [
        '<h3 id="base-trials">Trials</h3><p>A <strong>b</strong>, <em>c</em> and <code>d</code>.</p>',
        '<div class="scroll"><table class="dataframe cnnlab"><thead><tr><th scope="col">a</th></tr></thead>'
        '<tbody><tr><th scope="row">b</th><td colspan="2">1</td></tr></tbody></table></div>',
        '<svg class="plot wide" viewBox="0 0 720 90" role="group" aria-label="A plot.">'
        '<g class="mark" data-trial="a &lt;b" role="img" aria-label="0.5">'
        '<path d="M 0 0.5 L -1 2" fill="var(--c0)" stroke="none" stroke-width="1.2"></path>'
        '</g><text x="3" y="4" text-anchor="end" font-size="9" transform="rotate(-90 3 4)">a</text></svg>',
        '<a class="term" href="#term-seed" title="A &lt;number&gt;." rel="noopener noreferrer">seed</a>',
        '<a href="notebooks/05-dropout.ipynb" rel="noopener noreferrer">a</a>',
        '<details class="code"><summary>Code</summary><div class="highlight"><pre><span></span>'
        '<span class="kn">import</span> <span class="nn">os</span></pre></div></details>',
        f'<img src="data:image/png;base64,{PIXEL}" alt="A &quot;b&quot; &lt; c" width="10" height="9">',
        f'<img src="data:image/jpeg;base64,{PIXEL}">',
        '<a href="#how" rel="noopener noreferrer">a</a>',
        '<a class="anchor" href="#base-trials" aria-label="Link to: Trials" rel="noopener noreferrer">#</a>',
        '<a href="https://example.org/a?b=1&amp;c=2#d" rel="noopener noreferrer">a</a>',
        "<ul><li>a</li></ul><ol><li>b</li></ol><blockquote><p>c</p></blockquote><hr><pre><code>d\n</code></pre>",
    ],
)
def test_markup_that_chapters_need_is_kept(kept):
    assert page.sanitise(kept) == kept


@pytest.mark.parametrize(
    "dropped",
    [
        'src="picture.png"',
        'src="https://example.org/a.png"',
        f'src="data:image/svg+xml;base64,{PIXEL}"',
        'src="data:image/png,<svg>"',
        'width="50%"',
        'width="1e9"',
        'height="-1"',
        'loading="lazy"',
        'style="width: 1px"',
        'onerror="x"',
        'srcset="x"',
        'crossorigin="anonymous"',
    ],
)
def test_other_attributes_and_values_are_dropped(dropped):
    assert page.sanitise(f"<img {dropped}>") == "<img>"


def test_outputs_are_shown_in_the_order_of_their_types(tmp_path):
    others = ["application/javascript", "image/svg+xml", "text/latex", "application/vnd.jupyter.widget-view+json"]
    cells = [
        v4.new_code_cell(outputs=[v4.new_output("display_data", {**dict.fromkeys(others, "no"), kind: content})])
        for kind, content in [
            (PLOT_TYPE, '<figure class="picture"><b>plot</b></figure>'),
            ("text/html", "<b>one</b>"),
            ("text/markdown", "**two**"),
            ("text/plain", "three"),
            ("image/png", PIXEL),
            ("image/jpeg", PIXEL),
        ]
    ]
    shown = BeautifulSoup(chapter(tmp_path, *cells), "html.parser")
    assert [
        element.get_text() for element in shown.select(".output_area b, .output_area strong, .output_area pre")
    ] == [
        "plot",
        "one",
        "two",
        "three",
    ]
    assert [image["src"][:16] for image in shown.find_all("img")] == ["data:image/png;b", "data:image/jpeg;"]
    assert "no" not in shown.get_text().split()


def test_a_chapter_shows_pictures_and_tables_first_and_folds_details_and_code(folder, tmp_path):
    result = make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91))
    tuning, picture = Tuning(folder, tmp_path), plots.scores(result)
    outputs, about = picture._repr_mimebundle_()
    outputs["image/png"] = b64encode(outputs["image/png"]).decode()
    body = chapter(
        tmp_path,
        v4.new_markdown_cell("# A stage\n\nAn incumbent, and [more](https://example.org)."),
        v4.new_code_cell(
            "import os  # code",
            outputs=[
                v4.new_output("display_data", {"text/html": words.trials_table(tuning, result).data}),
                v4.new_output("display_data", outputs, metadata=about),
                v4.new_output("display_data", {"text/html": picture.folded}),
            ],
        ),
        v4.new_markdown_cell("## The decision", metadata={"tags": ["more"]}),
        v4.new_code_cell(
            "x = 1",
            metadata={"tags": ["more"]},
            outputs=[v4.new_output("display_data", {"text/markdown": words.decision_details(result).data})],
        ),
    )
    shown = BeautifulSoup(body, "html.parser")
    assert [(heading.name, heading["id"]) for heading in shown.find_all(["h2", "h3"])] == [
        ("h2", "chapter-a-stage"),
        ("h3", "chapter-the-decision"),
    ]
    assert len(shown.select(".output_html table.cnnlab tbody tr .trial")) == 2
    assert [plot["aria-label"] for plot in shown.select("figure.picture svg.plot")] == [picture.alt] * 2
    assert not shown.img, "the page shows the SVG"
    more, code = shown.select("details.more, details.code")
    assert more.summary.get_text() == "More: the decision, numbers of the pictures"
    assert more.select_one("details.numbers table")
    assert len(code.select(".highlight")) == 2
    assert code.a["href"] == "notebooks/chapter.ipynb"
    linked = [link["href"] for link in shown.select("a.term")]
    assert "#term-incumbent" in linked
    assert len(linked) == len(set(linked)), "only the first occurrence"
    assert shown.select_one("p a:not(.term)")["href"] == "https://example.org"


def test_a_chapter_has_no_ids_but_those_of_its_headings(tmp_path):
    """A link in the contents leads to an id of the page itself."""
    body = chapter(tmp_path, v4.new_markdown_cell('# How\n\n<p id="how">x</p>\n\n<h3 id="findings">Findings</h3>'))
    ids = [element["id"] for element in BeautifulSoup(body, "html.parser").select("[id]")]
    assert ids == ["chapter-how", "chapter-findings"]


def chapter(folder: Path, *cells) -> str:
    """The cells as a chapter's HTML."""
    path = folder / "chapter.ipynb"
    path.write_text(json.dumps(v4.new_notebook(cells=list(cells))), encoding="utf-8")
    with as_file(TEMPLATES) as templates:
        return page.sanitise(
            chapters.render_body(chapters.make_exporter(templates), Chapter("chapter", "", path), TermLinks())
        )


def test_the_policy_comes_first_and_allows_embedded_pictures_and_the_pages_own_style_and_script(pages):
    html = pages[0][PAYLOADS[0]]
    assert re.search(r"<head>\s*<meta http-equiv=\"Content-Security-Policy\"", html)
    own = {
        name: [
            b64encode(hashlib.sha256(part.encode()).digest()).decode()
            for part in re.findall(f"<{name}[^>]*>(.*?)</{name}>", html, re.DOTALL)
        ]
        for name in ("script", "style")
    }
    assert [part.strip() for part in POLICY.search(html)[1].split(";")] == [
        "default-src 'none'",
        "img-src data:",
        f"script-src 'sha256-{own['script'][0]}'",
        f"style-src 'sha256-{own['style'][0]}' 'sha256-{own['style'][1]}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert '<meta name="referrer" content="no-referrer">' in html


def test_every_fragment_of_html_goes_through_the_sanitiser_last():
    template = (TEMPLATES / "page.html.j2").read_text(encoding="utf-8")
    assert re.findall(r"\{\{ *(\S+) *\| *safe *\}\}", template) == ["plot_style", "style", "script"]
    assert re.findall(r"\{\{ *(\S+) *\| *sanitise *\}\}", template) == [
        "keras_code", "row.picture", "stages", "claims", "chapter.body", "runs", "settings",
    ]  # fmt: skip


def test_an_incomplete_report_names_what_is_missing_in_short_and_in_its_place_in_full(tmp_path):
    error = f"ValueError: Expected {'a number, ' * 25}. Received: none. Repair it."
    shown = BeautifulSoup(report(Payload("chapter error", "long", error), tmp_path), "html.parser")
    first, place = shown.select(".warning")
    assert first.a["href"] == "#lost"
    assert error not in first.get_text()
    assert "Once the reason is gone, the same command makes only what is missing." in first.get_text()
    assert error in place.get_text()


def test_the_note_under_the_choices_names_what_they_have(tmp_path):
    shown = BeautifulSoup(report(Payload("trial", "plain", "y"), tmp_path), "html.parser")
    note = shown.select_one(".choices .note").get_text()
    assert "less that of the incumbent, with its 95 % interval; right" in note


def test_sanitising_three_megabytes_takes_less_than_two_seconds():
    """Of the processor, whatever else the machine does."""
    rng = np.random.default_rng(0)
    image = f'<div><img src="data:image/png;base64,{b64encode(rng.bytes(30_000)).decode()}" alt="A picture."></div>'
    table = tables.table([dict.fromkeys("abcdefgh", 0.5)] * 20).data
    whole = (image + table) * 75
    assert len(whole) > 3e6
    start = time.thread_time()
    clean = page.sanitise(whole)
    assert time.thread_time() - start < 2
    assert clean.count("<img src=") == 75


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """Show pages in a real browser; return which of them ran a script, and what their frames requested.

    Chromium 156 requests updates in spite of all flags, so requests that only reach the server do not count.
    """
    path = chromium("that no payload runs in a browser")

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript")
            self.end_headers()
            self.wfile.write(RUN.encode())

        do_POST = do_GET  # noqa: N815 - the name that http.server asks for

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    # No name leaves this machine.
    own = f"--host-resolver-rules=MAP * 127.0.0.1:{server.server_port}", "--disable-features=HttpsUpgrades"

    def show(htmls: dict) -> tuple[set, list[str]]:
        folder, asked = tmp_path_factory.mktemp("browser"), []
        names = ["control", *htmls]
        for number, html in enumerate([DOCUMENT, *htmls.values()]):
            (folder / f"{number}.html").write_text(html, encoding="utf-8")
        frames = "".join(f'<iframe id="{number}" src="{number}.html"></iframe>' for number in range(len(names)))
        (folder / "all.html").write_text(f"<!doctype html><script>{TELL}</script>{frames}", encoding="utf-8")
        with opened(path, *own) as browser:
            context = browser.new_context()
            context.on("request", lambda request: asked.append(f"{request.method} {request.url}"))
            shown = context.new_page()
            shown.goto((folder / "all.html").as_uri(), timeout=300_000)
            shown.wait_for_timeout(2000)  # some payloads run later
            document = shown.content()
        noted = {kind: set(re.findall(rf"\{{{kind} (.+?)\}}", document)) for kind in ("read", "ran")}
        assert noted["read"] == set(map(str, range(len(names)))), "a page was not read to its end"
        ran = {names[int(number)] for number in noted["ran"]}
        assert "control" in ran
        return ran - {"control"}, [line for line in asked if " http" in line]

    yield show
    server.shutdown()
    server.server_close()
    thread.join()


def clicked(html: str, policy: str = "") -> str:
    """A page with a reader who clicks on everything, with another policy or none."""
    return re.sub("<head>", lambda _: f"<head>{policy}<script>{CLICKS}</script>", POLICY.sub("", html), count=1)


@pytest.mark.slow
def test_no_payload_runs_in_a_browser(pages, browse):
    """Neither in the page nor without its policy, where only the sanitiser prevents it."""
    for changed in (str, clicked):
        assert browse({payload[:2]: changed(html) for payload, html in pages[0].items()}) == (set(), [])


@pytest.mark.slow
def test_no_payload_runs_with_the_policy_alone(pages, browse):
    clicks = b64encode(hashlib.sha256(CLICKS.encode()).digest()).decode()
    htmls = {}
    for payload, html in pages[1].items():
        policy = POLICY.search(html)[0].replace('content="', f"content=\"script-src 'sha256-{clicks}'; ")
        htmls[payload[:2]] = clicked(html, policy)
    ran, _ = browse(htmls)  # no policy prevents a redirect by `meta`
    assert ran == set()


@pytest.mark.slow
def test_payloads_do_run_without_the_sanitiser_and_the_policy(pages, browse):
    """So these two prevent it, and the browser can show it."""
    ran, asked = browse({payload[:2]: clicked(html) for payload, html in pages[1].items()})
    assert len(ran) > 60
    assert f"GET {URL}" in asked


@pytest.mark.slow
def test_payloads_run_in_a_page_of_nbconvert(browse):
    """Fewer of them with its own sanitiser. Offline, so without the scripts that its page loads."""
    inside = [payload for payload in PAYLOADS if payload.place not in OF_THE_PAGE]
    ran = {}
    for sanitised in (False, True):
        exporter = HTMLExporter(sanitize_html=sanitised)
        htmls = {payload[:2]: clicked(exporter.from_notebook_node(notebook(payload))[0]) for payload in inside}
        ran[sanitised], _ = browse(htmls)
    assert len(ran[False]) > 60
    assert len(ran[True]) < len(ran[False])
    shown = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert f"| {len(PAYLOADS)} pieces of markup in notebooks, names and errors |" in shown
    assert f"of {len(inside)} run; with `sanitize_html`" in shown
