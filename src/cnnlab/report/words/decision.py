"""What a stage selects and why, in sentences. None says more than its numbers."""

import numpy as np
from IPython.display import Markdown

from cnnlab.evidence import Comparison, Rule
from cnnlab.report.tables import text
from cnnlab.report.words.comparison import difference_text, outlook, quoted, seeds_needed
from cnnlab.report.words.notes import not_learned_text, stage_title
from cnnlab.report.words.stage import published_f1, same_text
from cnnlab.study import UNCHANGED
from cnnlab.tuning import StageResult, Tuning


def stage_intro(tuning: Tuning, result: StageResult) -> Markdown:
    """Return a stage's finding as heading, its question, its reason, the answer, and the trials not run in full."""
    stage = result.stage
    lines = [f"# {text(stage_title(tuning, result))}"]
    lines += [f"**{text(stage.question)}**"] if stage.question else []
    lines += [text(stage.why)] if stage.why else []
    lines.append(_answer(tuning, result))
    absent = []
    if result.skipped:
        absent.append(f"Skipped in this budget, because they are expensive: {', '.join(map(quoted, result.skipped))}.")
    if result.dropped:
        names = ", ".join(
            f"{quoted(trial.name)} (`val_accuracy` {trial.val_accuracy:.3f}, that of the best trial {trial.best:.3f}, "
            f"{f'epoch {trial.epochs}' if trial.epochs else 'full fit'})"
            for trial in result.dropped
        )
        absent.append(f"Dropped early, on one seed: {names}.")
    lines += [" ".join(absent)] if absent else []
    return Markdown("\n\n".join(lines))


def _answer(tuning: Tuning, result: StageResult) -> str:
    """Return which trial a stage selects, with its score, and the verdict: at most two sentences."""
    decision, made = result.decision, result.decision.evidence
    mean = f"mean `val_f1` {decision.val_f1_mean:.3f}"
    if decision.rule == Rule.BETTER and made:
        return _winner_answer(tuning, result, made, mean)
    if not made:
        return f"{_rule(result).removesuffix('.')}: {mean}."
    name, why = quoted(decision.selected), "is selected"
    if decision.rule == Rule.PUBLISHED_CHOICE:
        why = "is the published choice, which this protocol selects"
    elif result.selected.incumbent:
        name, why = f"The incumbent{_named(decision.selected)}", "is kept"
    if decision.rule == Rule.ONE_STANDARD_ERROR and decision.selected != decision.best:
        why += ", because it is smaller than the best trial and within one standard error of it"
    return f"{name} {why}: {mean}. {_verdict(tuning, result, made)}"


def _winner_answer(tuning: Tuning, result: StageResult, made: Comparison, mean: str) -> str:
    """Return whether the winner of a joint search is the model to use, with the verdict on it."""
    reason = text(not_learned_text(tuning, result, made))
    if made.is_conclusive:
        end = "so it is the model to use" if made.trial == result.decision.selected else "so the incumbent stays"
        verdict = f"The winner of the search is **{made.verdict}** than the incumbent, {end}: {mean}"
        return f"{verdict}, difference {difference_text(made)}{reason and f', but {reason}'}."
    return (
        f"The winner of the search is not shown to be better, so the incumbent stays: {mean}. The comparison is "
        f"**inconclusive**{reason and f', and {reason}'}: difference {difference_text(made)}{outlook(made)}."
    )


def _verdict(tuning: Tuning, result: StageResult, made: Comparison) -> str:
    """Return the verdict on the selected trial; where that is the reference, the verdict on the best other trial."""
    is_kept = made.against == result.decision.selected
    if is_kept:
        other = f"best other trial{_named(made.trial)}"
    else:
        other = f"{'incumbent' if result.incumbent else 'first trial'}{_named(made.against)}"
    reason = text(not_learned_text(tuning, result, made))
    if made.is_conclusive:
        compared = f"The {other} is **{made.verdict}**" if is_kept else f"It is **{made.verdict}** than the {other}"
        return f"{compared}: difference {difference_text(made)}{reason and f', but {reason}'}."
    compared = f"The comparison with the {other} is **inconclusive**{reason and f', and {reason}'}"
    return f"{compared}: difference {difference_text(made)}{outlook(made)}."


def _named(name: str) -> str:
    """Return the name of a trial to follow what it is, as " (“64”)"."""
    return "" if name == UNCHANGED else f" ({quoted(name)})"


def decision_details(result: StageResult) -> Markdown:
    """Return why a stage selects its trial, which trials are equal, and how many seeds a verdict needs."""
    decision = result.decision
    pooled = ", from the runs of all trials" if len(result.distinct_trials) > 1 else ""
    se = "" if np.isnan(decision.val_f1_se) else f" The standard error of a mean is {decision.val_f1_se:.3f}{pooled}."
    lines = [f"{_rule(result)}{se}"]
    for name in result.same_as:
        same = text(same_text(result, name))
        lines.append(f"{quoted(name)} is the {same} in this budget, so it is not compared.")
    needed = {made.trial: seeds_needed(made) for made in decision.comparisons}
    if any(needed.values()):
        listed = ", ".join(f"{quoted(name)}: {number}" for name, number in needed.items() if number)
        lines.append(f"Seeds needed: {listed}.")
    fits = [trial.published for trial in result.trials if trial.published and trial.name == decision.published_choice]
    if fits and len(result.trials) > 1 and decision.rule != Rule.PUBLISHED_CHOICE:
        choice = "the same trial" if decision.agrees else quoted(fits[0].trial)
        lines.append(f"The published study chose {choice} (test F1 {published_f1(fits[0])}).")
    return Markdown("\n".join(f"- {line}" for line in lines))


def _rule(result: StageResult) -> str:
    """Return why the selected trial is selected."""
    decision = result.decision
    name = "The incumbent" if decision.selected == UNCHANGED else quoted(decision.selected)
    if result.stage.search:
        return _search_rule(result)
    if decision.rule == Rule.ONLY_TRIAL:
        return (
            "All trials have the same runs in this budget." if len(result.trials) > 1 else f"{name} is the only trial."
        )
    if decision.rule == Rule.PUBLISHED_CHOICE:
        return f"{name} is the published choice, which this protocol selects whatever the scores are."
    if decision.rule == Rule.BEST:
        return f"{name} has the best `val_f1`. With one seed there is no standard error."
    params = {_params(result, trial.name) for trial in result.distinct_trials}
    if len(params) == 1:
        return f"{name} has the best mean; all trials have the same number of parameters."
    if decision.selected != decision.best:
        best = float(np.mean([record.scores["val_f1"] for record in result.records(decision.best)]))
        return (
            f"{name} has {decision.selected_params:,} parameters, the fewest of the trials within one standard error "
            f"of the best mean: {best:.3f}, of {quoted(decision.best)} with {_params(result, decision.best):,}."
        )
    if decision.selected_params == min(params):
        return f"{name} has the best mean and the fewest parameters."
    return f"{name} has the best mean, and no trial with fewer parameters is within one standard error of it."


def _search_rule(result: StageResult) -> str:
    """Return why a joint search selects its winner or the incumbent."""
    if result.decision.rule == Rule.BETTER:
        return "The incumbent stays unless the winner of the search is better, whatever their numbers of parameters."
    if len(result.trials) > 1:
        return "The winner of the search has the same runs as the incumbent, which stays."
    return "No proposal of the search was run, so the incumbent stays."


def _params(result: StageResult, name: str) -> int:
    return result.records(name)[0].params
