"""Images of one group are in one part of every split; a part that is given is kept."""

from dataclasses import replace

import numpy as np
import pytest

from cnnlab import data
from cnnlab.data.groups import divide
from cnnlab.errors import DataError

GROUPS = np.repeat(np.arange(25), 8)


@pytest.fixture
def grouped(gray):
    return replace(gray, groups=np.random.default_rng(0).permutation(GROUPS))


def groups_of(dataset, indices):
    return set(dataset.groups[indices].tolist())


@pytest.mark.parametrize("kind", ["stratified", "last"])
@pytest.mark.parametrize("draw", range(4))
@pytest.mark.parametrize("numbers", [(1000, 1000, 100), (50, 20, 20)])
def test_no_group_is_in_two_parts(grouped, kind, draw, numbers):
    split = data.split(grouped, kind, *numbers, draw)
    assert not groups_of(grouped, split.train) & groups_of(grouped, split.val)
    sizes = data.part_sizes(grouped, *numbers)
    if kind == "stratified":
        assert len(split.val) <= numbers[1]
        assert set(grouped.train_labels[split.val]) == set(range(10))
        assert abs(len(split.val) - sizes[1]) <= 16
        half = data.smaller(grouped, split, len(split.train) // 2, draw)
        assert set(half.train) < set(split.train)
        assert not groups_of(grouped, half.train) & groups_of(grouped, half.val)


def test_a_part_is_about_a_fifth(grouped):
    split = data.split(grouped, "stratified", 1000, 1000, 100)
    assert 30 <= len(split.val) <= 50
    assert len(split.train) + len(split.val) == 200
    assert (len(split.train), len(split.val), len(split.test)) == data.part_sizes(grouped, 1000, 1000, 100)


def test_draws_differ_and_can_be_repeated(grouped):
    digests = [data.split(grouped, "stratified", 100, 40, 50, draw).digest for draw in (0, 1, 2, 0)]
    assert len(set(digests)) == 3
    assert digests[0] == digests[3]


def test_splits_without_groups_are_what_they_were(gray, tiny):
    """Stored runs are found by these digests."""
    assert data.split(gray, "stratified", 100, 40, 50).digest == (
        "5dd39d66385497a7f748fa06270af7eeb5effde3141507851f35434ed8583631"
    )
    assert data.split(gray, "stratified", 100, 40, 50, 3).digest == (
        "47093295944c95b3fe39fb4fa9fa4484760f3e69f32b9bafb9f50e732fd2ebe2"
    )
    assert data.split(gray, "stratified", 40_000, 10_000, 10_000).digest == (
        "c519112283d3810226f3796d3b0830bdb23065540bff7d1659b5f552d534643d"
    )
    assert (
        data.split(tiny, "last", 20, 4, 5).digest == "8a2ba872f9c248405bab39cf7a1416a60926998e919078dfabee927d1bb812c8"
    )


def test_given_validation_images_are_validated_on_and_no_others(gray):
    given = np.arange(60, 120)
    dataset = replace(gray, given_val=given)
    for kind in ("stratified", "last"):
        split = data.split(dataset, kind, 1000, 1000, 100)
        assert split.val.tolist() == given.tolist()
        assert not set(split.train) & set(given)
        assert len(split.train) == 140
    few = data.split(dataset, "stratified", 70, 20, 50, 2)
    assert set(few.val) < set(given)
    assert len(few.val) == 20
    assert data.part_sizes(dataset, 70, 20, 50) == (70, 20, 50)
    other = data.split(dataset, "stratified", 70, 20, 50, 1)
    assert set(few.val) == set(other.val), "all draws share the given images"
    assert set(few.train) != set(other.train)


def test_a_class_that_is_only_in_the_given_validation_images(gray):
    given = np.flatnonzero(gray.train_labels == 3)
    with pytest.raises(DataError, match=r"training images of each class\. Received: none of class 'three'"):
        data.split(replace(gray, given_val=given), "stratified", 100, 40, 50)


def test_each_class_is_in_each_part_where_that_is_possible():
    """Three of ten groups hold the rare class."""
    groups = np.repeat(np.arange(10), 10)
    labels = np.where(np.isin(groups, (0, 4, 7)) & (np.arange(100) % 10 == 0), 1, 0)
    for seed in range(5):
        part, rest = divide(labels, groups, seed)
        assert set(labels[part]) == set(labels[rest]) == {0, 1}
        assert sorted([*part, *rest]) == list(range(100))


def test_a_class_of_one_group_is_trained_on():
    groups = np.repeat(np.arange(6), 5)
    labels = np.where(groups == 2, 1, 0)
    _, rest = divide(labels, groups, 0)
    assert 1 in labels[rest]


@pytest.mark.parametrize(
    ("labels", "groups", "words"),
    [
        ([0, 1] * 5, [3] * 10, "at least two groups"),
        ([0] * 5 + [1] * 5, [0] * 5 + [1] * 5, "groups that can be divided"),
    ],
)
def test_groups_that_cannot_be_divided(labels, groups, words):
    with pytest.raises(DataError, match=words) as caught:
        divide(np.array(labels), np.array(groups), 0)
    assert str(caught.value).isprintable()
