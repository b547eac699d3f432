"""Render the executed notebooks and an overview as one HTML page, in which no markup from data can run."""

import time
from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import chdir, suppress
from hashlib import sha256
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from cnnlab.report.changes import changed_line
from cnnlab.report.page.chapters import Chapter, guarded, render_chapters
from cnnlab.report.page.overview import make_overview, model_command
from cnnlab.report.page.sanitiser import sanitise
from cnnlab.report.page.terms import TermLinks
from cnnlab.tuning import ClaimResult, NextStep, StageResult, Tuning

_SCRIPTS = ("tables.js", "figures.js", "page.js")


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
    out: Path,
) -> str:
    """Return the report as one HTML page that loads nothing from elsewhere and runs no script but its own.

    A chapter or a part of the overview that fails is named on the page and in `chapters`, with the reason.

    Text from data is escaped, and HTML from data passes through `sanitise` as the last step. In addition, the page's
    Content-Security-Policy blocks every other script and style; the page's script sorts tables, folds parts away and
    makes no markup of texts.

    Args:
        tuning: The study.
        results: Its stages.
        chapters: The executed notebooks.
        claim_results: The claims.
        steps: What to do next; None if that is not known.
        manifest: What `make_manifest` returns.
        out: Folder of the report, beside whose files the page will lie.
    """
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup

    import_libraries()
    terms, overview = TermLinks(), make_overview(tuning, results, claim_results, steps, chapters)
    with as_file(files("cnnlab.report") / "templates") as templates:
        render_chapters(templates, chapters, terms)
        environment = Environment(loader=FileSystemLoader(templates), autoescape=True)
        environment.filters["base64"] = lambda png: b64encode(png).decode()
        environment.filters["sanitise"] = lambda fragment: Markup(sanitise(fragment))  # noqa: S704 - safe by then
        template = environment.get_template("page.html.j2")
        script = "\n".join((templates / name).read_text(encoding="utf-8") for name in _SCRIPTS)
        style, plot_style = ((templates / name).read_text(encoding="utf-8") for name in ("page.css", "plots.css"))
        with guarded(chapters, "missing-colours", "The colours of the code"):
            style += _code_style()
    return template.render(
        tuning=tuning,
        date=time.strftime("%Y-%m-%d"),
        style=style,
        plot_style=plot_style,
        style_hashes=[_hash(plot_style), _hash(style)],
        script=script,
        script_hash=_hash(script),
        chapters=chapters,
        manifest=manifest,
        changed_line=changed_line(manifest["changed_notebooks"]),
        model_command=model_command(out),
        term=terms.link,
        terms=terms,
        **overview,
    )


def _code_style() -> str:
    """Return the style of highlighted code, light and dark."""
    from pygments.formatters import HtmlFormatter

    light, dark = (
        HtmlFormatter(style=name, nobackground=True).get_style_defs(".highlight") for name in ("default", "github-dark")
    )
    return f"\n{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}"


def import_libraries() -> None:
    """Import Matplotlib and nbconvert, which takes seconds, from a folder without a `matplotlibrc`.

    One in the working directory may be broken.
    """
    # The parts that use them import them again, and report an error.
    with suppress(Exception), chdir(Path(__file__).parent):
        import matplotlib  # noqa: F401
        import nbconvert  # noqa: F401


def _hash(content: str) -> str:
    """Return the hash by which a Content-Security-Policy names a script or a style."""
    return b64encode(sha256(content.encode()).digest()).decode()
