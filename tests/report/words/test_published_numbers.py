"""The noise of the published study, against what was counted by hand."""

import numpy as np
import pytest

from cnnlab.report.words import published
from cnnlab.study import published_fits


def test_replicates_have_the_same_settings():
    """As the fits really ran, whatever they are called."""
    groups = {tuple(fit.fit for fit in group) for group in published.replicates()}
    assert groups == {
        ("CNN-4_v2", "CNN-4_v4"),
        ("CNN-4_v3", "CNN-4_v5"),
        ("CNN-5_v1", "CNN-6_v2"),
        ("CNN-6_v3", "CNN-7_v1"),
        ("CNN-7_v4", "CNN-8 Adam", "CNN-8_v1", "CNN-8_v2 lr=0.001"),
        ("CNN-8_v2 lr=0.0004", "CNN-8_v3 bs=64"),
        ("CNN-8_v3 bs=32", "CNN-8_v4"),
        ("CNN-8_v3 bs=128", "CNN-8 sparse_categorical_crossentropy", "CNN-9_v1 no aug"),
    }


def test_their_pooled_sd_is_0_0152_with_11_degrees_of_freedom():
    sd, dof = published.published_sd()
    assert dof == 11
    assert round(sd, 4) == 0.0152
    assert published.noise_limit() == pytest.approx(2.201 * np.sqrt(2) * sd, rel=1e-3)


def test_every_choice_is_compared_with_the_best_other_trial_and_the_previous_stage():
    choices = published.published_choices().set_index("stage")
    assert len(choices) == 11
    dense = choices.loc["dense"]
    f1 = {fit.trial: fit.test_f1 for fit in published_fits() if fit.stage == "dense"}
    assert (dense["choice"], dense["best other trial"]) == ("128", "512")
    assert dense["difference"] == pytest.approx(f1["128"] - f1["512"])
    assert dense["gain"] == pytest.approx(f1["128"] - 0.795208)
    depth = choices.loc["depth"]
    assert depth["best other trial"] == ""
    assert np.isnan(depth["difference"])
    assert choices["leads"].drop(["depth", "loss"]).eq("no").all()
    assert (depth["leads"], choices.loc["loss", "leads"]) == ("yes", "unknown")
