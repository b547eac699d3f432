"""All runs of a study."""

from collections.abc import Sequence

from IPython.display import HTML

from cnnlab.report.tables import table, trial_cell
from cnnlab.report.words.settings import setting_text
from cnnlab.tuning import StageResult
from cnnlab.tuning.advice.edges import named_settings
from cnnlab.tuning.tables import trials_and_runs

_FORMATS = {"seconds": ".1f", "val_f1": ".3f", "test_f1": ".3f"}


def runs_table(results: Sequence[StageResult]) -> HTML:
    """Return all runs, one row a run. A run that stages share is in the row of the first of them.

    The last column has the settings in which a trial differs from the first one of the study.
    """
    first = dict(named_settings(results[0].trials[0].settings))
    seen, rows = set[str](), []
    for result in results:
        for trial, record in trials_and_runs(result):
            if record.digest in seen:
                continue
            seen.add(record.digest)
            changed = (pair for pair in named_settings(trial.settings) if pair[1] != first.get(pair[0]))
            rows.append(
                {
                    "stage": result.stage.name,
                    "trial": trial_cell(trial.name),
                    "seed": record.seed,
                    "epochs": record.epochs,
                    "seconds": record.train_seconds,
                    "val_f1": record.scores["val_f1"],
                    "test_f1": record.scores["test_f1"],
                    "settings that differ from the first model": "; ".join(
                        f"{setting} {setting_text(value)}" for setting, value in changed
                    ),
                }
            )
    return table(rows, _FORMATS)
