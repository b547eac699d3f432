"""The trials of a joint search: how many, from which settings, and about which ones before it is run."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cnnlab.errors import ConfigError
from cnnlab.study import MOST_TRIALS, Budget, Search, Stage, StageTrial, Trial, limit_epochs
from cnnlab.tuning.search.cost import Costs
from cnnlab.tuning.search.oracle import quasi_random, require_tuner

if TYPE_CHECKING:
    from cnnlab.tuning.scope import Scope

CHECKED_TRIALS = 4
"""So many trials of a search are looked at before anything is run."""


def most_trials(search: Search, budget: Budget) -> int | None:
    """Return how many trials a search runs; None if its cost decides."""
    return budget.search or search.trials


def check(stage: Stage, search: Search, scope: "Scope") -> list[Trial]:
    """Check the search of a stage before anything is run; return some of its trials, to be checked as others are.

    Raises:
        ConfigError: Keras Tuner is missing, or the search has no budget: neither a number of trials, nor stages before
            it, whose cost is its own.
        DataError: The images cannot be used.
    """
    require_tuner()
    if most_trials(search, scope.budget) is None and not scope.path(stage):
        raise ConfigError(
            "Expected stages before the search, whose cost is its budget, or a number of trials. Received: neither. "
            "Write trials = 20 under [search]."
        )
    few = replace(stage, search=replace(search, trials=CHECKED_TRIALS))
    return [trial.settings for trial in scope.search_trials(few, scope.start, ())]


def make_trial(search: Search, incumbent: Trial, settings: Mapping[str, Any], scope: "Scope") -> Trial:
    """Return the trial with some settings of a search.

    Raises:
        ConfigError: The settings do not fit together, or the images are too small for them.
    """
    trial = incumbent.change(**limit_epochs({**search.fixed, **settings}, scope.budget))
    scope.require_size(trial)
    return trial


def expected_trials(
    search: Search, incumbent: Trial, path: Iterable[StageTrial], scope: "Scope", costs: Costs
) -> tuple[StageTrial, ...]:
    """Return about the trials that a search will run: the first quasi-random ones, as many as its budget allows.

    Args:
        search: The search.
        incumbent: The trial that the stage before selects.
        path: The trials of the stages before, whose cost is the search's budget.
        scope: What of the study is run.
        costs: Costs of trials.

    Raises:
        DataError: The images cannot be used.
    """
    number = most_trials(search, scope.budget)
    left = sum(costs.trial(trial) for trial, _ in {(trial.settings, seed) for trial in path for seed in trial.seeds})
    trials: dict[Trial, StageTrial] = {}
    for point in quasi_random(search, number or MOST_TRIALS):
        if number is None and left <= 0:
            break
        try:
            settings = make_trial(search, incumbent, search.settings(point), scope)
        except ConfigError:
            continue
        if settings.effective() not in trials:
            trials[settings.effective()] = StageTrial(f"trial {len(trials) + 1}", settings, search.seed_numbers)
            left -= costs.trial(settings) * search.seeds
    return tuple(trials.values())
