"""The Keras code of a trial, to read and to copy. This does not load Keras."""

import difflib
import json
from collections.abc import Iterator, Mapping
from itertools import islice
from keyword import iskeyword
from pathlib import PurePath
from typing import Any

from cnnlab.models.builder import RISING_SHARE, LayerCall, Shape, layer_calls, optimizer_call, smooths_labels
from cnnlab.study import SPARSE_LOSS, OwnModel, Training, Trial

_AUGMENTATIONS = {
    "flip-shift": ("FlipShift", "random flips and shifts"),
    "flip-crop": ("FlipCrop", "random flips and parts"),
}
_SCRAMBLE = "{0}.transpose(0, 3, 1, 2).reshape({0}.shape)"


def keras_code(trial: Trial, input_shape: Shape, n_classes: int) -> str:
    """Return the Keras code that builds, compiles and fits the model of a trial.

    The code needs `train_images` and `val_images` (n, h, w, c) uint8, 0 to 255, and `train_labels` and `val_labels`
    (n,) int, 0 to `n_classes - 1`. It leaves out the seeds, so that its scores are those of another run of the trial.
    Settings without an effect are left out too, see `Trial.effective`.

    Args:
        trial: The trial. `Trial.for_images` gives the momentum of batch normalisation that its runs have.
        input_shape: Height, width and channels of an image.
        n_classes: Number of classes.
    """
    trial = trial.effective()
    blocks = [_imports(trial), _labels(trial, n_classes), _images(trial), _model(trial, input_shape, n_classes)]
    return "\n\n".join("\n".join(block) for block in [*blocks, _fit(trial)] if block) + "\n"


def code_change(before: Trial, after: Trial, input_shape: Shape, n_classes: int) -> str:
    """Return how the Keras code of two trials differs, "" if it does not.

    Args:
        before: A trial.
        after: Another one.
        input_shape: Height, width and channels of an image. A trial in colour has 3 channels, any other has 1.
        n_classes: Number of classes.

    Returns:
        Lines that begin with "- " (only in `before`), "+ " (only in `after`) or "  " (in both). "  ..." stands for
        lines that are left out between changes.
    """
    old, new = (
        keras_code(trial, (*input_shape[:2], 3 if trial.input.colour else 1), n_classes).splitlines()
        for trial in (before, after)
    )
    changes = islice(difflib.unified_diff(old, new, n=1, lineterm=""), 3, None)  # without the headers
    return "\n".join("  ..." if line.startswith("@@") else f"{line[0]} {line[1:]}" for line in changes)


def _imports(trial: Trial) -> list[str]:
    model, precision = trial.architecture, trial.training.precision
    lines = ["import keras", "from keras import layers"]
    if augmentation := _AUGMENTATIONS.get(trial.input.augmentation):
        lines += [f"from cnnlab.models.layers import {augmentation[0]}  # {augmentation[1]}, in training only"]
    if isinstance(model, OwnModel):
        lines = _own_source(model, lines) if model.is_function else [*lines, *_own_import(model)]
    return lines if precision == "float32" else [*lines, "", f"keras.config.set_dtype_policy({_value(precision)})"]


def _own_source(model: OwnModel, imports: list[str]) -> list[str]:
    """Return the source of a function of the user and all that it uses, after some imports."""
    source = model.source.rstrip().splitlines()
    future = [line for line in source[:1] if line.startswith("from __future__")]  # must be the first line
    return [*future, *(line for line in imports if line not in source), *source[len(future) :], ""]


def _own_import(model: OwnModel) -> list[str]:
    """Return what imports an own model's function, where the study's file is."""
    parts = PurePath(model.file or "own_model.py").with_suffix("").parts
    if all(map(_is_name, parts)):
        return [f"from {'.'.join(parts)} import {model.function}"]
    return ["import runpy", "", f"{model.function} = runpy.run_path({_value(model.file)})[{_value(model.function)}]"]


def _labels(trial: Trial, n_classes: int) -> list[str]:
    """Return what turns the labels into what the loss gets."""
    smooths, share = smooths_labels(trial.training), trial.training.label_smoothing
    if trial.training.loss == SPARSE_LOSS and not smooths:
        return []
    if trial.training.one_hot or smooths:
        lines = [
            f"{labels} = keras.utils.to_categorical({labels}, {n_classes})" for labels in ("train_labels", "val_labels")
        ]
        # Not the argument of Keras's loss: that would smooth the labels of validation too.
        smoothed = f"train_labels = {1 - share:.10g} * train_labels + {share / n_classes:.10g}  # label smoothing"
        return [*lines, smoothed] if smooths else lines
    return [
        "# A mistake of the published study: this loss needs one-hot labels, but gets class numbers.",
        *(f"{labels} = {labels}.reshape(-1, 1)" for labels in ("train_labels", "val_labels")),
    ]


def _images(trial: Trial) -> list[str]:
    """Return what the published study did to its images, if the trial repeats it."""
    if trial.input.layout == "channels_last":
        return []
    return [
        "# A mistake of the published study: this reshape makes channels of neighbouring pixels.",
        *(f"{images} = {_SCRAMBLE.format(images)}" for images in ("train_images", "val_images")),
    ]


def _model(trial: Trial, input_shape: Shape, n_classes: int) -> list[str]:
    """Return the model, one line a layer."""
    lines = [f"keras.Input({input_shape})"]
    if trial.input.scale:
        lines += ["layers.Rescaling(1 / 255)"]
    if augmentation := _AUGMENTATIONS.get(trial.input.augmentation):
        lines += [f"{augmentation[0]}()"]
    model = trial.architecture
    if isinstance(model, OwnModel):
        settings = _settings({"input_shape": input_shape, "n_classes": n_classes, **model.settings})
        lines += ["\n        ".join([f"{model.function}(", *(f"{setting}," for setting in settings)]) + "\n    )"]
    else:
        *inner, last = layer_calls(model, n_classes)
        dtype = {} if trial.training.precision == "float32" else {"dtype": "float32"}
        lines += map(_layer, [*inner, last._replace(settings={**last.settings, **dtype})])
    return ["model = keras.Sequential([", *(f"    {line}," for line in lines), "])"]


def _fit(trial: Trial) -> list[str]:
    """Return how the model is compiled and fitted, one line a setting."""
    training = trial.training
    optimizer = optimizer_call(training, steps=1)
    settings = {**optimizer.settings, "learning_rate": _Code(_rate(training))}
    loss = _value("categorical_crossentropy" if smooths_labels(training) else training.loss)
    # Without a patience, the fit runs all epochs and the callback only restores the weights of the best one.
    stop = {"patience": training.patience or training.epochs, "restore_best_weights": training.restore_best_weights}
    stops = training.patience or (training.restore_best_weights and training.epochs > 1)
    callbacks = ["keras.callbacks.SwapEMAWeights(swap_on_epoch=True)"] if training.averaging else []
    callbacks += [f"keras.callbacks.EarlyStopping({', '.join(_settings(stop))})"] if stops else []
    return [
        *_steps(training),
        "model.compile(",
        f"    optimizer=keras.optimizers.{optimizer.layer}({', '.join(_settings(settings))}),",
        f"    loss={loss},",
        '    metrics=["accuracy"],',
        ")",
        *([_LAST_WEIGHTS] if training.averaging and training.patience and not training.restore_best_weights else []),
        "model.fit(",
        "    train_images,",
        "    train_labels,",
        f"    batch_size={training.batch_size},",
        f"    epochs={training.epochs},",
        "    validation_data=(val_images, val_labels),",
        *([f"    callbacks=[{', '.join(callbacks)}],"] if callbacks else []),
        ")",
    ]


_LAST_WEIGHTS = "# Where early stopping ends this fit, Keras leaves the last weights; cnnlab their averages."


class _Code(str):
    """Python code, to be written as it is."""


def _steps(training: Training) -> list[str]:
    """Return what counts the steps for a schedule of the learning rate."""
    if training.schedule == "constant":
        return []
    lines = [f"steps = {training.epochs} * -(-len(train_images) // {training.batch_size})  # of all epochs"]
    return lines if training.schedule == "cosine" else [*lines, f"rising = round({RISING_SHARE} * steps)"]


def _rate(training: Training) -> str:
    """Return the learning rate, a number or a schedule, as code."""
    rate = training.learning_rate
    if training.schedule == "constant":
        return repr(rate)
    arguments = f"{rate}, steps"
    if training.schedule == "one-cycle":
        arguments = f"0.0, steps - rising, warmup_target={rate}, warmup_steps=rising"
    return f"keras.optimizers.schedules.CosineDecay({arguments})"


def _layer(call: LayerCall) -> str:
    return f"layers.{call.layer}({', '.join([*map(_value, call.arguments), *_settings(call.settings)])})"


def _settings(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield each keyword argument of a call."""
    for name, value in settings.items():
        yield f"{name}={_value(value)}" if _is_name(name) else f"**{ {name: value}!r}"


def _value(value: Any) -> str:
    """Return a value as Python code, a text in double quotes."""
    if isinstance(value, _Code):
        return value
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _is_name(text: str) -> bool:
    return text.isidentifier() and not iskeyword(text)
