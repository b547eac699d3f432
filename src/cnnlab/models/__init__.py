"""Build, fit, export and use Keras models."""

from cnnlab.models.builder import build, compile_model, lay_out, require_size
from cnnlab.models.cnns import cnn_1, cnn_2, cnn_3, cnn_4, cnn_5, cnn_6, cnn_7, cnn_8, cnn_9
from cnnlab.models.export import augment, deployable, describe

__all__ = [
    "augment",
    "build",
    "cnn_1",
    "cnn_2",
    "cnn_3",
    "cnn_4",
    "cnn_5",
    "cnn_6",
    "cnn_7",
    "cnn_8",
    "cnn_9",
    "compile_model",
    "deployable",
    "describe",
    "lay_out",
    "require_size",
]
