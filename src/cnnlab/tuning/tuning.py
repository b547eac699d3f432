"""A study on one data folder: stage after stage, then the mistakes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from cnnlab import study, surroundings
from cnnlab.engine import Engine
from cnnlab.errors import CnnlabError, ConfigError, DataError, RunError, lookup, require, require_name, split_names
from cnnlab.records import RunStore
from cnnlab.study import ALL_MISTAKES, MISTAKES, STAGES, Stage, StageTrial, Trial, find_stage, require_whole
from cnnlab.tuning.claims import skipped_claims
from cnnlab.tuning.progress import Bar, Callback
from cnnlab.tuning.results import MistakeResult, StageResult, StudyResults
from cnnlab.tuning.runner import Runner, StudyImages, warning_lines

_TAKEN = (ALL_MISTAKES, "data", "comparison", "noise", study.FINAL)  # names with another meaning in a report


class Tuning:
    """A study on one data folder, under one protocol and profile; stages run when they are asked for.

    Args:
        data: Folder of the images. A relative path starts in the project's folder, as does that of the runs.
        runs: Folder of stored runs.
        profile: "smoke", "quick" or "full".
        protocol: "corrected" or "published".
        scheduler: Address of a Dask scheduler; None for the one named by the environment, or this machine's cores.
        fresh: Repeat stored runs too.
        skip: Names of stages to skip, or "mistakes", as a list or with commas between them. The stage after a skipped
            one starts from the trial that was selected before it.
        precision: "float32" or "mixed_bfloat16", of every run.
        halving: Drop hopeless trials early.
        seeds: Seeds of each trial; 0 for as many as the profile says.
        accept: Kinds of warnings about the images that the user accepts: they are not shown.
        trials: Names of the trials to run beside the incumbent, by stage, as a list or with commas between them. A
            stage without names runs all its trials.

    Raises:
        ConfigError: An argument has a wrong type or names something that does not exist, the table of stages has an
            error, or halving is asked for under a protocol that needs all runs.
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
        skip: str | Iterable[str] = (),
        precision: str = "float32",
        halving: bool = False,
        seeds: int = 0,
        accept: str | Iterable[str] = (),
        trials: Mapping[str, str | Sequence[str]] | None = None,
    ) -> None:
        for name, path in (("data", data), ("runs", runs)):
            require(isinstance(path, str | Path) and len(str(path)) > 0, name, "a folder", path)
        for name, flag in (("fresh", fresh), ("halving", halving)):
            require(isinstance(flag, bool), name, "True or False", flag)
        require(isinstance(scheduler, str | None), "scheduler", "an address, or None", scheduler)
        require(isinstance(trials, Mapping | None), "trials", "names by stage, as {'dense': '32, 64'}", trials)
        require_whole("seeds", seeds, 0)
        study.check_stages(STAGES, taken=_TAKEN)
        usual = study.find_profile(profile)
        self.profile = replace(usual, precision=precision, halving=halving, seeds=seeds or usual.seeds)
        self.protocol = study.find_protocol(protocol)
        self._start = study.start(self.profile, self.protocol)
        if halving and self.protocol.pinned:
            raise ConfigError(
                f"Expected all runs under the {protocol} protocol, whose repeats measure its noise. Received: halving. "
                "Leave it out (HALVING=)."
            )
        names = {name: name for name in (*(stage.name for stage in STAGES), ALL_MISTAKES)}
        self.skip = {lookup(names, name, "stage") for name in split_names("skip", skip)}
        chosen = {stage: split_names("trials", of_stage) for stage, of_stage in (trials or {}).items()}
        self.trials = {find_stage(stage).name: of_stage for stage, of_stage in chosen.items() if of_stage}
        self.engine = Engine(scheduler)
        self.store = RunStore(surroundings.project_path(runs), fresh=fresh)
        self.images = StudyImages(surroundings.project_path(data), self.profile, self.protocol, accept)
        self._runner = Runner(self.images, self.engine, self.store)
        self._results: dict[str, StageResult] = {}
        self._mistake_results: list[MistakeResult] | None = None

    def __enter__(self) -> "Tuning":
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.close()

    @property
    def callback(self) -> Callback:
        """Its methods are called during the study."""
        return self._runner.callback

    @callback.setter
    def callback(self, callback: Callback) -> None:
        require(isinstance(callback, Callback), "callback", "a Callback, as progress.Bar()", callback)
        self._runner.callback = callback

    @property
    def made(self) -> set[str]:
        """Digests of the runs that this object has made, not found stored."""
        return self._runner.made

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages to run. Without colour images, no colour stage; under the published protocol, only its stages.

        Raises:
            DataError: The images cannot be used.
        """
        return tuple(
            stage
            for stage in STAGES
            if stage.name not in self.skip
            and (not stage.on_colour or self.images.folder.colour is not None)
            and (not self.protocol.pinned or stage.name in study.published_stages())
        )

    def incumbent(self, stage: Stage) -> Trial:
        """Return the trial that the previous stage selected; runs the stages before if necessary.

        It raises what `result` does.
        """
        if self.protocol.pinned:
            return study.published_trial(stage.name, self.profile, self.protocol)
        before = [earlier for earlier in STAGES[: STAGES.index(stage)] if earlier.name not in self.skip]
        return self.result(before[-1].name).selected.settings if before else self._start

    def result(self, name: str) -> StageResult:
        """Return the result of a stage. Stored runs are not repeated.

        Raises:
            ConfigError: No such stage, no such trial in it, or no scheduler or workers.
            DataError: The images cannot be used.
            RecordError: The run store cannot be used.
            RunError: A run failed.
            WorkerError: A worker of a cluster has other versions.
        """
        stage = find_stage(name)
        if name not in self._results:
            self._results[name] = self._runner.run_stage(
                stage, self._planned_trials(stage), self.profile, self.protocol
            )
        return self._results[name]

    def results(self, last: str | None = None) -> list[StageResult]:
        """Return the results of all stages, or of those up to one. It raises what `result` does."""
        end = len(STAGES) if last is None else STAGES.index(find_stage(last))
        return [self.result(stage.name) for stage in self.stages if STAGES.index(stage) <= end]

    def iter_results(self, on_failure: Callable[[Stage, CnnlabError], None]) -> Iterator[StageResult]:
        """Yield each stage's result. A stage that fails is skipped, and later stages ignore it.

        It raises what `result` does, except for the errors that are passed to `on_failure`: those of a stage's runs and
        images, and of settings that do not suit its incumbent, as dropout rates for another number of blocks.

        Args:
            on_failure: Called with a stage that failed, and its error.
        """
        for stage in self.stages:
            try:
                self._planned_trials(stage)  # apart: a ConfigError of the runs concerns all stages
            except ConfigError as error:
                self._fail(stage, error, on_failure)
                continue
            try:
                result = self.result(stage.name)
            except (RunError, DataError) as error:
                self._fail(stage, error, on_failure)
            else:
                yield result

    def _fail(self, stage: Stage, error: CnnlabError, on_failure: Callable[[Stage, CnnlabError], None]) -> None:
        self.skip.add(stage.name)
        on_failure(stage, error)

    def compare_custom_trials(self, name: str, trials: Mapping[str, Mapping[str, Any]]) -> StageResult:
        """Return the result that a stage would have with more trials. No other stage starts from it.

        It raises what `result` does, and ConfigError for a setting that does not exist, a value out of its range, or a
        name that is not usable or that the stage already has.

        Args:
            name: The stage.
            trials: Name of each further trial to the settings in which it differs from the incumbent: fields of
                `Architecture`, `Training` and `Input`.
        """
        stage = find_stage(name)
        if not isinstance(trials, Mapping) or not all(isinstance(changes, Mapping) for changes in trials.values()):
            raise ConfigError(
                "Expected a name for each trial and its settings, as {'96 units': {'dense_units': 96}}. "
                f"Received: {trials!r}."
            )
        for own, changes in trials.items():
            require_name("a trial", own)
            study.require_settings(own, changes)
        incumbent, planned = self.incumbent(stage), self._planned_trials(stage)
        if taken := [own for own in trials if own in {trial.name for trial in planned}]:
            raise ConfigError(f"Expected a name that no trial of {name} has. Received: {taken[0]!r}.")
        seeds = self.profile.seed_numbers
        custom = [StageTrial(own, incumbent.change(**changes), seeds) for own, changes in trials.items()]
        return self._runner.run_stage(stage, study.share_runs((*planned, *custom)), self.profile, self.protocol)

    @property
    def mistake_trials(self) -> dict[str, dict[str, StageTrial]]:
        """The trials of each mistake that can be run: none under the published protocol, which makes all mistakes."""
        if self.protocol.pinned or ALL_MISTAKES in self.skip:
            return {}
        by_mistake = {mistake.name: study.mistake_trials(mistake, self.profile) for mistake in MISTAKES}
        has_colour = self.images.folder.colour is not None
        return {
            name: trials
            for name, trials in by_mistake.items()
            if trials and (has_colour or not any(trial.settings.input.colour for trial in trials.values()))
        }

    def mistake_results(self) -> list[MistakeResult]:
        """Return the effect of each mistake. Stored runs are not repeated. It raises what `result` does."""
        if self._mistake_results is None:
            by_mistake = self.mistake_trials
            self._mistake_results = self._runner.run_mistakes(by_mistake) if by_mistake else []
        return self._mistake_results

    def planned_runs(self) -> dict[str, int]:
        """Return about how many runs each stage will have, before its incumbent is known, and the mistakes."""
        planned = {stage.name: self._expected_trials(stage) for stage in self.stages}
        planned[ALL_MISTAKES] = tuple(trial for trials in self.mistake_trials.values() for trial in trials.values())
        return {
            name: len({(trial.settings, seed) for trial in trials for seed in trial.seeds})
            for name, trials in planned.items()
            if trials
        }

    def _expected_trials(self, stage: Stage) -> tuple[StageTrial, ...]:
        """Return the trials that a stage has if no stage before it changes the model; none if they do not suit that."""
        with suppress(ConfigError):
            return study.plan_trials(stage, self._start, self.profile, self.protocol)
        return ()

    def _planned_trials(self, stage: Stage) -> tuple[StageTrial, ...]:
        planned = study.plan_trials(stage, self.incumbent(stage), self.profile, self.protocol)
        if stage.name not in self.trials:
            return planned
        names = {trial.name: trial.name for trial in planned}
        chosen = {lookup(names, name, "trial") for name in self.trials[stage.name]}
        return tuple(trial for trial in planned if trial.name in chosen or trial.incumbent)


def run_study(
    tuning: Tuning,
    bar: Bar,
    on_result: Callable[[str, Sequence[StageResult | MistakeResult]], None] = lambda *_: None,
    on_failure: Callable[[str, CnnlabError], None] = lambda *_: None,
) -> StudyResults:
    """Run every stage, then the mistakes. One that fails is skipped, and later stages ignore it.

    It raises what `Tuning.result` does, except for errors of runs and images.

    Args:
        tuning: The study.
        bar: Shows the progress.
        on_result: Called with the name of each chapter of a report that can be made now, and the results it needs.
        on_failure: Called with the name of each stage that fails, or "mistakes", and the error.
    """
    study, tuning.callback = StudyResults([], [], {}), bar
    for line in warning_lines(tuning.images.warnings):
        bar.write(line)
    if not tuning.protocol.pinned:
        for claim in skipped_claims():
            bar.write(f"Skipped claim: {claim.claim.sentence} {claim.reason}")

    def fail(name: str, error: CnnlabError) -> None:
        study.failures[name] = error
        bar.write(f"{name}: {error}")
        on_failure(name, error)

    on_result("data", [])
    for result in tuning.iter_results(lambda stage, error: fail(stage.name, error)):
        study.stages.append(result)
        on_result(result.stage.name, study.stages)
    if study.stages:
        on_result("comparison", study.stages)
        on_result("noise", study.stages)
    if tuning.mistake_trials:
        try:
            study.mistakes.extend(tuning.mistake_results())
        except (RunError, DataError) as error:
            fail(ALL_MISTAKES, error)
        else:
            on_result(ALL_MISTAKES, [*study.stages, *study.mistakes])
    return study
