"""The report: words, plots, executed notebooks, and the page."""

from cnnlab.report.build import Report, make
from cnnlab.report.outputs import write_model

__all__ = ["Report", "make", "write_model"]
