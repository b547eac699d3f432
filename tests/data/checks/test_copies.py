"""Images that occur twice are counted: in one part, in both, and nearly in both."""

from dataclasses import replace

import numpy as np
import pytest

from cnnlab.data.checks.copies import copies_in_test, identical, near_copies, near_copy_pairs


def with_test_images(dataset, images):
    """The dataset with other images in the first places of its test images."""
    return replace(dataset, test_images=np.concatenate([images, dataset.test_images[len(images) :]]))


def test_identical_images_of_one_part_are_counted_with_those_of_another_label(gray):
    images = gray.train_images.copy()
    images[100:110] = images[0]
    labels = gray.train_labels.copy()
    labels[0], labels[100:107], labels[107:110] = 1, 1, 2
    (line,) = identical(replace(gray, train_images=images, train_labels=labels))
    assert line == "training images identical to another one: 10 of 200 (3 with another label). Remove them."


def test_a_part_whose_images_are_all_identical(gray):
    (line,) = identical(replace(gray, test_images=np.full_like(gray.test_images, 7)))
    assert line.startswith("All 100 test images are identical.")


def test_test_images_that_are_training_images(gray):
    assert not list(copies_in_test(gray))
    (line,) = copies_in_test(with_test_images(gray, gray.train_images[50:80]))
    assert "also training images: 30 of 100." in line


@pytest.mark.parametrize(
    "change",
    [
        lambda images, rng: images + rng.integers(-2, 3, images.shape),
        lambda images, _: 0.7 * images,
        lambda images, _: images * 0.9 + 20,
    ],
    ids=["noise", "darker", "brighter"],
)
def test_near_copies(colour, change):
    """Noise, brightness and contrast hide no copy. An exact copy is not counted as a near one too."""
    assert not list(near_copies(colour))
    copies = change(colour.train_images[50:80].astype(float), np.random.default_rng(0)).clip(0, 255).astype(np.uint8)
    changed = with_test_images(colour, np.concatenate([copies, colour.train_images[:5]]))
    (line,) = near_copies(changed)
    assert ": 30 of 100." in line
    pairs = near_copy_pairs(changed).tolist()
    assert {(test, test + 50) for test in range(30)} <= set(map(tuple, pairs))


def test_plain_images_that_are_all_alike_need_no_more_memory_or_time(gray):
    """Plain images have no hash of their own; nothing can be compared with them."""
    plain = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None, None, None], gray.train_images.shape)
    assert not list(near_copies(replace(gray, train_images=np.ascontiguousarray(plain))))


def test_images_smaller_than_the_hash(gray):
    small = replace(gray, train_images=gray.train_images[:, :6, :6], test_images=gray.train_images[:100, :6, :6])
    assert len(near_copy_pairs(small)) >= 100
