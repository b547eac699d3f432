"""Doubtful labels are shown with their files, labels and predictions, and with what that is worth."""

from dataclasses import replace

import numpy as np
import pytest

from cnnlab.data import DataFolder
from cnnlab.report import words
from cnnlab.tuning import Tuning, doubtful_labels
from conftest import predicting_runs


@pytest.fixture
def study(gray, tmp_path):
    """A study whose models know the true classes."""
    tuning = Tuning("unused", tmp_path, budget={"stages": "base", "train": 160, "val": 40, "test": 100})
    tuning.engine.call = lambda function, *arguments: function(*arguments)
    predicting_runs(tuning, gray)
    return tuning


def spoil(study, gray, number):
    """Give some test images a wrong label."""
    labels = gray.test_labels.copy()
    labels[:number] = (labels[:number] + 1 + np.arange(number) % 9) % 10
    files = tuple(f"cats/{index}.png" for index in range(100))
    study.images.folder = DataFolder(replace(gray, test_labels=labels, test_files=files), None, derived_gray=False)


def test_the_most_doubtful_labels_are_shown_and_the_others_are_counted(study, gray):
    spoil(study, gray, 40)
    table = doubtful_labels(study, study.results()).table
    assert len(table) > words.doubtful.SHOWN_LABELS
    summary, picture = words.doubtful_labels_summary(study, study.results())
    assert summary.data.startswith(f"{len(table)} labels are doubtful")
    assert "The first 24 are shown" in summary.data
    assert "`doubtful-labels.csv`" in summary.data
    assert "of 300 images that were validation or test images of the 3 runs of the last stage" in summary.data
    assert picture.alt.startswith("24 images with a doubtful label: ")
    for _, row in table[:24].iterrows():
        assert f"{row['file']}, label {row['label']}, predicted {row['predicted']} " in picture.alt
    assert picture.photo


def test_without_a_doubtful_label_there_is_no_picture(study, gray):
    spoil(study, gray, 0)
    (summary,) = words.doubtful_labels_summary(study, study.results())
    assert summary.data.startswith("No label is doubtful.")
    assert "equals the label for 100% of them" in summary.data


def test_one_run_is_not_enough(gray, tmp_path):
    tuning = Tuning("unused", tmp_path, budget={"stages": "base", "seeds": 1})
    predicting_runs(tuning, gray)
    spoil(tuning, gray, 10)
    (summary,) = words.doubtful_labels_summary(tuning, tuning.results())
    assert "use more seeds (`SEEDS=3`)" in summary.data


def test_models_at_chance_say_nothing_about_labels(study, gray):
    mixed = np.random.default_rng(0).permutation
    dataset = replace(gray, train_labels=mixed(gray.train_labels), test_labels=mixed(gray.test_labels))
    study.images.folder = DataFolder(dataset, None, derived_gray=False)
    (summary,) = words.doubtful_labels_summary(study, study.results())
    assert "no better than guessing" in summary.data
