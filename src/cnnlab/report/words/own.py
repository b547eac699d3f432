"""Sentences and pictures about the trials that a user adds to a stage in a notebook."""

from collections.abc import Iterable

from IPython.display import Markdown

from cnnlab.report import plots
from cnnlab.report.plots import Picture
from cnnlab.report.tables import mean_sd, text
from cnnlab.report.words.comparison import comparison_text, quoted
from cnnlab.report.words.notes import not_learned_text
from cnnlab.tuning import StageResult, Tuning


def own_verdicts(tuning: Tuning, result: StageResult, names: Iterable[str]) -> Markdown:
    """Return the score of some trials of a stage and the verdict on each, one line a trial.

    Args:
        tuning: The study.
        result: The stage, with these trials.
        names: The trials.
    """
    compared = {made.trial: made for made in result.decision.comparisons}
    lines = []
    for name in names:
        scores = mean_sd([record.scores["val_f1"] for record in result.records(name)])
        line = f"- {quoted(name)}: `val_f1` {scores}. "
        if same := result.same_as.get(name):
            line += f"Its runs are those of {quoted(same)}: in this budget, what it changes has no effect."
        elif made := compared.get(name):
            reason = text(not_learned_text(tuning, result, made))
            other = "the incumbent" if result.incumbent else f"the first trial ({quoted(made.against)})"
            line += f"Compared with {other}: {comparison_text(made)}{reason and f' But {reason}.'}"
        else:
            line += "There is no trial to compare it with."
        lines.append(line + (" The stage would select it." if result.decision.selected == name else ""))
    return Markdown("\n".join(lines))


def own_curves(result: StageResult, names: Iterable[str]) -> Picture:
    """Return loss and `val_f1` by epoch of some trials of a stage and of its incumbent."""
    reference = result.incumbent.name if result.incumbent else ""
    wanted = {reference, *names}
    shown = {name: records for name, records in result.records_by_trial.items() if name in wanted}
    return plots.curves(shown, plots.colours(result), reference)
