"""The README is short, links lead somewhere, tables and examples are true, and retired phrases stay out."""

import dataclasses
import json
import re
import tomllib
from functools import cache

import attrs
import grimp
import pytest
import yaml

import cnnlab
from cnnlab import study
from cnnlab.errors import ConfigError, StudyError
from cnnlab.study import Architecture, Budget, Input, Training, Trial
from conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "data" / "README.md"]

RETIRED = {
    r"(hand|hands|handed|handing) on": "select",
    r"(go|goes|going|gone|went) on": "continue, be selected",
    r"begun|anew": "started, again",
    r"chosen trials?": "selected trial",
    r"what (it|they|\w+ stages?) came to": "result",
    r"what came in|model that came in": "incumbent",
    r"(cannot|can not|could not|can) be told": "inconclusive",
    r"not distinguishable|undecided|within noise": "inconclusive",
    r"worth a word|have been enough": "conclusive",
    r"judgements?": "result of a claim",
    r"defects?|slips?|put back": "mistake, with it",
    r"set[ -]aside|torn": "quarantined, damaged",
    r"strangers?|hostile": "untrusted, malicious",
    r"left out of|without further word": "skipped, by default",
    r"(is|are|was|were) told (how|of|by|from|when|which)": "receive, differ",
    r"is looked for": "search, check",
    r"die[sd]? of|last words": "end, fail, exit message",
    r"in the place of": "instead of",
    r"held against|flatters?": "compared with, is optimistic",
    r"(has|have|had) no say|hangs on": "does not influence",
    r"of one's own": "your own, custom",
    r"turned round|sees? to it|give leave|to mend": "reversed, ensure, allow, fix",
    r"whole or not at all|nothing lost": "atomically",
    r"under way|for ever": "in progress, forever",
}
"""Phrase (a regular expression, whole words) to what to write instead. Only phrases without another honest use."""

READ = ["src/**/*.py", "src/**/*.j2", "src/**/*.js", "notebooks/*.ipynb", "benchmarks/*.py", "*.md", "docs/*.md"]


@cache
def words(path):
    """The text of a file on one line, also where a sentence is split over strings, comment lines or cells."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        text = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    if path.suffix == ".md":
        text = re.sub(r"`[^`\n]+`", "", text)  # names in code style may be old ones, as in the changelog
    text = re.sub(r'(["\'])\s*\n\s*f?\1', "", text)
    return " ".join(re.sub(r"\n\s*#", "\n", text).split())


def prose(path):
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(path):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_has_at_most_150_lines():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_a_heading(page):
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)) if "://" not in link]
    for link in links:
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


ORDER = (
    "cli", "lab", "report", "tuning", "engine", "models", "records", "data", "study", "evidence", "files",
    "surroundings", "errors",
)  # fmt: skip
MARKS = "<!-- packages -->", "<!-- /packages -->"


def diagram():
    """Each package from the top down: its modules, and the packages that they import."""
    graph = grimp.build_graph("cnnlab", cache_dir=None)
    lines = []
    for name in ORDER:
        package = f"cnnlab.{name}"
        modules = sorted(child.rpartition(".")[2] for child in graph.find_children(package))
        inside = {package, *graph.find_descendants(package)}
        imported = {target for module in inside for target in graph.find_modules_directly_imported_by(module)} - inside
        below = sorted({target.split(".")[1] for target in imported if "." in target}, key=ORDER.index)
        lines.append(f"{name:13}{' '.join(modules) or '(one module)'}")
        lines.append(f"{'':13}-> {' '.join(below) or 'nothing of cnnlab'}")
    return "\n".join(("```", *lines, "```"))


def test_the_diagram_of_the_packages_is_made_from_the_code():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    shown = page.partition(MARKS[0])[2].partition(MARKS[1])[0].strip()
    assert shown == diagram(), "`python tests/test_docs.py` renews it"


STUDIES = ROOT / "docs" / "studies.md"


def blocks(page, language):
    """The code blocks of a page in one language, without the indent of a list."""
    pattern = rf"^( *)```{language}\n(.*?)^\1```"
    found = re.findall(pattern, page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [re.sub(f"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def table(page, first):
    """The rows of a page's tables whose first column has this heading, each as its cells by their headings."""
    rows, header = [], []
    for line in prose(page).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells or cells[0].startswith("---"):
            header = header if cells else []
        elif not header:
            header = cells
        elif header[0] == first:
            rows.append(dict(zip(header, cells, strict=True)))
    return rows


def expected_value(name):
    """What the error about an impossible value of a setting says that it may be, in the words of a study file."""
    with pytest.raises(ConfigError) as caught:
        Trial().change(**{name: {}})
    text = re.match(rf"Expected {name} to be (.*?)(, or None)?\. Received", str(caught.value))[1]
    return text.replace("True or False", "true or false")


def test_the_table_of_settings_is_that_of_the_code():
    """It has each setting with the values that the code accepts, and its default."""
    rows = {row["setting"].strip("`"): row for row in table(STUDIES, "setting")}
    fields = [field for part in (Architecture, Training, Input) for field in attrs.fields(part)]
    assert list(rows) == [field.name for field in fields]
    assert {name: row["value"] for name, row in rows.items()} == {name: expected_value(name) for name in rows}
    of_budget = {field.name for field in dataclasses.fields(Budget)}
    for field in fields:
        default = rows[field.name]["default"]
        if field.name in of_budget:
            assert default == "the budget's", field.name
        elif field.default is None:
            assert not default.startswith("`"), field.name
        else:
            value = tomllib.loads(f"default = {default.strip('`')}")["default"]
            assert (tuple(value) if isinstance(value, list) else value) == field.default, field.name


NUMBERS = {
    "seeds": "seeds", "epochs": "epochs", "patience": "patience", "training images": "train",
    "validation images": "val", "test images": "test", "batch size": "batch_size",
}  # fmt: skip
"""Heading of a column of a table of profiles to the number of a budget."""


@pytest.mark.parametrize("page", ["README.md", "docs/budgets.md"])
def test_the_table_of_profiles_is_that_of_the_code(page):
    rows = {row["profile"].strip("`"): row for row in table(ROOT / page, "profile")}
    assert list(rows) == list(study.PROFILES)
    for name, budget in study.PROFILES.items():
        numbers = {heading: cell for heading, cell in rows[name].items() if heading in NUMBERS}
        assert numbers == {heading: f"{getattr(budget, NUMBERS[heading]):,}" for heading in numbers}
        assert rows[name]["expensive trials"] == ("run" if budget.expensive else "skipped")


def test_the_studies_of_the_docs_can_be_read(tmp_path):
    """All are read but one, whose mistakes are those that the page shows; the functions return a model."""
    [source] = [text for text in blocks(STUDIES, "python") if "def build" in text]
    (tmp_path / "my_models.py").write_text(source, encoding="utf-8")
    shown = STUDIES.read_text(encoding="utf-8")
    flowers, ingredients, wrong, residual, search = blocks(STUDIES, "toml")
    assert study.notes(study.parse(ingredients, tmp_path / "ingredients.toml"), study.PROFILES["quick"]) == []
    for text, name in ((flowers, "mine"), (residual, "residual")):
        made = study.parse(text, tmp_path / f"{name}.toml")
        trials = sum(len(stage.trials) for stage in made.stages)
        claims = f"{len(made.claims)} claim{'' if len(made.claims) == 1 else 's'}"
        counts = f"{name}.toml: {len(made.stages)} stages, {trials} trials, {claims}. No errors."
        assert counts in shown
    found = study.parse(f"{flowers}\n{search}", tmp_path / "search.toml").stage(study.SEARCH).search
    assert [dimension.setting for dimension in found.space] == [
        "filters", "dropout", "learning_rate", "dense_units",
    ]  # fmt: skip
    for text in blocks(ROOT / "README.md", "toml"):
        assert study.parse(text, tmp_path / "short.toml").stages
    with pytest.raises(StudyError) as caught:
        study.parse(wrong, tmp_path / "wrong.toml")
    assert re.findall(r"^cnnlab: wrong\.toml: (.*)$", shown, re.MULTILINE) == caught.value.problems
    [cell] = [text for text in blocks(STUDIES, "python") if "def my_net" in text]
    for text, name in ((source, "build"), (cell, "my_net")):
        module = {}
        exec(text, module)
        assert module[name](input_shape=(32, 32, 3), n_classes=7).output_shape == (None, 7)


TABLES = ROOT / "docs" / "tables.md"


def test_every_column_of_the_tables_of_a_report_is_explained(tmp_path):
    explained = {name for row in table(TABLES, "column") for name in re.findall(r"`([a-z_0-9]+)`", row["column"])}
    kept = {path.name: path.read_text().partition("\n")[0] for path in ROOT.glob("benchmarks/results/sample/*.csv")}
    assert {"results.csv", "decisions.csv", "comparisons.csv", "mistakes.csv", "claims.csv"} <= set(kept)
    columns = {name for header in kept.values() for name in header.split(",")}
    of_search = {"number", "part", "reason", "is_winner", "cost", "unit", "runs"}
    assert columns <= explained
    assert explained <= columns | of_search


def test_the_citation_names_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["title"], citation["version"]) == ("cnnlab", cnnlab.__version__)


@pytest.mark.parametrize("phrase", RETIRED)
def test_retired_phrases_are_not_used(phrase):
    files = {path for pattern in READ for path in ROOT.glob(pattern)} | {ROOT / "data" / "README.md"}
    found = [
        f"{path.relative_to(ROOT)}: ...{words(path)[max(match.start() - 40, 0) : match.end() + 40]}..."
        for path in sorted(files)
        for match in re.finditer(rf"\b({phrase})\b", words(path), re.IGNORECASE)
    ]
    assert not found, f"Write {RETIRED[phrase]!r} instead:\n" + "\n".join(found)


if __name__ == "__main__":
    architecture = ROOT / "docs" / "architecture.md"
    before, _, rest = architecture.read_text(encoding="utf-8").partition(MARKS[0])
    text = f"{before}{MARKS[0]}\n{diagram()}\n{MARKS[1]}{rest.partition(MARKS[1])[2]}"
    architecture.write_text(text, encoding="utf-8")
