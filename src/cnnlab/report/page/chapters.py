"""Executed notebooks as the chapters of a page."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnlab.report.page.sanitiser import sanitise
from cnnlab.report.page.terms import TermLinks
from cnnlab.report.tables import PLOT_TYPE

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

_OUTPUTS = [PLOT_TYPE, "text/html", "text/markdown", "image/png", "image/jpeg", "text/plain"]
"""Types of output that the page shows, the best one first. None contains or needs a script."""
_HIDDEN_CELLS = {"parameters", "opening"}
"""Tags of cells that the page leaves out: the default parameters, which the injected ones replace, and what its
overview shows already."""
MOST_TITLES = 4
"""Titles of details that are named before they are unfolded."""
_MORE = "celltag_more"
"""Class of the cells that are folded away at the end of their chapter."""


@dataclass
class Chapter:
    """An executed notebook of the report, or the error why it is missing; `body` is its HTML, once rendered."""

    name: str
    title: str
    path: Path
    error: str = ""
    body: str = ""


@contextmanager
def guarded(chapters: list[Chapter], name: str, title: str, *written: Path) -> Iterator[None]:
    """If a part of the report fails, add it to the chapters, with the reason, so that the other parts are made.

    The files that the part writes are removed then, because they may be those of an earlier report.
    """
    try:
        yield
    except Exception as error:  # a damaged store, a library that cannot be imported, a figure that cannot be drawn
        reason = " ".join(str(error).split())[:300]
        chapters.append(Chapter(name, title, Path(), f"{type(error).__name__}: {reason}"))
        for file in written:
            with suppress(OSError):
                file.unlink()


def render_chapters(templates: Path, chapters: Sequence[Chapter], terms: TermLinks) -> None:
    """Set the body of each chapter, or its error."""
    try:
        exporter = make_exporter(templates)
    except Exception as error:  # nbconvert cannot be imported, say
        for chapter in chapters:
            chapter.error = chapter.error or f"it cannot be rendered ({type(error).__name__}: {error})"
    for chapter in chapters:
        if not chapter.error:
            try:
                chapter.body = render_body(exporter, chapter, terms)
            except Exception as error:  # any error in a notebook leaves the other chapters as they are
                chapter.error = f"it cannot be rendered ({type(error).__name__})"
                chapter.path.unlink(missing_ok=True)  # so that the next command makes it again


def make_exporter(templates: Path) -> Any:
    """Return nbconvert's exporter with the template `cnnlab` of a folder."""
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


def render_body(exporter: Any, chapter: Chapter, terms: TermLinks) -> str:
    """Render an executed notebook: what is for everybody, then one fold for the details and one for the code.

    Its headings move down one level, below the page's own heading.
    """
    import nbformat
    from bs4 import BeautifulSoup

    body, _ = exporter.from_notebook_node(nbformat.read(chapter.path, as_version=4))
    soup = BeautifulSoup(body, "html.parser")
    for anchor in soup.select("a.anchor-link"):
        anchor.decompose()
    for element in soup.select("[id]"):
        del element["id"]  # notebooks share ids, and none may take that of a section
    code = [fold.extract() for fold in soup.select("details.code")]
    _fold_details(soup)
    terms.link_first(soup)
    _mark_headings(soup, chapter.name)
    _append_code(soup, code, chapter.path)
    return str(soup)


def _fold_details(soup: "BeautifulSoup") -> None:
    """Move the cells tagged "more" and the numbers of the plots into one fold at the end."""
    cells = [cell.extract() for cell in soup.select(f".{_MORE}")]
    numbers = [_named_numbers(fold) for fold in soup.select("details.numbers")]
    if not cells and not numbers:
        return
    fold = soup.new_tag("details", attrs={"class": "more"})
    summary = soup.new_tag("summary")
    titles = [heading.get_text().strip() for cell in cells for heading in cell.find_all(re.compile("^h[1-5]$"))]
    titles += ["numbers of the pictures"] if numbers else []
    shown = [title[:1].lower() + title[1:] for title in titles[:MOST_TITLES]]
    more = f" and {len(titles) - MOST_TITLES} more" if len(titles) > MOST_TITLES else ""
    summary.string = f"More: {', '.join(shown)}{more}"
    fold.extend([summary, *cells, *(number.extract() for number in numbers)])
    soup.append(fold)


def _named_numbers(fold: "Tag") -> "Tag":
    """Name the plot that a fold of numbers belongs to, by the first words of its alternative text."""
    plot = fold.find_previous(["svg", "img"])
    about = str((plot.get("aria-label") or plot.get("alt") or "") if plot else "")
    if fold.summary:
        fold.summary.string = f"Numbers: {re.split(r'[:.;](?: |$)', about)[0]}" if about else "Numbers"
    return fold


def _mark_headings(soup: "BeautifulSoup", name: str) -> None:
    """Move headings down one level, and give each an id and a link to itself."""
    seen = Counter[str]()
    for heading in soup.find_all(re.compile("^h[1-5]$")):
        heading.name = f"h{int(heading.name[1]) + 1}"
        slug = re.sub(r"[^a-z0-9]+", "-", heading.get_text().lower()).strip("-")
        seen[slug] += 1
        heading["id"] = f"{name}-{slug}" + (f"-{seen[slug]}" if seen[slug] > 1 else "")
        anchor = soup.new_tag("a", attrs={"class": "anchor", "href": f"#{heading['id']}"})
        anchor["aria-label"] = f"Link to: {heading.get_text()}"
        anchor.string = "#"
        heading.append(" ")
        heading.append(anchor)


def _append_code(soup: "BeautifulSoup", code: Sequence["Tag"], path: Path) -> None:
    """Add one fold with the code of all cells, and a link to the notebook."""
    if not code:
        return
    fold = soup.new_tag("details", attrs={"class": "code"})
    summary, source = soup.new_tag("summary"), soup.new_tag("p")
    summary.string = "Code of this chapter"
    link = soup.new_tag("a", attrs={"href": f"notebooks/{path.name}"})
    link.string = f"notebooks/{path.name}"
    source.extend(["From the executed notebook ", link, ", which lies beside this page."])
    fold.extend([summary, source])
    for cell in code:
        fold.extend([part for part in cell.contents if getattr(part, "name", "") != "summary"])
    soup.append(fold)
