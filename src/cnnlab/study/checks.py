"""Check a study against a budget and the images, before anything is run."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from cnnlab.errors import ConfigError, StudyError
from cnnlab.study.plan import PROTOCOLS, Budget, limit_epochs, skipped_trials, start
from cnnlab.study.settings import Architecture, Trial
from cnnlab.study.stages import INCUMBENT, UNCHANGED, Stage, Study

_LAYERS = {"filters", "convs_per_block", "padding"}  # they decide how large images must be


def require_size(architecture: Architecture, image_shape: tuple[int, ...]) -> None:
    """Require images to be large enough for an architecture's poolings.

    Args:
        architecture: The layers.
        image_shape: Height, width and channels of an image.

    Raises:
        ConfigError: They are too small.
    """
    least, blocks, convs = 1, len(architecture.filters), architecture.convs_per_block
    for _ in range(blocks):
        least = 2 * least + (2 * convs if architecture.padding == "valid" else 0)
    if min(image_shape[:2]) < least:
        raise ConfigError(
            f"Expected images of at least {least} x {least} pixels for {blocks} blocks of {convs} convolutions "
            f"({architecture.padding} padding) and a pooling. Received: {image_shape[0]} x {image_shape[1]}. Use "
            "larger images, fewer blocks, or padding = 'same'."
        )


def require_depth(study: Study, budget: Budget, image_shape: tuple[int, ...]) -> None:
    """Require the networks of a study to be no deeper than the images allow.

    Trials that the budget skips may be deeper, and so may those after a stage that varies these layers: whether they
    suit the images depends on the trial that it selects.

    Args:
        study: The study.
        budget: How much is run.
        image_shape: Height, width and channels of an image.

    Raises:
        StudyError: Some are too deep; it names all of them.
    """
    problems = []
    for stage, name, trial in _trials(study, budget):
        try:
            if isinstance(trial.architecture, Architecture):
                require_size(trial.architecture, image_shape)
        except ConfigError as error:
            problems.append(f"stage {stage.name!r}, trial {name!r}: {error}")
    if problems:
        raise StudyError(f"{study.name}.toml", problems)


def notes(study: Study, budget: Budget) -> list[str]:
    """Return what a user should know about a study before it is run: equal trials, settings without effect.

    The trials are looked at as if no stage before changed the model.
    """
    incumbent = start(study, budget, PROTOCOLS["corrected"])
    in_start = {name: value for name, value in study.start.items() if name in ("epochs", "patience")}
    lines = _idle_notes("start", incumbent, in_start, budget)
    return [*lines, *(line for stage in study.stages for line in _stage_notes(stage, incumbent, budget))]


def _stage_notes(stage: Stage, incumbent: Trial, budget: Budget) -> Iterator[str]:
    seen = {incumbent.effective(): INCUMBENT} if stage.keeps_incumbent else {}
    for trial in stage.trials:
        place = f"stage {stage.name!r}, trial {trial.name!r}"
        try:
            settings = incumbent.change(**limit_epochs(trial.changes, budget))
        except ConfigError as error:
            yield (
                f"{place}: it does not suit the study's first model, but may suit one that an earlier stage selects. "
                f"{error}"
            )
            continue
        idle = list(_idle_notes(place, incumbent, trial.changes, budget))
        yield from idle
        other = seen.setdefault(settings.effective(), trial.name)
        # No note for a trial equal to the start: when its stage is run, the incumbent may have other settings.
        if other != trial.name and settings != incumbent and not (idle and other == INCUMBENT):
            whose = "the incumbent" if other == INCUMBENT else f"the trial {other!r}"
            yield f"{place}: it is equal to {whose} in this budget, so it shares its runs."


def _trials(study: Study, budget: Budget) -> Iterator[tuple[Stage, str, Trial]]:
    """Yield the trials of each stage with their names, up to the first stage that varies how deep networks are."""
    incumbent = start(study, budget, PROTOCOLS["corrected"])
    for stage in study.stages:
        if stage.keeps_incumbent:
            yield stage, UNCHANGED, incumbent
        for trial in stage.trials:
            if trial.name not in skipped_trials(stage, budget):
                with suppress(ConfigError):
                    yield stage, trial.name, incumbent.change(**trial.changes)
        if _LAYERS & set(stage.settings):
            return


def _idle_notes(place: str, incumbent: Trial, changes: Mapping[str, Any], budget: Budget) -> Iterator[str]:
    """Yield a line for each changed setting that has no effect together with the others."""
    trial = incumbent.change(**limit_epochs(changes, budget))
    for name, value in changes.items():
        if reason := _idle_reason(name, value, incumbent, trial, changes, budget):
            yield f"{place}: {name} = {value!r} has no effect, because {reason}."


def _idle_reason(
    name: str, value: Any, incumbent: Trial, trial: Trial, changes: Mapping[str, Any], budget: Budget
) -> str:
    """Return why a changed setting has no effect in a trial; "" if it has one."""
    if name == "epochs" and value > budget.epochs:
        return f"the budget allows at most {_epochs(budget.epochs)} (EPOCHS)"
    if name == "patience" and value is not None and value >= trial.training.epochs:
        return f"a fit of at most {_epochs(trial.training.epochs)} never waits so long (EPOCHS)"
    try:
        without = incumbent.change(**{other: changes[other] for other in changes if other != name})
    except ConfigError:  # the others need it
        return ""
    without = without.change(epochs=trial.training.epochs)
    if without == trial or without.effective() != trial.effective():
        return ""
    if name == "dropout":
        return "a rate of 0 is no dropout"
    return "other settings switch it off, as long as no earlier stage changes them"


def _epochs(number: int) -> str:
    return f"{number} epoch{'' if number == 1 else 's'}"
