"""Which files of a folder or an archive are batches."""

from cnnlab.data.finding.batches import ARCHIVE, Place
from cnnlab.data.finding.finder import Finder

__all__ = ["ARCHIVE", "Finder", "Place"]
