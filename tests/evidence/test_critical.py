"""Critical values, checked against SciPy."""

import numpy as np
import pytest
import scipy.stats

from cnnlab.evidence.critical import dunnett, sidak


def test_one_comparison_has_students_critical_value():
    for dof in (1, 4, 30):
        assert dunnett(1, dof) == sidak(1, dof) == pytest.approx(scipy.stats.t.ppf(0.975, dof))


@pytest.mark.parametrize(("n_comparisons", "dof"), [(2, 5), (4, 8), (7, 16), (4, 2)])
def test_dunnetts_value_covers_all_differences_together(n_comparisons, dof):
    """The multivariate t distribution between these limits has a probability of 0.95."""
    correlations = np.full((n_comparisons, n_comparisons), 0.5) + 0.5 * np.eye(n_comparisons)
    limits = np.full(n_comparisons, dunnett(n_comparisons, dof))
    probability = scipy.stats.multivariate_t.cdf(
        limits, shape=correlations, df=dof, lower_limit=-limits, random_state=1, maxpts=100_000
    )
    assert probability == pytest.approx(0.95, abs=0.001)


def test_dunnetts_intervals_are_those_of_scipy():
    """Three trials against a reference, five runs each."""
    rng = np.random.default_rng(0)
    reference, *others = rng.normal(0.5, 0.02, (4, 5))
    known = scipy.stats.dunnett(*others, control=reference, random_state=0).confidence_interval(0.95)
    variance = np.mean([np.var(runs, ddof=1) for runs in (reference, *others)])
    ours = dunnett(3, 16) * np.sqrt(2 * variance / 5)
    assert ours == pytest.approx((known.high - known.low) / 2, rel=0.01)


def test_less_correlation_means_wider_intervals():
    values = [dunnett(4, 8, correlation) for correlation in (0.5, 0.3, 0.1, 0.0)]
    assert values == sorted(values)
    assert values[-1] == sidak(4, 8)
