"""The first screen of a report: what the images are, the model to use, how good it is, and what each stage showed."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

from cnnlab import evidence
from cnnlab.evidence import Comparison, Rule, Verdict
from cnnlab.records import Record
from cnnlab.report import plots
from cnnlab.report.tables import count, interval_end, mean_sd, visible_name
from cnnlab.report.words.images import part_notes
from cnnlab.report.words.notes import group_choices, is_conclusive, not_learned_reason, not_learned_text, titles
from cnnlab.report.words.settings import augmentation_text, optimizer_text
from cnnlab.study import Architecture, OwnModel, Trial, cnn_number
from cnnlab.tuning import StageResult, Tuning, final_stage, have_same_runs, read_scores

NOT_SHOWN = "not shown to be better"
THUMBNAILS = 10
"""Classes of which an image is shown."""
_SIDE = 48  # least pixels of a thumbnail's longer side; twice as many are the most


def images_summary(tuning: Tuning, results: Sequence[StageResult]) -> str:
    """Return what the images are, how many of them the runs use, and what is unusual about their parts."""
    images, seeds = tuning.images.folder.gray, tuning.budget.seeds
    height, width, _ = images.image_shape
    used = ""
    if results:
        split = results[0].selected_records[0].split
        used = f" {split['train']:,} for training, {split['val']:,} for validation, {split['test']:,} for testing;"
    line = f"{len(images.class_names)} classes, {height} x {width} pixels;{used} {count(seeds, 'seed')} per trial."
    return " ".join([line, *part_notes(images, tuning.budget)])


def thumbnails(tuning: Tuning, results: Sequence[StageResult]) -> list[tuple[str, bytes]]:
    """Return the names of the first classes, each with a training image as the content of a PNG file.

    The images are of the kind that the final model takes: grayscale or colour.
    """
    last = final_stage(results)
    images = tuning.images.dataset((last.selected.settings if last else tuning.scope.start).input.colour)
    indices = tuning.images.split(images).train
    labels, made = images.train_labels[indices], []
    for label, name in enumerate(images.class_names[:THUMBNAILS]):
        if (of_class := indices[labels == label]).size:
            pixels = images.train_images[of_class[0]]
            picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
            picture.thumbnail((2 * _SIDE, 2 * _SIDE))
            scale = max(1, -(-_SIDE // max(picture.size)))
            file = BytesIO()
            picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST).save(file, "PNG")
            made.append((visible_name(name), file.getvalue()))
    return made


def model_settings(result: StageResult) -> list[tuple[str, str]]:
    """Return the settings of the trial that a stage selected, as names and values in words."""
    trial = result.selected.settings.for_images(result.selected_records[0].split["train"]).effective()
    height, width, channels = result.selected_records[0].data["shape"]
    training, shown = trial.training, {"images": f"{'grayscale' if channels == 1 else 'colour'}, {height} x {width}"}
    shown |= _layers(trial)
    shown["optimizer"] = optimizer_text(trial)
    smoothing = f", label smoothing {training.label_smoothing:g}" if training.label_smoothing else ""
    shown["loss"] = training.loss.replace("_", " ") + smoothing
    patience = f", patience {training.patience}" if training.patience else ""
    shown["epochs"] = f"at most {training.epochs}{patience}"
    if training.averaging:
        shown["weights"] = f"moving averages, with {training.averaging:g} of the past at each step"
    shown["augmentation"] = augmentation_text(trial.input.augmentation)
    if training.precision != "float32":
        shown["precision"] = training.precision
    return list(shown.items())


def _layers(trial: Trial) -> dict[str, str]:
    """Return the settings of a trial's layers, as names and values in words."""
    model = trial.architecture
    if isinstance(model, OwnModel):
        return {"model": f"{model.function} of {model.file}", **{k: f"{v}" for k, v in model.settings.items()}}
    assert isinstance(model, Architecture)
    blocks = f"{count(len(model.filters), 'block')} of {count(model.convs_per_block, 'convolution')}"
    filters, rates = ", ".join(map(str, model.filters)), ", ".join(f"{rate:g}" for rate in model.dropout)
    has_hidden = model.head == "dense"
    hidden = f"{count(model.dense_units, 'unit')}, {model.dense_activation}"
    normalised = "after each layer" if has_hidden else "after each convolution"
    return {
        "convolutions": f"{blocks}: {filters} filters; {model.conv_activation}, {model.padding} padding",
        "dense layer": hidden if has_hidden else "none; the mean of each channel (global average pooling)",
        "batch normalisation": normalised if model.batch_norm else "none",
        "dropout": rates or "none",
    }


@dataclass(frozen=True)
class ScoreRow:
    """The macro-F1 of a model on the test images: its mean over runs, and the 95 % interval of the mean.

    With one run, the ends of the interval are NaN. `accuracy` is that on the test images, mean and SD.
    """

    model: str
    mean: float
    low: float
    high: float
    runs: int
    accuracy: str

    @property
    def text(self) -> str:
        """The mean and the interval."""
        return f"{self.mean:.3f}" + (f" ({self.low:.3f} to {self.high:.3f})" if self.runs > 1 else "")


def score_rows(tuning: Tuning, results: Sequence[StageResult]) -> list[ScoreRow]:
    """Return the test macro-F1 of the final model and of the first one; of one where they are the same."""
    first, last = first_stage(results), final_stage(results)
    if not first or not last:
        return []
    models = {"this model": last.selected_records}
    if not have_same_runs(first_records(first), last.selected_records):
        models[first_name(first, last)] = first_records(first)
    rows = []
    for name, records in models.items():
        scores = read_scores(tuning.store, records, "test", given_val=tuning.images.has_given_val)
        accuracy = mean_sd([record.scores["test_accuracy"] for record in records])
        rows.append(ScoreRow(name, float(scores.runs.mean()), *evidence.mean_interval(scores), len(records), accuracy))
    return rows


def headline(tuning: Tuning, results: Sequence[StageResult]) -> tuple[str, str]:
    """Return what the study gained: a few words, and the difference with its interval.

    The words name a number only if the interval excludes zero. A final model that has not learned has no gain.
    """
    first, last = first_stage(results), final_stage(results)
    if last and (reason := not_learned_reason(tuning, last, last.decision.selected)):
        return "This model has not learned", reason
    gain = final_gain(tuning, first, last) if first and last else None
    if not first or not last or not gain:
        return "", ""
    name, (points, interval) = first_name(first, last), points_text(gain)
    if gain.is_conclusive:
        return f"{points.lstrip('+-')} points {gain.verdict} than {name}", interval
    return f"{NOT_SHOWN.capitalize()} than {name}", f"{points} points; {interval}"


def final_gain(tuning: Tuning, first: StageResult, last: StageResult) -> Comparison | None:
    """Return the final model less the first one, on `test_f1`; None where they are the same."""
    start, final = first_records(first), last.selected_records
    if have_same_runs(start, final):
        return None
    given = tuning.images.has_given_val
    groups = {"first": start, "final": final}
    scores = {name: read_scores(tuning.store, group, "test", given_val=given) for name, group in groups.items()}
    return evidence.compare(scores)[0]


def points_text(gain: Comparison) -> tuple[str, str]:
    """Return a difference in points, and its interval."""
    interval = f"95 % interval {interval_end(100 * gain.low, 1)} to {interval_end(100 * gain.high, 1)}"
    return f"{100 * gain.difference:+z.1f}", interval if gain.has_interval else "one run says nothing about noise"


def first_stage(results: Sequence[StageResult]) -> StageResult | None:
    """Return the first stage; None if there is none."""
    return next(iter(results), None)


def first_records(first: StageResult) -> list[Record]:
    """Return the runs of the model that the first stage starts from, or selects where it has no incumbent."""
    return first.records(first.incumbent.name) if first.incumbent else first.selected_records


def first_name(first: StageResult, last: StageResult) -> str:
    """Return what to call the first model: its CNN design where the published study concerns the images.

    Where it has grayscale images and the final model has colour images, the name says so.
    """
    decision = first.decision
    concerns = decision.rule != Rule.PUBLISHED_CHOICE or any(trial.published for trial in first.trials)
    number = cnn_number(first.stage.name) if decision.published_choice and concerns and not first.incumbent else None
    name = f"CNN-{number}, the first model" if number else "the first model"
    kinds = [records[0].trial["input"]["colour"] for records in (first_records(first), last.selected_records)]
    return f"{name} (on gray images)" if kinds == [False, True] else name


@dataclass(frozen=True)
class ChoiceRow:
    """A stage on the first screen: one change that it tried, and what the change did.

    Attributes:
        name: Name of the stage.
        title: Its title.
        change: The trial that is compared with the reference: the selected one; or the best other one, where the
            reference was kept.
        is_selected: Whether it was selected.
        picture: Its difference with the interval, as SVG.
        verdict: The verdict.
        not_learned: Which compared trial has not learned, in words; "" if both have.
        has_incumbent: Whether the reference is the incumbent; otherwise, it is the first trial of the stage.
        has_interval: Whether the difference has an interval.
    """

    name: str
    title: str
    change: str
    is_selected: bool
    picture: str
    verdict: str
    not_learned: str
    has_incumbent: bool
    has_interval: bool


@dataclass(frozen=True)
class ChoiceTable:
    """The stages with trials to choose between; the pictures of their differences go from -limit to limit."""

    rows: list[ChoiceRow]
    limit: float


def choice_table(tuning: Tuning, results: Sequence[StageResult]) -> ChoiceTable:
    """Return the stages with trials to choose between, in the order of the study."""
    pairs = [(result, made) for result in results if (made := result.decision.evidence)]
    ends = [abs(end) for _, made in pairs for end in (made.low, made.high, made.difference)]
    limit = _round_up(float(np.nanmax([0.01, *ends])))
    return ChoiceTable(
        [
            ChoiceRow(
                result.stage.name,
                result.stage.title,
                made.trial,
                made.trial == result.decision.selected,
                plots.mini_interval(made.low, made.difference, made.high, limit),
                made.verdict,
                not_learned_text(tuning, result, made),
                result.incumbent is not None,
                made.has_interval,
            )
            for result, made in pairs
        ],
        limit,
    )


def _round_up(value: float) -> float:
    """Return the next larger number with one digit that is not zero."""
    unit = float(10.0 ** np.floor(np.log10(value)))
    return float(np.ceil(value / unit - 1e-9) * unit)


def choices(results: Sequence[StageResult]) -> list[StageResult]:
    """Return the stages that have trials to choose between, without those about colour."""
    return [result for result in results if not result.stage.on_colour and len(result.distinct_trials) > 1]


def is_pinned(results: Sequence[StageResult]) -> bool:
    """Return whether the choices are those of the published study, whatever the scores."""
    return any(result.decision.rule == Rule.PUBLISHED_CHOICE for result in results)


def evidence_summary(tuning: Tuning, results: Sequence[StageResult]) -> str:
    """Return how many choices, and how many of all compared trials, have a conclusive verdict."""
    made = choices(results)
    compared = [one for result in made for one in result.decision.comparisons]
    if not made or not compared:
        return ""
    if tuning.budget.seeds == 1:
        return "With one run per trial there are no intervals, so every verdict is inconclusive."
    conclusive, _, not_learned = group_choices(tuning, made)
    verb = "has" if 1 in (len(conclusive), len(made)) else "have"
    named = f": {titles(conclusive)}" if conclusive else ""
    gray = " on grayscale images" if len(made) < len([one for one in results if one.decision.evidence]) else ""
    lines = [f"{len(conclusive)} of {count(len(made), 'choice')}{gray} {verb} a conclusive verdict{named}."]
    if not_counted := [result for result in not_learned if is_conclusive(result)]:
        lines.append(f"Not counted, because a trial has not learned: {titles(not_counted)}.")
    better, worse = (sum(one.verdict == verdict for one in compared) for verdict in (Verdict.BETTER, Verdict.WORSE))
    rest = len(compared) - better - worse
    reference = "an incumbent" if any(result.incumbent for result in made) else "the first one of their stage"
    lines.append(
        f"Of {count(len(compared), 'trial')} compared with {reference}, {better} {'is' if better == 1 else 'are'} "
        f"better, {worse} worse, and {rest} inconclusive, which does not mean equal."
    )
    return " ".join(lines)
