"""What runs cost, in arithmetic rather than time, so that it is the same on every machine."""

from collections.abc import Iterable

from cnnlab.models import model_cost
from cnnlab.records import Record
from cnnlab.study import Architecture, Budget, Trial
from cnnlab.tuning.images import StudyImages, image_counts

BACKWARD = 3
"""A training step takes about three times the operations of a prediction."""


class Costs:
    """Costs of trials and runs on some images: epochs times training images times operations of an image.

    The operations of a model of the user's own are not known: each of its training images costs the same.

    Args:
        images: The images.
        budget: How many of them are used.
        model: A trial of the study.

    Attributes:
        unit: Unit of the costs.
    """

    def __init__(self, images: StudyImages, budget: Budget, model: Trial) -> None:
        self._images, self._budget = images, budget
        self._counts_operations = isinstance(model.architecture, Architecture)
        self.unit = "TFLOP" if self._counts_operations else "million images"

    def trial(self, trial: Trial) -> float:
        """Return the cost of one run of a trial that takes all its epochs.

        Raises:
            DataError: The images cannot be used.
        """
        n_train, _, _ = image_counts(self._images.dataset(trial.input.colour), self._budget)
        return trial.training.epochs * n_train * self._image(trial)

    def records(self, records: Iterable[Record]) -> float:
        """Return the cost of some runs, by the epochs that they took; equal runs count once."""
        return sum(
            record.epochs * int(record.split["train"]) * self._image(Trial.from_canonical(record.trial))
            for record in {record.digest: record for record in records}.values()
        )

    def _image(self, trial: Trial) -> float:
        """Return the cost of a training image in one epoch."""
        if not self._counts_operations or not isinstance(trial.architecture, Architecture):
            return 1e-6
        dataset = self._images.dataset(trial.input.colour)
        operations = model_cost(trial.architecture, dataset.image_shape, len(dataset.class_names)).flops
        return BACKWARD * operations / 1e12
