"""Check a study against a budget and the images, before anything is run."""

from collections.abc import Iterator, Mapping
from typing import Any

from cnnlab.errors import ConfigError, StudyError
from cnnlab.study.plan import PROTOCOLS, Budget, limit_epochs, start
from cnnlab.study.settings import Architecture, Trial
from cnnlab.study.stages import INCUMBENT, UNCHANGED, Stage, Study


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
    """Require the networks of a study to be no deeper than the images allow, as long as no stage changes the model.

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
    return [line for stage in study.stages for line in _stage_notes(stage, study, budget)]


def _stage_notes(stage: Stage, study: Study, budget: Budget) -> Iterator[str]:
    incumbent, seen = start(study, budget, PROTOCOLS["corrected"]), dict[Trial, str]()
    if stage.keeps_incumbent:
        seen[incumbent.effective()] = INCUMBENT
    for trial in stage.trials:
        place = f"stage {stage.name!r}, trial {trial.name!r}"
        try:
            settings = incumbent.change(**limit_epochs(trial.changes, budget))
        except ConfigError as error:
            yield f"{place}: only a model that an earlier stage selects may suit it. {error}"
            continue
        idle = list(_idle(incumbent, trial.changes, budget))
        for name in idle:
            yield f"{place}: {name} = {trial.changes[name]!r} has no effect, because {_reason(name, budget)}."
        other = seen.setdefault(settings.effective(), trial.name)
        # A trial with the settings of the start is no mistake: the incumbent may have others by then.
        if other != trial.name and settings != incumbent and not idle:
            whose = "the incumbent" if other == INCUMBENT else f"the trial {other!r}"
            yield f"{place}: it is equal to {whose} in this budget, so it shares its runs."


def _trials(study: Study, budget: Budget) -> Iterator[tuple[Stage, str, Trial]]:
    """Yield the trials of each stage with their names, as if no stage changed the model, if they suit it."""
    incumbent = start(study, budget, PROTOCOLS["corrected"])
    for stage in study.stages:
        if stage.keeps_incumbent:
            yield stage, UNCHANGED, incumbent
        for trial in stage.trials:
            try:
                yield stage, trial.name, incumbent.change(**limit_epochs(trial.changes, budget))
            except ConfigError:
                continue


def _idle(incumbent: Trial, changes: Mapping[str, Any], budget: Budget) -> Iterator[str]:
    """Yield the changed settings that have no effect together with the others."""
    trial = incumbent.change(**limit_epochs(changes, budget))
    for name, value in changes.items():
        others = {other: changes[other] for other in changes if other != name}
        try:
            without = incumbent.change(**limit_epochs(others, budget))
        except ConfigError:  # the others need it
            continue
        is_cut = name == "epochs" and value > budget.epochs
        if is_cut or (without != trial and without.effective() == trial.effective()):
            yield name


def _reason(name: str, budget: Budget) -> str:
    if name in ("epochs", "patience"):
        return f"the budget allows at most {budget.epochs} epoch{'' if budget.epochs == 1 else 's'} (EPOCHS)"
    return "other settings of the trial switch it off"
