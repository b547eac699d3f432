"""Profiles, protocols, and the trials that a stage has under them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cnnlab.errors import ConfigError, lookup
from cnnlab.study.published import PublishedFit, published_fits
from cnnlab.study.settings import Architecture, Trial
from cnnlab.study.stages import STAGES, UNCHANGED, Stage


@dataclass(frozen=True)
class Profile:
    """How much is run.

    Attributes:
        name: Its name.
        seeds: Seeds of each trial.
        epochs: Most epochs of a fit.
        patience: Epochs without a better `val_loss` before a fit ends.
        train: Most training images.
        val: Most validation images.
        test: Most test images.
        batch_norm_momentum: Of the moving statistics: with few steps, the default 0.99 leaves them stale.
        expensive: Whether the expensive trials are run.
        precision: Of every fit, as in `Training`.
        halving: Whether hopeless trials are dropped early (see `halving`).
    """

    name: str
    seeds: int
    epochs: int
    patience: int
    train: int
    val: int
    test: int
    batch_norm_momentum: float
    expensive: bool
    precision: str = "float32"
    halving: bool = False


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("smoke", 1, 1, 5, 128, 64, 64, 0.9, expensive=False),
        Profile("quick", 3, 7, 5, 384, 200, 500, 0.9, expensive=False),
        Profile("full", 5, 500, 5, 40_000, 10_000, 10_000, 0.99, expensive=True),
    )
}


@dataclass(frozen=True)
class Protocol:
    """How runs are made.

    Attributes:
        name: Its name.
        split: Kind of the train/val split, as in `data.split`.
        settings: What every trial is given.
        pinned: Hand on the published picks and run the published fits, whatever our own figures say.
    """

    name: str
    split: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    pinned: bool = False


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("corrected", "stratified"),
        Protocol("published", "last", {"restore_best_weights": False, "one_hot": False}, pinned=True),
    )
}


@dataclass(frozen=True)
class StageTrial:
    """A trial as one stage runs it.

    Attributes:
        name: Its name in the stage.
        settings: Its settings.
        seeds: One run for each.
        incumbent: Whether it is what the stage before handed on.
        published: The published study's fit of that name; None if it made none.
    """

    name: str
    settings: Trial
    seeds: tuple[int, ...]
    incumbent: bool
    published: PublishedFit | None


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
    """Return the trials among which a stage chooses, the incumbent first unless a variant equals it."""
    if protocol.pinned:
        return _published_trials(stage, profile, protocol)
    seeds = tuple(range(1, profile.seeds + 1))
    skipped = skipped_trials(stage, profile)
    trials = {v.name: incumbent.change(**v.changes) for v in stage.trials if v.name not in skipped}
    if stage.keeps_incumbent and incumbent not in trials.values():
        trials = {UNCHANGED: incumbent, **trials}
    fits: dict[str, PublishedFit] = {}
    for fit in published_fits():
        if fit.stage == stage.name:
            fits.setdefault(fit.trial, fit)
    return tuple(
        StageTrial(name, trial, seeds, trial == incumbent and stage.keeps_incumbent, fits.get(name))
        for name, trial in trials.items()
    )


def within(changes: Mapping[str, Any], profile: Profile) -> dict[str, Any]:
    """Return changed settings with no more epochs than a profile allows."""
    return {name: min(value, profile.epochs) if name == "epochs" else value for name, value in changes.items()}


def skipped_trials(stage: Stage, profile: Profile) -> tuple[str, ...]:
    """Return the names of the trials that a profile does not run."""
    return tuple(variant.name for variant in stage.trials if variant.expensive and not profile.expensive)


def _published_trials(stage: Stage, profile: Profile, protocol: Protocol) -> tuple[StageTrial, ...]:
    """Return the published study's own fits of a stage; each has seeds of its own, so that repeats stay repeats."""
    incumbent = published_trial(stage, profile, protocol)
    skipped = skipped_trials(stage, profile)
    found: dict[str, StageTrial] = {}
    for number, fit in enumerate(published_fits(), 1):
        if fit.stage != stage.name or fit.trial in skipped:
            continue
        variant = next((variant.changes for variant in stage.trials if variant.name == fit.trial), {})
        changes = within({**variant, **fit.changes}, profile)
        name = f"{fit.trial} (again)" if fit.trial in found else fit.trial
        seeds = tuple(number * 1000 + seed for seed in range(1, profile.seeds + 1))
        found[name] = StageTrial(name, incumbent.change(**changes), seeds, False, fit)
    return tuple(found.values())


def published_trial(before: Stage, profile: Profile, protocol: Protocol) -> Trial:
    """Return what the published study had picked before a stage, as intended rather than as its slips had it."""
    trial = start(profile, protocol)
    for stage in STAGES[: STAGES.index(before)]:
        trial = trial.change(**_picked(stage))
    return trial


def _picked(stage: Stage) -> Mapping[str, Any]:
    """Return what the published study's choice of a stage changes."""
    return next((variant.changes for variant in stage.trials if variant.name == stage.published_choice), {})


def published_architecture(cnn: int) -> Architecture:
    """Return the layers of the published CNN-1 to CNN-9.

    Raises:
        ConfigError: No such number.
    """
    if cnn not in range(1, 10):
        raise ConfigError(f"Expected the number of a CNN, 1 to 9. Received: {cnn!r}.")
    last = [stage for stage in STAGES if stage.cnn <= cnn][-1]
    trial = published_trial(last, PROFILES["full"], PROTOCOLS["corrected"])
    return trial.change(**_picked(last)).architecture


def find_profile(name: str) -> Profile:
    """Return a profile by its name.

    Raises:
        ConfigError: No such profile.
    """
    return lookup(PROFILES, name, "profile")


def find_protocol(name: str) -> Protocol:
    """Return a protocol by its name.

    Raises:
        ConfigError: No such protocol.
    """
    return lookup(PROTOCOLS, name, "protocol")
