"""The page of a report: an overview and the executed notebooks as one HTML file."""

from cnnlab.report.page.chapters import Chapter, guarded
from cnnlab.report.page.page import import_libraries, render, templates_digest
from cnnlab.report.page.sanitiser import sanitise

__all__ = ["Chapter", "guarded", "import_libraries", "render", "sanitise", "templates_digest"]
