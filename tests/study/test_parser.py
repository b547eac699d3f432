"""Each thing that is wrong in a study file is one line with its place; all of them are named, and nothing twice."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cnnlab.errors import StudyError
from cnnlab.study import PROFILES, Study, notes, parse

STAGE = "[[stage]]\nname = 'a'\n"
CLAIM = "[[claim]]\nsays = 'It helps.'\nbetter = ['a', 'selected']\nthan = ['a', 'incumbent']\n"


def problems(text, path=Path("mine.toml")):
    with pytest.raises(StudyError) as caught:
        parse(text, path)
    error = caught.value
    assert str(error).startswith(f"mine.toml: {error.problems[0]}")
    for problem in error.problems:
        assert "Expected" in problem
        assert "Received: " in problem
        assert len(problem.splitlines()) == 1
        assert problem.isprintable()
    return error.problems


def problem(text):
    [only] = problems(text)
    return only


@pytest.mark.parametrize(
    ("text", "words"),
    [
        # Keys
        ("titel = 'x'\n" + STAGE, "Expected one of the keys title, .* Received: 'titel'. Did you mean 'title'?"),
        ("seeds = 3\n" + STAGE, "Expected one of the keys .* Received: 'seeds'."),
        ("published = 'p.csv'\n" + STAGE, "Received: 'published'. Only the published study has it: delete it."),
        (STAGE + "[[mistake]]\nname = 'm'", "Received: 'mistake'. Only the published study has it: delete it."),
        (STAGE + "qestion = 'x'", "stage 1 ('a'): .* Received: 'qestion'. Did you mean 'question'?"),
        (STAGE + CLAIM + "over = 3", "claim 1 ('It helps.'): Expected one of the keys says, .* Received: 'over'."),
        ("stages = []\n" + STAGE, "Received: 'stages'. Did you mean 'stage'?"),
        # Tables
        ("stage = 3", "Expected each stage under a line [[stage]]. Received: 3."),
        ("stage = [3]", "Expected each stage under a line [[stage]]. Received: [3]."),
        ("[stage]\nname = 'a'", "Expected each stage under a line [[stage]]. Received: {'name': 'a'}."),
        ("stage = []", "Expected at least one [[stage]]. Received: none."),
        ("claim = 'x'\n" + STAGE, "Expected each claim under a line [[claim]]. Received: 'x'."),
        (STAGE * 101, "Expected at most 100 [[stage]]. Received: 101."),
        (STAGE + CLAIM * 20_000, "Expected at most 100 [[claim]]. Received: 20000."),
        # Texts
        ("title = 3\n" + STAGE, "title: Expected title to be a text without control characters. Received: 3."),
        ("title = ['x']\n" + STAGE, "title: Expected title to be a text"),
        ("title = 2020-01-01\n" + STAGE, "title: Expected title to be a text"),
        ('images = "a\\u0007"\n' + STAGE, "images: Expected images to be a text .* Received: 'a\\x07'."),
        (STAGE + "why = false", "stage 1 ('a'): Expected why to be a text .* Received: False."),
        (STAGE + 'question = "\\u001b[2J"', "stage 1 ('a'): Expected question to be a text .* Received: '\\x1b[2J'."),
        # The difference that matters
        *(
            (f"matters = {value}\n" + STAGE, f"matters: Expected matters to be a difference .* Received: {shown}.")
            for value, shown in (("0", "0"), ("1.0", "1.0"), ("-0.02", "-0.02"), ("nan", "nan"), ("true", "True"))
        ),
        # The start
        ("start = 3\n" + STAGE, "start: Expected the settings .* by their names, as {'dense_units': 96}. Received: 3."),
        ("start = [1]\n" + STAGE, "start: Expected the settings"),
        ("start = { filtres = [8] }\n" + STAGE, "start: .* Received: 'filtres'. Did you mean 'filters'?"),
        ("start = { filters = 8 }\n" + STAGE, "start: Expected filters to be a list of whole numbers"),
        ("start.filters.a = [8]\n" + STAGE, "start: Expected filters to be a list of whole numbers"),
        ("model = 3\n" + STAGE, 'model: Expected model to be "FILE.py:FUNCTION". Received: 3.'),
        # Names of stages
        ("[[stage]]\n", "stage 1: Expected a name of at most 50 letters, digits, .* Received: None."),
        ("[[stage]]\nname = 3", "stage 1: Expected a name of .* Received: 3."),
        ("[[stage]]\nname = ['a']", "stage 1: Expected a name of .* Received: ['a']."),
        *(
            (f"[[stage]]\nname = {json.dumps(name)}", f"Expected a name of at most 50 .* Received: {name!r}.")
            for name in ("", " ", "a b", "a/b", "a\\b", "../a", ".", "..", "...", ".a", "-a", "a\n", "a:b", "mistakes",
                         "all", "data", "comparison", "noise", "published", "search", "final", "a" * 51)
        ),
        (STAGE + STAGE, "Expected each stage to have a name of its own. Received: 'a' more than once."),
        (STAGE + "incumbent = 'no'", "stage 1 ('a'): Expected incumbent to be true or false. Received: 'no'."),
        (STAGE + "incumbent = 1", "Expected incumbent to be true or false. Received: 1."),
        # Ways to write trials
        (STAGE + "incumbent = false", "stage 1 ('a'): Expected trials, or incumbent = true. Received: a stage without"),
        (STAGE + "incumbent = false\ntrials = {}", "Expected trials, or incumbent = true. Received: a stage without"),
        (STAGE + "values = [1]", "Expected vary with values, or grid, or trials. Received: values."),
        (STAGE + "vary = 'epochs'", "Expected vary with values, or grid, or trials. Received: vary."),
        (STAGE + "vary = 'epochs'\nvalues = [1]\ngrid = {}", "or trials. Received: vary, values, grid."),
        (STAGE + "grid = {}\ntrials = {}", "Expected vary with values, or grid, or trials. Received: grid, trials."),
        (STAGE + "vary = 3\nvalues = [1]", "Expected vary to be the name of a setting. Received: 3."),
        (STAGE + "vary = ['epochs']\nvalues = [1]", "Expected vary to be the name of a setting. Received: ['epochs']."),
        (STAGE + "vary = 'epochs'\nvalues = 5", "Expected values to be a list .* Received: 5."),
        (STAGE + "vary = 'epochs'\nvalues = []", "Expected values to be a list .* Received: []."),
        (STAGE + "vary = 'epochs'\nvalues = { a = 1 }", "Expected values to be a list .* Received: {'a': 1}."),
        (STAGE + "vary = 'epochs'\nvalues = [1, 1]", "Expected each value once. Received: 1 more than once."),
        (STAGE + "grid = 3", "Expected grid to be a list of values for each setting. Received: 3."),
        (STAGE + "grid = { epochs = 3 }", "Expected grid to be a list of values .* Received: {'epochs': 3}."),
        (STAGE + "grid = { epochs = [1], patience = [] }", "Expected grid to be a list of values for each setting."),
        (STAGE + "trials = []", "Expected trials to be settings by names, as { short .* Received: []."),
        (STAGE + "trials = 3", "Expected trials to be settings by names"),
        (STAGE + f"vary = 'epochs'\nvalues = {list(range(1, 1002))}", "Expected at most 1,000 trials. Received: more."),
        (
            STAGE + "grid = { " + ", ".join(f"s{number} = [1, 2]" for number in range(5_000)) + " }",
            "Expected at most 1,000 trials. Received: more. Use shorter lists.",
        ),
        (STAGE + "[stage.trials]\n" + "".join(f"t{n} = {{}}\n" for n in range(1_001)), "Expected at most 1,000"),
        (STAGE + "expensive = 'x'", "Expected expensive to be a list of names of its trials"),
        (STAGE + "vary = 'epochs'\nvalues = [1, 2]\nexpensive = [2]", "a list of names .* Received: [2]."),
        (STAGE + "trials = { x = {} }\nexpensive = ['x', 'y']", "trials, which are x. Received: ['x', 'y']."),
        # Trials
        (STAGE + "trials = { x = 3 }", "stage 1 ('a'), trial 'x': Expected the settings .* Received: 3."),
        (STAGE + "trials = { x = [] }", "trial 'x': Expected the settings of the trial 'x' by their names"),
        (STAGE + "vary = 'dropuot'\nvalues = [0.1]", "trial '0.1': .* Received: 'dropuot'. Did you mean 'dropout'?"),
        (STAGE + "trials = { x = { batchsize = 8 } }", "trial 'x': .* 'batchsize'. Did you mean 'batch_size'?"),
        (STAGE + "trials = { unchanged = {} }", "Expected a name other than unchanged, .* Received: 'unchanged'."),
        (STAGE + "trials = { incumbent = {} }", "Expected a name other than"),
        (STAGE + "trials = { selected = {} }", "Expected a name other than"),
        (STAGE + "trials = { '' = {} }", "Expected a name of one line, without control characters, for a trial."),
        (STAGE + 'trials = { "a\\nb" = {} }', "Expected a name of one line, .* Received: 'a\\nb'."),
        (STAGE + f"trials = {{ {'a' * 101} = {{}} }}", "Expected a name of at most 100 characters."),
        (STAGE + "vary = 'epochs'\nvalues = [0]", "trial '0': Expected epochs to be a whole number of at least 1."),
        (STAGE + "vary = 'epochs'\nvalues = [1.0]", "trial '1.0': Expected epochs to be a whole number"),
        (STAGE + "vary = 'epochs'\nvalues = [true]", "trial 'true': Expected epochs to be a whole .* Received: True."),
        (STAGE + "vary = 'epochs'\nvalues = ['10']", "trial '10': Expected epochs to be a whole .* Received: '10'."),
        (STAGE + "vary = 'epochs'\nvalues = [2020-01-01]", "Expected epochs to be a whole number"),
        (STAGE + "vary = 'epochs'\nvalues = [{ a = 1 }]", "Expected epochs to be a whole .* Received: {'a': 1}."),
        (STAGE + "vary = 'batch_norm'\nvalues = [1]", "Expected batch_norm to be True or False. Received: 1."),
        (STAGE + "vary = 'learning_rate'\nvalues = [nan]", "Expected learning_rate to be a number above 0"),
        (STAGE + "vary = 'learning_rate'\nvalues = [inf]", "Expected learning_rate to be a number above 0"),
        (STAGE + "vary = 'dropout'\nvalues = [-0.1]", "Expected dropout to be a number of at least 0 and below 1"),
        (STAGE + "vary = 'dropout'\nvalues = [[0.1, nan, 0.1, 0.1]]", "Expected dropout to be a number"),
        (STAGE + "vary = 'filters'\nvalues = [[]]", "trial 'none': Expected filters to be a list"),
        (STAGE + "vary = 'filters'\nvalues = [[8, [8]]]", "Expected filters to be a list of whole numbers"),
        (STAGE + "vary = 'optimizer'\nvalues = ['adamw']", "Expected optimizer to be one of sgd, .* 'adamw'."),
        (STAGE + "vary = 'patience'\nvalues = ['never']", "Expected patience to be a whole number of at least 1"),
        # Claims
        (STAGE + "[[claim]]\nbetter = ['a', 'selected']\nthan = ['a', 'incumbent']", "claim 1: Expected says to be a"),
        (STAGE + CLAIM.replace("'It helps.'", "3"), "claim 1: Expected says to be a text"),
        (STAGE + CLAIM.replace("than", "# than"), "claim 1 ('It helps.'): Expected than = [ .* Received: None."),
        (STAGE + CLAIM.replace("['a', 'selected']", "'a'"), "Expected better = [\"STAGE\", \"TRIAL\"]. Received: 'a'."),
        (STAGE + CLAIM.replace("'selected'", "3"), "Expected better = [\"STAGE\", \"TRIAL\"]. Received: ['a', 3]."),
        (STAGE + CLAIM.replace("'selected'", "'b', 'c'"), "Expected better = ["),
        (STAGE + CLAIM.replace("'a', 'sel", "'b', 'sel"), "Expected a stage named a, final. Received: better = ['b'"),
        (STAGE + CLAIM.replace("'selected'", "'slected'"), "a trial of a named selected, .* Did you mean 'selected'?"),
        (STAGE + CLAIM.replace("'selected'", "'unchanged'"), "Expected a trial of a named selected, incumbent."),
        (STAGE + "incumbent = false\ntrials = { x = {} }\n" + CLAIM, "a trial of a named x, selected. Received: than"),
        (STAGE + CLAIM + "by = '5'", "Expected by to be a difference of macro-F1, -1 to 1. Received: '5'."),
        (STAGE + CLAIM + "by = 5", "Expected by to be a difference of macro-F1, -1 to 1. Received: 5."),
        (STAGE + CLAIM + "by = nan", "Expected by to be a difference of macro-F1, -1 to 1. Received: nan."),
        (STAGE + CLAIM + "by = true", "Expected by to be a difference of macro-F1, -1 to 1. Received: True."),
    ],
)  # fmt: skip
def test_problem(text, words):
    """One line has the place, what was expected, and what was received."""
    found, start = problem(text), 0
    for part in words.split(" .* "):
        assert part in found[start:]
        start = found.index(part, start) + len(part)


def test_all_problems():
    """Every one is named, in one go and in the order of the file."""
    text = """
        start = { dense_units = 0 }
        stages = 3
        [[stage]]
        name = "a/b"
        incumbent = 3
        why = 3
        expensive = ["z"]
        trials = { x = { epochs = 0 }, y = { batch = 3 }, selected = {} }
        [[stage]]
        name = "c"
        values = [1]
        [[claim]]
        says = ""
        better = ["d", "x"]
        than = 3
        by = 7
    """
    found = [(line.partition("Expected")[0], line.partition("Received: ")[2]) for line in problems(text)]
    assert found == [
        ("", "'stages'. Did you mean 'stage'?"),
        ("start: ", "0."),
        ("stage 1 ('a/b'): ", "'a/b'."),
        ("stage 1 ('a/b'): ", "3."),
        ("stage 1 ('a/b'): ", "3."),
        ("stage 1 ('a/b'): ", "['z']."),
        ("stage 1 ('a/b'), trial 'x': ", "0."),
        ("stage 1 ('a/b'), trial 'y': ", "'batch'. Did you mean 'batch_size'?"),
        ("stage 1 ('a/b'), trial 'selected': ", "'selected'."),
        ("stage 2 ('c'): ", "values."),
        ("claim 1: ", "better = ['d', 'x']."),
        ("claim 1: ", "3."),
        ("claim 1: ", "7."),
        ("claim 1: ", "''."),
    ]


@pytest.mark.parametrize(
    "name", ["runs.toml", "Runs.toml", *(f"{profile}.toml" for profile in PROFILES), "..toml", ".toml", "a\nb.toml"]
)
def test_name_of_the_file(name):
    """The report has its name, and must not mix with stored runs or with other reports."""
    with pytest.raises(StudyError) as caught:
        parse(STAGE, Path(name))
    [wrong] = caught.value.problems
    assert len(str(caught.value).splitlines()) == 1
    assert wrong.startswith("Expected a file with another name than runs, ")
    assert wrong.endswith(f"Received: {name!r}. Rename it.")
    assert parse(STAGE, Path("my study (2).toml")).name == "my study (2)"


@pytest.mark.parametrize(
    "stage",
    [
        "trials = { x = { epochs = 0 } }",
        "vary = 'epochs'\nvalues = 3",
        "trials = { x = {} }\nwhy = 3",
        "trials = { x = { epochs = 0 } }\nexpensive = ['x']",
    ],
)
def test_one_problem_is_named_once(stage):
    """Not again by claims about the trial that is wrong."""
    problem(STAGE + stage + CLAIM.replace("'selected'", "'x'").replace("[[", "\n[["))


def test_wrong_model_is_named_once():
    """Its settings cannot be known, so nothing is said about them."""
    settings = "start = { units = 3 }\n" + STAGE + "vary = 'units'\nvalues = [1, 2]\n"
    assert problem("model = 'missing.py:build'\n" + settings).startswith("model: Expected the file of the own model")


def test_settings_of_an_own_model(tmp_path):
    (tmp_path / "models.py").write_text("def build(input_shape, n_classes, units=3): raise SystemExit")
    text = "model = 'models.py:build'\nstart = { units = 4 }\n" + STAGE + "vary = 'units'\nvalues = [1, 2]\n"
    study = parse(text, tmp_path / "mine.toml")
    assert study.base.change(**study.start).architecture.settings == {"units": 4}
    assert [trial.changes for trial in study.stages[0].trials] == [{"units": 1}, {"units": 2}]
    [wrong] = problems(text.replace("'units'", "'unit'"), tmp_path / "mine.toml")[:1]
    assert "Received: 'unit'. Did you mean 'units'?" in wrong


def test_long_lines_are_cut():
    """What was received may be a million characters."""
    assert len(problem(f"title = {list(range(100_000))}\n" + STAGE)) < 1_100


KEYS = st.sampled_from(
    ["title", "images", "matters", "start", "model", "stage", "claim", "name", "question", "why", "vary", "values",
     "trials", "grid", "expensive", "incumbent", "says", "better", "than", "by", "mistake", "published", "dropout",
     "filters", "epochs", "patience", "optimizer", "learning_rate", "colour", "batch_norm", "a", "", "x/y", "a\n", "é"]
)  # fmt: skip
PLAIN = st.one_of(
    st.booleans(), st.integers(-3, 70), st.integers(-(2**63), 2**63 - 1), st.floats(),
    st.sampled_from([0.1, 0.5, 1e-4]),
    st.dates(), st.datetimes(), st.times(), KEYS, st.sampled_from(["selected", "incumbent", "final", "none", "sgd"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
)  # fmt: skip
ANYTHING = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=12
)
TRIALS = st.dictionaries(KEYS, st.dictionaries(KEYS, ANYTHING, max_size=2) | ANYTHING, max_size=3)
STAGES = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "b", "c"]) | ANYTHING},
    optional={
        "vary": KEYS | ANYTHING, "values": st.lists(ANYTHING, max_size=4) | ANYTHING, "trials": TRIALS | ANYTHING,
        "grid": st.dictionaries(KEYS, st.lists(ANYTHING, max_size=3), max_size=3) | ANYTHING, "title": ANYTHING,
        "incumbent": ANYTHING, "expensive": ANYTHING,
    },
)  # fmt: skip
SIDES = st.lists(st.sampled_from(["a", "b", "selected", "incumbent", "final"]), min_size=2, max_size=2) | ANYTHING
CLAIMS = st.fixed_dictionaries({}, optional={"says": KEYS | ANYTHING, "better": SIDES, "than": SIDES, "by": ANYTHING})
FILES = st.fixed_dictionaries(
    {"stage": st.lists(STAGES, max_size=3) | ANYTHING},
    optional={
        "claim": st.lists(CLAIMS, max_size=2) | ANYTHING,
        "start": ANYTHING,
        "title": ANYTHING,
        "model": ANYTHING,
    },
)


def toml(value):
    """A value as TOML, in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool | int | float):
        return str(value).lower()
    return value.isoformat()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(FILES)
@example({"stage": [{"name": "a", "vary": "dropout", "values": [0.1, [], [0.1] * 4]}]})
@example({"stage": [{"name": "a", "trials": {"a": {"filters": [8] * 40, "dropout": 0.5}}}]})
def test_any_content(content):
    """Whatever is in a file, there is a study, or an error that names what is wrong, in a moment."""
    text = "\n".join(f"{json.dumps(key)} = {toml(value)}" for key, value in content.items())
    started = time.process_time()
    try:
        study = parse(text, Path("mine.toml"))
    except StudyError as error:
        assert error.problems
        assert all("Expected" in line and len(line.splitlines()) == 1 for line in (*error.problems, str(error)))
    else:
        assert isinstance(study, Study)
        assert study.stages
        assert all(len(line.splitlines()) == 1 for line in notes(study, PROFILES["quick"]))
    assert time.process_time() - started < 5


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.text(st.sampled_from("[]{}='\"\n.#ab1,\\ \r\t"), max_size=200), st.integers(1, 3))
def test_any_text(text, times):
    started = time.process_time()
    try:
        parse((text + STAGE) * times, Path("mine.toml"))
    except StudyError as error:
        assert len(str(error).splitlines()) == 1
    assert time.process_time() - started < 5


def test_all_wrong_settings_of_a_trial_are_named():
    text = "[[stage]]\nname = 'a'\ntrials = { x = { patience = '2', dropot = 0.1, epochs = 3 } }\n"
    with pytest.raises(StudyError) as caught:
        parse(text, Path("mine.toml"))
    [problem] = caught.value.problems
    assert "Received: 'dropot'. Did you mean 'dropout'?" in problem
    assert "patience to be a whole number" in problem
    assert "epochs to be" not in problem
