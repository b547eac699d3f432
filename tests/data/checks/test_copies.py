"""Images that occur twice are counted and named: exact and near copies, in one part and in both."""

from dataclasses import replace

import numpy as np
import pytest

from cnnlab.data.checks import copies
from cnnlab.data.checks.copies import copies_in_test, find_copies, identical, near_copies


def with_test_images(dataset, images):
    """The dataset with other images in the first places of its test images."""
    return replace(dataset, test_images=np.concatenate([images, dataset.test_images[len(images) :]]))


def test_identical_images_of_one_part_are_counted_with_those_of_another_label(gray):
    images = gray.train_images.copy()
    images[100:110] = images[0]
    labels = gray.train_labels.copy()
    labels[0], labels[100:107], labels[107:110] = 1, 1, 2
    (line,) = identical(replace(gray, train_images=images, train_labels=labels))
    assert line == (
        "training images identical to another one: 10 of 200 (3 with another label). Pairs: training image 0 and "
        "training image 107; training image 0 and training image 108; training image 0 and training image 109; ... "
        "Remove them."
    )


def test_a_part_whose_images_are_all_identical(gray):
    (line,) = identical(replace(gray, test_images=np.full_like(gray.test_images, 7)))
    assert line.startswith("All 100 test images are identical.")


def test_test_images_that_are_training_images(gray):
    assert not list(copies_in_test(gray))
    (line,) = copies_in_test(with_test_images(gray, gray.train_images[50:80]))
    assert "also training images: 30 of 100 (27 with another label). Pairs: training image 50 and" in line


def test_pairs_are_named_by_their_files(gray):
    names = tuple(f"{'ab'[index % 2]}/{index}.png" for index in range(200))
    copies = with_test_images(gray, gray.train_images[50:52])
    (line,) = copies_in_test(replace(copies, train_files=names, test_files=("x\033[2J.png", *names[1:100])))
    assert "Pairs: a/50.png and 'x\\x1b[2J.png'; b/51.png and b/1.png. Test scores" in line


CHANGES = {
    "noise": lambda images, rng: images + rng.integers(-2, 3, images.shape),
    "darker": lambda images, _: 0.7 * images,
    "brighter": lambda images, _: images * 0.9 + 20,
}


def changed(images, change):
    return CHANGES[change](images.astype(float), np.random.default_rng(0)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("change", CHANGES)
def test_near_copies_in_both_parts(colour, change):
    """Noise, brightness and contrast hide no copy. An exact copy is not counted as a near one too."""
    assert not list(near_copies(colour))
    copies = np.concatenate([changed(colour.train_images[50:80], change), colour.train_images[:5]])
    dataset = with_test_images(colour, copies)
    (line,) = near_copies(dataset)
    assert "test images that are near copies of training images" in line
    assert ": 30 of 100" in line
    _, _, across = find_copies(dataset)
    assert across.parts == ("training", "test")
    assert sorted(across.of_kind(exact=False).indices.tolist()) == [[test + 50, test] for test in range(30)]
    assert sorted(across.of_kind(exact=True).indices.tolist()) == [[test, test + 30] for test in range(5)]


@pytest.mark.parametrize("change", CHANGES)
def test_near_copies_in_one_part(colour, change):
    """The same photograph may be in train and in val. Each copy is paired with an earlier image, once."""
    images, labels = colour.train_images.copy(), colour.train_labels.copy()
    images[100:120] = changed(images[:20], change)
    labels[100:120], labels[119] = labels[:20], (labels[19] + 1) % 10
    dataset = replace(colour, train_images=images, train_labels=labels)
    (line,) = near_copies(dataset)
    assert line.startswith("training images that are near copies of others")
    assert ": 20 of 200 (1 with another label). Pairs: training image 19 and training image 119; " in line
    pairs = find_copies(dataset)[0]
    assert pairs.indices.tolist() == [[19, 119], *([index, index + 100] for index in range(19))]
    assert pairs.is_mixed.tolist() == [True] + [False] * 19


def test_a_copy_of_several_images_is_paired_with_the_one_it_resembles_most(colour):
    images = colour.train_images.copy()
    images[1] = changed(images[0], "brighter")
    noisy = images[0] + np.random.default_rng(0).normal(0, 12, images[0].shape)
    images[0] = noisy.clip(0, 255).astype(np.uint8)
    images[2] = changed(images[1], "darker")
    assert find_copies(replace(colour, train_images=images))[0].indices.tolist() == [[0, 1], [1, 2]]


def test_near_copies_of_one_group_are_never_divided_between_train_and_val(colour):
    images = colour.train_images.copy()
    images[100:102] = changed(images[:2], "darker")
    groups = np.arange(200)
    groups[100] = 0
    (line,) = near_copies(replace(colour, train_images=images, groups=groups))
    assert ": 1 of 200" in line, line


def test_a_closer_copy_in_its_own_group_hides_no_copy_in_another(colour):
    images = colour.train_images.copy()
    images[100:101] = changed(images[:1], "darker")
    images[150:151] = changed(images[100:101], "noise")
    groups = np.arange(200)
    groups[150] = 100
    found = [
        find_copies(replace(colour, train_images=images, groups=given))[0].indices.tolist() for given in (None, groups)
    ]
    assert len(found[0]) == 2
    assert found[1] == [[0, 100], [0, 150]], "groups count, although the images are those of before"


def test_near_copies_are_found_at_any_size(colour):
    """Large images are compared in at most 32 x 32 pixels."""
    large = np.kron(colour.train_images[:40], np.ones((1, 4, 3, 1), np.uint8))
    images = np.concatenate([large, np.minimum(large[:10], 250) + np.uint8(5)])
    dataset = replace(colour, train_images=images, train_labels=np.tile(colour.train_labels[:10], 5), test_images=large)
    in_train, _, across = find_copies(dataset)
    assert in_train.indices.tolist() == [[index, index + 40] for index in range(10)]
    assert across.is_exact.all()
    assert len(across) == 40


def test_the_same_pairs_are_found_however_many_hashes_are_compared_at_a_time(colour, monkeypatch):
    images = colour.train_images.copy()
    images[7::10] = changed(images[3::10], "darker")
    dataset = replace(colour, train_images=images)
    whole = [pairs.indices.tolist() for pairs in find_copies(dataset)]
    assert len(whole[0]) == 20
    for rows, columns, block in ((3, 11, 2), (200, 7, 1), (1, 200, 50)):
        monkeypatch.setattr(copies, "_ROWS", rows)
        monkeypatch.setattr(copies, "_COLUMNS", columns)
        monkeypatch.setattr(copies, "_BLOCK", block)
        copies._found.clear()
        assert [pairs.indices.tolist() for pairs in find_copies(dataset)] == whole


def test_plain_images_that_are_all_alike_need_no_more_memory_or_time(gray):
    """Plain images have no hash of their own; nothing can be compared with them."""
    plain = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None, None, None], gray.train_images.shape)
    assert not list(near_copies(replace(gray, train_images=np.ascontiguousarray(plain))))


def test_images_smaller_than_the_hash(gray):
    train = gray.train_images[:, :6, :6]
    small = replace(gray, train_images=train, test_images=np.minimum(train[:100], 250) + np.uint8(5))
    assert len(find_copies(small)[2]) == 100
