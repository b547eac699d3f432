"""The results of stages and mistakes."""

from dataclasses import dataclass

from cnnlab.evidence import Comparison, Decision
from cnnlab.records import Record
from cnnlab.study import Candidate, Defect, Stage
from cnnlab.tuning.halving import Dropped


@dataclass(frozen=True)
class StageResult:
    """What a stage came to.

    Attributes:
        stage: The stage.
        candidates: Its trials, in the order of the study.
        runs: (candidate's name, seed) to record.
        decision: What it hands on, and why.
        left_out: Names of the trials that the profile does not run.
        dropped: Trials that were dropped early, and are no candidates for that reason.
    """

    stage: Stage
    candidates: tuple[Candidate, ...]
    runs: dict[tuple[str, int], Record]
    decision: Decision
    left_out: tuple[str, ...]
    dropped: tuple[Dropped, ...] = ()

    @property
    def chosen(self) -> Candidate:
        """The candidate that is handed on."""
        return self.candidate(self.decision.chosen)

    def candidate(self, name: str) -> Candidate:
        """Return a candidate by its name."""
        return next(candidate for candidate in self.candidates if candidate.name == name)

    def records(self, name: str) -> list[Record]:
        """Return a candidate's records, in the order of its seeds."""
        return [self.runs[name, seed] for seed in self.candidate(name).seeds]

    @property
    def best_run(self) -> Record:
        """The run of the chosen candidate with the highest `val_f1`."""
        return max(self.records(self.decision.chosen), key=lambda record: record.scores["val_f1"])

    @property
    def groups(self) -> dict[str, list[Record]]:
        """Each candidate's records."""
        return {candidate.name: self.records(candidate.name) for candidate in self.candidates}


@dataclass(frozen=True)
class DefectResult:
    """What a mistake cost.

    Attributes:
        defect: The mistake.
        groups: Each arm's records, the one without the mistake first.
        costs: The arm without the mistake against each of the others, on `test_f1`, by which no choice is made.
    """

    defect: Defect
    groups: dict[str, list[Record]]
    costs: tuple[Comparison, ...]
