"""Own models: functions of the user that build a Keras model. They are read here as text and are not run."""

from cnnlab.study.own.function import read_own_function
from cnnlab.study.own.model import PLAIN, OwnModel, own_model, read_own_model

__all__ = ["PLAIN", "OwnModel", "own_model", "read_own_function", "read_own_model"]
