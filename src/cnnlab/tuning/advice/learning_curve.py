"""The learning curve: the final model with a quarter, a half and all of its training images."""

from cnnlab import evidence
from cnnlab.records import RunStore
from cnnlab.study import LEARNING_CURVE
from cnnlab.tuning.results import CurvePoint, LearningCurve, StageResult, read_scores
from cnnlab.tuning.runner import Runner
from cnnlab.tuning.scope import Scope

ALL_IMAGES = "all images"
"""Name of the last point of a learning curve."""


def measure_curve(runner: Runner, store: RunStore, scope: Scope, final: StageResult) -> LearningCurve | None:
    """Return the learning curve of the final model; None if the scope has none.

    With each seed, the smaller runs train on a part of the same images, and each part contains the smaller one. All are
    validated and tested on the same images.

    Args:
        runner: Makes the runs that are not stored.
        store: Where they are stored.
        scope: What of the study is run.
        final: The stage that selected the final model.

    Raises:
        ConfigError: There is no scheduler or no worker.
        RecordError: The run store cannot be used.
        RunError: A run failed.
        WorkerError: A worker of a cluster has other versions.
    """
    parts = scope.curve_trials(final.selected.settings)
    if not parts:
        return None
    runs = runner.run(LEARNING_CURVE, parts)
    records = {part.name: [runs[part.name, seed] for seed in part.seeds] for part in parts}
    records[ALL_IMAGES] = final.selected_records
    given = runner.images.has_given_val
    scores = {
        name: {part: read_scores(store, group, part, given_val=given) for part in ("val", "test")}
        for name, group in records.items()
    }
    points = tuple(
        CurvePoint(
            name,
            group,
            val_f1=float(scores[name]["val"].runs.mean()),
            val_interval=evidence.mean_interval(scores[name]["val"]),
            test_f1=float(scores[name]["test"].runs.mean()),
            test_interval=evidence.mean_interval(scores[name]["test"]),
        )
        for name, group in records.items()
    )
    [gain] = evidence.compare({name: scores[name]["val"] for name in (parts[-1].name, ALL_IMAGES)})
    return LearningCurve(points, gain)
