"""The report: words, plots, executed notebooks, and the page."""

from cnnlab.report.build import Report, StudyResults, make, run_study, write_model

__all__ = ["Report", "StudyResults", "make", "run_study", "write_model"]
