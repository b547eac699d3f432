"""The images of a study, as a budget uses them."""

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path

from cnnlab import data
from cnnlab.data import DataFolder, Dataset, DataWarning, Split
from cnnlab.engine import Work
from cnnlab.errors import DataError, require
from cnnlab.records import Run
from cnnlab.study import Budget, Protocol, Trial


class StudyImages:
    """The images of a data folder as a profile and a protocol use them.

    Args:
        path: The folder. The built-in sample is written if its folder is missing.
        budget: How many images are used.
        protocol: How they are split.
        accept: Kinds of warnings about the images that the user accepts.
        size: Height and width of the images, as "48" or "48x64"; "" for the usual one (`data.load`).
        cache: Folder where resized images are kept; None for none.
        on_progress: Called as images are decoded, as by `data.load`.

    Raises:
        ConfigError: There is no such kind of warning, or no such size.
    """

    def __init__(
        self,
        path: str | Path,
        budget: Budget,
        protocol: Protocol,
        accept: str | Iterable[str] = (),
        *,
        size: str = "",
        cache: Path | None = None,
        on_progress: Callable[[int, int], None] = lambda *_: None,
    ) -> None:
        require(isinstance(size, str), "size", "a text, as '48' or '48x64'", size)
        self.path = Path(path)
        self.accepted = data.accepted_kinds(accept)
        self.size = data.parse_size(size)
        self._cache, self._on_progress = cache, on_progress
        self._budget, self._protocol = budget, protocol
        self._splits: dict[tuple[str, int, float], Split] = {}

    def within(self, budget: Budget) -> "StudyImages":
        """Return the same images as another budget uses them; they are not read again."""
        other = copy(self)
        other._budget, other._splits = budget, {}
        other.__dict__.pop("warnings", None)
        return other

    @cached_property
    def folder(self) -> DataFolder:
        """The images, read when first needed.

        Raises:
            DataError: They cannot be used.
        """
        return self.load(data.find_folder(self.path))

    def load(self, path: Path) -> DataFolder:
        """Read the images of a folder, or of a file in it, in the size that is wanted.

        Raises:
            DataError: They cannot be used.
        """
        return data.load(path, self.size, self._cache, self._on_progress)

    def dataset(self, colour: bool) -> Dataset:
        """Return the grayscale or the colour images.

        Raises:
            DataError: There are no colour images.
        """
        dataset = self.folder.colour if colour else self.folder.gray
        if dataset is None:
            raise DataError(
                f"Expected colour images in {str(self.path)!r}. Received: grayscale images only. Use colour images "
                "(data/README.md), or a study without colour = true."
            )
        return dataset

    def split(self, dataset: Dataset, seed: int = 1, share: float = 1.0) -> Split:
        """Return which of a dataset's images the runs of a seed train on, validate on and test on.

        Args:
            dataset: The images.
            seed: The seed.
            share: Share of the training images: 1, a half, a quarter, and so on. Each part contains the smaller ones,
                and all have the same validation and test images.

        Raises:
            DataError: There are too few of them.
        """
        budget = self._budget
        draw = seed if budget.splits == "resampled" else 0
        key = dataset.digest, draw, share
        if key not in self._splits and share < 1:
            larger = self.split(dataset, seed, 2 * share)
            self._splits[key] = data.smaller(dataset, larger, len(larger.train) // 2, draw)
        elif key not in self._splits:
            self._splits[key] = data.split(
                dataset, self._protocol.split, budget.train, budget.val, budget.test, draw=draw
            )
        return self._splits[key]

    @property
    def has_given_val(self) -> bool:
        """Whether the files name the validation images, so that all seeds have the same ones.

        Raises:
            DataError: The images cannot be used.
        """
        return self.folder.gray.given_val is not None

    @cached_property
    def warnings(self) -> list[DataWarning]:
        """What the user should know about the images before any fit.

        Raises:
            DataError: The images cannot be used.
        """
        gray, colour = self.folder.gray, self.folder.colour
        if colour is None or self.folder.derived_gray:
            dataset = colour or gray
            return data.check(dataset, self.split(dataset), self.accepted)
        checked = [data.check(dataset, self.split(dataset), self.accepted) for dataset in (gray, colour)]
        both = [warning for warning in checked[0] if warning in checked[1]]
        return both + [
            DataWarning(warning.name, f"{kind} images: {warning.text}")
            for kind, warnings in zip(("Grayscale", "Colour"), checked, strict=True)
            for warning in warnings
            if warning not in both
        ]

    def work(self, trial: Trial, seeds: Sequence[int], share: float = 1.0) -> list[Work]:
        """Return a trial's runs with their images; `share` as in `split`."""
        dataset = self.dataset(trial.input.colour)
        splits = {seed: self.split(dataset, seed, share) for seed in seeds}
        trial = trial.for_images(len(splits[seeds[0]].train))
        return [(Run(trial, seed, dataset.digest, split.digest), dataset, split) for seed, split in splits.items()]


def image_counts(dataset: Dataset, budget: Budget) -> tuple[int, int, int]:
    """Return how many images a budget trains on, validates on and tests on, as `data.split` divides them."""
    return data.part_sizes(dataset, budget.train, budget.val, budget.test)


def warning_lines(warnings: Sequence[DataWarning]) -> list[str]:
    """Return warnings about images as lines for a terminal; the last one says how to accept them."""
    if not warnings:
        return []
    kinds = ",".join(dict.fromkeys(warning.name for warning in warnings))
    return [
        *(f"images: {warning.text} [{warning.name}]" for warning in warnings),
        f"images: if a warning describes what you want, accept its kind (ACCEPT={kinds}).",
    ]
