"""What is said of noise follows from the published table and from the runs."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from cnnlab import evidence
from cnnlab.report import words
from cnnlab.study import PROTOCOLS, published_fits
from conftest import make_record, make_result


def test_the_published_noise_and_choices_are_told_from_the_table():
    told = words.published_noise().data
    assert "**0.0152** (11 degrees of freedom)" in told
    assert "**0.047**" in told
    choices, survivors = words.published_choices()
    assert choices.data.count("<tr>") == 11
    assert "**1 of 11**: depth. Of loss it cannot be said" in survivors.data
    assert words.replicate_table().data.count("<tr>") == 8


def test_our_noise_is_told_at_the_last_and_at_the_best_epoch():
    result = make_result("base", base=(0.50, 0.54))
    for seed, accuracies in ((1, [0.1, 0.50, 0.40]), (2, [0.1, 0.51, 0.48])):
        history = {"loss": [1, 1, 1], "accuracy": [0, 0, 0], "val_loss": [2, 1, 3], "val_accuracy": accuracies}
        old = result.runs["base", seed]
        result.runs["base", seed] = make_record(
            result.selected.settings, seed, history=history, best_epoch=2, scores=old.scores
        )
    told = words.our_noise(SimpleNamespace(protocol=PROTOCOLS["corrected"]), [result]).data
    assert "**0.0283** (1 degrees of freedom" in told
    assert "**0.0566** at their last epoch" in told
    assert "**0.0071** at the epoch" in told
    assert "87 % less. (0 % of the runs ended with that epoch.)" in told


def test_one_seed_says_nothing_about_our_noise():
    told = words.our_noise(SimpleNamespace(protocol=PROTOCOLS["corrected"]), [make_result("base", base=(0.5,))]).data
    assert "say nothing about noise" in told


def test_choosing_by_one_run_is_told_with_its_optimism():
    result = make_result("dense", old=(0.50, 0.60, 0.50), new=(0.55, 0.55, 0.65))
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    guesses = rng.integers(0, 2, (6, 40))
    tuning = SimpleNamespace(predictions=lambda found, part: (labels, guesses[: len(found)], 2))
    told = words.selection(tuning, [result, make_result("base", base=(0.5, 0.6, 0.7))]).data
    rise = evidence.optimism(labels, guesses.reshape(2, 3, 40), 2)
    assert f"**{100 * rise:.1f} points**" in told
    assert "over 1 stages" in told
    # new has the best mean, and is ahead with the seeds 1 and 3.
    assert "**2 of 3**" in told
    assert "nothing can be said" in words.selection(tuning, [make_result("base", base=(0.5, 0.6))]).data


def test_published_fits_agree_within_two_standard_deviations_of_a_difference():
    result = make_result("dense", old=(0.80, 0.84), new=(0.40, 0.44))
    fit = published_fits()[0]
    trials = tuple(replace(c, published=replace(fit, test_f1=0.86)) for c in result.trials)
    fits, told = words.agreement_table([replace(result, trials=trials)])
    # The SD of one of our runs is 0.0283; of the difference to their mean, 0.0346; 0.86 is 0.04 above 0.82.
    assert "<td>0.069</td>" in fits.data
    assert re.findall("<td>(yes|no)</td>", fits.data) == ["yes", "no"]
    assert "1 of 2 fits agree" in told.data
