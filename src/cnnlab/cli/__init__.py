"""The command line: `cnnlab`, or `python -m cnnlab`."""

from cnnlab.cli.main import main
from cnnlab.cli.process import long_work

__all__ = ["long_work", "main"]
