"""Tables, models and code of one stage."""

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any

import attrs
import numpy as np
from IPython.display import HTML, Markdown
from markupsafe import Markup, escape

from cnnlab import models
from cnnlab.records import Record
from cnnlab.report import plots
from cnnlab.report.plots import Picture
from cnnlab.report.tables import count, mean_sd, table, text, trial_cell, verdict_cell
from cnnlab.report.words.comparison import difference_cell, quoted
from cnnlab.study import SPARSE_LOSS, UNCHANGED, Architecture, Input, PublishedFit, Stage, Trial
from cnnlab.tuning import StageResult, Tuning, advice

OVERFITTING = 5.0  # points of accuracy by which training may exceed validation


def unchanged(tuning: Tuning, result: StageResult) -> Markdown | None:
    """Return which earlier stage selected the same model, with a link to its chapter; None if there is none."""
    stage = _first_with(tuning, result, lambda trial: trial)
    return Markdown(f"The model is still that of [{text(stage.title)}](#{stage.name}).") if stage else None


def unchanged_layers(tuning: Tuning, result: StageResult) -> Markdown | None:
    """Return which earlier stage selected a model of the same layers, with a link; None if there is none."""
    stage = _first_with(tuning, result, _shown_layers)
    return Markdown(f"The layers are still those of [{text(stage.title)}](#{stage.name}).") if stage else None


def _shown_layers(trial: Trial) -> object:
    """Return what of a trial the table of its layers shows."""
    model = trial.architecture
    if isinstance(model, Architecture):  # without activations, rates and momentum
        model = attrs.evolve(model, dense_units=model.dense_units if model.head == "dense" else 1)
        same = {"conv_activation": "relu", "dense_activation": "relu", "batch_norm_momentum": None}
        model = attrs.evolve(model, **same, dropout=0.5 if model.dropout else ())
    return model, trial.input.colour, trial.input.augmentation


def _first_with(tuning: Tuning, result: StageResult, part: Callable[[Trial], object]) -> Stage | None:
    """Return the first of the stages before a stage since which a part of the selected trial is the same."""
    first = None
    for earlier in reversed(_earlier(tuning, result)):
        if part(earlier.selected.settings) != part(result.selected.settings):
            break
        first = earlier.stage
    return first


def _earlier(tuning: Tuning, result: StageResult) -> list[StageResult]:
    """Return the results of the stages whose models lead to that of a stage."""
    results = tuning.results(result.stage.name)
    return [earlier for earlier in results if earlier.stage != result.stage and not earlier.stage.on_colour]


def code_change(tuning: Tuning, result: StageResult) -> HTML | Markdown:
    """Return how a stage changes the Keras code of the model; the whole code where no stage came before."""
    if same_model := unchanged(tuning, result):
        return same_model
    dataset = tuning.images.dataset(result.selected.settings.input.colour)
    images, n_train = (dataset.image_shape, len(dataset.class_names)), result.selected_records[0].split["train"]
    selected, earlier = result.selected.settings.for_images(n_train), _earlier(tuning, result)
    if not earlier:
        code = models.keras_code(selected, *images).rstrip()
        return HTML(
            Markup('<details class="keras"><summary>The Keras code of “{}”</summary><pre>{}</pre></details>').format(
                result.selected.name, code
            )
        )
    diff = models.code_change(earlier[-1].selected.settings.for_images(n_train), selected, *images)
    model = "the incumbent" if result.incumbent else f"the model of “{earlier[-1].stage.title}”"
    if not diff:
        return Markdown(f"The Keras code is that of {text(model)}: the settings that differ have no effect.")
    lines = Markup("\n").join(map(_diff_line, diff.splitlines()))
    start = Markup("<p>The Keras code, compared with that of {} (- removed, + added):</p>").format(model)
    return HTML(start + Markup('<pre class="diff">{}</pre>').format(lines))


def _diff_line(line: str) -> Markup:
    names = {"- ": "removed", "+ ": "added"}
    return Markup('<span class="{}">{}</span>').format(names[line[:2]], line) if line[:2] in names else escape(line)


def layers_table(layers: Sequence[Mapping[str, str | int]]) -> HTML:
    """Return a model's layers with output shapes and parameters, and their sum."""
    total = {"layer": "total", "output": "", "params": sum(int(row["params"]) for row in layers)}
    return table([*layers, total], {"params": ",d"})


def model_drawing(png: bytes, layers: Sequence[Mapping[str, str | int]]) -> Picture | Markdown:
    """Return a visualkeras drawing with its text alternative, or a sentence if there is none."""
    from PIL import Image

    if not png:
        return Markdown("There is no drawing, because the layers do not simply follow one another.")
    names = ", ".join(str(row["layer"]) for row in layers)
    width = Image.open(BytesIO(png)).width // plots.SHARPNESS
    return Picture(png, f"Drawing of the model, layer by layer: {names}.", width)


def trials_table(tuning: Tuning, result: StageResult) -> HTML:
    """Return the stage's trials, the best mean `val_f1` first: size, cost, scores, difference and verdict."""
    colours, compared = plots.colours(result), {made.trial: made for made in result.decision.comparisons}
    not_learned, has_published = advice.has_not_learned(tuning, result), any(t.published for t in result.trials)
    same_as, rows = result.same_as, []
    # In the same order as in `plots.scores`.
    for trial in sorted(result.trials, key=lambda trial: (-_mean_val_f1(result, trial.name), trial.name in same_as)):
        roles = [
            *(["selected"] if trial == result.selected else []),
            *(["incumbent"] if trial.incumbent and trial.name != UNCHANGED else []),
            *(["not learned"] if trial.name in not_learned else []),
            *([same_text(result, trial.name)] if trial.name in same_as else []),
        ]
        made, scores = compared.get(trial.name), score_columns(result.records(trial.name))
        del scores["runs"]
        rows.append(
            {
                "trial": trial_cell(trial.name, colours[trial.name]) + _small(roles),
                **scores,
                "difference": difference_cell(made) if made else "",
                "verdict": verdict_cell(made.verdict) if made else "",
                **({"published": published_f1(trial.published) if trial.published else ""} if has_published else {}),
            }
        )
    return table(rows, SCORE_FORMATS)


def _small(roles: Sequence[str]) -> Markup:
    return Markup(" <small>{}</small>").format(", ".join(roles)) if roles else Markup("")


def _mean_val_f1(result: StageResult, name: str) -> float:
    return float(np.mean([record.scores["val_f1"] for record in result.records(name)]))


def same_text(result: StageResult, name: str) -> str:
    """Return "same as the incumbent" for a trial with the incumbent's runs in this budget, or the like."""
    other = result.trial(result.same_as[name])
    return f"same as {'the incumbent' if other.incumbent else f'“{other.name}”'}"


SCORE_FORMATS = {"params": ",d", "epochs": ".1f", "seconds": ".1f"}
"""Formats of `score_columns`."""


def score_columns(records: Sequence[Record]) -> dict[str, Any]:
    """Return the columns that every table of trials has: size, cost, mean and SD of the scores."""
    return {
        "params": records[0].params,
        "runs": len(records),
        "epochs": float(np.mean([record.epochs for record in records])),
        # The median, because the first run may include the time to trace the model.
        "seconds": float(np.median([record.train_seconds for record in records])),
        "val_f1": mean_sd([record.scores["val_f1"] for record in records]),
        "test_f1": mean_sd([record.scores["test_f1"] for record in records]),
    }


def published_f1(fit: PublishedFit) -> str:
    """Return the published score, with a star if the settings of the fit differ from its description."""
    return f"{fit.test_f1:.3f}*" if fit.changes else f"{fit.test_f1:.3f}"


def published_differences(result: StageResult) -> Markdown:
    """Return in which settings the published fits with a star in `trials_table` differ from our trials; "" if none."""
    notes = [
        f"{quoted(fit.trial)} with {', '.join(_changed(fit))}"
        for fit in (trial.published for trial in result.trials)
        if fit and fit.changes
    ]
    return Markdown(f"\\* What the published study really ran: {'; '.join(notes)}." if notes else "")


def _changed(fit: PublishedFit) -> list[str]:
    """Return what a published fit really had, in words; all losses but one had labels that they cannot use."""
    words = {"patience": "no early stopping", "layout": "scrambled channels", "scale": "pixels that are not scaled"}
    shown = [words.get(name, f"{text(name)} {value}") for name, value in fit.changes.items()]
    return [*shown, "integer labels"] if fit.settings.get("loss", SPARSE_LOSS) != SPARSE_LOSS else shown


def overfitting_summary(result: StageResult) -> Markdown:
    """Return in one line how far training and validation accuracy are apart at the best epoch, and what that means."""
    records = result.selected_records
    train, val = (
        float(np.mean([record.history[metric][record.best_epoch - 1] for record in records]))
        for metric in ("accuracy", "val_accuracy")
    )
    gap = 100 * (train - val)
    reading = "little overfitting" if gap >= -OVERFITTING else "no sign of overfitting"
    if gap > OVERFITTING:
        reading = "it overfits"
    diverged = sum(not np.isfinite(record.history["val_loss"]).all() for record in records)
    mean = f" (mean of {len(records)} runs)" if len(records) > 1 else ""
    later = f" Later, `val_loss` of {count(diverged, 'run')} became infinite or no number (NaN)." if diverged else ""
    harder = _harder_in_training(result.selected.settings)
    measured = f" Training accuracy is measured with {harder}, which lowers it." if harder else ""
    return Markdown(
        f"At the epoch with the lowest `val_loss`, the selected trial has a training accuracy of {train:.3f} and a "
        f"validation accuracy of {val:.3f}{mean}: {reading}.{measured}{later}"
    )


def _harder_in_training(trial: Trial) -> str:
    """Return what makes training images harder to classify than others; "" for nothing that is known."""
    model = trial.architecture
    has_dropout = isinstance(model, Architecture) and any(model.dropout)
    is_augmented = trial.input.augmentation != Input().augmentation
    return " and ".join([*(["dropout"] * has_dropout), *(["augmented images"] * is_augmented)])


def own_images(tuning: Tuning, records: Sequence[Record]) -> str:
    """Return which images the seeds of a trial do not share: "training and validation", "training", or ""."""
    if len({record.split["digest"] for record in records}) < 2:
        return ""
    return "training" if tuning.images.has_given_val else "training and validation"
