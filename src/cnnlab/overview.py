"""From the whole study to tables and sentences: its findings, its claims, its noise and what its mistakes cost."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown

from cnnlab import defects, evidence, plots, published
from cnnlab.claims import Judgement
from cnnlab.config import Trial
from cnnlab.data import Dataset, Split, lay_out
from cnnlab.defects import DEFECTS
from cnnlab.evidence import PINNED, UNCLEAR, Comparison, pooled_sd
from cnnlab.plots import Picture
from cnnlab.present import comparison_table, interval, score_columns, verdict
from cnnlab.protocols import Profile
from cnnlab.records import Record
from cnnlab.study import STAGES
from cnnlab.tables import mean_sd, table, text
from cnnlab.tuning import DefectResult, StageResult, Tuning


def stage_table() -> HTML:
    """Return the study's stages: the name by which a notebook takes one, what it asks, and its trials."""
    return table(
        [
            {"stage": stage.name, "asks": stage.question, "trials": ", ".join(one.name for one in stage.variants)}
            for stage in STAGES
        ]
    )


@dataclass(frozen=True)
class Headline:
    """One figure of a study's answer, as text.

    Attributes:
        label: What it is.
        value: The figure.
        detail: What stands behind it.
    """

    label: str
    value: str
    detail: str


def headlines(tuning: Tuning, results: Sequence[StageResult]) -> list[Headline]:
    """Return the study's answer in figures: the final model's test macro-F1, its gain, its size, the choices."""
    gray = [result for result in results if not result.stage.on_colour]
    if not gray:
        return []
    first, last = gray[0], gray[-1]
    found = last.records(last.decision.chosen)
    final = tuning.scores(found, "test")
    low, high = evidence.mean_interval(final)
    count = f"{len(found)} run{'s' * (len(found) > 1)}"
    said = [
        Headline(
            "test macro-F1 of the final model",
            f"{final.runs.mean():.3f}",
            f"95 % interval {low:.3f} to {high:.3f}; {count}" if len(found) > 1 else f"{count}, so no interval",
        )
    ]
    begun = first.records(first.decision.chosen)
    if [record.digest for record in begun] != [record.digest for record in found]:
        (gain,) = evidence.compare({"final": final, "first": tuning.scores(begun, "test")})
        said.append(
            Headline(
                f"points over CNN-{first.stage.cnn}, the first model",
                f"{100 * gain.difference:+.1f}",
                f"95 % interval {100 * gain.low:+.1f} to {100 * gain.high:+.1f}"
                if len(found) > 1
                else f"from {final.runs.mean() - gain.difference:.3f}",
            )
        )
    said.append(
        Headline(
            "parameters",
            f"{last.decision.chosen_params:,}",
            f"CNN-{first.stage.cnn} has {first.decision.chosen_params:,}",
        )
    )
    choosing = [result for result in gray if len(result.candidates) > 1]
    settled = [result for result in choosing if result.decision.evidence and result.decision.evidence.settled]
    pinned = any(result.decision.rule == PINNED for result in choosing)
    if choosing and len(found) > 1 and not pinned:
        said.append(
            Headline(
                "choices rest on a difference that can be told from noise",
                f"{len(settled)} of {len(choosing)}",
                ", ".join(result.stage.title.lower() for result in settled) or "none",
            )
        )
    return said


def unclear(results: Sequence[StageResult]) -> HTML | None:
    """Return the choices of which the runs cannot tell whether they matter; None if there are none, or one run each."""
    found = [
        (result, result.decision.evidence)
        for result in results
        if result.decision.evidence and not result.decision.evidence.settled and result.decision.n_seeds > 1
    ]
    if not found:
        return None
    return comparison_table([one for _, one in found], {"stage": [result.stage.name for result, _ in found]})


def summary(results: Sequence[StageResult]) -> HTML:
    """Return the model that each stage handed on with what that rests on, one row a stage."""
    rows = []
    for result in results:
        made = result.decision
        found = result.records(made.chosen)
        rows.append(
            {
                "stage": result.stage.name,
                "handed on": made.chosen,
                "as published": "yes" if made.agrees else made.published_choice,
                "params": made.chosen_params,
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
        for candidate in result.candidates:
            found = result.records(candidate.name)
            score = float(np.mean([record.scores["val_f1"] for record in found]))
            line = {"stage": result.stage.name, "trial": candidate.name, **score_columns(found)}
            best.setdefault(candidate.trial, (score, line))
    ranked = sorted(best.values(), key=lambda pair: -pair[0])[:rows]
    return table([line for _, line in ranked], {"params": ",d", "epochs": ".1f", "seconds": ".1f"})


def compare(title: str, one: Sequence[Record], other: Sequence[Record], names: tuple[str, str]) -> Markdown:
    """Say how two trials' test macro-F1 compare, without a claim beyond their means and spreads."""
    scores = [[record.scores["test_f1"] for record in found] for found in (one, other)]
    difference = float(np.mean(scores[1]) - np.mean(scores[0]))
    return Markdown(
        f"{title} {text(names[0])} scores a `test_f1` of {mean_sd(scores[0])}, {text(names[1])} {mean_sd(scores[1])} "
        f"({len(one)} and {len(other)} runs): a difference of {100 * difference:+.1f} points."
    )


_OUTCOMES: dict[tuple[bool, bool], tuple[tuple[str, bool | None, str], ...]] = {
    (False, True): (
        ("Changed the model for a better one", False, "better"),
        ("Changed the model, without evidence that the new one is better", False, UNCLEAR),
        ("Kept the model, which is better than the best other trial", True, "better"),
        ("Kept the model, from which the best other trial cannot be told", True, UNCLEAR),
    ),
    (False, False): (
        ("Changed the model, though one run each says nothing about noise", False, ""),
        ("Kept the model", True, ""),
    ),
    (True, False): (),
    (True, True): (
        ("Published picks that are better than the best other trial", None, "better"),
        ("Published picks that are worse than the best other trial", None, "worse"),
        ("Published picks that cannot be told from the best other trial", None, UNCLEAR),
    ),
}
"""By whether the picks are pinned and there are several seeds: sentence; whether the incumbent was kept; verdict."""


def findings(results: Sequence[StageResult], profile: Profile) -> list[str]:
    """Return what the study came to, as Markdown sentences, most important first."""
    gray = [result for result in results if not result.stage.on_colour]
    lines: list[str] = []
    if not gray:
        return ["No stage has a result."]
    first, last = gray[0], gray[-1]
    ends = [[r.scores["test_f1"] for r in result.records(result.decision.chosen)] for result in (first, last)]
    gain = 100 * float(np.mean(ends[1]) - np.mean(ends[0]))
    lines.append(
        f"The final grayscale model, {last.decision.chosen_params:,} parameters, reaches a test macro-F1 of "
        f"**{mean_sd(ends[1])}** (n = {len(ends[1])}); the first one, CNN-{first.stage.cnn} with "
        f"{first.decision.chosen_params:,} parameters, {mean_sd(ends[0])}: **{gain:+.1f} points**."
    )
    choosing = [result for result in gray if len(result.candidates) > 1]
    pinned = any(result.decision.rule == PINNED for result in choosing)
    for said, kept, outcome in _OUTCOMES[pinned, profile.seeds > 1]:
        stages = [
            result.stage.title.lower()
            for result in choosing
            if (kept is None or result.chosen.incumbent == kept) and outcome in ("", result.decision.verdict)
        ]
        if stages:
            lines.append(f"{said}: {', '.join(stages)}.")
    picked = [result for result in choosing if result.stage.pick]
    if pinned:
        lines.append("The choices are the published study's own, whatever the scores here say.")
    elif picked:
        agreeing = sum(result.decision.agrees for result in picked)
        lines.append(f"{agreeing} of {len(picked)} choices are those of the published study.")
    colour = [result for result in results if result.stage.on_colour]
    if colour:
        scores = [r.scores["test_f1"] for r in colour[0].records(colour[0].decision.chosen)]
        lines.append(f"On the colour images the same network reaches {mean_sd(scores)} (n = {len(scores)}).")
    split = first.records(first.decision.chosen)[0].split
    noise = (
        ". Better, or worse: by more than the noise between seeds and between images, at 5 % after Holm's correction "
        "over all pairs of a stage's trials."
    )
    lines.append(
        f"All this from {split['train']:,} training, {split['val']:,} validation and {split['test']:,} test images, "
        f"{profile.seeds} run{'s' * (profile.seeds > 1)} a trial{noise if profile.seeds > 1 else '.'}"
    )
    return lines


def claim_table(judgements: Sequence[Judgement]) -> HTML:
    """Return the declared claims, each with what the runs say of it."""
    rows = []
    for judgement in judgements:
        one = judgement.comparison
        rows.append(
            {
                "claim": judgement.claim.sentence,
                "status": judgement.status,
                "difference of test_f1": one.difference if one else "not run",
                "95 % interval": interval(one),
                "claimed": f"> {judgement.claim.by:g}",
            }
        )
    return table(rows, {"difference of test_f1": "+.3f"})


def selection(tuning: Tuning, results: Sequence[StageResult]) -> Markdown:
    """Say what choosing by one run, and by its test score, as the published study did, would have cost here."""
    rises, same, choices = [], 0, 0
    for result in results:
        found = [result.records(candidate.name) for candidate in result.candidates]
        if len(found) < 2 or result.decision.n_seeds < 2:
            continue
        labels, predicted, n_classes = tuning.predictions([record for of in found for record in of], "test")
        rises.append(evidence.optimism(labels, predicted.reshape(len(found), -1, len(labels)), n_classes))
        score = np.array([[record.scores["val_f1"] for record in of] for of in found])
        same += int((score.argmax(axis=0) == score.mean(axis=1).argmax()).sum())
        choices += score.shape[1]
    if not rises:
        return Markdown(
            "With one seed, or one trial a stage, nothing can be said about what choosing by one run costs."
        )
    return Markdown(
        f"Choosing each stage's trial by the test score of one run, as the published study did, would have overstated "
        f"the chosen score by about **{100 * np.mean(rises):.1f} points** on average over {len(rises)} stages "
        f"({100 * min(rises):.1f} to {100 * max(rises):.1f}; chosen on one random half of the test images, held "
        f"against the trial's other runs on the other half). Choosing by one run's `val_f1` picks the trial with the "
        f"best mean in **{same} of {choices}** cases."
    )


def replicate_table() -> HTML:
    """Return the groups of published fits that are one model with the same settings."""
    return table(
        [
            {
                "fits": ", ".join(fit.fit for fit in group),
                "stages": ", ".join(dict.fromkeys(fit.stage for fit in group)),
                "F1": ", ".join(f"{fit.test_f1:.3f}" for fit in group),
                "SD": float(np.std([fit.test_f1 for fit in group], ddof=1)),
            }
            for group in published.replicates()
        ],
        {"SD": ".4f"},
    )


def published_noise() -> Markdown:
    """Say how noisy one published fit is, and how far two must differ."""
    groups = published.replicates()
    sd, freedom = published.noise()
    return Markdown(
        f"The published study's slips made replicates: {sum(map(len, groups))} of its fits are {len(groups)} models "
        f"with the same settings, fitted again. From them, the standard deviation of one fit's macro-F1 is "
        f"**{sd:.4f}** ({freedom} degrees of freedom), so two single fits must differ by "
        f"**{published.least_difference():.3f}** "
        f"before the difference is worth a word (95 %, Student's t; {1.96 * np.sqrt(2) * sd:.3f} if the SD were known)."
    )


def published_choices() -> tuple[HTML, Markdown]:
    """Return the published choices with what they rest on, and how many survive the study's own noise."""
    least = published.least_difference()
    rows = []
    survive: list[str] = []
    spoilt: list[str] = []
    gains: list[str] = []
    for choice in published.choices():
        rests_on = choice.lead if choice.rival else choice.gain
        if rests_on > least:
            (spoilt if choice.spoilt else survive).append(choice.stage)
        if choice.gain > least:
            gains.append(choice.stage)
        rows.append(
            {
                "stage": choice.stage,
                "pick": choice.pick,
                "F1": choice.f1,
                "best other trial": choice.rival,
                "lead over it": choice.lead,
                "over the stage before": choice.gain,
                "survives": "no" if rests_on <= least else "cannot be said" if choice.spoilt else "yes",
            }
        )
    formats = {"F1": ".3f", "lead over it": "+.3f", "over the stage before": "+.3f"}
    return table(rows, formats), Markdown(
        f"A choice survives if the pick leads the best other trial (where it had none, the model of the stage before) "
        f"by more than {least:.3f}. **{len(survive)} of {len(rows)}**: {', '.join(survive) or 'none'}."
        + (
            f" Of {', '.join(spoilt)} it cannot be said: the others were given labels that their losses cannot use."
            if spoilt
            else ""
        )
        + f" Above the model of the stage before by more than that: {', '.join(gains) or 'none'}."
    )


def our_noise(tuning: Tuning, results: Sequence[StageResult]) -> Markdown:
    """Say how much our own runs of one trial differ, and what scoring the best epoch does about it."""
    groups: dict[Trial, list[Record]] = defaultdict(list)
    for result in results:
        for candidate in result.candidates:
            known = {record.digest for record in groups[candidate.trial]}
            groups[candidate.trial] += [r for r in result.records(candidate.name) if r.digest not in known]
    frame = pd.DataFrame(
        [
            {
                "trial": number,
                "test_f1": record.scores["test_f1"],
                "last": record.history["val_accuracy"][-1],
                "best": record.history["val_accuracy"][record.best_epoch - 1],
            }
            for number, found in enumerate(groups.values())
            for record in found
        ]
    )
    sd, freedom = pooled_sd(frame, "test_f1")
    if not freedom:
        return Markdown("These runs have one seed a trial, so they say nothing about noise.")
    last, best = (pooled_sd(frame, score)[0] for score in ("last", "best"))
    theirs, _ = published.noise()
    at_best = np.mean([record.best_epoch == record.epochs for found in groups.values() for record in found])
    split = next(iter(groups.values()))[0].split
    return Markdown(
        f"**Our runs** under the {tuning.protocol.name} protocol, {split['train']:,} training and {split['test']:,} "
        f"test images: the standard deviation of one run's `test_f1` is **{sd:.4f}** ({freedom} degrees of freedom, "
        f"pooled over {len(groups)} trials), {sd / theirs:.1f} times that of the published fits, which had 40,000 "
        "and 10,000 images. A smaller test set alone makes a score noisier.\n\n"
        "How much of it comes from scoring the last epoch can be read off the same runs: the validation accuracy of "
        f"runs of one trial differs with an SD of **{last:.4f}** at their last epoch, which the published study "
        f"scored, and of **{best:.4f}** at the epoch with the lowest `val_loss`, which the corrected protocol scores: "
        f"{abs(100 * (1 - best / last)) if last else 0:.0f} % {'less' if best <= last else 'more'}. "
        f"({100 * at_best:.0f} % of the runs ended with that epoch.)"
    )


def agreement_table(results: Sequence[StageResult]) -> tuple[HTML, Markdown]:
    """Return each published fit beside our runs of it, and whether they agree within two standard deviations.

    The SD is that of the difference between one published run and the mean of ours: the SD of our runs pooled over the
    stage, times the root of 1 + 1/n; with one run each, the published replicates' SD takes its place.
    """
    rows = []
    for result in results:
        ours = pd.DataFrame(
            [(name, record.scores["test_f1"]) for name, found in result.groups.items() for record in found],
            columns=["trial", "test_f1"],
        )
        sd, freedom = pooled_sd(ours, "test_f1") if result.decision.n_seeds > 1 else published.noise()
        for candidate in result.candidates:
            if candidate.published is None:
                continue
            scores = [record.scores["test_f1"] for record in result.records(candidate.name)]
            difference = float(np.mean(scores)) - candidate.published.test_f1
            limit = 2 * sd * float(np.sqrt(1 + 1 / len(scores))) if freedom else float("nan")
            rows.append(
                {
                    "stage": result.stage.name,
                    "fit": candidate.published.fit,
                    "published F1": candidate.published.test_f1,
                    "our test_f1": mean_sd(scores),
                    "difference": difference,
                    "two SD": limit,
                    "agree": "yes" if abs(difference) <= limit else "no",
                }
            )
    if not rows:
        return table([]), Markdown("None of these trials was a fit of the published study.")
    split = results[0].records(results[0].decision.chosen)[0].split
    count = sum(row["agree"] == "yes" for row in rows)
    formats = {"published F1": ".3f", "difference": "+.3f", "two SD": ".3f"}
    return table(rows, formats), Markdown(
        f"{count} of {len(rows)} fits agree with the published figure within two standard deviations. The published "
        f"fits had 40,000 training and 10,000 test images; these had {split['train']:,} and {split['test']:,}."
    )


def mistakes_intro(tuning: Tuning) -> Markdown:
    """Say in which model the mistakes are made."""
    trial, profile = defects.model(tuning.profile), tuning.profile
    filters = "-".join(map(str, trial.architecture.filters))
    said = [
        f"The model: the published study's CNN-8 as it was meant, filters {filters}"
        f"{'' if profile.wide else ' (half of its own, to suit a CPU)'}, {trial.training.optimizer} at "
        f"{trial.training.learning_rate:g} (the rate that had scored highest), batch size {trial.training.batch_size}, "
        f"run by the corrected protocol, at most {profile.epochs} epochs. A positive difference is what the mistake "
        "cost, in macro-F1 on the test images; no choice is made by it. Each mistake is judged by itself, at 5 %."
    ]
    if profile.epochs < 50:
        said.append(
            "With so few epochs, early stopping hardly ever stops a fit, and what needs time to show cannot: the "
            "last weights are mostly the best ones."
        )
    if tuning.folder.colour is None:
        said.append("The colour mistakes are left out: there are no colour images.")
    return Markdown(" ".join(said))


def defect_intro(found: DefectResult) -> Markdown:
    """Give a mistake's heading and what it was."""
    return Markdown(f"## {found.defect.title}\n\n{found.defect.what}")


def defect_table(found: DefectResult) -> HTML:
    """Return the arms of a mistake, the one without it first."""
    rows = [{"model": name, **score_columns(records)} for name, records in found.groups.items()]
    return table(rows, {"params": ",d", "epochs": ".1f", "seconds": ".1f"})


def defect_verdict(found: DefectResult) -> Markdown:
    """Say what a mistake cost."""
    return Markdown(
        "\n\n".join(f"**{text(c.trial)}** against **{text(c.against)}**, `test_f1`: {verdict(c)}" for c in found.costs)
    )


def cost_table(found: Sequence[DefectResult]) -> HTML:
    """Return what each mistake cost, one row a mistake."""
    costs = [(cost, result.defect.name) for result in found for cost in result.costs]
    return comparison_table([cost for cost, _ in costs], {"mistake": [name for _, name in costs]})


def costs(found: Sequence[DefectResult]) -> Picture:
    """Draw what each mistake cost."""
    labelled: Mapping[str, Comparison] = {
        f"{result.defect.name}: {cost.against}": cost for result in found for cost in result.costs
    }
    return plots.differences(labelled, "test_f1, without the mistake less with it")


def no_cost() -> Markdown:
    """List the mistakes that change no result."""
    return Markdown("\n".join(f"- **{defect.title}.** {defect.what}" for defect in DEFECTS if not defect.arms))


def layouts(dataset: Dataset, split: Split) -> Picture:
    """Show training images as they are and, below, as the published study's networks saw them."""
    shown = dataset.train_images[split.train[:8]]
    scrambled = lay_out(shown, "published")
    names = [dataset.class_names[label] for label in dataset.train_labels[split.train[:8]]]
    return plots.images(
        np.concatenate([shown, scrambled]),
        [*names, *["scrambled"] * len(names)],
        f"Eight colour images ({', '.join(names)}), and below them what a reshape without a transpose makes of each: "
        "nine small, nearly gray copies.",
        columns=len(names),
    )


def in_brief(results: Sequence[StageResult], judgements: Sequence[Judgement], profile: Profile) -> list[str]:
    """Return what the study came to, in at most five lines of plain text, most important first."""
    gray = [result for result in results if not result.stage.on_colour]
    if not gray:
        return ["No stage has a result."]

    def scores(result: StageResult) -> list[float]:
        return [record.scores["test_f1"] for record in result.records(result.decision.chosen)]

    def stages(outcome: str, kept: bool | None = None) -> str:
        return ", ".join(
            result.stage.name
            for result in choosing
            if result.decision.verdict == outcome and kept in (None, result.chosen.incumbent)
        )

    first, last, choosing = gray[0], gray[-1], [result for result in gray if len(result.candidates) > 1]
    gain = 100 * float(np.mean(scores(last)) - np.mean(scores(first)))
    lines = [
        f"Final model: test macro-F1 {mean_sd(scores(last))} (n = {len(scores(last))}), {abs(gain):.1f} points "
        f"{'above' if gain >= 0 else 'below'} the first one, CNN-{first.stage.cnn}."
    ]
    pinned = any(result.decision.rule == PINNED for result in choosing)
    if choosing and profile.seeds == 1:
        lines.append("With one run a trial, no difference can be told from noise.")
    elif choosing:
        better = (
            {"Published picks that are better": stages("better"), "Published picks that are worse": stages("worse")}
            if pinned
            else {
                "Changed the model for a better one": stages("better", False),
                "Kept the better one": stages("better", True),
            }
        )
        found = " ".join(f"{said}: {names}." for said, names in better.items() if names)
        lines.append(found or "No choice is better, or worse, beyond noise.")
        lines.append(f"Could not be told: {stages(UNCLEAR) or 'none'}.")
    told = [result.decision.agrees for result in choosing if result.stage.pick]
    said = [f"{sum(told)} of {len(told)} choices are as published."] if told and not pinned else []
    if judgements:
        counts = Counter(judgement.status for judgement in judgements)
        said.append(f"Claims: {', '.join(f'{counts[one]} {one}' for one in ('supported', 'refuted', 'undecided'))}.")
    if said:
        lines.append(" ".join(said))
    lines += [
        f"On colour images: test macro-F1 {mean_sd(scores(result))} (n = {len(scores(result))})."
        for result in results
        if result.stage.on_colour
    ]
    return lines
