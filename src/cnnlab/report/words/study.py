"""Tables and sentences about the whole study: its answer, its stages and its claims."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from IPython.display import HTML, Markdown

from cnnlab import evidence
from cnnlab.evidence import Comparison, Rule
from cnnlab.records import Record
from cnnlab.report.tables import count, mean_sd, table, text
from cnnlab.report.words.comparison import comparison_table, interval_text
from cnnlab.report.words.notes import by_outcome, group_choices, is_conclusive, titles, verdict_text
from cnnlab.report.words.stage import SCORE_FORMATS, score_columns
from cnnlab.study import Study, Trial, cnn_number
from cnnlab.tuning import ClaimResult, ClaimStatus, StageResult, Tuning, final_stage, have_same_runs, read_scores

NOT_SHOWN = "not shown to be better"


def study_table(study: Study) -> HTML:
    """Return the stages of a study: name, question and trials."""
    names = {stage.name: ", ".join(trial.name for trial in stage.trials) for stage in study.stages}
    rows = [{"stage": stage.name, "question": stage.question, "trials": names[stage.name]} for stage in study.stages]
    return table(rows)


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
    name, records, choices = _first_name(first), last.selected_records, _choices(results)
    scores, runs = read_scores(tuning.store, records, "test"), count(len(records), "run")
    low, high = evidence.mean_interval(scores)
    detail = f"{runs}, so no interval" if len(records) == 1 else f"95 % interval {low:.3f} to {high:.3f}; {runs}"
    figures = [KeyFigure("test macro-F1 of the final model", f"{scores.runs.mean():.3f}", detail)]
    if gain := _gain(tuning, first, last):
        points, interval = _points(gain)
        shown = KeyFigure(f"points compared with {name}", points, interval)
        figures.append(
            shown if gain.is_conclusive else KeyFigure(f"than {name}", NOT_SHOWN, f"{points} points; {interval}")
        )
    params = f"{last.decision.selected_params:,}"
    figures.append(KeyFigure("parameters", params, f"{name} has {_first_records(first)[0].params:,}"))
    if choices and len(records) > 1 and not _is_pinned(choices):
        conclusive, _, not_learned = group_choices(tuning, choices)
        detail = titles(conclusive)
        if not_counted := [result for result in not_learned if is_conclusive(result)]:
            detail += f"; not counted, because a trial has not learned: {titles(not_counted)}"
        value = f"{len(conclusive)} of {len(choices)}"
        figures.append(KeyFigure("choices have a conclusive verdict", value, detail))
    return figures


def _gain(tuning: Tuning, first: StageResult, last: StageResult) -> Comparison | None:
    """Return the final model less the first one, on `test_f1`; None where they are the same."""
    start, final = _first_records(first), last.selected_records
    if have_same_runs(start, final):
        return None
    scores = {"first": read_scores(tuning.store, start, "test"), "final": read_scores(tuning.store, final, "test")}
    return evidence.compare(scores)[0]


def _points(gain: Comparison) -> tuple[str, str]:
    """Return a difference in points, and its interval."""
    interval = f"95 % interval {100 * gain.low:+.1f} to {100 * gain.high:+.1f}"
    return f"{100 * gain.difference:+.1f}", interval if gain.has_interval else "one run says nothing about noise"


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


def _test_f1(records: Sequence[Record]) -> list[float]:
    return [record.scores["test_f1"] for record in records]


def inconclusive_choices(results: Sequence[StageResult]) -> HTML | None:
    """Return the choices on grayscale images with several seeds and an inconclusive verdict; None without any."""
    pairs = [
        (result.stage.name, result.decision.evidence)
        for result in results
        if result.decision.evidence
        and not result.stage.on_colour
        and not is_conclusive(result)
        and result.decision.n_seeds > 1
    ]
    return comparison_table([pair[1] for pair in pairs], stage=[pair[0] for pair in pairs]) if pairs else None


def stages_table(tuning: Tuning, results: Sequence[StageResult]) -> HTML:
    """Return the model that each stage selected and what the choice rests on, one row per stage.

    Where the incumbent is kept, the comparison is that of the best other trial.
    """
    has_published, rows = any(result.decision.published_choice for result in results) and not _is_pinned(results), []
    for result in results:
        decision, made = result.decision, result.decision.evidence
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
                "difference of": f"{made.trial} less {made.against}" if made else "",
                "difference": made.difference if made else None,
                "95 % interval": interval_text(made),
                "verdict": verdict_text(tuning, result),
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
    tuning: Tuning, results: Sequence[StageResult], claim_results: Sequence[ClaimResult] = ()
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
        f"images, with {count(tuning.budget.seeds, 'run')} per trial."
    )
    if tuning.budget.seeds > 1:
        basis += (
            " The number after ± is the standard deviation over runs. Better or worse means that the 95 % interval of "
            "a difference excludes zero. Within a stage, all intervals are right at the same time in 95 % of "
            "repetitions."
        )
    return [
        _final_model(tuning, first, last),
        *(_verdicts(tuning, choices) if choices else []),
        _Finding(f"{agreement} {claims}".strip(), agreement),
        *(_Finding(f"On colour images: test macro-F1 {mean_sd(f1)} (n = {len(f1)}).") for f1 in colour),
        _Finding("", basis),
    ]


def _final_model(tuning: Tuning, first: StageResult, last: StageResult) -> _Finding:
    start, name, scores = _first_records(first), _first_name(first), _test_f1(last.selected_records)
    f1, n = mean_sd(scores), f"(n = {len(scores)})"
    final = f"The final model has {last.decision.selected_params:,} parameters and a test macro-F1 of **{f1}** {n}"
    gain = _gain(tuning, first, last)
    if not gain:
        return _Finding(f"Final model: test macro-F1 {f1} {n}, the same as {name}.", f"{final}. It is {name}.")
    (points, interval), of_first = _points(gain), f"{start[0].params:,} parameters and {mean_sd(_test_f1(start))}"
    if gain.is_conclusive:
        compared = f"points ({interval}) compared with {name}"
        return _Finding(
            f"Final model: test macro-F1 {f1} {n}, {points} {compared}.",
            f"{final}: **{points}** {compared}, which has {of_first}.",
        )
    compared = f"{NOT_SHOWN} than {name}"
    return _Finding(
        f"Final model: test macro-F1 {f1} {n}, {compared} ({points} points; {interval}).",
        f"{final}: {compared}, which has {of_first} ({points} points; {interval}).",
    )


def _verdicts(tuning: Tuning, choices: Sequence[StageResult]) -> list[_Finding]:
    """Return which choices are conclusive, which are inconclusive, and in which a trial has not learned."""
    conclusive, inconclusive, not_learned = group_choices(tuning, choices)
    verdicts = [f"{titles([result])} ({verdict_text(tuning, result)})" for result in not_learned]
    start = "Stages in which a trial has not learned:"
    warning = f" {start} {titles(not_learned)}." if not_learned else ""
    details = _Finding("", text(f"{start} {'; '.join(verdicts)}.") if not_learned else "")
    if tuning.budget.seeds == 1:
        reason = "With one run per trial, every verdict is inconclusive."
        return [_Finding(reason + warning, f"{reason} {text(by_outcome(inconclusive))}".strip()), details]
    better = by_outcome(conclusive) or "No choice has a conclusive verdict."
    return [
        _Finding(better, text(better)),
        _Finding(f"Inconclusive: {titles(inconclusive)}.{warning}", text(by_outcome(inconclusive))),
        details,
    ]


def findings(tuning: Tuning, results: Sequence[StageResult]) -> list[str]:
    """Return the results of the study as Markdown sentences, most important first."""
    texts = [finding.short if finding.long is None else finding.long for finding in _findings(tuning, results)]
    return [line for line in texts if line]


def terminal_summary(tuning: Tuning, results: Sequence[StageResult], claim_results: Sequence[ClaimResult]) -> list[str]:
    """Return the results of the study in at most five lines of plain text, most important first."""
    lines = [finding.short for finding in _findings(tuning, results, claim_results) if finding.short]
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
