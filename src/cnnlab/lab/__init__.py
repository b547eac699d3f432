"""What the notebooks use: a study whose runs happen in the background."""

from cnnlab.lab.pending import Pending
from cnnlab.lab.session import Session, open_study

__all__ = ["Pending", "Session", "open_study"]
