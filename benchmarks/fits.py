"""The fits that are timed: those of a report, from the runs that it has stored."""

import json
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.machine import flops
from cnnlab import data
from cnnlab.data import Dataset, Split
from cnnlab.records import Record, Run, RunStore, fit_code_digest
from cnnlab.study import Trial


@dataclass(frozen=True)
class Fits:
    """Trials with seeds on the images of a folder, cut to a number of each part; it can be written to a file."""

    folder: str
    sizes: tuple[int, int, int]
    fits: tuple[tuple[Trial, int], ...]

    def write(self, path: Path) -> Path:
        """Write them to a file."""
        form = {"folder": self.folder, "sizes": self.sizes, "fits": [[t.canonical(), seed] for t, seed in self.fits]}
        path.write_text(json.dumps(form))
        return path

    @classmethod
    def read(cls, path: str | Path) -> "Fits":
        """Read what `write` wrote."""
        form = json.loads(Path(path).read_text())
        fits = tuple((Trial.from_canonical(trial), seed) for trial, seed in form["fits"])
        return cls(form["folder"], tuple(form["sizes"]), fits)

    def images(self, colour: bool) -> tuple[Dataset, Split]:
        """Return the images that a trial is shown, and how they are split."""
        return _images(self.folder, self.sizes, colour)

    def work(self) -> list[tuple[Run, Dataset, Split]]:
        """Return them as work for an engine."""
        found = {colour: self.images(colour) for colour in {trial.input.colour for trial, _ in self.fits}}
        return [
            (Run(trial, seed, dataset.digest, split.digest), dataset, split)
            for trial, seed in self.fits
            for dataset, split in [found[trial.input.colour]]
        ]

    def limited(self, n_fits: int | None = None, train: int | None = None) -> "Fits":
        """Return the first fits alone, or all of them with another number of training images."""
        return replace(self, fits=self.fits[:n_fits], sizes=(train or self.sizes[0], *self.sizes[1:]))

    def flops(self, epochs: list[int]) -> float:
        """Return the gigaflops of their training and validation, given how many epochs each fit took."""
        total = 0
        for (trial, _), n_epochs in zip(self.fits, epochs, strict=True):
            shape = (32, 32, 3 if trial.input.colour else 1)
            for n_images, training in ((self.sizes[0], True), (self.sizes[1], False)):
                total += n_epochs * n_images * flops(trial.architecture, shape, 10, training=training)
        return total / 1e9


@cache
def _images(folder: str, sizes: tuple[int, int, int], colour: bool) -> tuple[Dataset, Split]:
    found = data.load(folder)
    dataset = found.colour if colour else found.gray
    if dataset is None:
        raise SystemExit(f"Expected colour images in {folder}.")
    return dataset, data.split(dataset, "stratified", *sizes)


def _alike(records: list[Record]) -> list[Record]:
    """Return the runs of a corrected study in full precision: those with the most usual number of epochs allowed."""
    settings = [record.trial["training"] for record in records]
    usual = Counter(of["epochs"] for of in settings).most_common(1)
    return [
        record
        for record, of in zip(records, settings, strict=True)
        if of["precision"] == "float32" and of["epochs"] == usual[0][0]
    ]


def of_report(folder: str, runs: str, every: int, colour: bool = True) -> Fits:
    """Return the fits of every n-th trial among a report's stored runs, each with all its seeds."""
    trials: dict[str, list[Any]] = {}
    for record in _alike([record for record in RunStore(runs).records() if record.code == fit_code_digest()]):
        trials.setdefault(json.dumps(record.trial, sort_keys=True), []).append(record)
    kept = [records for _, records in sorted(trials.items())][::every]
    if not kept:
        raise SystemExit(f"Expected stored runs in {runs}. Received: none. Make a report first (make report).")
    sizes = {(one.split["train"], one.split["val"], one.split["test"]) for records in kept for one in records}
    if len(sizes) != 1:
        raise SystemExit(f"Expected runs of one budget in {runs}. Received: splits of {sorted(sizes)} images.")
    fits = [(Trial.from_canonical(one.trial), one.seed) for records in kept for one in records]
    return Fits(folder, sizes.pop(), tuple((trial, seed) for trial, seed in fits if colour or not trial.input.colour))
