"""From scores to verdicts and selections: resampling, comparisons, the one-standard-error rule, importance."""

from cnnlab.evidence.comparison import Comparison, Verdict, compare, mean_interval
from cnnlab.evidence.critical import CONFIDENCE
from cnnlab.evidence.importance import MIN_CONFIGURATIONS, Importance, SettingImportance, importance
from cnnlab.evidence.resampling import N_RESAMPLES, Scores, image_weights, optimism, resampled_f1
from cnnlab.evidence.selection import Decision, Rule, choose, decide, pooled_sd

__all__ = [
    "CONFIDENCE", "MIN_CONFIGURATIONS", "N_RESAMPLES", "Comparison", "Decision", "Importance", "Rule", "Scores",
    "SettingImportance", "Verdict", "choose", "compare", "decide", "image_weights", "importance", "mean_interval",
    "optimism", "pooled_sd", "resampled_f1",
]  # fmt: skip
