"""Plan a study, or fit its budget into a time, before it is run."""

import time
from typing import TYPE_CHECKING

from cnnlab.tuning.planning.calibration import calibrate
from cnnlab.tuning.planning.estimate import duration, estimate, plan_table
from cnnlab.tuning.planning.ladder import choose_rung, parse_time

if TYPE_CHECKING:
    from cnnlab.tuning.tuning import Tuning


def plan_lines(tuning: "Tuning") -> list[str]:
    """Return what a report will take, stage by stage, as lines of text. This starts the workers and measures them.

    Raises:
        ConfigError: The study cannot be run, or there is no scheduler or worker.
        DataError: The images cannot be used.
        RunError: No trial could be measured.
        WorkerError: A worker has other versions.
    """
    notes = tuning.check()
    calibration, budget = tuning.calibration or calibrate(tuning), tuning.budget
    made = estimate(tuning, calibration)
    workers = f"{calibration.workers} worker{'' if calibration.workers == 1 else 's'}"
    return [
        *(f"study: {note}" for note in notes),
        *(["Halving will drop some of these runs; all are counted."] if budget.halving else []),
        f"{tuning.study.title}: profile {budget.profile}, {budget.seeds} seeds, at most {budget.epochs} epochs, "
        f"at most {budget.train:,} training images",
        *plan_table(made),
        f"Estimated from measurements on {workers}, which took {duration(calibration.seconds)}.",
    ]


def fit_time(tuning: "Tuning", limit: str, *, report: bool = True) -> str:
    """Give a study the largest budget that fits a time, and return the settings that repeat it, as a line of text.

    Args:
        tuning: The study; numbers of its budget that the user has given stay as they are.
        limit: The time, as "2h" or "90m".
        report: Whether notebooks and page are made.

    Raises:
        ConfigError: It is no time, or the smallest budget takes longer; or as for `plan_lines`.
        DataError: The images cannot be used.
        RunError: No trial could be measured.
        WorkerError: A worker has other versions.
    """
    asked, started = parse_time(limit), time.monotonic()
    tuning.check()
    calibration = calibrate(tuning)
    rung = choose_rung(tuning, calibration, asked, spent=time.monotonic() - started, report=report)
    tuning.use_budget(rung.budget)
    tuning.calibration = calibration
    low, high = rung.estimate.seconds
    spent = time.monotonic() - started
    tuning.time = {"asked_seconds": asked, "estimated_seconds": [round(low), round(high)], "spent_before": spent}
    numbers = {**{name: getattr(tuning.budget, name) for name in tuning.given}, **rung.changes}
    settings = " ".join(f"{name.upper()}={value}" for name, value in numbers.items())
    return (
        f"TIME={limit}: the largest budget that fits is {settings} (estimated: {duration(low, high)}). To "
        "repeat or resume it, give these settings instead of TIME."
    )
