"""A study is an ordered list of stages."""

from pathlib import Path

import pytest

from cnnlab.errors import ConfigError
from cnnlab.study import Stage, TrialSpec, built_in, parse


def test_settings_of_a_stage():
    """They are those that its trials change; a stage that varies the kind of images is about colour."""
    stage = Stage("a", "A", trials=(TrialSpec("x", {"epochs": 1}), TrialSpec("y", {"epochs": 2, "patience": 1})))
    assert stage.settings == ("epochs", "patience")
    assert not stage.on_colour
    assert Stage("b", "B", trials=(TrialSpec("x", {"colour": True}),)).on_colour
    assert [stage.name for stage in built_in().stages if stage.on_colour] == ["colour"]


def test_digest():
    """It is that of the text: a changed comment makes another report, but no other runs."""
    text = "[[stage]]\nname = 'a'\n"
    study, other = (parse(text + more, Path("mine.toml")) for more in ("", "# mine\n"))
    assert study.digest != other.digest
    assert study.stages == other.stages
    assert study.digest == parse(text, Path("renamed.toml")).digest


def test_unknown_stage():
    with pytest.raises(ConfigError, match=r"base, depth.*Received: 'pooling'"):
        built_in().stage("pooling")
    for name in (None, 3, [], ""):
        with pytest.raises(ConfigError, match="Expected a stage named base"):
            built_in().stage(name)


def test_the_difference_that_matters_is_two_points_unless_the_study_says_otherwise():
    text = "[[stage]]\nname = 'a'\n"
    assert parse(text, Path("mine.toml")).matters == built_in().matters == 0.02
    assert parse("matters = 0.1\n" + text, Path("mine.toml")).matters == 0.1
