"""Run a joint search: quasi-random trials, then those that an oracle of Keras Tuner proposes."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from cnnlab import evidence, files
from cnnlab.errors import ConfigError
from cnnlab.records import PROPOSALS, Record, json_digest
from cnnlab.study import MOST_TRIALS, Search, Stage, StageTrial, Trial, share_runs
from cnnlab.tuning.results import StageResult
from cnnlab.tuning.runner import Runner
from cnnlab.tuning.search import oracle
from cnnlab.tuning.search.attempt import attempt, stored
from cnnlab.tuning.search.cost import Costs
from cnnlab.tuning.search.ledger import QUASI_RANDOM, Proposal, SearchResult, Status, find_winner
from cnnlab.tuning.search.points import make_trial, most_trials

if TYPE_CHECKING:
    from cnnlab.tuning.scope import Scope

QUASI_RANDOM_SHARE = 0.5
"""Share of the budget for the quasi-random part, from which the importance of the settings is read."""
MOST_REPEATS = 20
"""So many quasi-random points in a row without a new trial end that part: the space is small."""
IDLE_ROUNDS = 3
"""So many rounds of an oracle in a row without a new run end the search."""
WINNER = "winner"
"""Name of the search's best trial in its stage."""


class JointSearch:
    """Runs the search of a stage.

    What it proposes depends on the search and the scores alone. So a search that was killed proposes the same trials
    when it is run again, and finds their runs stored.

    Args:
        search: The search.
        incumbent: The trial that the stage before selected.
        path: The runs of the stages before, whose cost is the search's budget.
        scope: What of the study is run.
        runner: Makes the runs that are not stored.
        costs: Costs of trials and runs.
    """

    def __init__(
        self,
        search: Search,
        incumbent: Trial,
        path: Sequence[Record],
        scope: "Scope",
        runner: Runner,
        costs: Costs,
    ) -> None:
        self._search, self._incumbent, self._scope, self._runner, self._costs = search, incumbent, scope, runner, costs
        self._most = most_trials(search, scope.budget)
        self._limit = costs.records(path) if self._most is None else float(self._most)
        epochs = sum(Trial.from_canonical(record.trial).training.epochs for record in path)
        self._epoch_share = sum(record.epochs for record in path) / epochs if path else 1.0
        self._seen: dict[Trial, int] = {}  # effective settings to the number of the proposal
        self._ledger: list[Proposal] = []

    def run(self) -> tuple[Proposal, ...]:
        """Run the search and return its ledger.

        It raises what `Runner.run` does, but a run that fails is a row of the ledger.
        """
        self._run_quasi_random()
        self._run_oracle()
        return tuple(self._ledger)

    def _run_quasi_random(self) -> None:
        proposals, expected, repeats = list[Proposal](), 0.0, 0
        for point in oracle.quasi_random(self._search, MOST_TRIALS):
            if expected >= QUASI_RANDOM_SHARE * self._limit or repeats == MOST_REPEATS:
                break
            proposals.append(proposal := self._read(QUASI_RANDOM, point, len(proposals)))
            repeats = repeats + 1 if proposal.status == Status.REPEATED else 0
            expected += self._expected(proposal)
        self._make(QUASI_RANDOM, proposals)

    def _run_oracle(self) -> None:
        idle = 0
        while self._used < self._limit:
            proposals, expected = list[Proposal](), self._used
            for point in self._propose():
                proposal = self._read(self._search.oracle, point, len(proposals))
                if proposal.status == Status.PLANNED and expected >= self._limit:
                    proposal = replace(proposal, reason="the budget was used up")
                    self._seen.pop(_effective(proposal))
                expected += self._expected(proposal)
                proposals.append(proposal)
            if not proposals:
                self._stop("the oracle found no trial that it had not proposed yet")
                return
            start = len(self._ledger)
            self._make(f"trials {start + 1} to {start + len(proposals)}", proposals)
            idle = 0 if any(row.status == Status.RUN for row in self._ledger[start:]) else idle + 1
            if idle == IDLE_ROUNDS:
                self._stop(f"{IDLE_ROUNDS} rounds of the oracle had no new run")
                return

    def _stop(self, reason: str) -> None:
        number = len(self._ledger) + 1
        self._ledger.append(Proposal(number, self._search.oracle, (), {}, None, Status.STOPPED, reason))

    @property
    def _used(self) -> float:
        """What of the budget is used: cost, or trials."""
        tried = [row for row in self._ledger if row.trial and row.status in (Status.RUN, Status.FAILED)]
        return sum(row.cost for row in tried) if self._most is None else float(len(tried))

    def _expected(self, proposal: Proposal) -> float:
        """Return what of the budget a proposal will use if it is run."""
        if proposal.status != Status.PLANNED or proposal.reason or not proposal.trial:
            return 0.0
        if self._most is not None:
            return 1.0
        return self._costs.trial(proposal.trial) * self._search.seeds * self._epoch_share

    def _read(self, part: str, point: oracle.Point, offset: int) -> Proposal:
        """Return a proposal: planned, or why it is not run."""
        settings, number = self._search.settings(point), len(self._ledger) + offset + 1
        try:
            trial = make_trial(self._search, self._incumbent, settings, self._scope)
        except ConfigError as error:
            return Proposal(number, part, point, settings, None, Status.FAILED, str(error))
        proposal = Proposal(number, part, point, settings, trial, Status.PLANNED)
        earlier = self._seen.setdefault(_effective(proposal), number)
        if earlier == number:
            return proposal
        return replace(proposal, status=Status.REPEATED, reason=f"equal to trial {earlier}")

    def _make(self, name: str, proposals: Sequence[Proposal]) -> None:
        """Make the runs of planned proposals, and add all of them to the ledger."""
        planned = [row for row in proposals if row.status == Status.PLANNED and not row.reason]
        trials = {row.number: StageTrial(row.name, row.trial, self._seeds) for row in planned if row.trial}
        reasons = attempt(self._runner, f"search, {name}", list(trials.values()))
        for row in proposals:
            if trial := trials.get(row.number):
                records = stored(self._runner, trial)
                is_whole = len(records) == len(trial.seeds)
                row = replace(
                    row,
                    status=Status.RUN if is_whole else Status.FAILED,
                    reason="" if is_whole else reasons.get(row.name, "one of its runs cannot be read any more"),
                    records=records,
                    cost=self._costs.records(records),
                )
            elif row.status == Status.REPEATED:
                other = self._ledger[self._seen[_effective(row)] - 1]
                row = replace(row, records=other.records if other.status == Status.RUN else ())
            self._ledger.append(row)

    @property
    def _seeds(self) -> tuple[int, ...]:
        return self._search.seed_numbers

    def _propose(self) -> list[oracle.Point]:
        """Return the next proposals of the oracle. They are kept beside the runs, so that it is asked once."""
        told = [(row.point, row.val_f1) for row in self._ledger if row.status != Status.PLANNED]
        number = self._search.parallel
        if self._most is not None:
            number = min(number, self._most - int(self._used))
        code = sha256(Path(oracle.__file__).read_bytes()).hexdigest()
        key = json_digest([repr(self._search), told, number, version(oracle.PACKAGE), code])
        path = self._runner.store.path / PROPOSALS / f"{key}.json"
        with suppress(OSError, ValueError, TypeError):  # none yet, or not as it was written
            return [_require_point(point, len(self._search.space)) for point in json.loads(path.read_bytes())]
        points: list[oracle.Point] = self._runner.engine.call(oracle.propose, self._search, told, number)
        with suppress(OSError):  # then the oracle is asked again
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write(path, json.dumps(points).encode())
        return points


def _effective(proposal: Proposal) -> Trial:
    assert proposal.trial is not None
    return proposal.trial.effective()


def _require_point(point: object, n_dimensions: int) -> oracle.Point:
    """Return a stored point.

    Raises:
        ValueError: It is none.
    """
    is_point = isinstance(point, list) and len(point) == n_dimensions
    if not is_point or not all(isinstance(position, float) and 0 <= position <= 1 for position in point):  # type: ignore[attr-defined]
        raise ValueError(f"{point!r} is no point")
    return tuple(point)  # type: ignore[arg-type]


def run_stage(
    stage: Stage, incumbent: StageTrial, path: Sequence[StageResult], scope: "Scope", runner: Runner
) -> SearchResult:
    """Run the stage of a joint search: the search, then its winner with the incumbent's seeds, which are fresh for it.

    It raises what `Runner.run` does.

    Args:
        stage: The stage.
        incumbent: The incumbent, as a trial of the stage.
        path: The results of the stages before.
        scope: What of the study is run.
        runner: Makes the runs that are not stored.
    """
    search = stage.search
    assert search is not None
    runs = {record.digest: record for result in path for record in result.runs.values()}
    records, costs = list(runs.values()), Costs(runner.images, scope.budget, incumbent.settings)
    ledger = JointSearch(search, incumbent.settings, records, scope, runner, costs).run()
    trials = [incumbent]
    if (winner := find_winner(ledger)) and winner.trial:
        trials.append(StageTrial(WINNER, winner.trial, incumbent.seeds))
    # Fresh seeds are no luck of the search; images are, where all seeds are validated on the same ones.
    shares_images = runner.images.has_given_val or scope.budget.splits == "fixed"
    n_run = sum(row.status == Status.RUN for row in ledger)
    result = runner.run_stage(stage, share_runs(trials), scope.budget, family=n_run if shares_images else 0)
    first = [row for row in ledger if row.part == QUASI_RANDOM and row.status == Status.RUN]
    positions = {
        dimension.setting: [row.point[number] for row in first] for number, dimension in enumerate(search.space)
    }
    return SearchResult(
        **{field.name: getattr(result, field.name) for field in fields(result)},
        search=search,
        ledger=ledger,
        unit=costs.unit,
        path_cost=costs.records(records),
        path_runs=len(records),
        importance=evidence.importance(positions, [row.val_f1 or 0.0 for row in first]),
    )
