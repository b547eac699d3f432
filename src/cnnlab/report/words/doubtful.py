"""Labels that the held-out predictions of several runs contradict, as pictures."""

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
from IPython.display import Markdown

from cnnlab.data import Dataset, image_name
from cnnlab.report import plots
from cnnlab.report.plots import Picture
from cnnlab.report.tables import count, visible_name
from cnnlab.tuning import DoubtfulLabels, NoAnswer, StageResult, Tuning, doubtful_labels, final_stage

SHOWN_LABELS = 24
"""Doubtful labels that are shown as pictures; the table has all."""
_COLUMNS = 8
_NO_ANSWER = {
    NoAnswer.FEW_RUNS: "Only several runs can tell which labels are doubtful: use more seeds (`SEEDS=3`).",
    NoAnswer.CHANCE: "The final model is no better than guessing, so its predictions say nothing about the labels.",
}


def doubtful_labels_summary(tuning: Tuning, results: Sequence[StageResult]) -> list[Markdown | Picture]:
    """Return how many labels are doubtful and how that is known, with the most doubtful ones as pictures."""
    doubtful, final = doubtful_labels(tuning, results), final_stage(results)
    if doubtful.reason or not final:
        return [Markdown(_NO_ANSWER[doubtful.reason or NoAnswer.FEW_RUNS])]
    folder = tuning.images.folder
    dataset = tuning.images.dataset(final.selected.settings.input.colour)
    if folder.colour and folder.derived_gray:  # the same images, which are easier to recognise in colour
        dataset = folder.colour
    summary = Markdown(_summary(doubtful, len(dataset.train_labels) + len(dataset.test_labels)))
    return [summary, _picture(dataset, doubtful)] if len(doubtful.table) else [summary]


def _summary(doubtful: DoubtfulLabels, n_all: int) -> str:
    number, fewest, most = len(doubtful.table), doubtful.fewest, doubtful.most
    range_of_runs = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    basis = (
        f"Compared are the {doubtful.images:,} of {n_all:,} images that were validation or test images of the "
        f"{doubtful.runs} runs of the last stage: each label with the mean prediction of the {range_of_runs} runs that "
        f"did not train on the image. This prediction equals the label for {doubtful.accuracy:.0%} of them."
    )
    if not number:
        return f"No label is doubtful. {basis}"
    shown = f" The first {SHOWN_LABELS} are shown, with file, label and prediction." if number > SHOWN_LABELS else ""
    return (
        f"{count(number, 'label')} {'is' if number == 1 else 'are'} doubtful: the runs predict another class, and "
        f"cleanlab (confident learning) flags the label.{shown} All are in "
        "`doubtful-labels.csv` in the report's folder, the most doubtful first. These are images to look at: a model "
        f"that is often wrong finds hard images rather than wrong labels.\n\n{basis}"
    )


def _picture(dataset: Dataset, doubtful: DoubtfulLabels) -> Picture:
    """Draw the images with the most doubtful labels: file, label, and the class that is predicted."""
    pixels, pictures, titles, listed = dict(dataset.parts), [], [], []
    for row in doubtful.table[:SHOWN_LABELS].to_dict("records"):
        part, index = row["part"], row["index"]
        label, guess = visible_name(row["label"]), visible_name(row["predicted"])
        file = image_name(dataset, part, index)
        pictures.append(pixels[part][index])
        titles.append(f"{PurePosixPath(file).name if row['file'] else f'{part} {index}'}\n{label}\nor {guess}?")
        listed.append(f"{file}, label {label}, predicted {guess} {row['probability_of_predicted']:.2f}")
    alt = f"{count(len(listed), 'image')} with a doubtful label: {'; '.join(listed)}."
    return plots.images(np.stack(pictures), titles, alt, columns=_COLUMNS)
