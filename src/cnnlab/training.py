"""Fit one trial with one seed. The only module that fits a model."""

import hashlib
import io
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnlab import __version__, files, models
from cnnlab.config import SPARSE_LOSS, Input, Training, Trial
from cnnlab.data import Dataset, Split
from cnnlab.records import SCHEMA, Record, run_digest

PREDICT_BATCH = 256
"""Images predicted at a time; the scores do not depend on it."""
CHECKPOINT_SECONDS = 10
"""Least time between two checkpoints of a fit: a short one is sooner repeated than saved."""


@dataclass(frozen=True)
class Run:
    """One trial with one seed on one split of one dataset: the unit of work, of caching and of distribution."""

    trial: Trial
    seed: int
    data_digest: str
    split_digest: str

    @property
    def digest(self) -> str:
        """What a stored record is found by: the trial, the seed, the data and the split."""
        return run_digest(self.trial.canonical(), self.seed, self.data_digest, self.split_digest)


def prepare(images: NDArray[np.uint8], settings: Input) -> NDArray[np.float32]:
    """Turn images (n, h, w, c) uint8 into what a model is given: float32, 0 to 1 if scaled, else 0 to 255."""
    if settings.layout == "published":
        images = images.transpose(0, 3, 1, 2).reshape(images.shape)
    pixels = images.astype(np.float32)
    if settings.scale:
        pixels /= 255
    return pixels


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
    import keras
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


def _fit(
    what: Run,
    train_images: NDArray[np.float32],
    train_targets: NDArray[Any],
    val_images: NDArray[np.float32],
    val_targets: NDArray[Any],
    n_classes: int,
    checkpoint: Path | None,
) -> tuple[Any, "_State"]:
    """Return a fitted model and how the fit went. What is no argument, as the test set, has no say.

    Keras is asked for one epoch at a time, each with a seed of its own. Asked for all at once under a seed, it shows
    the images in the same order in every epoch (TensorFlow, Keras 3.15); and its early stopping cannot be taken up
    again in the middle.
    """
    import keras

    training = what.trial.training
    keras.backend.clear_session()
    model = models.build(
        what.trial.architecture, train_images.shape[1:], n_classes, what.trial.input.augmentation, what.seed
    )
    models.compile_model(model, training)
    state = _resumed(checkpoint, model) if checkpoint else _State()
    begun, written = time.perf_counter() - state.seconds, time.monotonic()
    patience = training.patience or training.epochs
    for epoch, seed in zip(range(training.epochs), models.draw_seeds(what.seed, "order"), strict=False):
        if epoch < state.epochs:
            continue
        if state.wait >= patience:
            break
        keras.utils.set_random_seed(seed)
        seen = model.fit(
            train_images,
            train_targets,
            batch_size=training.batch_size,
            initial_epoch=epoch,
            epochs=epoch + 1,
            validation_data=(val_images, val_targets),
            validation_batch_size=PREDICT_BATCH,
            verbose=0,
        ).history
        state.note({name: float(values[0]) for name, values in seen.items()}, model.get_weights)
        state.seconds = time.perf_counter() - begun
        if checkpoint and time.monotonic() - written >= CHECKPOINT_SECONDS:
            _save(checkpoint, state, model)
            written = time.monotonic()
    if training.restore_best_weights:
        model.set_weights(state.best_weights)
    return model, state


@dataclass
class _State:
    """How far a fit is, beside the model's own variables: all that its next epoch depends on.

    Attributes:
        history: Each metric's values so far, one an epoch.
        best: Lowest `val_loss` so far.
        wait: Epochs since.
        seconds: Time spent so far.
        best_weights: The weights of the best epoch; of the first one, where every `val_loss` is NaN.
    """

    history: dict[str, list[float]] = field(default_factory=dict)
    best: float = math.inf
    wait: int = 0
    seconds: float = 0.0
    best_weights: list[NDArray[Any]] = field(default_factory=list)

    @property
    def epochs(self) -> int:
        return len(self.history.get("loss", ()))

    def note(self, metrics: Mapping[str, float], weights: Callable[[], list[NDArray[Any]]]) -> None:
        """Take in an epoch's metrics, and its weights if they are the best so far."""
        for name, value in metrics.items():
            self.history.setdefault(name, []).append(value)
        better = metrics["val_loss"] < self.best
        self.wait = 0 if better else self.wait + 1
        if better or not self.best_weights:
            self.best_weights = weights()
        if better:
            self.best = metrics["val_loss"]


def _variables(model: Any) -> list[Any]:
    """Return all that an epoch changes in a model: weights, moving statistics, dropout's seeds, optimizer state."""
    model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]


def _made_by() -> dict[str, str]:
    import keras

    return {
        "cnnlab": __version__,
        "python": platform.python_version(),
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "backend_version": _backend_version(keras.backend.backend()),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _save(path: Path, state: _State, model: Any) -> None:
    """Write a checkpoint. Where that cannot be done, on a worker of another machine or a full disk, go on without."""
    import keras

    about = {"history": state.history, "best": state.best, "wait": state.wait, "seconds": state.seconds}
    content = io.BytesIO()
    arrays = {f"best_{i:03d}": value for i, value in enumerate(state.best_weights)}
    arrays |= {f"variable_{i:03d}": keras.ops.convert_to_numpy(value) for i, value in enumerate(_variables(model))}
    arrays["about"] = np.frombuffer(json.dumps({**about, "made_by": [SCHEMA, _made_by()]}).encode(), np.uint8)
    np.savez(content, **arrays)  # type: ignore[arg-type]
    blob = content.getvalue()
    with suppress(OSError):
        files.write(path, hashlib.sha256(blob).digest() + blob)


def _resumed(path: Path, model: Any) -> _State:
    """Set a model to its checkpoint and return where the fit was; at its beginning without a whole one of our own."""
    try:
        content = path.read_bytes()
        if hashlib.sha256(content[32:]).digest() != content[:32]:
            return _State()
        with np.load(io.BytesIO(content[32:]), allow_pickle=False) as arrays:
            about = json.loads(arrays["about"].tobytes())
            best = [arrays[name] for name in sorted(arrays.files) if name.startswith("best_")]
            saved = [arrays[name] for name in sorted(arrays.files) if name.startswith("variable_")]
        made_by = about.pop("made_by")
        state = _State(**about, best_weights=best)
    except (OSError, ValueError, KeyError, TypeError):
        return _State()
    variables = _variables(model)
    if made_by != [SCHEMA, _made_by()] or [v.shape for v in variables] != [value.shape for value in saved]:
        return _State()
    for variable, value in zip(variables, saved, strict=True):
        variable.assign(value)
    return state


def run(
    what: Run, dataset: Dataset, split: Split, checkpoints: str | None = None
) -> tuple[Record, dict[str, NDArray[Any]]]:
    """Fit a model and score it.

    The test images are predicted once, after the fit, and enter no choice.

    Args:
        what: The run.
        dataset: Its images.
        split: Which of them it trains, chooses and is tested on.
        checkpoints: Folder where a long fit leaves, after an epoch, all that it takes to go on from there, and where
            it looks for that first; None, or a folder that is not on this machine, for a fit in one go.

    Returns:
        The record, and arrays: `val_probs` and `test_probs` (n, n_classes) float32, `val_labels` and `test_labels`
        (n,) int64, and the weights as `weight_000`, `weight_001`, ... in Keras's order.
    """
    trial, n_classes = what.trial, len(dataset.class_names)
    train_labels, val_labels, test_labels = (
        dataset.train_labels[split.train], dataset.train_labels[split.val], dataset.test_labels[split.test]
    )  # fmt: skip
    val_images = prepare(dataset.train_images[split.val], trial.input)
    place = Path(checkpoints) if checkpoints else None
    model, state = _fit(
        what,
        prepare(dataset.train_images[split.train], trial.input),
        targets(train_labels, n_classes, trial.training),
        val_images,
        targets(val_labels, n_classes, trial.training),
        n_classes,
        place / f"{what.digest}.ckpt" if place and os.path.isdir(place) else None,  # noqa: PTH112 - never raises
    )
    val_probs = model.predict(val_images, batch_size=PREDICT_BATCH, verbose=0)
    test_images = prepare(dataset.test_images[split.test], trial.input)
    test_probs = model.predict(test_images, batch_size=PREDICT_BATCH, verbose=0)
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
        params=model.count_params(),
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
    return record, arrays | {f"weight_{place:03d}": value for place, value in enumerate(model.get_weights())}


def _backend_version(backend: str) -> str:
    """Return the version of the backend's package, which is loaded by now."""
    return str(getattr(sys.modules.get(backend), "__version__", "unknown"))
