"""Makes the runs of a study's stages and mistakes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cnnlab import evidence, study
from cnnlab.engine import Engine, Work
from cnnlab.errors import RecordError
from cnnlab.evidence import Scores
from cnnlab.records import Record, Run, RunStore
from cnnlab.study import ALL_MISTAKES, Budget, Mistake, Stage, StageTrial, Trial
from cnnlab.tuning.halving import MIN_TRIALS, Dropped, rungs, successive_halving, val_accuracy_at
from cnnlab.tuning.images import StudyImages
from cnnlab.tuning.progress import Callback
from cnnlab.tuning.results import MistakeResult, StageResult, find_same, incumbent_of, read_scores


class Runner:
    """Makes the runs of stages and mistakes, or finds them stored.

    Attributes:
        images: The images.
        engine: Where runs are made.
        store: Where they are stored.
        made: Digests of the runs that were made, not found.
        callback: Its methods are called as the runs proceed.
    """

    def __init__(self, images: StudyImages, engine: Engine, store: RunStore) -> None:
        self.images, self.engine, self.store = images, engine, store
        self.made: set[str] = set()
        self.callback = Callback()

    def run(self, name: str, trials: Sequence[StageTrial]) -> dict[tuple[str, int], Record]:
        """Return the records of some trials by (name, seed). Equal runs are made once, stored runs not at all.

        It raises what `Tuning.result` does, except for unknown names.

        Args:
            name: The stage, for the callback.
            trials: The trials.
        """
        work = {(trial.name, item[0].seed): item for trial in trials for item in self._work(trial)}
        names: dict[str, str] = {}
        for (trial_name, _), (run, *_) in work.items():
            names.setdefault(run.digest, trial_name)
        self.callback.on_stage_start(name, len(names), sum(self.store.get(digest) is None for digest in names))

        def on_run_end(record: Record, cached: bool) -> None:
            if not cached:
                self.made.add(record.digest)
            self.callback.on_run_end(names[record.digest], record, cached)

        def on_epoch(run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
            self.callback.on_epoch(names[run.digest], run.seed, epoch, run.trial.training.epochs, metrics)

        records = self.engine.run_all(list(work.values()), self.store, on_run_end, on_epoch)
        return {key: records[item[0].digest] for key, item in work.items()}

    def _work(self, trial: StageTrial) -> list[Work]:
        return self.images.work(trial.settings, trial.seeds, trial.share)

    def expect(self, trials: Sequence[StageTrial]) -> None:
        """Let workers that would wait make runs of some trials, which will be asked for later."""
        self.engine.expect([item for trial in trials for item in self._work(trial)], self.store)

    def run_stage(
        self,
        stage: Stage,
        trials: tuple[StageTrial, ...],
        budget: Budget,
        published_choice: str = "",
        *,
        pinned: bool = False,
        family: int = 0,
    ) -> StageResult:
        """Run the trials of a stage and select one of them. It raises what `run` does.

        Args:
            stage: The stage.
            trials: Its trials.
            budget: How much is run.
            published_choice: Name of the trial that the published study chose; "" if it does not concern this stage.
            pinned: Select that trial, whatever the scores are.
            family: How many comparisons the intervals must cover together, if these trials were selected from more by
                scores on the same images; 0 for those of these trials.
        """
        dropped = self._dropped(stage.name, trials) if budget.halving else ()
        names = {trial.name for trial in dropped}
        if dropped:  # by scores that the comparisons use too
            family = len({trial.settings for trial in trials}) - 1
        trials = tuple(trial for trial in trials if trial.name not in names)
        runs = self.run(stage.name, trials)
        same_as = find_same(trials, runs)
        distinct = [trial for trial in trials if trial.name not in same_as]
        try:
            scores = self._val_scores(distinct, runs)
        except RecordError:  # damaged since they were read
            runs = self.run(stage.name, trials)
            scores = self._val_scores(distinct, runs)
        # All that a decision is based on: no test score, no test prediction.
        params = {trial.name: runs[trial.name, trial.seeds[0]].params for trial in distinct}
        incumbent = incumbent_of(trials)
        incumbent_name = incumbent.name if incumbent else None
        decision = evidence.decide(
            stage.name,
            scores,
            params,
            incumbent_name,
            published_choice,
            pinned=pinned,
            only_if_better=stage.search is not None,
            family=family,
        )
        if same_as.get(published_choice) == decision.selected:
            decision = replace(decision, agrees=True)
        result = StageResult(stage, trials, runs, decision, study.skipped_trials(stage, budget), dropped)
        self.callback.on_stage_end(result)
        return result

    def _val_scores(self, trials: Sequence[StageTrial], runs: Mapping[tuple[str, int], Record]) -> dict[str, Scores]:
        records = {trial.name: [runs[trial.name, seed] for seed in trial.seeds] for trial in trials}
        return {name: self._scores(group, "val") for name, group in records.items()}

    def _scores(self, records: Sequence[Record], part: str) -> Scores:
        return read_scores(self.store, records, part, given_val=self.images.has_given_val)

    def run_mistakes(
        self, mistakes: Sequence[Mistake], by_mistake: Mapping[str, Mapping[str, StageTrial]]
    ) -> list[MistakeResult]:
        """Run the trials of each mistake, with and without it, and compare them. It raises what `run` does."""
        runs = self.run(ALL_MISTAKES, [trial for trials in by_mistake.values() for trial in trials.values()])
        results = []
        for mistake in mistakes:
            records = {
                name: [runs[trial.name, seed] for seed in trial.seeds]
                for name, trial in by_mistake[mistake.name].items()
            }
            scores = {name: self._scores(group, "test") for name, group in records.items()}
            results.append(MistakeResult(mistake, records, evidence.compare(scores)))
        return results

    def _dropped(self, name: str, trials: Sequence[StageTrial]) -> tuple[Dropped, ...]:
        """Return the trials that successive halving drops, judged by runs of one seed; never the incumbent."""
        incumbent = incumbent_of(trials)
        # Of trials with the same runs, the incumbent or the first.
        first: dict[Trial, StageTrial] = {}
        for trial in sorted(trials, key=lambda trial: not trial.incumbent):
            first.setdefault(trial.settings, trial)
        by_name = {trial.name: replace(trial, seeds=trial.seeds[:1]) for trial in trials if trial in first.values()}
        if incumbent is None or len(by_name) < MIN_TRIALS:
            return ()

        def evaluate(names: Sequence[str], epochs: int | None) -> dict[str, float]:
            evaluated = []
            for trial in map(by_name.__getitem__, names):
                settings = trial.settings.change(epochs=epochs or trial.settings.training.epochs)
                short = replace(trial, settings=settings)
                # A stored full run has the same curve up to there. Once the short one is stored, it is used every time.
                evaluated.append(trial if self.is_stored(trial) and not self.is_stored(short) else short)
            records = self.run(f"{name}, {'full runs' if epochs is None else f'{epochs} epochs'}", evaluated)
            return {trial_name: val_accuracy_at(record.history, epochs) for (trial_name, _), record in records.items()}

        usual = self.run(f"{name}, incumbent", [incumbent])
        steps = rungs([record.epochs for record in usual.values()])
        trainings = [trial.settings.training for trial in by_name.values()]
        lengths = {(training.epochs, training.patience) for training in trainings}
        if len(lengths) > 1 or any(training.schedule != "constant" for training in trainings):
            steps = steps[-1:]  # short fits are no part of the whole ones
        dropped = successive_halving(list(by_name), incumbent.name, steps, evaluate)
        by_settings = {by_name[trial.name].settings: trial for trial in dropped}
        return tuple(
            replace(by_settings[trial.settings], name=trial.name) for trial in trials if trial.settings in by_settings
        )

    def is_stored(self, trial: StageTrial) -> bool:
        """Return whether all runs of a trial are stored."""
        work = self.images.work(trial.settings, trial.seeds)
        return all(self.store.get(run.digest) is not None for run, _, _ in work)
