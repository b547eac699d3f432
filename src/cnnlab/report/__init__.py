"""The report: words, plots, executed notebooks, and the page."""

from cnnlab.report.build import Report, make, write_model

__all__ = ["Report", "make", "write_model"]
