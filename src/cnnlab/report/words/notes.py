"""The verdicts of stages in words, and whether the budget is enough for them."""

from collections import defaultdict
from collections.abc import Sequence

from IPython.display import Markdown

from cnnlab.evidence import Comparison, Rule
from cnnlab.report.tables import text
from cnnlab.tuning import StageResult, Tuning, advice


def budget_notes(tuning: Tuning, result: StageResult) -> Markdown:
    """Return why the budget may not be enough for a stage's question, as a list; "" where it is enough.

    Raises:
        RecordError: A run's predictions are missing or damaged.
    """
    notes = advice.budget_notes(tuning, result)
    if not notes:
        return Markdown("")
    lines = [f"- {text(note.text)}" for note in notes]
    return Markdown("\n".join(["**The budget may not be enough for this question:**\n", *lines]))


def verdict_text(tuning: Tuning, result: StageResult) -> str:
    """Return a stage's verdict as `comparison_verdict` does; "" where there is none."""
    comparison = result.decision.evidence
    return comparison_verdict(tuning, result, comparison) if comparison else ""


def comparison_verdict(tuning: Tuning, result: StageResult, comparison: Comparison) -> str:
    """Return the verdict of one of a stage's comparisons as plain text. It says so if a trial has not learned."""
    reason = not_learned_text(tuning, result, comparison)
    return (
        f"{comparison.verdict}, {'but' if comparison.is_conclusive else 'and'} {reason}"
        if reason
        else comparison.verdict
    )


def not_learned_text(tuning: Tuning, result: StageResult, comparison: Comparison | None) -> str:
    """Return which trial of a comparison has not learned, and why, as plain text; "" if both have learned."""
    if not comparison:
        return ""
    reasons = advice.has_not_learned(tuning, result)
    names = [name for name in (comparison.trial, comparison.against) if name in reasons]
    if [reasons[name] for name in names] == ["at chance"] * 2:
        return f"neither trial has learned ({_accuracies(tuning, result, names)})"
    return " and ".join(
        f"{'the incumbent' if result.trial(name).incumbent else f'the trial {name}'} has not learned "
        f"({'diverged' if reasons[name] == 'diverged' else _accuracies(tuning, result, [name])})"
        for name in names
    )


def _accuracies(tuning: Tuning, result: StageResult, names: Sequence[str]) -> str:
    """Return "accuracy 0.11 and 0.12, chance 0.10" for some trials."""
    accuracies = " and ".join(f"{advice.val_accuracy(result.records(name)):.2f}" for name in names)
    return f"accuracy {accuracies}, chance {advice.chance_accuracy(tuning, result.records(names[0])):.2f}"


def is_conclusive(result: StageResult) -> bool:
    """Return whether a stage's verdict is better or worse."""
    return result.decision.evidence is not None and result.decision.evidence.is_conclusive


def group_choices(
    tuning: Tuning, choices: Sequence[StageResult]
) -> tuple[list[StageResult], list[StageResult], list[StageResult]]:
    """Return the choices in three groups: conclusive, inconclusive, and those between trials that have not learned."""
    not_learned = [result for result in choices if not_learned_text(tuning, result, result.decision.evidence)]
    learned = [result for result in choices if result not in not_learned]
    conclusive = [result for result in learned if is_conclusive(result)]
    inconclusive = [result for result in learned if not is_conclusive(result)]
    return conclusive, inconclusive, not_learned


def by_outcome(results: Sequence[StageResult]) -> str:
    """Return what stages did, with their verdicts, as sentences; stages with the same outcome are named together."""
    groups: dict[str, list[StageResult]] = defaultdict(list)
    for result in results:
        groups[_outcome(result)].append(result)
    return " ".join(f"Stages that {outcome}: {titles(stages)}." for outcome, stages in groups.items())


def _outcome(result: StageResult) -> str:
    """Return what a stage did, with its verdict, to follow "Stages that"."""
    decision, made = result.decision, result.decision.evidence
    reference = "incumbent" if result.incumbent else "first trial"
    act = "selected a new trial"
    if decision.rule == Rule.PUBLISHED_CHOICE:
        act = "selected the published choice"
    elif made and made.against == decision.selected:
        act = f"{'kept' if result.incumbent else 'selected'} the {reference}"
    if not made or not made.is_conclusive:
        return f"{act} (inconclusive)"
    if made.trial == decision.selected:
        return f"{act} ({made.verdict} than the {reference})"
    return f"{act} (the best other trial is {made.verdict})"


def titles(results: Sequence[StageResult]) -> str:
    """Return titles as a list within a sentence: "ReLU" stays as it is."""
    titles = [result.stage.title for result in results]
    return ", ".join(title[:1].lower() + title[1:] if title[1:].islower() else title for title in titles) or "none"
