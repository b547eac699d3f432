"""What another trial may change in a trial: the name of each setting, what it may be, and what it is."""

import inspect
import re
from typing import Any

import attrs

from cnnlab.study.own import PLAIN, OwnModel
from cnnlab.study.settings import Trial


@attrs.frozen
class Option:
    """A setting that another trial may change.

    Attributes:
        name: Its name, as `Trial.change` takes it.
        value: Its value in the trial; None also for a parameter of an own model without a value.
        expected: What it may be, as the error for another value says it.
        about: What it is, as the docstring of its class says it.
    """

    name: str
    value: Any
    expected: str
    about: str


def options(trial: Trial) -> list[Option]:
    """Return the settings that another trial may change: those of the layers or of the own model, then the others."""
    settings = list[Option]()
    for part in (trial.architecture, trial.training, trial.input):
        if isinstance(part, OwnModel):
            about = f"A parameter of {part.function}."
            settings += [Option(name, part.settings.get(name), PLAIN, about) for name in part.parameters]
            continue
        abouts = _read_attributes(type(part))
        settings += [
            Option(setting.name, getattr(part, setting.name), setting.validator.expected, abouts[setting.name])
            for setting in attrs.fields(type(part))
        ]
    return settings


def _read_attributes(kind: type) -> dict[str, str]:
    """Return what the docstring of a class says about each attribute, on one line."""
    section = (inspect.getdoc(kind) or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    # A line of four spaces, a name and a text; lines with more spaces continue it.
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}
