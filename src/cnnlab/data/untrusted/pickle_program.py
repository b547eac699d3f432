"""Interpret an untrusted pickle without running it.

A pickle is a program, and Python's own reader runs it. Allowing that reader only a few trusted functions is not enough:
numpy's, given a crafted state, read memory that is not theirs. Here the table of `pickletools` splits a file into its
steps, and an interpreter follows them on plain values. A name stays a `Global`, a call stays a `Reduce` (pickle's own
words): nothing is imported or called. `pickle_values` rebuilds what they stand for.
"""

import codecs
import io
import pickletools
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from typing import Any

MAX_LINE = 1_000
"""Most bytes of a number or a name in protocols 0 and 1, which are text. Strings may be longer."""
MAX_STEPS = 2_000_000
"""Most steps of a pickle. Valid ones have few, or a few per row if the labels are strings."""
PLAIN_CALLS = {"_codecs.encode"} | {
    f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("bytes", "bytearray", "slice")
}
"""Calls of Python's own that return plain bytes or a slice."""
_PUSH_ARGUMENT = [
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
    "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8", "INT", "LONG", "FLOAT", "STRING", "UNICODE",
]  # fmt: skip
_TEXT = {"INT", "LONG", "FLOAT", "GLOBAL", "GET", "PUT"}
"""Opcodes of protocols 0 and 1 whose arguments are lines of text, and short in valid files."""
_OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}
_RECONSTRUCTORS = {f"{module}._reconstructor" for module in ("copyreg", "copy_reg")}
_OBJECTS = {f"{module}.object" for module in ("builtins", "__builtin__")}
_WORDS = {
    **dict.fromkeys(("Datetime", "Timestamp", "datetime", "Timedelta", "Period"), "dates or times"),
    **dict.fromkeys(("series.Series", "pandas.Series"), "a Series instead of a data frame"),
    **dict.fromkeys(("ArrowExtensionArray", "ArrowDtype"), "columns of pyarrow's types"),
    "scipy.sparse": "sparse arrays",
    "Sparse": "sparse columns",
    "Interval": "intervals",
    "CategoricalIndex": "categories as names of columns or rows",
    "Decimal": "decimal numbers",
    "MaskedArray": "masked arrays",
    "torch": "tensors of PyTorch",
    "tensorflow": "tensors of TensorFlow",
    "PIL.": "pictures of Pillow",
}
"""What the names of refused values stand for, in plain words, by a part of the name."""


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


def split_steps(content: bytes) -> Iterator[tuple[str, Any]]:
    """Yield the name and the argument of each step of a pickle.

    `pickletools.genops` does the same, except that it refuses the strings of Python 2 at protocol 0, whose characters
    are any bytes, and reads numbers of any length.
    """
    stream = io.BytesIO(content)
    while code := stream.read(1):
        opcode = _OPCODES.get(code)
        require(opcode, "a file that is broken, or no pickle")
        argument = None
        if opcode and opcode.name == "STRING":
            line = stream.readline().rstrip(b"\n")
            require(
                len(line) > 1 and line[:1] == line[-1:] and line[:1] in (b"'", b'"'),
                "a file that is broken, or no pickle",
            )
            argument = codecs.escape_decode(line[1:-1])[0]
        elif opcode and opcode.arg:
            start = stream.tell()
            if opcode.name in _TEXT:
                lines = [stream.readline(MAX_LINE) for _ in range(2 if opcode.name == "GLOBAL" else 1)]
                require(all(line.endswith(b"\n") for line in lines), f"a pickle with a line of over {MAX_LINE:,} bytes")
                stream.seek(start)
            argument = opcode.arg.reader(stream)
        if opcode:
            yield opcode.name, argument
        if code == b".":
            return
    raise RefusedError("a file that is broken, or no pickle: it ends early")


def interpret(content: bytes, accepted: Container[str], budget: Budget) -> Any:
    """Return the value of a pickle of protocol 0 to 5, made of plain values, `Global` and `Reduce`.

    Raises:
        RefusedError: It uses a name that is not accepted, or a step that no valid file has.
        Exception: Of any kind: it is broken.
    """
    interpreter = _Interpreter(accepted, budget)
    steps = interpreter.steps()
    for count, (name, argument) in enumerate(split_steps(content)):
        if count > MAX_STEPS:
            raise RefusedError(f"a pickle of more than {MAX_STEPS:,} steps")
        step = steps.get(name)
        if not step:
            raise RefusedError(f"a pickle with the step {name}")
        step(argument)
    return interpreter.pop()


def _explain(name: str) -> str:
    """Return, in plain words, what a name of pandas, numpy or Python stands for; empty if none is known."""
    return next((f", for {words}" for part, words in _WORDS.items() if part in name), "")


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
            **dict.fromkeys(("BINGET", "LONG_BINGET", "GET"), lambda key: push(self._memo[key])),
            **dict.fromkeys(("BINPUT", "LONG_BINPUT", "PUT"), self._put),
            "MEMOIZE": lambda _: self._put(len(self._memo)),
            "MARK": lambda _: self._marks.append(len(self._stack)),
            "LIST": lambda _: push(self._pop_to_mark()),
            "DICT": self._make_dict,
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
        require(0 <= key < 2**32, "a broken pickle")  # any number of larger ones can share one hash
        self._memo[key] = self._stack[-1]

    def _extend(self, items: list[Any]) -> None:
        self._last(list).extend(items)

    def _make_dict(self, _: None) -> None:
        items = self._pop_to_mark()
        self._stack.append({})
        self._update(items)

    def _update(self, items: list[Any]) -> None:
        for key, value in zip(items[::2], items[1::2], strict=True):
            is_int64 = type(key) is int and -(2**63) <= key < 2**64  # any number of larger ones can share one hash
            if type(key) not in (str, bytes) and not is_int64:
                raise RefusedError(f"a dictionary with a {type(key).__name__} as a key")
            self._last(dict)[key] = value

    def _global(self, module: Any, name: Any) -> Global:
        require(type(module) is type(name) is str, "a broken pickle")  # printing nested tuples can take forever
        full_name = f"{module}.{name}"
        is_known = full_name in self._accepted or full_name in PLAIN_CALLS | _RECONSTRUCTORS | _OBJECTS
        require(is_known, f"one that needs {full_name[:80]!a}{_explain(full_name)}")
        return Global(full_name)

    def _reduce(self, function: Any, args: Any) -> Any:
        """Return the result of a call that makes plain bytes or a slice, and a `Reduce` for any other call."""
        require(type(args) is tuple, "a broken pickle")
        if type(function) is Reduce and function.function == "functools.partial" and len(function.args) == 1:
            function = function.args[0]  # pandas 1.3 stores partial(new_block, ndim=2)
        if type(function) is not Global:
            raise RefusedError(f"a pickle that calls a {type(function).__name__}")
        if function.name in _RECONSTRUCTORS:  # protocols 0 and 1 make objects this way: (class, object, None)
            kind, base, value = args
            is_plain = type(kind) is type(base) is Global and base.name in _OBJECTS and value is None
            require(is_plain, f"an unusual call of {function.name}")
            return Reduce(kind.name, ())
        if function.name not in PLAIN_CALLS:
            return Reduce(function.name, args)
        match function.name.rpartition(".")[2], args:
            case "encode", (str(text), "latin1" | "latin-1"):
                self._budget.take(len(text))
                return text.encode("latin-1")
            case "bytes" | "bytearray", ():
                return b""
            case "bytearray", (str(text), "latin1" | "latin-1"):
                self._budget.take(len(text))
                return text.encode("latin-1")
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
