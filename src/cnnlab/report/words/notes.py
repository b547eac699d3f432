"""The findings and verdicts of stages in words, and whether the budget is enough for them."""

from collections import defaultdict
from collections.abc import Collection, Sequence

from IPython.display import Markdown

from cnnlab.evidence import Comparison, Rule, Verdict
from cnnlab.report.tables import text
from cnnlab.study import UNCHANGED
from cnnlab.tuning import StageResult, Tuning, advice

TITLE_LENGTH = 40  # letters of a stage's title within its heading
NAME_LENGTH = 30  # letters of a trial's name within a heading


def stage_title(tuning: Tuning, result: StageResult) -> str:
    """Return a stage's heading as a finding, in plain text: "Optimizer: “adam” kept; 3 of 6 others are worse".

    A point is 0.01 of mean `val_f1`. The finding says better or worse only where the verdict does.
    """
    return f"{_shorten(result.stage.title, TITLE_LENGTH)}: {_finding(tuning, result)}"


def _finding(tuning: Tuning, result: StageResult) -> str:
    decision, made = result.decision, result.decision.evidence
    not_learned = advice.has_not_learned(tuning, result)
    if len(not_learned) == len(result.distinct_trials):
        return "no trial has learned" if made else f"the model has not learned (macro-F1 {decision.val_f1_mean:.2f})"
    if not made:
        if result.stage.search:
            return "its winner is the incumbent" if len(result.trials) > 1 else "no proposal was run"
        if len(result.trials) > 1:
            return "all trials are the same in this budget"
        return f"macro-F1 {decision.val_f1_mean:.2f} on the validation images"
    selected = _name(decision.selected)
    if decision.rule == Rule.PUBLISHED_CHOICE:
        return f"{selected} is the published choice"
    is_kept = made.against == decision.selected
    act = f"{selected} selected"
    if is_kept and result.incumbent:
        act = "unchanged" if decision.selected == UNCHANGED else f"{selected} kept"
    if not made.has_interval:
        other = "; winner" if result.stage.search else "; best other trial:"
        return f"{act}{other if is_kept else ':'} {100 * made.difference:+z.1f} points (one run each)"
    if decision.selected in not_learned:
        return f"{act}, but it has not learned"
    if is_kept:
        return f"{act}; {_others(decision.comparisons, not_learned)}"
    if made.against in not_learned:
        return f"{act}; {'the incumbent' if result.incumbent else _name(made.against)} has not learned"
    return act + _gain(made)


def _gain(made: Comparison) -> str:
    """Return the verdict on a selected trial that is not the reference, to follow "selected"."""
    points, size = f"{100 * made.difference:+z.1f} points", f"{_points(made)} points"
    if made.verdict == Verdict.BETTER:
        return f", {size} better"
    # Only the one-standard-error rule selects a trial with a lower mean than the reference, and only a smaller one.
    if made.verdict == Verdict.WORSE:
        return f": smaller, and {size} worse"
    if made.difference < 0:
        return f": smaller, not shown to be worse ({points})"
    return f", not shown to be better ({points})"


def _others(comparisons: Sequence[Comparison], not_learned: Collection[str]) -> str:
    """Return how the other trials compare with the reference, which is selected."""
    n, only = len(comparisons), _name(comparisons[0].trial) if len(comparisons) == 1 else ""
    learned = [made for made in comparisons if made.trial not in not_learned]
    better = [made for made in learned if made.verdict == Verdict.BETTER]
    worse = [made for made in comparisons if made.verdict == Verdict.WORSE]
    if better:  # the one-standard-error rule selects the reference nevertheless, because it is smaller
        one = f"{_name(better[0].trial)} is {_points(better[0])} points"
        return f"{one if len(better) == 1 else _of(better, n, 'are')} better, but larger"
    if not learned:
        return f"{only or 'no other trial'} has {'not ' if only else ''}learned"
    if len(worse) == len(learned) == n:
        return f"{only or 'every other trial'} is {_range(worse)} points worse"
    if len(learned) == n and not worse:
        return f"{only or 'no other trial'} {'not ' if only else ''}shown to be better"
    without = n - len(learned)
    parts = [f"{_of(worse, n, 'is' if len(worse) == 1 else 'are')} worse"] if worse else []
    if without:
        of = "" if worse else f" of {n} others"
        if all(made.verdict == Verdict.WORSE for made in comparisons if made.trial in not_learned):
            of = " of them"
        parts.append(f"{without}{of} {'has' if without == 1 else 'have'} not learned")
    return ", ".join(parts)


def _of(some: Sequence[Comparison], n: int, verb: str) -> str:
    return f"{len(some)} of {n} others {verb}"


def _points(made: Comparison) -> str:
    return f"{100 * abs(made.difference):.1f}"


def _range(made: Sequence[Comparison]) -> str:
    """Return "38 to 56", the smallest and the largest difference in points."""
    sizes = [100 * abs(one.difference) for one in made]
    form = ".0f" if min(sizes) >= 10 else ".1f"
    return " to ".join(dict.fromkeys(format(size, form) for size in (min(sizes), max(sizes))))


def _name(name: str) -> str:
    return f"“{_shorten(name, NAME_LENGTH)}”"


def _shorten(value: str, length: int) -> str:
    """Return a text on one line, without its middle where it is longer."""
    line, half = " ".join(value.split()), (length - 1) // 2
    return line if len(line) <= length else f"{_start(line, half)}…{_start(line[::-1], half)[::-1]}"


def _start(line: str, length: int) -> str:
    """Return the first letters of a line, without a last word that would be cut, unless that leaves little."""
    words = line[: length + 1].rpartition(" ")[0]
    return words if len(words) > length / 2 else line[:length]


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


def not_learned_text(tuning: Tuning, result: StageResult, comparison: Comparison | None) -> str:
    """Return which trial of a comparison has not learned, and why, as plain text; "" if both have learned."""
    if not comparison:
        return ""
    reasons = advice.has_not_learned(tuning, result)
    names = [name for name in (comparison.trial, comparison.against) if name in reasons]
    if [reasons[name] for name in names] == ["at chance"] * 2:
        return f"neither trial has learned ({_accuracies(tuning, result, names)})"
    return " and ".join(
        f"{'the incumbent' if result.trial(name).incumbent else f'“{name}”'} has not learned "
        f"({'diverged' if reasons[name] == 'diverged' else _accuracies(tuning, result, [name])})"
        for name in names
    )


def not_learned_reason(tuning: Tuning, result: StageResult, name: str) -> str:
    """Return why a trial has not learned, as "accuracy 0.12, chance 0.10"; "" if it has learned."""
    reason = advice.has_not_learned(tuning, result).get(name, "")
    return _accuracies(tuning, result, [name]) if reason == "at chance" else reason


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
