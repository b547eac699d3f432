"""The picture of which settings matter shows each setting's importance and the noise floor, also in words."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from cnnlab.evidence import Importance, SettingImportance
from cnnlab.report import plots

MADE = Importance(
    (
        SettingImportance("learning_rate", 0.02, 0.01, 0.03, True),
        SettingImportance("dropout", 0.001, -0.001, 0.003, False),
    ),
    floor=0.004,
    r2=0.456,
    n=40,
)
STRONG = "learning_rate +0.0200 (+0.0100 to +0.0300)"
WEAK = "dropout +0.0010 (-0.0010 to +0.0030), no importance shown"


def marks(picture):
    """The marks of the picture for a screen and of the one for a phone, by their texts."""
    return [{one.get("aria-label"): one for one in svg.iter("g")} for svg in ElementTree.fromstring(picture.html)]


def test_each_setting_and_the_noise_floor_have_their_values_in_words():
    picture = plots.importance(MADE)
    for found in marks(picture):
        assert list(found) == ["noise floor 0.0040", STRONG, WEAK]
    assert f"{STRONG}; {WEAK}. Noise floor 0.0040." in picture.alt
    assert all(text in picture.numbers for text in ("learning_rate", "+0.0200", "-0.0010", "yes", "no"))


def test_a_setting_that_is_not_shown_to_matter_is_grey():
    for found in marks(plots.importance(MADE)):
        colours = {text: {path.get("fill") or path.get("stroke") for path in mark} for text, mark in found.items()}
        assert "var(--c0)" in colours[STRONG]
        assert "var(--c0)" not in colours[WEAK]
        assert "var(--soft)" in colours[WEAK]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["x" * 90, "a|`b` <&>", "\u732b" * 30])
def test_any_name_and_no_importance_at_all_are_drawn(name):
    zero = SettingImportance(name, 0.0, 0.0, 0.0, False)
    picture = plots.importance(replace(MADE, settings=(zero,), floor=0.0, r2=0.0))
    assert picture.png.startswith(b"\x89PNG")
    assert len(marks(picture)) == 2
