"""What several tests share: small folders of real files, and one pair of real workers."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cnnlab import data, sample
from cnnlab.data import Dataset
from cnnlab.engine import Engine

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def colour() -> Dataset:
    """A small colour sample: 200 + 100 images."""
    return sample.make(train=200, test=100)


@pytest.fixture(scope="session")
def gray(colour: Dataset) -> Dataset:
    return data.gray(colour)


@pytest.fixture(scope="session")
def folder(colour: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with both formats. Read-only by custom: tests that spoil files copy it."""
    path = tmp_path_factory.mktemp("data") / "sample"
    sample.write(path, colour)
    return path


@pytest.fixture(scope="session")
def tiny() -> Dataset:
    """Forty 12x12 grayscale images in two classes that one pixel tells apart: trained in a second."""
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    images = rng.integers(0, 80, (40, 12, 12, 1), dtype=np.uint8)
    images[labels == 1, 4:8, 4:8] = 255
    return Dataset(images[:30], labels[:30], images[30:], labels[30:], ("dark", "bright"))


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Real Dask workers, started once for all tests that need some."""
    with Engine() as shared:
        yield shared
