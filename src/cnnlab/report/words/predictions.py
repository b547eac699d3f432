"""Tables and pictures of a trial's predictions on the test images, all seeds together."""

from collections.abc import Sequence

import numpy as np
from IPython.display import HTML, Markdown
from numpy.typing import NDArray

from cnnlab.report import plots
from cnnlab.report.plots import Picture
from cnnlab.report.tables import count, mean_sd, table, text
from cnnlab.tuning import StageResult, Tuning, read_predictions


def classification_report(tuning: Tuning, result: StageResult) -> tuple[HTML, Markdown, Picture]:
    """Return the selected trial's scores by class, a summary, and its confusion matrix."""
    records = result.selected_records
    true, predicted, _ = read_predictions(tuning.store, records, "test")
    names = records[0].data["class_names"]
    # On a worker, which has loaded scikit-learn. In a notebook's kernel, loading takes longer than everything else.
    report, matrix = tuning.engine.call(_report_and_matrix, np.tile(true, len(records)), predicted.ravel(), names)
    scores = ("precision", "recall", "f1-score")
    rows = [
        {"class": name, **{score: report[name][score] for score in scores}, "predictions": int(report[name]["support"])}
        for name in [*names, "macro avg", "weighted avg"]
    ]
    f1, accuracy = (mean_sd([record.scores[name] for record in records]) for name in ("test_f1", "test_accuracy"))
    summary = Markdown(
        f"Trial **{text(result.decision.selected)}** on the test images: macro-F1 **{f1}**, accuracy **{accuracy}** "
        f"({count(len(records), 'run')}; the table and the matrix count the predictions of all of them)."
    )
    return table(rows, dict.fromkeys(scores, ".3f")), summary, plots.confusion(matrix, names)


def _report_and_matrix(
    true: NDArray[np.int64], predicted: NDArray[np.int64], names: Sequence[str]
) -> tuple[dict[str, dict[str, float]], NDArray[np.int64]]:
    """Return scikit-learn's classification report, by class, and the confusion matrix (n_classes, n_classes)."""
    from sklearn.metrics import classification_report, confusion_matrix

    labels = range(len(names))
    report = classification_report(
        true, predicted, labels=labels, target_names=names, output_dict=True, zero_division=0
    )
    return report, confusion_matrix(true, predicted, labels=labels)


def confused_pairs_table(tuning: Tuning, result: StageResult, most: int = 10) -> HTML:
    """Return the classes that the selected trial's runs confuse most often, with their share of the true class."""
    true, predicted, n_classes = read_predictions(tuning.store, result.selected_records, "test")
    names = result.selected_records[0].data["class_names"]
    counts = np.bincount((true * n_classes + predicted).ravel(), minlength=n_classes**2).reshape(n_classes, n_classes)
    of_class = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    cells = [divmod(int(cell), n_classes) for cell in counts.ravel().argsort(kind="stable")[::-1][:most]]
    rows = [
        {
            "true": names[label],
            "predicted": names[other],
            "times": int(counts[label, other]),
            "share of the class": counts[label, other] / of_class[label],
        }
        for label, other in cells
        if counts[label, other]
    ]
    return table(rows, {"share of the class": ".1%"})


def misclassified_images(tuning: Tuning, result: StageResult, most: int = 20) -> tuple[Markdown, Picture | Markdown]:
    """Return how many test images the final model misclassifies, and the ones with the highest probabilities."""
    record = result.best_run
    arrays = tuning.store.arrays(record.digest, "test_labels", "test_probs")
    labels, probs = arrays["test_labels"], arrays["test_probs"]
    names, predicted, probability = record.data["class_names"], probs.argmax(axis=1), probs.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    summary = (
        f"The run in `model.keras` (seed {record.seed}) misclassifies {len(wrong):,} of {len(labels):,} test images."
    )
    if not len(wrong):
        return Markdown(summary), Markdown("")
    shown = wrong[(-probability[wrong]).argsort(kind="stable")[:most]]
    dataset = tuning.images.dataset(result.selected.settings.input.colour)
    triples = [(names[labels[i]], names[predicted[i]], f"{probability[i]:.2f}") for i in shown]
    listed = ", ".join(f"{true} as {guess} {p}" for true, guess, p in triples)
    return Markdown(
        f"{summary} Those with the highest probabilities: true class, predicted class, probability."
    ), plots.images(
        dataset.test_images[tuning.images.split(dataset).test[shown]],
        [f"{true}\nas {guess}\n{p}" for true, guess, p in triples],
        f"{len(shown)} misclassified test images: {listed}.",
    )


def calibration_plot(tuning: Tuning, result: StageResult) -> Picture:
    """Return how often predictions of a certain probability are right, for all runs of the selected trial."""
    runs = [tuning.store.arrays(record.digest, "test_labels", "test_probs") for record in result.selected_records]
    probs, labels = (np.concatenate([run[name] for run in runs]) for name in ("test_probs", "test_labels"))
    return plots.calibration(probs, labels)
