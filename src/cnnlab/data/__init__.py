"""Images in, checked: datasets, splits, formats, the built-in sample and the download of CIFAR-10."""

from cnnlab.data.checks import accepted_kinds, check
from cnnlab.data.checks.copies import CORRELATION, Pairs, find_copies
from cnnlab.data.dataset import Dataset, gray, image_name, luma
from cnnlab.data.finding import ARCHIVE
from cnnlab.data.folder import DataFolder, load, load_cifar10, load_gray_batches, write_gray_batches
from cnnlab.data.messages import DataWarning
from cnnlab.data.sample import find_folder
from cnnlab.data.size import Size, parse_size
from cnnlab.data.splits import Split, part_sizes, smaller, split

__all__ = [
    "ARCHIVE", "CORRELATION", "DataFolder", "DataWarning", "Dataset", "Pairs", "Size", "Split", "accepted_kinds",
    "check", "find_copies", "find_folder", "gray", "image_name", "load", "load_cifar10", "load_gray_batches", "luma",
    "parse_size", "part_sizes", "smaller", "split", "write_gray_batches",
]  # fmt: skip
