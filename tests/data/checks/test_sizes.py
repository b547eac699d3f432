"""Classes that few scored images belong to are named."""

from dataclasses import replace

import numpy as np

from cnnlab import data
from cnnlab.data.checks.sizes import class_sizes


def test_few_images_of_some_classes(gray):
    split = data.split(gray, "stratified", 100, 40, 100)
    (line,) = class_sizes(gray, split)
    assert line.startswith(
        "val has fewer than 10 images of 10 classes (zero: 4, one: 4, two: 4, three: 4, four: 4, ...)"
    )


def test_no_image_of_a_class(gray):
    labels = np.where(gray.test_labels == 3, 4, gray.test_labels)
    changed = replace(gray, test_labels=labels)
    split = data.Split(np.arange(100), np.arange(100, 200), np.arange(100))
    *_, line = class_sizes(changed, split)
    assert line == "test has no image of 1 class (three): test F1 is the mean of the other classes."
