"""Is the budget enough for a stage's question? Each note names one reason why it may not be."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnlab.evidence import Verdict
from cnnlab.records import Record
from cnnlab.tuning.advice.edges import find_edge, value_text
from cnnlab.tuning.results import StageResult, read_predictions

if TYPE_CHECKING:
    from cnnlab.tuning.tuning import Tuning

MIN_SHARE = 0.25  # of a stage's runs; with fewer that still improved, the budget hardly decides
CHANCE_ERRORS = 2.0  # standard errors by which an accuracy must exceed chance
INTERVAL = 1.96  # half the width of a 95 % interval, in standard errors


class NoteKind(StrEnum):
    """Why a budget may not be enough."""

    EDGE = "edge"
    LAST_EPOCH = "last-epoch"
    CHANCE = "chance"
    DIVERGED = "diverged"
    CEILING = "ceiling"
    FEW_IMAGES = "few-images"


@dataclass(frozen=True)
class BudgetNote:
    """One reason why the budget of a stage may not be enough for its question.

    Attributes:
        kind: The reason.
        text: It in one sentence, as plain text.
        trials: Names of the trials that it concerns.
        detail: Its figures. EDGE: `setting`, `value` (of the selected trial) and `side` ("lower" or "higher": where to
            look further). LAST_EPOCH: `runs`, `of` and `epochs`. CHANCE: `chance`. FEW_IMAGES: `images` (how many
            validation images it takes, however little the runs vary).
    """

    kind: NoteKind
    text: str
    trials: tuple[str, ...]
    detail: Mapping[str, Any] = field(default_factory=dict)


def budget_notes(tuning: "Tuning", result: StageResult) -> tuple[BudgetNote, ...]:
    """Return why the budget may not be enough for a stage's question; nothing where it is enough.

    Raises:
        DataError: The images cannot be used.
        RecordError: A run's predictions are missing or damaged.
    """
    matters = tuning.study.matters
    notes = (
        _edge(result),
        _last_epoch(result),
        _chance(tuning, result),
        _diverged(result),
        _ceiling(result, matters),
        _few_images(tuning, result, matters),
    )
    return tuple(note for note in notes if note)


def has_not_learned(tuning: "Tuning", result: StageResult) -> dict[str, str]:
    """Return the trials of a stage that have not learned: each name, with "diverged" or "at chance".

    "diverged": a run's loss became infinite or NaN, and the run is at chance. "at chance": all runs together are.

    Raises:
        DataError: The images cannot be used.
    """
    reasons = {}
    for trial in result.distinct_trials:
        records = result.records(trial.name)
        if any(_is_diverged(record) and is_at_chance(tuning, [record]) for record in records):
            reasons[trial.name] = "diverged"
        elif is_at_chance(tuning, records):
            reasons[trial.name] = "at chance"
    return reasons


def val_accuracy(records: Sequence[Record]) -> float:
    """Return the mean validation accuracy of some runs."""
    return float(np.mean([record.scores["val_accuracy"] for record in records]))


def chance_accuracy(tuning: "Tuning", records: Sequence[Record]) -> float:
    """Return the validation accuracy of always naming the most frequent class of the runs' validation images.

    Raises:
        DataError: The images cannot be used.
    """
    dataset = tuning.images.dataset(records[0].trial["input"]["colour"])
    labels = [dataset.train_labels[tuning.images.split(dataset, record.seed).val] for record in records]
    return float(np.mean([np.bincount(drawn).max() / len(drawn) for drawn in labels]))


def is_at_chance(tuning: "Tuning", records: Sequence[Record]) -> bool:
    """Return whether the accuracy of some runs is not clearly above chance: by binomial standard errors.

    Raises:
        DataError: The images cannot be used.
    """
    share, n_images = chance_accuracy(tuning, records), records[0].split["val"] * _n_draws(tuning, records)
    return val_accuracy(records) <= share + CHANCE_ERRORS * math.sqrt(share * (1 - share) / n_images)


def _n_draws(tuning: "Tuning", records: Sequence[Record]) -> int:
    """Return how many draws of validation images some runs have: 1 where all share one."""
    return 1 if tuning.images.has_given_val else len({record.split["digest"] for record in records})


def _is_diverged(record: Record) -> bool:
    return not all(np.isfinite(record.history[loss]).all() for loss in ("loss", "val_loss"))


def _edge(result: StageResult) -> BudgetNote | None:
    """Note a selected value at the edge of the stage's range."""
    edge = find_edge(result)
    if not edge:
        return None
    extreme = {"lower": "lowest", "higher": "highest"}[edge.side]
    # What a budget skips is expensive, so higher.
    skipped = f" This budget skips {', '.join(result.skipped)}." if result.skipped and edge.side == "higher" else ""
    text = (
        f"The selected value of {edge.setting}, {value_text(edge.value)}, is the {extreme} of {edge.n_values}: try "
        f"{edge.side} values too.{skipped}"
    )
    detail = {"setting": edge.setting, "value": edge.value, "side": edge.side}
    return BudgetNote(NoteKind.EDGE, text, (result.decision.selected,), detail)


def _last_epoch(result: StageResult) -> BudgetNote | None:
    """Note that runs still improved in the last epoch that the budget allows."""
    runs = [(trial.name, record) for trial in result.distinct_trials for record in result.records(trial.name)]
    unfinished = [
        (name, record)
        for name, record in runs
        if record.best_epoch == record.epochs == record.trial["training"]["epochs"] and not _is_diverged(record)
    ]
    if not unfinished or len(unfinished) < MIN_SHARE * len(runs):
        return None
    numbers = sorted({record.epochs for _, record in unfinished})
    epochs = f"{numbers[0]} to {numbers[-1]} epochs" if len(numbers) > 1 else _epochs(numbers[0])
    what = "verdicts" if len(result.distinct_trials) > 1 else "scores"
    return BudgetNote(
        NoteKind.LAST_EPOCH,
        f"{len(unfinished)} of {len(runs)} runs still improved in their last epoch: {what} hold for fits of {epochs}.",
        tuple(dict.fromkeys(name for name, _ in unfinished)),
        {"runs": len(unfinished), "of": len(runs), "epochs": numbers[-1]},
    )


def _epochs(number: int) -> str:
    return f"{number} epoch" if number == 1 else f"{number} epochs"


def _chance(tuning: "Tuning", result: StageResult) -> BudgetNote | None:
    """Note trials with runs whose accuracy is hardly above that of always naming the most frequent class."""
    records = {trial.name: result.records(trial.name) for trial in result.distinct_trials}
    at_chance = {name: sum(is_at_chance(tuning, [run]) for run in runs) for name, runs in records.items()}
    names = tuple(name for name, number in at_chance.items() if number)
    if not names:
        return None
    share = chance_accuracy(tuning, records[names[0]])
    counts = ", ".join(f"{name} ({at_chance[name]} of {_runs(len(records[name]))})" for name in names)
    text = f"Some runs are no better than guessing, which has a validation accuracy of {share:.2f}: {counts}."
    return BudgetNote(NoteKind.CHANCE, text, names, {"chance": share})


def _runs(number: int) -> str:
    return f"{number} run" if number == 1 else f"{number} runs"


def _diverged(result: StageResult) -> BudgetNote | None:
    """Note runs whose loss became infinite or NaN."""
    runs = [(trial.name, record) for trial in result.distinct_trials for record in result.records(trial.name)]
    diverged = [name for name, record in runs if _is_diverged(record)]
    if not diverged:
        return None
    names = tuple(dict.fromkeys(diverged))
    text = f"The loss of {len(diverged)} of {len(runs)} runs became infinite or NaN: {', '.join(names)}."
    return BudgetNote(NoteKind.DIVERGED, text, names)


def _ceiling(result: StageResult, matters: float) -> BudgetNote | None:
    """Note that all trials score so high that no difference that matters has room."""
    means = {
        trial.name: float(np.mean([record.scores["val_f1"] for record in result.records(trial.name)]))
        for trial in result.distinct_trials
    }
    if len(means) < 2 or min(means.values()) <= 1 - matters:
        return None
    text = (
        f"All trials have a mean val_f1 of at least {min(means.values()):.3f}: there is no room for a difference of "
        f"{matters:g}."
    )
    return BudgetNote(NoteKind.CEILING, text, tuple(means))


def _few_images(tuning: "Tuning", result: StageResult, matters: float) -> BudgetNote | None:
    """Note that an inconclusive verdict rests on too few validation images to show a difference that matters.

    The difference in accuracy of two trials on the same images has a variance of about q / n: q is the share of images
    that only one of the two has right (McNemar 1947, doi:10.1007/BF02295996), n the number of images.
    """
    comparison = result.decision.evidence
    if not comparison or comparison.verdict != Verdict.INCONCLUSIVE:
        return None
    first, second = (result.records(name) for name in (comparison.trial, comparison.against))
    pairs = [pair for pair in zip(first, second, strict=False) if pair[0].split["digest"] == pair[1].split["digest"]]
    if not pairs:
        return None
    shares = []
    for pair in pairs:
        labels, predicted, _ = read_predictions(tuning.store, pair, "val")
        is_right = predicted == labels
        shares.append(float((is_right[0] != is_right[1]).mean()))
    share, n_draws, n_images = float(np.mean(shares)), _n_draws(tuning, first), first[0].split["val"]
    needed = share / n_draws * (INTERVAL / matters) ** 2
    if needed <= n_images:
        return None
    images = _round_up(needed)
    return BudgetNote(
        NoteKind.FEW_IMAGES,
        f"{n_images:,} validation images are too few to show a difference of {matters:g}: it takes at least "
        f"{images:,}.",
        (comparison.trial, comparison.against),
        {"images": images},
    )


def _round_up(number: float) -> int:
    """Return the next whole number of two significant digits."""
    unit = 10.0 ** max(math.floor(math.log10(number)) - 1, 0)
    return int(math.ceil(number / unit) * unit)
