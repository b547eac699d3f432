"""Executed notebooks: the chapters of a report."""

from cnnlab.report.notebooks.runner import NotebookRunner, read_key

__all__ = ["NotebookRunner", "read_key"]
