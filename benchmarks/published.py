"""The fits that the published study chose, at full size and as it made them, beside its figures."""

from collections.abc import Iterator, Sequence

import pandas as pd

from cnnlab.engine import Work
from cnnlab.models import model_cost
from cnnlab.records import run_row
from cnnlab.report.words.published import noise_limit
from cnnlab.study import StageTrial, published_fits
from cnnlab.tuning import Tuning

HEADS = ("fit", "stage", "trial", "params", "epochs", "time", "test F1", "published", "difference", "within the noise")


def study(data: str, runs: str) -> Tuning:
    """Return the published study as it was run, on all images, with one seed a fit."""
    return Tuning(data, runs, "full", "published", budget={"seeds": 1})


def chosen(tuning: Tuning) -> Iterator[tuple[str, StageTrial]]:
    """Yield what each stage chose and both trials on colour images, with the stage; equal fits once."""
    names = {(fit.stage, fit.trial) for fit in published_fits() if fit.chosen or fit.on_colour}
    seen = set()
    for stage in tuning.stages:
        for trial in tuning.scope.plan(stage, tuning.incumbent(stage)):
            if (stage.name, trial.name) in names and trial.settings not in seen:
                seen.add(trial.settings)
                yield stage.name, trial


def work(tuning: Tuning, trials: Sequence[StageTrial]) -> list[Work]:
    """Return the runs of some trials, the cheapest first."""
    runs = [item for trial in trials for item in tuning.images.work(trial.settings, trial.seeds)]
    return sorted(runs, key=lambda item: model_cost(item[0].trial.architecture, item[1].image_shape, 10).flops)


def table(tuning: Tuning) -> pd.DataFrame:
    """Return the fits that are stored, one row each, with the published figures."""
    rows = []
    for stage, trial in chosen(tuning):
        [(run, *_)] = work(tuning, [trial])
        record = tuning.store.get(run.digest)
        if record and trial.published:
            rows.append(
                {"stage": stage, "trial": trial.name, "fit": trial.published.fit, **run_row(record)}
                | {"published_f1": trial.published.test_f1}
            )
    made = pd.DataFrame(rows)
    return made.assign(difference=made["test_f1"] - made["published_f1"]) if rows else made


def rows(made: pd.DataFrame) -> list[list[str]]:
    """Return the rows of the table in docs/results.md."""
    return [
        [
            fit.fit, fit.stage, fit.trial, f"{fit.params:,}", fit.epochs, f"{fit.train_seconds / 60:.0f} min",
            f"{fit.test_f1:.3f}", f"{fit.published_f1:.3f}", f"{fit.difference:+.3f}",
            "yes" if abs(fit.difference) <= noise_limit() else "no",
        ]
        for fit in made.itertuples()
    ]  # fmt: skip
