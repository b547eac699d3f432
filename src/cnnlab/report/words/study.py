"""Tables and sentences about the whole study: its answer, its stages and its claims."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from IPython.display import HTML, Markdown
from markupsafe import Markup

from cnnlab.evidence import Comparison
from cnnlab.records import Record
from cnnlab.report.tables import mean_sd, remark, table, text, trial_cell, verdict_cell
from cnnlab.report.words.comparison import difference_cell, interval_text
from cnnlab.report.words.notes import by_outcome, group_choices, not_learned_text, titles
from cnnlab.report.words.opening import (
    NOT_SHOWN,
    choices,
    final_gain,
    first_name,
    first_stage,
    is_pinned,
    points_text,
)
from cnnlab.study import OwnModel, Stage, Study, Trial
from cnnlab.tuning import ClaimResult, ClaimStatus, StageResult, Tuning, final_stage, last_gray_stage
from cnnlab.tuning.advice.edges import named_settings


def study_table(study: Study) -> HTML:
    """Return the stages of a study: name, question and trials."""
    rows = [{"stage": stage.name, "question": stage.question, "trials": _trials(stage)} for stage in study.stages]
    return table(rows)


def _trials(stage: Stage) -> str:
    """Return the names of a stage's trials, or what a joint search varies."""
    if stage.search:
        return f"a search over {', '.join(dimension.setting for dimension in stage.search.space)}"
    return ", ".join(trial.name for trial in stage.trials)


def _test_f1(records: Sequence[Record]) -> list[float]:
    return [record.scores["test_f1"] for record in records]


def stages_table(tuning: Tuning, results: Sequence[StageResult]) -> HTML:
    """Return the trial that each stage selected and what the choice rests on, one row per stage.

    Where the incumbent is kept, the comparison is that of the best other trial.
    """
    has_published, rows = any(result.decision.published_choice for result in results) and not is_pinned(results), []
    for result in results:
        decision, made = result.decision, result.decision.evidence
        scores = {
            name: mean_sd([record.scores[name] for record in result.selected_records]) for name in ("val_f1", "test_f1")
        }
        choice = "the same" if decision.agrees else decision.published_choice
        published = {"published": trial_cell(choice) if choice else ""}
        rows.append(
            {
                "stage": stage_cell(result.stage.name, result.stage.title),
                "selected": trial_cell(decision.selected),
                **(published if has_published else {}),
                "params": decision.selected_params,
                **scores,
                "compared": trial_cell(f"{made.trial} less {made.against}") if made else "",
                "difference": difference_cell(made) if made else "",
                "verdict": _verdict_cell(tuning, result, made) if made else "",
            }
        )
    return table(rows, {"params": ",d"})


def _verdict_cell(tuning: Tuning, result: StageResult, made: Comparison) -> Markup:
    """Return a verdict as a cell that says if one of the two trials has not learned."""
    note = Markup(" <small>not learned</small>") if not_learned_text(tuning, result, made) else Markup("")
    return verdict_cell(made.verdict) + note


def stage_cell(name: str, title: str) -> Markup:
    """Return a stage's title as a cell that leads to its chapter."""
    return Markup('<a href="#{}">{}</a>').format(name, title)


def gray_and_colour_scores(gray: StageResult | None, colour: StageResult) -> Markdown:
    """Return the scores of a grayscale stage's network on both kinds of images, and which other settings differ.

    It makes no claim beyond means and standard deviations.
    """
    if gray is None:
        return Markdown("There is no result on grayscale images to compare with.")
    before = gray.selected.settings
    same = [
        trial
        for trial in colour.trials
        if trial.settings.input.augmentation == before.input.augmentation and not _is_other_code(trial.settings, before)
    ]
    if not same:
        return Markdown("No trial of this stage has the same augmentation as the grayscale network.")
    trial = same[0]
    old, new = (dict(named_settings(settings)) for settings in (before, trial.settings))
    others = ", ".join(
        name for name, value in new.items() if name != "colour" and (name not in old or value != old[name])
    )
    differ = f" Other settings that differ: {others}." if others else ""
    on_gray, on_colour = _test_f1(gray.selected_records), _test_f1(colour.records(trial.name))
    return Markdown(
        f"The same network with the same augmentation ({text(before.input.augmentation)}) has a `test_f1` of "
        f"{mean_sd(on_gray)} on grayscale images and of {mean_sd(on_colour)} on colour images ({len(on_gray)} and "
        f"{len(on_colour)} runs). The means differ by {float(np.mean(on_colour) - np.mean(on_gray)):+z.3f}; this says "
        "nothing about noise." + differ
    )


def _is_other_code(trial: Trial, before: Trial) -> bool:
    """Return whether two trials have models of different code: of the user, or of the user and of cnnlab."""
    codes = {model.digest if isinstance(model, OwnModel) else "" for model in (trial.architecture, before.architecture)}
    return len(codes) > 1


def terminal_summary(tuning: Tuning, results: Sequence[StageResult], claim_results: Sequence[ClaimResult]) -> list[str]:
    """Return the results of the study in at most five lines of plain text, most important first."""
    first, last = first_stage(results), final_stage(results)
    if not first or not last:
        return ["No stage selects a model to use." if first else "No stage has a result."]
    made = choices(results)
    others = [result for result in results if result.stage.on_colour]
    if last.selected.settings.input.colour:
        gray = last_gray_stage(results)
        others = [gray] if gray and not gray.selected.settings.input.colour else []
    lines = [
        _final_model(tuning, first, last),
        *(_verdicts(tuning, made) if made else []),
        f"{_agreement(made)} {_claims(claim_results)}".strip(),
        *map(_other_images, others),
    ]
    return [line for line in lines if line][:5]


def _other_images(result: StageResult) -> str:
    """Return the score of a selected trial on the kind of images that the final model does not take."""
    scores, kind = _test_f1(result.selected_records), "colour" if result.stage.on_colour else "grayscale"
    return f"On {kind} images: test macro-F1 {mean_sd(scores)} (n = {len(scores)})."


def _agreement(made: Sequence[StageResult]) -> str:
    """Return how many choices are those of the published study."""
    if is_pinned(made):
        return "Each stage selects the published choice, whatever the scores are."
    agrees = [result.decision.agrees for result in made if result.decision.published_choice]
    return f"{sum(agrees)} of {len(agrees)} choices are those of the published study." if agrees else ""


def _claims(claim_results: Sequence[ClaimResult]) -> str:
    """Return how many claims have each status."""
    statuses = Counter(result.status for result in claim_results)
    shown = [status for status in ClaimStatus if status != ClaimStatus.SKIPPED or statuses[status]]
    return f"Claims: {', '.join(f'{statuses[status]} {status}' for status in shown)}." if statuses else ""


def _final_model(tuning: Tuning, first: StageResult, last: StageResult) -> str:
    """Return the score of the final model, and how it compares with the first one."""
    name, scores = first_name(first, last), _test_f1(last.selected_records)
    final = f"Final model: test macro-F1 {mean_sd(scores)} (n = {len(scores)})"
    gain = final_gain(tuning, first, last)
    if not gain:
        return f"{final}, the same as {name}."
    points, interval = points_text(gain)
    if gain.is_conclusive:
        return f"{final}, {points} points ({interval}) compared with {name}."
    return f"{final}, {NOT_SHOWN} than {name} ({points} points; {interval})."


def _verdicts(tuning: Tuning, made: Sequence[StageResult]) -> list[str]:
    """Return which choices are conclusive, which are inconclusive, and in which a trial has not learned."""
    conclusive, inconclusive, not_learned = group_choices(tuning, made)
    warning = f" Stages in which a trial has not learned: {titles(not_learned)}." if not_learned else ""
    if tuning.budget.seeds == 1:
        return ["With one run per trial, every verdict is inconclusive." + warning]
    better = by_outcome(conclusive) or "No choice has a conclusive verdict."
    return [better, f"Inconclusive: {titles(inconclusive)}.{warning}"]


def claim_table(claim_results: Sequence[ClaimResult]) -> HTML:
    """Return the declared claims with their status and the difference that was measured, or why it is missing."""
    rows = [
        {
            "claim": result.claim.says,
            "status": verdict_cell(result.status),
            "difference in test_f1": result.comparison.difference
            if result.comparison
            else remark(result.reason or "not run"),
            "95 % interval": interval_text(result.comparison),
            "claimed": f"> {result.claim.by:g}",
        }
        for result in claim_results
    ]
    return table(rows, {"difference in test_f1": "+z.3f"})
