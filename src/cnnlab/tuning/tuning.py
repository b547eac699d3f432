"""Run a study stage by stage."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cnnlab import data, evidence, models, records, study
from cnnlab.data import DataFolder, Dataset, Split, sample
from cnnlab.engine import Engine, Work
from cnnlab.errors import CnnlabError, ConfigError, DataError, RecordError, RunError, find
from cnnlab.evidence import Comparison, Decision, Scores
from cnnlab.records import Record, Run, RunStore
from cnnlab.study import DEFECTS, MISTAKES, STAGES, Architecture, Candidate, Stage, Trial, find_stage, require_whole
from cnnlab.tuning.callbacks import Watcher
from cnnlab.tuning.halving import WORTH, Dropped, halve, reached, rungs
from cnnlab.tuning.results import DefectResult, StageResult

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
        without: Names of stages to leave out, or "mistakes"; the stage after one starts from what the stage before it
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
        without: Iterable[str] = (),
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
        names = {name: name for name in (*(stage.name for stage in STAGES), MISTAKES)}
        self.without = {find(names, name, "stage") for name in without}
        self.trials = {find_stage(name).name: tuple(wanted) for name, wanted in (trials or {}).items() if wanted}
        self.watcher = Watcher()
        self.made: set[str] = set()
        self.data = Path(data)
        self._results: dict[str, StageResult] = {}
        self._mistakes: list[DefectResult] | None = None
        self._splits: dict[str, Split] = {}

    def __enter__(self) -> "Tuning":
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.close()

    @cached_property
    def folder(self) -> DataFolder:
        """The images, read when first needed; the built-in sample is made where its folder is missing.

        Raises:
            DataError: They cannot be used.
        """
        if self.data.parts[-2:] == sample.PLACE and not self.data.exists():
            sample.write(self.data)
        return data.load(self.data)

    def dataset(self, colour: bool) -> Dataset:
        """Return the grayscale or the colour images.

        Raises:
            ConfigError: They are too small for the study's networks.
            DataError: There are no colour images.
        """
        found = self.folder.colour if colour else self.folder.gray
        if found is None:
            raise DataError(
                f"Expected {data.ARCHIVE} in {str(self.data)!r} for the colour stage. Received: grayscale batches only."
            )
        models.require_size(Architecture(), found.image_shape)
        return found

    def split(self, dataset: Dataset) -> Split:
        """Return which of a dataset's images the runs see.

        Raises:
            DataError: There are too few of them.
        """
        if dataset.digest not in self._splits:
            self._splits[dataset.digest] = data.split(
                dataset, self.protocol.split, self.profile.train, self.profile.val, self.profile.test
            )
        return self._splits[dataset.digest]

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
            if stage.name not in self.without
            and (not stage.on_colour or self.folder.colour is not None)
            and (stage.pick or not self.protocol.pinned)
        )

    def incumbent(self, stage: Stage) -> Trial:
        """Return what the stages before hand on, which runs them if they have not been run.

        It raises what `result` does.
        """
        if self.protocol.pinned:
            return study.published_trial(stage, self.profile, self.protocol)
        before = [earlier for earlier in STAGES[: STAGES.index(stage)] if earlier.name not in self.without]
        return self.result(before[-1].name).chosen.trial if before else study.start(self.profile, self.protocol)

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
            self._results[name] = self._run(stage, self._candidates(stage))
        return self._results[name]

    def _candidates(self, stage: Stage) -> tuple[Candidate, ...]:
        found = study.candidates(stage, self.incumbent(stage), self.profile, self.protocol)
        if stage.name not in self.trials:
            return found
        by_name = {candidate.name: candidate.name for candidate in found}
        wanted = {find(by_name, name, "trial") for name in self.trials[stage.name]}
        return tuple(candidate for candidate in found if candidate.name in wanted or candidate.incumbent)

    def try_out(self, name: str, more: Mapping[str, Mapping[str, Any]]) -> StageResult:
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
        before, found = self.incumbent(stage), self._candidates(stage)
        if taken := more.keys() & {candidate.name for candidate in found}:
            raise ConfigError(f"Expected a name that no trial of {name} has. Received: {taken.pop()!r}.")
        own = [
            Candidate(mine, before.change(**settings), found[0].seeds, False, None) for mine, settings in more.items()
        ]
        return self._run(stage, (*found, *own))

    def results(self, last: str | None = None) -> list[StageResult]:
        """Return what the stages came to, all of them or up to one; raises what `result` does."""
        end = STAGES.index(find_stage(last)) if last else len(STAGES)
        return [self.result(stage.name) for stage in self.stages if STAGES.index(stage) <= end]

    def walk(self, lost: Callable[[Stage, CnnlabError], None]) -> Iterator[StageResult]:
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
                self.without.add(stage.name)
                lost(stage, error)
            else:
                yield result

    def work(self, trial: Trial, seeds: Sequence[int]) -> list[Work]:
        """Return a trial's runs with the images they need."""
        dataset = self.dataset(trial.input.colour)
        split = self.split(dataset)
        return [(Run(trial, seed, dataset.digest, split.digest), dataset, split) for seed in seeds]

    def scores(self, found: Sequence[Record], part: str) -> Scores:
        """Return a trial's macro-F1 on `part` ("val" or "test"), run by run and on resampled images.

        Raises:
            RecordError: A run's predictions are missing or damaged.
        """
        labels, predicted, n_classes = self.predictions(found, part)
        draws = evidence.resampled_f1(labels, predicted, n_classes, evidence.image_weights(len(labels)))
        return Scores(np.array([record.scores[f"{part}_f1"] for record in found]), draws)

    def predictions(self, found: Sequence[Record], part: str) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """Return the true classes (n_images,) and those that each run predicts (n_runs, n_images); number of classes.

        Raises:
            RecordError: A run's predictions are missing or damaged.
        """
        arrays = [self.store.arrays(record.digest, f"{part}_labels", f"{part}_probs") for record in found]
        predicted = np.stack([of[f"{part}_probs"].argmax(axis=1) for of in arrays])
        return arrays[0][f"{part}_labels"], predicted, len(found[0].data["class_names"])

    @property
    def defects(self) -> dict[str, dict[str, Candidate]]:
        """The arms of each mistake whose cost can be run: none under the published protocol, which makes them all."""
        if self.protocol.pinned or MISTAKES in self.without:
            return {}
        found = {defect.name: study.arms(defect, self.profile) for defect in DEFECTS if defect.arms}
        return {
            name: arms
            for name, arms in found.items()
            if self.folder.colour is not None or not any(arm.trial.input.colour for arm in arms.values())
        }

    def mistakes(self) -> list[DefectResult]:
        """Return what each mistake cost. Runs that are stored are not repeated.

        Raises:
            ConfigError: There is no scheduler, or no workers.
            DataError: The images cannot be used.
            RecordError: The run store cannot be used.
            RunError: A run failed.
            WorkerError: A worker of a cluster is of other versions.
        """
        found = self.defects
        if self._mistakes is None and found:
            runs = self._records(MISTAKES, [arm for arms in found.values() for arm in arms.values()])
            results = []
            for defect in DEFECTS:
                if defect.name in found:
                    groups = {
                        name: [runs[arm.name, seed] for seed in arm.seeds] for name, arm in found[defect.name].items()
                    }
                    costs = evidence.compare({name: self.scores(of, "test") for name, of in groups.items()})
                    results.append(DefectResult(defect, groups, costs))
            self._mistakes = results
        return self._mistakes or []

    def _run(self, stage: Stage, candidates: tuple[Candidate, ...]) -> StageResult:
        dropped = self._drop(stage, candidates) if self.profile.halving else ()
        names = {one.name for one in dropped}
        candidates = tuple(candidate for candidate in candidates if candidate.name not in names)
        runs = self._records(stage.name, candidates)
        # All that a decision is given: no test score, no test prediction.
        frame = pd.DataFrame(
            [(name, record.params, record.scores["val_f1"]) for (name, _), record in runs.items()],
            columns=["trial", "params", "val_f1"],
        )
        try:
            draws = self.scores(list(runs.values()), "val").draws
        except RecordError:  # damaged since
            runs = self._records(stage.name, candidates)
            draws = self.scores(list(runs.values()), "val").draws
        incumbent = next((candidate.name for candidate in candidates if candidate.incumbent), None)
        decision = evidence.decide(stage.name, frame, draws, incumbent, stage.pick, pinned=self.protocol.pinned)
        result = StageResult(stage, candidates, runs, decision, study.left_out(stage, self.profile), dropped)
        self.watcher.end(result)
        return result

    def _drop(self, stage: Stage, candidates: tuple[Candidate, ...]) -> tuple[Dropped, ...]:
        """Return the trials of a stage that are hopeless; the runs that tell are made."""
        incumbent = next((candidate for candidate in candidates if candidate.incumbent), None)
        if incumbent is None or len(candidates) < WORTH:
            return ()
        by_name = {candidate.name: replace(candidate, seeds=candidate.seeds[:1]) for candidate in candidates}

        def ask(names: Sequence[str], epochs: int | None) -> dict[str, float]:
            asked = []
            for candidate in map(by_name.__getitem__, names):
                short = replace(
                    candidate, trial=candidate.trial.change(epochs=epochs or candidate.trial.training.epochs)
                )
                # A whole fit has the same curve up to there, but the same answer each time is what matters.
                stored = self._stored(candidate) and not self._stored(short)
                asked.append(candidate if stored else short)
            runs = self._records(f"{stage.name}, {'whole fits' if epochs is None else f'{epochs} epochs'}", asked)
            return {name: reached(record.history, epochs) for (name, _), record in runs.items()}

        usual = self._records(f"{stage.name}, incumbent", [incumbent])
        return halve(list(by_name), incumbent.name, rungs([record.epochs for record in usual.values()]), ask)

    def _stored(self, candidate: Candidate) -> bool:
        work = self.work(candidate.trial, candidate.seeds)
        return all(self.store.get(run.digest) is not None for run, _, _ in work)

    def _records(self, name: str, candidates: Sequence[Candidate]) -> dict[tuple[str, int], Record]:
        """Return the records of some trials by (name, seed)."""
        work = {
            (candidate.name, item[0].seed): item
            for candidate in candidates
            for item in self.work(candidate.trial, candidate.seeds)
        }
        names: dict[str, str] = {}
        for (trial, _), (run, *_) in work.items():
            names.setdefault(run.digest, trial)
        self.watcher.begin(name, len(names), sum(self.store.get(digest) is None for digest in names))

        def note(record: Record, cached: bool) -> None:
            if not cached:
                self.made.add(record.digest)
            self.watcher.done(names[record.digest], record, cached)

        def epoch(run: Run, number: int) -> None:
            self.watcher.epoch(names[run.digest], run.seed, number, run.trial.training.epochs)

        found = self.engine.records(list(work.values()), self.store, note, epoch)
        return {key: found[item[0].digest] for key, item in work.items()}

    def planned_runs(self) -> dict[str, int]:
        """Return about how many runs each stage will have, before its incumbent is known; and the mistakes."""
        start = study.start(self.profile, self.protocol)
        found = {stage.name: study.candidates(stage, start, self.profile, self.protocol) for stage in self.stages}
        found[MISTAKES] = tuple(arm for arms in self.defects.values() for arm in arms.values())
        return {
            name: len({(candidate.trial, seed) for candidate in candidates for seed in candidate.seeds})
            for name, candidates in found.items()
            if candidates
        }

    def results_frame(self, results: Sequence[StageResult]) -> pd.DataFrame:
        """Return the runs of some stages as a table, one row a run; one that stages share stands in each."""
        rows: list[dict[str, Any]] = []
        for result in results:
            for (name, _), record in result.runs.items():
                published = result.candidate(name).published
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
        """Return the chosen trials' comparisons with all others as a table, one row a comparison."""
        return pd.DataFrame(
            [
                {"stage": result.stage.name, **asdict(comparison)}
                for result in results
                for comparison in result.decision.comparisons
            ],
            columns=["stage", *(field.name for field in fields(Comparison))],
        )

    @staticmethod
    def defects_frame(results: Sequence[DefectResult]) -> pd.DataFrame:
        """Return the runs of the mistakes as a table, one row a run."""
        return pd.DataFrame(
            [
                {"mistake": result.defect.name, "trial": name, **records.row(record)}
                for result in results
                for name, found in result.groups.items()
                for record in found
            ],
            columns=None if results else ["mistake", "trial"],
        )
