"""Labels that the held-out predictions of several runs contradict."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cnnlab.data import Dataset
from cnnlab.records import Record
from cnnlab.tuning.advice import has_not_learned
from cnnlab.tuning.results import StageResult, final_stage
from cnnlab.tuning.tuning import Tuning

FEWEST_RUNS = 2
"""Runs without which no label is called doubtful."""
COLUMNS = (
    "part", "index", "file", "label", "predicted", "probability_of_label", "probability_of_predicted", "runs",
    "quality",
)  # fmt: skip
"""Columns of `doubtful-labels.csv`."""


class NoAnswer(StrEnum):
    """Why no label is called doubtful."""

    FEW_RUNS = "few runs"
    CHANCE = "chance"


@dataclass(frozen=True)
class DoubtfulLabels:
    """The labels that are probably wrong, as far as the runs of the last stage can tell.

    Attributes:
        table: A row for each of them, the most doubtful first, with the columns of `COLUMNS`. `part` is "training" or
            "test", `index` the place in that part, `file` the name of the file ("" if it is not known), `runs` how many
            runs predicted the image, and `quality` cleanlab's score of the label, 0 to 1, by which the rows are sorted.
        images: How many images have predictions of runs that did not train on them.
        runs: How many runs predicted them.
        fewest: Fewest runs that predicted one of them.
        most: Most runs that did.
        accuracy: Share of these images of which the class with the highest mean probability is the label.
        reason: Why the table is empty and nothing was compared; None if something was.
    """

    table: pd.DataFrame
    images: int = 0
    runs: int = 0
    fewest: int = 0
    most: int = 0
    accuracy: float = 0.0
    reason: NoAnswer | None = None


def doubtful_runs(tuning: Tuning, results: Sequence[StageResult]) -> list[Record] | NoAnswer:
    """Return the runs whose predictions are compared with the labels, or why there are too few of them.

    They are the runs of the last stage, whose trials are the final model and those most like it. Trials at chance, runs
    that diverged, and trials on other images than those of the final model are left out.

    Raises:
        DataError: The images cannot be used.
    """
    final = final_stage(results)
    if final is None:
        return NoAnswer.FEW_RUNS
    not_learned = has_not_learned(tuning, final)
    if final.decision.selected in not_learned:
        return NoAnswer.CHANCE
    data = final.best_run.data["digest"]
    records = {
        record.digest: record
        for trial in final.distinct_trials
        if trial.name not in not_learned
        for record in final.records(trial.name)
        if record.data["digest"] == data and all(map(math.isfinite, record.scores.values()))
    }
    return list(records.values()) if len(records) >= FEWEST_RUNS else NoAnswer.FEW_RUNS


def doubtful_labels(tuning: Tuning, results: Sequence[StageResult]) -> DoubtfulLabels:
    """Find the labels that the held-out predictions of several runs contradict most.

    The probabilities that the runs predict for an image are averaged over the runs in which it is a validation or test
    image. cleanlab then estimates how many labels are wrong, from how often and how surely another class is predicted
    (confident learning; Northcutt, Jiang and Chuang 2021, doi:10.1613/jair.1.12125).

    Args:
        tuning: The study.
        results: Those of its stages.

    Raises:
        DataError: The images cannot be used.
        RecordError: A run's predictions are missing or damaged.
    """
    records = doubtful_runs(tuning, results)
    if isinstance(records, NoAnswer):
        return DoubtfulLabels(pd.DataFrame(columns=COLUMNS), reason=records)
    dataset = tuning.images.dataset(records[0].trial["input"]["colour"])
    places, probs, counts = _mean_probs(tuning, dataset, records)
    labels = np.concatenate([dataset.train_labels, dataset.test_labels])[places]
    # On a worker, which has loaded scikit-learn already.
    doubtful, quality = tuning.engine.call(label_issues, labels, probs)
    predicted, n_train, names = probs.argmax(axis=1), len(dataset.train_labels), dataset.class_names
    rows = []
    for row in doubtful[np.argsort(quality[doubtful], kind="stable")].tolist():
        place, label, guess = int(places[row]), labels[row], predicted[row]
        part, index = ("training", place) if place < n_train else ("test", place - n_train)
        files = dataset.train_files if part == "training" else dataset.test_files
        scores = (round(float(value), 4) for value in (probs[row, label], probs[row, guess], quality[row]))
        of_label, of_guess, of_row = scores
        about = part, index, files[index] if files else "", names[label], names[guess]
        rows.append((*about, of_label, of_guess, int(counts[row]), of_row))
    return DoubtfulLabels(
        pd.DataFrame(rows, columns=COLUMNS),
        len(places),
        len(records),
        int(counts.min()),
        int(counts.max()),
        float(np.mean(predicted == labels)),
    )


def _mean_probs(
    tuning: Tuning, dataset: Dataset, records: Sequence[Record]
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Return what some runs predict for images on which they have not trained.

    Returns:
        The places (n,) of these images among all training images, followed by all test images; the mean of their
        probabilities (n, n_classes); and the number of runs (n,) that predicted each.
    """
    indices, probs = [], []
    for record in records:
        split = tuning.images.split(dataset, record.seed)
        arrays = tuning.store.arrays(record.digest, "val_probs", "test_probs")
        indices += [split.val, split.test + len(dataset.train_labels)]
        probs += [arrays["val_probs"], arrays["test_probs"]]
    places, rows, counts = np.unique(np.concatenate(indices), return_inverse=True, return_counts=True)
    means = np.zeros((len(places), len(dataset.class_names)))
    np.add.at(means, rows, np.concatenate(probs))
    means /= means.sum(axis=1, keepdims=True)
    return places, means.astype(np.float32), counts


def label_issues(
    labels: NDArray[np.int64], probs: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return which labels are probably wrong (k,), as indices, and the quality of each label (n,), 0 to 1.

    Args:
        labels: (n,).
        probs: (n, n_classes) probabilities, predicted by models that have not trained on the images.
    """
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    with warnings.catch_warnings():
        # A class with one image or none has no doubtful label.
        warnings.filterwarnings("ignore", "May not flag all label issues", UserWarning)
        doubtful = find_label_issues(labels, probs, n_jobs=1)
    # The margin, because it is low where another class fits better.
    return np.flatnonzero(doubtful), get_label_quality_scores(labels, probs, method="normalized_margin")
