"""Trials that a user adds to a stage in a notebook."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from cnnlab import models
from cnnlab.engine import Engine
from cnnlab.errors import ConfigError, require_name
from cnnlab.study import Budget, OwnModel, Stage, StageTrial, Trial, options, read_own_function, require_settings
from cnnlab.tuning.images import StudyImages

Custom = Mapping[str, Any] | Callable[..., Any] | OwnModel
"""What a user gives for a trial: the settings in which it differs from the incumbent, a function of a model, or the
model as it was read from one."""


def require_custom(trials: object, base: Trial) -> dict[str, Mapping[str, Any] | OwnModel]:
    """Require further trials by their names, and read their functions, before any run is made for them.

    Args:
        trials: What the user gave.
        base: The trial whose settings they may change, which may have an own model.

    Returns:
        Name of each trial to its settings, or to the model of its function, as they are now.

    Raises:
        ConfigError: They are something else, or a setting does not exist or is out of its range.
    """
    if not isinstance(trials, Mapping):
        name = getattr(trials, "__name__", "")
        advice = f" Give the trial a name: {{'my trial': {name}}}." if callable(trials) else ""
        raise ConfigError(f"{_EXPECTED} Received: {trials!r}.{advice}")
    custom = dict[str, Mapping[str, Any] | OwnModel]()
    for name, value in trials.items():
        require_name("a trial", name)
        if isinstance(value, OwnModel):
            custom[name] = value
        elif isinstance(value, Mapping):
            require_settings(name, value, base)
            custom[name] = dict(value)
        elif callable(value):
            custom[name] = read_own_function(value)
        else:
            is_setting = _is_setting(name, base)
            advice = f" Give the trial a name: {{'my trial': {dict(trials)!r}}}." if is_setting else ""
            raise ConfigError(f"{_EXPECTED} Received for {name!r}: {value!r}.{advice}")
    return custom


_EXPECTED = (
    "Expected a name for each trial and its settings, as {'96 units': {'dense_units': 96}}, or a function that builds "
    "its model, as {'my net': build}."
)


def _is_setting(name: str, trial: Trial) -> bool:
    """Return whether a trial has a setting of this name."""
    return any(option.name == name for option in options(trial))


def custom_trials(
    stage: Stage,
    custom: Mapping[str, Mapping[str, Any] | OwnModel],
    planned: tuple[StageTrial, ...],
    incumbent: Trial,
    budget: Budget,
) -> tuple[StageTrial, ...]:
    """Return further trials of a stage. Those of a colour stage get colour images.

    Args:
        stage: The stage.
        custom: Their names, and the settings that they change in the incumbent, or the model that they train with the
            incumbent's settings of training and input.
        planned: The stage's own trials.
        incumbent: The trial that the previous stage selected.
        budget: How much is run.

    Raises:
        ConfigError: A trial of the stage has a name already, or a setting does not suit the incumbent.
    """
    if taken := [name for name in custom if name in {trial.name for trial in planned}]:
        raise ConfigError(f"Expected a name that no trial of {stage.name} has. Received: {taken[0]!r}.")
    base = incumbent.change(colour=True) if stage.on_colour else incumbent
    trials = {
        name: attrs.evolve(base, architecture=value) if isinstance(value, OwnModel) else base.change(**value)
        for name, value in custom.items()
    }
    return tuple(StageTrial(name, trial, budget.seed_numbers) for name, trial in trials.items())


def check_models(trials: Iterable[Trial], images: StudyImages, engine: Engine) -> list[str]:
    """Build the own models of some trials on a worker, so that their errors are found before any run.

    Returns:
        What the user should know, see `models.check_own_model`.

    Raises:
        ConfigError: One cannot be built or used, or there is no scheduler.
        DataError: The images cannot be used.
    """
    notes: list[str] = []
    checked = dict.fromkeys((trial.architecture, trial.input.colour, trial.training.precision) for trial in trials)
    for model, colour, precision in checked:
        if isinstance(model, OwnModel):
            dataset = images.dataset(colour)
            shape, n_classes = dataset.image_shape, len(dataset.class_names)
            notes += engine.call(models.check_own_model, model, shape, n_classes, precision)
    return notes
