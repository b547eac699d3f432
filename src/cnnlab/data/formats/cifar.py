"""Read a CIFAR-10 archive or folder."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cnnlab.data.formats.batch import Batch, check_class_name, image_side, read_content, to_pixels
from cnnlab.data.messages import unexpected
from cnnlab.data.untrusted import tar
from cnnlab.data.untrusted.pickle_values import read_batch

FOLDER = "cifar-10-batches-py"
_FILE = re.compile(r"data_batch_\d{1,4}|test_batch|batches\.meta")
_MEMBER = re.compile(rf"(\./)?({FOLDER}/)?({_FILE.pattern})")


def read_cifar(path: Path) -> tuple[tuple[str, ...], dict[str, Batch]]:
    """Read the archive or the folder of CIFAR-10: the names of its classes, and its batches by name, test last.

    Raises:
        DataError: A batch is missing or broken, or the archive is not one.
    """
    contents = dict(_read_folder(path) if path.is_dir() else tar.members(path, _MEMBER))
    last = max((int(name.rpartition("_")[2]) for name in contents if name.startswith("data_batch_")), default=1)
    wanted = ["batches.meta", *(f"data_batch_{number}" for number in range(1, last + 1)), "test_batch"]
    missing = [name for name in wanted if name not in contents]
    if missing:
        received = ", ".join(sorted(contents)) or "no batch at all"
        raise unexpected(f"{missing[0]} in {path.name}", received, "Fetch the archive again.")
    names = read_batch(contents["batches.meta"], "batches.meta").get("label_names")
    if not isinstance(names, list) or not names or not all(isinstance(name, str | bytes) for name in names):
        expected = f"label_names, a list of strings, in batches.meta of {path.name}"
        raise unexpected(expected, type(names).__name__, "Fetch the archive again.")
    texts = (name.decode(errors="replace") if isinstance(name, bytes) else name for name in names)
    class_names = tuple(check_class_name(text, "batches.meta") for text in texts)
    batches = {name: _to_batch(read_batch(contents.pop(name), name), name, len(names)) for name in wanted[1:]}
    if len({batch.images.shape[1:] for batch in batches.values()}) > 1:
        raise unexpected(f"images of one size in {path.name}", "several sizes")
    return class_names, batches


def _read_folder(path: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(path.iterdir()):
        if _FILE.fullmatch(file.name):
            yield file.name, read_content(file)


def _to_batch(batch: Mapping[str, Any], name: str, n_classes: int) -> Batch:
    data, labels = batch.get("data"), batch.get("labels")
    if not isinstance(data, np.ndarray) or data.ndim != 2 or not isinstance(labels, list | np.ndarray) or not data.size:
        raise unexpected(f"data (one row an image) and labels in {name}", ", ".join(batch))
    if len(labels) != len(data):
        raise unexpected(f"a label for each of {len(data)} images in {name}", f"{len(labels)} labels")
    for label in labels:
        if not isinstance(label, int | np.integer) or not 0 <= label < n_classes:
            expected = f"labels of 0 to {n_classes - 1} in {name}, one for each class of batches.meta"
            raise unexpected(expected, f"{label!r:.30}")
    side = image_side(data.shape[1], 3, name)
    planes = to_pixels(data, name).reshape(-1, 3, side, side)  # all reds, all greens, all blues
    return Batch(name, np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), np.asarray(labels, np.int64))
