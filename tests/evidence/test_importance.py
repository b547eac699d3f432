"""Which settings matter: those that do are shown, noise is not."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance

from cnnlab.evidence import importance

NAMES = ("rate", "filters", "batch", "dropout")


def search(seed, n=24, strength=0.12, sd=0.02):
    """Configurations and scores; the setting "filters" is worth `strength` from end to end."""
    rng = np.random.default_rng(seed)
    places = rng.random((n, len(NAMES)))
    scores = 0.5 + strength * places[:, 1] + rng.normal(0, sd, n)
    return dict(zip(NAMES, places.T.tolist(), strict=True)), scores.tolist()


def shown(made):
    return [one.setting for one in made.settings if one.is_shown]


@pytest.fixture(scope="module")
def strong():
    return importance(*search(0))


def test_a_strong_setting_is_shown_first_with_what_it_is_worth(strong):
    assert shown(strong) == ["filters"]
    assert strong.settings[0].setting == "filters"
    assert strong.settings[0].mean > 3 * strong.floor > 0
    assert strong.r2 > 0.3
    assert strong.n == 24


def test_settings_are_listed_from_the_most_important_with_intervals_around_their_means(strong):
    means = [one.mean for one in strong.settings]
    assert means == sorted(means, reverse=True)
    assert {one.setting for one in strong.settings} == set(NAMES)
    assert all(one.low < one.mean < one.high for one in strong.settings)


def test_the_same_numbers_give_the_same_importance(strong):
    assert importance(*search(0)) == strong


def test_the_importance_is_that_of_scikit_learn_on_configurations_that_the_forest_has_not_seen(strong):
    """A larger forest of 24 configurations, and the importance on many others: within the interval."""
    columns, scores = search(0)
    others, other_scores = search(1, n=500)
    forest = RandomForestRegressor(200, random_state=0).fit(np.column_stack([*columns.values()]), scores)
    known = permutation_importance(
        forest, np.column_stack([*others.values()]), other_scores, scoring="neg_mean_absolute_error", random_state=0
    ).importances_mean
    for one in strong.settings:
        assert one.low <= known[NAMES.index(one.setting)] <= one.high


def test_pure_noise_shows_nothing():
    found = [importance(*search(seed, strength=0)) for seed in range(3)]
    assert [shown(made) for made in found] == [[]] * 3
    assert all(made.floor > 0 for made in found)


def test_where_the_forest_predicts_no_better_than_the_mean_nothing_is_shown():
    """The best choice is the second of three, and few configurations have it."""
    columns, _ = search(0, n=32)
    choices = [int(3 * value) for value in columns["filters"]]
    made = importance(columns | {"filters": choices}, [0.5 + 0.1 * (choice == 1) for choice in choices])
    assert made.r2 <= 0
    assert not shown(made)


def test_only_the_order_of_values_counts_so_a_scale_may_be_logarithmic(strong):
    columns, scores = search(0)
    assert importance(columns | {"filters": [10 ** (5 * value - 6) for value in columns["filters"]]}, scores) == strong


def test_a_choice_matters_as_a_number_does():
    columns, scores = search(0)
    assert shown(importance(columns | {"filters": [int(3 * value) for value in columns["filters"]]}, scores)) == [
        "filters"
    ]


def test_too_few_configurations_or_no_settings_say_nothing():
    columns, scores = search(0, n=9)
    assert importance(columns, scores) is None
    assert importance({}, [0.5] * 20) is None


def test_a_constant_setting_has_no_importance():
    columns, scores = search(0, n=10)
    made = importance(columns | {"same": [3.0] * 10}, scores)
    [same] = [one for one in made.settings if one.setting == "same"]
    assert (same.mean, same.low, same.high, same.is_shown) == (0, 0, 0, False)


def test_constant_scores_show_nothing():
    columns, _ = search(0, n=10)
    made = importance(columns, [0.1] * 10)
    assert (made.r2, made.floor, shown(made)) == (0, 0, [])
