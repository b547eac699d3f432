"""Callbacks: how a study reports its progress."""

from cnnlab.records import Record
from cnnlab.tuning.results import StageResult


class Callback:
    """Methods that a study calls as it runs. Those of this base class do nothing."""

    def on_stage_start(self, name: str, runs: int, missing: int) -> None:
        """A stage, or "mistakes", starts: its number of runs, and how many of them are not stored yet."""

    def on_epoch(self, trial: str, seed: int, epoch: int, epochs: int) -> None:
        """A run starts an epoch (from 1, of at most `epochs`). Not called for every epoch where they are short."""

    def on_run_end(self, trial: str, record: Record, cached: bool) -> None:
        """A run has its record: stored before (`cached`), or just made."""

    def on_stage_end(self, result: StageResult) -> None:
        """A stage has selected its trial."""
