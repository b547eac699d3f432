"""Read a study from a TOML file. A file holds data alone, so that reading one from anybody is safe."""

import itertools
import math
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from cnnlab.errors import ConfigError, StudyError, did_you_mean, require, require_name
from cnnlab.study.own_model import read_own_model
from cnnlab.study.settings import Trial, require_settings
from cnnlab.study.stages import (
    ALL_MISTAKES,
    FINAL,
    INCUMBENT,
    SELECTED,
    UNCHANGED,
    Claim,
    Mistake,
    Stage,
    Study,
    TrialSpec,
)

MOST_BYTES = 1_000_000
MOST_TRIALS = 1_000
"""Most trials of a stage: a grid of a few lists grows to millions."""
_MISTAKES = "# The mistakes of the published study"
"""How the part of `published.toml` starts that only the published study has."""
_FROM_PUBLISHED = (
    "# The stages and claims of the published study, to be changed. docs/studies.md explains study files.\n"
)
_NOT_STAGES = (ALL_MISTAKES, "all", "data", "comparison", "noise", "published", "search", FINAL)
"""Names with another meaning in a report or on the command line."""
_NOT_TRIALS = (UNCHANGED, INCUMBENT, SELECTED)
_STUDY_KEYS = ("title", "images", "start", "model", "stage", "claim")
_BUILT_IN_KEYS = ("published", "mistake")
_STAGE_KEYS = ("name", "title", "question", "why", "vary", "values", "trials", "grid", "expensive", "incumbent")
_CLAIM_KEYS = ("says", "better", "than", "by")
_MISTAKE_KEYS = ("name", "title", "description", "trials")


def read(path: str | Path) -> Study:
    """Read a study from a file.

    Raises:
        StudyError: The file cannot be read, or something in it is wrong; it names everything that is.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StudyError(
            path.name,
            [f"Expected a study file at {str(path)!r}. Received: {reason}. `cnnlab study new FILE` writes one."],
        ) from error
    if len(content) > MOST_BYTES:
        raise StudyError(path.name, [f"Expected at most {MOST_BYTES:,} bytes. Received: more. Name a study file."])
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise StudyError(path.name, [f"Expected UTF-8. Received: {error.reason} at byte {error.start}."]) from error
    return built_in() if text == built_in().text else parse(text, path)


@cache
def built_in() -> Study:
    """Return the published study, with which cnnlab comes."""
    text = files("cnnlab.study").joinpath("published.toml").read_text(encoding="utf-8")
    return parse(text, Path("published.toml"), is_built_in=True)


def parse(text: str, path: Path, *, is_built_in: bool = False) -> Study:
    """Return the study in a text.

    Args:
        text: The content of a study file.
        path: The file: its name is that of the study, and its folder is where the file of an own model is looked for.
        is_built_in: Whether it is the published study.

    Raises:
        StudyError: Something in it is wrong; it names everything that is.
    """
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise StudyError(path.name, [f"Expected TOML. Received: {error}. See docs/studies.md."]) from error
    reader = _Reader()
    study = reader.study(table, text, path, is_built_in=is_built_in)
    if reader.problems:
        raise StudyError(path.name, reader.problems)
    return study


def new_text(source: str = "") -> str:
    """Return the text of a new study file.

    Args:
        source: "published" for the published study's stages and claims; "" for a short example.

    Raises:
        ConfigError: There is no such study.
    """
    require(source in ("", "published"), "the study to start from", "published", source)
    name = "published.toml" if source else "example.toml"
    text = files("cnnlab.study").joinpath(name).read_text(encoding="utf-8")
    if not source:
        return text
    stages, _, _ = text.partition(_MISTAKES)
    _, _, stages = stages.partition("\n\n")
    lines = [line for line in stages.splitlines() if not line.startswith("published =")]
    return "\n".join([_FROM_PUBLISHED, *lines]).rstrip() + "\n"


class _Reader:
    """Turns tables of TOML into the parts of a study, and collects everything that is wrong with them.

    Attributes:
        problems: What is wrong, each with its place in the file.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._start = Trial()

    @contextmanager
    def _at(self, place: str) -> Iterator[None]:
        """Note an error of the block under a place; the block ends there."""
        try:
            yield
        except ConfigError as error:
            self.problems.append(f"{place}: {error}" if place else str(error))

    def study(self, table: Mapping[str, Any], text: str, path: Path, *, is_built_in: bool) -> Study:
        """Return the study of a file; what is wrong in it is missing or has its default."""
        self._keys("", table, (*_STUDY_KEYS, *_BUILT_IN_KEYS) if is_built_in else _STUDY_KEYS)
        base, start = Trial(), dict[str, Any]()
        with self._at("model"):
            if "model" in table:
                require(isinstance(table["model"], str), "model", '"FILE.py:FUNCTION"', table["model"])
                base = Trial(architecture=read_own_model(table["model"], path.parent))
        with self._at("start"):
            start = self._settings("the start", table.get("start", {}), base)
            self._start = base.change(**start)
        stages = tuple(self._each("stage", table, lambda place, row: self._stage(place, row)))
        if not stages and not self.problems:
            self.problems.append("Expected at least one [[stage]]. Received: none.")
        for name in _repeated(stage.name for stage in stages):
            self.problems.append(f"Expected each stage to have a name of its own. Received: {name!r} more than once.")
        return Study(
            name=path.stem,
            title=self._line(table, "title") or path.stem,
            images=self._line(table, "images"),
            start=start,
            stages=stages,
            claims=tuple(self._each("claim", table, lambda place, row: self._claim(place, row, stages))),
            mistakes=tuple(self._each("mistake", table, lambda _, row: self._mistake(row))) if is_built_in else (),
            base=base,
            text=text,
            is_built_in=is_built_in,
        )

    def _each(self, kind: str, table: Mapping[str, Any], make: Callable[[str, dict[str, Any]], Any]) -> Iterator[Any]:
        """Yield what is made of each table of an array; one that is wrong is noted and skipped."""
        rows = table.get(kind, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            self.problems.append(f"Expected each {kind} under a line [[{kind}]]. Received: {rows!r}.")
            return
        keys = {"stage": _STAGE_KEYS, "claim": _CLAIM_KEYS, "mistake": _MISTAKE_KEYS}[kind]
        for number, row in enumerate(rows, 1):
            name = row.get("name", row.get("says", ""))
            place = f"{kind} {number}" + (f" ({name!r})" if isinstance(name, str) and name else "")
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
        name, incumbent, trials = row.get("name"), row.get("incumbent", True), []
        if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name) or name in _NOT_STAGES:
            raise ConfigError(
                "Expected a name of letters, digits, hyphens, dots and underscores, other than "
                f"{', '.join(_NOT_STAGES)}. Received: {name!r}."
            )
        require(isinstance(incumbent, bool), "incumbent", "true or false", incumbent)
        expensive = row.get("expensive", [])
        is_list = isinstance(expensive, list) and all(isinstance(trial, str) for trial in expensive)
        require(is_list, "expensive", "a list of names of trials", expensive)
        for trial_name, changes in _trials(row).items():
            with self._at(f"{place}, trial {trial_name!r}"):
                require_name("a trial", trial_name)
                if trial_name in _NOT_TRIALS:
                    raise ConfigError(f"Expected another name: {', '.join(_NOT_TRIALS)} have a meaning in claims.")
                settings = self._settings(trial_name, changes, self._start)
                trials.append(TrialSpec(trial_name, settings, trial_name in expensive))
        for unknown in set(expensive) - {trial.name for trial in trials}:
            self.problems.append(f"{place}, expensive: Expected names of its trials. Received: {unknown!r}.")
        title = _line(row, "title") or name.replace("-", " ").capitalize()
        return Stage(name, title, _line(row, "question"), _line(row, "why"), tuple(trials), incumbent)

    def _settings(self, name: str, settings: Any, trial: Trial) -> dict[str, Any]:
        """Return the settings of a trial, checked; "none" is a patience without an end."""
        if isinstance(settings, dict) and settings.get("patience") == "none":
            settings = {**settings, "patience": None}
        require_settings(name, settings, trial)
        return dict(settings)

    def _claim(self, place: str, row: Mapping[str, Any], stages: tuple[Stage, ...]) -> Claim:
        """Return a claim about trials of some stages."""
        says, by, sides = _line(row, "says"), row.get("by", 0.0), {"better": ("", ""), "than": ("", "")}
        require(bool(says), "says", "a sentence", row.get("says", ""))
        is_number = isinstance(by, int | float) and not isinstance(by, bool) and -1 <= by <= 1
        require(is_number, "by", "a difference of macro-F1, -1 to 1", by)
        for key in sides:
            with self._at(place):
                sides[key] = _side(key, row, stages)
        return Claim(says, sides["better"], sides["than"], float(by))

    def _mistake(self, row: Mapping[str, Any]) -> Mistake:
        trials = tuple(
            TrialSpec(name, self._settings(name, changes, Trial())) for name, changes in row.get("trials", {}).items()
        )
        return Mistake(row["name"], row["title"], row["description"], trials)


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
    if "trials" in row:
        trials = row["trials"]
        require(isinstance(trials, dict), "trials", "settings by names, as { short = { patience = 2 } }", trials)
        return dict(trials)
    grid = row.get("grid", {})
    if "vary" in row:
        require(isinstance(row["vary"], str), "vary", "the name of a setting", row["vary"])
        grid = {row["vary"]: row["values"]}
    is_grid = isinstance(grid, dict) and all(isinstance(values, list) and values for values in grid.values())
    require(is_grid, "values" if "vary" in row else "grid", "a list of values for each setting", grid)
    if math.prod(map(len, grid.values())) > MOST_TRIALS:
        raise ConfigError(f"Expected at most {MOST_TRIALS:,} trials. Received: more. Use shorter lists.")
    combinations = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()) if values]
    names = ["/".join(map(_name, changes.values())) for changes in combinations]
    if repeated := _repeated(names):
        raise ConfigError(f"Expected each value once. Received: {repeated[0]} more than once.")
    return dict(zip(names, combinations, strict=True))


def _name(value: Any) -> str:
    """Return the name of the trial with a value: 0.1, true, or 32-64-128 for a list."""
    if isinstance(value, list):
        return "-".join(map(_name, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, number in Counter(names).items() if number > 1]


def _side(key: str, row: Mapping[str, Any], stages: tuple[Stage, ...]) -> tuple[str, str]:
    side = row.get(key)
    match side:
        case [str(stage_name), str(trial_name)]:
            pass
        case _:
            raise ConfigError(f'Expected {key} = ["STAGE", "TRIAL"]. Received: {side!r}.')
    trials = {stage.name: [trial.name for trial in stage.trials] for stage in stages} | {FINAL: []}
    if stage_name not in trials:
        raise ConfigError(f"Expected a stage named {', '.join(trials)}. Received: {key} = {side!r}.")
    names = [*trials[stage_name], SELECTED, INCUMBENT]
    if trial_name not in names:
        raise ConfigError(
            f"Expected a trial of {stage_name} named {', '.join(names)}. "
            f"Received: {key} = {side!r}.{did_you_mean(trial_name, names)}"
        )
    return stage_name, trial_name


STAGES = built_in().stages
"""The stages of the published study."""
