"""Copies are shown as pairs with their names; where there are none, nothing is."""

from dataclasses import replace

import numpy as np
import pytest

from cnnlab.data import DataFolder
from cnnlab.report import plots, words
from cnnlab.study import PROTOCOLS, make_budget
from cnnlab.tuning import StudyImages


def shown(dataset, accept=()):
    images = StudyImages("unused", make_budget("smoke"), PROTOCOLS["corrected"], accept)
    images.folder = DataFolder(dataset, None, derived_gray=False)
    return words.copied_images(images)


@pytest.fixture
def copied(gray):
    """Images with two exact copies in the test part, and twelve near ones among the training images."""
    train, test = gray.train_images.copy(), gray.test_images.copy()
    test[:2] = train[60:62]
    train[100:112] = np.minimum(train[:12], 250) + np.uint8(5)
    labels = gray.train_labels.copy()
    labels[100:112] = labels[:12]
    labels[111], labels[60:62] = (labels[11] + 1) % 10, gray.test_labels[:2]
    names = tuple(f"train/{index}.png" for index in range(200))
    return replace(gray, train_images=train, test_images=test, train_labels=labels, train_files=names)


def test_pairs_are_shown_with_their_names_labels_and_kinds(copied):
    about, across, across_pairs, in_train, train_pairs = shown(copied)
    assert about.data.startswith("## Copies")
    assert across.data == "2 exact pairs of a training image and a test image."
    zero, one = (copied.class_names[label] for label in copied.test_labels[:2])
    assert across_pairs.alt == (
        "2 pairs of a training image and a test image: "
        f"train/60.png and test image 0: {zero}, exact; train/61.png and test image 1: {one}, exact."
    )
    assert in_train.data == "12 near pairs of training images, 1 of them with two labels. The first 10:"
    first, second = (copied.class_names[copied.train_labels[index]] for index in (11, 111))
    start = f"10 pairs of training images: train/11.png and train/111.png: {first} and {second}, near; train/0.png and "
    assert train_pairs.alt.startswith(start)
    assert across_pairs.photo
    assert train_pairs.photo


def test_images_without_copies_have_no_such_section(gray):
    assert shown(gray) == []


def test_copies_that_the_user_accepts_are_not_shown(copied):
    *_, last = shown(copied, ["test-copies"])
    assert "training images: train/11.png" in last.alt
    _, summary, _ = shown(copied, ["near-copies"])
    assert summary.data.startswith("2 exact pairs")
    assert shown(copied, ["near-copies", "test-copies"]) == []


def test_a_pair_is_one_picture_with_a_gap(gray):
    pair = plots.image_pairs(gray.train_images[:1], gray.train_images[1:2], ["a\nb"], "A pair.")
    alone = plots.images(gray.train_images[:1], ["a\nb"], "An image.")
    assert 1.7 * alone.width < pair.width < 2.4 * alone.width
