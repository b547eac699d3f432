"""Pictures with text alternatives, made from results."""

from cnnlab.report.plots.curves import LISTED_EPOCHS, curves, learning_curve
from cnnlab.report.plots.images import class_counts, image_pairs, images
from cnnlab.report.plots.importance import importance
from cnnlab.report.plots.picture import SHARPNESS, Picture
from cnnlab.report.plots.predictions import calibration, confusion
from cnnlab.report.plots.search import search
from cnnlab.report.plots.stage import colours, differences, scores
from cnnlab.report.plots.svg import mini_interval

__all__ = [
    "LISTED_EPOCHS", "SHARPNESS", "Picture", "calibration", "class_counts", "colours", "confusion", "curves",
    "differences", "image_pairs", "images", "importance", "learning_curve", "mini_interval", "scores", "search",
]  # fmt: skip
