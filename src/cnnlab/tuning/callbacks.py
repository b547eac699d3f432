"""What a study tells of its progress."""

from cnnlab.records import Record
from cnnlab.tuning.results import StageResult


class Watcher:
    """Is told how the work goes on; this one keeps it to itself."""

    def begin(self, name: str, runs: int, missing: int) -> None:
        """Note that a stage begins, or "mistakes": so many runs, of which so many are not stored yet."""

    def epoch(self, trial: str, seed: int, epoch: int, epochs: int) -> None:
        """Note that a run of the stage begins an epoch, of so many at most; short ones are not all told."""

    def done(self, trial: str, record: Record, cached: bool) -> None:
        """Note that a run of the stage is there, stored before (cached) or just made."""

    def end(self, result: "StageResult") -> None:
        """Note what a stage came to."""
