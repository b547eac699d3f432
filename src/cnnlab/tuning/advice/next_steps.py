"""What to do next: steps that could settle a verdict or improve the final model, with their costs and commands."""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.records import Record
from cnnlab.study import ALL_MISTAKES, is_bundled
from cnnlab.tuning.advice.basis import Basis, Notes, distinct_records
from cnnlab.tuning.advice.edges import value_text
from cnnlab.tuning.advice.enough import BudgetNote, NoteKind, budget_notes
from cnnlab.tuning.planning.estimate import duration
from cnnlab.tuning.results import LearningCurve, StageResult, final_stage
from cnnlab.tuning.search.cost import BACKWARD

if TYPE_CHECKING:
    from cnnlab.tuning.tuning import Tuning

FIRST_SEEDS = 3  # in place of one seed, which gives no interval
MOST_SEEDS = 30  # no more seeds are suggested
UNFINISHED_SHARE = 0.25  # of all runs; with fewer that were best in their last epoch, more epochs are not suggested
LEAST_MORE = 1.1  # times as many images; fewer change little, and with groups the seeds differ by some images
MORE_TRIALS = 2  # that a wider range is expected to have
LEAST_SECONDS = 60.0  # of a command: a shorter one is not ranked higher
MOST_LINES = 5
MOST_NAMES = 4  # of stages in a sentence
NOTHING = "These results suggest no next step."


@dataclass(frozen=True)
class NextStep:
    """Something to do after a study.

    Attributes:
        what: It, and why, with its figures, as plain text.
        command: The command that does it.
        gain: What it could bring, to rank by: a rise of a score, or a difference that could get a verdict, 0 to 1.
        seconds: Wall time, estimated from that of the study's runs; what is saved is negative; NaN if unknown.
    """

    what: str
    command: str
    gain: float
    seconds: float

    @property
    def cost(self) -> str:
        """The estimated time, as text."""
        if math.isnan(self.seconds):
            return "time not estimated"
        return f"estimated {'to save ' if self.seconds < 0 else ''}{duration(abs(self.seconds))}"

    @property
    def rate(self) -> float:
        """What it could bring per second."""
        return 0.0 if math.isnan(self.seconds) else self.gain / max(self.seconds, LEAST_SECONDS)


def notes_by_stage(tuning: "Tuning", results: Sequence[StageResult]) -> Notes:
    """Return the notes about the budget of each stage. It raises what `budget_notes` does."""
    return {result.stage.name: budget_notes(tuning, result) for result in results}


def next_steps(
    tuning: "Tuning", results: Sequence[StageResult], curve: LearningCurve | None, notes: Notes
) -> list[NextStep]:
    """Return what to do next, first what could bring the most for its cost.

    Args:
        tuning: The study.
        results: Its stages.
        curve: The learning curve of the final model; None without one.
        notes: The notes about the budget, by stage.

    Raises:
        DataError: The images cannot be used.
    """
    if not results:
        return []
    basis = Basis(tuning, results, curve, notes)
    return sorted((step for find in _KINDS for step in find(basis)), key=lambda step: -step.rate)


def next_lines(steps: Sequence[NextStep]) -> list[str]:
    """Return the first steps as lines for a terminal, at most `MOST_LINES`."""
    lines = [f"next: {step.what} ({step.cost}): {step.command}" for step in steps[:MOST_LINES]]
    return lines or [f"next: {NOTHING}"]


def _more_seeds(basis: Basis) -> Iterator[NextStep]:
    n, inconclusive = basis.tuning.budget.seeds, basis.inconclusive()
    if n == 1 and inconclusive:
        what = f"With one seed, every verdict is inconclusive. With {FIRST_SEEDS}, every difference has an interval."
        at_stake = max(abs(one.difference) for one in inconclusive.values())
        seconds = basis.study_seconds() * (FIRST_SEEDS - n)
        yield NextStep(what, basis.command(SEEDS=FIRST_SEEDS), at_stake, seconds)
        return
    needed = {name: one for name, one in inconclusive.items() if n < one.seeds_needed <= MOST_SEEDS}
    if not needed:
        return
    numbers = sorted({int(one.seeds_needed) for one in needed.values()})
    parts = list[str]()
    for number in numbers:
        stages = [f"{name} ({one.difference:+z.3f})" for name, one in needed.items() if one.seeds_needed == number]
        parts.append(f"{number} {'also ' if parts else ''}{_listed(stages)}")
    parts[0] = parts[0].replace(" ", f" seeds per trial instead of {n} would probably settle ", 1)
    at_stake = max(abs(one.difference) for one in needed.values() if one.seeds_needed == numbers[0])
    seconds = basis.study_seconds() * (numbers[0] - n) / n
    yield NextStep(f"{'; '.join(parts)}.", basis.command(SEEDS=numbers[0]), at_stake, seconds)


def _more_epochs(basis: Basis) -> Iterator[NextStep]:
    epochs = basis.tuning.budget.epochs
    runs = list(distinct_records(basis.results).values())
    unfinished = [record for record in runs if record.best_epoch == record.epochs == epochs]
    selected = {record.digest: record for result in basis.results for record in result.selected_records}
    rise = float(np.mean([_last_rise(record) for record in selected.values()]))
    if len(unfinished) < UNFINISHED_SHARE * len(runs) or rise <= 0:
        return
    rose = f"rose by {rise:.3f} over the last quarter of their epochs"
    if epochs == 1:
        rose = f"is {rise:.3f} above that of guessing after one epoch"
    what = (
        f"{len(unfinished)} of {len(runs)} runs were best in their last epoch; the val_accuracy of the selected "
        f"trials {rose}. Try {2 * epochs} epochs."
    )
    seconds = basis.study_seconds(lambda record: 1.0 + (record.epochs == epochs))
    yield NextStep(what, basis.command(EPOCHS=2 * epochs), rise, seconds)


def _more_training_images(basis: Basis) -> Iterator[NextStep]:
    final = final_stage(basis.results)
    if not basis.curve or not final:
        return
    split, gain = final.selected_records[0].split, basis.curve.gain
    n_train = split["train"]
    n_left = basis.most_images("train") - n_train
    if n_train + n_left < LEAST_MORE * n_train or gain.difference <= 0:
        return
    interval = "one run, so no interval"
    if gain.has_interval:
        interval = f"95 % interval {gain.low:+z.3f} to {gain.high:+z.3f}"
    wanted = min(2 * n_train, n_train + n_left)
    what = (
        f"{n_train:,} training images instead of {basis.curve.points[-2].images:,} raised the final model's "
        f"val_f1 by {gain.difference:.3f} ({interval}). Try {wanted:,}; the folder has {n_left:,} more images."
    )
    seconds = basis.study_seconds(lambda _: wanted / n_train)
    yield NextStep(what, basis.command(TRAIN=wanted), gain.difference, seconds)


def _more_validation_images(basis: Basis) -> Iterator[NextStep]:
    few = dict(basis.with_note(NoteKind.FEW_IMAGES))
    if not few:
        return
    split = basis.results[0].selected_records[0].split
    n_train, n_val = split["train"], split["val"]
    needed, most = max(note.detail["images"] for note in few.values()), basis.most_images("val")
    wanted = min(needed, most)
    if wanted < LEAST_MORE * n_val:
        return
    limit = ""
    if needed > most:
        gray = basis.tuning.images.folder.gray
        limit = "a fifth of the folder's training images" if gray.given_val is None else "all that the files name"
        limit = f", {limit}; {needed:,} would be enough for all these stages"
    what = (
        f"{n_val:,} validation images are too few to show a difference of {basis.tuning.study.matters:g} in "
        f"{_listed(few)}. Try {wanted:,}{limit}."
    )
    evidence = [one for name, one in basis.inconclusive().items() if name in few]
    at_stake = max((abs(one.difference) for one in evidence), default=0.0)
    trained = BACKWARD * n_train
    seconds = basis.study_seconds(lambda _: (trained + wanted) / (trained + n_val))
    yield NextStep(what, basis.command(VAL=wanted), at_stake, seconds)


def _wider_ranges(basis: Basis) -> Iterator[NextStep]:
    edges = dict(basis.with_note(NoteKind.EDGE))
    if not edges or basis.tuning.protocol.pinned:  # whose trials are the published ones
        return
    gains, seconds = list[float](), 0.0
    for result in basis.results:
        name = result.stage.name
        n_trials, is_wider = len(result.distinct_trials), name in edges
        if is_wider:
            gains.append(_lead(result))
        # Another selection changes the trials of all later stages.
        seconds += basis.stage_seconds(name) * ((len(gains) > is_wider) + is_wider * MORE_TRIALS / n_trials)
    is_ours, ranges = is_bundled(basis.tuning.study), ", ".join(map(_edge_text, edges.values()))
    command, stages = basis.command(), "this stage" if len(edges) == 1 else "these stages"
    how = "your study file."
    if is_ours:
        scope = basis.tuning.scope  # the written study has no mistakes
        stages_left, skip_left = (",".join(sorted(names - {ALL_MISTAKES})) for names in (scope.asked, scope.not_wanted))
        then = basis.command(STUDY="mine.toml", STAGES=stages_left, SKIP=skip_left)
        how = f"mine.toml, which this command writes. Then: {then}"
        command = f".venv/bin/cnnlab study new mine.toml --from {basis.tuning.study.name}"
    yield NextStep(
        f"The selected value is at the edge of the range that was tried: {ranges}. Add values to {stages} in {how}",
        command,
        max(gains),
        seconds / basis.workers,
    )


def _edge_text(note: BudgetNote) -> str:
    return f"{note.detail['setting']} {value_text(note.detail['value'])} (try {note.detail['side']})"


def _lead(result: StageResult) -> float:
    """Return by how much the mean `val_f1` of the selected trial is above that of the best other one, at least 0."""
    means = {
        trial.name: float(np.mean([record.scores["val_f1"] for record in result.records(trial.name)]))
        for trial in result.distinct_trials
    }
    selected = means.pop(result.decision.selected)
    return max(selected - max(means.values(), default=selected), 0.0)


def _stages_to_skip(basis: Basis) -> Iterator[NextStep]:
    # A stage that changed the model is no stage to skip: all later ones would start from another model.
    names = [
        result.stage.name
        for result in basis.results
        if basis.is_negligible(result) and result.incumbent and result.decision.selected == result.incumbent.name
    ]
    if not names or len(names) == len(basis.results):
        return
    others = {digest for name, records in basis.stage_records.items() if name not in names for digest in records}
    own = dict.fromkeys(digest for name in names for digest in basis.stage_records[name])
    saved = sum(basis.seconds[digest] for digest in own if digest not in others)
    matters = basis.tuning.study.matters
    what = f"Skip next time: {_listed(names)}. All their intervals lie within -{matters:g} and +{matters:g}."
    skip = ",".join(sorted({*names, *basis.tuning.scope.not_wanted}))
    yield NextStep(what, basis.command(SKIP=skip), 0.0, -saved / basis.workers)


_KINDS = (_more_seeds, _more_epochs, _more_training_images, _more_validation_images, _wider_ranges, _stages_to_skip)
"""Each finds steps of one kind."""


def _listed(names: Collection[str]) -> str:
    """Return names as a list within a sentence: the first ones, and how many more there are."""
    first, more = list(names)[:MOST_NAMES], len(names) - MOST_NAMES
    return ", ".join(first) + (f" and {more} more" if more > 0 else "")


def _last_rise(record: Record) -> float:
    """Return by how much the `val_accuracy` of a run rose over the last quarter of its epochs.

    For a run of one epoch, it is how far it lies above that of guessing.
    """
    accuracy = [1 / len(record.data["class_names"]), *record.history["val_accuracy"]]
    return accuracy[-1] - accuracy[record.epochs * 3 // 4]
