"""The glossary explains each term once, in plain sentences, and finds it in a text."""

import re

import pytest

from cnnlab.report import words
from cnnlab.report.page.glossary import TERMS


@pytest.mark.parametrize("name", TERMS)
def test_a_term_is_found_by_its_own_name_and_explained_in_plain_sentences(name):
    pattern, definition = TERMS[name]
    assert re.search(pattern, name)
    assert definition.endswith(".")
    assert not re.search(r"[*`<>&]", definition), "plain text"
    without_sources = re.sub(r"\([^)]*\d{4}[^)]*\)|\d\.\d+", "", definition)
    assert without_sources.count(". ") <= 1, "at most two sentences"


def test_the_terms_are_in_alphabetical_order():
    assert list(TERMS) == sorted(TERMS, key=lambda name: name.lower().replace("_", " ").replace("-", " "))


@pytest.mark.parametrize(
    ("name", "text", "occurrences"),
    [
        ("run", "Each run has a seed; to run it again, run 3 runs of running code, one run each", 3),
        ("stage", "Stage by stage, upstaged", 2),
        ("seed", "Seeds, seeded, seeds needed", 1),
        ("standard error", "one standard error, the standard error", 1),
        ("one-standard-error rule", "within one standard error of it", 1),
        ("draw", "drawn, drawing, the draw", 1),
        ("incumbent", "an incumbent that is unchanged", 2),
        ("not learned", "“a” has not learned, no other trial has learned, it learned", 2),
        ("standard deviation", "0.812 ± 0.004", 1),
        ("published study", "published", 1),
        ("selected", "selects, selected, a selection, a selector", 3),
    ],
)
def test_a_pattern_finds_whole_words(name, text, occurrences):
    assert len(re.findall(TERMS[name].pattern, text)) == occurrences


def test_the_settings_of_the_report_that_a_definition_names_are_the_real_ones():
    assert f"more than {words.stage.OVERFITTING:g} points" in TERMS["overfitting"].definition
