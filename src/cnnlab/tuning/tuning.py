"""Run a study stage by stage."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from cnnlab import evidence, records, study
from cnnlab.engine import Engine
from cnnlab.errors import CnnlabError, ConfigError, DataError, RecordError, RunError, lookup
from cnnlab.evidence import Comparison, Decision
from cnnlab.records import Record, Run, RunStore
from cnnlab.study import (
    ALL_MISTAKES,
    MISTAKES,
    STAGES,
    Stage,
    StageTrial,
    Trial,
    find_stage,
    require_whole,
)
from cnnlab.tuning.callbacks import Callback
from cnnlab.tuning.halving import WORTH, Dropped, halve, reached, rungs
from cnnlab.tuning.images import StudyImages
from cnnlab.tuning.results import MistakeResult, StageResult, read_scores

DECISION_COLUMNS = [
    field.name
    for kind in (Decision, Comparison)
    for field in fields(kind)
    if field.name not in ("comparisons", "evidence", "trial")
]
"""Of `decisions.csv`: the choice, then the comparison it is held to (see `Decision.evidence`)."""


class Tuning:
    """A study on one data folder, under one protocol and profile; stages are run when they are asked for.

    Args:
        data: Folder with the images.
        runs: Folder of stored runs.
        profile: "smoke", "quick" or "full".
        protocol: "corrected" or "published".
        scheduler: Address of a Dask scheduler; None for the one named by the environment, or this machine's cores.
        fresh: Repeat stored runs too.
        skip: Names of stages to skip, or "mistakes"; the stage after one starts from what the stage before it
            handed on.
        precision: "float32" or "mixed_bfloat16", of every fit.
        halving: Drop hopeless trials early.
        seeds: Seeds of each trial; 0 for as many as the profile says.
        trials: Of a stage, by its name, those of its trials to run beside its incumbent; without any, all of them.

    Raises:
        ConfigError: No such profile, protocol, stage, precision or number of seeds, or halving under a protocol that
            keeps all fits.
        DataError: The images cannot be used (raised when they are first needed).
    """

    def __init__(
        self,
        data: str | Path,
        runs: str | Path,
        profile: str = "quick",
        protocol: str = "corrected",
        *,
        scheduler: str | None = None,
        fresh: bool = False,
        skip: Iterable[str] = (),
        precision: str = "float32",
        halving: bool = False,
        seeds: int = 0,
        trials: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.profile = replace(study.find_profile(profile), precision=precision, halving=halving)
        require_whole("seeds", seeds, 0)
        if seeds:
            self.profile = replace(self.profile, seeds=seeds)
        self.protocol = study.find_protocol(protocol)
        study.start(self.profile, self.protocol)  # refuses an unknown precision
        if halving and self.protocol.pinned:
            raise ConfigError(
                f"Expected the whole study under the {protocol} protocol, whose repeats tell its noise. Received: "
                "halving. Leave it out (HALVING=)."
            )
        self.engine = Engine(scheduler)
        self.store = RunStore(runs, fresh=fresh)
        names = {name: name for name in (*(stage.name for stage in STAGES), ALL_MISTAKES)}
        self.skip = {lookup(names, name, "stage") for name in skip if name}
        self.trials = {find_stage(name).name: tuple(wanted) for name, wanted in (trials or {}).items() if wanted}
        self.callback = Callback()
        self.made: set[str] = set()
        self.images = StudyImages(data, self.profile, self.protocol)
        self._results: dict[str, StageResult] = {}
        self._mistakes: list[MistakeResult] | None = None

    def __enter__(self) -> "Tuning":
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.close()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages to run.

        Not those left out; the colour stage only where there are colour images; under the published protocol only
        those of the published study.

        Raises:
            DataError: The images cannot be used.
        """
        return tuple(
            stage
            for stage in STAGES
            if stage.name not in self.skip
            and (not stage.on_colour or self.images.folder.colour is not None)
            and (stage.published_choice or not self.protocol.pinned)
        )

    def incumbent(self, stage: Stage) -> Trial:
        """Return what the stages before hand on, which runs them if they have not been run.

        It raises what `result` does.
        """
        if self.protocol.pinned:
            return study.published_trial(stage, self.profile, self.protocol)
        before = [earlier for earlier in STAGES[: STAGES.index(stage)] if earlier.name not in self.skip]
        return self.result(before[-1].name).selected.settings if before else study.start(self.profile, self.protocol)

    def result(self, name: str) -> StageResult:
        """Return what a stage came to. Runs that are stored are not repeated.

        Raises:
            ConfigError: No such stage, no such trial in it, or no scheduler or workers.
            DataError: The images cannot be used.
            RecordError: The run store cannot be used.
            RunError: A run failed.
            WorkerError: A worker of a cluster is of other versions.
        """
        if name not in self._results:
            stage = find_stage(name)
            self._results[name] = self._run(stage, self._plan(stage))
        return self._results[name]

    def _plan(self, stage: Stage) -> tuple[StageTrial, ...]:
        found = study.plan_trials(stage, self.incumbent(stage), self.profile, self.protocol)
        if stage.name not in self.trials:
            return found
        by_name = {trial.name: trial.name for trial in found}
        wanted = {lookup(by_name, name, "trial") for name in self.trials[stage.name]}
        return tuple(trial for trial in found if trial.name in wanted or trial.incumbent)

    def compare_custom_trials(self, name: str, more: Mapping[str, Mapping[str, Any]]) -> StageResult:
        """Return what a stage would come to with trials of one's own. No other stage starts from it.

        Args:
            name: The stage.
            more: Name of each trial to the settings in which it differs from what the stage before handed on: fields
                of `Architecture`, `Training` and `Input`.

        Raises:
            ConfigError: No such stage or setting, a value that it cannot have, a name that is taken, or no scheduler or
                workers.
            DataError: The images cannot be used.
            RecordError: The run store cannot be used.
            RunError: A run failed.
            WorkerError: A worker of a cluster is of other versions.
        """
        stage = find_stage(name)
        before, found = self.incumbent(stage), self._plan(stage)
        if taken := more.keys() & {trial.name for trial in found}:
            raise ConfigError(f"Expected a name that no trial of {name} has. Received: {taken.pop()!r}.")
        own = [
            StageTrial(mine, before.change(**settings), found[0].seeds, False, None) for mine, settings in more.items()
        ]
        return self._run(stage, (*found, *own))

    def results(self, last: str | None = None) -> list[StageResult]:
        """Return what the stages came to, all of them or up to one; raises what `result` does."""
        end = STAGES.index(find_stage(last)) if last else len(STAGES)
        return [self.result(stage.name) for stage in self.stages if STAGES.index(stage) <= end]

    def iter_results(self, lost: Callable[[Stage, CnnlabError], None]) -> Iterator[StageResult]:
        """Yield what each stage came to. One that fails is left out, of what comes after it too.

        Args:
            lost: Called with a stage that failed, and why.

        Raises:
            ConfigError: There is no scheduler, or no workers.
            RecordError: The run store cannot be used.
            WorkerError: A worker of a cluster is of other versions.
        """
        for stage in self.stages:
            try:
                result = self.result(stage.name)
            except (RunError, DataError) as error:
                self.skip.add(stage.name)
                lost(stage, error)
            else:
                yield result

    @property
    def mistake_trials(self) -> dict[str, dict[str, StageTrial]]:
        """The trials of each mistake whose cost can be run: none under the published protocol, which makes them all."""
        if self.protocol.pinned or ALL_MISTAKES in self.skip:
            return {}
        found = {mistake.name: study.mistake_trials(mistake, self.profile) for mistake in MISTAKES if mistake.trials}
        return {
            name: trials
            for name, trials in found.items()
            if self.images.folder.colour is not None
            or not any(trial.settings.input.colour for trial in trials.values())
        }

    def mistake_results(self) -> list[MistakeResult]:
        """Return what each mistake cost. Runs that are stored are not repeated.

        Raises:
            ConfigError: There is no scheduler, or no workers.
            DataError: The images cannot be used.
            RecordError: The run store cannot be used.
            RunError: A run failed.
            WorkerError: A worker of a cluster is of other versions.
        """
        found = self.mistake_trials
        if self._mistakes is None and found:
            runs = self._records(ALL_MISTAKES, [trial for trials in found.values() for trial in trials.values()])
            results = []
            for mistake in MISTAKES:
                if mistake.name in found:
                    groups = {
                        name: [runs[trial.name, seed] for seed in trial.seeds]
                        for name, trial in found[mistake.name].items()
                    }
                    costs = evidence.compare({name: read_scores(self.store, of, "test") for name, of in groups.items()})
                    results.append(MistakeResult(mistake, groups, costs))
            self._mistakes = results
        return self._mistakes or []

    def _run(self, stage: Stage, trials: tuple[StageTrial, ...]) -> StageResult:
        dropped = self._drop(stage, trials) if self.profile.halving else ()
        names = {one.name for one in dropped}
        trials = tuple(trial for trial in trials if trial.name not in names)
        runs = self._records(stage.name, trials)
        # All that a decision is given: no test score, no test prediction.
        frame = pd.DataFrame(
            [(name, record.params, record.scores["val_f1"]) for (name, _), record in runs.items()],
            columns=["trial", "params", "val_f1"],
        )
        try:
            draws = read_scores(self.store, list(runs.values()), "val").draws
        except RecordError:  # damaged since
            runs = self._records(stage.name, trials)
            draws = read_scores(self.store, list(runs.values()), "val").draws
        incumbent = next((trial.name for trial in trials if trial.incumbent), None)
        decision = evidence.decide(
            stage.name, frame, draws, incumbent, stage.published_choice, pinned=self.protocol.pinned
        )
        result = StageResult(stage, trials, runs, decision, study.skipped_trials(stage, self.profile), dropped)
        self.callback.on_stage_end(result)
        return result

    def _drop(self, stage: Stage, trials: tuple[StageTrial, ...]) -> tuple[Dropped, ...]:
        """Return the trials of a stage that are hopeless; the runs that tell are made."""
        incumbent = next((trial for trial in trials if trial.incumbent), None)
        if incumbent is None or len(trials) < WORTH:
            return ()
        by_name = {trial.name: replace(trial, seeds=trial.seeds[:1]) for trial in trials}

        def ask(names: Sequence[str], epochs: int | None) -> dict[str, float]:
            asked = []
            for trial in map(by_name.__getitem__, names):
                short = replace(trial, settings=trial.settings.change(epochs=epochs or trial.settings.training.epochs))
                # A whole fit has the same curve up to there, but the same answer each time is what matters.
                stored = self._stored(trial) and not self._stored(short)
                asked.append(trial if stored else short)
            runs = self._records(f"{stage.name}, {'whole fits' if epochs is None else f'{epochs} epochs'}", asked)
            return {name: reached(record.history, epochs) for (name, _), record in runs.items()}

        usual = self._records(f"{stage.name}, incumbent", [incumbent])
        return halve(list(by_name), incumbent.name, rungs([record.epochs for record in usual.values()]), ask)

    def _stored(self, trial: StageTrial) -> bool:
        work = self.images.work(trial.settings, trial.seeds)
        return all(self.store.get(run.digest) is not None for run, _, _ in work)

    def _records(self, name: str, trials: Sequence[StageTrial]) -> dict[tuple[str, int], Record]:
        """Return the records of some trials by (name, seed)."""
        work = {
            (trial.name, item[0].seed): item
            for trial in trials
            for item in self.images.work(trial.settings, trial.seeds)
        }
        names: dict[str, str] = {}
        for (trial, _), (run, *_) in work.items():
            names.setdefault(run.digest, trial)
        self.callback.on_stage_start(name, len(names), sum(self.store.get(digest) is None for digest in names))

        def note(record: Record, cached: bool) -> None:
            if not cached:
                self.made.add(record.digest)
            self.callback.on_run_end(names[record.digest], record, cached)

        def epoch(run: Run, number: int) -> None:
            self.callback.on_epoch(names[run.digest], run.seed, number, run.trial.training.epochs)

        found = self.engine.run_all(list(work.values()), self.store, note, epoch)
        return {key: found[item[0].digest] for key, item in work.items()}

    def planned_runs(self) -> dict[str, int]:
        """Return about how many runs each stage will have, before its incumbent is known; and the mistakes."""
        start = study.start(self.profile, self.protocol)
        found = {stage.name: study.plan_trials(stage, start, self.profile, self.protocol) for stage in self.stages}
        found[ALL_MISTAKES] = tuple(trial for trials in self.mistake_trials.values() for trial in trials.values())
        return {
            name: len({(trial.settings, seed) for trial in trials for seed in trial.seeds})
            for name, trials in found.items()
            if trials
        }

    def results_frame(self, results: Sequence[StageResult]) -> pd.DataFrame:
        """Return the runs of some stages as a table, one row a run; one that stages share stands in each."""
        rows: list[dict[str, Any]] = []
        for result in results:
            for (name, _), record in result.runs.items():
                published = result.trial(name).published
                rows.append(
                    {
                        "stage": result.stage.name,
                        "trial": name,
                        "protocol": self.protocol.name,
                        **records.row(record),
                        "published_f1": published.test_f1 if published else None,
                        "cached": record.digest not in self.made,
                    }
                )
        return pd.DataFrame(rows)

    @staticmethod
    def decisions_frame(results: Sequence[StageResult]) -> pd.DataFrame:
        """Return the decisions of some stages as a table, one row a stage, with the comparison they rest on."""
        rows = [
            {**(vars(result.decision.evidence) if result.decision.evidence else {}), **vars(result.decision)}
            for result in results
        ]
        return pd.DataFrame(rows, columns=DECISION_COLUMNS)

    @staticmethod
    def comparisons_frame(results: Sequence[StageResult]) -> pd.DataFrame:
        """Return the selected trials' comparisons with all others as a table, one row a comparison."""
        return pd.DataFrame(
            [
                {"stage": result.stage.name, **asdict(comparison)}
                for result in results
                for comparison in result.decision.comparisons
            ],
            columns=["stage", *(field.name for field in fields(Comparison))],
        )

    @staticmethod
    def mistakes_frame(results: Sequence[MistakeResult]) -> pd.DataFrame:
        """Return the runs of the mistakes as a table, one row a run."""
        return pd.DataFrame(
            [
                {"mistake": result.mistake.name, "trial": name, **records.row(record)}
                for result in results
                for name, found in result.records_by_trial.items()
                for record in found
            ],
            columns=None if results else ["mistake", "trial"],
        )
