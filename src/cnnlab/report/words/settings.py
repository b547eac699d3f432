"""The settings of trials: those in which they differ, and what each may be."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from IPython.display import HTML

from cnnlab import study
from cnnlab.report.tables import table, trial_cell
from cnnlab.study import StageTrial, Trial
from cnnlab.tuning import StageResult, Tuning
from cnnlab.tuning.advice.edges import named_settings, value_text
from cnnlab.tuning.tables import trials_and_runs

_AUGMENTATIONS = {
    "flip-shift": "flips and one-pixel shifts",
    "flip-crop": "flips, and random crops after a black border of 4 pixels is added",
}


def settings_options(tuning: Tuning, trial: Trial) -> HTML:
    """Return what a custom trial may change, one row a setting: its value now, what it may be, and what it is.

    Without colour images, the settings about them are left out.

    Args:
        tuning: The study.
        trial: The trial that is changed: the incumbent.
    """
    left_out = set() if tuning.images.folder.colour else {"colour", "layout"}
    rows = [
        {
            "setting": option.name,
            "now": _code(option.value),
            "what it may be": option.expected,
            "what it is": option.about,
        }
        for option in study.options(trial)
        if option.name not in left_out
    ]
    return table(rows)


def trial_settings(trials: Sequence[StageTrial]) -> HTML:
    """Return the trials of a stage, one row a trial, the incumbent first: the settings in which they differ."""
    ordered = sorted(trials, key=lambda trial: not trial.incumbent)
    return table(_rows((({"trial": trial_cell(trial.name)}, trial.settings) for trial in ordered), _code))


def settings_table(results: Sequence[StageResult]) -> HTML:
    """Return the settings of all trials, one row a trial: those that are not the same in all of them."""
    named = {
        (result.stage.name, trial.name): trial.settings for result in results for trial, _ in trials_and_runs(result)
    }
    trials = (({"stage": stage, "trial": trial_cell(name)}, settings) for (stage, name), settings in named.items())
    return table(_rows(trials, setting_text))


def setting_text(value: Any) -> str:
    """Return the value of a setting as text."""
    if isinstance(value, list):
        return value_text(value) or "none"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def optimizer_text(trial: Trial) -> str:
    """Return the optimizer of a trial with its settings that are not Keras's defaults, and the size of its batches."""
    training = trial.effective().training
    momentum = f" with Nesterov momentum {training.momentum:g}" if training.momentum else ""
    schedule = "" if training.schedule == "constant" else f" ({training.schedule})"
    decay = f", weight decay {training.weight_decay:g}" if training.weight_decay else ""
    rate = f"learning rate {training.learning_rate:g}{schedule}"
    return f"{training.optimizer}{momentum}, {rate}{decay}, batches of {training.batch_size}"


def augmentation_text(name: str) -> str:
    """Return what an augmentation does."""
    return _AUGMENTATIONS.get(name, name)


def _code(value: Any) -> str:
    """Return the value of a setting as it is written in Python."""
    return repr(list(value)) if isinstance(value, tuple) else repr(value)


def _rows(trials: Iterable[tuple[dict[str, str], Trial]], text: Callable[[Any], str]) -> list[dict[str, str]]:
    """Return a row for each trial: its first cells, and its settings that are not the same in all trials, as text."""
    cells = [(first, dict(named_settings(trial))) for first, trial in trials]
    names = dict.fromkeys(name for _, settings in cells for name in settings)
    varied = [name for name in names if len({repr(settings.get(name)) for _, settings in cells}) > 1]
    return [
        first | {name: text(settings[name]) if name in settings else "" for name in varied} for first, settings in cells
    ]
