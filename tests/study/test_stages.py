"""The table of stages is consistent, and agrees with the published fits."""

import pytest

from cnnlab.errors import ConfigError
from cnnlab.study import STAGES, UNCHANGED, find_stage, published_fits


def names(stage):
    return {trial.name for trial in stage.trials} | {UNCHANGED}


def test_published_fits():
    """The published study has 51 fits, each of a known trial."""
    fits = published_fits()
    assert len(fits) == 51
    for fit in fits:
        assert fit.trial in names(find_stage(fit.stage))


def test_published_choices():
    """Every published stage has fits, and its choice is one of its trials."""
    published = [stage for stage in STAGES if stage.published_choice]
    assert [stage.name for stage in published] == list(dict.fromkeys(fit.stage for fit in published_fits()))
    for stage in published:
        assert stage.published_choice in names(stage)


def test_axis():
    """A stage changes only the settings of its axis."""
    for stage in STAGES:
        for trial in stage.trials:
            assert set(trial.changes) <= set(stage.axis)


def test_trial_names():
    """A trial of a single setting has its value as its name."""
    trials = {trial.name: trial.changes for trial in find_stage("dropout").trials}
    assert trials["0.2-0.3-0.4-0.5"] == {"dropout": (0.2, 0.3, 0.4, 0.5)}
    rates = {trial.name: trial.changes for trial in find_stage("learning-rate").trials}
    assert rates["0.0001"] == {"learning_rate": 0.0001}


def test_unknown_stage():
    with pytest.raises(ConfigError, match=r"base, depth.*Received: 'pooling'"):
        find_stage("pooling")
