"""Interpret an untrusted pickle without running it.

A pickle is a program, and Python's own reader runs it. Allowing that reader only a few trusted functions is not enough:
numpy's, given a crafted state, read memory that is not theirs. Here `pickletools.genops` lists the steps, and an
interpreter follows them on plain values. A name stays a `Global`, a call stays a `Reduce` (pickle's own words): nothing
is imported or called. `pickle_values` rebuilds what they stand for.
"""

import pickletools
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any

MAX_STEPS = 2_000_000
"""Most steps of a pickle. Valid ones have few, or a few per row if the labels are strings."""
PLAIN_CALLS = {"_codecs.encode"} | {
    f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("bytes", "bytearray", "slice")
}
"""Calls of Python's own that return plain bytes or a slice."""
_PUSH_ARGUMENT = [
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
    "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8",
]  # fmt: skip


class RefusedError(Exception):
    """A pickle contains something that is not read; the message names it."""


def require(condition: object, received: str) -> None:
    """Raise `RefusedError` unless a condition holds."""
    if not condition:
        raise RefusedError(received)


class Budget:
    """Limit the bytes that are made from a file, which can name the same long value a thousand times."""

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self, size: int) -> None:
        """Count bytes; raise `RefusedError` if there are too many."""
        self._left -= size
        require(self._left >= 0, "far more values than a file of its size can hold")


@dataclass(frozen=True, slots=True)
class Global:
    """A function or class that a pickle names."""

    name: str


@dataclass(slots=True, eq=False)
class Reduce:
    """A call that a pickle asks for, and the state that it wants to give to the result."""

    function: str
    args: tuple[Any, ...]
    state: Any = None


def interpret(content: bytes, accepted: Container[str], budget: Budget) -> Any:
    """Return the value of a pickle of protocol 2 to 5, made of plain values, `Global` and `Reduce`.

    Raises:
        RefusedError: It uses a name that is not accepted, or a step that no valid file has.
        Exception: Of any kind: it is broken.
    """
    interpreter = _Interpreter(accepted, budget)
    steps = interpreter.steps()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if count > MAX_STEPS:
            raise RefusedError(f"a pickle of more than {MAX_STEPS:,} steps")
        step = steps.get(opcode.name)
        if not step:
            raise RefusedError(f"a pickle with the step {opcode.name}")
        step(argument)
    return interpreter.pop()


class _Interpreter:
    """The stack machine of a pickle."""

    def __init__(self, accepted: Container[str], budget: Budget) -> None:
        self._accepted, self._budget = accepted, budget
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def steps(self) -> dict[str, Callable[[Any], None]]:
        """Map the name of each opcode to its step, which takes the opcode's argument.

        Not stored in `self`: that cycle would keep the values in memory until the garbage collector runs.
        """
        push = self._stack.append
        return {
            **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda _: None),
            **dict.fromkeys(_PUSH_ARGUMENT, push),
            "NONE": lambda _: push(None),
            "NEWTRUE": lambda _: push(True),
            "NEWFALSE": lambda _: push(False),
            "EMPTY_LIST": lambda _: push([]),
            "EMPTY_DICT": lambda _: push({}),
            "EMPTY_TUPLE": lambda _: push(()),
            **dict.fromkeys(("BINSTRING", "SHORT_BINSTRING"), lambda text: push(text.encode("latin-1"))),  # Python 2
            **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda key: push(self._memo[key])),
            **dict.fromkeys(("BINPUT", "LONG_BINPUT"), self._put),
            "MEMOIZE": lambda _: self._put(len(self._memo)),
            "MARK": lambda _: self._marks.append(len(self._stack)),
            "TUPLE": lambda _: push(tuple(self._pop_to_mark())),
            "TUPLE1": lambda _: push(tuple(self._pop_items(1))),
            "TUPLE2": lambda _: push(tuple(self._pop_items(2))),
            "TUPLE3": lambda _: push(tuple(self._pop_items(3))),
            "APPEND": lambda _: self._extend(self._pop_items(1)),
            "APPENDS": lambda _: self._extend(self._pop_to_mark()),
            "SETITEM": lambda _: self._update(self._pop_items(2)),
            "SETITEMS": lambda _: self._update(self._pop_to_mark()),
            "GLOBAL": lambda name: push(self._global(*name.split(" ", 1))),
            "STACK_GLOBAL": lambda _: push(self._global(*self._pop_items(2))),
            **dict.fromkeys(("NEWOBJ", "REDUCE"), lambda _: push(self._reduce(*self._pop_items(2)))),
            "BUILD": self._build,
        }

    def pop(self) -> Any:
        """Take the last value, if there is one since the last mark."""
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise RefusedError("a broken pickle")
        return self._stack.pop()

    def _pop_items(self, count: int) -> list[Any]:
        return [self.pop() for _ in range(count)][::-1]

    def _pop_to_mark(self) -> list[Any]:
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _last(self, kind: type) -> Any:
        if type(self._stack[-1]) is not kind:
            raise RefusedError(f"a pickle that treats a {type(self._stack[-1]).__name__} as a {kind.__name__}")
        return self._stack[-1]

    def _put(self, key: int) -> None:
        self._memo[key] = self._stack[-1]

    def _extend(self, items: list[Any]) -> None:
        self._last(list).extend(items)

    def _update(self, items: list[Any]) -> None:
        for key, value in zip(items[::2], items[1::2], strict=True):
            is_int64 = type(key) is int and -(2**63) <= key < 2**64  # any number of larger ones can share one hash
            if type(key) not in (str, bytes) and not is_int64:
                raise RefusedError(f"a dictionary with a {type(key).__name__} as a key")
            self._last(dict)[key] = value

    def _global(self, module: Any, name: Any) -> Global:
        require(type(module) is type(name) is str, "a broken pickle")  # printing nested tuples can take forever
        full_name = f"{module}.{name}"
        require(full_name in self._accepted or full_name in PLAIN_CALLS, f"one that needs {full_name[:80]!a}")
        return Global(full_name)

    def _reduce(self, function: Any, args: Any) -> Any:
        """Return the result of a call that makes plain bytes or a slice, and a `Reduce` for any other call."""
        require(type(args) is tuple, "a broken pickle")
        if type(function) is Reduce and function.function == "functools.partial" and len(function.args) == 1:
            function = function.args[0]  # pandas 1.3 stores partial(new_block, ndim=2)
        if type(function) is not Global:
            raise RefusedError(f"a pickle that calls a {type(function).__name__}")
        if function.name not in PLAIN_CALLS:
            return Reduce(function.name, args)
        match function.name.rpartition(".")[2], args:
            case "encode", (str(text), "latin1" | "latin-1"):
                self._budget.take(len(text))
                return text.encode("latin-1")
            case "bytes" | "bytearray", ():
                return b""
            case "bytearray", (bytes(data),):
                return data
            case "slice", (int(), int(), int() | None):
                return slice(*args)
        raise RefusedError(f"an unusual call of {function.name}")

    def _build(self, _: None) -> None:
        state, target = self.pop(), self._last(Reduce)
        if target.state is not None:
            raise RefusedError(f"a {target.function} that is changed again")
        target.state = state


def describe(value: Any) -> str:
    """Name a function, or the type of a value."""
    if type(value) is Reduce:
        return value.function
    return value.name if type(value) is Global else f"a {type(value).__name__}"
