"""The card of a model: what it is, how it was made, how it scores, and what is not known about it."""

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from cnnlab.data import Dataset
from cnnlab.evidence import Rule
from cnnlab.records import Record
from cnnlab.report import words
from cnnlab.report.tables import count, mean_sd, text
from cnnlab.study import SPARSE_LOSS, Budget, OwnModel, Protocol, Training, Trial
from cnnlab.tuning import StageResult


def markdown(
    result: StageResult,
    record: Record,
    labels: NDArray[np.int64],
    probs: NDArray[np.float32],
    budget: Budget,
    protocol: Protocol,
    *,
    dataset: Dataset,
    interval: tuple[float, float],
) -> str:
    """Return the card of a run's model as Markdown: the template `card.md.j2`, filled with numbers.

    Args:
        result: The stage that selected the run's trial.
        record: The run.
        labels: (n,) true classes of the test images.
        probs: (n, n_classes) predicted probabilities of the test images.
        budget: How much was run.
        protocol: How it was run.
        dataset: The images.
        interval: 95 % interval of the mean `test_f1` of the trial's runs, over new seeds and new test images.
    """
    from jinja2 import Environment, StrictUndefined
    from sklearn.metrics import f1_score

    trial = Trial.from_canonical(record.trial)
    training, runs = trial.training, result.selected_records
    names = [text(name) for name in record.data["class_names"]]
    counts = np.bincount(labels, minlength=len(names))
    f1 = f1_score(labels, probs.argmax(axis=1), average=None, labels=range(len(names)), zero_division=0)
    height, width, channels = record.data["shape"]
    # Markdown, not HTML: `text` escapes what comes from the data.
    environment = Environment(trim_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined)  # noqa: S701
    environment.globals |= {"count": count, "text": text}
    template = files("cnnlab.report").joinpath("templates/card.md.j2").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        result=result,
        record=record,
        trial=trial,
        model=trial.architecture,
        is_own=isinstance(trial.architecture, OwnModel),
        has_hidden=getattr(trial.architecture, "head", "dense") == "dense",
        training=training,
        protocol=protocol,
        settings=words.study_settings(budget, protocol, dataset).data,
        dataset=dataset,
        part_notes=words.part_notes(dataset, budget),
        pinned=result.decision.rule == Rule.PUBLISHED_CHOICE,
        height=height,
        width=width,
        channels=channels,
        rates=[f"{rate:g}" for rate in getattr(trial.architecture, "dropout", ())],
        optimizer=words.optimizer_text(trial),
        labels_note=_labels_note(training),
        augmentation=words.augmentation_text(trial.input.augmentation),
        provenance=[text(f"{name.replace('_', ' ')} {value}") for name, value in record.provenance.items()],
        n_runs=len(runs),
        n_test=len(labels),
        scores=[
            (name, record.scores[name], mean_sd([run.scores[name] for run in runs]))
            for name in ("val_f1", "test_f1", "test_accuracy")
        ],
        interval=interval,
        classes=list(zip(names, counts.tolist(), f1, strict=True)),
        confidence=probs.max(axis=1).mean(),
        accuracy=(probs.argmax(axis=1) == labels).mean(),
        untested=[name for name, number in zip(names, counts, strict=True) if number == 0],
        rarest=int(counts.min()),
    )


def _labels_note(training: Training) -> str:
    """Return what the labels are that the loss gets, in brackets; "" for the usual ones of the cross-entropy."""
    if training.loss != SPARSE_LOSS:
        return f" ({'one-hot' if training.one_hot else 'integer'} labels)"
    return f" (label smoothing {training.label_smoothing:g})" if training.label_smoothing else ""
