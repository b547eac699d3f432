"""The runs of a study before any of them is made, and what the workers will take for them."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnlab.engine import RunQueue
from cnnlab.errors import ConfigError
from cnnlab.models.cost import RETRACED_SHARE, Speed, TrialSeconds
from cnnlab.records import Run, RunStore
from cnnlab.study import ALL_MISTAKES, LEARNING_CURVE, Budget, OwnModel, StageTrial, Trial
from cnnlab.tuning.images import image_counts
from cnnlab.tuning.runner import Runner

if TYPE_CHECKING:
    from cnnlab.tuning.tuning import Tuning

RUN_SHARE = 0.1
"""What a run takes beside tracing, epochs and scores, as a share of tracing: building its model, sending its result."""
RECORD_BYTES, EPOCH_BYTES = 10_000, 110
"""Of a stored run: its text with the headers of its arrays, and what each epoch adds."""


@dataclass(frozen=True)
class PlannedRun:
    """A run as it is expected.

    Attributes:
        trace_key: As of `Run`.
        epochs: The smallest and the largest number of epochs.
        is_stored: Whether it is stored, so that it takes no time.
        images: Images of an epoch, for training and for validation.
        disk_bytes: What it takes when it is stored.
        epoch_seconds: What a worker takes for an epoch.
        rest_seconds: What it takes for the rest, without tracing: building the model, and the scores.
        trace_seconds: What it takes in addition if its last run had another trace key.
    """

    trace_key: Hashable
    epochs: tuple[int, int]
    is_stored: bool
    images: int
    disk_bytes: int
    epoch_seconds: float
    rest_seconds: float
    trace_seconds: float

    def seconds(self, epochs: float) -> float:
        """Return what a worker takes for this run with some number of epochs, without tracing."""
        return self.rest_seconds + epochs * self.epoch_seconds


class Planner:
    """The runs of a study within a budget, before any of them is made.

    Which trial a stage selects is known only if its runs are stored. Else two cases are planned: every stage selects
    its cheapest trial, or its costliest one.

    Args:
        tuning: The study.
        speed: Estimates the time of a trial.
        budget: The budget; None for the study's own. Of another one, no run counts as stored.
    """

    def __init__(self, tuning: "Tuning", speed: Speed, budget: Budget | None = None) -> None:
        self._tuning, self._speed, self._budget = tuning, speed, budget or tuning.budget
        self._scope = tuning.scope.within(self._budget)
        self._knows_runs = budget is None or budget == tuning.budget
        self._made = RunStore(tuning.store.path)  # also what FRESH=1 repeats: how many epochs a run takes is known

    def seconds(self, trial: Trial) -> TrialSeconds:
        """Return the estimate for a trial."""
        dataset = self._tuning.images.dataset(trial.input.colour)
        return self._speed.seconds(trial, dataset.image_shape, len(dataset.class_names))

    def chain(
        self, *, costliest: bool, selected: Mapping[str, Trial] | None = None
    ) -> Iterator[tuple[str, tuple[StageTrial, ...]]]:
        """Yield the name and the trials of each stage, then those of the learning curve and of the mistakes.

        Args:
            costliest: Whether each stage selects its costliest trial, else its cheapest.
            selected: The trials that some stages have selected, by stage.
        """
        scope, selected, path = self._scope, selected or {}, list[StageTrial]()
        incumbent, final = scope.start, None
        for stage in scope.stages:
            try:
                trials = scope.plan(stage, incumbent)
            except ConfigError:  # they do not suit this incumbent
                trials = ()
            if trials:
                yield stage.name, (*trials, *scope.search_trials(stage, incumbent, path))
                path += trials
                # Of equal trials, the incumbent: that an optimizer is as fast as another is no reason to change it.
                chosen = (max if costliest else min)(
                    trials, key=lambda trial: (self._cost(trial.settings, costliest), trial.incumbent == costliest)
                )
                incumbent = selected.get(stage.name, chosen.settings)
                if incumbent.input.colour or not (final and final.input.colour):  # as `final_stage` does
                    final = incumbent
        if final and (parts := scope.curve_trials(final)):
            yield LEARNING_CURVE, parts
        if by_mistake := scope.mistake_trials():
            yield ALL_MISTAKES, tuple(trial for trials in by_mistake.values() for trial in trials.values())

    def _cost(self, trial: Trial, costliest: bool) -> float:
        return epoch_range(trial)[costliest] * self.seconds(trial).step / trial.training.batch_size

    def selected(self) -> dict[str, Trial]:
        """Return the trials that the first stages have selected, as far as all runs are stored, by stage."""
        tuning, selected = self._tuning, dict[str, Trial]()
        if not self._knows_runs or tuning.budget.halving:
            return {}
        runner, incumbent = Runner(tuning.images, tuning.engine, self._made), tuning.scope.start
        for stage in tuning.stages:
            if stage.search:  # what it selects is not known from its first trial
                break
            try:
                trials = tuning.scope.plan(stage, incumbent)
            except ConfigError:
                continue
            work = [item for trial in trials for item in tuning.images.work(trial.settings, trial.seeds)]
            if not work or any(self._made.get(run.digest) is None for run, _, _ in work):
                break
            choice, pinned = tuning.scope.published_choice(stage), tuning.protocol.pinned
            result = runner.run_stage(stage, trials, tuning.budget, choice, pinned=pinned)
            selected[stage.name] = incumbent = result.selected.settings
        return selected

    def runs(self, trials: Iterable[StageTrial]) -> dict[Run, PlannedRun]:
        """Return what is expected of the runs of some trials."""
        runs: dict[Run, PlannedRun] = {}
        for trial in trials:
            of_seeds = self._runs(trial)
            records = [self._made.get(run.digest) if self._knows_runs else None for run in of_seeds]
            taken = [record.epochs for record in records if record]
            usual = (min(taken), max(taken)) if taken else epoch_range(trial.settings)
            for run, record in zip(of_seeds, records, strict=True):
                epochs = (record.epochs, record.epochs) if record else usual
                is_stored = record is not None and self._tuning.store.get(run.digest) is not None
                runs[run] = self._planned(run, trial.settings, epochs, is_stored, trial.share)
        return runs

    def new_run(self, trial: Trial, n_train: int) -> PlannedRun:
        """Return what is expected of a run of a trial with so many training images, whatever is stored."""
        of_budget, _, _ = image_counts(self._tuning.images.dataset(trial.input.colour), self._budget)
        return self._planned(Run(trial, 1, "", ""), trial, epoch_range(trial), False, n_train / of_budget)

    def _runs(self, trial: StageTrial) -> list[Run]:
        if self._knows_runs:
            return [run for run, _, _ in self._tuning.images.work(trial.settings, trial.seeds, trial.share)]
        n_train, _, _ = image_counts(self._tuning.images.dataset(trial.settings.input.colour), self._budget)
        settings = trial.settings.for_images(int(n_train * trial.share))
        return [Run(settings, seed, "", f"{trial.share:g}") for seed in trial.seeds]

    def _planned(
        self, run: Run, trial: Trial, epochs: tuple[int, int], is_stored: bool, share: float = 1.0
    ) -> PlannedRun:
        dataset, seconds = self._tuning.images.dataset(trial.input.colour), self.seconds(trial)
        n_train, n_val, n_test = image_counts(dataset, self._budget)
        n_train = round(n_train * share)
        scored, batch_size = n_val + n_test, trial.training.batch_size
        trace = seconds.trace * (1 + RETRACED_SHARE * (n_train % batch_size > 0))
        is_own = isinstance(trial.architecture, OwnModel)  # it is traced for every run: it may have a hidden state
        arrays = 4 * seconds.params + scored * (4 * len(dataset.class_names) + 8)
        return PlannedRun(
            run.trace_key, epochs, is_stored, n_train + n_val,
            disk_bytes=RECORD_BYTES + EPOCH_BYTES * epochs[1] + arrays,
            epoch_seconds=n_train / batch_size * seconds.step + n_val * seconds.predict,
            rest_seconds=scored * seconds.predict + (trace if is_own else RUN_SHARE * trace),
            trace_seconds=0.0 if is_own else trace,
        )  # fmt: skip


def epoch_range(trial: Trial) -> tuple[int, int]:
    """Return the smallest and the largest number of epochs of a run; early stopping decides between them."""
    training = trial.training
    return min(training.epochs, (training.patience or training.epochs) + 1), training.epochs


def stage_seconds(runs: Sequence[PlannedRun], case: int, keys: list[Hashable]) -> float:
    """Return the wall time of a stage's runs: each worker takes the next run as `RunQueue` gives it.

    Args:
        runs: The runs to make.
        case: 0 for the fewest epochs, 1 for the most.
        keys: The trace key of each worker's last run, or None; updated.
    """
    queue, ends = RunQueue(), [0.0] * len(keys)
    for number, run in enumerate(runs):
        queue.add(run.trace_key, str(number))
    for _ in runs:
        worker = ends.index(min(ends))
        others = {key for other, key in enumerate(keys) if other != worker}
        run = runs[int(queue.take(keys[worker], others))]
        ends[worker] += run.seconds(run.epochs[case]) + (run.trace_seconds if keys[worker] != run.trace_key else 0)
        keys[worker] = run.trace_key
    return max(ends)
