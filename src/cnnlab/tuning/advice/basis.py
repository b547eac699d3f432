"""What the next steps are found from: the results of a study, their times, and the command that makes it."""

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from cnnlab import surroundings
from cnnlab.errors import CnnlabError
from cnnlab.evidence import Comparison
from cnnlab.records import Record
from cnnlab.study import ALL_MISTAKES
from cnnlab.tuning.advice.command import make_command
from cnnlab.tuning.advice.enough import BudgetNote, NoteKind
from cnnlab.tuning.images import image_counts
from cnnlab.tuning.planning.calibration import unmeasured
from cnnlab.tuning.results import LearningCurve, Result, StageResult
from cnnlab.tuning.search import SearchResult

if TYPE_CHECKING:
    from cnnlab.tuning.tuning import Tuning

Notes = Mapping[str, Sequence[BudgetNote]]
PAUSED = 20
"""A run was paused if its epochs took so many times as long as the median of its stage: a laptop may have slept."""


class Basis:
    """What the steps are found from.

    Attributes:
        tuning: The study.
        results: Its stages.
        curve: The learning curve of the final model; None without one.
        records: All records, by digest; `stage_records` has those of each stage.
        seconds: The time of each run, by digest; of a run that was paused, that of as many usual epochs of its stage.
        workers: How many runs are made at the same time; NaN if unknown.
    """

    def __init__(
        self, tuning: "Tuning", results: Sequence[StageResult], curve: LearningCurve | None, notes: Notes
    ) -> None:
        self.tuning, self.results, self.curve, self._notes = tuning, results, curve, notes
        self.stage_records = {result.stage.name: distinct_records([result]) for result in results}
        self.records = distinct_records([*results, *([curve] if curve else [])])
        groups = [*self.stage_records.values(), distinct_records([curve] if curve else [])]
        self.seconds = {digest: seconds for group in groups for digest, seconds in _usual_seconds(group).items()}
        self.workers = math.nan
        with suppress(CnnlabError):  # a scheduler that is gone
            self.workers = unmeasured(tuning).workers

    def command(self, **changes: object) -> str:
        """Return the command of the study with other values of make's variables."""
        tuning = self.tuning
        study = surroundings.relative_path(tuning.study_file or f"{tuning.study.name}.toml")
        runs = surroundings.relative_path(tuning.store.path)
        return make_command(tuning, study, **changes, RUNS="" if runs == "reports/runs" else runs)

    def study_seconds(self, factor: Callable[[Record], float] = lambda _: 1.0) -> float:
        """Return the wall time of all runs, of which each takes some factor of its present time."""
        seconds = sum(self.seconds[digest] * factor(record) for digest, record in self.records.items())
        n_mistakes = self.tuning.planned_runs().get(ALL_MISTAKES, 0)
        return seconds * (1 + n_mistakes / len(self.records)) / self.workers

    def most_images(self, part: Literal["train", "val"]) -> int:
        """Return how many images could be trained on, or validated on, with the other numbers of the budget."""
        budget, most = self.tuning.budget, 10**9
        budget = replace(budget, train=most) if part == "train" else replace(budget, val=most)
        n_train, n_val, _ = image_counts(self.tuning.images.folder.gray, budget)
        return n_train if part == "train" else n_val

    def stage_seconds(self, name: str) -> float:
        """Return the time of all runs of a stage, one after the other."""
        return sum(self.seconds[digest] for digest in self.stage_records[name])

    def is_negligible(self, result: StageResult) -> bool:
        """Return whether all differences of a stage are too small to matter, with their intervals."""
        comparisons = result.decision.comparisons
        return bool(comparisons) and all(
            one.has_interval and max(abs(one.low), abs(one.high)) <= self.tuning.study.matters for one in comparisons
        )

    def inconclusive(self) -> dict[str, Comparison]:
        """Return the evidence of the stages that need a verdict, by stage."""
        return {
            result.stage.name: one
            for result in self.results
            if (one := result.decision.evidence) and not one.is_conclusive and not self.is_negligible(result)
        }

    def with_note(self, kind: NoteKind) -> Iterator[tuple[str, BudgetNote]]:
        """Yield the stages that have a note of some kind, with it."""
        for name, notes in self._notes.items():
            yield from ((name, note) for note in notes if note.kind == kind)


def distinct_records(results: Iterable[Result]) -> dict[str, Record]:
    """Return the records behind some results, each once, by digest; of a joint search, those of its proposals too."""
    found = dict[str, Record]()
    for result in results:
        groups = [*result.records_by_trial.values()]
        if isinstance(result, SearchResult):
            groups += [list(proposal.records) for proposal in result.ledger]
        found |= {record.digest: record for group in groups for record in group}
    return found


def _usual_seconds(records: Mapping[str, Record]) -> dict[str, float]:
    paces = {digest: record.train_seconds / record.epochs for digest, record in records.items()}
    usual = statistics.median(paces.values()) if paces else 0.0
    return {
        digest: records[digest].epochs * (pace if pace <= PAUSED * usual else usual) for digest, pace in paces.items()
    }
