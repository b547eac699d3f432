"""Budgets, protocols, and the trials that a stage has under them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cnnlab.errors import ConfigError, lookup, require
from cnnlab.study.fields import require_whole
from cnnlab.study.published import PublishedFit, published_fits, published_settings
from cnnlab.study.reader import built_in
from cnnlab.study.settings import PRECISIONS, Trial
from cnnlab.study.stages import UNCHANGED, Mistake, Stage, Study

_BEST_RATE = 0.001  # the learning rate with the highest score in the published study
_SMALL_FILTERS = (16, 32, 64)  # in budgets for a CPU; the study's 32-64-128 would take four times as long


@dataclass(frozen=True)
class Budget:
    """How much is run.

    Attributes:
        profile: Name of the profile that it starts from.
        seeds: Seeds per trial.
        epochs: Maximum number of epochs of a fit.
        train: Maximum number of training images.
        val: Maximum number of validation images.
        test: Maximum number of test images.
        patience: Epochs without a better `val_loss` before a fit ends.
        batch_size: Images per step of the first incumbent, unless the study names another number.
        expensive: Whether the expensive trials are run.
        precision: Of every fit, as in `Training`.
        halving: Whether successive halving drops trials.
        search: Trials of the joint search, which is then part of the study. 0: it is run only if it is asked for, and
            costs what the stages before it have cost, or has the number of trials that the study names.
        splits: Whether each seed has training and validation images of its own ("resampled"), or all have the same
            ("fixed").
    """

    profile: str
    seeds: int
    epochs: int
    train: int
    val: int
    test: int
    patience: int = 5
    batch_size: int = 64
    expensive: bool = False
    precision: str = "float32"
    halving: bool = False
    search: int = 0
    splits: str = "resampled"

    @property
    def seed_numbers(self) -> tuple[int, ...]:
        """The seeds of each trial, from 1."""
        return tuple(range(1, self.seeds + 1))


PROFILES = {
    budget.profile: budget
    for budget in (
        Budget("smoke", seeds=1, epochs=1, train=128, val=100, test=100, search=2),
        Budget("quick", seeds=3, epochs=24, train=384, val=200, test=500, batch_size=16),
        Budget("laptop", seeds=3, epochs=20, train=5_000, val=2_000, test=10_000),
        Budget("full", seeds=5, epochs=500, train=40_000, val=10_000, test=10_000, expensive=True),
    )
}
"""Named budgets."""
NUMBERS = ("seeds", "epochs", "patience", "train", "val", "test")
"""The numbers of a budget that a user may change."""
MOST_SEEDS = 999  # each published fit numbers its own seeds, from 1001, 2001, ...
SPLITS = ("resampled", "fixed")
"""How the seeds of a trial get their training and validation images, see `Budget`."""
STUDY_PARTS = ("stages", "skip")
"""What else a notebook's `budget` may have: which stages are run."""


def make_budget(profile: str, changes: Mapping[str, Any] | None = None) -> Budget:
    """Return the budget of a profile with some changes; None changes nothing.

    Args:
        profile: Name of the profile.
        changes: Values of `NUMBERS`, `precision`, `halving` and `splits`.

    Raises:
        ConfigError: There is no such profile, something else is to be changed, or a value is out of its range.
    """
    budget = lookup(PROFILES, profile, "profile")
    made = {name: value for name, value in (changes or {}).items() if value is not None}
    known = (*NUMBERS, "precision", "halving", "splits")
    for name, value in made.items():
        if name not in known:
            names = ", ".join((*known, *STUDY_PARTS))
            raise ConfigError(f"Expected a part of a budget named {names}. Received: {name!r}.")
        if name in NUMBERS:
            require_whole(name.upper(), value)
    seeds = made.get("seeds", 1)
    require(seeds <= MOST_SEEDS, "SEEDS", f"at most {MOST_SEEDS}", seeds)
    precision, halving = made.get("precision", "float32"), made.get("halving", False)
    require(precision in PRECISIONS, "precision", f"one of {', '.join(PRECISIONS)}", precision)
    require(isinstance(halving, bool), "halving", "True or False", halving)
    splits = made.get("splits", SPLITS[0])
    require(splits in SPLITS, "splits", f"one of {', '.join(SPLITS)}", splits)
    return replace(budget, **made)


@dataclass(frozen=True)
class Protocol:
    """How runs are made.

    Attributes:
        name: Its name.
        split: Kind of the train/val split, as in `data.split`.
        settings: Settings of every trial.
        pinned: Run the published fits and select the published choices, whatever the scores are.
    """

    name: str
    split: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    pinned: bool = False


PROTOCOLS = {
    "corrected": Protocol("corrected", split="stratified"),
    "published": Protocol(
        "published", split="last", settings={"restore_best_weights": False, "one_hot": False}, pinned=True
    ),
}


@dataclass(frozen=True)
class StageTrial:
    """A trial as one stage runs it.

    Attributes:
        name: Its name in the stage.
        settings: Its settings.
        seeds: One run for each.
        incumbent: Whether it is the trial that the previous stage selected.
        published: The published study's fit of this name; None if there is none, or if it does not concern the images.
        share: Share of the training images that it is fitted to.
    """

    name: str
    settings: Trial
    seeds: tuple[int, ...]
    incumbent: bool = False
    published: PublishedFit | None = None
    share: float = 1.0


def find_protocol(name: str) -> Protocol:
    """Return a protocol by its name; raise ConfigError if there is none."""
    return lookup(PROTOCOLS, name, "protocol")


def start(study: Study, budget: Budget, protocol: Protocol) -> Trial:
    """Return the trial from which a study's first stage starts."""
    settings = {"epochs": budget.epochs, "patience": budget.patience, "precision": budget.precision}
    if not protocol.pinned:  # the published fits name their batch sizes
        settings["batch_size"] = budget.batch_size
    return study.base.change(**settings | limit_epochs(study.start, budget) | dict(protocol.settings))


def plan_trials(
    stage: Stage, incumbent: Trial, budget: Budget, fits: Mapping[str, PublishedFit] | None = None
) -> tuple[StageTrial, ...]:
    """Return the trials of a stage; the incumbent is first, or is the trial that equals it.

    Args:
        stage: The stage.
        incumbent: The trial that the previous stage selected.
        budget: How much is run.
        fits: The published fits of the stage by the names of their trials; none if they do not concern the images.

    Raises:
        ConfigError: A trial of the stage has a setting that does not suit the incumbent.
    """
    skipped = skipped_trials(stage, budget)
    trials = {
        trial.name: incumbent.change(**limit_epochs(trial.changes, budget))
        for trial in stage.trials
        if trial.name not in skipped
    }
    if stage.keeps_incumbent and incumbent not in trials.values():
        trials = {UNCHANGED: incumbent, **trials}
    return share_runs(
        StageTrial(
            name=name,
            settings=settings,
            seeds=budget.seed_numbers,
            incumbent=settings == incumbent and stage.keeps_incumbent,
            published=(fits or {}).get(name),
        )
        for name, settings in trials.items()
    )


def share_runs(trials: Iterable[StageTrial]) -> tuple[StageTrial, ...]:
    """Return trials so that those with equal effective settings share their runs.

    They get the settings of the incumbent, if it is one of them, else those of the first of them.
    """
    trials = tuple(trials)
    shared: dict[Trial, Trial] = {}
    for trial in sorted(trials, key=lambda trial: not trial.incumbent):
        shared.setdefault(trial.settings.effective(), trial.settings)
    return tuple(replace(trial, settings=shared[trial.settings.effective()]) for trial in trials)


def skipped_trials(stage: Stage, budget: Budget) -> tuple[str, ...]:
    """Return the names of the trials that a budget skips."""
    return tuple(trial.name for trial in stage.trials if trial.expensive and not budget.expensive)


def has_trials(stage: Stage, budget: Budget) -> bool:
    """Return whether a budget runs a trial of a stage: it skips the expensive ones."""
    return stage.keeps_incumbent or len(skipped_trials(stage, budget)) < len(stage.trials)


def limit_epochs(changes: Mapping[str, Any], budget: Budget) -> dict[str, Any]:
    """Return changed settings with no more epochs than a budget allows."""
    return {name: min(value, budget.epochs) if name == "epochs" else value for name, value in changes.items()}


def published_trial(stage: str, budget: Budget, protocol: Protocol) -> Trial:
    """Return the published study's model before one of its stages, as the study intended it, without its mistakes.

    Raises:
        ConfigError: The published study has no such stage.
    """
    return start(built_in(), budget, protocol).change(**published_settings(stage))


def published_trials(stage: Stage, budget: Budget, protocol: Protocol) -> tuple[StageTrial, ...]:
    """Return the published study's fits of a stage. Each has its own seeds, so that repeated fits stay repeated."""
    trials: dict[str, StageTrial] = {}
    incumbent, skipped = published_trial(stage.name, budget, protocol), skipped_trials(stage, budget)
    for number, fit in enumerate(published_fits(), 1):
        if fit.stage == stage.name and fit.trial not in skipped:
            name = f"{fit.trial} (again)" if fit.trial in trials else fit.trial
            changes = limit_epochs({**fit.settings, **fit.changes}, budget)
            seeds = tuple(number * 1000 + seed for seed in budget.seed_numbers)
            trials[name] = StageTrial(name, incumbent.change(**changes), seeds, published=fit)
    return tuple(trials.values())


def mistake_model(budget: Budget) -> Trial:
    """Return the model to which the mistakes are added: the study's CNN-8 as intended, under the corrected protocol.

    Its learning rate is the one with the highest score; that the study selected another is one of the mistakes.
    """
    trial = published_trial("augmentation", budget, PROTOCOLS["corrected"]).change(learning_rate=_BEST_RATE)
    return trial if budget.expensive else trial.change(filters=_SMALL_FILTERS)


def mistake_trials(mistake: Mistake, budget: Budget) -> dict[str, StageTrial]:
    """Return a mistake's trials by their names, the one without the mistake first."""
    model = mistake_model(budget)
    return {
        trial.name: StageTrial(
            name=f"{mistake.name}: {trial.name}",
            settings=model.change(**limit_epochs(trial.changes, budget)),
            seeds=budget.seed_numbers,
        )
        for trial in mistake.trials
    }
