"""Fit one trial with one seed. The only module that fits a model. Importing it loads Keras."""

import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from cnnlab.data import Dataset, Split
from cnnlab.models import checkpoint
from cnnlab.models.builder import (
    build,
    compile_model,
    guarded,
    scramble_channels,
    smooths_labels,
    unseeded_noise,
)
from cnnlab.models.checkpoint import FitState
from cnnlab.models.layers import ImageTable
from cnnlab.records import Record, Run, fit_code_digest
from cnnlab.study import SPARSE_LOSS, OwnModel, Training

PREDICT_BATCH = 256
"""Images predicted at a time; the scores do not depend on it."""
CHECKPOINT_SECONDS = 10
"""Least time between two checkpoints of a fit: repeating a short fit costs less than saving it."""


def targets(labels: NDArray[np.int64], n_classes: int, settings: Training) -> NDArray[Any]:
    """Turn labels (n,) into what a trial gives its loss.

    Returns:
        (n, n_classes) float32 one-hot labels where the loss needs them, else (n, 1) int64. Where a loss needs one-hot
        labels and is not given them, Keras compares the label with every class, as it did for the published study.
    """
    if settings.one_hot and settings.loss != SPARSE_LOSS:
        return np.eye(n_classes, dtype=np.float32)[labels]
    return labels[:, None]


def train_targets(labels: NDArray[np.int64], n_classes: int, settings: Training) -> NDArray[Any]:
    """Turn labels (n,) into what a trial gives its loss in training: `targets`, or smoothed one-hot labels."""
    if not smooths_labels(settings):
        return targets(labels, n_classes, settings)
    one_hot = np.eye(n_classes, dtype=np.float32)[labels]
    return one_hot * np.float32(1 - settings.label_smoothing) + np.float32(settings.label_smoothing / n_classes)


def score(probs: NDArray[np.float32], labels: NDArray[np.int64], settings: Training, split: str) -> dict[str, float]:
    """Return `<split>_loss`, `<split>_f1` and `<split>_accuracy` of predictions.

    The F1 is the macro-F1 over the classes that have images among the labels. The loss is that of the probabilities:
    without the regularisation losses that an own model may have, and with probabilities below 1e-7 counted as 1e-7, so
    that the cross-entropy of an image is at most 16.1.

    Args:
        probs: (n, n_classes) predicted probabilities.
        labels: (n,) labels.
        settings: The trial's settings, which name the loss.
        split: "val" or "test".
    """
    n_classes, predicted = probs.shape[1], probs.argmax(axis=1)
    target = targets(labels, n_classes, settings).astype(np.float32)
    losses = keras.ops.convert_to_numpy(keras.losses.get(settings.loss)(target, probs))
    f1 = f1_score(labels, predicted, average="macro", labels=np.unique(labels), zero_division=0)
    return {
        f"{split}_loss": float(np.mean(losses)),
        f"{split}_f1": float(f1),
        f"{split}_accuracy": float(np.mean(predicted == labels)),
    }


@dataclass(frozen=True)
class _Model:
    """A model with all images of a run.

    Attributes:
        whole: Takes indices into the images of training, validation and test, one after the other.
        core: Its layers behind the table of images; takes images.
        table: Its table of images.
        noise: The state of Keras's generator for layers without a seed, which own models may have.
    """

    whole: Any
    core: Any
    table: ImageTable
    noise: tuple[Any, ...] = ()

    @property
    def variables(self) -> list[Any]:
        """All that an epoch changes: weights, moving statistics, the noise layers' seeds, the optimizer's state."""
        return [*self.core.variables, *self.whole.optimizer.variables, *self.noise]


_idle: dict[Hashable, _Model] = {}
"""The model of this process's last run (of each thread's, if it has several), by `_trace_key`, while no run uses it."""


def _trace_key(run: Run, split: Split) -> Hashable:
    """Return the key of runs that can share a traced model here: equal shapes too."""
    return run.trace_key, len(split.train), len(split.val), len(split.test)


def _images(run: Run, dataset: Dataset, split: Split) -> NDArray[np.uint8]:
    """Return all images of a run, (n, h, w, c): those of training, validation and test."""
    parts = dataset.train_images[split.train], dataset.train_images[split.val], dataset.test_images[split.test]
    images = np.concatenate(parts)
    return scramble_channels(images) if run.trial.input.layout == "published" else images


def _new_model(run: Run, dataset: Dataset, split: Split) -> _Model:
    """Return a run's model as it is before the first epoch.

    Tracing a model takes seconds, as much as a short fit. If the last run had the same trace key, its model is given
    this run's images and initial state instead, variable by variable.
    """
    trial, n_classes = run.trial, len(dataset.class_names)
    precision, augmentation = trial.training.precision, trial.input.augmentation
    images = _images(run, dataset, split)
    traced = _idle.pop(_trace_key(run, split), None)
    if traced is None:
        _idle.clear()
        keras.backend.clear_session()
    core = build(
        trial.architecture, dataset.image_shape, n_classes, augmentation, run.seed, precision=precision, fused=True
    )
    whole = core
    if traced is None:
        table = ImageTable(images, scale=trial.input.scale, dtype=precision)
        whole = keras.Sequential([keras.Input((), dtype="int32"), table, core])
    else:
        table = traced.table
        table.replace(images)
    steps = trial.training.epochs * math.ceil(len(split.train) / trial.training.batch_size)
    compile_model(whole, trial.training, steps)
    whole.optimizer.build(whole.trainable_variables)
    model = _Model(whole, core, table, (unseeded_noise(),) if isinstance(trial.architecture, OwnModel) else ())
    if traced is None:
        return model
    for variable, initial in zip(traced.variables, model.variables, strict=True):
        variable.assign(initial)
    return traced


def _shuffled(seed: int, epoch: int, n_images: int) -> NDArray[np.int32]:
    """Return the indices of the training images in the order of an epoch, which depends on seed and epoch alone."""
    return np.random.default_rng([seed, epoch]).permutation(n_images).astype(np.int32)


def _batches(indices: NDArray[np.int32], size: int) -> list[NDArray[np.int32]]:
    return np.split(indices, range(size, len(indices), size))


def _predict(model: _Model, indices: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return the probabilities (n, n_classes) that a model predicts for the images of some indices (n,)."""
    return np.concatenate([model.whole.predict_on_batch(batch) for batch in _batches(indices, PREDICT_BATCH)])


def _mean(batches: Iterable[tuple[Mapping[str, Any], int]]) -> dict[str, float]:
    """Return the mean of some metrics over all images, given those of each batch and its number of images.

    Keras resets its metrics in each `train_on_batch` (3.15), so each value is that of one batch.
    """
    sums, n_images = defaultdict[str, float](float), 0
    for metrics, size in batches:
        n_images += size
        for name, value in metrics.items():
            sums[name] += float(value) * size
    return {name: value / n_images for name, value in sums.items()}


def _fit(
    run: Run,
    model: _Model,
    train_targets: NDArray[Any],
    val_labels: NDArray[np.int64],
    checkpoint_path: Path | None,
    on_epoch: Callable[[int, Mapping[str, float]], None],
) -> FitState:
    """Fit a model and return the state at its end. The test labels are not passed in, so they cannot influence it.

    It trains batch by batch: Keras's `fit` uses tf.data, whose iterators sometimes take two seconds to end (TensorFlow
    2.21), and once seeded and asked for all epochs, it shows the images in the same order in each (Keras 3.15).
    """
    training, whole = run.trial.training, model.whole
    n_train, n_val = len(train_targets), len(val_labels)
    val_indices = np.arange(n_train, n_train + n_val, dtype=np.int32)
    state = checkpoint.resume(checkpoint_path, model.variables) if checkpoint_path else FitState()
    started, saved = time.perf_counter() - state.seconds, time.monotonic()
    while state.epochs < training.epochs and state.wait < (training.patience or training.epochs):
        train_metrics = _mean(
            (whole.train_on_batch(indices, train_targets[indices], return_dict=True), len(indices))
            for indices in _batches(_shuffled(run.seed, state.epochs, n_train), training.batch_size)
        )
        with _averaged(model, training):
            metrics = train_metrics | score(_predict(model, val_indices), val_labels, training, "val")
            state.add_epoch(metrics, model.core.get_weights)
        state.seconds = time.perf_counter() - started
        if checkpoint_path and time.monotonic() - saved >= CHECKPOINT_SECONDS:
            checkpoint.save(checkpoint_path, state, model.variables)
            saved = time.monotonic()
        on_epoch(state.epochs, metrics)  # after the checkpoint, because an error of the caller ends the fit
    if training.restore_best_weights:
        model.core.set_weights(state.best_weights)
    elif training.averaging:
        _set_averages(whole)
    return state


def _set_averages(whole: keras.Model) -> None:
    """Give a model the moving averages of its weights."""
    whole.optimizer.finalize_variable_values(whole.trainable_variables)
    for variable in whole.trainable_variables:  # JAX would share its memory with the average, and a prediction free it
        variable.assign(keras.ops.convert_to_numpy(variable).copy())


@contextmanager
def _averaged(model: _Model, training: Training) -> Iterator[None]:
    """Give a model the moving averages of its weights, if the trial has them; training continues with the others."""
    if not training.averaging:
        yield
        return
    variables = model.whole.trainable_variables
    last = [keras.ops.convert_to_numpy(variable).copy() for variable in variables]
    _set_averages(model.whole)
    yield
    for variable, value in zip(variables, last, strict=True):
        variable.assign(value)


def run(
    run: Run,
    dataset: Dataset,
    split: Split,
    checkpoints: str | None = None,
    on_epoch: Callable[[int, Mapping[str, float]], None] = lambda *_: None,
) -> tuple[Record, dict[str, NDArray[Any]]]:
    """Fit a model and score it.

    The test images are predicted once, after the fit, and influence nothing.

    Args:
        run: The run.
        dataset: Its images.
        split: Which of them it trains on, validates on and is tested on.
        checkpoints: Folder of checkpoints: a long fit writes one after an epoch, and resumes from it. None, or a folder
            that this machine does not have, for a fit without checkpoints.
        on_epoch: Called with 0 and {} before a model is traced, which takes seconds; not if the last run's model can be
            used again. Then, after each epoch, with its number, from 1, and its metrics by their names in
            `Record.history`. An error that it raises ends the fit.

    Raises:
        ConfigError: An own model fails.

    Returns:
        The record, and arrays: `val_probs` and `test_probs` (n, n_classes) float32, `val_labels` and `test_labels`
        (n,) int64, and the weights as `weight_0000`, `weight_0001`, ... in Keras's order.
    """
    training, n_classes = run.trial.training, len(dataset.class_names)
    train_labels, val_labels = dataset.train_labels[split.train], dataset.train_labels[split.val]
    if _trace_key(run, split) not in _idle:
        on_epoch(0, {})
    model = _new_model(run, dataset, split)
    has_folder = checkpoints is not None and os.path.isdir(checkpoints)  # noqa: PTH112 - never raises
    do_fit = partial(
        _fit,
        run,
        model,
        train_targets(train_labels, n_classes, training),
        val_labels,
        Path(checkpoints, f"{run.digest}.ckpt") if checkpoints and has_folder else None,
        on_epoch,
    )
    state = guarded(run.trial.architecture, do_fit)
    ends = np.cumsum([len(split.train), len(split.val), len(split.test)])
    val_probs, test_probs = (_predict(model, np.arange(start, end, dtype=np.int32)) for start, end in pairwise(ends))
    arrays: dict[str, NDArray[Any]] = {
        "val_probs": val_probs,
        "test_probs": test_probs,
        "val_labels": val_labels,
        "test_labels": dataset.test_labels[split.test],
    }
    record = _record(run, dataset, split, model, state, arrays)
    arrays |= {f"weight_{number:04d}": value for number, value in enumerate(model.core.get_weights())}
    if not isinstance(run.trial.architecture, OwnModel):  # which may hold a state that is in none of its variables
        _idle[_trace_key(run, split)] = model
    return record, arrays


def _record(
    run: Run, dataset: Dataset, split: Split, model: _Model, state: FitState, arrays: dict[str, NDArray[Any]]
) -> Record:
    losses, training = np.asarray(state.history["val_loss"]), run.trial.training
    sizes = {"train": len(split.train), "val": len(split.val), "test": len(split.test)}
    pool = len(dataset.train_labels)
    return Record(
        digest=run.digest,
        trial=run.trial.canonical(),
        seed=run.seed,
        data={"digest": run.data_digest, "class_names": list(dataset.class_names), "shape": list(dataset.image_shape)},
        split={"digest": run.split_digest, **sizes, "pool": pool},
        code=fit_code_digest(),
        params=model.core.count_params(),
        history=state.history,
        best_epoch=1 + int(np.argmin(np.where(np.isnan(losses), np.inf, losses))),
        train_seconds=round(state.seconds, 3),
        scores=score(arrays["val_probs"], arrays["val_labels"], training, "val")
        | score(arrays["test_probs"], arrays["test_labels"], training, "test"),
        provenance=checkpoint.provenance(),
    )
