"""From the whole study to tables and sentences: its answer, its choices and its claims."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from IPython.display import HTML, Markdown

from cnnlab import evidence
from cnnlab.evidence import Rule, Verdict
from cnnlab.report.tables import mean_sd, table, text
from cnnlab.report.words.comparison import comparison_table, interval
from cnnlab.report.words.stage import score_columns
from cnnlab.study import STAGES, Profile, Trial
from cnnlab.tuning import ClaimResult, ClaimStatus, StageResult, Tuning, read_scores


def stage_table() -> HTML:
    """Return the study's stages: the name by which a notebook takes one, what it asks, and its trials."""
    return table(
        [
            {"stage": stage.name, "asks": stage.question, "trials": ", ".join(one.name for one in stage.trials)}
            for stage in STAGES
        ]
    )


class _Answer:
    """What all that is said of a study rests on, where a grayscale stage has a result.

    Attributes:
        first: The first grayscale stage.
        last: The last one, whose choice is the final model.
        choosing: The grayscale stages that have trials to choose between.
        colour: The colour stage, or nothing.
    """

    def __init__(self, results: Sequence[StageResult]) -> None:
        gray = [result for result in results if not result.stage.on_colour]
        self.first, self.last = gray[0], gray[-1]
        self.choosing = [result for result in gray if len(result.trials) > 1]
        self.colour = [result for result in results if result.stage.on_colour]

    @staticmethod
    def scores(result: StageResult) -> list[float]:
        """Return `test_f1` of the runs of what a stage hands on."""
        return [record.scores["test_f1"] for record in result.selected_records]

    @property
    def gain(self) -> float:
        """Mean `test_f1` of the final model less that of the first one, in points."""
        return 100 * float(np.mean(self.scores(self.last)) - np.mean(self.scores(self.first)))

    @property
    def pinned(self) -> bool:
        """Whether the choices are those of the published study, whatever the scores."""
        return any(result.decision.rule == Rule.PUBLISHED_CHOICE for result in self.choosing)

    @property
    def agreeing(self) -> list[bool]:
        """Of each choice that the published study made too, whether it is the same."""
        return [result.decision.agrees for result in self.choosing if result.stage.published_choice]

    def stages(self, outcome: str, kept: bool | None = None) -> list[StageResult]:
        """Return the choices of a verdict ("" for any), of those that kept the incumbent or did not (None for both)."""
        return [
            result
            for result in self.choosing
            if outcome in ("", result.decision.verdict) and kept in (None, result.selected.incumbent)
        ]


@dataclass(frozen=True)
class KeyFigure:
    """One figure of a study's answer, as text.

    Attributes:
        label: What it is.
        value: The figure.
        detail: What stands behind it.
    """

    label: str
    value: str
    detail: str


def key_figures(tuning: Tuning, results: Sequence[StageResult]) -> list[KeyFigure]:
    """Return the study's answer in figures: the final model's test macro-F1, its gain, its size, the choices."""
    if all(result.stage.on_colour for result in results):
        return []
    answer = _Answer(results)
    first, last = answer.first, answer.last
    found = last.selected_records
    final = read_scores(tuning.store, found, "test")
    low, high = evidence.mean_interval(final)
    count = f"{len(found)} run{'s' * (len(found) > 1)}"
    said = [
        KeyFigure(
            "test macro-F1 of the final model",
            f"{final.runs.mean():.3f}",
            f"95 % interval {low:.3f} to {high:.3f}; {count}" if len(found) > 1 else f"{count}, so no interval",
        )
    ]
    begun = first.selected_records
    if [record.digest for record in begun] != [record.digest for record in found]:
        (gain,) = evidence.compare({"final": final, "first": read_scores(tuning.store, begun, "test")})
        said.append(
            KeyFigure(
                f"points over CNN-{first.stage.cnn}, the first model",
                f"{100 * gain.difference:+.1f}",
                f"95 % interval {100 * gain.low:+.1f} to {100 * gain.high:+.1f}"
                if len(found) > 1
                else f"from {final.runs.mean() - gain.difference:.3f}",
            )
        )
    said.append(
        KeyFigure(
            "parameters",
            f"{last.decision.selected_params:,}",
            f"CNN-{first.stage.cnn} has {first.decision.selected_params:,}",
        )
    )
    if answer.choosing and len(found) > 1 and not answer.pinned:
        settled = [one for one in answer.choosing if one.decision.evidence and one.decision.evidence.is_conclusive]
        said.append(
            KeyFigure(
                "choices rest on a difference that can be told from noise",
                f"{len(settled)} of {len(answer.choosing)}",
                ", ".join(result.stage.title.lower() for result in settled) or "none",
            )
        )
    return said


def unclear(results: Sequence[StageResult]) -> HTML | None:
    """Return the choices of which the runs cannot tell whether they matter; None if there are none, or one run each."""
    found = [
        (result, result.decision.evidence)
        for result in results
        if result.decision.evidence and not result.decision.evidence.is_conclusive and result.decision.n_seeds > 1
    ]
    if not found:
        return None
    return comparison_table([one for _, one in found], {"stage": [result.stage.name for result, _ in found]})


def summary(results: Sequence[StageResult]) -> HTML:
    """Return the model that each stage handed on with what that rests on, one row a stage."""
    rows = []
    for result in results:
        made = result.decision
        found = result.records(made.selected)
        rows.append(
            {
                "stage": result.stage.name,
                "handed on": made.selected,
                "as published": "yes" if made.agrees else made.published_choice,
                "params": made.selected_params,
                **{name: mean_sd([record.scores[name] for record in found]) for name in ("val_f1", "test_f1")},
                "against": made.evidence.against if made.evidence else "",
                "difference": made.evidence.difference if made.evidence else None,
                "95 % interval": interval(made.evidence),
                "verdict": made.verdict,
            }
        )
    return table(rows, {"params": ",d", "difference": "+.3f"})


def leaderboard(results: Sequence[StageResult], rows: int = 10) -> HTML:
    """Return the best trials of all stages by mean `val_f1`, equal trials once."""
    best: dict[Trial, tuple[float, dict[str, Any]]] = {}
    for result in results:
        for trial in result.trials:
            found = result.records(trial.name)
            score = float(np.mean([record.scores["val_f1"] for record in found]))
            line = {"stage": result.stage.name, "trial": trial.name, **score_columns(found)}
            best.setdefault(trial.settings, (score, line))
    ranked = sorted(best.values(), key=lambda pair: -pair[0])[:rows]
    return table([line for _, line in ranked], {"params": ",d", "epochs": ".1f", "seconds": ".1f"})


def colour_against_gray(gray: StageResult, colour: StageResult) -> Markdown:
    """Say how the network of a grayscale stage does on colour images, and what else differs between the two trials.

    It makes no claim beyond their means and spreads.
    """
    before = gray.selected.settings
    trial = next(c for c in colour.trials if c.settings.input.augmentation == before.input.augmentation)
    old, new = before.canonical(), trial.settings.canonical()
    others = ", ".join(n for part, of in new.items() for n in of if n != "colour" and of[n] != old[part][n])
    found = gray.records(gray.decision.selected), colour.records(trial.name)
    scores = [[record.scores["test_f1"] for record in of] for of in found]
    return Markdown(
        f"The same network with the same augmentation ({text(before.input.augmentation)}"
        f"{f', but not the same {others}' if others else ''}): on grayscale images it scores a `test_f1` of "
        f"{mean_sd(scores[0])}, on colour images {mean_sd(scores[1])} ({len(found[0])} and {len(found[1])} runs): a "
        f"difference of {100 * float(np.mean(scores[1]) - np.mean(scores[0])):+.1f} points."
    )


_OUTCOMES: dict[tuple[bool, bool], tuple[tuple[str, bool | None, str], ...]] = {
    (False, True): (
        ("Changed the model for a better one", False, "better"),
        ("Changed the model, without evidence that the new one is better", False, Verdict.INCONCLUSIVE),
        ("Kept the model, which is better than the best other trial", True, "better"),
        ("Kept the model, from which the best other trial cannot be told", True, Verdict.INCONCLUSIVE),
    ),
    (False, False): (
        ("Changed the model, though one run each says nothing about noise", False, ""),
        ("Kept the model", True, ""),
    ),
    (True, False): (),
    (True, True): (
        ("Published picks that are better than the best other trial", None, "better"),
        ("Published picks that are worse than the best other trial", None, "worse"),
        ("Published picks that cannot be told from the best other trial", None, Verdict.INCONCLUSIVE),
    ),
}
"""By whether the picks are pinned and there are several seeds: sentence; whether the incumbent was kept; verdict."""


def findings(results: Sequence[StageResult], profile: Profile) -> list[str]:
    """Return what the study came to, as Markdown sentences, most important first."""
    if all(result.stage.on_colour for result in results):
        return ["No stage has a result."]
    answer = _Answer(results)
    first, last, reached = answer.first, answer.last, answer.scores(answer.last)
    lines = [
        f"The final grayscale model, {last.decision.selected_params:,} parameters, reaches a test macro-F1 of "
        f"**{mean_sd(reached)}** (n = {len(reached)}); the first one, CNN-{first.stage.cnn} with "
        f"{first.decision.selected_params:,} parameters, {mean_sd(answer.scores(first))}: **{answer.gain:+.1f} points**."
    ]
    for said, kept, outcome in _OUTCOMES[answer.pinned, profile.seeds > 1]:
        if stages := answer.stages(outcome, kept):
            lines.append(f"{said}: {', '.join(result.stage.title.lower() for result in stages)}.")
    if answer.pinned:
        lines.append("The choices are the published study's own, whatever the scores here say.")
    elif answer.agreeing:
        agreeing = answer.agreeing
        lines.append(f"{sum(agreeing)} of {len(agreeing)} choices are those of the published study.")
    for result in answer.colour:
        scores = answer.scores(result)
        lines.append(f"On the colour images the same network reaches {mean_sd(scores)} (n = {len(scores)}).")
    split = first.selected_records[0].split
    noise = (
        ". Better, or worse: by more than the noise between seeds and between images, at 5 % after Holm's correction "
        "over all pairs of a stage's trials."
    )
    lines.append(
        f"All this from {split['train']:,} training, {split['val']:,} validation and {split['test']:,} test images, "
        f"{profile.seeds} run{'s' * (profile.seeds > 1)} a trial{noise if profile.seeds > 1 else '.'}"
    )
    return lines


def terminal_summary(
    results: Sequence[StageResult], claim_results: Sequence[ClaimResult], profile: Profile
) -> list[str]:
    """Return what the study came to, in at most five lines of plain text, most important first."""
    if all(result.stage.on_colour for result in results):
        return ["No stage has a result."]
    answer = _Answer(results)
    reached, gain = answer.scores(answer.last), answer.gain
    lines = [
        f"Final model: test macro-F1 {mean_sd(reached)} (n = {len(reached)}), {abs(gain):.1f} points "
        f"{'above' if gain >= 0 else 'below'} the first one, CNN-{answer.first.stage.cnn}."
    ]

    def names(outcome: str, kept: bool | None = None) -> str:
        return ", ".join(result.stage.name for result in answer.stages(outcome, kept))

    if answer.choosing and profile.seeds == 1:
        lines.append("With one run a trial, no difference can be told from noise.")
    elif answer.choosing:
        better = (
            {"Published picks that are better": names("better"), "Published picks that are worse": names("worse")}
            if answer.pinned
            else {
                "Changed the model for a better one": names("better", False),
                "Kept the better one": names("better", True),
            }
        )
        found = " ".join(f"{said}: {stages}." for said, stages in better.items() if stages)
        lines.append(found or "No choice is better, or worse, beyond noise.")
        lines.append(f"Could not be told: {names(Verdict.INCONCLUSIVE) or 'none'}.")
    told = answer.agreeing
    said = [f"{sum(told)} of {len(told)} choices are as published."] if told and not answer.pinned else []
    if claim_results:
        counts = Counter(claim_result.status for claim_result in claim_results)
        said.append(f"Claims: {', '.join(f'{counts[one]} {one}' for one in ClaimStatus)}.")
    if said:
        lines.append(" ".join(said))
    for result in answer.colour:
        scores = answer.scores(result)
        lines.append(f"On colour images: test macro-F1 {mean_sd(scores)} (n = {len(scores)}).")
    return lines


def claim_table(claim_results: Sequence[ClaimResult]) -> HTML:
    """Return the declared claims, each with what the runs say of it."""
    rows = []
    for claim_result in claim_results:
        one = claim_result.comparison
        rows.append(
            {
                "claim": claim_result.claim.sentence,
                "status": claim_result.status,
                "difference of test_f1": one.difference if one else "not run",
                "95 % interval": interval(one),
                "claimed": f"> {claim_result.claim.by:g}",
            }
        )
    return table(rows, {"difference of test_f1": "+.3f"})
