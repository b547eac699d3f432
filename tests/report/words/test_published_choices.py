"""What the published table says about itself, against what was counted by hand."""

import numpy as np
import pytest

from cnnlab.report import words
from cnnlab.study import published_fits


def test_replicates_are_found_from_the_settings_that_really_ran():
    groups = {tuple(fit.fit for fit in group) for group in words.replicates()}
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
    sd, freedom = words.noise()
    assert freedom == 11
    assert round(sd, 4) == 0.0152
    assert words.least_difference() == pytest.approx(2.201 * np.sqrt(2) * sd, rel=1e-3)


def test_every_choice_is_held_against_the_best_other_trial_and_the_model_before():
    choices = {choice.stage: choice for choice in words.choices()}
    assert len(choices) == 11
    dense = choices["dense"]
    f1 = {fit.trial: fit.test_f1 for fit in published_fits() if fit.stage == "dense"}
    assert (dense.published_choice, dense.rival) == ("128", "512")
    assert dense.lead == pytest.approx(f1["128"] - f1["512"])
    assert dense.gain == pytest.approx(f1["128"] - 0.795208)
    assert choices["depth"].rival == ""
    assert np.isnan(choices["depth"].lead)
