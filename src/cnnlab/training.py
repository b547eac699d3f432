"""Fit one trial with one seed. The only module that fits a model."""

import platform
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnlab import __version__, models
from cnnlab.config import SPARSE_LOSS, Input, Training, Trial, digest
from cnnlab.data import Dataset, Split
from cnnlab.records import Record

PREDICT_BATCH = 256
"""Images predicted at a time; the scores do not depend on it."""


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
        return digest(
            {
                "trial": self.trial.canonical(),
                "seed": self.seed,
                "data": self.data_digest,
                "split": self.split_digest,
            }
        )


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
) -> tuple[Any, dict[str, list[float]], float]:
    """Return a fitted model, its history and its seconds. What is no argument, as the test set, has no say."""
    import keras

    training = what.trial.training
    shape = train_images.shape[1:]
    keras.backend.clear_session()
    keras.utils.set_random_seed(what.seed)  # the order of the training images
    model = models.build(what.trial.architecture, shape, n_classes, what.trial.input.augmentation, what.seed)
    models.compile_model(model, training)
    stopping = keras.callbacks.EarlyStopping(
        monitor="val_loss",
        mode="min",
        patience=training.patience or training.epochs,
        restore_best_weights=training.restore_best_weights,
    )
    begin = time.perf_counter()
    history = model.fit(
        train_images,
        train_targets,
        batch_size=training.batch_size,
        epochs=training.epochs,
        validation_data=(val_images, val_targets),
        validation_batch_size=PREDICT_BATCH,
        callbacks=[stopping],
        verbose=0,
    ).history
    return model, history, time.perf_counter() - begin


def run(what: Run, dataset: Dataset, split: Split) -> tuple[Record, dict[str, NDArray[Any]]]:
    """Fit a model and score it.

    The test images are predicted once, after the fit, and enter no choice.

    Args:
        what: The run.
        dataset: Its images.
        split: Which of them it trains, chooses and is tested on.

    Returns:
        The record, and arrays: `val_probs` and `test_probs` (n, n_classes) float32, `val_labels` and `test_labels`
        (n,) int64, and the weights as `weight_000`, `weight_001`, ... in Keras's order.
    """
    import keras

    trial, n_classes = what.trial, len(dataset.class_names)
    train_labels, val_labels, test_labels = (
        dataset.train_labels[split.train], dataset.train_labels[split.val], dataset.test_labels[split.test]
    )  # fmt: skip
    val_images = prepare(dataset.train_images[split.val], trial.input)
    model, history, seconds = _fit(
        what,
        prepare(dataset.train_images[split.train], trial.input),
        targets(train_labels, n_classes, trial.training),
        val_images,
        targets(val_labels, n_classes, trial.training),
        n_classes,
    )
    val_probs = model.predict(val_images, batch_size=PREDICT_BATCH, verbose=0)
    test_images = prepare(dataset.test_images[split.test], trial.input)
    test_probs = model.predict(test_images, batch_size=PREDICT_BATCH, verbose=0)
    losses = np.asarray(history["val_loss"], float)
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
        history={name: [float(value) for value in values] for name, values in history.items()},
        best_epoch=1 + int(np.argmin(np.where(np.isnan(losses), np.inf, losses))),
        train_seconds=round(seconds, 3),
        scores=scores(val_probs, val_labels, trial.training, "val")
        | scores(test_probs, test_labels, trial.training, "test"),
        provenance={
            "cnnlab": __version__,
            "python": platform.python_version(),
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
            "backend_version": _backend_version(keras.backend.backend()),
            "machine": f"{platform.system()} {platform.machine()}",
        },
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
