"""Build, fit, export and use Keras models. Importing this package does not load Keras; `fit` and `layers` do."""

import os

from cnnlab import surroundings

os.environ["KERAS_HOME"] = surroundings.NO_FOLDER  # read when Keras is imported

from cnnlab.models.builder import GRAY, Shape, build, compile_model, scramble_channels
from cnnlab.models.cnns import cnn_1, cnn_2, cnn_3, cnn_4, cnn_5, cnn_6, cnn_7, cnn_8, cnn_9
from cnnlab.models.cost import model_cost
from cnnlab.models.export import augment, check_own_model, deployable, describe
from cnnlab.models.keras_code import code_change, keras_code
from cnnlab.models.memory import forget_gradients
from cnnlab.models.trial import TRAINING_ENV, run_trial

__all__ = [
    "GRAY", "TRAINING_ENV", "Shape", "augment", "build", "check_own_model", "cnn_1", "cnn_2", "cnn_3", "cnn_4",
    "cnn_5", "cnn_6", "cnn_7", "cnn_8", "cnn_9", "code_change", "compile_model", "deployable", "describe",
    "forget_gradients", "keras_code", "model_cost", "run_trial", "scramble_channels",
]  # fmt: skip
