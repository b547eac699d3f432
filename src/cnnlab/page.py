"""Render executed notebooks and what is said of the whole study as one HTML page."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from cnnlab import overview, plots
from cnnlab.claims import Judgement
from cnnlab.tuning import StageResult, Tuning


@dataclass
class Chapter:
    """One executed notebook of the report, or why it is missing."""

    name: str
    title: str
    path: Path
    error: str = ""
    body: str = ""


def render(
    tuning: Tuning,
    results: Sequence[StageResult],
    chapters: Sequence[Chapter],
    judgements: Sequence[Judgement],
    manifest: Mapping[str, Any],
) -> str:
    """Return the report as one HTML page that loads nothing from elsewhere."""
    from jinja2 import Environment, FileSystemLoader
    from nbconvert.filters import markdown2html
    from pygments.formatters import HtmlFormatter

    with as_file(files("cnnlab") / "templates") as templates:
        exporter = _exporter(templates)
        for chapter in chapters:
            if not chapter.error:
                chapter.body = _body(exporter, chapter)
        template = Environment(loader=FileSystemLoader(templates), autoescape=True).get_template("page.html.j2")
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
        "Runs": f"{manifest['runs']}, {manifest['runs_made_now']} of them made by this command",
        "Training time": f"{manifest['train_seconds']:,.0f} s over all runs",
        "Wall time": f"{manifest['wall_seconds']:,.0f} s for this command",
        "Machine": f"{manifest['machine']['system']}, {manifest['machine']['cores']} cores",
        "Versions": ", ".join(f"{name} {version}" for name, version in manifest["versions"].items()),
        "Data digest": manifest["data"]["gray_digest"],
        "Split digests": ", ".join(manifest["splits"]),
    }
    picture = plots.path(results) if results else None
    return template.render(
        title="CNN tuning study",
        byline=(
            f"Profile {tuning.profile.name}, protocol {tuning.protocol.name}, "
            f"{len(tuning.folder.gray.class_names)} classes, data {manifest['data']['gray_digest'][:12]}, "
            f"{time.strftime('%Y-%m-%d')}"
        ),
        style=style,
        chapters=chapters,
        missing=[chapter for chapter in chapters if chapter.error],
        findings=[
            markdown2html(line).strip().removeprefix("<p>").removesuffix("</p>")
            for line in [*overview.findings(results, tuning.profile), overview.selection(tuning, results).data]
        ],
        claims=f'<div class="scroll">{overview.claim_table(judgements).data}</div>' if judgements else "",
        path=_img(picture) if picture else "",
        summary=f'<div class="scroll">{overview.summary(results).data}</div>' if results else "",
        manifest=shown,
    )


def _img(picture: plots.Picture) -> str:
    from base64 import b64encode

    content = b64encode(picture.png).decode()
    return f'<img src="data:image/png;base64,{content}" alt="{escape(picture.alt)}" width="{picture.width}">'


def _exporter(templates: Path) -> Any:
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    return HTMLExporter(
        config=Config(
            {
                "HTMLExporter": {"extra_template_basedirs": [str(templates)], "template_name": "cnnlab"},
                # The defaults, which the injected parameters replace, and housekeeping.
                "TagRemovePreprocessor": {"enabled": True, "remove_cell_tags": {"parameters", "close"}},
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
    for cell in soup.select("[id^='cell-id=']"):
        del cell["id"]  # cells of different notebooks share their ids
    for heading in soup.find_all(re.compile("^h[1-5]$")):
        heading.name = f"h{int(heading.name[1]) + 1}"
        slug = re.sub(r"[^a-z0-9]+", "-", heading.get_text().lower()).strip("-")
        heading["id"] = f"{chapter.name}-{slug}"
    return str(soup)
