"""The state of a fit between two epochs, and its checkpoint. Importing this loads Keras."""

import math
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
from numpy.typing import NDArray

from cnnlab import __version__, files
from cnnlab.records import sealed


@dataclass
class FitState:
    """The state of a fit, beside the model's own variables: all that its next epoch depends on.

    Keras's `EarlyStopping` and `BackupAndRestore` are no help here: the first resets its state when a fit resumes, the
    second stores weights only, so a resumed fit would not be the same fit (Keras 3.15).

    Attributes:
        history: Each metric's value in every epoch so far.
        best: Lowest `val_loss` so far.
        wait: Epochs since the lowest `val_loss`.
        seconds: Time spent so far.
        best_weights: The weights of the best epoch; of the first epoch where every `val_loss` is NaN.
    """

    history: dict[str, list[float]] = field(default_factory=dict)
    best: float = math.inf
    wait: int = 0
    seconds: float = 0.0
    best_weights: list[NDArray[Any]] = field(default_factory=list)

    @property
    def epochs(self) -> int:
        """Number of finished epochs."""
        return len(self.history.get("loss", ()))

    def add_epoch(self, metrics: Mapping[str, float], get_weights: Callable[[], list[NDArray[Any]]]) -> None:
        """Add an epoch's metrics, and keep its weights if they are the best so far."""
        for name, value in metrics.items():
            self.history.setdefault(name, []).append(value)
        better = metrics["val_loss"] < self.best
        self.wait = 0 if better else self.wait + 1
        if better or not self.best_weights:
            self.best_weights = get_weights()
        if better:
            self.best = metrics["val_loss"]


def provenance() -> dict[str, str]:
    """Return the versions and the kind of machine that make a run."""
    backend = keras.backend.backend()
    return {
        "cnnlab": __version__,
        "python": platform.python_version(),
        "keras": keras.__version__,
        "backend": backend,
        "backend_version": str(getattr(sys.modules.get(backend), "__version__", "unknown")),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def save(path: Path, state: FitState, variables: Sequence[Any]) -> None:
    """Write a checkpoint. Where it cannot be written, as on a full disk, the fit continues without."""
    about = {"history": state.history, "best": state.best, "wait": state.wait, "seconds": state.seconds}
    arrays = {f"best_{i:03d}": value for i, value in enumerate(state.best_weights)}
    arrays |= {f"variable_{i:03d}": keras.ops.convert_to_numpy(value) for i, value in enumerate(variables)}
    with suppress(OSError):
        files.write(path, sealed.pack({**about, "provenance": provenance()}, arrays))


def resume(path: Path, variables: Sequence[Any]) -> FitState:
    """Set a model's variables to those of a checkpoint and return its state.

    Without a whole checkpoint of these versions, the variables stay as they are and the state is that of a new fit.
    """
    try:
        about, arrays = sealed.unpack(path.read_bytes(), "*")
        made_by = about.pop("provenance")
        best = [value for name, value in arrays.items() if name.startswith("best_")]
        state = FitState(**about, best_weights=best)
    except (OSError, sealed.BrokenSealError, KeyError, TypeError):
        return FitState()
    saved = [value for name, value in arrays.items() if name.startswith("variable_")]
    if made_by != provenance() or [v.shape for v in variables] != [value.shape for value in saved]:
        return FitState()
    for variable, value in zip(variables, saved, strict=True):
        variable.assign(value)
    return state
