"""A report of a user's own study: it shows what the study says, as text, and nothing of the published study."""

import csv
import hashlib
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup

from browsers import chromium, opened
from cnnlab.errors import ConfigError
from cnnlab.report import build
from cnnlab.tuning import Tuning
from conftest import ROOT

pytestmark = pytest.mark.slow

MARKUP = "<b>x</b> & *y* _z_ `c` $d$ $e$ [f](javascript:g) | </h1><script>top.h</script>"
LONG = "long" * 500
STUDY = f"""\
title = '{MARKUP}'
images = "Digits, {LONG}."
start = {{ filters = [4], dense_units = 4 }}

[[stage]]
name = "dense"
title = 'Units: {MARKUP}'
question = '# How many? {MARKUP}'
why = '''- {MARKUP}

{LONG}'''
trials = {{ '{MARKUP}' = {{ dense_units = 6 }}, "same" = {{ dense_units = 6 }} }}

[[stage]]
name = "rate"
vary = "learning_rate"
values = [0.002]

[[claim]]
says = 'It helps. {MARKUP}'
better = ["rate", "0.002"]
than = ["rate", "incumbent"]
"""
WORDS = ["report", "--profile", "smoke", "--seeds", "2", "--train", "60"]


def command(place, folder, engine):
    words = [*WORDS, "--scheduler", engine.address, "--study", place / "mine.toml", "--data", folder]
    words += ["--runs", place / "runs", "--report", place / "out"]
    done = subprocess.run(
        [sys.executable, "-m", "cnnlab", *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def made(folder, shared_engine, tmp_path_factory):
    """The folder of the study and its report, and the finished command."""
    place = tmp_path_factory.mktemp("own")
    (place / "mine.toml").write_text(STUDY, encoding="utf-8")
    return place, command(place, folder, shared_engine)


@pytest.fixture(scope="module")
def page(made):
    return BeautifulSoup((made[0] / "out" / "index.html").read_text(encoding="utf-8"), "html.parser")


def manifest(place):
    return json.loads((place / "out" / "manifest.json").read_bytes())


def one_line(element):
    return " ".join(element.get_text().split())


def test_what_a_study_says_is_shown_letter_by_letter(page):
    assert page.title.get_text() == one_line(page.h1) == MARKUP
    assert f"Digits, {LONG}." in one_line(page.select_one("#answer"))
    chapter = page.select_one("#dense")
    start, _, end = one_line(chapter.h2).removesuffix(": no trial has learned #").partition("…")
    assert len(start) > 10 and len(end) > 10
    assert f"Units: {MARKUP}".startswith(start)
    assert f"Units: {MARKUP}".endswith(end)
    paragraphs = [one_line(paragraph) for paragraph in chapter.select("p")]
    assert f"# How many? {MARKUP}" in paragraphs
    assert f"- {MARKUP} {LONG}" in paragraphs
    assert MARKUP in [one_line(name) for name in chapter.select("td .trial")]
    assert f"Units: {MARKUP}" in [one_line(link) for link in page.select("nav a")]
    assert f"It helps. {MARKUP}" in [one_line(cell) for cell in page.select("#all-claims td")]


def test_what_a_study_says_makes_no_markup(page):
    assert len(page.find_all("script")) == 1
    assert not page.select("main b, a[href^=javascript]")
    emphasised = {element.get_text() for element in page.select("main :is(strong, em, code)")}
    assert not emphasised & {"x", "y", "z", "c", "d", "f"}


def test_a_stage_without_title_and_question_is_called_by_its_name(page):
    assert one_line(page.select_one("#rate h2")).startswith("Rate: ")


def test_there_is_nothing_of_the_published_study(page, made):
    for word in ("CNN-", "published F1", "published choice", "published study", "CIFAR"):
        assert word not in page.get_text()
    chapters = ["data", "dense", "rate", "comparison", "noise"]
    assert [section["id"] for section in page.select("section.chapter")] == [*chapters, "all-runs", "how", "glossary"]
    assert "published" not in made[1].stdout
    for name, columns in (("results", ["published_f1"]), ("decisions", ["published_choice", "agrees"])):
        with (made[0] / "out" / f"{name}.csv").open(newline="") as stream:
            found = list(csv.DictReader(stream))
        assert found
        for column in columns:
            assert {row[column] for row in found} == {""}


def test_the_report_holds_the_study_and_names_it(made, page):
    copied = (made[0] / "out" / "study.toml").read_bytes()
    assert copied == STUDY.encode()
    about = manifest(made[0])["study"]
    assert about == {"title": MARKUP, "built_in": False, "sha256": hashlib.sha256(copied).hexdigest()}
    assert about["sha256"] in page.select_one("#how").get_text()
    budget = manifest(made[0])["budget"]
    assert (budget["profile"], budget["seeds"], budget["train"]) == ("smoke", 2, 60)
    assert "Profile smoke, seeds 2, train 60, protocol corrected" in one_line(page.select_one("#how p"))


def test_after_a_stop_the_study_can_be_corrected_and_its_report_made_in_the_same_folder(folder, tmp_path):
    (tmp_path / "mine.toml").write_text(STUDY)
    with Tuning(folder, tmp_path / "runs", "smoke", study=tmp_path / "mine.toml") as tuning:
        build._prepare(tmp_path / "out")
        build._write_study(tuning, tmp_path / "out")  # and here it is stopped
    (tmp_path / "mine.toml").write_text(STUDY + "\n# corrected\n")
    with Tuning(folder, tmp_path / "runs", "smoke", study=tmp_path / "mine.toml") as tuning:
        build._check(tuning, tmp_path / "out", ROOT / "notebooks")
        (tmp_path / "out" / "manifest.json").unlink()
        with pytest.raises(ConfigError, match=r"whose study\.toml would be replaced"):
            build._check(tuning, tmp_path / "out", ROOT / "notebooks")


def test_the_notebooks_read_the_copy_which_no_editor_changes(made):
    for path in (made[0] / "out" / "notebooks").iterdir():
        cells = nbformat.read(path, as_version=4).cells
        [parameters] = [cell.source for cell in cells if "injected-parameters" in cell.metadata.get("tags", [])]
        assert f'study = "{made[0] / "out" / "study.toml"}"' in parameters
        assert 'budget = {"profile": "smoke", "seeds": 2, "train": 60}' in parameters


def test_a_note_about_the_study_is_a_line_before_the_first_run(made):
    lines = made[1].stderr.splitlines()
    assert lines[0].startswith("study: ")
    assert "'same'" in lines[0]
    assert "shares its runs" in lines[0]


def test_a_long_word_makes_the_page_no_wider_than_a_phone(made):
    with opened(chromium("how wide a long word is")) as browser:
        shown = browser.new_page(viewport={"width": 360, "height": 740})
        shown.goto((made[0] / "out" / "index.html").as_uri(), timeout=120_000)
        assert shown.evaluate("document.documentElement.scrollWidth") == 360


def test_the_command_in_the_manifest_repeats_the_report(made):
    """In another folder, from the stored runs and the copy of the study alone."""
    repeat = manifest(made[0])["repeat"]["command"]
    program, target, *variables = shlex.split(repeat)
    assert (program, target) == ("make", "report")
    here = ["--old-file=.venv/.ready", f"BIN={Path(sys.executable).parent}"]
    more = [f"RUNS={made[0] / 'runs'}", f"REPORT={made[0] / 'again'}"]
    environment = {name: value for name, value in os.environ.items() if name not in ("SCHEDULER", "FRESH", "HALVING")}
    done = subprocess.run(
        [program, target, *here, *variables, *more],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    again = json.loads((made[0] / "again" / "manifest.json").read_bytes())
    assert again["runs_made_now"] == 0
    for part in ("study", "budget", "splits", "seeds", "runs"):
        assert again[part] == manifest(made[0])[part]
    assert (made[0] / "again" / "results.csv").stat().st_size > 0
    assert (made[0] / "again" / "decisions.csv").read_bytes() == (made[0] / "out" / "decisions.csv").read_bytes()


def test_a_changed_study_leaves_no_chapter_of_the_old_one(made, folder, engine):
    """The last test of the report: it is made again, with another title and one stage less."""
    start, stages = STUDY.split("[[stage]]", 1)
    rest = stages.split("[[stage]]")[1].split("[[claim]]")[0]
    changed = f"{start.replace(MARKUP, 'Only the rate')}[[stage]]{rest}"
    (made[0] / "mine.toml").write_text(changed, encoding="utf-8")
    command(made[0], folder, engine)
    names = sorted(path.name for path in (made[0] / "out" / "notebooks").iterdir())
    assert names == ["01-data.ipynb", "02-rate.ipynb", "03-comparison.ipynb", "04-noise.ipynb"]
    page = BeautifulSoup((made[0] / "out" / "index.html").read_text(encoding="utf-8"), "html.parser")
    assert page.h1.get_text() == "Only the rate"
    assert not page.select("#dense, #all-claims")
    assert (made[0] / "out" / "study.toml").read_text(encoding="utf-8") == changed
    assert manifest(made[0])["missing"] == {}
