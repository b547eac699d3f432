"""From scores to verdicts and selections: resampling, comparisons, the one-standard-error rule."""

from cnnlab.evidence.comparison import CONFIDENCE, UNCLEAR, Comparison, compare, holm, mean_interval
from cnnlab.evidence.resampling import DRAWS, Scores, image_weights, optimism, resampled_f1
from cnnlab.evidence.selection import PINNED, Decision, choose, decide, pooled_sd

__all__ = [
    "CONFIDENCE",
    "DRAWS",
    "PINNED",
    "UNCLEAR",
    "Comparison",
    "Decision",
    "Scores",
    "choose",
    "compare",
    "decide",
    "holm",
    "image_weights",
    "mean_interval",
    "optimism",
    "pooled_sd",
    "resampled_f1",
]
