"""The card of a model: what it is, what it was made from, how it scores and what is not known of it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnlab.evidence import Rule
from cnnlab.records import Record
from cnnlab.report import words
from cnnlab.report.tables import mean_sd, text
from cnnlab.study import SPARSE_LOSS, Architecture, Profile, Protocol, Trial
from cnnlab.tuning import StageResult


def markdown(
    result: StageResult,
    record: Record,
    labels: NDArray[np.int64],
    probs: NDArray[np.float32],
    profile: Profile,
    protocol: Protocol,
    *,
    interval: tuple[float, float],
) -> str:
    """Return the card of a run's model, from the numbers alone.

    Args:
        result: The stage whose choice the run is of.
        record: The run.
        labels: (n,) true classes of the test images.
        probs: (n, n_classes) the run's probabilities of them.
        profile: How much was run.
        protocol: How.
        interval: 95 % interval of the mean `test_f1` of the trial's runs, over new seeds and new test images.
    """
    trial = Trial.from_canonical(record.trial)
    found = result.selected_records
    names = [_line(name) for name in record.data["class_names"]]
    height, width, _ = record.data["shape"]
    counts = np.bincount(labels, minlength=len(names))
    parts = [
        "# Model card: model.keras",
        f"A classifier of grayscale images in {len(names)} classes: the final grayscale model of a tuning study, whose "
        "report, `index.html`, lies beside it.",
        "## The model",
        _list(
            f"Takes pixels of 0 to 255, shape (n, {height}, {width}, 1). "
            + ("The division by 255 is its first layer." * trial.input.scale or "They are used as they are."),
            f"Gives probabilities, shape (n, {len(names)}), in the order of the classes below.",
            *_layers(trial.architecture),
            f"{record.params:,} parameters.",
            *_fit(trial, record),
        ),
        "## The data",
        _list(
            f"{record.split['train']:,} images to train on, {record.split['val']:,} to validate on, "
            f"{record.split['test']:,} to test on. {_SPLITS[protocol.split]}",
            f"Digest of the data `{text(record.data['digest'])}`, of the split `{text(record.split['digest'])}`.",
        ),
        "## How it was selected",
        words.settings(profile, protocol).data,
        f"Of the stage *{result.stage.name}*, the trial **{_line(result.decision.selected)}** went on. Rule: "
        f"{result.decision.rule}. The model is its run with "
        + (f"the best `val_f1` of {len(found)}, seed {record.seed}." if len(found) > 1 else f"seed {record.seed}."),
        "## Scores",
        _scores(record, found),
        _spread(found, interval),
        f"Its F1 of each class, on {len(labels):,} test images:",
        _classes(names, counts, labels, probs),
        "## What is not known, and what it cannot do",
        _list(*_limits(result, record, names, counts, labels, probs)),
        "## How to use it",
        "`cnnlab predict` brings any image into the model's size and reads the names of the classes from "
        "`manifest.json`:",
        "```\ncnnlab predict IMAGE --model model.keras\n```",
        "In Python, for an image that needs no cropping (square, upright, opaque); this resizes it by another filter:",
        f"```python\n{_EXAMPLE.format(size=(width, height))}```",
    ]
    return "\n\n".join(parts) + "\n"


_SPLITS = {
    "stratified": "Training and validation images were drawn from the data's training files, the test images from its "
    "test files, each with the files' shares of the classes.",
    "last": "The validation images are from the last fifth of the data's training files, as they lie, the training "
    "images from the rest; the test images are from its test files.",
}


_EXAMPLE = """\
import json

import keras
import numpy as np
from PIL import Image

model = keras.saving.load_model("model.keras")
with open("manifest.json") as file:
    classes = json.load(file)["data"]["classes"]
pixels = np.asarray(Image.open("image.png").convert("L").resize({size}), "float32")
probabilities = model.predict(pixels[None, ..., None])[0]
print(classes[probabilities.argmax()], probabilities.max())
"""


def _line(name: str) -> str:
    """Return a name from the data so that Markdown shows it as it is, in one line."""
    return text(" ".join(name.split()))


def _list(*items: str) -> str:
    return "\n".join(f"- {item}" for item in items)


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table of cells that are Markdown already."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _layers(of: Architecture) -> list[str]:
    *blocks, last = of.dropout or (0.0,)
    many, plural = len(of.filters), of.convs_per_block > 1
    return [
        f"{many} block{'s' * (many > 1)} of {of.convs_per_block} convolution{'s' * plural} (3x3, {of.padding} padding, "
        f"{of.conv_activation}) with {', '.join(map(str, of.filters))} filters, each closed by 2x2 max pooling; a "
        f"dense layer of {of.dense_units} ({of.dense_activation}); softmax.",
        f"Dropout of {', '.join(f'{rate:g}' for rate in blocks)} after the poolings and {last:g} after the dense layer."
        if of.dropout
        else "No dropout.",
        f"Batch normalisation after every convolution and the dense layer (momentum {of.batch_norm_momentum:g})."
        if of.batch_norm
        else "No batch normalisation.",
    ]


def _fit(trial: Trial, record: Record) -> list[str]:
    of = trial.training
    given = "" if of.loss == SPARSE_LOSS else f" ({'one-hot' if of.one_hot else 'integer'} labels)"
    patience = f" with a patience of {of.patience}" if of.patience else ""
    kept = record.best_epoch if of.restore_best_weights else record.epochs
    why = "the one with the lowest `val_loss`" if of.restore_best_weights else "the last one"
    return [
        f"Fitted with {of.optimizer}, learning rate {of.learning_rate:g}, batches of {of.batch_size}, loss "
        f"`{of.loss}`{given}, precision {of.precision}; augmentation: {trial.input.augmentation}.",
        f"Epochs: {record.epochs}, of at most {of.epochs}{patience}. The weights are of epoch {kept}, {why}.",
        f"Run `{record.digest[:12]}`, made with "
        + ", ".join(_line(f"{name.replace('_', ' ')} {value}") for name, value in record.provenance.items())
        + ".",
    ]


def _scores(record: Record, found: Sequence[Record]) -> str:
    all_runs = f"all {len(found)} runs of its trial"
    return _table(
        ("", "this run", *[all_runs] * (len(found) > 1)),
        [
            (
                f"`{name}`",
                f"{record.scores[name]:.3f}",
                *[mean_sd([of.scores[name] for of in found])] * (len(found) > 1),
            )
            for name in ("val_f1", "test_f1", "test_accuracy")
        ],
    )


def _spread(found: Sequence[Record], interval: tuple[float, float]) -> str:
    if len(found) == 1:
        return "F1 is macro-F1. One seed says nothing about how another would score."
    return (
        f"F1 is macro-F1. All runs: mean ± standard deviation (n = {len(found)} seeds). 95 % interval of the mean "
        f"`test_f1`, over new seeds and new test images: {interval[0]:.3f} to {interval[1]:.3f}."
    )


def _classes(
    names: Sequence[str], counts: NDArray[np.int64], labels: NDArray[np.int64], probs: NDArray[np.float32]
) -> str:
    from sklearn.metrics import f1_score

    scores = f1_score(labels, probs.argmax(axis=1), average=None, labels=range(len(names)), zero_division=0)
    rows = [(name, int(n), f"{score:.3f}") for name, n, score in zip(names, counts, scores, strict=True)]
    return _table(("class", "test images", "F1"), rows)


def _limits(
    result: StageResult,
    record: Record,
    names: Sequence[str],
    counts: NDArray[np.int64],
    labels: NDArray[np.int64],
    probs: NDArray[np.float32],
) -> list[str]:
    n_runs, (height, width, _) = len(result.selected_records), record.data["shape"]
    sure, right = probs.max(axis=1).mean(), (probs.argmax(axis=1) == labels).mean()
    limits = [
        f"It has learned from {record.split['train']:,} images of one data set, and was tested on others of the same. "
        "How it does on images from elsewhere is not known.",
        f"All of them were gray, of {height} x {width} pixels. What cropping and resizing others costs is in none of "
        "the scores.",
        f"It names one of its {len(names)} classes whatever it is shown.",
        f"Its probabilities were not calibrated. On the test images, that of the class it names is {sure:.3f} on "
        f"average; it is right in {right:.3f} of them.",
    ]
    if n_runs > 1:
        limits.append(
            f"It is the best of {n_runs} runs by `val_f1`, so its own `val_f1` flatters it: the mean of all runs is "
            "what to expect of a new one."
        )
    if result.decision.rule != Rule.PUBLISHED_CHOICE:
        limits.append("The stages chose by `val_f1` too, which flatters that of all runs. The test images had no say.")
    if record.best_epoch == record.epochs:
        limits.append("Its last epoch was its best one: the fit may have had more to gain.")
    untested = [name for name, n in zip(names, counts, strict=True) if n == 0]
    if untested:
        limits.append(f"There was no test image of {', '.join(untested)}, whose F1 counts as 0.")
    else:
        rarest = int(counts.min())
        limits.append(f"The rarest class has {rarest:,} test image{'s' * (rarest > 1)}, on which its F1 rests.")
    return limits
