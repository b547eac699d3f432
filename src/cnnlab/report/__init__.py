"""The report: words, plots, executed notebooks, and the page."""

from cnnlab.report.build import _write_model, make

__all__ = ["_write_model", "make"]
