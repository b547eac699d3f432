"""Tables and pictures of a trial's predictions on the test images, all seeds together."""

import numpy as np
from IPython.display import HTML, Markdown
from numpy.typing import NDArray

from cnnlab.report import plots
from cnnlab.report.plots import Picture
from cnnlab.report.tables import mean_sd, table, visible_name
from cnnlab.tuning import StageResult, Tuning, read_predictions


def classification_report(tuning: Tuning, result: StageResult) -> tuple[HTML, Markdown, Picture]:
    """Return the selected trial's scores by class, a summary, and its confusion matrix."""
    records = result.selected_records
    true, predicted, _ = read_predictions(tuning.store, records, "test")
    names = records[0].data["class_names"]
    # On a worker, which has loaded scikit-learn. In a notebook's kernel, loading takes longer than everything else.
    scores, matrix = tuning.engine.call(_scores_and_matrix, np.tile(true, len(records)), predicted.ravel(), len(names))
    rows = [
        {"class": label, **dict(zip(_SCORES, values, strict=True)), _SCORES[-1]: int(values[-1])}
        for label, values in zip([*map(visible_name, names), *_AVERAGES], scores, strict=True)
    ]
    f1, accuracy = (mean_sd([record.scores[name] for record in records]) for name in ("test_f1", "test_accuracy"))
    summary = Markdown(
        f"The selected trial on the test images: macro-F1 **{f1}**, accuracy **{accuracy}**. The table and the matrix "
        f"count the predictions of {'its run' if len(records) == 1 else f'all {len(records)} runs'}."
    )
    return table(rows, dict.fromkeys(_SCORES[:-1], ".3f")), summary, plots.confusion(matrix, names)


_SCORES = ("precision", "recall", "f1-score", "predictions")
_AVERAGES = ("macro average", "weighted average")


def _scores_and_matrix(
    true: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the scores of each class, then their macro and weighted averages, and the confusion matrix.

    Both averages are over the classes that occur among the true ones, as the macro-F1 of a run is.

    Returns:
        (n_classes + 2, 4) precision, recall and F1, 0 to 1, and number of predictions; (n_classes, n_classes) counts.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    labels = np.arange(n_classes)
    by_class = np.stack(precision_recall_fscore_support(true, predicted, labels=labels, zero_division=0), axis=1)
    n = by_class[:, 3]
    averages = [np.append(np.average(by_class[:, :3], axis=0, weights=weights), n.sum()) for weights in (n > 0, n)]
    return np.vstack([by_class, *averages]), confusion_matrix(true, predicted, labels=labels)


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
            "true": visible_name(names[label]),
            "predicted": visible_name(names[other]),
            "times": int(counts[label, other]),
            "share of the class": counts[label, other] / of_class[label],
        }
        for label, other in cells
        if counts[label, other]
    ]
    return table(rows, {"share of the class": ".1%"}) if rows else HTML("<p>No prediction is wrong.</p>")


def misclassified_images(tuning: Tuning, result: StageResult, most: int = 20) -> tuple[Markdown, Picture | Markdown]:
    """Return how many test images the final model misclassifies, and the ones with the highest probabilities."""
    record = result.best_run
    arrays = tuning.store.arrays(record.digest, "test_labels", "test_probs")
    labels, probs = arrays["test_labels"], arrays["test_probs"]
    names = [visible_name(label) for label in record.data["class_names"]]
    predicted, probability = probs.argmax(axis=1), probs.max(axis=1)
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
