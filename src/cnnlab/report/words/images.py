"""Tables and sentences about the images."""

import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown

from cnnlab.data import DataFolder, Dataset, Split
from cnnlab.report import plots
from cnnlab.report.plots import Picture
from cnnlab.report.tables import table
from cnnlab.study import Profile, Protocol


def settings(profile: Profile, protocol: Protocol) -> Markdown:
    """Say how much is run and how."""
    seeds, epochs = (f"{n} {name}{'s' * (n > 1)}" for n, name in ((profile.seeds, "seed"), (profile.epochs, "epoch")))
    if protocol.pinned:
        rule = "every stage runs the published study's own fits and hands on its picks"
    elif profile.seeds > 1:
        rule = "a stage hands on the trial with the fewest parameters within one standard error of the best `val_f1`"
    else:
        rule = "a stage hands on the trial with the best `val_f1`, for one run of each has no standard error"
    more = " Hopeless trials are dropped early, by successive halving." if profile.halving else ""
    more += "" if profile.precision == "float32" else f" Precision of the fits: {profile.precision}."
    return Markdown(
        f"Profile **{profile.name}**: {seeds} of each trial, at most {epochs} with a patience of "
        f"{profile.patience}. Protocol **{protocol.name}**: {protocol.split} split; {rule}.{more}"
    )


def data_summary(folder: DataFolder, split: Split) -> Markdown:
    """Say what images there are."""
    images = folder.gray
    height, width, _ = images.image_shape
    origin = "derived from the colour images (BT.601 luma)" if folder.derived_gray else "read from the pickled batches"
    colour = (
        f"Colour images for Part B: {len(folder.colour.train_labels):,} to train on, "
        f"{len(folder.colour.test_labels):,} to test on."
        if folder.colour
        else "There are no colour images, so Part B is left out."
    )
    return Markdown(
        f"{len(images.train_labels):,} training and {len(images.test_labels):,} test images of {height} x {width} "
        f"pixels in {len(images.class_names)} classes; the grayscale ones are {origin}. {colour}\n\n"
        f"The runs use {len(split.train):,} images for `train`, {len(split.val):,} for `val` and {len(split.test):,} "
        f"for `test`. Data digest `{images.digest[:12]}`, split digest `{split.digest[:12]}`."
    )


def class_table(dataset: Dataset, split: Split) -> HTML:
    """Count the images of each class, in the files and in the split."""
    n_classes = len(dataset.class_names)
    counts = {
        "train files": dataset.train_labels,
        "test files": dataset.test_labels,
        "train": dataset.train_labels[split.train],
        "val": dataset.train_labels[split.val],
        "test": dataset.test_labels[split.test],
    }
    columns = {name: np.bincount(labels, minlength=n_classes).tolist() for name, labels in counts.items()}
    return table(pd.DataFrame({"class": dataset.class_names, **columns}))


def pixel_table(folder: DataFolder) -> HTML:
    """Return mean, spread and range of the pixels of each set of images and channel."""
    rows = []
    for kind, dataset in (("gray", folder.gray), ("colour", folder.colour)):
        if dataset is None:
            continue
        for part, images in (("train", dataset.train_images), ("test", dataset.test_images)):
            for channel, name in enumerate(("gray",) if images.shape[-1] == 1 else ("red", "green", "blue")):
                # A mean over counts of the 256 values is exact and needs no copy of the images in floats.
                counts = np.bincount(images[..., channel].ravel(), minlength=256)
                values, total = np.arange(256), counts.sum()
                mean = (counts * values).sum() / total
                present = np.flatnonzero(counts)
                rows.append(
                    {
                        "images": kind,
                        "part": part,
                        "channel": name,
                        "mean": mean,
                        "SD": np.sqrt((counts * (values - mean) ** 2).sum() / total),
                        "lowest": int(present[0]),
                        "highest": int(present[-1]),
                    }
                )
    return table(rows, {"mean": ".1f", "SD": ".1f"})


def sample_images(dataset: Dataset, split: Split) -> Picture:
    """Show two training images of each of the first ten classes, with their class names."""
    labels = dataset.train_labels[split.train]
    shown = range(min(10, len(dataset.class_names)))
    picks = [split.train[np.flatnonzero(labels == label)[turn::2][:1]] for turn in (0, 1) for label in shown]
    selected = np.concatenate(picks)
    names = [dataset.class_names[label] for label in dataset.train_labels[selected]]
    kind = "grayscale" if dataset.image_shape[-1] == 1 else "colour"
    return plots.images(
        dataset.train_images[selected],
        names,
        f"{len(selected)} {kind} training images of: {', '.join(dict.fromkeys(names))}.",
    )
