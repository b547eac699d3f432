"""Tables and sentences about the images say which images they show."""

import pytest

from cnnlab.report import words
from cnnlab.study import PROTOCOLS, make_budget
from cnnlab.tuning import Tuning


@pytest.mark.parametrize(
    ("protocol", "changes", "splits"),
    [
        ("corrected", {}, "images are a stratified draw, another one for each seed; each stage"),
        ("corrected", {"splits": "fixed"}, "images are a stratified draw, the same for all seeds; each stage"),
        ("corrected", {"seeds": 1}, "training and validation images are a stratified draw; each stage"),
        (
            "published",
            {"splits": "fixed"},
            "the last fifth of the training images is for validation, the same for all seeds; every stage",
        ),
    ],
)
def test_the_settings_say_whether_each_seed_has_its_own_images(protocol, changes, splits):
    assert splits in words.study_settings(make_budget("quick", changes), PROTOCOLS[protocol]).data


@pytest.mark.parametrize(
    ("changes", "is_one_of_several_draws"), [({}, True), ({"splits": "fixed"}, False), ({"seeds": 1}, False)]
)
def test_images_and_counts_are_those_of_seed_1_where_seeds_have_other_images(
    folder, tmp_path, changes, is_one_of_several_draws
):
    tuning = Tuning(folder, tmp_path, budget=changes)
    images = tuning.images
    split = images.split(images.folder.gray)
    summary = words.data_summary(images.folder, split, tuning.budget).data
    counts = words.class_counts_intro(tuning.budget).data
    assert ("seed 1" in summary) == ("seed 1" in counts) == is_one_of_several_draws
    digest = f"split digest of seed 1 `{split.digest[:12]}`. Each seed has its own training and validation images"
    assert (digest in summary) == is_one_of_several_draws
    other = images.split(images.folder.gray, seed=2)
    assert (other.digest != split.digest) == (changes != {"splits": "fixed"}), "what the sentences say is true"
