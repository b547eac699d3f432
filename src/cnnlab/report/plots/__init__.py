"""Pictures with text alternatives, made from results."""

from cnnlab.report.plots.images import class_counts, images
from cnnlab.report.plots.learning import learning_curve
from cnnlab.report.plots.picture import INCUMBENT, SHARPNESS, Picture
from cnnlab.report.plots.predictions import calibration, confusion
from cnnlab.report.plots.stage import LISTED_EPOCHS, colours, curves, differences, scores
from cnnlab.report.plots.study import path

__all__ = [
    "INCUMBENT", "LISTED_EPOCHS", "SHARPNESS", "Picture", "calibration", "class_counts", "colours", "confusion",
    "curves", "differences", "images", "learning_curve", "path", "scores",
]  # fmt: skip
