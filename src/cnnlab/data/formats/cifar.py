"""Read a CIFAR-10 archive or folder."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cnnlab.data.formats.batch import Batch, _class_name, _content, _pixels, _side
from cnnlab.data.untrusted import pickles, tar
from cnnlab.errors import DataError

FOLDER = "cifar-10-batches-py"


_CIFAR_FILE = re.compile(r"data_batch_\d{1,4}|test_batch|batches\.meta")


_CIFAR_MEMBER = re.compile(rf"(\./)?({FOLDER}/)?({_CIFAR_FILE.pattern})")


def read_cifar(path: Path) -> tuple[tuple[str, ...], dict[str, Batch]]:
    """Read the archive or the folder of CIFAR-10: the names of its classes, and its batches by name.

    Raises:
        DataError: A batch is missing or broken, or the archive is not one.
    """
    found = dict(_folder(path) if path.is_dir() else tar.members(path, _CIFAR_MEMBER))
    last = max((int(name.rpartition("_")[2]) for name in found if name.startswith("data_batch_")), default=1)
    wanted = ["batches.meta", *(f"data_batch_{number}" for number in range(1, last + 1)), "test_batch"]
    missing = [name for name in wanted if name not in found]
    if missing:
        raise DataError(
            f"Expected {missing[0]} in {path.name}. Received: {', '.join(sorted(found)) or 'no batch at all'}. "
            "Fetch the archive again."
        )
    names = pickles.batch(found["batches.meta"], "batches.meta").get("label_names")
    if not isinstance(names, list) or not names or not all(isinstance(name, str | bytes) for name in names):
        raise DataError(
            f"Expected label_names, a list of strings, in batches.meta of {path.name}. Received: "
            f"{type(names).__name__}. Fetch the archive again."
        )
    decoded = (name.decode(errors="replace") if isinstance(name, bytes) else name for name in names)
    class_names = tuple(_class_name(text, "batches.meta") for text in decoded)
    batches = {name: _cifar_batch(pickles.batch(found.pop(name), name), name, len(names)) for name in wanted[1:]}
    if len({batch.images.shape[1:] for batch in batches.values()}) > 1:
        raise DataError(f"Expected images of one size in {path.name}. Received: several sizes.")
    return class_names, batches


def _folder(path: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(path.iterdir()):
        if _CIFAR_FILE.fullmatch(file.name):
            yield file.name, _content(file)


def _cifar_batch(batch: Mapping[str, Any], name: str, n_classes: int) -> Batch:
    data, labels = batch.get("data"), batch.get("labels")
    if not isinstance(data, np.ndarray) or data.ndim != 2 or not isinstance(labels, list | np.ndarray) or not data.size:
        raise DataError(f"Expected data (one row an image) and labels in {name}. Received: {', '.join(batch)}.")
    if len(labels) != len(data):
        raise DataError(f"Expected a label for each of {len(data)} images in {name}. Received: {len(labels)} labels.")
    wrong = next((one for one in labels if not isinstance(one, int | np.integer) or not 0 <= one < n_classes), None)
    if wrong is not None:
        raise DataError(
            f"Expected labels of 0 to {n_classes - 1} in {name}, one a class of batches.meta. Received: {wrong!r:.30}."
        )
    side = _side(data.shape[1], 3, name)
    planes = _pixels(data, name).reshape(-1, 3, side, side)
    return Batch(name, np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), np.asarray(labels, np.int64))
