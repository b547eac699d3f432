"""How often the intervals of a few seeds cover a difference over other training images, on real images.

Each of many draws of training and validation images gives a run of every trial with each of three seeds (splits
"fixed"), and further draws give one run each (splits "resampled"). The true difference is the mean over all draws.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from cnnlab import data, evidence
from cnnlab.data import Dataset, Split
from cnnlab.engine import Engine, Work
from cnnlab.evidence import Comparison, Scores
from cnnlab.records import Record, Run, RunStore
from cnnlab.study import PROTOCOLS, Budget, Trial, built_in, start
from cnnlab.tuning import read_scores

SEEDS = 3
SPLITS = ("fixed", "resampled")
BASE = "base"
CHANGES = {
    "tanh": {"conv_activation": "tanh", "dense_activation": "tanh"},
    "batch normalisation": {"batch_norm": True},
    "half the filters": {"filters": (16, 32, 32)},
}
"""The trials that are compared with the first model of the study: filters 32-64-64, ReLU, no batch normalisation."""
RUNS_AT_ONCE = 240  # so that the runs of a trial follow one another, and a traced model serves many of them
Key = tuple[str, int, int]  # trial, draw, seed


@dataclass(frozen=True)
class Runs:
    """The runs of some draws.

    Attributes:
        store: Where they are stored.
        records: By trial, draw and seed.
        n_draws: Draws with `SEEDS` seeds; `SEEDS` times as many have at least one.
    """

    store: RunStore
    records: Mapping[Key, Record]
    n_draws: int

    def table(self) -> pd.DataFrame:
        """Return a row a run: trial, draw, seed and scores."""
        rows = [(*key, record.scores["val_f1"], record.scores["test_f1"]) for key, record in self.records.items()]
        return pd.DataFrame(rows, columns=["trial", "draw", "seed", "val_f1", "test_f1"])

    def scores(self, trial: str, splits: str, part: str) -> list[Scores]:
        """Return the scores of a trial as many studies of `SEEDS` seeds would have them."""
        if splits == "fixed":
            groups = [[(draw, seed) for seed in _seeds(draw)] for draw in range(1, self.n_draws + 1)]
        else:
            firsts = range(1, SEEDS * self.n_draws + 1, SEEDS)
            groups = [[(draw, draw) for draw in range(first, first + SEEDS)] for first in firsts]
        return [read_scores(self.store, [self.records[trial, *key] for key in group], part) for group in groups]


def _seeds(draw: int) -> list[int]:
    return [draw + 1000 * number for number in range(SEEDS)]


def _keys(n_draws: int) -> Iterator[Key]:
    trials = (BASE, *CHANGES)
    for draw, trial in product(range(1, n_draws + 1), trials):
        yield from ((trial, draw, seed) for seed in _seeds(draw))
    for draw, trial in product(range(n_draws + 1, SEEDS * n_draws + 1), trials):
        yield trial, draw, draw


def make(folder: str, runs: str, budget: Budget, n_draws: int) -> Runs:
    """Make the runs on the grayscale images of a folder, or find them stored."""
    first = start(built_in(), budget, PROTOCOLS["corrected"])
    trials = {BASE: first} | {name: first.change(**changes) for name, changes in CHANGES.items()}
    dataset, store, records = data.load(folder).gray, RunStore(runs), dict[Key, Record]()
    splits, keys = dict[int, Split](), list(_keys(n_draws))
    with Engine() as engine:
        for begin in range(0, len(keys), RUNS_AT_ONCE):
            work = {key: _work(key, trials, dataset, budget, splits) for key in keys[begin : begin + RUNS_AT_ONCE]}
            done = engine.run_all(list(work.values()), store)
            records |= {key: done[run.digest] for key, (run, *_) in work.items()}
    return Runs(store, records, n_draws)


def _work(key: Key, trials: Mapping[str, Trial], dataset: Dataset, budget: Budget, splits: dict[int, Split]) -> Work:
    trial, draw, seed = key
    if draw not in splits:
        splits[draw] = data.split(dataset, "stratified", budget.train, budget.val, budget.test, draw)
    split = splits[draw]
    return Run(trials[trial].for_images(len(split.train)), seed, dataset.digest, split.digest), dataset, split


def true_differences(runs: Runs, part: str) -> dict[str, float]:
    """Return the difference of each trial from the first model, over all draws."""
    means = runs.table().groupby(["trial", "draw"])[f"{part}_f1"].mean().groupby("trial").mean()
    return {trial: float(means[trial] - means[BASE]) for trial in CHANGES}


def pairs(runs: Runs) -> list[list[str]]:
    """Return how often the intervals of each pair alone cover, as rows of text."""
    rows = []
    for part in ("val", "test"):
        true = true_differences(runs, part)
        for trial in CHANGES:
            row = [trial, part, f"{true[trial]:+.3f}"]
            for splits in SPLITS:
                made = [one for (one,) in _compare(runs, (trial,), part, splits)]
                covered = np.mean([one.low <= true[trial] <= one.high for one in made])
                row += [f"{100 * covered:.0f} %", f"{np.mean([one.margin for one in made]):.3f}"]
            rows.append([*row, f"{float(row[-1]) / float(row[-3]):.2f}"])
    return rows


def together(runs: Runs) -> list[list[str]]:
    """Return how often the intervals of all trials, compared as one stage, cover together, as rows of text."""
    rows = []
    for part in ("val", "test"):
        true, row = true_differences(runs, part), [part]
        for splits in SPLITS:
            made = _compare(runs, tuple(CHANGES), part, splits)
            covered = np.mean([all(one.low <= true[one.trial] <= one.high for one in stage) for stage in made])
            row += [f"{100 * covered:.0f} %", f"{np.mean([one.margin for stage in made for one in stage]):.3f}"]
        rows.append(row)
    return rows


def _compare(runs: Runs, names: Sequence[str], part: str, splits: str) -> list[tuple[Comparison, ...]]:
    scores = {name: runs.scores(name, splits, part) for name in (BASE, *names)}
    return [evidence.compare({name: of_trial[i] for name, of_trial in scores.items()}) for i in range(runs.n_draws)]
