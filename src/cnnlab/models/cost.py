"""What a trial costs: the arithmetic of its model, and its time on a worker. Importing this does not load Keras."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnlab.models.builder import Shape
from cnnlab.study import Architecture, Trial

if TYPE_CHECKING:
    from numpy.typing import NDArray

KERNEL = 3  # height and width of every convolution's kernel

# Seconds on one core of a server of 2025, measured with TensorFlow in float32, for the networks of the built-in study:
# with one common factor they are at most 10 % wrong. `Speed` corrects them by what the workers themselves take.
STEP_SECONDS = 2.4e-3  # a training step, whatever its images
TRAIN_FLOP_SECONDS = 2.7e-11  # a training image, for each operation of its prediction
TRAIN_ELEMENT_SECONDS = 1.8e-9  # a training image, for each value that the layers write
PREDICT_FLOP_SECONDS = 7.8e-12
PREDICT_ELEMENT_SECONDS = 9.5e-10
LAYER_SECONDS = 0.15  # building and tracing, for each layer
RETRACED_SHARE = 0.4  # of building and tracing: tracing a training step for batches of a second size

TABLE_IMAGES = 64  # random images with which a trial is measured
TRAIN_SECONDS, PREDICT_SECONDS = 0.4, 0.15  # how long steps and predictions are repeated
MOST_STEP_SECONDS = 0.4  # a step that would take longer is measured with fewer images


@dataclass(frozen=True)
class ModelCost:
    """What one image costs in a model.

    Attributes:
        params: Parameters, trainable or not.
        flops: Floating-point operations of a prediction, two for each multiplication with its addition. A training
            step takes about three times as many.
        elements: Values that the layers write. Batch normalisation, dropout and pooling take time for these.
        layers: Number of layers, for which building and tracing takes time.
    """

    params: int
    flops: int
    elements: int
    layers: int


def model_cost(architecture: Architecture, input_shape: Shape, n_classes: int) -> ModelCost:
    """Return what an image costs in the model that `build` makes.

    Args:
        architecture: The layers.
        input_shape: Height, width and channels of an image.
        n_classes: Units of the output.
    """
    height, width, channels = input_shape
    params = flops = elements = 0
    border = KERNEL - 1 if architecture.padding == "valid" else 0
    norms, drops = int(architecture.batch_norm), int(bool(architecture.dropout))
    for filters in architecture.filters:
        for _ in range(architecture.convs_per_block):
            height, width = height - border, width - border
            weights = KERNEL * KERNEL * channels * filters
            params += weights + filters + 4 * filters * norms
            flops += 2 * weights * height * width
            elements += height * width * filters * (1 + norms)
            channels = filters
        height, width = height // 2, width // 2
        elements += height * width * channels * (1 + drops)
    flat, units, blocks = height * width * channels, architecture.dense_units, len(architecture.filters)
    layers = blocks * (architecture.convs_per_block * (1 + norms) + 1 + drops)
    if architecture.head == "average":
        units = channels
        elements += channels * (1 + drops)
        layers += 2 + drops
    else:
        params += (flat + 1) * units + 4 * units * norms
        flops += 2 * flat * units
        elements += units * (1 + norms + drops)
        layers += 3 + norms + drops
    params += (units + 1) * n_classes
    flops += 2 * units * n_classes
    elements += n_classes
    return ModelCost(params, flops, elements, layers)


@dataclass(frozen=True)
class Timing:
    """What a trial took on a worker.

    Attributes:
        trial: The trial.
        input_shape: Height, width and channels of an image.
        n_classes: Number of classes.
        batch_size: Images of a step: those of the trial, or fewer if a step would have taken long.
        load_seconds: Loading Keras, if this was the worker's first work.
        trace_seconds: Building the model and tracing it, for batches of one size.
        step_seconds: A training step.
        predict_seconds: The prediction of one image.
        params: Parameters of the model.
    """

    trial: Trial
    input_shape: Shape
    n_classes: int
    batch_size: int
    load_seconds: float
    trace_seconds: float
    step_seconds: float
    predict_seconds: float
    params: int


def measure(trial: Trial, input_shape: Shape, n_classes: int) -> Timing:
    """Measure a trial on random images, on a worker: it takes some seconds, most of them for tracing.

    Args:
        trial: The trial; its model is built and compiled as `fit.run` does it.
        input_shape: Height, width and channels of an image.
        n_classes: Number of classes.
    """
    started = time.perf_counter()
    from cnnlab.models import fit

    load_seconds = time.perf_counter() - started
    run, dataset, split = _random_images(trial.for_images(TABLE_IMAGES), input_shape, n_classes)
    targets = fit.train_targets(dataset.train_labels, n_classes, trial.training)

    def indices(size: int) -> "NDArray[np.int32]":
        return np.arange(size, dtype=np.int32) % TABLE_IMAGES

    def step(size: int) -> None:
        model.whole.train_on_batch(indices(size), targets[indices(size)], return_dict=True)

    def predict(size: int) -> None:
        model.whole.predict_on_batch(indices(size))

    started = time.perf_counter()
    model = fit._new_model(run, dataset, split)
    step(2)
    predict(2)
    trace_seconds = time.perf_counter() - started
    rough = _seconds(lambda: step(2), 0) / 2
    size = min(trial.training.batch_size, max(2, int(MOST_STEP_SECONDS / rough)))
    predicted = min(fit.PREDICT_BATCH, 4 * size)
    return Timing(
        trial, input_shape, n_classes, size, load_seconds, trace_seconds,
        step_seconds=_seconds(lambda: step(size), TRAIN_SECONDS),
        predict_seconds=_seconds(lambda: predict(predicted), PREDICT_SECONDS) / predicted,
        params=model.core.count_params(),
    )  # fmt: skip


def _random_images(trial: Trial, input_shape: Shape, n_classes: int) -> tuple[Any, Any, Any]:
    """Return a run of a trial with random images."""
    from cnnlab.data import Dataset, Split
    from cnnlab.records import Run

    images = np.random.default_rng(0).integers(0, 256, (TABLE_IMAGES, *input_shape), dtype=np.uint8)
    labels, few = np.arange(TABLE_IMAGES) % n_classes, np.arange(2)
    dataset = Dataset(images, labels, images[:2], labels[:2], tuple(map(str, range(n_classes))))
    split = Split(np.arange(TABLE_IMAGES), few, few)
    return Run(trial, 1, dataset.digest, split.digest), dataset, split


def _seconds(work: Callable[[], None], least: float) -> float:
    """Return the median time of some work, repeated for a while, after one time that may trace a model."""
    work()
    times: list[float] = []
    while len(times) < 2 or sum(times) < least:
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return median(times)


@dataclass(frozen=True)
class TrialSeconds:
    """Estimated seconds of one worker for a trial.

    Attributes:
        trace: Building and tracing the model, unless the worker has just done a run of the same model.
        step: A training step of `Training.batch_size` images.
        predict: The prediction of one image.
        params: Parameters of the model.
    """

    trace: float
    step: float
    predict: float
    params: int


class Speed:
    """Estimates the time of trials from that of the trials which were measured.

    The time of a built-in model follows from its `ModelCost`, corrected by how the measured trials compare with theirs,
    the most similar ones most. A model of the user's own has no `ModelCost`: it takes what the same model took, or the
    mean of the measured models.

    Args:
        timings: What was measured. Without any, a model of the user's own takes what the default network takes.
    """

    def __init__(self, timings: tuple[Timing, ...]) -> None:
        self.timings = timings
        self._built_in = [
            (timing, _kind(timing.trial, architecture), cost, _usual_seconds(cost, timing.batch_size))
            for timing in timings
            if isinstance(architecture := timing.trial.architecture, Architecture)
            and (cost := model_cost(architecture, timing.input_shape, timing.n_classes))
        ]
        self._known: dict[tuple[Trial, Shape, int], TrialSeconds] = {}

    def seconds(self, trial: Trial, input_shape: Shape, n_classes: int) -> TrialSeconds:
        """Return the estimate for a trial on images of a shape (height, width, channels) in some classes."""
        key, architecture = (trial, input_shape, n_classes), trial.architecture
        if key not in self._known:
            if isinstance(architecture, Architecture):
                cost = model_cost(architecture, input_shape, n_classes)
                self._known[key] = self._corrected(cost, _kind(trial, architecture), trial.training.batch_size)
            else:
                usual = _usual_seconds(model_cost(Architecture(), input_shape, n_classes), trial.training.batch_size)
                self._known[key] = self._own(trial) if self.timings else usual
        return self._known[key]

    def _corrected(self, cost: ModelCost, kind: tuple[Any, ...], batch_size: int) -> TrialSeconds:
        usual = _usual_seconds(cost, batch_size)
        if not self._built_in:
            return usual
        ratios, weights = [], []
        for timing, its_kind, its_cost, its_usual in self._built_in:
            took = timing.trace_seconds, timing.step_seconds, timing.predict_seconds
            expected = its_usual.trace, its_usual.step, its_usual.predict
            ratios.append(np.log(np.divide(took, expected)))
            distance = abs(math.log(cost.flops / its_cost.flops))  # 1 for e times as much work
            distance += abs(math.log(batch_size / timing.batch_size)) / 2
            distance += sum(0.3 for one, other in zip(kind, its_kind, strict=True) if one != other)
            weights.append(1 / (distance + 0.1) ** 2)
        trace, step, predict = np.exp(np.average(ratios, axis=0, weights=weights)).tolist()
        return TrialSeconds(usual.trace * trace, usual.step * step, usual.predict * predict, usual.params)

    def _own(self, trial: Trial) -> TrialSeconds:
        own = [timing for timing in self.timings if not isinstance(timing.trial.architecture, Architecture)]
        same = [timing for timing in own if timing.trial.architecture == trial.architecture]
        size, like = trial.training.batch_size, same or own or self.timings
        nearest = min(abs(math.log(timing.batch_size / size)) for timing in like)
        like = [timing for timing in like if abs(math.log(timing.batch_size / size)) == nearest]
        return TrialSeconds(
            trace=float(np.mean([timing.trace_seconds for timing in like])),
            step=float(np.mean([timing.step_seconds * size / timing.batch_size for timing in like])),
            predict=float(np.mean([timing.predict_seconds for timing in like])),
            params=round(float(np.mean([timing.params for timing in like]))),
        )


def _usual_seconds(cost: ModelCost, batch_size: int) -> TrialSeconds:
    """Return what a built-in model takes where the constants of this module were measured."""
    image = cost.flops * TRAIN_FLOP_SECONDS + cost.elements * TRAIN_ELEMENT_SECONDS
    return TrialSeconds(
        trace=cost.layers * LAYER_SECONDS,
        step=STEP_SECONDS + batch_size * image,
        predict=cost.flops * PREDICT_FLOP_SECONDS + cost.elements * PREDICT_ELEMENT_SECONDS,
        params=cost.params,
    )


def _kind(trial: Trial, architecture: Architecture) -> tuple[Any, ...]:
    """Return what else makes trials take different times, beside the size of their models."""
    training = trial.training
    layers = architecture.batch_norm, bool(architecture.dropout), architecture.conv_activation
    return *layers, training.optimizer, training.precision, trial.input.augmentation
