"""A study on one data folder: stage after stage, then the mistakes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnlab import study, surroundings
from cnnlab.engine import Engine
from cnnlab.errors import CnnlabError, ConfigError, DataError, RunError, require
from cnnlab.records import IMAGES, RunStore
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
from cnnlab.tuning import search
from cnnlab.tuning.advice.learning_curve import measure_curve
from cnnlab.tuning.custom import Custom, check_models, custom_trials, require_custom
from cnnlab.tuning.images import StudyImages
from cnnlab.tuning.progress import Callback
from cnnlab.tuning.results import LearningCurve, MistakeResult, StageResult, final_stage
from cnnlab.tuning.runner import Runner
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
        study: A study file, or "recipe"; "" for the published study.
        budget: What differs from the profile, as `{"seeds": 2, "epochs": 10}`: `seeds`, `epochs`, `patience`, `train`,
            `val`, `test`, `precision`, `halving` and `splits` as in `Budget`; `stages` and `skip` are names of stages,
            "learning-curve", "mistakes" or "all", as a list or with commas between them. After a skipped stage, the
            next one starts from the trial that was selected before.
        scheduler: Address of a Dask scheduler, or an engine, which stays open; None for the scheduler that the
            environment names, or this machine's cores.
        fresh: Repeat stored runs too.
        accept: Kinds of warnings about the images that the user accepts: they are not shown.
        size: Height and width to which images are cropped and resized, as "48" or "48x64"; "" for their own where all
            are alike and at most 64, else 32.
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
        scheduler: str | Engine | None = None,
        fresh: bool = False,
        accept: str | Iterable[str] = (),
        size: str = "",
        trials: Mapping[str, str | Sequence[str]] | None = None,
        trust: bool = False,
    ) -> None:
        for name, path in (("data", data), ("runs", runs)):
            require(isinstance(path, str | Path) and len(str(path)) > 0, name, "a folder", path)
        for name, flag in (("fresh", fresh), ("trust", trust)):
            require(isinstance(flag, bool), name, "True or False", flag)
        require(isinstance(scheduler, str | Engine | None), "scheduler", "an address, an engine, or None", scheduler)
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
                f"Expected all runs of the published study on its one split under the {protocol} protocol. Received: "
                f"{received}. Leave it out, or use the corrected protocol."
            )
        self.engine = scheduler if isinstance(scheduler, Engine) else Engine(scheduler)
        self._has_own_engine = self.engine is not scheduler
        self.store = RunStore(surroundings.project_path(runs), fresh=fresh)
        self.images = StudyImages(
            surroundings.project_path(data), self.budget, self.protocol, accept, size=size,
            cache=self.store.path / IMAGES, on_progress=lambda done, total: self.callback.on_images(done, total),
        )  # fmt: skip
        self.scope = Scope(self.study, self.budget, self.protocol, self.images, trials=trials, **parts)
        self._runner = Runner(self.images, self.engine, self.store)
        self._results: dict[str, StageResult] = {}
        self._mistake_results: list[MistakeResult] | None = None
        self._notes: list[str] | None = None
        self.time: dict[str, Any] = {}  # with a time limit: what was asked and estimated, for the manifest
        self.calibration: Calibration | None = None
        # Last: a wrong argument must leave an engine that another study uses as it was.
        self.engine.on_no_workers = lambda address: self.callback.on_no_workers(address)

    def __enter__(self) -> "Tuning":
        return self

    def __exit__(self, *_: object) -> None:
        if self._has_own_engine:
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
        trials, notes = list[Trial](), study.notes(planned, self.budget)
        for stage in self.study.stages:
            if stage.name not in self.scope.skip and not study.has_trials(stage, self.budget):
                notes.append(f"stage {stage.name!r}: its trials are expensive, so this budget skips it.")
        for stage in self.stages:
            try:
                trials += [trial.settings for trial in self.scope.plan(stage, start)]
            except ConfigError as error:
                if not any(str(error) in line for line in notes):
                    notes.append(
                        f"stage {stage.name!r}: a trial does not suit the study's first model, but may suit one that "
                        f"an earlier stage selects. {error}"
                    )
        for stage in self.stages:
            if stage.search:
                trials += search.check(stage, stage.search, self.scope)
        on_colour = {start.input.colour, *(stage.on_colour for stage in self.stages)}
        for colour in sorted(on_colour.union(trial.input.colour for trial in trials)):
            dataset = self.images.dataset(colour)
            self.images.split(dataset)
            study.require_depth(planned, self.budget, dataset.image_shape)
        notes += check_models(trials, self.images, self.engine)
        self._notes = list(dict.fromkeys(notes))
        return self._notes

    def incumbent(self, stage: Stage) -> Trial:
        """Return the trial that the previous stage selected; runs the stages before if necessary.

        It raises what `result` does.
        """
        if self.protocol.pinned and not stage.search:
            return study.published_trial(stage.name, self.budget, self.protocol)
        previous = self.scope.previous(stage)
        return self.result(previous.name).selected.settings if previous else self.scope.start

    def result(self, name: str) -> StageResult:
        """Return the result of a stage. Stored runs are not repeated.

        Raises:
            ConfigError: No such stage, no such trial in it, or no scheduler.
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
        if stage.search:
            path = [self.result(before.name) for before in self.scope.path(stage)]
            return search.run_stage(stage, trials[0], path, self.scope, self._runner)
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

    def check_custom_trials(self, trials: Mapping[str, Custom]) -> dict[str, Mapping[str, Any] | OwnModel]:
        """Return further trials for `compare_custom_trials`, with their functions as they are now.

        Raises:
            ConfigError: A setting does not exist or is out of its range, or a function cannot be used.
        """
        return require_custom(trials, self.study.base)

    def compare_custom_trials(self, name: str, trials: Mapping[str, Custom]) -> StageResult:
        """Return the result that a stage would have with more trials. No other stage starts from it.

        It raises what `result` does, and ConfigError for a setting that does not exist, a value out of its range, a
        name that is not usable or that the stage already has, a function that builds no model for these images, or the
        stage of a search.

        Args:
            name: The stage.
            trials: Name of each further trial to the settings in which it differs from the incumbent: fields of
                `Architecture`, `Training` and `Input`, or parameters of the study's own model. Or to a function that
                builds its model, as for `read_own_function`; all else is as in the incumbent. Its code is run.
        """
        stage = self.study.stage(name)
        require(stage.search is None, "stage", "one that varies settings by trials, not the search", name)
        custom = self.check_custom_trials(trials)  # now: the user may edit a function while runs are made
        incumbent = self.incumbent(stage)
        planned = self.scope.plan(stage, incumbent)
        added = custom_trials(stage, custom, planned, incumbent, self.budget)
        for trial in added:
            self.scope.require_size(trial.settings)
        check_models([trial.settings for trial in added if not self._runner.is_stored(trial)], self.images, self.engine)
        return self._run(stage, study.share_runs((*planned, *added)))

    def mistake_results(self) -> list[MistakeResult]:
        """Return the effect of each mistake. Stored runs are not repeated. It raises what `result` does."""
        if self._mistake_results is None:
            by_mistake = self.scope.mistake_trials()
            mistakes = [mistake for mistake in self.study.mistakes if mistake.name in by_mistake]
            self._mistake_results = self._runner.run_mistakes(mistakes, by_mistake) if mistakes else []
        return self._mistake_results

    def expect_mistakes(self) -> None:
        """Let workers that would wait during a stage make runs of the mistakes, which depend on no stage."""
        trials = [trial for group in self.scope.mistake_trials().values() for trial in group.values()]
        with suppress(DataError):  # raised again when they are asked for
            self._runner.expect(trials)

    def learning_curve(self) -> LearningCurve | None:
        """Return the learning curve of the final model; None if it is skipped. It raises what `result` does."""
        final = final_stage(self.results())
        return measure_curve(self._runner, self.store, self.scope, final) if final else None

    def planned_runs(self) -> dict[str, int]:
        """Return about how many runs each stage, the learning curve and the mistakes will have."""
        return self.scope.planned_runs()
