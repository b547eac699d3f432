"""What a study consists of: stages with their trials, claims, and the published study's mistakes."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cnnlab.errors import lookup
from cnnlab.study.search import SEARCH, Search
from cnnlab.study.settings import Trial

UNCHANGED = "unchanged"  # name of the incumbent if no trial of the stage equals it
SELECTED = "selected"  # in a claim, in place of a trial's name: the trial that the stage selects
INCUMBENT = "incumbent"  # in a claim, in place of a trial's name: the trial that the previous stage selected
FINAL = "final"  # in a claim, in place of a stage's name: the last stage that is not about colour
ALL_MISTAKES = "mistakes"  # in place of a stage's name: the runs of all mistakes
LEARNING_CURVE = "learning-curve"  # in place of a stage's name: the final model on parts of its training images


@dataclass(frozen=True)
class TrialSpec:
    """One trial of a stage.

    Attributes:
        name: Its name in the stage.
        changes: The settings in which it differs from the incumbent.
        expensive: It costs several times the study's usual fit; profiles for a CPU skip it.
    """

    name: str
    changes: Mapping[str, Any]
    expensive: bool = False


@dataclass(frozen=True)
class Stage:
    """One tuning step: a question, and the trials that answer it.

    Attributes:
        name: Its identifier, as in file names.
        title: Its heading.
        question: Its question, in one sentence; may be "".
        why: Why the answer matters; may be "".
        trials: Its trials.
        keeps_incumbent: Whether the incumbent is a trial too.
        search: The joint search whose winner is its trial beside the incumbent; None in all other stages.
    """

    name: str
    title: str
    question: str = ""
    why: str = ""
    trials: tuple[TrialSpec, ...] = ()
    keeps_incumbent: bool = True
    search: Search | None = None

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that it varies."""
        return tuple(dict.fromkeys(name for trial in self.trials for name in trial.changes))

    @property
    def on_colour(self) -> bool:
        """Whether it is about the kind of images: its trials set `colour`."""
        return "colour" in self.settings


@dataclass(frozen=True)
class Claim:
    """A sentence that the runs can support or refute: one trial has a higher `test_f1` than another.

    Attributes:
        says: The claim in words.
        better: Stage (or `FINAL`) and name (or `SELECTED` or `INCUMBENT`) of the trial with the higher score.
        than: Stage and name of the other trial.
        by: The smallest difference for which the claim is true.
    """

    says: str
    better: tuple[str, str]
    than: tuple[str, str]
    by: float = 0.0


@dataclass(frozen=True)
class Mistake:
    """A mistake of the published study.

    Attributes:
        name: Its identifier.
        title: Its heading.
        description: What the study did, and how it affects the result.
        trials: Changes to the model of `mistake_model`: first the trial without the mistake, then with it. Empty if
            the mistake changes no result.
    """

    name: str
    title: str
    description: str
    trials: tuple[TrialSpec, ...] = ()


@dataclass(frozen=True)
class Study:
    """An ordered list of stages, with the trial they start from.

    Attributes:
        name: The name of its file without `.toml`; "published" for the published study.
        title: Its heading.
        images: One line about the images; may be "".
        start: The settings in which the first incumbent differs from the settings' defaults.
        stages: Its stages, in order.
        claims: Claims about its results.
        matters: The smallest difference in macro-F1 that matters, above 0 and below 1.
        mistakes: The published study's mistakes; none in other studies.
        base: The trial that `start` changes: the defaults, with the own model if there is one.
        text: The text of its file.
        is_built_in: Whether it is the published study.
    """

    name: str
    title: str
    images: str
    start: Mapping[str, Any]
    stages: tuple[Stage, ...]
    claims: tuple[Claim, ...] = ()
    matters: float = 0.02
    mistakes: tuple[Mistake, ...] = ()
    base: Trial = field(default_factory=Trial)
    text: str = field(default="", repr=False)
    is_built_in: bool = False

    @cached_property
    def digest(self) -> str:
        """The SHA-256 (64 hex digits) of its text and of the settings that it starts from."""
        return hashlib.sha256(f"{self.text}\n{self.base.canonical()}".encode()).hexdigest()

    def stage(self, name: str) -> Stage:
        """Return a stage by its name.

        Raises:
            ConfigError: There is none.
        """
        return lookup({stage.name: stage for stage in self.stages}, name, "stage")


def with_search(stages: tuple[Stage, ...], search: Search) -> tuple[Stage, ...]:
    """Return stages with that of a joint search: before the first one about colour, or last if there is none."""
    stage = Stage(
        SEARCH,
        "Joint search",
        "Does a search over several settings at once find a better model?",
        "The stages before vary one setting after the other, so an early setting is not tuned again after a later one "
        "has changed. A search varies several settings together. The best of its many scores is partly luck, so this "
        "trial is run again with the seeds of the incumbent before the two are compared.",
        search=search,
    )
    place = next((number for number, other in enumerate(stages) if other.on_colour), len(stages))
    return *stages[:place], stage, *stages[place:]
