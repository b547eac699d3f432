"""Own models: a function of the user that builds a Keras model. Its file is read here as text and is not run."""

import ast
import hashlib
import json
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from attrs import field

from cnnlab.errors import ConfigError, did_you_mean

MOST_BYTES = 1_000_000
GIVEN = ("input_shape", "n_classes")
"""The parameters that cnnlab itself gives to the function."""
PLAIN = "a text, True or False, a finite number, None, or a list or a table of them"
"""What a parameter may be."""
_FORM = "my_models.py:build"
_UNKNOWN = object()  # a default value that is no plain value


def _text(settings: Mapping[str, Any]) -> str:
    """Return settings as one text. Models are compared by it, because in Python 1, 1.0 and True are equal."""
    return json.dumps(settings, sort_keys=True)


@attrs.frozen
class OwnModel:
    """A model that a function of the user builds. Models with equal files, functions and settings are equal.

    Attributes:
        function: The function's name.
        digest: SHA-256 (64 hex digits) of its file, whose lines end with a line feed.
        settings: The parameters that have a value: those with a plain default value, and those that a study sets.
            Lists are tuples.
        file: The file, as the study names it; "the notebook" for a function of a notebook; "" for a model of a stored
            run.
        source: The text of the file, or that of a function with all that it uses; "" for a model of a stored run, which
            can be shown but not built.
        parameters: Names of the function's parameters, without `GIVEN`.
        required: Those of them without a default value.
        takes_any: Whether it also takes settings of any other name (`**settings`).
        is_function: Whether it was given as a function, see `read_own_function`.

    Raises:
        ConfigError: A setting is no parameter of the function, or no plain value.
    """

    function: str
    digest: str
    settings: Mapping[str, Any] = field(factory=dict, eq=_text)
    file: str = field(default="", eq=False)
    source: str = field(default="", eq=False, repr=False)
    parameters: tuple[str, ...] = field(default=(), eq=False, repr=False)
    required: tuple[str, ...] = field(default=(), eq=False, repr=False)
    takes_any: bool = field(default=False, eq=False, repr=False)
    is_function: bool = field(default=False, eq=False, repr=False)

    @property
    def missing(self) -> tuple[str, ...]:
        """The parameters that have no value, so that the function cannot be called."""
        return tuple(name for name in self.required if name not in self.settings)

    @property
    def code_name(self) -> str:
        """What Python calls the file when it runs it: other texts have other names."""
        return f"{self.file} {self.digest[:12]}"

    def line_text(self, number: int | None) -> str:
        """Return " in line 5" for a line of the file, from 1. Of a function, the line itself is quoted."""
        if not self.is_function or number is None:
            return f" in line {number}"
        return f" in the line `{self.source.split(chr(10))[number - 1].strip()}`"

    def takes(self, name: str) -> bool:
        """Return whether the function has a parameter of this name that a study may set."""
        return name in self.parameters or (self.takes_any and name not in GIVEN)

    def change(self, /, **settings: Any) -> "OwnModel":
        """Return this model with other values of some parameters.

        Raises:
            ConfigError: One is no parameter of the function, or its value is no plain value.
        """
        for name, value in settings.items():
            if not self.takes(name):
                raise ConfigError(
                    f"Expected one of the parameters {', '.join(self.parameters) or '(none)'} of {self.function}. "
                    f"Received: {name!r}.{did_you_mean(name, self.parameters)}"
                )
            settings[name] = _plain(name, value)
        return attrs.evolve(self, settings={**self.settings, **settings})

    def canonical(self) -> dict[str, Any]:
        """Return the file's digest, the function and the settings as plain JSON values."""
        return {"file": self.digest, "function": self.function, "settings": json.loads(_text(self.settings))}

    @classmethod
    def from_canonical(cls, form: Mapping[str, Any]) -> "OwnModel":
        """Rebuild a model from `canonical()`. It can be shown and compared, but not built: the file is not stored.

        Raises:
            KeyError, TypeError, AttributeError, ConfigError: It is another form.
        """
        settings = {name: _plain(name, value) for name, value in form["settings"].items()}
        return cls(form["function"], form["file"], settings, parameters=tuple(settings))


def _plain(name: str, value: Any) -> Any:
    """Return a value that a study file can hold; lists become tuples.

    Raises:
        ConfigError: It is another value.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if is_simple(value):
        return value
    if isinstance(value, list | tuple | range):
        return tuple(_plain(name, part) for part in value)
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(name, part) for key, part in value.items()}
    raise ConfigError(f"Expected {name} to be {PLAIN}. Received: {value!r}.")


def is_simple(value: object) -> bool:
    """Return whether a value is a text, True or False, a finite number, or None."""
    return value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))


def read_own_model(spec: str, folder: Path) -> OwnModel:
    """Read which model a study names. The file is parsed and not run.

    Args:
        spec: The file and the function, as "my_models.py:build".
        folder: The folder of the study, where the file must be.

    Returns:
        The model with the function's plain default values.

    Raises:
        ConfigError: There is no such file in the folder, no such function, or it lacks the parameters that it needs.
    """
    file, _, name = spec.rpartition(":")
    if not file or not name.isidentifier():
        raise ConfigError(f"Expected a file and a function, as {_FORM!r}. Received: {spec!r}.")
    if Path(file).is_absolute() or ".." in Path(file).parts:  # a report holds a copy of both files
        raise ConfigError(f"Expected a file in the folder of the study. Received: {file!r}. Move it there.")
    return own_model(name, _read(file, folder), file)


def own_model(name: str, source: str, file: str, *, is_function: bool = False) -> OwnModel:
    """Return the model that a function of a Python text builds, with its plain default values. Nothing is run.

    Args:
        name: The function.
        source: The text.
        file: What messages call the text.
        is_function: Whether the model was given as a function.

    Raises:
        ConfigError: It is no Python, or has no such function, or that lacks the parameters that it needs.
    """
    function = _find(name, _parse(source, file), file)
    arguments = function.args
    names = [argument.arg for argument in (*arguments.args, *arguments.kwonlyargs)]
    place = file if is_function else f"{file}, line {function.lineno}"
    if arguments.posonlyargs or arguments.vararg or not set(GIVEN) <= set(names):
        raise ConfigError(
            f"Expected {name} to have the parameters {' and '.join(GIVEN)}, and to take all by name, without `*` and "
            f"`/`. Received: {name}({ast.unparse(arguments)}) in {place}."
        )
    # Defaults belong to the last of the positional parameters; each keyword-only parameter has one or None.
    n_required = len(arguments.args) - len(arguments.defaults)
    defaults = [*[None] * n_required, *arguments.defaults, *arguments.kw_defaults]
    by_name = {parameter: node for parameter, node in zip(names, defaults, strict=True) if parameter not in GIVEN}
    values = {parameter: _default(node) for parameter, node in by_name.items()}
    return OwnModel(
        function=name,
        digest=hashlib.sha256(source.encode()).hexdigest(),
        settings={parameter: value for parameter, value in values.items() if value is not _UNKNOWN},
        file=file,
        source=source,
        parameters=tuple(by_name),
        required=tuple(parameter for parameter, node in by_name.items() if node is None),
        takes_any=arguments.kwarg is not None,
        is_function=is_function,
    )


def _read(file: str, folder: Path) -> str:
    """Return the text of a file, with line feeds at the ends of lines.

    Raises:
        ConfigError: It cannot be read, is too long, or is no UTF-8.
    """
    try:
        path = folder / file
        if not path.is_file():  # a pipe or a device would never end
            raise ConfigError(f"Expected the file of the own model at {str(path)!r}. Received: no file there.")
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"Expected the file of the own model at {file!r}. Received: {reason}.") from error
    if len(content) > MOST_BYTES:
        raise ConfigError(f"Expected at most {MOST_BYTES:,} bytes in {file}. Received: more. Name a Python file.")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise ConfigError(f"Expected UTF-8 in {file}. Received: {error.reason} at byte {error.start}.") from error


def _parse(source: str, file: str) -> ast.Module:
    """Return the syntax tree of a Python file.

    Raises:
        ConfigError: It is no Python.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in texts; the user sees them where the file is run
            return ast.parse(source)
    except SyntaxError as error:
        raise ConfigError(f"Expected Python in {file}. Received: {error.msg} in line {error.lineno}.") from error
    except (ValueError, RecursionError, MemoryError) as error:
        reason = "a null byte" if isinstance(error, ValueError) else "an expression that is nested too deeply"
        raise ConfigError(f"Expected Python in {file}. Received: {reason}.") from error


def _find(name: str, tree: ast.Module, file: str) -> ast.FunctionDef:
    """Return a function of a file; the last one, as Python does, if several have the name.

    Raises:
        ConfigError: There is none.
    """
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if name not in functions:
        raise ConfigError(
            f"Expected a function {name} in {file}, defined there with `def`. Received: "
            f"{', '.join(functions) or 'a file without functions'}.{did_you_mean(name, functions)}"
        )
    return functions[name]


def _default(node: ast.expr | None) -> Any:
    """Return the default value of a parameter: a number, a text, True, False or None; else `_UNKNOWN`."""
    try:
        value = ast.literal_eval(node) if node is not None else _UNKNOWN
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _UNKNOWN
    return value if is_simple(value) else _UNKNOWN
