"""The study's table holds together, and with the published fits."""

import pytest

from cnnlab.errors import ConfigError
from cnnlab.study import STAGES, UNCHANGED, find_stage, published_fits


def test_the_published_study_has_51_fits_each_of_a_known_trial():
    fits = published_fits()
    assert len(fits) == 51
    for fit in fits:
        assert fit.trial in {v.name for v in find_stage(fit.stage).trials} | {UNCHANGED}


def test_every_published_stage_has_fits_and_a_pick_among_its_trials():
    published = [stage for stage in STAGES if stage.published_choice]
    assert [stage.name for stage in published] == list(dict.fromkeys(fit.stage for fit in published_fits()))
    for stage in published:
        assert stage.published_choice in {v.name for v in stage.trials} | {UNCHANGED}


def test_a_stage_changes_only_the_settings_of_its_axis():
    for stage in STAGES:
        for variant in stage.trials:
            assert set(variant.changes) <= set(stage.axis)


def test_an_unknown_stage_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"base, depth.*Received: 'pooling'"):
        find_stage("pooling")
