"""A function of a notebook becomes one text with all that it uses: equal code and values give equal texts."""

import functools
import linecache
import sys
from types import ModuleType

import pytest

from cnnlab.errors import ConfigError
from cnnlab.study import read_own_function

NEEDED = """\
from dataclasses import dataclass
import numpy as np
from pathlib import PurePath as Path
UNITS, RATES, UNUSED = 8, [0.1, (True, None)], object()
"""
HELPERS = """\
def even(n):
    return n == 0 or odd(n - 1)
def odd(n):
    return n != 0 and even(n - 1)
@dataclass
class Settings:
    units: int = UNITS
"""
BUILD = """\
def build(input_shape, n_classes, units=UNITS, rates=RATES):
    UNUSED = np.zeros(units).shape
    return even(units), Settings().units, rates, UNUSED, str(Path("a")), [even for even in "b"]
"""
TEXT = """\
import numpy as np
from dataclasses import dataclass
from pathlib import PurePath as Path

RATES = [0.1, (True, None)]
UNITS = 8


@dataclass
class Settings:
    units: int = UNITS


def even(n):
    return n == 0 or odd(n - 1)


def odd(n):
    return n != 0 and even(n - 1)


def build(input_shape, n_classes, units=UNITS, rates=RATES):
    UNUSED = np.zeros(units).shape
    return even(units), Settings().units, rates, UNUSED, str(Path("a")), [even for even in "b"]
"""


@pytest.fixture
def notebook(monkeypatch):
    """Run cells as IPython does, and return the variable `build` of the notebook."""
    main = ModuleType("__main__")
    main.In = [""]
    monkeypatch.setitem(sys.modules, "__main__", main)

    def run(*cells):
        for cell in cells:
            name = f"/tmp/ipykernel_1/{hash(cell)}.py"
            monkeypatch.setitem(linecache.cache, name, (len(cell), None, cell.splitlines(keepends=True), name))
            main.In.append(cell)
            exec(compile(cell, name, "exec"), main.__dict__)
        return main.build

    return run


def call(function):
    """Call the function that the text of a function defines, in a new module."""
    model = read_own_function(function)
    namespace = {"__name__": "of_a_worker"}
    exec(model.source, namespace)
    return namespace[model.function]((2, 2, 1), 3, **model.settings)


def test_the_text_has_what_the_function_uses_and_nothing_else(notebook):
    build = notebook(NEEDED, HELPERS, BUILD)
    model = read_own_function(build)
    assert model.source == TEXT
    assert (model.function, model.file, model.settings) == ("build", "the notebook", {"units": 8})
    assert call(build) == build((2, 2, 1), 3)


def test_equal_code_and_values_give_equal_models(notebook):
    first = read_own_function(notebook(NEEDED, HELPERS, BUILD))
    again = read_own_function(notebook("UNUSED = other = 3", HELPERS, BUILD))
    assert first == again
    assert first.digest == again.digest


@pytest.mark.parametrize(
    "cell",
    ["UNITS = 9", "RATES[0] = 0.2", "def odd(n): return False", "class Settings:\n    units = 8", "import math as np",
     BUILD.replace('"b"', '"c"')],
)  # fmt: skip
def test_a_changed_value_or_helper_that_it_uses_is_another_model(notebook, cell):
    first = read_own_function(notebook(NEEDED, HELPERS, BUILD))
    assert read_own_function(notebook(cell)).digest != first.digest


def test_a_default_value_is_that_of_the_time_of_its_definition(notebook):
    build = notebook(NEEDED, HELPERS, BUILD, "UNITS = 9")
    assert read_own_function(build).settings == {"units": 8}


@pytest.mark.parametrize(
    "cell",
    [
        # A class in a class's method; its base is defined after it in alphabetical order.
        "class Z:\n    def f(self): return A().g()\nclass A(Z):\n    def g(self): return 5\n"
        "def build(input_shape, n_classes): return Z().f()",
        # A decorator is called at once and needs a helper; a comprehension in a default value.
        "def z(c): return c\ndef mark(c): return z(c)\n@mark\nclass A: x = [z(i) for i in (1, 2)]\n"
        "def build(input_shape, n_classes, *, w=z(4)): return A.x, w",
        # Other names for functions, one of which has a new meaning now.
        "def f(): return 1\nold = f\ndef f(): return 2\ndef build(input_shape, n_classes): return old(), f()",
        # Decorated functions.
        "import functools\n@functools.cache\ndef f(n): return n\n@functools.wraps(f)\ndef g(n): return f(n)\n"
        "def build(input_shape, n_classes): return f(3), g(4)",
        # The function itself, and a generator in it.
        "def build(input_shape, n_classes):\n"
        "    return n_classes and n_classes + build(input_shape, n_classes - 1) + sum(i for i in range(2))",
        # Annotations that are evaluated, and names of typing.
        "from typing import Literal, Callable, Any\nimport collections.abc as abc\n"
        "def build(input_shape: tuple[int, ...], n_classes: int, f: abc.Mapping | None = None, *, "
        "a: Literal['a'] = 'a', g: Callable[..., Any] = len): return a",
        # Annotations that are not.
        "from __future__ import annotations\ndef build(input_shape: Nothing, n_classes: int): return n_classes",
    ],
)  # fmt: skip
def test_the_text_runs_as_the_notebook_does(notebook, cell):
    build = notebook(cell)
    assert call(build) == build((2, 2, 1), 3)


@pytest.mark.parametrize(
    ("cell", "line"),
    [
        ("import keras as x", "import keras as x"),
        ("from keras import layers as x", "from keras import layers as x"),
        ("from keras.layers import Dense as x", "from keras.layers import Dense as x"),
        ("import xml.etree.ElementTree as x", "from xml.etree import ElementTree as x"),
        ("from numpy.random import normal as x", "from numpy.random import normal as x"),
        ("from math import pi as x", "x = 3.141592653589793"),
        ("import numpy; x = numpy.float32(0.5)", "x = 0.5"),
        ("import math; x = [-math.inf, 'a', {1: (2,), 'b': ()}]", "x = [float('-inf'), 'a', {1: (2,), 'b': ()}]"),
    ],
)
def test_a_global_variable_is_one_line(notebook, cell, line):
    build = notebook(cell, "def build(input_shape, n_classes): return x")
    assert read_own_function(build).source.startswith(f"{line}\n\n\ndef build(")


HEAD = "def build(input_shape, n_classes):\n    return "


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("build = 3", r"Expected a function that builds a Keras model, .* Received: an object of the type int\. Give"),
        ("class build: pass", "Received: the class build. Write a function that returns"),
        ("build = lambda input_shape, n_classes: 3", "Received: a lambda. Write it with `def`"),
        ("build = len", "Received: the built-in len"),
        ("class A:\n    def f(self, input_shape, n_classes): pass\nbuild = A().f", "Received: the method A.f. Write"),
        ("class A:\n    def f(input_shape, n_classes): pass\nbuild = A.f", "Received: the method A.f. Write"),
        ("async def build(input_shape, n_classes): pass", "Received: the coroutine build. Write it without `async`"),
        ("def f(n):\n    def build(input_shape, n_classes): return n\n    return build\nbuild = f(3)",
         r"Expected build to use its parameters and .* Received: variables of an enclosing function: n\. Make them"),
        ("def f():\n    class A: pass\n    return A\nA = f()\n" + HEAD + "A()", "Received: a class in a function"),
        ("exec('def build(input_shape, n_classes): pass')", "Expected the source of build. Received: none, or that"),
        ("import numpy\nx = numpy.zeros(3)\n" + HEAD + "x",
         r"as global variables of build\. Received: x, a ndarray\. Make it inside build\."),
        ("x = {1, 2}\n" + HEAD + "x", "Received: x, a set. Make it inside build"),
        ("x = []; x.append(x)\n" + HEAD + "x", "Received: x, a list. Make it inside build"),
        ("f = lambda: 3\n" + HEAD + "f()", "Received: f, a lambda. Write it with `def`"),
        ("layers = 3\n" + HEAD + "layer", r"each name in build to be defined\. Received: 'layer', .* mean 'layers'\?"),
        ("def f(): return g()\n" + HEAD + "f()", "each name in f to be defined. Received: 'g'"),
        ("def build(input_shape, n_classes, width): pass", "Received: none for width. Add it"),
        ("def build(shape): pass", r"build to have the parameters .* Received: build\(shape\) in the notebook\."),
        ("x = 'a' * 1_000_001\n" + HEAD + "x", "Expected at most 1,000,000 bytes of code and values for build"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_text_is_one_line_that_says_what_to_do(notebook, cell, words):
    with pytest.raises(ConfigError, match=words) as caught:
        read_own_function(notebook(cell))
    assert str(caught.value).isprintable()


def test_a_partial_is_no_function(notebook):
    build = notebook(NEEDED, HELPERS, BUILD)
    with pytest.raises(ConfigError, match=r"Received: a functools\.partial\. Write a function whose default values"):
        read_own_function(functools.partial(build, units=3))


@pytest.fixture
def nets(notebook, tmp_path, monkeypatch):
    """A file of the user's beside the notebook."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_nets", raising=False)
    (tmp_path / "my_nets.py").write_text("SIZE = 3\ndef block(n): return n + SIZE\n" + HEAD + "block(n_classes)\n")
    return tmp_path / "my_nets.py"


def test_functions_of_a_file_beside_the_notebook_are_in_the_text(notebook, nets):
    """Workers and the digest do not have that file."""
    build = notebook("from my_nets import block as part\n" + HEAD + "part(1)")
    assert read_own_function(build).source.startswith("SIZE = 3\n\n\ndef part(n): return n + SIZE\n")
    assert call(build) == 4
    build = notebook("from my_nets import build")
    assert (call(build), read_own_function(build).file) == (6, "my_nets.py")


def test_a_name_may_have_equal_values_in_two_files(notebook, nets):
    nets.write_text("RATE = 0.1 + 0.4\ndef block(n): return n * RATE\n")
    text = "from my_nets import block\nRATE = 0.25 * 2\n" + HEAD + "block(n_classes) + RATE"
    assert "RATE = 0.5" in read_own_function(notebook(text)).source
    with pytest.raises(ConfigError, match="one meaning of 'RATE'"):
        read_own_function(notebook(text.replace("0.25", "0.3")))


def test_a_file_beside_the_notebook_is_no_package(notebook, nets):
    build = notebook("import my_nets\n" + HEAD + "my_nets.block(1)")
    with pytest.raises(ConfigError, match=r"Expected installed packages .* from my_nets import \.\.\."):
        read_own_function(build)


@pytest.fixture(params=[True, False], ids=["with __init__.py", "without __init__.py"])
def package(request, notebook, tmp_path, monkeypatch):
    """A package of the user's beside the notebook."""
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "my_package"
    folder.mkdir()
    if request.param:
        (folder / "__init__.py").write_text("")
    (folder / "nets.py").write_text("SIZE = 3\ndef block(n): return n + SIZE\n")
    yield folder
    for name in ("my_package", "my_package.nets"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("import my_package.nets as x", "my_package.nets"),
        ("from my_package import nets as x", "my_package.nets"),
        ("import my_package.nets\nimport my_package as x", "my_package"),
    ],
)
def test_a_package_beside_the_notebook_is_not_installed(notebook, package, cell, name):
    build = notebook(f"{cell}\n{HEAD}x")
    words = f"Expected installed packages in build. Received: your module {name}, .* from {name} import"
    with pytest.raises(ConfigError, match=words) as caught:
        read_own_function(build)
    assert str(caught.value).isprintable()


def test_functions_of_a_package_beside_the_notebook_are_in_the_text(notebook, package):
    build = notebook("from my_package.nets import block\n" + HEAD + "block(1)")
    assert read_own_function(build).source.startswith("SIZE = 3\n\n\ndef block(n): return n + SIZE\n")
    assert call(build) == 4


@pytest.mark.parametrize("cell", ["import json.decoder as x", "import cnnlab.models as x", "import numpy.linalg as x"])
def test_the_standard_library_and_installed_packages_are_imported(notebook, cell):
    build = notebook(f"{cell}\n{HEAD}x")
    assert call(build) is build((2, 2, 1), 3)


def test_two_meanings_of_a_name_are_refused(notebook, nets):
    build = notebook("from my_nets import block\nSIZE = 4\n" + HEAD + "block(SIZE)")
    with pytest.raises(ConfigError, match="Expected one meaning of 'SIZE' in all code that build uses"):
        read_own_function(build)


def test_a_file_that_has_changed_since_its_import_has_no_source(notebook, nets):
    build = notebook("from my_nets import build")
    nets.write_text("\n\n" + nets.read_text())
    with pytest.raises(ConfigError, match="Received: none, or that of other code"):
        read_own_function(build)
