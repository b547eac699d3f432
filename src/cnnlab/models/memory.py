"""Free what TensorFlow keeps of models that are no longer used."""

import sys


def forget_gradients() -> None:
    """Remove the gradients that TensorFlow has registered for the models that it traced in this process.

    TensorFlow (2.21) needs such a gradient only while it traces a model, but never removes it. It holds the model's
    graphs, 14 MB for a small model, and a model gets one in each fit. Call this only while no model is traced.
    """
    ops = sys.modules.get("tensorflow.python.framework.ops")
    registered = getattr(getattr(ops, "gradient_registry", None), "_registry", {})
    for name in [name for name in registered if name.startswith("CustomGradient-")]:
        del registered[name]
