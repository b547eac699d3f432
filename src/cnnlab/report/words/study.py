"""Tables and sentences about the whole study: its answer, its stages and its claims."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from IPython.display import HTML, Markdown

from cnnlab import evidence
from cnnlab.evidence import Rule
from cnnlab.records import Record
from cnnlab.report.tables import count, mean_sd, table, text
from cnnlab.report.words.comparison import comparison_table, interval_text
from cnnlab.report.words.stage import SCORE_FORMATS, score_columns
from cnnlab.study import Budget, Stage, Study, Trial, cnn_number
from cnnlab.tuning import ClaimResult, ClaimStatus, StageResult, Tuning, final_stage, read_scores


def study_table(study: Study) -> HTML:
    """Return the stages of a study: name, question and trials."""
    stages = study.stages
    return table([{"stage": stage.name, "question": stage.question, "trials": _names(stage)} for stage in stages])


def _names(stage: Stage) -> str:
    return ", ".join(trial.name for trial in stage.trials)


@dataclass(frozen=True)
class KeyFigure:
    """One figure of a study's answer, as text: what it is, its value, and its interval or basis."""

    label: str
    value: str
    detail: str


def key_figures(tuning: Tuning, results: Sequence[StageResult]) -> list[KeyFigure]:
    """Return the study's answer in figures: the final model's test macro-F1, its gain, its size, the choices."""
    first, last = _first_stage(results), final_stage(results)
    if not first or not last:
        return []
    name, records, start = _first_name(first), last.selected_records, _first_records(first)
    final, several, runs = read_scores(tuning.store, records, "test"), len(records) > 1, count(len(records), "run")
    low, high = evidence.mean_interval(final)
    detail = f"95 % interval {low:.3f} to {high:.3f}; {runs}" if several else f"{runs}, so no interval"
    figures = [KeyFigure("test macro-F1 of the final model", f"{final.runs.mean():.3f}", detail)]
    if [record.digest for record in start] != [record.digest for record in records]:
        [gain] = evidence.compare({"first": read_scores(tuning.store, start, "test"), "final": final})
        detail = f"from {final.runs.mean() - gain.difference:.3f}"
        if several:
            detail = f"95 % interval {100 * gain.low:+.1f} to {100 * gain.high:+.1f}"
        figures.append(KeyFigure(f"points above {name}", f"{100 * gain.difference:+.1f}", detail))
    params, first_params = last.decision.selected_params, start[0].params
    figures.append(KeyFigure("parameters", f"{params:,}", f"{name} has {first_params:,}"))
    choices = _choices(results)
    if choices and several and not _is_pinned(choices):
        conclusive = [result for result in choices if _is_conclusive(result)]
        value = f"{len(conclusive)} of {len(choices)}"
        figures.append(KeyFigure("choices have a conclusive verdict", value, _titles(conclusive)))
    return figures


def _first_stage(results: Sequence[StageResult]) -> StageResult | None:
    return next((result for result in results if not result.stage.on_colour), None)


def _first_records(first: StageResult) -> list[Record]:
    """Return the runs of the model that the first stage starts from, or selects where it has no incumbent."""
    return first.records(first.incumbent.name) if first.incumbent else first.selected_records


def _first_name(first: StageResult) -> str:
    """Return what to call the first model: its CNN design where the published study concerns the images."""
    decision = first.decision
    concerns = decision.rule != Rule.PUBLISHED_CHOICE or any(trial.published for trial in first.trials)
    number = cnn_number(first.stage.name) if decision.published_choice and concerns and not first.incumbent else None
    return f"CNN-{number}, the first model" if number else "the first model"


def _choices(results: Sequence[StageResult]) -> list[StageResult]:
    """Return the stages that have trials to choose between, without those about colour."""
    return [result for result in results if not result.stage.on_colour and len(result.distinct_trials) > 1]


def _is_pinned(results: Sequence[StageResult]) -> bool:
    """Return whether the choices are those of the published study, whatever the scores."""
    return any(result.decision.rule == Rule.PUBLISHED_CHOICE for result in results)


def _is_conclusive(result: StageResult) -> bool:
    return result.decision.evidence is not None and result.decision.evidence.is_conclusive


def _test_f1(records: Sequence[Record]) -> list[float]:
    return [record.scores["test_f1"] for record in records]


def _titles(results: Sequence[StageResult]) -> str:
    """Return titles as a list within a sentence: "ReLU" stays as it is."""
    titles = [result.stage.title for result in results]
    return ", ".join(title[:1].lower() + title[1:] if title[1:].islower() else title for title in titles) or "none"


def inconclusive_choices(results: Sequence[StageResult]) -> HTML | None:
    """Return the choices with several seeds and an inconclusive verdict; None if there are none."""
    pairs = [
        (result.stage.name, result.decision.evidence)
        for result in results
        if result.decision.evidence and not _is_conclusive(result) and result.decision.n_seeds > 1
    ]
    return comparison_table([pair[1] for pair in pairs], stage=[pair[0] for pair in pairs]) if pairs else None


def stages_table(results: Sequence[StageResult]) -> HTML:
    """Return the model that each stage selected and what the choice rests on, one row per stage."""
    has_published, rows = any(result.decision.published_choice for result in results) and not _is_pinned(results), []
    for result in results:
        decision = result.decision
        scores = {
            name: mean_sd([record.scores[name] for record in result.selected_records]) for name in ("val_f1", "test_f1")
        }
        published = {"published choice": "the same" if decision.agrees else decision.published_choice}
        rows.append(
            {
                "stage": result.stage.name,
                "selected": decision.selected,
                **(published if has_published else {}),
                "params": decision.selected_params,
                **scores,
                "against": decision.evidence.against if decision.evidence else "",
                "difference": decision.evidence.difference if decision.evidence else None,
                "95 % interval": interval_text(decision.evidence),
                "verdict": decision.verdict,
            }
        )
    return table(rows, {"params": ",d", "difference": "+.3f"})


def leaderboard(results: Sequence[StageResult], rows: int = 10) -> HTML:
    """Return the best trials of all stages by mean `val_f1`, equal trials once."""
    best: dict[Trial, tuple[float, dict[str, Any]]] = {}
    for result in results:
        for trial in result.distinct_trials:
            records = result.records(trial.name)
            score = float(np.mean([record.scores["val_f1"] for record in records]))
            row = {"stage": result.stage.name, "trial": trial.name, **score_columns(records)}
            best.setdefault(trial.settings, (score, row))
    ranked = sorted(best.values(), key=lambda pair: -pair[0])[:rows]
    return table([row for _, row in ranked], SCORE_FORMATS)


def gray_and_colour_scores(gray: StageResult | None, colour: StageResult) -> Markdown:
    """Return the scores of a grayscale stage's network on both kinds of images, and which other settings differ.

    It makes no claim beyond means and standard deviations.
    """
    if gray is None:
        return Markdown("There is no result on grayscale images to compare with.")
    before = gray.selected.settings
    same = [trial for trial in colour.trials if trial.settings.input.augmentation == before.input.augmentation]
    if not same:
        return Markdown("No trial of this stage has the same augmentation as the grayscale network.")
    trial = same[0]
    old, new = (
        {name: value for part in settings.canonical().values() for name, value in part.items()}
        for settings in (before, trial.settings)
    )
    others = ", ".join(name for name, value in new.items() if name != "colour" and value != old[name])
    differ = f" Other settings that differ: {others}." if others else ""
    on_gray, on_colour = _test_f1(gray.selected_records), _test_f1(colour.records(trial.name))
    return Markdown(
        f"The same network with the same augmentation ({text(before.input.augmentation)}) has a `test_f1` of "
        f"{mean_sd(on_gray)} on grayscale images and of {mean_sd(on_colour)} on colour images ({len(on_gray)} and "
        f"{len(on_colour)} runs), a difference of {100 * float(np.mean(on_colour) - np.mean(on_gray)):+.1f} points."
        + differ
    )


@dataclass(frozen=True)
class _Finding:
    """A result of the study: plain text for the terminal, where "" is omitted; Markdown for the page if it differs."""

    short: str
    long: str | None = None


def _findings(
    results: Sequence[StageResult], budget: Budget, claim_results: Sequence[ClaimResult] = ()
) -> list[_Finding]:
    """Return the results of the study, most important first."""
    first, last = _first_stage(results), final_stage(results)
    if not first or not last:
        return [_Finding("No stage has a result.")]
    choices = _choices(results)
    published = [result.decision.agrees for result in choices if result.decision.published_choice]
    agreement = ""
    if _is_pinned(choices):
        agreement = "Each stage selects the published choice, whatever the scores are."
    elif published:
        agreement = f"{sum(published)} of {len(published)} choices are those of the published study."
    statuses = Counter(result.status for result in claim_results)
    shown = [status for status in ClaimStatus if status != ClaimStatus.SKIPPED or statuses[status]]
    claims = f"Claims: {', '.join(f'{statuses[status]} {status}' for status in shown)}." if statuses else ""
    colour = [_test_f1(result.selected_records) for result in results if result.stage.on_colour]
    split = first.selected_records[0].split
    basis = (
        f"These results come from {split['train']:,} training, {split['val']:,} validation and {split['test']:,} test "
        f"images, with {count(budget.seeds, 'run')} per trial."
    )
    if budget.seeds > 1:
        basis += (
            " Better or worse means: by more than the noise between seeds and between images, at 5 % after Holm's "
            "correction over all pairs of a stage's trials."
        )
    return [
        _final_model(first, last),
        *(_verdicts(choices, budget) if choices else []),
        _Finding(f"{agreement} {claims}".strip(), agreement),
        *(_Finding(f"On colour images: test macro-F1 {mean_sd(f1)} (n = {len(f1)}).") for f1 in colour),
        _Finding("", basis),
    ]


def _final_model(first: StageResult, last: StageResult) -> _Finding:
    start, name = _first_records(first), _first_name(first)
    before, after = _test_f1(start), _test_f1(last.selected_records)
    gain = 100 * float(np.mean(after) - np.mean(before))
    return _Finding(
        f"Final model: test macro-F1 {mean_sd(after)} (n = {len(after)}), {abs(gain):.1f} points "
        f"{'above' if gain >= 0 else 'below'} {name}.",
        f"The final model has {last.decision.selected_params:,} parameters and a test macro-F1 of "
        f"**{mean_sd(after)}** (n = {len(after)}): **{gain:+.1f} points** compared with {name}, which has "
        f"{start[0].params:,} parameters and {mean_sd(before)}.",
    )


def _verdicts(choices: Sequence[StageResult], budget: Budget) -> list[_Finding]:
    """Return which choices are conclusive, and which are not."""
    groups: dict[tuple[bool, str], list[StageResult]] = defaultdict(list)
    for result in choices:
        groups[_is_conclusive(result), _outcome(result)].append(result)
    better, inconclusive = (
        " ".join(
            f"Stages that {outcome}: {_titles(stages)}."
            for (is_conclusive, outcome), stages in groups.items()
            if is_conclusive == wanted
        )
        for wanted in (True, False)
    )
    if budget.seeds == 1:
        reason = "With one run per trial, every verdict is inconclusive."
        return [_Finding(reason, f"{reason} {text(inconclusive)}")]
    titles = _titles([result for result in choices if not _is_conclusive(result)])
    conclusive = better or "No choice has a conclusive verdict."
    return [
        _Finding(conclusive, text(conclusive)),
        _Finding(f"Inconclusive: {titles}.", text(inconclusive)),
    ]


def _outcome(result: StageResult) -> str:
    """Return what a stage did, with its verdict, to follow "Stages that"."""
    act = "kept the incumbent" if result.selected.incumbent else "selected a new trial"
    if result.decision.rule == Rule.PUBLISHED_CHOICE:
        act = "selected the published choice"
    if not result.decision.evidence or not result.decision.evidence.is_conclusive:
        return f"{act} (inconclusive)"
    other = result.trial(result.decision.evidence.against)
    return f"{act} ({result.decision.verdict} than {'the incumbent' if other.incumbent else 'the best other trial'})"


def findings(results: Sequence[StageResult], budget: Budget) -> list[str]:
    """Return the results of the study as Markdown sentences, most important first."""
    texts = [finding.short if finding.long is None else finding.long for finding in _findings(results, budget)]
    return [line for line in texts if line]


def terminal_summary(results: Sequence[StageResult], claim_results: Sequence[ClaimResult], budget: Budget) -> list[str]:
    """Return the results of the study in at most five lines of plain text, most important first."""
    lines = [finding.short for finding in _findings(results, budget, claim_results) if finding.short]
    return lines[:5]


def claim_table(claim_results: Sequence[ClaimResult]) -> HTML:
    """Return the declared claims with their status and the difference that was measured, or why it is missing."""
    rows = [
        {
            "claim": result.claim.says,
            "status": result.status,
            "difference in test_f1": result.comparison.difference if result.comparison else result.reason or "not run",
            "95 % interval": interval_text(result.comparison),
            "claimed": f"> {result.claim.by:g}",
        }
        for result in claim_results
    ]
    return table(rows, {"difference in test_f1": "+.3f"})
