"""What a joint search proposes: quasi-random points, then those of Keras Tuner's oracles."""

import numpy as np
import pytest

from cnnlab.study import Dimension, OracleKind, Search
from cnnlab.tuning.search.oracle import propose, quasi_random

SPACE = (
    Dimension("dropout", low=0.0, high=0.5),
    Dimension("filters", ([8, 16], [16, 32])),
    Dimension("learning_rate", low=1e-4, high=1e-1, log=True),
)


def make_search(kind=OracleKind.BAYESIAN, space=SPACE):
    return Search(kind, space)


def test_quasi_random_points_cover_each_setting_evenly():
    search = make_search()
    for number in (16, 32):
        points = np.array(quasi_random(search, number))
        assert points.shape == (number, 3)
        for column in (0, 2):
            quarters, _ = np.histogram(points[:, column], 4, (0, 1))
            assert quarters.tolist() == pytest.approx([number / 4] * 4, abs=1.5)
        assert np.mean(points[:, 1] == 0.25) == pytest.approx(0.5, abs=0.07)
        assert np.mean(points[:, 1] == 0.75) == pytest.approx(0.5, abs=0.07)


def test_quasi_random_settings_vary_independently_of_each_other():
    space = tuple(Dimension(f"x{number}", low=0.0, high=1.0) for number in range(8))
    points = np.array(quasi_random(make_search(space=space), 48))
    correlations = np.corrcoef(points.T)[np.triu_indices(8, 1)]
    middles = np.corrcoef(np.abs(points - 0.5).T)[np.triu_indices(8, 1)]
    assert np.abs(correlations).max() < 0.35
    assert np.abs(middles).max() < 0.5


def test_more_quasi_random_points_begin_with_the_same_ones():
    search = make_search()
    assert quasi_random(search, 40)[:7] == quasi_random(search, 7)
    assert quasi_random(search, 0) == []


@pytest.mark.parametrize("kind", OracleKind)
def test_an_oracle_proposes_the_same_for_the_same_scores(kind):
    search = make_search(kind)
    scores = [(point, 0.1 * number) for number, point in enumerate(quasi_random(search, 6))]
    proposed = propose(search, scores, 3)
    assert proposed == propose(search, scores, 3)
    assert len(set(proposed)) == 3
    for point in proposed:
        settings = search.settings(point)
        assert 0 <= settings["dropout"] <= 0.5
        assert settings["filters"] in ([8, 16], [16, 32])
        assert 1e-4 <= settings["learning_rate"] <= 1e-1
    assert propose(search, [*scores, (proposed[0], 0.9)], 3) != proposed


def test_the_bayesian_oracle_comes_close_to_the_best_settings():
    search = make_search(space=SPACE[:1])

    def score(point):
        return 1 - (point[0] - 0.63) ** 2

    scores = [(point, score(point)) for point in quasi_random(search, 3)]
    for _ in range(4):
        scores += [(point, score(point)) for point in propose(search, scores, 1)]
    best, _ = max(scores, key=lambda scored: scored[1])
    assert best[0] == pytest.approx(0.63, abs=0.03)


@pytest.mark.parametrize("kind", OracleKind)
def test_trials_that_failed_are_no_reason_to_stop(kind):
    search = make_search(kind)
    assert len(propose(search, [(point, None) for point in quasi_random(search, 12)], 4)) == 4


def test_the_random_oracle_proposes_nothing_twice_and_ends_with_the_space():
    search = make_search(OracleKind.RANDOM, (Dimension("dense_units", (8, 16, 32)),))
    known = quasi_random(search, 1)
    proposed = propose(search, [(point, 0.5) for point in known], 10)
    assert sorted(search.settings(point)["dense_units"] for point in known + proposed) == [8, 16, 32]
    assert propose(search, [(point, 0.5) for point in known + proposed], 10) == []


def test_nothing_is_printed_or_left_behind(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    propose(make_search(), [], 2)
    assert capsys.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
