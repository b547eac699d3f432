"""Profiles, protocols, and the trials that a stage has under them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cnnlab.errors import ConfigError, lookup
from cnnlab.study.published import PublishedFit, published_fits, published_stages
from cnnlab.study.settings import Architecture, Trial
from cnnlab.study.stages import UNCHANGED, Stage


@dataclass(frozen=True)
class Profile:
    """A named budget.

    Attributes:
        name: Its name.
        seeds: Seeds per trial.
        epochs: Maximum number of epochs of a fit.
        train: Maximum number of training images.
        val: Maximum number of validation images.
        test: Maximum number of test images.
        patience: Epochs without a better `val_loss` before a fit ends.
        batch_norm_momentum: Of the moving statistics. After few steps, the default 0.99 leaves them near their start.
        expensive: Whether the expensive trials are run.
        precision: Of every fit, as in `Training`.
        halving: Whether successive halving drops trials.
    """

    name: str
    seeds: int
    epochs: int
    train: int
    val: int
    test: int
    patience: int = 5
    batch_norm_momentum: float = 0.99
    expensive: bool = False
    precision: str = "float32"
    halving: bool = False

    @property
    def seed_numbers(self) -> tuple[int, ...]:
        """The seeds of each trial, from 1."""
        return tuple(range(1, self.seeds + 1))


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("smoke", seeds=1, epochs=1, train=128, val=100, test=100, batch_norm_momentum=0.9),
        Profile("quick", seeds=3, epochs=7, train=384, val=200, test=500, batch_norm_momentum=0.9),
        Profile("full", seeds=5, epochs=500, train=40_000, val=10_000, test=10_000, expensive=True),
    )
}


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
        published: The published study's fit of this name; None if there is none.
    """

    name: str
    settings: Trial
    seeds: tuple[int, ...]
    incumbent: bool = False
    published: PublishedFit | None = None


def find_profile(name: str) -> Profile:
    """Return a profile by its name; raise ConfigError if there is none."""
    return lookup(PROFILES, name, "profile")


def find_protocol(name: str) -> Protocol:
    """Return a protocol by its name; raise ConfigError if there is none."""
    return lookup(PROTOCOLS, name, "protocol")


def start(profile: Profile, protocol: Protocol) -> Trial:
    """Return the trial from which the first stage starts."""
    return Trial().change(
        epochs=profile.epochs,
        patience=profile.patience,
        batch_norm_momentum=profile.batch_norm_momentum,
        precision=profile.precision,
        **protocol.settings,
    )


def plan_trials(stage: Stage, incumbent: Trial, profile: Profile, protocol: Protocol) -> tuple[StageTrial, ...]:
    """Return the trials of a stage; the incumbent is first, or is the trial that equals it.

    Raises:
        ConfigError: A trial of the stage has a setting that does not exist, or that does not suit the incumbent.
    """
    if protocol.pinned:
        return published_trials(stage.name, profile, protocol, skipped_trials(stage, profile))
    skipped = skipped_trials(stage, profile)
    trials = {trial.name: incumbent.change(**trial.changes) for trial in stage.trials if trial.name not in skipped}
    if stage.keeps_incumbent and incumbent not in trials.values():
        trials = {UNCHANGED: incumbent, **trials}
    fits = {fit.trial: fit for fit in reversed(published_fits()) if fit.stage == stage.name}  # the first of a name
    return share_runs(
        StageTrial(
            name=name,
            settings=settings,
            seeds=profile.seed_numbers,
            incumbent=settings == incumbent and stage.keeps_incumbent,
            published=fits.get(name),
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


def skipped_trials(stage: Stage, profile: Profile) -> tuple[str, ...]:
    """Return the names of the trials that a profile skips."""
    return tuple(trial.name for trial in stage.trials if trial.expensive and not profile.expensive)


def limit_epochs(changes: Mapping[str, Any], profile: Profile) -> dict[str, Any]:
    """Return changed settings with no more epochs than a profile allows."""
    return {name: min(value, profile.epochs) if name == "epochs" else value for name, value in changes.items()}


def published_trial(stage: str, profile: Profile, protocol: Protocol) -> Trial:
    """Return the published study's model before one of its stages, as the study intended it, without its mistakes.

    Raises:
        ConfigError: The published study has no such stage.
    """
    stages = {name: number for number, name in enumerate(published_stages())}
    before = list(stages)[: lookup(stages, stage, "stage of the published study")]
    return _choose([fit for fit in published_fits() if fit.stage in before], start(profile, protocol))


def published_architecture(cnn: int) -> Architecture:
    """Return the layers of the published CNN-1 to CNN-9.

    Raises:
        ConfigError: There is no CNN of this number.
    """
    if cnn not in range(1, 10):
        raise ConfigError(f"Expected the number of a CNN, 1 to 9. Received: {cnn!r}.")
    return _choose([fit for fit in published_fits() if fit.cnn <= cnn], Trial()).architecture


def _choose(fits: Iterable[PublishedFit], trial: Trial) -> Trial:
    """Return a trial, changed by the settings of those published fits that the study chose."""
    for fit in fits:
        if fit.chosen:
            trial = trial.change(**fit.settings)
    return trial


def published_trials(
    stage: str, profile: Profile, protocol: Protocol, skipped: Collection[str] = ()
) -> tuple[StageTrial, ...]:
    """Return the published study's fits of a stage. Each has its own seeds, so that repeated fits stay repeated."""
    trials: dict[str, StageTrial] = {}
    for number, fit in enumerate(published_fits(), 1):
        if fit.stage == stage and fit.trial not in skipped:
            incumbent = published_trial(stage, profile, protocol)
            name = f"{fit.trial} (again)" if fit.trial in trials else fit.trial
            changes = limit_epochs({**fit.settings, **fit.changes}, profile)
            seeds = tuple(number * 1000 + seed for seed in profile.seed_numbers)
            trials[name] = StageTrial(name, incumbent.change(**changes), seeds, published=fit)
    return tuple(trials.values())
