"""Tables and sentences about the images and the settings of a study."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown
from numpy.typing import NDArray

from cnnlab.data import DataFolder, Dataset, DataWarning, Split
from cnnlab.report import plots
from cnnlab.report.plots import Picture
from cnnlab.report.tables import count, table, text, visible_name
from cnnlab.study import Budget, Protocol


def study_settings(budget: Budget, protocol: Protocol, dataset: Dataset) -> Markdown:
    """Return how much is run, on which draws of a dataset's images, and how trials are selected."""
    if protocol.pinned:
        rule = "every stage runs the fits of the published study and selects the published choice"
    elif budget.seeds > 1:
        rule = "each stage selects by the one-standard-error rule"
    else:
        rule = "each stage selects the trial with the best `val_f1`, because one run has no standard error"
    halving = " Successive halving drops trials with low scores early." if budget.halving else ""
    precision = "" if budget.precision == "float32" else f" Precision of the fits: {budget.precision}."
    return Markdown(
        f"Profile **{budget.profile}**: {count(budget.seeds, 'seed')} per trial, at most "
        f"{count(budget.epochs, 'epoch')} with a patience of {budget.patience}. Protocol **{protocol.name}**: "
        f"{_splits(budget, protocol, dataset)}; {rule}.{halving}{precision}"
    )


def _splits(budget: Budget, protocol: Protocol, dataset: Dataset) -> str:
    """Return how the training and validation images are drawn, and whether each seed has its own."""
    share = "the last fifth of the training images is for validation"
    if protocol.split == "stratified":
        share = "training and validation images are a stratified draw"
        if dataset.given_val is not None:
            share = "the files name the validation images; the training images are a stratified draw of the others"
            if _are_all_trained_on(budget, dataset):
                return "the files name the validation images, and all others are training images"
    if budget.seeds == 1:
        return share
    return f"{share}, {'another one for each seed' if _has_draws(budget, dataset) else 'the same for all seeds'}"


def _are_all_trained_on(budget: Budget, dataset: Dataset) -> bool:
    """Return whether a budget trains on all images that the files do not name as validation images."""
    return dataset.given_val is not None and budget.train >= len(dataset.train_labels) - len(dataset.given_val)


def _has_draws(budget: Budget, dataset: Dataset) -> bool:
    """Return whether there are several draws of training and perhaps validation images: one for each seed."""
    return budget.splits == "resampled" and budget.seeds > 1 and not _are_all_trained_on(budget, dataset)


def part_notes(dataset: Dataset, budget: Budget) -> list[str]:
    """Return what is unusual about the training, validation and test parts of a dataset, as sentences."""
    notes = []
    if dataset.is_test_held_out:
        notes.append("The files have no test part: a fifth of the images of each class, drawn once, is the test part.")
    if dataset.given_val is not None:
        notes.append("The files name the validation images, so they are the same for all seeds.")
        if budget.seeds > 1:
            training = " and other training images" if _has_draws(budget, dataset) else ""
            notes.append(
                f"The intervals cover other seeds{training}. They cover other validation images only as far as "
                "resampling these shows."
            )
    if dataset.groups is not None:
        notes.append(
            f"The files name {len(np.unique(dataset.groups)):,} groups of training images: all images of a group are "
            "in the same part. Resampled images are drawn one by one, so where images of a group are alike, the "
            "intervals are too narrow."
        )
    return notes


def data_summary(folder: DataFolder, split: Split, budget: Budget) -> Markdown:
    """Return how many images there are, and how many of them the runs use.

    Args:
        folder: The images.
        split: Those that the runs of seed 1 use.
        budget: The budget.
    """
    images = folder.gray
    height, width, _ = images.image_shape
    origin = "converted from the colour images (BT.601 luma)" if folder.derived_gray else "those of the files"
    colour = "There are no colour images, so stages on colour images are skipped."
    if folder.colour:
        n_train, n_test = len(folder.colour.train_labels), len(folder.colour.test_labels)
        colour = f"Colour images: {n_train:,} for training, {n_test:,} for testing."
    of_seed = draws = ""
    if _has_draws(budget, images):
        of_seed = " of seed 1"
        own, same = ("training and validation", "test") if images.given_val is None else ("training", "other")
        draws = (
            f" Each seed has its own {own} images, as many as seed 1; what follows shows those of seed 1. The {same} "
            "images are the same for all seeds."
        )
    return Markdown(
        f"{len(images.train_labels):,} training and {len(images.test_labels):,} test images of {height} x {width} "
        f"pixels in {len(images.class_names)} classes. The grayscale images are {origin}. {colour}\n\n"
        f"The runs use {len(split.train):,} images for `train`, {len(split.val):,} for `val` and {len(split.test):,} "
        f"for `test`. Data digest `{images.digest[:12]}`, split digest{of_seed} `{split.digest[:12]}`.{draws}"
        + "".join(f"\n\n{note}" for note in part_notes(images, budget))
    )


def image_warnings(warnings: Sequence[DataWarning], accepted: Collection[str]) -> Markdown:
    """Return what a user should know about the images before any fit.

    Args:
        warnings: Warnings about the images.
        accepted: Kinds of warnings that the user accepts, whose checks were not made.
    """
    lines = [f"- {text(warning.text)} (`{warning.name}`)" for warning in warnings]
    kinds = ", ".join(f"`{name}`" for name in sorted(accepted))
    if not lines:
        lines.append("All checks of the images that were made passed." if kinds else "All checks of the images passed.")
    if kinds:
        lines += ["", f"Accepted, so not checked: {kinds}."]
    return Markdown("\n".join(lines))


def class_counts_intro(dataset: Dataset, budget: Budget) -> Markdown:
    """Return which images are counted."""
    of_seed = " (those of seed 1)" if _has_draws(budget, dataset) else ""
    return Markdown(f"In the files, and in the three parts that the runs use{of_seed}.")


def class_counts_table(dataset: Dataset, split: Split) -> HTML:
    """Return the number of images of each class, in the files and in the split."""
    labels = {
        "train files": dataset.train_labels,
        "test files": dataset.test_labels,
        "train": dataset.train_labels[split.train],
        "val": dataset.train_labels[split.val],
        "test": dataset.test_labels[split.test],
    }
    counts = {part: np.bincount(of_part, minlength=len(dataset.class_names)) for part, of_part in labels.items()}
    return table(pd.DataFrame({"class": list(map(visible_name, dataset.class_names)), **counts}))


def pixel_table(folder: DataFolder) -> HTML:
    """Return mean, standard deviation and range of the pixels of each set of images and channel."""
    rows = [
        {"images": kind, "part": part, "channel": colour, **_pixel_statistics(images[..., channel])}
        for kind, dataset in (("gray", folder.gray), ("colour", folder.colour))
        if dataset is not None
        for part, images in (("train", dataset.train_images), ("test", dataset.test_images))
        for channel, colour in enumerate(["gray"] if kind == "gray" else ["red", "green", "blue"])
    ]
    return table(rows, {"mean": ".1f", "SD": ".1f"})


def _pixel_statistics(pixels: NDArray[np.uint8]) -> dict[str, Any]:
    # From counts of the 256 values, which is exact and needs no copy of the images as floats.
    counts = np.bincount(pixels.ravel(), minlength=256)
    values = np.arange(256)
    mean = (counts * values).sum() / counts.sum()
    sd = np.sqrt((counts * (values - mean) ** 2).sum() / counts.sum())
    lowest, highest = np.flatnonzero(counts)[[0, -1]]
    return {"mean": mean, "SD": sd, "lowest": int(lowest), "highest": int(highest)}


def sample_images(dataset: Dataset, split: Split) -> Picture:
    """Return two training images of each of the first ten classes, with the names of the classes."""
    labels = dataset.train_labels[split.train]
    first_ten = range(min(10, len(dataset.class_names)))
    indices = [split.train[np.flatnonzero(labels == label)[row::2][:1]] for row in (0, 1) for label in first_ten]
    selected = np.concatenate(indices)
    names = [dataset.class_names[label] for label in dataset.train_labels[selected]]
    kind = "grayscale" if dataset.image_shape[-1] == 1 else "colour"
    alt = f"{len(selected)} {kind} training images of: {', '.join(dict.fromkeys(names))}."
    return plots.images(dataset.train_images[selected], names, alt)
