"""Render the executed notebooks and an overview as one HTML page, in which no markup from data can run."""

import re
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import as_file, files
from itertools import zip_longest
from pathlib import Path
from typing import Any

import nh3

from cnnlab.tuning import ClaimResult, NextStep, StageResult, Tuning
from cnnlab.tuning.advice.next_steps import MOST_LINES

_OUTPUTS = ["text/html", "text/markdown", "image/png", "image/jpeg", "text/plain"]
"""Types of output that the page shows, the best one first. None contains or needs a script."""
_HIDDEN_CELLS = {"parameters", "opening", "own", "close"}
"""Tags of cells that the page leaves out: the default parameters, which the injected ones replace; what its overview
shows already; what needs a running Jupyter; the end of the workers."""

# fmt: off
_TAGS = {
    "a", "b", "blockquote", "br", "caption", "code", "dd", "del", "details", "div", "dl", "dt", "em", "figcaption",
    "figure", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "kbd", "li", "ol", "p", "pre", "s", "small", "span",
    "strong", "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul",
}
_DROPPED_WHOLE = {
    "iframe", "math", "noembed", "noframes", "noscript", "object", "script", "select", "style", "svg", "template",
    "textarea", "title", "xmp",
}
# fmt: on
"""Tags that are removed with their content: no text for readers, or text that a browser may read as markup."""
_ATTRIBUTES = {
    "*": {"class", "id"},
    "a": {"aria-label", "href"},
    "img": {"alt", "height", "src", "width"},
    **{name: {"colspan", "rowspan", "scope"} for name in ("td", "th")},
}
_VALUES = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "colspan": r"[0-9]{1,4}",
        "height": r"[0-9]{1,5}",
        "href": r"#.*|https?://.*",
        "rowspan": r"[0-9]{1,4}",
        "scope": r"(?:col|row)(?:group)?",
        # Not SVG, which may contain scripts and may be opened by itself.
        "src": r"data:image/(?:png|jpeg);base64,[a-z0-9+/=\s]+",
        "width": r"[0-9]{1,5}",
    }.items()
}
"""Pattern that the whole value of an attribute must match. The other attributes are plain text: any value is safe."""


@dataclass
class Chapter:
    """An executed notebook of the report, or the error why it is missing; `body` is its HTML, once rendered."""

    name: str
    title: str
    path: Path
    error: str = ""
    body: str = ""


@contextmanager
def guarded(chapters: list[Chapter], name: str, title: str) -> Iterator[None]:
    """If a part of the report fails, add it to the chapters, with the reason, so that the other parts are made."""
    try:
        yield
    except Exception as error:  # a damaged store, a library that cannot be imported, a figure that cannot be drawn
        reason = " ".join(str(error).split())[:300]
        chapters.append(Chapter(name, title, Path(), f"{type(error).__name__}: {reason}"))


def _allowed(_tag: str, name: str, value: str) -> str | None:
    pattern = _VALUES.get(name)
    return value if pattern is None or pattern.fullmatch(value) else None


_CLEANER = nh3.Cleaner(
    tags=_TAGS,
    clean_content_tags=_DROPPED_WHOLE,
    attributes=_ATTRIBUTES,
    attribute_filter=_allowed,
    url_schemes={"data", "http", "https"},  # `_VALUES` decides which of them an attribute may have
)


def sanitise(fragment: str) -> str:
    """Return an HTML fragment with only what the chapters need: nothing that runs, loads a file or sets a style.

    Tags and attributes that are not on the lists are removed. The result is well-formed: a tag that the fragment leaves
    open is closed at its end. The fragment may be any text.
    """
    return _CLEANER.clean(fragment)


def templates_digest() -> str:
    """Return a digest (64 hex digits) of the templates and the style of the page."""
    sha = sha256()
    with as_file(files("cnnlab.report") / "templates") as templates:
        for path in sorted(path for path in templates.rglob("*") if path.is_file()):
            sha.update(path.read_bytes())
    return sha.hexdigest()


def render(
    tuning: Tuning,
    results: Sequence[StageResult],
    chapters: list[Chapter],
    claim_results: Sequence[ClaimResult],
    steps: Sequence[NextStep] | None,
    manifest: Mapping[str, Any],
) -> str:
    """Return the report as one HTML page that loads nothing from elsewhere and runs no script but its own.

    A chapter or a part of the overview that fails is named on the page and in `chapters`, with the reason.

    Text from data is escaped, and HTML from data passes through `sanitise` as the last step. In addition, the page's
    Content-Security-Policy blocks every other script and style; the page's script sorts tables, folds parts away and
    makes no markup.
    """
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup

    import_matplotlib()
    overview = _overview(tuning, results, claim_results, steps, chapters)
    with as_file(files("cnnlab.report") / "templates") as templates:
        _render_chapters(templates, chapters)
        environment = Environment(loader=FileSystemLoader(templates), autoescape=True)
        environment.filters["base64"] = lambda png: b64encode(png).decode()
        environment.filters["sanitise"] = lambda fragment: Markup(sanitise(fragment))  # noqa: S704 - safe by then
        template = environment.get_template("page.html.j2")
        script = (templates / "page.js").read_text(encoding="utf-8")
        style = (templates / "page.css").read_text(encoding="utf-8")
        with guarded(chapters, "missing-colours", "The colours of the code"):
            style += _code_style()
    return template.render(
        title=tuning.study.title,
        about_images=tuning.scope.about_images,
        profile=tuning.budget.profile,
        changes=tuning.changes,
        protocol=tuning.protocol.name,
        date=time.strftime("%Y-%m-%d"),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        chapters=chapters,
        manifest=manifest,
        **overview,
    )


def _render_chapters(templates: Path, chapters: Sequence[Chapter]) -> None:
    """Set the body of each chapter, or its error."""
    try:
        exporter = _exporter(templates)
    except Exception as error:  # nbconvert cannot be imported, say
        for chapter in chapters:
            chapter.error = chapter.error or f"it cannot be rendered ({type(error).__name__}: {error})"
    for chapter in chapters:
        if not chapter.error:
            try:
                chapter.body = _body(exporter, chapter)
            except Exception as error:  # any error in a notebook leaves the other chapters as they are
                chapter.error = f"it cannot be rendered ({type(error).__name__})"
                chapter.path.unlink(missing_ok=True)  # so that the next command makes it again


def _code_style() -> str:
    """Return the style of highlighted code, light and dark."""
    from pygments.formatters import HtmlFormatter

    light, dark = (
        HtmlFormatter(style=name, nobackground=True).get_style_defs(".highlight") for name in ("default", "github-dark")
    )
    return f"\n{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}"


def _overview(
    tuning: Tuning,
    results: Sequence[StageResult],
    claim_results: Sequence[ClaimResult],
    steps: Sequence[NextStep] | None,
    chapters: list[Chapter],
) -> dict[str, Any]:
    """Return what the page shows before its chapters, without parts that have nothing to show.

    Each part is made separately, because a library or a figure may fail. Those that fail are added to `chapters`.
    """

    def findings() -> list[str]:
        from nbconvert.filters import markdown2html

        sentences = [*_words().findings(tuning, results), _words().selection_noise(tuning, results).data]
        return [markdown2html(line).strip().removeprefix("<p>").removesuffix("</p>") for line in sentences]

    def picture() -> Any:
        from cnnlab.report import plots

        return plots.path(results)

    def inconclusive() -> str:
        choices = _words().inconclusive_choices(results)
        return str(choices.data) if choices else ""

    parts: dict[str, tuple[str, Callable[[], Any]]] = {
        "image_warnings": ("The checks of the images", lambda: tuning.images.warnings),
        "key_figures": ("The key figures", lambda: _words().key_figures(tuning, results)),
        "findings": ("The findings", findings),
        "inconclusive": ("Inconclusive choices", inconclusive),
    }
    if results:
        parts |= {
            "path": ("The picture of the selections", picture),
            "stages": ("The table of the selections", lambda: _words().stages_table(tuning, results).data),
            "leaderboard": ("Best trials", lambda: _words().leaderboard(results, rows=5).data),
        }
    if results and steps is not None:
        parts["next_steps"] = "What to do next", lambda: _words().next_steps_list(steps[:MOST_LINES]).data
    if claim_results:
        parts["claims"] = ("Claims", lambda: _words().claim_table(claim_results).data)
    shown: dict[str, Any] = {}
    for name, (title, make) in parts.items():
        with guarded(chapters, f"missing-{name}", title):
            shown[name] = make()
    return shown


def import_matplotlib() -> None:
    """Import Matplotlib from a folder without a `matplotlibrc`: one in the working directory may be broken."""
    # The part that draws imports it again, and reports the error.
    with suppress(Exception), chdir(Path(__file__).parent):
        import matplotlib  # noqa: F401


def _words() -> Any:
    from cnnlab.report import words  # imports Matplotlib, which takes seconds; a page that is kept needs none

    return words


def _hash(content: str) -> str:
    """Return the hash by which a Content-Security-Policy names a script or a style."""
    return b64encode(sha256(content.encode()).digest()).decode()


def _exporter(templates: Path) -> Any:
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    return HTMLExporter(
        extra_template_basedirs=[str(templates)],
        template_name="cnnlab",
        # Each output is sanitised by itself too: a tag that one leaves open must not swallow the next.
        sanitize_html=True,
        filters={"clean_html": lambda element: sanitise(str(element))},
        config=Config(
            NbConvertBase={"display_data_priority": _OUTPUTS},
            TagRemovePreprocessor={"enabled": True, "remove_cell_tags": _HIDDEN_CELLS},
        ),
    )


def _body(exporter: Any, chapter: Chapter) -> str:
    """Render an executed notebook; its headings move down one level, below the page's own heading."""
    import nbformat
    from bs4 import BeautifulSoup

    body, _ = exporter.from_notebook_node(nbformat.read(chapter.path, as_version=4))
    soup = BeautifulSoup(body, "html.parser")
    for anchor in soup.select("a.anchor-link"):
        anchor.decompose()
    for element in soup.select("[id]"):
        del element["id"]  # notebooks share ids, and none may take that of a section
    cells = soup.select(".code_cell")
    for cell, after in zip_longest(cells, cells[1:]):
        # Code moves below its output, which most readers want to see; code without output moves below the next cell.
        below = cell if after is None or cell.select_one(".output_wrapper") else after
        below.extend(cell.select("details.code"))
    seen = Counter[str]()
    for heading in soup.find_all(re.compile("^h[1-5]$")):
        heading.name = f"h{int(heading.name[1]) + 1}"
        slug = re.sub(r"[^a-z0-9]+", "-", heading.get_text().lower()).strip("-")
        seen[slug] += 1
        heading["id"] = f"{chapter.name}-{slug}" + (f"-{seen[slug]}" if seen[slug] > 1 else "")
        anchor = soup.new_tag("a", attrs={"class": "anchor", "href": f"#{heading['id']}"})
        anchor["aria-label"] = f"Link to: {heading.get_text()}"
        anchor.string = "#"
        heading.append(" ")
        heading.append(anchor)
    return str(soup)
