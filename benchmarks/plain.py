"""The same fits by a plain script, one after the other, as the study's notebook makes them, in Keras 3.

`python -m benchmarks.plain FITS OUT`. What a mistake of the study's is not (the test images for early stopping, integer
labels for every loss) is as in the corrected protocol, so that scores can be compared. Used by the tuner's too.
"""

import gc
import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.metrics import f1_score

from benchmarks.fits import Fits
from cnnlab.study import SPARSE_LOSS, Trial


def build(trial: Trial, channels: int) -> keras.Model:
    """Build and compile a trial's model."""
    model = keras.Sequential([keras.Input((32, 32, channels))])
    if trial.input.augmentation == "flip-shift":
        model.add(keras.layers.RandomFlip("horizontal"))
        model.add(keras.layers.RandomTranslation(1 / 32, 1 / 32, "nearest"))
    layers = trial.architecture
    for block, filters in enumerate(layers.filters):
        for _ in range(layers.convs_per_block):
            model.add(keras.layers.Conv2D(filters, 3, padding=layers.padding, activation=layers.conv_activation))
            if layers.batch_norm:
                model.add(keras.layers.BatchNormalization(momentum=layers.batch_norm_momentum or 0.99))
        model.add(keras.layers.MaxPooling2D(2))
        if layers.dropout:
            model.add(keras.layers.Dropout(layers.dropout[block]))
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Dense(layers.dense_units, activation=layers.dense_activation))
    if layers.batch_norm:
        model.add(keras.layers.BatchNormalization(momentum=layers.batch_norm_momentum or 0.99))
    if layers.dropout:
        model.add(keras.layers.Dropout(layers.dropout[-1]))
    model.add(keras.layers.Dense(10, activation="softmax"))
    optimizer = keras.optimizers.get(trial.training.optimizer)
    optimizer.learning_rate = trial.training.learning_rate
    model.compile(optimizer=optimizer, loss=trial.training.loss, metrics=["accuracy"])
    return model


def arrays(fits: Fits, trial: Trial) -> dict[str, Any]:
    """Return what a trial's model is given: images and labels of each part."""
    dataset, split = fits.images(trial.input.colour)

    def images(found: Any) -> Any:
        if trial.input.layout == "published":
            found = found.transpose(0, 3, 1, 2).reshape(found.shape)
        return found.astype("float32") / (255 if trial.input.scale else 1)

    def labels(found: Any) -> Any:
        one_hot = trial.training.one_hot and trial.training.loss != SPARSE_LOSS
        return keras.utils.to_categorical(found, 10) if one_hot else found[:, None]

    return {
        "x": images(dataset.train_images[split.train]),
        "y": labels(dataset.train_labels[split.train]),
        "validation_data": (images(dataset.train_images[split.val]), labels(dataset.train_labels[split.val])),
        "test": (images(dataset.test_images[split.test]), dataset.test_labels[split.test]),
    }


def stop(trial: Trial) -> list[keras.callbacks.Callback]:
    """Return the callbacks of a trial's fit."""
    if trial.training.patience is None:
        return []
    best = trial.training.restore_best_weights
    return [keras.callbacks.EarlyStopping(patience=trial.training.patience, restore_best_weights=best)]


def main(fits: Fits, out: Path) -> None:
    """Make the fits, one after the other."""
    done = []
    for trial, seed in fits.fits:
        keras.utils.set_random_seed(seed)
        given = arrays(fits, trial)
        images, truth = given.pop("test")
        model = build(trial, images.shape[-1])
        history = model.fit(
            **given,
            batch_size=trial.training.batch_size,
            epochs=trial.training.epochs,
            callbacks=stop(trial),
            verbose=0,
        )
        predicted = np.argmax(model.predict(images, verbose=0), axis=1)
        done.append([len(history.history["loss"]), f1_score(truth, predicted, average="macro")])
        keras.backend.clear_session()
        gc.collect()
    out.write_text(json.dumps(done))


if __name__ == "__main__":
    main(Fits.read(sys.argv[1]), Path(sys.argv[2]))
