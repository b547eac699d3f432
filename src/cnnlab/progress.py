"""Show how far a study is: a bar in a terminal or in Jupyter, one line a stage elsewhere."""

import sys
from collections.abc import Mapping
from typing import Any

from tqdm.auto import tqdm

from cnnlab import protocols
from cnnlab.defects import MISTAKES
from cnnlab.records import Record
from cnnlab.tuning import StageResult, Tuning, Watcher


class Bar(Watcher):
    """Runs done of runs planned, with the time left; stored runs count as done and not for the time.

    Args:
        plan: Expected runs of the stages to come; corrected as each begins. None for stages asked for one by one, as
            in a notebook, where nothing is shown while nothing is missing.
    """

    def __init__(self, plan: Mapping[str, int] | None = None) -> None:
        self._plan = dict(plan or {})
        self._lines = plan is not None and not sys.stderr.isatty()
        self._bar: Any = None
        if plan is not None and not self._lines:
            self._open()

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def _open(self) -> None:
        self._bar = tqdm(total=sum(self._plan.values()), unit="run", smoothing=0, dynamic_ncols=True)

    def begin(self, name: str, runs: int, missing: int) -> None:
        """See `Watcher`."""
        self._plan[name] = runs
        if self._lines:
            self.say(f"{name}: {runs} runs, {runs - missing} of them stored")
            return
        if self._bar is None and missing:
            self._open()
        if self._bar is not None:
            self._bar.total = sum(self._plan.values())
            self._bar.set_description(name)

    def done(self, record: Record, cached: bool) -> None:
        """See `Watcher`."""
        if self._bar is None:
            return
        self._bar.set_postfix_str(f"seed {record.seed}, val_f1 {record.scores['val_f1']:.3f}", refresh=False)
        if cached:
            self._bar.initial += 1
            self._bar.n += 1
            self._bar.refresh()
        else:
            self._bar.update()

    def end(self, result: StageResult) -> None:
        """See `Watcher`."""
        if self._lines:
            made = result.decision
            self.say(f"{made.stage}: {made.chosen} goes on, val_f1 {made.val_f1_mean:.3f} (n = {made.n_seeds})")

    def say(self, line: str) -> None:
        """Print a line without disturbing the bar."""
        if self._lines:
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - where there is no terminal, this is the progress
        else:
            tqdm.write(line, file=sys.stderr)


def plan(tuning: Tuning) -> dict[str, int]:
    """Return about how many runs each stage will have, before its incumbent is known; and the mistakes."""
    start = protocols.start(tuning.profile, tuning.protocol)
    found = {stage.name: protocols.candidates(stage, start, tuning.profile, tuning.protocol) for stage in tuning.stages}
    found[MISTAKES] = tuple(arm for arms in tuning.defects.values() for arm in arms.values())
    return {
        name: len({(candidate.trial, seed) for candidate in candidates for seed in candidate.seeds})
        for name, candidates in found.items()
        if candidates
    }
