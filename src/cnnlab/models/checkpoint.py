"""Save a fit between two epochs and resume it. Importing this loads Keras."""

import hashlib
import io
import json
import math
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from cnnlab import __version__, files
from cnnlab.records import SCHEMA


@dataclass
class _State:
    """How far a fit is, beside the model's own variables: all that its next epoch depends on.

    Attributes:
        history: Each metric's values so far, one an epoch.
        best: Lowest `val_loss` so far.
        wait: Epochs since.
        seconds: Time spent so far.
        best_weights: The weights of the best epoch; of the first one, where every `val_loss` is NaN.
    """

    history: dict[str, list[float]] = field(default_factory=dict)
    best: float = math.inf
    wait: int = 0
    seconds: float = 0.0
    best_weights: list[NDArray[Any]] = field(default_factory=list)

    @property
    def epochs(self) -> int:
        return len(self.history.get("loss", ()))

    def note(self, metrics: Mapping[str, float], weights: Callable[[], list[NDArray[Any]]]) -> None:
        """Take in an epoch's metrics, and its weights if they are the best so far."""
        for name, value in metrics.items():
            self.history.setdefault(name, []).append(value)
        better = metrics["val_loss"] < self.best
        self.wait = 0 if better else self.wait + 1
        if better or not self.best_weights:
            self.best_weights = weights()
        if better:
            self.best = metrics["val_loss"]


def _made_by() -> dict[str, str]:
    return {
        "cnnlab": __version__,
        "python": platform.python_version(),
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "backend_version": _backend_version(keras.backend.backend()),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _save(path: Path, state: _State, variables: Sequence[Any]) -> None:
    """Write a checkpoint. Where that cannot be done, on a worker of another machine or a full disk, go on without."""
    about = {"history": state.history, "best": state.best, "wait": state.wait, "seconds": state.seconds}
    content = io.BytesIO()
    arrays = {f"best_{i:03d}": value for i, value in enumerate(state.best_weights)}
    arrays |= {f"variable_{i:03d}": keras.ops.convert_to_numpy(value) for i, value in enumerate(variables)}
    arrays["about"] = np.frombuffer(json.dumps({**about, "made_by": [SCHEMA, _made_by()]}).encode(), np.uint8)
    np.savez(content, **arrays)  # type: ignore[arg-type]
    blob = content.getvalue()
    with suppress(OSError):
        files.write(path, hashlib.sha256(blob).digest() + blob)


def _resumed(path: Path, variables: Sequence[Any]) -> _State:
    """Set a model to its checkpoint and return where the fit was; at its beginning without a whole one of our own."""
    try:
        content = path.read_bytes()
        if hashlib.sha256(content[32:]).digest() != content[:32]:
            return _State()
        with np.load(io.BytesIO(content[32:]), allow_pickle=False) as arrays:
            about = json.loads(arrays["about"].tobytes())
            best = [arrays[name] for name in sorted(arrays.files) if name.startswith("best_")]
            saved = [arrays[name] for name in sorted(arrays.files) if name.startswith("variable_")]
        made_by = about.pop("made_by")
        state = _State(**about, best_weights=best)
    except (OSError, ValueError, KeyError, TypeError):
        return _State()
    if made_by != [SCHEMA, _made_by()] or [v.shape for v in variables] != [value.shape for value in saved]:
        return _State()
    for variable, value in zip(variables, saved, strict=True):
        variable.assign(value)
    return state


def _backend_version(backend: str) -> str:
    """Return the version of the backend's package, which is loaded by now."""
    return str(getattr(sys.modules.get(backend), "__version__", "unknown"))
