"""The images of a study: read once, split once."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from cnnlab import data, models
from cnnlab.data import DataFolder, Dataset, Split, sample
from cnnlab.engine import Work
from cnnlab.errors import DataError
from cnnlab.records import Run
from cnnlab.study import Architecture, Profile, Protocol, Trial


class StudyImages:
    """The images of a data folder as a profile and a protocol use them.

    Args:
        path: The folder. The built-in sample is written if its folder is missing.
        profile: How many images are used.
        protocol: How they are split.
    """

    def __init__(self, path: str | Path, profile: Profile, protocol: Protocol) -> None:
        self.path = Path(path)
        self._profile, self._protocol = profile, protocol
        self._splits: dict[str, Split] = {}

    @cached_property
    def folder(self) -> DataFolder:
        """The images, read when first needed.

        Raises:
            DataError: They cannot be used.
        """
        if self.path.parts[-2:] == sample.PLACE and not self.path.exists():
            sample.write(self.path)
        return data.load(self.path)

    def dataset(self, colour: bool) -> Dataset:
        """Return the grayscale or the colour images.

        Raises:
            ConfigError: They are too small for the study's networks.
            DataError: There are no colour images.
        """
        dataset = self.folder.colour if colour else self.folder.gray
        if dataset is None:
            raise DataError(
                f"Expected {data.ARCHIVE} in {str(self.path)!r} for the colour stage. Received: grayscale batches only."
            )
        models.require_size(Architecture(), dataset.image_shape)
        return dataset

    def split(self, dataset: Dataset) -> Split:
        """Return which of a dataset's images the runs train on, validate on and test on.

        Raises:
            DataError: There are too few of them.
        """
        if dataset.digest not in self._splits:
            profile = self._profile
            self._splits[dataset.digest] = data.split(
                dataset, self._protocol.split, profile.train, profile.val, profile.test
            )
        return self._splits[dataset.digest]

    def work(self, trial: Trial, seeds: Sequence[int]) -> list[Work]:
        """Return a trial's runs with their images."""
        dataset = self.dataset(trial.input.colour)
        split = self.split(dataset)
        return [(Run(trial, seed, dataset.digest, split.digest), dataset, split) for seed in seeds]
