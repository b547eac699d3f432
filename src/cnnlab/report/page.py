"""Render executed notebooks and what is said of the whole study as one HTML page, in which no data can run."""

import re
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from importlib.resources import as_file, files
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nh3

from cnnlab.tuning import ClaimResult, StageResult, Tuning

if TYPE_CHECKING:  # it brings Matplotlib, which a page that is kept as it is does without
    from cnnlab.report import plots

_OUTPUTS = ["text/html", "text/markdown", "image/png", "image/jpeg", "text/plain"]
"""Kinds of output that the page shows, most wanted first: none that brings a script or needs one."""


_LEFT_OUT = {"parameters", "opening", "own", "close"}
"""Tags of cells that the page does without: the defaults, which the injected parameters replace; what it opens with
already; what only a person in Jupyter can use; housekeeping."""


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
"""Tags that go with all they hold: no text for readers, or text that a browser may come to read as markup."""


_CELL = {"colspan", "rowspan", "scope"}


_ATTRIBUTES = {
    "*": {"class", "id"},
    "a": {"aria-label", "href"},
    "img": {"alt", "height", "src", "width"},
    "td": _CELL,
    "th": _CELL,
}


_VALUES = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "colspan": r"[0-9]{1,4}",
        "height": r"[0-9]{1,5}",
        "href": r"#.*|https?://.*",
        "rowspan": r"[0-9]{1,4}",
        "scope": r"(?:col|row)(?:group)?",
        # Not SVG, which may hold scripts and be opened by itself.
        "src": r"data:image/(?:png|jpeg);base64,[a-z0-9+/=\s]+",
        "width": r"[0-9]{1,5}",
    }.items()
}
"""What an attribute's value must be whole; the others may hold any text, since none of them is more than text."""


@dataclass
class Chapter:
    """One executed notebook of the report, or why it is missing."""

    name: str
    title: str
    path: Path
    error: str = ""
    body: str = ""


def _allowed(_tag: str, name: str, value: str) -> str | None:
    pattern = _VALUES.get(name)
    return value if pattern is None or pattern.fullmatch(value) else None


_CLEANER = nh3.Cleaner(
    tags=_TAGS,
    clean_content_tags=_DROPPED_WHOLE,
    attributes=_ATTRIBUTES,
    attribute_filter=_allowed,
    url_schemes={"data", "http", "https"},  # which of them where, `_VALUES` says
)


def sanitise(fragment: str) -> str:
    """Return an HTML fragment with only what the report's own chapters use: nothing that runs, loads or is styled.

    Tags and attributes that are not on the list are left out, and what is left is well-formed, so that a fragment ends
    where it ends, whatever it leaves open.

    Args:
        fragment: HTML, as browsers read it: any text at all.
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
    chapters: Sequence[Chapter],
    claim_results: Sequence[ClaimResult],
    manifest: Mapping[str, Any],
) -> str:
    """Return the report as one HTML page that loads nothing from elsewhere and runs nothing but a script of its own.

    What comes from data is escaped where it is text, and goes through `sanitise` as the last step where it is HTML.
    Behind that stands the page's Content-Security-Policy, which lets no script run and no style but the page's own;
    that script sorts tables and folds parts, and makes no markup.
    """
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup
    from nbconvert.filters import markdown2html
    from pygments.formatters import HtmlFormatter

    from cnnlab.report import plots, words

    with as_file(files("cnnlab.report") / "templates") as templates:
        exporter = _exporter(templates)
        for chapter in chapters:
            if not chapter.error:
                try:
                    chapter.body = _body(exporter, chapter)
                except Exception as error:  # whatever a notebook holds, the other chapters are worth having
                    chapter.error = f"it cannot be rendered ({type(error).__name__})"
                    chapter.path.unlink(missing_ok=True)  # the next command makes it again
        environment = Environment(loader=FileSystemLoader(templates), autoescape=True)
        environment.filters["sanitise"] = lambda fragment: Markup(sanitise(fragment))  # noqa: S704 - safe by then
        template = environment.get_template("page.html.j2")
        script = (templates / "page.js").read_text(encoding="utf-8")
        style = "\n".join(
            [
                (templates / "page.css").read_text(encoding="utf-8"),
                HtmlFormatter(style="default", nobackground=True).get_style_defs(".highlight"),
                "@media (prefers-color-scheme: dark) {",
                HtmlFormatter(style="github-dark", nobackground=True).get_style_defs(".highlight"),
                "}",
            ]
        )
    shown = {
        "Commit": manifest["commit"],
        "Seeds": ", ".join(map(str, manifest["seeds"])),
        "Runs": f"{manifest['runs']}, {manifest['runs_made_now']} of them made by the command that wrote this page",
        "Training time": f"{manifest['train_seconds']:,.0f} s over all runs",
        "Wall time": f"{manifest['wall_seconds']:,.0f} s for that command",
        "Machine": f"{manifest['machine']['system']}, {manifest['machine']['cores']} cores",
        "Versions": ", ".join(f"{name} {version}" for name, version in manifest["versions"].items()),
        "Data digest": manifest["data"]["gray_digest"],
        "Split digests": ", ".join(manifest["splits"]),
    }
    parts = {}
    unclear = words.unclear(results)
    if results:
        parts = {"overview-path": "The path of choices", "overview-best": "The best trials"}
    if unclear:
        parts["overview-unclear"] = "What could not be told"
    if claim_results:
        parts["overview-claims"] = "Claims"
    return template.render(
        title="CNN tuning study",
        byline=(
            f"Profile {tuning.profile.name}, protocol {tuning.protocol.name}, "
            f"{len(tuning.images.folder.gray.class_names)} classes, data {manifest['data']['gray_digest'][:12]}, "
            f"{time.strftime('%Y-%m-%d')}"
        ),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        parts=parts,
        key_figures=words.key_figures(tuning, results),
        chapters=chapters,
        missing=[chapter for chapter in chapters if chapter.error],
        findings=[
            markdown2html(line).strip().removeprefix("<p>").removesuffix("</p>")
            for line in [*words.findings(results, tuning.profile), words.selection(tuning, results).data]
        ],
        claims=_scrolling(words.claim_table(claim_results).data),
        path=_shown(plots.path(results)) if results else "",
        summary=_scrolling(words.summary(results).data),
        leaderboard=_scrolling(words.leaderboard(results, rows=5).data),
        unclear=_scrolling(unclear.data) if unclear else "",
        manifest=shown,
    )


def _hash(content: str) -> str:
    """Return what a Content-Security-Policy calls a script or a style."""
    return b64encode(sha256(content.encode()).digest()).decode()


def _scrolling(content: str) -> str:
    return f'<div class="scroll">{content}</div>'


def _shown(picture: "plots.Picture") -> str:
    content = b64encode(picture.png).decode()
    image = f'<img src="data:image/png;base64,{content}" alt="{escape(picture.alt)}" width="{picture.width}">'
    return _scrolling(image) + _scrolling(picture.folded)


def _exporter(templates: Path) -> Any:
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    return HTMLExporter(
        config=Config(
            {
                "HTMLExporter": {
                    "extra_template_basedirs": [str(templates)],
                    "template_name": "cnnlab",
                    # Each cell by itself too, so that what one leaves open takes nothing from the next.
                    "sanitize_html": True,
                    "filters": {"clean_html": lambda element: sanitise(str(element))},
                },
                "NbConvertBase": {"display_data_priority": _OUTPUTS},
                "TagRemovePreprocessor": {"enabled": True, "remove_cell_tags": _LEFT_OUT},
            }
        )
    )


def _body(exporter: Any, chapter: Chapter) -> str:
    """Render an executed notebook; its headings move down a level, since the page has a heading of its own."""
    import nbformat
    from bs4 import BeautifulSoup

    body, _ = exporter.from_notebook_node(nbformat.read(chapter.path, as_version=4))
    soup = BeautifulSoup(body, "html.parser")
    for anchor in soup.select("a.anchor-link"):
        anchor.decompose()
    for element in soup.select("[id]"):
        del element["id"]  # cells of different notebooks share theirs, and none is to take a section's
    cells = soup.select(".code_cell")
    for cell, after in zip_longest(cells, cells[1:]):
        # Code stands below what it shows, which is what most readers came for; what shows nothing, below the next.
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
