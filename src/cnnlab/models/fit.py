"""Fit one trial with one seed. The only module that fits a model. Importing it loads Keras."""

import os
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from cnnlab.data import Dataset, Split
from cnnlab.models.builder import build, compile_model, lay_out
from cnnlab.models.checkpoint import _made_by, _resumed, _save, _State
from cnnlab.models.layers import Images
from cnnlab.records import Record, Run
from cnnlab.study import SPARSE_LOSS, Training

PREDICT_BATCH = 256
"""Images predicted at a time; the scores do not depend on it."""


CHECKPOINT_SECONDS = 10
"""Least time between two checkpoints of a fit: a short one is sooner repeated than saved."""


def targets(labels: NDArray[np.int64], n_classes: int, settings: Training) -> NDArray[Any]:
    """Turn labels (n,) into what a trial gives its loss.

    Returns:
        (n, n_classes) float32 one-hot labels where the loss needs them, else (n, 1) int64. Where a loss needs one-hot
        labels and is not given them, Keras compares the label with every class, as it did for the published study.
    """
    if settings.one_hot and settings.loss != SPARSE_LOSS:
        return np.eye(n_classes, dtype=np.float32)[labels]
    return labels[:, None]


def scores(probs: NDArray[np.float32], labels: NDArray[np.int64], settings: Training, split: str) -> dict[str, float]:
    """Return `<split>_loss`, `<split>_f1` (macro-F1 over all classes) and `<split>_accuracy` of predictions.

    Args:
        probs: (n, n_classes) predicted probabilities.
        labels: (n,) labels.
        settings: Of the trial, which name the loss.
        split: "val" or "test".
    """
    from sklearn.metrics import accuracy_score, f1_score

    predicted = probs.argmax(axis=1)
    target = targets(labels, probs.shape[1], settings).astype(np.float32)
    values = keras.ops.convert_to_numpy(keras.losses.get(settings.loss)(target, probs))
    return {
        f"{split}_loss": float(np.mean(values)),
        f"{split}_f1": float(
            f1_score(labels, predicted, average="macro", labels=range(probs.shape[1]), zero_division=0)
        ),
        f"{split}_accuracy": float(accuracy_score(labels, predicted)),
    }


@dataclass(frozen=True)
class _Model:
    """A model with all images of a run.

    Attributes:
        whole: Takes places in the table of images: of training, validation and test, one after the other.
        core: Its layers behind that, which take images.
    """

    whole: Any
    core: Any

    @property
    def variables(self) -> list[Any]:
        """All that an epoch changes: weights, moving statistics, the noise layers' seeds, the optimizer's state."""
        return [*self.core.variables, *self.whole.optimizer.variables]


_idle: dict[Hashable, _Model] = {}
"""The model of this process's last run (of each thread's, if it has several), by its graph, while no run uses it."""


def _model(what: Run, dataset: Dataset, split: Split) -> _Model:
    """Return a run's model as it is before the first epoch.

    Tracing a model takes seconds, as much as a short fit. If the last run's has the same graph, it is set to the state
    of a new one instead: each variable that either has.
    """
    trial, shape, n_classes = what.trial, dataset.image_shape, len(dataset.class_names)
    traced = _idle.pop(what.trace_key, None)
    if traced is None:
        _idle.clear()
        keras.backend.clear_session()
    core = build(
        trial.architecture,
        shape,
        n_classes,
        trial.input.augmentation,
        what.seed,
        precision=trial.training.precision,
        fused=True,
    )
    whole = core
    if traced is None:
        parts = dataset.train_images[split.train], dataset.train_images[split.val], dataset.test_images[split.test]
        images = lay_out(np.concatenate(parts), trial.input.layout)
        table = Images(images, scale=trial.input.scale, dtype=trial.training.precision)
        whole = keras.Sequential([keras.Input((), dtype="int32"), table, core])
    compile_model(whole, trial.training)
    whole.optimizer.build(whole.trainable_variables)
    model = _Model(whole, core)
    if traced is None:
        return model
    for variable, initial in zip(traced.variables, model.variables, strict=True):
        variable.assign(initial)
    return traced


def _order(seed: int, epoch: int, n_images: int) -> NDArray[np.int32]:
    """Return the places of the training images in an epoch's order: another one in each, by seed and epoch alone."""
    return np.random.default_rng([seed, epoch]).permutation(n_images).astype(np.int32)


def _batches(places: NDArray[np.int32], size: int) -> list[NDArray[np.int32]]:
    return np.split(places, range(size, len(places), size))


def _fit(
    what: Run,
    model: _Model,
    train_targets: NDArray[Any],
    val_targets: NDArray[Any],
    checkpoint: Path | None,
    begins: Callable[[int], None],
) -> "_State":
    """Fit a model and return how that went. What is no argument, as the labels of the test set, has no say.

    Batch by batch, since Keras's `fit` goes through tf.data, whose iterators at times take two seconds to end
    (TensorFlow 2.21); and once seeded and asked for all epochs, it shows the images in one order (Keras 3.15).
    """
    training, whole = what.trial.training, model.whole
    n_train, n_val = len(train_targets), len(val_targets)
    state = _resumed(checkpoint, model.variables) if checkpoint else _State()
    begun, written = time.perf_counter() - state.seconds, time.monotonic()
    while state.epochs < training.epochs and state.wait < (training.patience or training.epochs):
        begins(state.epochs + 1)
        whole.reset_metrics()
        for places in _batches(_order(what.seed, state.epochs, n_train), training.batch_size):
            seen = whole.train_on_batch(places, train_targets[places], return_dict=True)
        whole.reset_metrics()
        for places in _batches(np.arange(n_val, dtype=np.int32), PREDICT_BATCH):
            checked = whole.test_on_batch(n_train + places, val_targets[places], return_dict=True)
        metrics = seen | {f"val_{name}": value for name, value in checked.items()}
        state.note({name: float(value) for name, value in metrics.items()}, model.core.get_weights)
        state.seconds = time.perf_counter() - begun
        if checkpoint and time.monotonic() - written >= CHECKPOINT_SECONDS:
            _save(checkpoint, state, model.variables)
            written = time.monotonic()
    if training.restore_best_weights:
        model.core.set_weights(state.best_weights)
    return state


def run(
    what: Run,
    dataset: Dataset,
    split: Split,
    checkpoints: str | None = None,
    begins: Callable[[int], None] = lambda _: None,
) -> tuple[Record, dict[str, NDArray[Any]]]:
    """Fit a model and score it.

    The test images are predicted once, after the fit, and enter no choice.

    Args:
        what: The run.
        dataset: Its images.
        split: Which of them it trains, chooses and is tested on.
        checkpoints: Folder where a long fit leaves, after an epoch, all that it takes to go on from there, and where
            it looks for that first; None, or a folder that is not on this machine, for a fit in one go.
        begins: Called with the number of each epoch, from 1, as it begins.

    Returns:
        The record, and arrays: `val_probs` and `test_probs` (n, n_classes) float32, `val_labels` and `test_labels`
        (n,) int64, and the weights as `weight_000`, `weight_001`, ... in Keras's order.
    """
    trial, n_classes = what.trial, len(dataset.class_names)
    train_labels, val_labels, test_labels = (
        dataset.train_labels[split.train], dataset.train_labels[split.val], dataset.test_labels[split.test]
    )  # fmt: skip
    place = Path(checkpoints) if checkpoints else None
    model = _model(what, dataset, split)
    state = _fit(
        what,
        model,
        targets(train_labels, n_classes, trial.training),
        targets(val_labels, n_classes, trial.training),
        place / f"{what.digest}.ckpt" if place and os.path.isdir(place) else None,  # noqa: PTH112 - never raises
        begins,
    )
    ends = np.cumsum([len(train_labels), len(val_labels), len(test_labels)])
    val_probs, test_probs = (
        np.concatenate([model.whole.predict_on_batch(places) for places in _batches(part, PREDICT_BATCH)])
        for part in (np.arange(begin, end, dtype=np.int32) for begin, end in pairwise(ends))
    )
    losses = np.asarray(state.history["val_loss"])
    record = Record(
        digest=what.digest,
        trial=trial.canonical(),
        seed=what.seed,
        data={"digest": what.data_digest, "class_names": list(dataset.class_names), "shape": list(dataset.image_shape)},
        split={
            "digest": what.split_digest,
            "train": len(split.train),
            "val": len(split.val),
            "test": len(split.test),
        },
        params=model.core.count_params(),
        history=state.history,
        best_epoch=1 + int(np.argmin(np.where(np.isnan(losses), np.inf, losses))),
        train_seconds=round(state.seconds, 3),
        scores=scores(val_probs, val_labels, trial.training, "val")
        | scores(test_probs, test_labels, trial.training, "test"),
        provenance=_made_by(),
    )
    arrays: dict[str, NDArray[Any]] = {
        "val_probs": val_probs,
        "test_probs": test_probs,
        "val_labels": val_labels,
        "test_labels": test_labels,
    }
    arrays |= {f"weight_{number:03d}": value for number, value in enumerate(model.core.get_weights())}
    _idle[what.trace_key] = model
    return record, arrays
