"""A study on one data folder: stage after stage, then the mistakes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnlab import models, study, surroundings
from cnnlab.engine import Engine
from cnnlab.errors import CnnlabError, ConfigError, DataError, RunError, require, require_name
from cnnlab.records import RunStore
from cnnlab.study import (
    NUMBERS,
    STUDY_PARTS,
    Budget,
    OwnModel,
    Stage,
    StageTrial,
    Study,
    Trial,
    find_protocol,
    make_budget,
)
from cnnlab.tuning.advice.learning_curve import measure_curve
from cnnlab.tuning.progress import Callback
from cnnlab.tuning.results import LearningCurve, MistakeResult, StageResult, final_stage
from cnnlab.tuning.runner import Runner, StudyImages
from cnnlab.tuning.scope import Scope, read_study

if TYPE_CHECKING:
    from cnnlab.tuning.planning.calibration import Calibration


class Tuning:
    """A study on one data folder, under one protocol and budget; stages run when they are asked for.

    Args:
        data: Folder of the images. A relative path starts in the project's folder, as those of runs and study do.
        runs: Folder of stored runs.
        profile: The named budget: "smoke", "quick", "laptop" or "full".
        protocol: "corrected" or "published".
        study: A study file; "" for the built-in study.
        budget: What differs from the profile, as `{"seeds": 2, "epochs": 10}`: `seeds`, `epochs`, `patience`, `train`,
            `val`, `test`, `precision`, `halving` and `splits` as in `Budget`; `stages` and `skip` are names of stages,
            "learning-curve", "mistakes" or "all", as a list or with commas between them. After a skipped stage, the
            next one starts from the trial that was selected before.
        scheduler: Address of a Dask scheduler; None for the one named by the environment, or this machine's cores.
        fresh: Repeat stored runs too.
        accept: Kinds of warnings about the images that the user accepts: they are not shown.
        trials: Names of the trials to run beside the incumbent, by stage, as a list or with commas between them. A
            stage without names runs all its trials.
        trust: Run the code of the study's own model.

    Raises:
        ConfigError: An argument has a wrong type or names something that does not exist; the study has a model of its
            own that is not trusted, or is not the built-in one under the published protocol; or halving or
            resampled splits are asked for under that protocol.
        StudyError: The study file cannot be read, or something in it is wrong.
    """

    def __init__(
        self,
        data: str | Path,
        runs: str | Path,
        profile: str = "quick",
        protocol: str = "corrected",
        *,
        study: str | Path | Study = "",
        budget: Mapping[str, Any] | None = None,
        scheduler: str | None = None,
        fresh: bool = False,
        accept: str | Iterable[str] = (),
        trials: Mapping[str, str | Sequence[str]] | None = None,
        trust: bool = False,
    ) -> None:
        for name, path in (("data", data), ("runs", runs)):
            require(isinstance(path, str | Path) and len(str(path)) > 0, name, "a folder", path)
        for name, flag in (("fresh", fresh), ("trust", trust)):
            require(isinstance(flag, bool), name, "True or False", flag)
        require(isinstance(scheduler, str | None), "scheduler", "an address, or None", scheduler)
        require(isinstance(trials, Mapping | None), "trials", "names by stage, as {'dense': '32, 64'}", trials)
        require(isinstance(budget, Mapping | None), "budget", "numbers by names, as {'seeds': 2}", budget)
        numbers = dict(budget or {})
        parts = {name: numbers.pop(name, None) or () for name in STUDY_PARTS}
        self.study = read_study(study, trust=trust)
        self.trust = trust
        self.study_file = "" if isinstance(study, Study) else str(study)
        self.protocol = find_protocol(protocol)
        if self.protocol.pinned and numbers.get("splits") is None:
            numbers["splits"] = "fixed"
        self.budget = make_budget(profile, numbers)
        self.given = {name for name in NUMBERS if numbers.get(name) is not None}
        refused = {
            "halving": self.budget.halving,
            "resampled splits": self.budget.splits != "fixed",
            f"the study {self.study.name}": not self.study.is_built_in,
        }
        if self.protocol.pinned and any(refused.values()):
            received = next(name for name, is_asked in refused.items() if is_asked)
            raise ConfigError(
                f"Expected all runs of the built-in study on its one split under the {protocol} protocol. Received: "
                f"{received}. Leave it out, or use the corrected protocol."
            )
        self.engine = Engine(scheduler)
        self.store = RunStore(surroundings.project_path(runs), fresh=fresh)
        self.images = StudyImages(surroundings.project_path(data), self.budget, self.protocol, accept)
        self.scope = Scope(self.study, self.budget, self.protocol, self.images, trials=trials, **parts)
        self._runner = Runner(self.images, self.engine, self.store)
        self._results: dict[str, StageResult] = {}
        self._mistake_results: list[MistakeResult] | None = None
        self._notes: list[str] | None = None
        self.time: dict[str, Any] = {}  # with a time limit: what was asked and estimated, for the manifest
        self.calibration: Calibration | None = None

    def __enter__(self) -> "Tuning":
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.close()

    @property
    def changes(self) -> dict[str, Any]:
        """What differs in the budget from its profile."""
        usual = make_budget(self.budget.profile, {"splits": "fixed"} if self.protocol.pinned else {})
        return {name: value for name, value in asdict(self.budget).items() if value != getattr(usual, name)}

    def use_budget(self, budget: Budget) -> None:
        """Use another budget, before anything is run."""
        self.budget, self.images, self._notes = budget, self.images.within(budget), None
        self.scope = self.scope.within(budget)
        self._runner = Runner(self.images, self.engine, self.store)

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
        """The stages to run, as `Scope.stages` returns them."""
        return self.scope.stages

    def check(self) -> list[str]:
        """Check the study, the images and an own model, before anything is run.

        Returns:
            What the user should know: equal trials, settings without effect, and what does not work with an own model.

        Raises:
            ConfigError: There is no stage to run, the own model cannot be built, or there is no scheduler.
            DataError: The images cannot be used.
            StudyError: Networks are too deep for the images.
        """
        if self._notes is not None:
            return self._notes
        planned, start = replace(self.study, stages=self.stages), self.scope.start
        if not planned.stages and not self.scope.mistake_trials():
            raise ConfigError(
                f"Expected at least one stage of {self.study.name} to run. Received: none. Change STAGES or SKIP; "
                "stages about colour need colour images."
            )
        shapes, trials, notes = {}, list[Trial](), study.notes(planned, self.budget)
        for stage in self.study.stages:
            if stage.name not in self.scope.skip and not study.has_trials(stage, self.budget):
                notes.append(f"stage {stage.name!r}: its trials are expensive, so this budget skips it.")
        for stage in self.stages:
            try:
                trials += [trial.settings for trial in self.scope.plan(stage, start)]
            except ConfigError as error:
                if not any(str(error) in line for line in notes):
                    notes.append(
                        f"stage {stage.name!r}: only a model that an earlier stage selects may suit it. {error}"
                    )
        on_colour = {start.input.colour, *(stage.on_colour for stage in self.stages)}
        for colour in sorted(on_colour.union(trial.input.colour for trial in trials)):
            dataset = self.images.dataset(colour)
            self.images.split(dataset)
            study.require_depth(planned, self.budget, dataset.image_shape)
            shapes[colour] = dataset.image_shape, len(dataset.class_names)
        own = {(trial.architecture, trial.input.colour) for trial in trials if isinstance(trial.architecture, OwnModel)}
        for model, colour in own:
            notes += self.engine.call(models.check_own_model, model, *shapes[colour], self.budget.precision)
        self._notes = list(dict.fromkeys(notes))
        return self._notes

    def incumbent(self, stage: Stage) -> Trial:
        """Return the trial that the previous stage selected; runs the stages before if necessary.

        It raises what `result` does.
        """
        if self.protocol.pinned:
            return study.published_trial(stage.name, self.budget, self.protocol)
        previous = self.scope.previous(stage)
        return self.result(previous.name).selected.settings if previous else self.scope.start

    def result(self, name: str) -> StageResult:
        """Return the result of a stage. Stored runs are not repeated.

        Raises:
            ConfigError: No such stage, no such trial in it, or no scheduler or workers.
            DataError: The images cannot be used.
            RecordError: The run store cannot be used.
            RunError: A run failed.
            WorkerError: A worker of a cluster has other versions.
        """
        stage = self.study.stage(name)
        if name not in self._results:
            self._results[name] = self._run(stage, self.scope.plan(stage, self.incumbent(stage)))
        return self._results[name]

    def _run(self, stage: Stage, trials: tuple[StageTrial, ...]) -> StageResult:
        return self._runner.run_stage(
            stage, trials, self.budget, self.scope.published_choice(stage), pinned=self.protocol.pinned
        )

    def results(self, last: str | None = None) -> list[StageResult]:
        """Return the results of all stages, or of those up to one. It raises what `result` does."""
        stages = self.study.stages
        end = len(stages) if last is None else stages.index(self.study.stage(last))
        return [self.result(stage.name) for stage in self.stages if stages.index(stage) <= end]

    def iter_results(self, on_failure: Callable[[Stage, CnnlabError], None]) -> Iterator[StageResult]:
        """Yield each stage's result. A stage that fails is skipped, and later stages ignore it.

        It raises what `result` does, except for the errors that are passed to `on_failure`: those of a stage's runs and
        images, and of settings that do not suit its incumbent, as dropout rates for another number of blocks.

        Args:
            on_failure: Called with a stage that failed, and its error.
        """
        for stage in self.stages:
            try:
                self.scope.plan(stage, self.incumbent(stage))  # apart: a ConfigError of the runs concerns all stages
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
        self.scope.skip.add(stage.name)
        on_failure(stage, error)

    def compare_custom_trials(self, name: str, trials: Mapping[str, Mapping[str, Any]]) -> StageResult:
        """Return the result that a stage would have with more trials. No other stage starts from it.

        It raises what `result` does, and ConfigError for a setting that does not exist, a value out of its range, or a
        name that is not usable or that the stage already has.

        Args:
            name: The stage.
            trials: Name of each further trial to the settings in which it differs from the incumbent: fields of
                `Architecture`, `Training` and `Input`, or parameters of the study's own model.
        """
        stage = self.study.stage(name)
        if not isinstance(trials, Mapping) or not all(isinstance(changes, Mapping) for changes in trials.values()):
            raise ConfigError(
                "Expected a name for each trial and its settings, as {'96 units': {'dense_units': 96}}. "
                f"Received: {trials!r}."
            )
        for own, changes in trials.items():
            require_name("a trial", own)
            study.require_settings(own, changes, self.study.base)
        incumbent = self.incumbent(stage)
        planned = self.scope.plan(stage, incumbent)
        if taken := [own for own in trials if own in {trial.name for trial in planned}]:
            raise ConfigError(f"Expected a name that no trial of {name} has. Received: {taken[0]!r}.")
        seeds = self.budget.seed_numbers
        custom = [StageTrial(own, incumbent.change(**changes), seeds) for own, changes in trials.items()]
        for trial in custom:
            self.scope.require_size(trial.settings)
        return self._run(stage, study.share_runs((*planned, *custom)))

    def mistake_results(self) -> list[MistakeResult]:
        """Return the effect of each mistake. Stored runs are not repeated. It raises what `result` does."""
        if self._mistake_results is None:
            by_mistake = self.scope.mistake_trials()
            mistakes = [mistake for mistake in self.study.mistakes if mistake.name in by_mistake]
            self._mistake_results = self._runner.run_mistakes(mistakes, by_mistake) if mistakes else []
        return self._mistake_results

    def learning_curve(self) -> LearningCurve | None:
        """Return the learning curve of the final model; None if it is skipped. It raises what `result` does."""
        final = final_stage(self.results())
        return measure_curve(self._runner, self.store, self.scope, final) if final else None

    def planned_runs(self) -> dict[str, int]:
        """Return about how many runs each stage, the learning curve and the mistakes will have."""
        return self.scope.planned_runs()
