"""Make the runs of a search, some of which may fail."""

from collections.abc import Sequence

from cnnlab.errors import RunError
from cnnlab.records import Record
from cnnlab.study import StageTrial
from cnnlab.tuning.runner import Runner


def attempt(runner: Runner, name: str, trials: Sequence[StageTrial]) -> dict[str, str]:
    """Make the runs of some trials. A run that has failed is not tried again, so that the search stays the same.

    It raises what `Runner.run` does, except for RunError.

    Args:
        runner: Makes the runs that are not stored.
        name: What is run, for the callback.
        trials: The trials.

    Returns:
        Name of each trial of which a run failed to the reason.
    """
    reasons = {trial.name: reason for trial in trials if (reason := _failure(runner, trial))}
    planned = [trial for trial in trials if trial.name not in reasons]
    if not planned:
        return reasons
    try:
        runner.run(name, planned)
    except RunError as error:  # all other runs are stored
        for digest, reason in error.failures.items():
            runner.store.put_failure(digest, reason)
        reasons |= {
            trial.name: _failure(runner, trial) or str(error)
            for trial in planned
            if len(stored(runner, trial)) < len(trial.seeds)
        }
    return reasons


def stored(runner: Runner, trial: StageTrial) -> tuple[Record, ...]:
    """Return the stored runs of a trial, in the order of its seeds."""
    records = (runner.store.get(digest) for digest in _digests(runner, trial))
    return tuple(record for record in records if record is not None)


def _failure(runner: Runner, trial: StageTrial) -> str:
    """Return why a run of a trial failed earlier; "" if none did."""
    reasons = (runner.store.failure(digest) for digest in _digests(runner, trial))
    return next(filter(None, reasons), "")


def _digests(runner: Runner, trial: StageTrial) -> list[str]:
    return [run.digest for run, _, _ in runner.images.work(trial.settings, trial.seeds)]
