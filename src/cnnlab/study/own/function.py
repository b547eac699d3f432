"""Own models that are functions of a notebook: the function and the globals that it uses, as one Python text."""

import __future__

import builtins
import functools
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import attrs

from cnnlab.errors import ConfigError, did_you_mean
from cnnlab.study.own.model import MOST_BYTES, OwnModel, is_simple, own_model
from cnnlab.study.own.source import plain_code, read_source, used_names

_FUTURE = "from __future__ import annotations"
_MODULE_NAMES = {*vars(ModuleType("")), "__builtins__", "__file__"}  # each module has these of its own


def read_own_function(function: Callable[..., Any]) -> OwnModel:
    """Make an own model of a function that is defined in a notebook or in a module. The function is not called.

    Its source and the globals that it uses become one text, which a worker runs as it runs the file of another own
    model. Equal functions with equal globals give equal texts. Modules and what belongs to installed packages are
    imported in it; functions and classes of the user are in it as source, and plain values as numbers and texts.

    Args:
        function: It has the parameters `input_shape` and `n_classes`, and others with default values.

    Returns:
        The model, whose settings are the plain default values.

    Raises:
        ConfigError: It is no such function, its source is not available, or the text cannot hold what it uses.
    """
    python = _require_function(function)
    name = python.__name__
    parts = _Parts(python)
    parts.add_all(name, function)
    source = parts.text(name)
    if len(source.encode()) > MOST_BYTES:
        raise ConfigError(
            f"Expected at most {MOST_BYTES:,} bytes of code and values for {name}. Received: more. Make long values "
            "inside the function."
        )
    path = getattr(sys.modules.get(python.__module__), "__file__", None)
    model = own_model(name, source, Path(path).name if path else "the notebook", is_function=True)
    if model.required:
        raise ConfigError(
            f"Expected a default value for each parameter of {name} but input_shape and n_classes. Received: none for "
            f"{', '.join(model.required)}. Add it."
        )
    # The value at the time of `def`: the global variable that it came from may have another one now.
    parameters = inspect.signature(python).parameters
    defaults = {name: parameters[name].default for name in model.parameters}
    return attrs.evolve(model, settings={name: value for name, value in defaults.items() if is_simple(value)})


def _require_function(function: object) -> FunctionType:
    """Return a function without its decorators.

    Raises:
        ConfigError: It is no function that can be written as text.
    """
    python = inspect.unwrap(function) if callable(function) else function
    what, advice = f"an object of the type {type(function).__name__}", "Give the function itself, not what it returns."
    if inspect.isclass(function):
        what, advice = f"the class {function.__name__}", "Write a function that returns what the class makes."
    elif isinstance(function, functools.partial):
        what, advice = "a functools.partial", "Write a function whose default values are these."
    elif inspect.ismethod(python) or (inspect.isfunction(python) and re.search(r"\w\.\w+$", python.__qualname__)):
        what, advice = f"the method {python.__qualname__}", "Write a function outside of the class."
    elif inspect.isbuiltin(python):
        what, advice = f"the built-in {python.__name__}", "Write a function of your own."
    elif inspect.isfunction(python) and python.__name__ == "<lambda>":
        what, advice = "a lambda", "Write it with `def`."
    elif inspect.iscoroutinefunction(python):
        what, advice = f"the coroutine {python.__name__}", "Write it without `async`."
    elif isinstance(python, FunctionType):
        return python
    raise ConfigError(
        f"Expected a function that builds a Keras model, as `def build(input_shape, n_classes): ...`. "
        f"Received: {what}. {advice}"
    )


@attrs.frozen
class _Definition:
    """A function or a class as text.

    Attributes:
        text: Its source.
        used: Global names in it.
        used_at_once: Those of them that Python needs where the definition is run: decorators, defaults, bases.
    """

    text: str
    used: frozenset[str]
    used_at_once: frozenset[str]


class _Parts:
    """What a text needs, by the names that its code uses."""

    def __init__(self, function: FunctionType) -> None:
        self._function = function
        self._future = bool(function.__code__.co_flags & __future__.annotations.compiler_flag)
        self._values: dict[str, object] = {}
        self._lines: dict[str, str] = {}  # imports and plain values
        self._definitions: dict[str, _Definition] = {}

    def add_all(self, name: str, value: object) -> None:
        """Add a function, and all that it uses, directly or not. It raises what `read_own_function` does."""
        waiting: list[tuple[str, object, Mapping[str, object]]] = [(name, value, self._function.__globals__)]
        while waiting:
            name, value, known = waiting.pop()
            if name in self._values and _is_same(self._values[name], value):
                continue
            if name in self._values:  # a file of the user's and the notebook, or two files
                raise ConfigError(
                    f"Expected one meaning of {name!r} in all code that {self._function.__name__} uses. Received: two. "
                    "Rename one."
                )
            self._values[name] = value
            if not (line := self._line(name, value)):
                definition = self._definitions[name] = self._define(name, value)
                known = _globals(value, known)
                waiting += [(other, known[other], known) for other in sorted(self._needed(definition, name, known))]
            else:
                self._lines[name] = line

    def _needed(self, definition: _Definition, name: str, known: Mapping[str, object]) -> Iterator[str]:
        """Yield the names of a definition that the text must define.

        Raises:
            ConfigError: A name is not defined.
        """
        code = getattr(self._values[name], "__code__", None)
        similar = (*(code.co_varnames if code else ()), *known)
        for used in definition.used - _MODULE_NAMES:
            if used in known:
                yield used
            elif not hasattr(builtins, used):
                raise ConfigError(
                    f"Expected each name in {name} to be defined. Received: {used!r}, which is not."
                    f"{did_you_mean(used, similar)} Else run the cell that defines it."
                )

    def _line(self, name: str, value: object) -> str:
        """Return the line that gives a name its value; "" for a function or a class of the user.

        Raises:
            ConfigError: The value is a module of the user.
        """
        if isinstance(value, ModuleType):
            if self._is_users(value.__name__):
                raise ConfigError(
                    f"Expected installed packages in {self._function.__name__}. Received: your module "
                    f"{value.__name__}, which workers and the run's digest do not have. Import what you need by name: "
                    f"from {value.__name__} import ..."
                )
            package, _, last = value.__name__.rpartition(".")
            given = "" if last == name else f" as {name}"
            return f"from {package} import {last}{given}" if package else f"import {last}{given}"
        if plain := plain_code(value):
            return f"{name} = {plain}"
        module = getattr(value, "__module__", None)
        if not isinstance(module, str) or self._is_users(module):
            return ""
        for attribute in ("__qualname__", "__name__", "_name"):  # typing's names are in the last one
            own_name = getattr(value, attribute, None)
            if isinstance(own_name, str) and getattr(sys.modules.get(module), own_name, None) is value:
                return f"from {_public(module, own_name, value)} import {own_name}" + (
                    "" if own_name == name else f" as {name}"
                )
        return ""

    def _is_users(self, module: str) -> bool:
        """Return whether a module is the notebook, the function's own, or one of a package that is not installed."""
        return module in ("__main__", self._function.__module__) or not _is_installed(module.partition(".")[0])

    def _define(self, name: str, value: object) -> _Definition:
        """Return the source of a function or a class of the user, under a name.

        Raises:
            ConfigError: It is something else, or it has no source, or depends on an enclosing function.
        """
        python: Any = inspect.unwrap(value) if callable(value) else value
        root = self._function.__name__
        if not (inspect.isfunction(python) or inspect.isclass(python)) or python.__name__ == "<lambda>":
            what = "a lambda" if inspect.isfunction(python) else f"a {type(value).__name__}"
            advice = "Write it with `def`." if inspect.isfunction(python) else f"Make it inside {root}."
            raise ConfigError(
                f"Expected modules, functions, classes, numbers and texts as global variables of {root}. "
                f"Received: {name}, {what}. {advice}"
            )
        outer = [free for free in getattr(getattr(python, "__code__", None), "co_freevars", ()) if free != "__class__"]
        if outer or (inspect.isclass(python) and "<locals>" in python.__qualname__):
            received = f"variables of an enclosing function: {', '.join(outer)}" if outer else "a class in a function"
            raise ConfigError(
                f"Expected {name} to use its parameters and global variables. Received: {received}. Make them "
                "parameters with default values, or move them out of that function."
            )
        text, line = read_source(python, name)
        if python.__name__ != name:
            lines = text.splitlines()
            lines[line] = re.sub(rf"\b(def|class)(\s+){python.__name__}\b", rf"\1\2{name}", lines[line], count=1)
            text = "\n".join(lines)
        used_at_once, used = used_names(f"{_FUTURE}\n{text}" if self._future else text)
        return _Definition(text, frozenset(used), frozenset(used_at_once))

    def text(self, name: str) -> str:
        """Return the text, in an order in which it can be run."""
        imports = {line for line in self._lines.values() if line.startswith(("import ", "from "))}
        values = set(self._lines.values()) - imports
        defined = dict.fromkeys(self._in_order(name))
        blocks = [
            _FUTURE if self._future else "",
            "\n".join(sorted(imports, key=lambda line: (line.startswith("from "), line))),
            "\n".join(sorted(values)),
        ]
        texts = [self._definitions[part].text for part in defined]
        return "\n\n\n".join(["\n\n".join(filter(None, blocks)), *texts]).lstrip("\n") + "\n"

    def _in_order(self, name: str) -> list[str]:
        """Return the names of the definitions. What a definition needs at once is before it."""
        order: list[str] = []
        seen, whole = set[str](), set[str]()

        def put(part: str) -> None:
            if part in self._definitions and part not in seen:
                seen.add(part)
                for other in sorted(self._definitions[part].used_at_once):
                    put_all(other)  # a decorator is called at once, and needs what it uses
                order.append(part)

        def put_all(part: str) -> None:
            if part in self._definitions and part not in whole:
                whole.add(part)
                put(part)
                for other in sorted(self._definitions[part].used):
                    put_all(other)

        put_all(name)
        if any(name in self._definitions[part].used_at_once for part in order):
            return order
        return [*(part for part in order if part != name), name]


def _is_installed(package: str) -> bool:
    """Return whether a package or a single module is Python's, cnnlab, or one that a package manager has installed."""
    if package in sys.stdlib_module_names or package == "cnnlab":
        return True
    loaded = sys.modules.get(package)
    # A package without a file of its own, __init__.py, has only folders.
    places = [file] if (file := getattr(loaded, "__file__", None)) else getattr(loaded, "__path__", [])
    return any({"site-packages", "dist-packages"} & {*Path(place).parts} for place in places)


def _public(module: str, name: str, value: object) -> str:
    """Return the shortest name of a module of the same package that has a value: keras.layers, not keras.src.layers."""
    package = module.partition(".")[0]
    loaded = [other for other in [*sys.modules] if other == package or other.startswith(f"{package}.")]
    having = [other for other in loaded if vars(sys.modules[other] or builtins).get(name) is value]
    return min([module, *having], key=lambda other: (other.count("."), other))


def _is_same(first: object, second: object) -> bool:
    """Return whether two values are the same object, or plain values that are written alike."""
    return first is second or plain_code(first) == plain_code(second) != ""


def _globals(value: Any, known: Mapping[str, object]) -> Mapping[str, object]:
    """Return the global variables of a function or a class; `known` are those of the code that uses it."""
    python = inspect.unwrap(value)
    if inspect.isfunction(python):
        return python.__globals__
    return known if python.__module__ == known.get("__name__") else vars(sys.modules[python.__module__])
