"""What of a study is run: its stages, trials and mistakes, on some images within a budget."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import replace
from pathlib import Path

from cnnlab import study, surroundings
from cnnlab.data import sample
from cnnlab.errors import ConfigError, lookup, require, split_names
from cnnlab.study import (
    ALL_MISTAKES,
    CIFAR10_NAMES,
    CIFAR10_SIDE,
    LEARNING_CURVE,
    SEARCH,
    Architecture,
    Budget,
    Claim,
    OwnModel,
    Protocol,
    Stage,
    StageTrial,
    Study,
    Trial,
)
from cnnlab.tuning.images import StudyImages, image_counts
from cnnlab.tuning.search.cost import Costs
from cnnlab.tuning.search.points import expected_trials

ALL = "all"  # in place of the names of stages: all that are run by default
CURVE_PARTS = {"a quarter of the images": 0.25, "half of the images": 0.5}
"""Names of the learning curve's trials beside the final model, and their shares of its training images."""


def read_study(named: str | Path | Study, *, trust: bool) -> Study:
    """Return the study that a user names: a file, a name of `BUNDLED`, a study, or "" for the published one.

    Raises:
        ConfigError: It is none of these, or it has a model of its own that is not trusted.
        StudyError: The file cannot be read, or something in it is wrong.
    """
    require(
        isinstance(named, str | Path | Study), "study", f"a study file, one of {', '.join(study.BUNDLED)}, or ''", named
    )
    if isinstance(named, Study):
        made = named
    else:
        named = named or study.BUNDLED[0]
        made = study.read(named if named in study.BUNDLED else surroundings.project_path(named))
    model = made.base.architecture
    if isinstance(model, OwnModel) and not trust:
        raise ConfigError(
            f"Expected permission to run the code of the own model {model.file}. Received: none. Read that file, then "
            "add TRUST=1 (--trust, or trust=True)."
        )
    return made


class Scope:
    """What of a study is run.

    Args:
        study: The study.
        budget: How much is run.
        protocol: How runs are made.
        images: The images.
        stages: Names of the stages to run, or "mistakes", or "all"; none for all.
        skip: Names of stages to skip, or "mistakes".
        trials: Names of the trials to run beside the incumbent, by stage. A stage without names runs all its trials.

    Attributes:
        asked: Names that the user gave as stages to run.
        not_wanted: Names that the user gave as stages to skip.
        skip: Names of all stages that are skipped, "learning-curve" and "mistakes"; one that fails is added.

    Raises:
        ConfigError: A name does not exist.
    """

    def __init__(
        self,
        study: Study,
        budget: Budget,
        protocol: Protocol,
        images: StudyImages,
        *,
        stages: str | Iterable[str] = (),
        skip: str | Iterable[str] = (),
        trials: Mapping[str, str | Sequence[str]] | None = None,
    ) -> None:
        self.study, self.budget, self.protocol, self._images = study, budget, protocol, images
        names = {stage.name: stage.name for stage in study.stages}
        names |= {name: name for name in (LEARNING_CURVE, *([ALL_MISTAKES] if study.mistakes else []))}
        self.not_wanted = {lookup(names, name, "stage") for name in split_names("skip", skip)}
        self.skip = set(self.not_wanted)
        self.asked = {lookup({**names, ALL: ALL}, name, "stage") for name in split_names("stages", stages)}
        if self.asked and ALL not in self.asked:
            self.skip |= names.keys() - self.asked
        if SEARCH in self.asked:
            self._require_no_published_protocol()
        elif SEARCH in names and not budget.search:
            self.skip.add(SEARCH)
        self.trials = {
            study.stage(stage).name: of_stage
            for stage, names_of_stage in (trials or {}).items()
            if (of_stage := split_names("trials", names_of_stage))
        }

    def _require_no_published_protocol(self) -> None:
        if self.protocol.pinned:
            raise ConfigError(
                f"Expected the corrected protocol for a search. Received: {self.protocol.name}. Leave out the "
                "protocol, or the stage search."
            )

    def within(self, budget: Budget) -> "Scope":
        """Return the same for another budget."""
        other = copy(self)
        other.budget = budget
        return other

    @property
    def has_published(self) -> bool:
        """Whether the published figures concern this study: it is the published one, on CIFAR-10.

        Raises:
            DataError: The images cannot be used.
        """
        gray = self._images.folder.gray
        is_cifar10 = set(gray.class_names) == set(CIFAR10_NAMES) and gray.image_shape[:2] == (CIFAR10_SIDE,) * 2
        return self.study.is_built_in and is_cifar10

    @property
    def about_images(self) -> str:
        """One line about the images; "" if the study says nothing about them."""
        gray = self._images.folder.gray
        if study.is_bundled(self.study) and gray.class_names == sample.NAMES:
            return (
                "This is a demo. Its images are the built-in sample: handwritten digits on photographs. They are not "
                "CIFAR-10, and no result on them says anything about it. For your own images: make report DATA=FOLDER."
            )
        return self.study.images

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages to run.

        It leaves out a stage without a trial in this budget, a colour stage without colour images, and under the
        published protocol a stage without published fits.

        Raises:
            DataError: The images cannot be used.
        """
        has_colour = self._images.folder.colour is not None
        return tuple(
            stage
            for stage in self.study.stages
            if stage.name not in self.skip
            and study.has_trials(stage, self.budget)
            and (not stage.on_colour or has_colour)
            and (not self.protocol.pinned or study.published_choice(stage.name))
        )

    @property
    def start(self) -> Trial:
        """The trial from which the first stage starts."""
        return study.start(self.study, self.budget, self.protocol)

    def previous(self, stage: Stage) -> Stage | None:
        """Return the stage whose selected trial is the incumbent of another; None for the first."""
        before, stages = self.study.stages[: self.study.stages.index(stage)], self.stages
        return next((earlier for earlier in reversed(before) if earlier in stages), None)

    def path(self, stage: Stage) -> list[Stage]:
        """Return the stages that lead to the incumbent of a stage."""
        before = self.study.stages[: self.study.stages.index(stage)]
        return [earlier for earlier in self.stages if earlier in before and not earlier.on_colour]

    def title(self, stage: Stage) -> str:
        """Return a stage's heading, with its CNN design where the published study concerns the images."""
        number = study.cnn_number(stage.name) if self.has_published else None
        return f"CNN-{number}: {stage.title}" if number else stage.title

    def published_choice(self, stage: Stage) -> str:
        """Return the name of the trial that the published study chose; "" if it does not concern these images."""
        return study.published_choice(stage.name) if self.has_published or self.protocol.pinned else ""

    @property
    def claims(self) -> tuple[Claim, ...]:
        """The claims to check: none under the published protocol, whose fits are not what they are called."""
        concern = self.has_published or not self.study.is_built_in
        return self.study.claims if concern and not self.protocol.pinned else ()

    def plan(self, stage: Stage, incumbent: Trial) -> tuple[StageTrial, ...]:
        """Return the trials of a stage.

        Raises:
            ConfigError: A trial has a setting that does not suit the incumbent or the images, or does not exist.
            DataError: The images cannot be used.
        """
        if stage.search:
            self._require_no_published_protocol()
        if self.protocol.pinned:
            trials = study.published_trials(stage, self.budget, self.protocol)
            return trials if self.has_published else tuple(replace(trial, published=None) for trial in trials)
        fits = study.stage_fits(stage.name) if self.has_published else {}
        planned = study.plan_trials(stage, incumbent, self.budget, fits)
        if stage.name in self.trials:
            names = {trial.name: trial.name for trial in planned}
            wanted = {lookup(names, name, "trial") for name in self.trials[stage.name]}
            planned = tuple(trial for trial in planned if trial.name in wanted or trial.incumbent)
        if not planned:
            raise ConfigError(
                f"Expected a trial of {stage.name} that this budget runs. Received: expensive ones. Use PROFILE=full."
            )
        for trial in planned:
            self.require_size(trial.settings)
        return planned

    def require_size(self, trial: Trial) -> None:
        """Require the images to be large enough for a trial's network.

        Raises:
            ConfigError: They are too small.
        """
        folder = self._images.folder
        images = (trial.input.colour and folder.colour) or folder.gray
        if isinstance(trial.architecture, Architecture):
            study.require_size(trial.architecture, images.image_shape)

    def expected_trials(self) -> dict[str, tuple[StageTrial, ...]]:
        """Return the trials of each stage as if no stage changed the model, of the learning curve and the mistakes.

        A stage whose trials need another model has none.
        """
        trials = dict[str, tuple[StageTrial, ...]]()
        for stage in self.stages:
            with suppress(ConfigError):
                path = [trial for planned in trials.values() for trial in planned]
                trials[stage.name] = (*self.plan(stage, self.start), *self.search_trials(stage, self.start, path))
        final = self.start.change(colour=True) if any(stage.on_colour for stage in self.stages) else self.start
        if self.stages and (parts := self.curve_trials(final)):
            trials[LEARNING_CURVE] = parts
        if by_mistake := self.mistake_trials():
            trials[ALL_MISTAKES] = tuple(trial for pair in by_mistake.values() for trial in pair.values())
        return trials

    def search_trials(self, stage: Stage, incumbent: Trial, path: Iterable[StageTrial]) -> tuple[StageTrial, ...]:
        """Return about the trials that the search of a stage will run, its winner again; none without a search.

        Args:
            stage: The stage.
            incumbent: The trial that the stage before selects.
            path: The trials of the stages before.

        Raises:
            DataError: The images cannot be used.
        """
        if not stage.search:
            return ()
        trials = expected_trials(stage.search, incumbent, path, self, Costs(self._images, self.budget, incumbent))
        return (*trials, *(replace(trial, seeds=self.budget.seed_numbers) for trial in trials[:1]))

    def planned_runs(self) -> dict[str, int]:
        """Return about how many runs each of `expected_trials` will have, before any incumbent is known."""
        return {
            name: len({(trial.settings, trial.share, seed) for trial in trials for seed in trial.seeds})
            for name, trials in self.expected_trials().items()
            if trials
        }

    def curve_trials(self, final: Trial) -> tuple[StageTrial, ...]:
        """Return the trials of the learning curve beside the final model: it, on parts of its training images.

        There are none under the published protocol, and where a part would have fewer images than classes.

        Raises:
            DataError: The images cannot be used.
        """
        dataset = self._images.dataset(final.input.colour)
        n_train, _, _ = image_counts(dataset, self.budget)
        too_few = int(n_train * min(CURVE_PARTS.values())) < len(dataset.class_names)
        if self.protocol.pinned or LEARNING_CURVE in self.skip or too_few:
            return ()
        seeds = self.budget.seed_numbers
        return tuple(StageTrial(name, final, seeds, share=share) for name, share in CURVE_PARTS.items())

    def mistake_trials(self) -> dict[str, dict[str, StageTrial]]:
        """Return the trials of each mistake that is run.

        There are none under the published protocol, which makes all mistakes, and on other images than CIFAR-10 unless
        they are asked for.
        """
        is_asked = ALL_MISTAKES in self.asked or (self.has_published and (not self.asked or ALL in self.asked))
        if self.protocol.pinned or ALL_MISTAKES in self.skip or not is_asked:
            return {}
        by_mistake = {mistake.name: study.mistake_trials(mistake, self.budget) for mistake in self.study.mistakes}
        has_colour = self._images.folder.colour is not None
        return {
            name: trials
            for name, trials in by_mistake.items()
            if trials and (has_colour or not any(trial.settings.input.colour for trial in trials.values()))
        }
