"""The same fits driven by Keras Tuner, as the points of a grid: `python -m benchmarks.tuner FITS OUT`."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
from sklearn.metrics import f1_score

from benchmarks import plain
from benchmarks.fits import Fits


class Grid(keras_tuner.HyperModel):
    """Builds and fits the trial whose place the tuner names."""

    def __init__(self, fits: Fits) -> None:
        super().__init__()
        self.fits = fits
        self.done: dict[int, tuple[int, float]] = {}

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Build the model of a point."""
        trial, seed = self.fits.fits[hp.Int("fit", 0, len(self.fits.fits) - 1)]
        keras.utils.set_random_seed(seed)
        return plain.build(trial, 3 if trial.input.colour else 1)

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, *_: Any, callbacks: Any, **__: Any) -> Any:
        """Fit and score it."""
        place = hp.get("fit")
        trial, _seed = self.fits.fits[place]
        given = plain.arrays(self.fits, trial)
        images, truth = given.pop("test")
        history = model.fit(
            **given,
            batch_size=trial.training.batch_size,
            epochs=trial.training.epochs,
            callbacks=[*callbacks, *plain.stop(trial)],
            verbose=0,
        )
        predicted = np.argmax(model.predict(images, verbose=0), axis=1)
        self.done[place] = len(history.history["loss"]), f1_score(truth, predicted, average="macro")
        return history


if __name__ == "__main__":
    fits = Fits.read(sys.argv[1])
    grid = Grid(fits)
    with tempfile.TemporaryDirectory() as folder:
        tuner = keras_tuner.GridSearch(
            grid,
            objective="val_loss",
            max_trials=len(fits.fits),
            executions_per_trial=1,
            directory=folder,
            project_name="grid",
        )
        tuner.search(verbose=0)
    Path(sys.argv[2]).write_text(json.dumps([grid.done[place] for place in range(len(fits.fits))]))
