"""A time is spent on the largest budget that fits in it, from one ordered table."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from cnnlab.errors import ConfigError
from cnnlab.models.cost import Speed, Timing
from cnnlab.study import PROFILES, Trial
from cnnlab.tuning import Tuning
from cnnlab.tuning.planning.calibration import Calibration
from cnnlab.tuning.planning.estimate import estimate
from cnnlab.tuning.planning.ladder import NAMES, RUNGS, choose_rung, parse_time

WORKERS = Calibration(2, is_remote=False, start_seconds=8.0, read_seconds=3.0, seconds=20.0, speed=Speed(()))


@pytest.fixture
def tuning(folder, tmp_path):
    return Tuning(folder, tmp_path / "runs")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("45s", 45), ("90m", 5400), ("2h", 7200), ("1h30m", 5400), ("1.5h", 5400), ("2H", 7200), (" 1m30s ", 90),
        ("1h0m1s", 3601),
    ],
)  # fmt: skip
def test_a_time_is_hours_minutes_and_seconds(text, seconds):
    assert parse_time(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "2", "h", "0m", "-2h", "2 days", "30m1h", "1:30", "1h 30m", "1e3s", "inf", "٢h", "9" * 400 + "h", None, 7],
)
def test_another_time_is_named_in_one_line_with_the_forms(text):
    with pytest.raises(ConfigError, match=r"Expected a time in hours \(h\).* Received: .*TIME=2h") as caught:
        parse_time(text)
    assert "\n" not in str(caught.value)


def test_the_ladder_goes_from_a_glance_to_the_full_profile(tuning):
    full = PROFILES["full"]
    assert RUNGS[-1] == tuple(getattr(full, name) for name in NAMES)
    assert RUNGS[0] < tuple(getattr(PROFILES["quick"], name) for name in NAMES)
    for one, other in pairwise(RUNGS):
        assert all(low <= high for low, high in zip(one, other, strict=True))


def test_each_rung_takes_longer_than_the_one_before(tuning):
    images = tuning.images.dataset(colour=False)
    tuning.images.folder = replace(tuning.images.folder, gray=of_size(images, 60_000), colour=None)
    times = []
    for rung in RUNGS:
        budget = replace(tuning.budget, **dict(zip(NAMES, rung, strict=True)))
        times.append(estimate(tuning, WORKERS, budget).seconds[1])
    assert times == sorted(set(times))
    assert max(after / before for before, after in pairwise(times)) < 2.5


def of_size(dataset, size):
    """A dataset of so many images, which take no memory."""
    images = np.broadcast_to(dataset.train_images[:1], (size, *dataset.image_shape))
    labels = np.arange(size) % 10
    return replace(dataset, train_images=images, train_labels=labels, test_images=images, test_labels=labels)


@pytest.mark.parametrize("seconds", [300, 1200, 7200])
def test_the_chosen_budget_is_the_largest_that_fits(tuning, seconds):
    rung = choose_rung(tuning, WORKERS, seconds, spent=20)
    assert rung.budget == replace(tuning.budget, **rung.changes)
    assert rung.estimate.seconds[1] + 20 < seconds
    larger = choose_rung(tuning, WORKERS, 3 * seconds, spent=20)
    assert larger.estimate.seconds[1] > rung.estimate.seconds[1]
    tuning.use_budget(rung.budget)
    assert estimate(tuning, WORKERS).seconds == pytest.approx(rung.estimate.seconds)


def test_a_budget_has_no_more_images_than_there_are(tuning, colour):
    rung = choose_rung(tuning, WORKERS, 1e9)
    assert rung.changes == {"train": 160, "val": 40, "test": 100, "epochs": 500, "seeds": 5}


def test_numbers_of_the_user_stay(folder, tmp_path):
    """Even those that are equal to the profile's."""
    tuning = Tuning(folder, tmp_path, budget={"seeds": 3, "train": 50})
    rung = choose_rung(tuning, WORKERS, 240)
    assert rung.changes.keys() == {"val", "test", "epochs"}, "these are to be added to what the user gave"
    assert (rung.budget.seeds, rung.budget.train) == (3, 50)


def test_too_little_time_is_named_with_the_least_time_that_is_enough(tuning):
    with pytest.raises(
        ConfigError, match=r"^Expected a time of at least (\d+[smh]) for .* Received: 10s\. .+$"
    ) as caught:
        choose_rung(tuning, WORKERS, parse_time("10s"))
    with pytest.raises(ConfigError, match=r"Received: 1\.7h\."):  # 1.75 hours
        choose_rung(tuning, WORKERS, parse_time("1h45m"), spent=parse_time("3h"))
    least = str(caught.value).split()[6]
    assert choose_rung(tuning, WORKERS, parse_time(least)).changes["seeds"] == 1


def test_a_slower_machine_gets_a_smaller_budget(tuning):
    usual = Speed(()).seconds(Trial(), (32, 32, 1), 10)
    times = np.multiply(20, (usual.trace, usual.step, usual.predict)).tolist()
    timing = Timing(Trial(), (32, 32, 1), 10, 64, 0.0, *times, usual.params)
    slower = replace(WORKERS, speed=Speed((timing,)))
    rungs = [choose_rung(tuning, workers, 7200) for workers in (WORKERS, slower)]
    assert rungs[0].budget.epochs * rungs[0].budget.seeds > rungs[1].budget.epochs * rungs[1].budget.seeds
