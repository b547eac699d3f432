"""The study as it runs: stage after stage, its results, claims and progress."""

from cnnlab.tuning.callbacks import Watcher
from cnnlab.tuning.claims import Judgement, judge, judge_all
from cnnlab.tuning.results import DefectResult, StageResult
from cnnlab.tuning.tuning import Tuning

__all__ = ["DefectResult", "Judgement", "StageResult", "Tuning", "Watcher", "judge", "judge_all"]
