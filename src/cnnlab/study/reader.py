"""Read a study from a TOML file. A file holds data alone, so that reading one from anybody is safe."""

import re
import tomllib
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from cnnlab.errors import StudyError, did_you_mean, require
from cnnlab.study.parser import Parser
from cnnlab.study.stages import Study

BUNDLED = ("published", "recipe")
"""Names of the studies with which cnnlab comes, each in a file of this folder."""
MOST_BYTES = 1_000_000
_PART = r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')"""
_DEEP_KEY = re.compile(rf"(?<![\w-]){_PART}(?:[ \t]*\.[ \t]*{_PART}){{20}}")
"""A key of more than 20 parts (`a.b.c`). tomllib needs minutes for thousands of parts, and Python cannot show them."""
_WHOLE = range(-(2**63), 2**63)  # the whole numbers of TOML
_MISTAKES = "# The mistakes of the published study"
"""How the part of `published.toml` starts that only the published study has."""
_HEAD = "# The stages and claims of the study {}, to be changed. docs/studies.md explains study files.\n"


def read(named: str | Path) -> Study:
    """Read a study.

    Args:
        named: Its file, or one of the names `BUNDLED`. Such a name is never a file; with a folder before it, it is.

    Raises:
        StudyError: The file cannot be read, or something in it is wrong; it names everything that is.
    """
    if named in BUNDLED:
        return bundled(str(named))
    path = Path(named)
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe would never end
            raise ValueError("not a file")
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        advice = "`cnnlab study new FILE` writes one."
        if not path.suffix:
            advice += f" The built-in studies are {', '.join(BUNDLED)}.{did_you_mean(path.name, BUNDLED)}"
        raise _error(path, f"Expected a study file at {str(path)!r}. Received: {reason}. {advice}") from error
    if len(content) > MOST_BYTES:
        raise _error(path, f"Expected at most {MOST_BYTES:,} bytes. Received: more. Name a study file.")
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise _error(path, f"Expected UTF-8. Received: {error.reason} at byte {error.start}.") from error
    return next((study for study in map(bundled, BUNDLED) if study.text == text), None) or parse(text, path)


def _error(path: Path, *problems: str) -> StudyError:
    return StudyError(path.name if path.name.isprintable() else repr(path.name), list(problems))


def built_in() -> Study:
    """Return the published study."""
    return bundled("published")


@cache
def bundled(name: str) -> Study:
    """Return one of the studies with which cnnlab comes, by its name in `BUNDLED`."""
    text = files("cnnlab.study").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    # A file of a user may not be called recipe.toml, so the name is given afterwards.
    return replace(parse(text, Path("built-in.toml"), is_built_in=name == "published"), name=name)


def is_bundled(study: Study) -> bool:
    """Return whether a study is one of those with which cnnlab comes."""
    return study.name in BUNDLED and study.text == bundled(study.name).text


def name_or_file(study: Study, file: str) -> str:
    """Return what commands and notebooks name a study by: "" for the published one, its name, or else its file."""
    if study.is_built_in:
        return ""
    return study.name if is_bundled(study) else file


def parse(text: str, path: Path, *, is_built_in: bool = False) -> Study:
    """Return the study in a text.

    Args:
        text: The content of a study file.
        path: The file: its name is that of the study, and its folder has the file of an own model.
        is_built_in: Whether it is the published study.

    Raises:
        StudyError: Something in it is wrong; it names everything that is.
    """
    try:
        if _DEEP_KEY.search(text):
            raise ValueError("a key of more than 20 parts")
        table = tomllib.loads(text)
        _require_toml(table)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise _error(path, f"Expected TOML. Received: {error}. See docs/studies.md.") from error
    parser = Parser()
    study = parser.study(table, text, path, is_built_in=is_built_in)
    if parser.problems:
        raise _error(path, *parser.problems)
    return study


def _require_toml(value: Any) -> None:
    """Require whole numbers of 64 bits, as TOML does: Python would read longer ones, but cannot show all of them.

    Raises:
        ValueError: There is a longer one.
        RecursionError: Tables are nested too deeply.
    """
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _require_toml(part)
    if isinstance(value, int) and value not in _WHOLE:
        raise ValueError("a whole number of more than 64 bits")


def new_text(source: str = "") -> str:
    """Return the text of a new study file.

    Args:
        source: One of the names `BUNDLED` for the stages and claims of that study; "" for a short example.

    Raises:
        ConfigError: There is no such study.
    """
    require(source in ("", *BUNDLED), "the study to start from", f"one of {', '.join(BUNDLED)}", source)
    if not source:
        return files("cnnlab.study").joinpath("example.toml").read_text(encoding="utf-8")
    stages, _, _ = bundled(source).text.partition(_MISTAKES)
    _, _, stages = stages.partition("\n\n")
    lines = [line for line in stages.splitlines() if not line.startswith("published =")]
    return "\n".join([_HEAD.format(source), *lines]).rstrip() + "\n"


STAGES = tuple(stage for stage in built_in().stages if not stage.search)
"""The stages of the published study. The joint search of its file is not one of them."""
