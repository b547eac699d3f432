"""Turn the tables of a study file into a study, and collect everything that is wrong with them."""

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cnnlab.errors import ConfigError, did_you_mean, require, require_name
from cnnlab.study.fields import difference, show_value
from cnnlab.study.own import OwnModel, read_own_model
from cnnlab.study.search import SEARCH, read_search
from cnnlab.study.settings import Trial, require_settings
from cnnlab.study.stages import (
    ALL_MISTAKES,
    FINAL,
    INCUMBENT,
    LEARNING_CURVE,
    SELECTED,
    UNCHANGED,
    Claim,
    Mistake,
    Stage,
    Study,
    TrialSpec,
    with_search,
)

MOST_TABLES = 100
"""Most stages, and most claims."""
MOST_TRIALS = 1_000
"""Most trials of a stage: a grid of a few lists grows to millions."""
LONGEST_STAGE, LONGEST_TRIAL = 50, 100
"""Characters of a name. That of a stage is part of file names, that of a trial stands in tables."""
LONGEST_LINE = 1_000
"""Characters of a problem: what was received may be long."""
_NOT_STAGES = (
    *(ALL_MISTAKES, LEARNING_CURVE, SEARCH, "all", FINAL),
    *("data", "comparison", "noise", "published", "answer", "overview", "how"),
)
"""Names with another meaning in a report or on the command line."""
_NOT_STUDIES = ("runs", "smoke", "quick", "laptop", "full", "recipe")
"""Names that other folders of `reports/` have: stored runs, and the reports of the built-in studies."""
_NOT_TRIALS = (UNCHANGED, INCUMBENT, SELECTED)
_STUDY_KEYS = ("title", "images", "matters", "start", "model", "stage", "search", "claim")
_BUILT_IN_KEYS = ("published", "mistake")
_STAGE_KEYS = ("name", "title", "question", "why", "vary", "values", "trials", "grid", "expensive", "incumbent")
_CLAIM_KEYS = ("says", "better", "than", "by")
_MISTAKE_KEYS = ("name", "title", "description", "trials")


class Parser:
    """Turns tables of TOML into the parts of a study, and collects everything that is wrong with them.

    Attributes:
        problems: What is wrong, each with its place in the file.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._start: Trial | None = Trial()  # None where the own model cannot be read
        self._names: dict[str, list[str] | None] = {}  # by stage, those of its trials; None where they are wrong

    @contextmanager
    def _at(self, place: str) -> Iterator[None]:
        """Note an error of the block under a place; the block ends there."""
        try:
            yield
        except ConfigError as error:
            self._note(f"{place}: {error}" if place else str(error))

    def _note(self, problem: str) -> None:
        self.problems.append(problem if len(problem) <= LONGEST_LINE else f"{problem[:LONGEST_LINE]}...")

    def study(self, table: Mapping[str, Any], text: str, path: Path, *, is_built_in: bool) -> Study:
        """Return the study of a file; what is wrong in it is missing or has its default."""
        if path.stem.lower() in _NOT_STUDIES or path.stem.startswith(".") or not path.stem.isprintable():
            self._note(
                f"Expected a file with another name than {', '.join(_NOT_STUDIES)}, which folders in reports/ have, "
                f"and without control characters. Received: {path.name!r}. Rename it."
            )
        self._keys("", table, (*_STUDY_KEYS, *_BUILT_IN_KEYS) if is_built_in else _STUDY_KEYS)
        base, start, matters = Trial(), dict[str, Any](), Study.matters
        with self._at("matters"):
            matters = difference("matters", table.get("matters", matters), "above 0 and below 1", lambda by: 0 < by < 1)
        with self._at("model"):
            if "model" in table:
                self._start = None
                require(isinstance(table["model"], str), "model", '"FILE.py:FUNCTION"', table["model"])
                self._start = base = Trial(architecture=read_own_model(table["model"], path.parent))
        with self._at("start"):
            start = self._settings("the start", table.get("start", {}))
            self._start = self._start and base.change(**start)
        stages = tuple(self._each("stage", table, lambda place, row: self._stage(place, row)))
        if not table.get("stage", []):
            self._note("Expected at least one [[stage]]. Received: none.")
        if SEARCH in table:
            stages = with_search(stages, read_search(table[SEARCH], self._settings, self._at))
        for name in _repeated(stage.name for stage in stages):
            self._note(f"Expected each stage to have a name of its own. Received: {name!r} more than once.")
        return Study(
            name=path.stem,
            title=self._line(table, "title") or "CNN tuning study",
            images=self._line(table, "images"),
            start=start,
            stages=stages,
            claims=tuple(self._each("claim", table, lambda place, row: self._claim(place, row))),
            matters=matters,
            mistakes=tuple(self._each("mistake", table, lambda _, row: self._mistake(row))) if is_built_in else (),
            base=base,
            text=text,
            is_built_in=is_built_in,
        )

    def _each(self, kind: str, table: Mapping[str, Any], make: Callable[[str, dict[str, Any]], Any]) -> Iterator[Any]:
        """Yield what is made of each table of an array; one that is wrong is noted and skipped."""
        rows = table.get(kind, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            self._note(f"Expected each {kind} under a line [[{kind}]]. Received: {rows!r}.")
            return
        if len(rows) > MOST_TABLES:
            self._note(f"Expected at most {MOST_TABLES} [[{kind}]]. Received: {len(rows)}.")
            return
        keys = {"stage": _STAGE_KEYS, "claim": _CLAIM_KEYS, "mistake": _MISTAKE_KEYS}[kind]
        for number, row in enumerate(rows, 1):
            name = row.get("name", row.get("says", ""))
            place = f"{kind} {number}" + (f" ({name[:LONGEST_STAGE]!r})" if isinstance(name, str) and name else "")
            self._keys(place, row, keys)
            with self._at(place):
                yield make(place, row)

    def _keys(self, place: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                advice = did_you_mean(key, known)
                if key in _BUILT_IN_KEYS:
                    advice = " Only the published study has it: delete it."
                with self._at(place):
                    raise ConfigError(f"Expected one of the keys {', '.join(known)}. Received: {key!r}.{advice}")

    def _line(self, table: Mapping[str, Any], key: str) -> str:
        with self._at(key):
            return _line(table, key)
        return ""

    def _stage(self, place: str, row: Mapping[str, Any]) -> Stage:
        name, incumbent, expensive = row.get("name"), row.get("incumbent", True), row.get("expensive", [])
        if isinstance(name, str):
            self._names[name] = None
        with self._at(place):
            _require_stage_name(name)
        with self._at(place):
            require(isinstance(incumbent, bool), "incumbent", "true or false", incumbent)
        texts = dict.fromkeys(("title", "question", "why"), "")
        for key in texts:
            with self._at(place):
                texts[key] = _line(row, key)
        changes = _trials(row)
        if isinstance(name, str):
            self._names[name] = [*changes, SELECTED, *([INCUMBENT] if incumbent else [])]
        if not changes and not incumbent:
            raise ConfigError("Expected trials, or incumbent = true. Received: a stage without a trial.")
        known = list(changes)
        is_list = isinstance(expensive, list) and all(trial in known for trial in expensive)
        with self._at(place):
            require(is_list, "expensive", f"a list of names of its trials, which are {', '.join(known)}", expensive)
        trials = tuple(self._each_trial(place, changes, expensive if is_list else []))
        title = texts["title"] or str(name).replace("-", " ").capitalize()
        return Stage(str(name), title, texts["question"], texts["why"], trials, incumbent)

    def _each_trial(self, place: str, trials: Mapping[str, Any], expensive: list[str]) -> Iterator[TrialSpec]:
        for name, changes in trials.items():
            with self._at(f"{place}, trial {name[:LONGEST_TRIAL]!r}"):
                settings = self._settings(name, changes)
                require_name("a trial", name)
                if name in _NOT_TRIALS:
                    raise ConfigError(f"Expected a name other than {', '.join(_NOT_TRIALS)}. Received: {name!r}.")
                if len(name) > LONGEST_TRIAL:
                    advice = "Name its trials: trials = { short = { patience = 2 } }."
                    raise ConfigError(
                        f"Expected a name of at most {LONGEST_TRIAL} characters. Received: more. {advice}"
                    )
                yield TrialSpec(name, settings, name in expensive)

    def _settings(self, name: str, settings: Any) -> dict[str, Any]:
        """Return the settings of a trial, checked; "none" is a patience without an end."""
        if isinstance(settings, dict) and settings.get("patience") == "none":
            settings = {**settings, "patience": None}
        if self._start or not isinstance(settings, dict):
            try:
                require_settings(name, settings, self._start)
            except ConfigError as error:
                alone = _problems(name, settings, self._start) if isinstance(settings, dict) else []
                raise ConfigError(" ".join(alone) or str(error)) from error
        return dict(settings)

    def _claim(self, place: str, row: Mapping[str, Any]) -> Claim:
        """Return a claim about trials of some stages."""
        by, sides = 0.0, {"better": ("", ""), "than": ("", "")}
        for key in sides:
            with self._at(place):
                sides[key] = _side(key, row.get(key), self._names)
        with self._at(place):
            by = difference("by", row.get("by", by), "-1 to 1", lambda value: -1 <= value <= 1)
        says = _line(row, "says")
        require(bool(says), "says", "a sentence", says)
        return Claim(says, sides["better"], sides["than"], by)

    def _mistake(self, row: Mapping[str, Any]) -> Mistake:
        trials = tuple(
            TrialSpec(name, self._settings(name, changes)) for name, changes in row.get("trials", {}).items()
        )
        return Mistake(row["name"], row["title"], row["description"], trials)


def _problems(name: str, settings: Mapping[str, Any], start: Trial | None) -> list[str]:
    """Return what is wrong with each setting of a trial by itself."""
    is_own = start is not None and isinstance(start.architecture, OwnModel)
    problems = []
    for setting, value in settings.items():
        try:
            require_settings(name, {setting: value}, start if is_own else None)
        except ConfigError as error:
            problems.append(str(error))
    return problems


def _require_stage_name(name: object) -> None:
    is_name = isinstance(name, str) and re.fullmatch(r"\w[\w.-]*", name) and len(name) <= LONGEST_STAGE
    if not is_name or name in _NOT_STAGES:
        raise ConfigError(
            f"Expected a name of at most {LONGEST_STAGE} letters, digits, hyphens, dots and underscores, other than "
            f"{', '.join(_NOT_STAGES)}. Received: {name!r}."
        )


def _line(table: Mapping[str, Any], key: str) -> str:
    """Return a text of a table as one line; "" if it is missing."""
    value = table.get(key, "")
    is_text = isinstance(value, str) and (value == "" or " ".join(value.split()).isprintable())
    require(is_text, key, "a text without control characters", value)
    return " ".join(value.split())


def _trials(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a stage's trials by their names, as one of the three ways to write them gives them."""
    ways = [way for way in ("vary", "grid", "trials") if way in row]
    if len(ways) > 1 or ("values" in row) != ("vary" in row):
        raise ConfigError(
            "Expected vary with values, or grid, or trials. "
            f"Received: {', '.join(key for key in ('vary', 'values', 'grid', 'trials') if key in row)}."
        )
    grid, trials = row.get("grid", {}), row.get("trials", {})
    require(isinstance(trials, dict), "trials", "settings by names, as { short = { patience = 2 } }", trials)
    if "vary" in row:
        require(isinstance(row["vary"], str), "vary", "the name of a setting", row["vary"])
        grid = {row["vary"]: row["values"]}
    is_grid = isinstance(grid, dict) and all(isinstance(values, list) and values for values in grid.values())
    given = row.get("values", grid)
    require(is_grid, "values" if "vary" in row else "grid", "a list of values for each setting", given)
    if len(trials) > MOST_TRIALS or math.prod(map(len, grid.values())) > MOST_TRIALS:
        raise ConfigError(f"Expected at most {MOST_TRIALS:,} trials. Received: more. Use shorter lists.")
    if trials:
        return dict(trials)
    combinations = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()) if values]
    names = ["/".join(map(show_value, changes.values())) for changes in combinations]
    if repeated := _repeated(names):
        raise ConfigError(f"Expected each value once. Received: {repeated[0]} more than once.")
    return dict(zip(names, combinations, strict=True))


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, number in Counter(names).items() if number > 1]


def _side(key: str, side: Any, trials: Mapping[str, list[str] | None]) -> tuple[str, str]:
    """Return one side of a claim: a stage and one of its trials, of those that there are by stage."""
    match side:
        case [str(stage), str(trial)]:
            pass
        case _:
            raise ConfigError(f'Expected {key} = ["STAGE", "TRIAL"]. Received: {side!r}.')
    trials = {**trials, FINAL: [SELECTED, INCUMBENT]}
    if stage not in trials:
        raise ConfigError(
            f"Expected a stage named {', '.join(trials)}. Received: {key} = {side!r}.{did_you_mean(stage, trials)}"
        )
    names = trials[stage]
    if names is not None and trial not in names:
        raise ConfigError(
            f"Expected a trial of {stage} named {', '.join(names)}. "
            f"Received: {key} = {side!r}.{did_you_mean(trial, names)}"
        )
    return stage, trial
