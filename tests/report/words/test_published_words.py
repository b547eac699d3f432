"""Sentences about noise follow from the published table and from the runs."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from cnnlab import evidence
from cnnlab.report import words
from cnnlab.study import PROTOCOLS, published_fits
from conftest import make_record, make_result


def study_of(*, published):
    """A study under the corrected protocol that the published one concerns, or does not."""
    scope = SimpleNamespace(has_published=published)
    return SimpleNamespace(protocol=PROTOCOLS["corrected"], scope=scope, images=images_of(given_val=False))


def images_of(*, given_val):
    """Images of ten classes that are equally frequent."""
    return SimpleNamespace(
        has_given_val=given_val,
        dataset=lambda colour: SimpleNamespace(train_labels=np.arange(20) % 10),
        split=lambda dataset, seed: SimpleNamespace(val=np.arange(20)),
    )


CORRECTED = study_of(published=True)


def test_the_published_noise_and_choices_follow_from_the_table():
    noise = words.published_noise_summary().data
    assert "19 of its fits are only 8 models" in noise
    assert "**0.0152** (11 degrees of freedom)" in noise
    assert "**0.047**" in noise
    choices, summary = words.published_choices_report()
    assert choices.data.count("<tr>") == 11
    assert "**1 of 11** choices lead: depth." in summary.data
    assert "Unknown for loss:" in summary.data
    assert words.replicates_table().data.count("<tr>") == 8


def test_our_noise_is_measured_at_the_last_and_at_the_best_epoch():
    result = make_result("base", base=(0.50, 0.54))
    for seed, accuracies in ((1, [0.1, 0.50, 0.40]), (2, [0.1, 0.51, 0.48])):
        history = {"loss": [1, 1, 1], "accuracy": [0, 0, 0], "val_loss": [2, 1, 3], "val_accuracy": accuracies}
        old = result.runs["base", seed]
        result.runs["base", seed] = make_record(
            result.selected.settings, seed, history=history, best_epoch=2, scores=old.scores
        )
    summary = words.our_noise_summary(CORRECTED, [result]).data
    assert "**0.0283** (1 degree of freedom, from 1 trial)" in summary
    assert "**0.0566** at the last epoch" in summary
    assert "**0.0071** at the epoch" in summary
    assert "87 % less. For 0 % of the runs these are the same epoch." in summary
    assert words.our_noise_summary(CORRECTED, [result, result]).data == summary, "a shared run counts once"


def test_our_noise_is_held_against_the_published_one_only_on_its_images():
    result = make_result("base", base=(0.50, 0.54))
    assert "1.9 times that of the published fits" in words.our_noise_summary(CORRECTED, [result]).data
    assert "a smaller test set alone" in words.our_noise_summary(CORRECTED, [result]).data
    for seed, record in ((seed, result.runs["base", seed]) for seed in (1, 2)):
        result.runs["base", seed] = replace(record, split={**record.split, "test": 10_000})
    assert "a smaller test set" not in words.our_noise_summary(CORRECTED, [result]).data
    assert "published" not in words.our_noise_summary(study_of(published=False), [result]).data


def test_our_noise_says_what_differs_between_runs():
    result = make_result("base", base=(0.50, 0.54))
    assert "Between runs of one trial, only the seed differs." in words.our_noise_summary(CORRECTED, [result]).data
    for seed in (1, 2):
        record = result.runs["base", seed]
        result.runs["base", seed] = replace(record, split={**record.split, "digest": f"{seed}"})
    assert (
        "the seed and the training and validation images differ." in words.our_noise_summary(CORRECTED, [result]).data
    )
    given = SimpleNamespace(**vars(CORRECTED) | {"images": images_of(given_val=True)})
    assert "the seed and the training images differ." in words.our_noise_summary(given, [result]).data


def test_our_noise_leaves_out_trials_of_which_a_run_is_no_better_than_guessing():
    results = [make_result("base", base=(0.50, 0.54)), make_result("dense", old=(0.50, 0.54), new=(0.10, 0.50))]
    lucky = results[1].runs["new", 1]
    results[1].runs["new", 1] = replace(lucky, scores=lucky.scores | {"val_accuracy": 0.1})
    summary = words.our_noise_summary(CORRECTED, results).data
    assert words.our_noise_summary(CORRECTED, results[:1]).data.split(".")[1] == summary.split(".")[1]
    assert "Left out: 1 trial of which a run is no better than guessing." in summary
    only = replace(results[1], trials=results[1].trials[1:])
    assert "say nothing about noise" in words.our_noise_summary(CORRECTED, [only]).data


def test_the_appendix_says_how_to_compare_runs_with_the_published_ones():
    on_cifar10, elsewhere = (words.published_intro(study_of(published=one)).data for one in (True, False))
    assert "make data" not in on_cifar10
    assert elsewhere.startswith(on_cifar10)
    assert "`make data`, then `make report DATA=data/cifar10`" in elsewhere


def test_one_seed_says_nothing_about_our_noise():
    assert "say nothing about noise" in words.our_noise_summary(CORRECTED, [make_result("base", base=(0.5,))]).data


def test_selecting_by_one_run_is_optimistic(monkeypatch):
    result = make_result("dense", old=(0.50, 0.60, 0.50), new=(0.56, 0.56, 0.65))
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    predicted = rng.integers(0, 2, (6, 40))
    monkeypatch.setattr(
        words.published, "read_predictions", lambda store, records, part: (labels, predicted[: len(records)], 2)
    )
    tuning = SimpleNamespace(store=None)
    summary = words.selection_noise(tuning, [result, make_result("base", base=(0.5, 0.6, 0.7))]).data
    optimism = evidence.optimism(labels, predicted.reshape(2, 3, 40))
    assert f"**{100 * optimism:.1f} points**" in summary
    assert "over 1 stage " in summary
    # Whichever run is left out, new has the best mean; it has the higher score with the seeds 1 and 3.
    assert "**2 of 3**" in summary
    assert "cannot be estimated" in words.selection_noise(tuning, [make_result("base", base=(0.5, 0.6))]).data


def test_published_fits_agree_within_two_standard_deviations_of_a_difference():
    result = make_result("dense", old=(0.80, 0.84), new=(0.40, 0.44), other=(0.80, 0.84))
    sizes = [result.records(trial.name)[0].params for trial in result.trials]
    sizes[-1] += 1
    fits = [replace(published_fits()[0], test_f1=0.86, params=size) for size in sizes]
    trials = tuple(replace(trial, published=fit) for trial, fit in zip(result.trials, fits, strict=True))
    fits, summary = words.agreement_report([replace(result, trials=trials)])
    # The SD of one of our runs is 0.0283; of the difference to their mean, 0.0346; 0.86 is 0.04 above 0.82.
    assert "<td>0.069</td>" in fits.data
    assert re.findall("<td>(yes|no|other size)</td>", fits.data) == ["yes", "no", "other size"]
    assert "Of 2 fits of networks of the same size, 1 agrees" in summary.data
    assert "Not counted: 1 fit of networks of another size" in summary.data
