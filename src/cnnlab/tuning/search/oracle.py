"""Proposals for a joint search: quasi-random points, and those of Keras Tuner's oracles.

A proposal depends on nothing but the search and the scores so far, so that a search that was killed proposes the same
trials again and finds their runs stored. Keras Tuner's own files are not used.
"""

import contextlib
import io
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import Any

from cnnlab.errors import ConfigError
from cnnlab.study import Dimension, OracleKind, Search

PACKAGE = "keras-tuner"
SEED = 1
"""Of the quasi-random points and the oracle. Keras Tuner takes 0 for no seed."""
Point = tuple[float, ...]
"""A trial in the space: for each dimension, a position from 0 to 1."""


def quasi_random(search: Search, number: int) -> list[Point]:
    """Return points that cover the space evenly: the first ones of a scrambled Halton sequence.

    More points begin with the same ones. Halton, Numerische Mathematik 2 (1960), doi:10.1007/BF01386213; scrambled
    after Owen (2017), arXiv:1706.02808. With few points in many dimensions, the settings of a Sobol sequence depend on
    each other, so that one would get the importance of another.

    Args:
        search: The search.
        number: How many points.
    """
    from scipy.stats import qmc

    points = qmc.Halton(len(search.space), scramble=True, rng=SEED).random(number)
    return [_standard(search, point) for point in points.tolist()]


def require_tuner() -> None:
    """Require Keras Tuner to be installed, before anything is run.

    Raises:
        ConfigError: It is not.
    """
    if find_spec("keras_tuner") is None:
        raise ConfigError(
            f"Expected the package {PACKAGE} for a joint search. Received: none. Install what requirements.lock lists "
            "(make report does), or skip the search (SKIP=search)."
        )


def propose(search: Search, scores: Sequence[tuple[Point, float | None]], number: int) -> list[Point]:
    """Return the next points of an oracle, on a worker: Keras Tuner loads TensorFlow.

    Raises:
        ConfigError: The worker does not have Keras Tuner.

    Args:
        search: The search.
        scores: The points so far with their mean `val_f1`; None for one that failed.
        number: How many points. There are fewer if the oracle finds no new one.
    """
    require_tuner()
    import keras_tuner
    from keras_tuner.engine import trial as trials

    space = keras_tuner.HyperParameters()
    for dimension in search.space:
        _add(space, dimension)
    # Another seed each time, as the oracle itself starts from its seed.
    settings: dict[str, Any] = {
        "objective": keras_tuner.Objective("val_f1", "max"),
        "hyperparameters": space,
        "seed": SEED + len(scores),
        "max_trials": len(scores) + number,  # the default, 10, would end the search in silence
        "tune_new_entries": False,
        "allow_new_entries": False,
    }
    if search.oracle == OracleKind.BAYESIAN:
        oracle = keras_tuner.oracles.BayesianOptimizationOracle(num_initial_points=1, **settings)
    else:
        oracle = keras_tuner.oracles.RandomSearchOracle(**settings)
    oracle.verbose = 0
    for count, (point, score) in enumerate(scores):
        known = space.copy()
        known.values = _to_values(search, point)
        made = trials.Trial(known, trial_id=f"told-{count}", status="FAILED" if score is None else "COMPLETED")
        made.score = score
        oracle.trials[made.trial_id] = made
        oracle._record_values(made)  # so that it is not proposed again
    proposed = []
    with (
        TemporaryDirectory() as folder,  # it saves each trial
        contextlib.redirect_stdout(io.StringIO()),  # and prints it
        warnings.catch_warnings(action="ignore"),  # a Gaussian process that does not fit well still proposes
    ):
        oracle._set_project_dir(folder, "oracle")
        for count in range(number):
            trial = oracle.create_trial(f"worker-{count}")
            if trial.status != "RUNNING":
                break
            proposed.append(_to_point(search, trial.hyperparameters.values))
    return proposed


def _add(space: Any, dimension: Dimension) -> None:
    """Add a dimension to Keras Tuner's space: the number of a value in its list, or a position."""
    if dimension.values:
        space.Choice(dimension.setting, list(range(len(dimension.values))))
    else:
        space.Float(dimension.setting, 0.0, 1.0)


def _to_values(search: Search, point: Point) -> dict[str, float | int]:
    return {
        dim.setting: min(int(position * len(dim.values)), len(dim.values) - 1) if dim.values else position
        for dim, position in zip(search.space, point, strict=True)
    }


def _to_point(search: Search, values: Mapping[str, float | int]) -> Point:
    return tuple(
        (values[dim.setting] + 0.5) / len(dim.values) if dim.values else float(values[dim.setting])
        for dim in search.space
    )


def _standard(search: Search, point: Sequence[float]) -> Point:
    """Return the same trial at the positions of its values, so that equal trials are equal points."""
    return tuple(dim.position(dim.value(position)) for dim, position in zip(search.space, point, strict=True))
