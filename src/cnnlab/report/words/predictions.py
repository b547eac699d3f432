"""Tables and pictures of a trial's predictions on the test images."""

from collections.abc import Sequence

import numpy as np
from IPython.display import HTML, Markdown
from numpy.typing import NDArray

from cnnlab.report import plots
from cnnlab.report.plots import Picture
from cnnlab.report.tables import mean_sd, table, text
from cnnlab.tuning import StageResult, Tuning, read_predictions


def classification(tuning: Tuning, result: StageResult) -> tuple[HTML, Markdown, Picture]:
    """Return the selected trial's classification report, its summary and its confusion matrix, all seeds together."""
    found = result.selected_records
    true, guesses, _ = read_predictions(tuning.store, found, "test")
    names = found[0].data["class_names"]
    # By a worker, which has scikit-learn loaded: in a notebook's kernel that would take longer than all else.
    report, matrix = tuning.engine.call(_counted, np.tile(true, len(found)), guesses.ravel(), names)
    rows = [
        {"class": name, **{key: report[name][key] for key in ("precision", "recall", "f1-score")},
         "predictions": int(report[name]["support"])}
        for name in [*names, "macro avg", "weighted avg"]
    ]  # fmt: skip
    f1 = mean_sd([record.scores["test_f1"] for record in found])
    accuracy = mean_sd([record.scores["test_accuracy"] for record in found])
    runs = f"{len(found)} run{'s' * (len(found) > 1)}"
    summary = Markdown(
        f"**{text(result.decision.selected)}** on the test images: macro-F1 **{f1}**, accuracy **{accuracy}** "
        f"({runs}; the table and the matrix count the predictions of all of them)."
    )
    return (
        table(rows, dict.fromkeys(("precision", "recall", "f1-score"), ".3f")),
        summary,
        plots.confusion(matrix, names),
    )


def _counted(
    true: NDArray[np.int64], predicted: NDArray[np.int64], names: Sequence[str]
) -> tuple[dict[str, dict[str, float]], NDArray[np.int64]]:
    """Return scikit-learn's classification report, by class, and the confusion matrix (n_classes, n_classes)."""
    from sklearn.metrics import classification_report, confusion_matrix

    labels = range(len(names))
    report = classification_report(
        true, predicted, labels=labels, target_names=names, output_dict=True, zero_division=0
    )
    return report, confusion_matrix(true, predicted, labels=labels)


def confused_pairs(tuning: Tuning, result: StageResult, most: int = 10) -> HTML:
    """Return the classes that the selected trial's runs confuse most often, with their share of the true class."""
    found = result.selected_records
    true, guesses, n_classes = read_predictions(tuning.store, found, "test")
    names = found[0].data["class_names"]
    counts = np.bincount((true * n_classes + guesses).ravel(), minlength=n_classes**2).reshape(n_classes, n_classes)
    of_class = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    places = [divmod(int(place), n_classes) for place in counts.ravel().argsort(kind="stable")[::-1][:most]]
    return table(
        [
            {
                "true": names[one],
                "taken for": names[other],
                "times": int(counts[one, other]),
                "share of the class": counts[one, other] / of_class[one],
            }
            for one, other in places
            if counts[one, other]
        ],
        {"share of the class": ".1%"},
    )


def misclassified(tuning: Tuning, result: StageResult, most: int = 20) -> tuple[Markdown, Picture | Markdown]:
    """Return how many test images the final model gets wrong, and those of them of which it is surest."""
    record = result.best_run
    arrays = tuning.store.arrays(record.digest, "test_labels", "test_probs")
    labels, probs = arrays["test_labels"], arrays["test_probs"]
    names, said, sure = record.data["class_names"], probs.argmax(axis=1), probs.max(axis=1)
    wrong = np.flatnonzero(said != labels)
    summary = Markdown(
        f"The run that `model.keras` holds (seed {record.seed}) gets {len(wrong):,} of {len(labels):,} test images "
        "wrong."
        + " Those of which it was surest: true class, what it said, and with which probability."
        * bool(len(wrong))
    )
    if not len(wrong):
        return summary, Markdown("")
    shown = wrong[(-sure[wrong]).argsort(kind="stable")[:most]]
    dataset = tuning.images.dataset(result.selected.settings.input.colour)
    titles = [f"{names[labels[i]]}\nas {names[said[i]]}\n{sure[i]:.2f}" for i in shown]
    listed = ", ".join(f"{names[labels[i]]} as {names[said[i]]} {sure[i]:.2f}" for i in shown)
    images = dataset.test_images[tuning.images.split(dataset).test[shown]]
    return summary, plots.images(images, titles, f"{len(shown)} misclassified test images: {listed}.")


def calibration(tuning: Tuning, result: StageResult) -> Picture:
    """Draw how often the selected trial's runs are right on the test images, by how sure they were."""
    found = result.selected_records
    arrays = [tuning.store.arrays(record.digest, "test_labels", "test_probs") for record in found]
    return plots.calibration(*(np.concatenate([of[name] for of in arrays]) for name in ("test_probs", "test_labels")))
