"""All checks together, on the built-in sample and on images with known warnings."""

from dataclasses import replace

import pytest

from cnnlab import data
from cnnlab.data import DataWarning, sample
from cnnlab.data.checks import KINDS, accepted_kinds
from cnnlab.errors import ConfigError
from cnnlab.study import PROFILES


@pytest.mark.parametrize("budget", PROFILES.values(), ids=PROFILES)
def test_the_sample_gives_no_warning(budget):
    colour = sample.make()
    for dataset in (colour, data.gray(colour)):
        assert data.check(dataset, data.split(dataset, "stratified", budget.train, budget.val, budget.test)) == []


def test_warnings_that_are_accepted_are_not_given(gray):
    spoilt = replace(
        gray, test_images=gray.train_images[:100], warnings=(DataWarning("unread-files", "x.bin is not read."),)
    )
    split = data.split(spoilt, "stratified", 100, 40, 100)
    kinds = [warning.name for warning in data.check(spoilt, split)]
    assert kinds == ["unread-files", "test-copies", "small-classes"]
    assert [warning.name for warning in data.check(spoilt, split, kinds[1:])] == kinds[:1]
    assert data.check(spoilt, split, kinds) == []


def test_kinds_that_a_user_accepts():
    assert accepted_kinds(["", " layout"]) == {"layout"}
    with pytest.raises(ConfigError, match=f"named {', '.join(KINDS)}. Received: 'layuot'"):
        accepted_kinds(["layuot"])
