"""Labels that the held-out predictions of several runs contradict are found, and nothing is said without evidence."""

from dataclasses import replace

import numpy as np
import pytest

from cnnlab.data import DataFolder
from cnnlab.records import Record
from cnnlab.tuning import NoAnswer, Tuning, doubtful_labels
from cnnlab.tuning.doubtful import COLUMNS, label_issues
from conftest import predicting_runs

N_WRONG = 40
"""Wrong labels among the training images; then a fifth as many among the test images."""


@pytest.fixture
def planted(gray):
    """The sample with some wrong labels, and the places of these in both parts."""
    rng = np.random.default_rng(3)
    places = {"training": rng.permutation(200)[:N_WRONG], "test": rng.permutation(100)[: N_WRONG // 5]}
    train, test = gray.train_labels.copy(), gray.test_labels.copy()
    for labels, wrong in ((train, places["training"]), (test, places["test"])):
        labels[wrong] = (labels[wrong] + 1 + rng.integers(0, 9, len(wrong))) % 10
    names = {f"{part}_files": tuple(f"{part}/{i}.png" for i in range(n)) for part, n in (("train", 200), ("test", 100))}
    return replace(gray, train_labels=train, test_labels=test, **names), places


def open_study(dataset, tmp_path, **budget):
    changes = {"stages": "base,dense", "seeds": 3, "train": 160, "val": 40, "test": 100} | budget
    study = Tuning("unused", tmp_path, budget=changes)
    study.images.folder = DataFolder(dataset, None, derived_gray=False)
    study.engine.call = lambda function, *arguments: function(*arguments)
    return study


def test_planted_wrong_labels_are_the_doubtful_ones(planted, gray, tmp_path):
    """cleanlab estimates how many there are, so that it may miss some."""
    dataset, wrong = planted
    study = open_study(dataset, tmp_path)
    predicting_runs(study, gray)
    doubtful = doubtful_labels(study, study.results())
    in_val = np.unique([study.images.split(dataset, seed).val for seed in (1, 2, 3)])
    assert doubtful.images == len(in_val) + 100 < 300, "some training images are in no validation part"
    to_find = {
        *(("training", index) for index in set(wrong["training"].tolist()) & set(in_val.tolist())),
        *(("test", index) for index in wrong["test"].tolist()),
    }
    flagged = set(zip(doubtful.table["part"], doubtful.table["index"], strict=True))
    assert flagged <= to_find
    assert len(flagged) >= 0.7 * len(to_find) > 12
    assert {part for part, _ in flagged} == {"training", "test"}


def test_each_row_says_what_its_numbers_are(planted, gray, tmp_path):
    dataset, _ = planted
    study = open_study(dataset, tmp_path)
    predicting_runs(study, gray)
    results = study.results()
    doubtful = doubtful_labels(study, results)
    table = doubtful.table
    assert tuple(table.columns) == COLUMNS
    assert table["quality"].is_monotonic_increasing
    records = list({record.digest: record for record in results[-1].runs.values()}.values())
    assert doubtful.runs == len(records) > 3, "the runs of all trials of the last stage"
    assert (doubtful.fewest, doubtful.most) == (len(records) // 3, len(records))
    for row in table.to_dict("records"):
        part = "train" if row["part"] == "training" else "test"
        label = getattr(dataset, f"{part}_labels")[row["index"]]
        probs = []
        for record in records:
            split = study.images.split(dataset, record.seed)
            name, indices = ("val", split.val) if part == "train" else ("test", split.test)
            arrays = study.store.arrays(record.digest)
            probs += list(arrays[f"{name}_probs"][indices == row["index"]])
        mean = np.mean(probs, axis=0) / np.mean(probs, axis=0).sum()
        assert row["runs"] == len(probs)
        assert row["file"] == f"{part}/{row['index']}.png"
        assert (row["label"], row["predicted"]) == tuple(dataset.class_names[k] for k in (label, mean.argmax()))
        assert row["label"] != row["predicted"]
        assert row["probability_of_label"] == pytest.approx(mean[label], abs=1e-4)
        assert row["probability_of_predicted"] == pytest.approx(mean.max(), abs=1e-4)


def test_right_labels_of_sure_models_are_not_doubtful(gray, tmp_path):
    study = open_study(gray, tmp_path)
    predicting_runs(study, gray)
    doubtful = doubtful_labels(study, study.results())
    assert doubtful.table.empty
    assert doubtful.accuracy == 1
    assert doubtful.reason is None


@pytest.mark.parametrize(
    ("changes", "right", "reason"),
    [
        ({"seeds": 1, "stages": "base"}, True, NoAnswer.FEW_RUNS),
        ({"stages": "colour"}, True, NoAnswer.FEW_RUNS),
        ({}, False, NoAnswer.CHANCE),
    ],
    ids=["one run", "no final model", "at chance"],
)
def test_too_few_runs_or_a_model_at_chance_say_nothing(planted, gray, tmp_path, changes, right, reason):
    study = open_study(planted[0], tmp_path, **changes)
    mixed = np.random.default_rng(0).permutation
    other = replace(gray, train_labels=mixed(gray.train_labels), test_labels=mixed(gray.test_labels))
    predicting_runs(study, gray if right else other)
    doubtful = doubtful_labels(study, study.results())
    assert doubtful.reason == reason
    assert doubtful.table.empty
    assert tuple(doubtful.table.columns) == COLUMNS


def test_runs_that_diverged_do_not_count(planted, gray, tmp_path):
    study = open_study(planted[0], tmp_path)
    predicting_runs(study, gray)
    results = study.results()
    whole = doubtful_labels(study, results)
    key, record = next(iter(results[-1].runs.items()))
    spoilt: Record = replace(record, digest="f" * 64, scores=record.scores | {"test_loss": float("nan")})
    results[-1].runs[key] = spoilt
    assert doubtful_labels(study, results).runs == whole.runs - 1


def test_a_class_with_one_image_or_none_is_no_error():
    probs = np.full((6, 4), 0.1, np.float32)
    probs[range(6), [0, 0, 0, 1, 1, 0]] = 0.7
    doubtful, quality = label_issues(np.array([0, 0, 0, 1, 1, 2]), probs)
    assert quality.shape == (6,)
    assert not len(doubtful)
