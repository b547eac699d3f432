"""Which files of a folder or an archive are images, batches or archives."""

from cnnlab.data.finding.batches import ARCHIVE, Place
from cnnlab.data.finding.finder import Finder

__all__ = ["ARCHIVE", "Finder", "Place"]
