"""Tables and sentences about the images say which images they show."""

from dataclasses import replace

import numpy as np
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
def test_the_settings_say_whether_each_seed_has_its_own_images(gray, protocol, changes, splits):
    assert splits in words.study_settings(make_budget("quick", changes), PROTOCOLS[protocol], gray).data


GIVEN = np.arange(50)
COVER = "They cover other validation images only as far as resampling these shows."


@pytest.mark.parametrize(
    ("changes", "splits", "notes"),
    [
        (
            {"train": 100},
            "the files name the validation images; the training images are a stratified draw of the others, another "
            "one for each seed; each stage",
            f"they are the same for all seeds. The intervals cover other seeds and other training images. {COVER}",
        ),
        (
            {"train": 100, "splits": "fixed"},
            "are a stratified draw of the others, the same for all seeds; each stage",
            f"they are the same for all seeds. The intervals cover other seeds. {COVER}",
        ),
        (
            {},
            "the files name the validation images, and all others are training images; each stage",
            f"they are the same for all seeds. The intervals cover other seeds. {COVER}",
        ),
        ({"seeds": 1}, "and all others are training images; each stage", "they are the same for all seeds."),
    ],
)
def test_validation_images_that_the_files_name_are_the_same_for_all_seeds(gray, changes, splits, notes):
    """What the intervals cover follows: with 150 other images, `quick` trains on all of them with every seed."""
    dataset, budget = replace(gray, given_val=GIVEN), make_budget("quick", changes)
    assert splits in words.study_settings(budget, PROTOCOLS["corrected"], dataset).data
    text = " ".join(words.part_notes(dataset, budget))
    assert text == f"The files name the validation images, so {notes}"


def test_the_page_and_the_chapter_say_what_is_unusual_about_the_parts(folder, tmp_path):
    tuning = Tuning(folder, tmp_path, budget={"train": 100})
    images = tuning.images
    assert words.part_notes(images.folder.gray, tuning.budget) == []
    groups = np.repeat(np.arange(20), 10)
    gray = replace(images.folder.gray, is_test_held_out=True, given_val=GIVEN, groups=groups)
    images.folder = replace(images.folder, gray=gray)
    summary = words.data_summary(images.folder, images.split(gray), tuning.budget).data
    for text in (summary, words.images_summary(tuning, [])):
        assert "The files have no test part: a fifth of the images of each class, drawn once, is the test part." in text
        assert "The files name the validation images, so they are the same for all seeds." in text
        assert "The files name 20 groups of training images: all images of a group are in the same part." in text
    assert (
        "Each seed has its own training images, as many as seed 1; what follows shows those of seed 1. The other"
        in (summary)
    )


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
    counts = words.class_counts_intro(images.folder.gray, tuning.budget).data
    assert ("seed 1" in summary) == ("seed 1" in counts) == is_one_of_several_draws
    digest = f"split digest of seed 1 `{split.digest[:12]}`. Each seed has its own training and validation images"
    assert (digest in summary) == is_one_of_several_draws
    other = images.split(images.folder.gray, seed=2)
    assert (other.digest != split.digest) == (changes != {"splits": "fixed"}), "what the sentences say is true"
