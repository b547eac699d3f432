"""The study as it runs: stage after stage, its results, claims and progress."""

from cnnlab.tuning.advice import NextStep, distinct_records, make_command, next_lines, next_steps, notes_by_stage
from cnnlab.tuning.claims import ClaimResult, ClaimStatus, check_claims
from cnnlab.tuning.describe import check_study, describe_images, study_lines
from cnnlab.tuning.doubtful import DoubtfulLabels, NoAnswer, doubtful_labels, doubtful_runs
from cnnlab.tuning.images import StudyImages
from cnnlab.tuning.planning import TimeLeft, fit_time, plan_lines
from cnnlab.tuning.progress import Callback
from cnnlab.tuning.results import (
    CurvePoint,
    LearningCurve,
    MistakeResult,
    Result,
    StageResult,
    StudyResults,
    final_stage,
    have_same_runs,
    last_gray_stage,
    read_predictions,
    read_scores,
)
from cnnlab.tuning.run import run_study
from cnnlab.tuning.tuning import Tuning

__all__ = [
    "Callback", "ClaimResult", "ClaimStatus", "CurvePoint", "DoubtfulLabels", "LearningCurve", "MistakeResult",
    "NextStep", "NoAnswer", "Result", "StageResult", "StudyImages", "StudyResults", "TimeLeft", "Tuning",
    "check_claims", "check_study", "describe_images", "distinct_records", "doubtful_labels", "doubtful_runs",
    "final_stage", "fit_time", "have_same_runs", "last_gray_stage", "make_command", "next_lines", "next_steps",
    "notes_by_stage", "plan_lines", "read_predictions", "read_scores", "run_study", "study_lines",
]  # fmt: skip
