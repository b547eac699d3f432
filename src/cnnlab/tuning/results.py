"""The results of stages and mistakes, and the predictions behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnnlab import evidence
from cnnlab.errors import CnnlabError
from cnnlab.evidence import Comparison, Decision, Scores
from cnnlab.records import Record, RunStore
from cnnlab.study import Mistake, Stage, StageTrial
from cnnlab.tuning.halving import Dropped


@dataclass(frozen=True)
class StageResult:
    """The result of a stage.

    Attributes:
        stage: The stage.
        trials: Its trials, in the order of the study.
        runs: (name of a trial, seed) to record.
        decision: The selected trial and the evidence. Trials with the same runs count once.
        skipped: Names of the trials that the budget does not run.
        dropped: Trials that successive halving dropped; they are not among `trials`.
    """

    stage: Stage
    trials: tuple[StageTrial, ...]
    runs: dict[tuple[str, int], Record]
    decision: Decision
    skipped: tuple[str, ...]
    dropped: tuple[Dropped, ...] = ()

    @property
    def selected(self) -> StageTrial:
        """The selected trial."""
        return self.trial(self.decision.selected)

    @property
    def incumbent(self) -> StageTrial | None:
        """The trial that the previous stage selected; None where it is not a trial of this stage."""
        return incumbent_of(self.trials)

    def trial(self, name: str) -> StageTrial:
        """Return a trial by its name."""
        return next(trial for trial in self.trials if trial.name == name)

    def records(self, name: str) -> list[Record]:
        """Return a trial's records, in the order of its seeds."""
        return [self.runs[name, seed] for seed in self.trial(name).seeds]

    @property
    def selected_records(self) -> list[Record]:
        """The records of the selected trial, in the order of its seeds."""
        return self.records(self.decision.selected)

    @property
    def best_run(self) -> Record:
        """The run of the selected trial with the highest `val_f1`."""
        return max(self.selected_records, key=lambda record: record.scores["val_f1"])

    @property
    def records_by_trial(self) -> dict[str, list[Record]]:
        """Each trial's records, by its name."""
        return {trial.name: self.records(trial.name) for trial in self.trials}

    @property
    def same_as(self) -> dict[str, str]:
        """The trials whose runs are those of another trial, by their names, as `find_same` returns them."""
        return find_same(self.trials, self.runs)

    @property
    def distinct_trials(self) -> tuple[StageTrial, ...]:
        """The trials between which the stage selects: without those of `same_as`."""
        same_as = self.same_as
        return tuple(trial for trial in self.trials if trial.name not in same_as)


@dataclass(frozen=True)
class MistakeResult:
    """The effect of a mistake of the published study.

    Attributes:
        mistake: The mistake.
        records_by_trial: Each trial's records, by its name; the one without the mistake first.
        effects: Each trial with the mistake against the one without it, on `test_f1`, which selects nothing.
    """

    mistake: Mistake
    records_by_trial: dict[str, list[Record]]
    effects: tuple[Comparison, ...]


@dataclass(frozen=True)
class CurvePoint:
    """The final model, fitted to some of its training images.

    Attributes:
        name: How many these are, in words.
        records: Its runs, in the order of their seeds.
        val_f1: Mean `val_f1`.
        val_interval: Its 95 % interval; NaN with one seed.
        test_f1: Mean `test_f1`.
        test_interval: Its 95 % interval; NaN with one seed.
    """

    name: str
    records: list[Record]
    val_f1: float
    val_interval: tuple[float, float]
    test_f1: float
    test_interval: tuple[float, float]

    @property
    def images(self) -> int:
        """Training images of each run."""
        return int(self.records[0].split["train"])


@dataclass(frozen=True)
class LearningCurve:
    """What more training images bring the final model.

    Attributes:
        points: The model with a quarter, a half and all of its training images.
        gain: All of them against a half, on `val_f1`.
    """

    points: tuple[CurvePoint, ...]
    gain: Comparison

    @property
    def records_by_trial(self) -> dict[str, list[Record]]:
        """The records of each point, by its name."""
        return {point.name: point.records for point in self.points}


Result = StageResult | MistakeResult | LearningCurve
"""What a chapter of a report may be made from."""


@dataclass(frozen=True)
class StudyResults:
    """The results of a whole study.

    Attributes:
        stages: Those of its stages.
        mistakes: Those of the mistakes.
        failures: The error of each stage, of the "learning-curve" or of the "mistakes" that failed.
        curve: The learning curve of the final model; None without one.
    """

    stages: list[StageResult]
    mistakes: list[MistakeResult]
    failures: dict[str, CnnlabError]
    curve: LearningCurve | None


def have_same_runs(first: Sequence[Record], second: Sequence[Record]) -> bool:
    """Return whether two trials with equal layers and images have equal epochs and scores with each seed.

    Different settings give equal runs where the difference has no effect, as a higher patience in a short fit.
    """
    return len(first) == len(second) and all(
        one.seed == other.seed and (one.digest == other.digest or _outcome(one) == _outcome(other))
        for one, other in zip(first, second, strict=True)
    )


def _outcome(record: Record) -> tuple[object, ...]:
    layers, images = record.trial["architecture"], record.trial["input"]
    return layers, images, record.data["digest"], record.split["digest"], record.history, record.scores


def find_same(trials: Sequence[StageTrial], runs: Mapping[tuple[str, int], Record]) -> dict[str, str]:
    """Return the trials whose runs are those of another trial: each name, with the name of the other.

    Of several such trials, the other is the incumbent, else the first.

    Args:
        trials: The trials of a stage.
        runs: (name of a trial, seed) to record.
    """
    distinct: dict[str, list[Record]] = {}
    same_as: dict[str, str] = {}
    for trial in sorted(trials, key=lambda trial: not trial.incumbent):
        records = [runs[trial.name, seed] for seed in trial.seeds]
        same = (name for name, others in distinct.items() if have_same_runs(records, others))
        if other := next(same, ""):
            same_as[trial.name] = other
        else:
            distinct[trial.name] = records
    return same_as


def incumbent_of(trials: Sequence[StageTrial]) -> StageTrial | None:
    """Return the incumbent if it is one of the trials, else None."""
    return next((trial for trial in trials if trial.incumbent), None)


def final_stage(results: Sequence[StageResult]) -> StageResult | None:
    """Return the stage whose selected trial is the final model, the one to use; None if there is none.

    It is the last one on colour images, or the last one where none is: a model for the images that people have. The
    published study's reading of colour images does not count, because no one has images that are scrambled like that.
    """
    inputs = [(result, result.selected.settings.effective().input) for result in results]
    usual = [(result, images.colour) for result, images in inputs if images.layout == "channels_last"]
    on_colour = [result for result, colour in usual if colour]
    return next(reversed(on_colour or [result for result, _ in usual]), None)


def last_gray_stage(results: Sequence[StageResult]) -> StageResult | None:
    """Return the last stage that is not about colour; None if there is none.

    In a study that starts on grayscale images, its selected trial is the final model for these.
    """
    return next((result for result in reversed(results) if not result.stage.on_colour), None)


def read_predictions(
    store: RunStore, records: Sequence[Record], part: str = "test"
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Read the predictions of some runs on one split.

    Args:
        store: Where the runs are stored.
        records: The runs, all on the same images.
        part: "test", or "val" of runs with the same validation images.

    Returns:
        The true classes (n_images,), the predicted classes (n_runs, n_images), and the number of classes.

    Raises:
        RecordError: A run's predictions are missing or damaged.
    """
    arrays = [store.arrays(record.digest, f"{part}_labels", f"{part}_probs") for record in records]
    predicted = np.stack([run[f"{part}_probs"].argmax(axis=1) for run in arrays])
    return arrays[0][f"{part}_labels"], predicted, len(records[0].data["class_names"])


def read_scores(store: RunStore, records: Sequence[Record], part: str, *, given_val: bool = False) -> Scores:
    """Read the macro-F1 of a trial's runs on `part` ("val" or "test"), run by run and on resampled images.

    Args:
        store: Where the runs are stored.
        records: The runs.
        part: "val" or "test".
        given_val: Whether the files name the validation images: then all seeds have the same ones, even where they have
            training images of their own, which are draws of all others and need no correction for an overlap.

    Raises:
        RecordError: A run's predictions are missing or damaged.
    """
    runs, split = np.array([record.scores[f"{part}_f1"] for record in records]), records[0].split
    overlap, bootstrap = 0.0, None
    is_resampled = not given_val and any(record.split["digest"] != split["digest"] for record in records)
    if is_resampled:
        overlap = split["val"] / (split["pool"] - split["val"])
    if part == "test" or not is_resampled:
        labels, predicted, _ = read_predictions(store, records, part)
        bootstrap = evidence.resampled_f1(labels, predicted, evidence.image_weights(len(labels)))
    return Scores(runs, bootstrap, overlap)
