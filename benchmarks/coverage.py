"""How often the intervals of a few seeds cover a difference over other training images, on real images.

Each of many draws of training and validation images gives one run of every trial with each of three seeds (splits
"fixed", as the published protocol has them), and further draws give one run each (splits "resampled"). The true
difference is the mean over all draws.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cnnlab import data, evidence
from cnnlab.data import Dataset, Split
from cnnlab.engine import Engine, Work
from cnnlab.evidence import Scores
from cnnlab.records import Record, Run, RunStore
from cnnlab.study import PROTOCOLS, Budget, Trial, built_in, start
from cnnlab.tuning import read_scores

SEEDS = 3
CHANGES = {
    "tanh": {"conv_activation": "tanh", "dense_activation": "tanh"},
    "batch normalisation": {"batch_norm": True},
    "half the filters": {"filters": (16, 32, 32)},
}
"""The trials that are compared with the first model of the study: filters 32-64-64, ReLU, no batch normalisation."""
BASE = "base"
Key = tuple[str, int, int]  # trial, draw, seed


def keys(n_draws: int) -> Iterator[Key]:
    """Yield the runs: those with `SEEDS` seeds on each of n draws, then one with each of SEEDS * n draws."""
    trials = (BASE, *CHANGES)
    for draw, trial, number in product(range(1, n_draws + 1), trials, range(SEEDS)):
        yield trial, draw, draw + 1000 * number
    for draw, trial in product(range(n_draws + 1, SEEDS * n_draws + 1), trials):
        yield trial, draw, draw


@dataclass(frozen=True)
class Runs:
    """The runs of some draws.

    Attributes:
        store: Where they are stored.
        records: By trial, draw and seed.
        n_draws: Draws with several seeds.
    """

    store: RunStore
    records: Mapping[Key, Record]
    n_draws: int

    def table(self) -> pd.DataFrame:
        """Return a row a run: trial, draw, seed and scores."""
        rows = [(*key, record.scores["val_f1"], record.scores["test_f1"]) for key, record in self.records.items()]
        return pd.DataFrame(rows, columns=["trial", "draw", "seed", "val_f1", "test_f1"])

    def groups(self, trial: str, splits: str) -> list[list[Record]]:
        """Return the runs of a trial as many repetitions of a study of `SEEDS` seeds would make them."""
        if splits == "fixed":
            return [
                [self.records[trial, draw, draw + 1000 * number] for number in range(SEEDS)]
                for draw in range(1, self.n_draws + 1)
            ]
        return [
            [self.records[trial, draw, draw] for draw in range(first, first + SEEDS)]
            for first in range(1, SEEDS * self.n_draws + 1, SEEDS)
        ]

    def scores(self, trial: str, splits: str, part: str) -> list[Scores]:
        """Return the scores of each repetition."""
        return [read_scores(self.store, group, part) for group in self.groups(trial, splits)]


def make(folder: str, runs: str, budget: Budget, n_draws: int) -> Runs:
    """Make the runs, or find them stored; the grayscale images of a folder are used."""
    first = start(built_in(), budget, PROTOCOLS["corrected"])
    trials = {BASE: first} | {name: first.change(**changes) for name, changes in CHANGES.items()}
    dataset, store, records = data.load(folder).gray, RunStore(runs), dict[Key, Record]()
    splits: dict[int, Split] = {}
    wanted = list(keys(n_draws))
    with Engine() as engine:
        for begin in range(0, len(wanted), 240):  # in parts, so that the runs of a trial follow one another
            part = wanted[begin : begin + 240]
            work = {key: _work(key, trials, dataset, budget, splits) for key in part}
            found = engine.run_all(list(work.values()), store)
            records |= {key: found[item[0].digest] for key, item in work.items()}
    return Runs(store, records, n_draws)


def _work(key: Key, trials: Mapping[str, Trial], dataset: Dataset, budget: Budget, splits: dict[int, Split]) -> Work:
    trial, draw, seed = key
    if draw not in splits:
        splits[draw] = data.split(dataset, "stratified", budget.train, budget.val, budget.test, draw)
    split = splits[draw]
    return Run(trials[trial].for_images(len(split.train)), seed, dataset.digest, split.digest), dataset, split


def truth(runs: Runs, part: str) -> dict[str, float]:
    """Return the difference of each trial from the first model, over all draws."""
    means = runs.table().groupby(["trial", "draw"])[f"{part}_f1"].mean().groupby("trial").mean()
    return {trial: float(means[trial] - means[BASE]) for trial in CHANGES}


def coverage(runs: Runs, part: str, splits: str, together: bool) -> list[dict[str, object]]:
    """Return how often the intervals cover the true difference, a row a trial.

    Args:
        runs: The runs.
        part: "val" or "test".
        splits: "fixed" or "resampled".
        together: Whether all trials are compared as one stage, else each pair alone.
    """
    true, scores = truth(runs, part), {name: runs.scores(name, splits, part) for name in (BASE, *CHANGES)}
    families: Sequence[tuple[str, ...]] = [tuple(CHANGES)] if together else [(name,) for name in CHANGES]
    rows: list[dict[str, object]] = []
    for family in families:
        made = [
            evidence.compare({name: of_trial[i] for name, of_trial in scores.items() if name in (BASE, *family)})
            for i in range(runs.n_draws)
        ]
        covers: NDArray[np.bool_] = np.array([[one.low <= true[one.trial] <= one.high for one in of] for of in made])
        for j, name in enumerate(family):
            margins = [of[j].margin for of in made]
            verdicts = [of[j].verdict for of in made]
            rows.append(
                {
                    "trial": name, "on": part, "splits": splits, "true": true[name], "covers": covers[:, j].mean(),
                    "margin": float(np.mean(margins)), "conclusive": 1 - verdicts.count(evidence.Verdict.INCONCLUSIVE)
                    / len(verdicts),
                }
            )  # fmt: skip
        if together:
            rows.append({"trial": "all three", "on": part, "splits": splits, "covers": covers.all(axis=1).mean()})
    return rows
