"""No markup from data runs in a report's page: the sanitiser and the policy both prevent it, each by itself."""

import functools
import hashlib
import json
import re
import threading
import time
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from bs4 import BeautifulSoup
from nbconvert import HTMLExporter
from nbformat import v4
from notebook_corpus import DOCUMENT, IN_HTML, OF_THE_PAGE, PAYLOADS, PIXEL, RUN, URL, Payload, notebook, report

from browsers import chromium, opened
from cnnlab.report import page, plots, tables, words
from cnnlab.report.page import Chapter
from cnnlab.tuning import Tuning
from conftest import make_result

pytestmark = [
    pytest.mark.filterwarnings("ignore:Your element with mimetype:UserWarning"),  # an output that is not shown
    pytest.mark.filterwarnings("ignore:No lexer found:UserWarning"),  # a language that is markup
]

ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "nav", "main", "header", "section", "a", "img", "br", "hr"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "div", "span", "pre", "code", "ul", "ol", "li", "details", "summary"),
    *("blockquote", "em", "strong", "b", "table", "thead", "tbody", "tr", "th", "td", "dl", "dt", "dd"),
}
ATTRIBUTES = {
    *("lang", "charset", "name", "content", "http-equiv", "class", "id", "role", "aria-label", "href", "rel"),
    *("src", "alt", "width", "scope", "open"),
}
SCRIPT = (files("cnnlab.report") / "templates" / "page.js").read_text(encoding="utf-8")
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">')
CLICKS = """addEventListener("load", () => {
  for (const element of document.querySelectorAll("body, body *")) {
    if (element.matches("a[href^=http]")) continue;
    for (const kind of ["mouseover", "focus", "toggle", "beforetoggle", "click"])
      element.dispatchEvent(new MouseEvent(kind, {bubbles: true, cancelable: true}));
  }
});"""
"""Does all that a reader can do with a page, but does not follow links to other sites."""

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
        patch.setattr(page, "_exporter", functools.cache(page._exporter))  # compiling its templates takes longest
        clean = {payload: report(payload, folder) for payload in PAYLOADS}
        patch.setattr(page, "sanitise", lambda fragment: fragment)
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
                or (name == "href" and not re.match("#|https?://", value))
                or (name == "src" and not re.fullmatch("data:image/(png|jpeg);base64,[A-Za-z0-9+/=]+", value))
                or (name == "width" and not value.isdecimal())
            ):
                found.append(f"<{element.name} {name}={value!r}>")
    if [element.name for element in soup.head.find_all(True)] != ["meta"] * 4 + ["title", "style"]:
        found.append(f"head: {soup.head.decode()[:200]}")
    if len(soup.find_all(["html", "head", "meta", "title", "style", "body", "main", "nav", "header"])) != 4 + 8:
        found.append("a part of the page twice")
    sections = [section.get("id") for section in soup.select("html > body > main > section")]
    if sections != ["overview", "chapter", "lost", "how"]:
        found.append("a chapter is not in its place")
    return found


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: f"{payload.place}: {payload.name}")
def test_nothing_in_a_page_can_run_or_load(pages, payload):
    assert faults(pages[0][payload]) == []


def test_open_markup_does_not_swallow_later_cells(pages):
    for payload in PAYLOADS:
        soup = BeautifulSoup(pages[0][payload], "html.parser")
        headings = [
            soup.select_one(f"#chapter > .cell h2#chapter-{name}, #chapter h2#chapter-{name}")
            for name in ("before", "after")
        ]
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
        'title="x"',
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
        "one",
        "two",
        "three",
    ]
    assert [image["src"][:16] for image in shown.find_all("img")] == ["data:image/png;b", "data:image/jpeg;"]
    assert "no" not in shown.get_text().split()


def test_a_chapter_keeps_code_headings_tables_and_pictures(folder, tmp_path):
    result = make_result("dense", old=(0.5, 0.51), new=(0.9, 0.91))
    tuning, picture = Tuning(folder, tmp_path), plots.scores(result)
    files, about = picture._repr_mimebundle_()
    files["image/png"] = b64encode(files["image/png"]).decode()
    body = chapter(
        tmp_path,
        v4.new_markdown_cell("# A stage\n\n## Trials\n\nSee [this](https://example.org)."),
        v4.new_code_cell(
            "import os  # code",
            outputs=[
                v4.new_output("display_data", {"text/html": words.trials_table(result).data}),
                v4.new_output("display_data", files, metadata=about),
                v4.new_output("display_data", {"text/markdown": words.decision_summary(tuning, result).data}),
            ],
        ),
    )
    shown = BeautifulSoup(body, "html.parser")
    assert [(heading.name, heading["id"]) for heading in shown.find_all(["h2", "h3"])] == [
        ("h2", "chapter-a-stage"),
        ("h3", "chapter-trials"),
    ]
    assert shown.select_one(".code_cell > .output_wrapper + details.code > summary").get_text() == "Code"
    assert [link["href"] for link in shown.select("a.anchor")] == ["#chapter-a-stage", "#chapter-trials"]
    assert shown.select_one("details.code .highlight pre span.kn").get_text() == "import"
    assert len(shown.select(".output_html table.cnnlab tbody tr")) == 2
    assert shown.img.attrs == {
        "src": f"data:image/png;base64,{files['image/png']}",
        "alt": picture.alt,
        "width": str(picture.width),
    }
    assert shown.select_one(".output_markdown strong").get_text() == "new"
    assert shown.select_one("p a")["href"] == "https://example.org"


def test_a_chapter_has_no_ids_but_those_of_its_headings(tmp_path):
    """A link in the contents leads to an id of the page itself."""
    body = chapter(tmp_path, v4.new_markdown_cell('# How\n\n<p id="how">x</p>\n\n<h3 id="findings">Findings</h3>'))
    ids = [element["id"] for element in BeautifulSoup(body, "html.parser").select("[id]")]
    assert ids == ["chapter-how", "chapter-findings"]


def chapter(folder: Path, *cells) -> str:
    """The cells as a chapter's HTML."""
    path = folder / "chapter.ipynb"
    path.write_text(json.dumps(v4.new_notebook(cells=list(cells))), encoding="utf-8")
    with page.as_file(page.files("cnnlab.report") / "templates") as templates:
        return page.sanitise(page._body(page._exporter(templates), Chapter("chapter", "", path)))


def test_the_policy_comes_first_and_allows_embedded_pictures_and_the_pages_own_style_and_script(pages):
    html = pages[0][PAYLOADS[0]]
    assert re.search(r"<head>\s*<meta http-equiv=\"Content-Security-Policy\"", html)
    own = {
        name: b64encode(hashlib.sha256(re.search(f"<{name}>(.*?)</{name}>", html, re.DOTALL)[1].encode()).digest())
        for name in ("script", "style")
    }
    assert [part.strip() for part in POLICY.search(html)[1].split(";")] == [
        "default-src 'none'",
        "img-src data:",
        f"script-src 'sha256-{own['script'].decode()}'",
        f"style-src 'sha256-{own['style'].decode()}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert '<meta name="referrer" content="no-referrer">' in html


def test_every_fragment_of_html_goes_through_the_sanitiser_last():
    template = (Path(page.__file__).parent / "templates" / "page.html.j2").read_text(encoding="utf-8")
    assert re.findall(r"\{\{ *(\S+) *\| *safe *\}\}", template) == ["style", "script"]
    assert re.findall(r"\{\{ *(\S+) *\| *sanitise *\}\}", template) == [
        "finding", "next_steps", "path.folded", "stages", "leaderboard", "inconclusive", "claims", "chapter.body",
    ]  # fmt: skip


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
