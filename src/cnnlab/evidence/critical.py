"""Critical values of simultaneous intervals: by how many standard errors an interval extends to either side."""

from functools import cache
from math import floor

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy.optimize import brentq
from scipy.special import gammaincinv, ndtr, stdtrit

CONFIDENCE = 0.95
_NORMAL, _WEIGHTS = hermegauss(64)  # points and weights of an integral over a normal variable
_LEVELS = (np.arange(200) + 0.5) / 200  # points of an integral over a variable's distribution function
_MAX_DOF = 1e6  # with so many degrees of freedom, Student's distribution is the normal one


def sidak(n_comparisons: int, dof: float) -> float:
    """Return the critical value for any number of comparisons, however they depend on each other.

    Šidák, Rectangular confidence regions for the means of multivariate normal distributions, Journal of the American
    Statistical Association 62, 1967 (doi:10.2307/2283989).

    Args:
        n_comparisons: Number of comparisons that all 95 % intervals must cover together.
        dof: Degrees of freedom of the standard error.
    """
    return float(stdtrit(min(dof, _MAX_DOF), (1 + CONFIDENCE ** (1 / n_comparisons)) / 2))


def dunnett(n_comparisons: int, dof: float, correlation: float = 0.5) -> float:
    """Return the critical value for comparisons of several trials with the same one.

    Dunnett, A multiple comparison procedure for comparing several treatments with a control, Journal of the American
    Statistical Association 50, 1955 (doi:10.2307/2281208). SciPy's `dunnett` takes samples only, without a variance
    of images.

    Args:
        n_comparisons: Number of comparisons that all 95 % intervals must cover together.
        dof: Degrees of freedom of the standard error.
        correlation: Between any two of the differences, 0 to less than 1.
    """
    rounded = floor(10 * correlation + 1e-9) / 10  # down, and few digits, so that most values are in the cache
    if n_comparisons == 1 or rounded == 0:
        return sidak(n_comparisons, dof)
    return _dunnett(n_comparisons, float(f"{min(dof, _MAX_DOF):.3g}"), rounded)


@cache
def _dunnett(n_comparisons: int, dof: float, correlation: float) -> float:
    spread = np.sqrt(1 - correlation)
    common = np.sqrt(correlation) * _NORMAL / spread  # what all differences share
    chi = np.sqrt(2 * gammaincinv(dof / 2, _LEVELS))  # quantiles; `scipy.stats` has them too, but takes 0.5 s to import
    sd = (chi / np.sqrt(dof) / spread)[:, None]  # the estimated SD, as a share of the true one

    def excess(critical: float) -> float:
        covered = (ndtr(critical * sd + common) - ndtr(-critical * sd + common)) ** n_comparisons
        return float((covered @ _WEIGHTS).mean() / _WEIGHTS.sum()) - CONFIDENCE

    # Between one comparison and independent ones.
    return float(brentq(excess, sidak(1, dof) * 0.99, sidak(n_comparisons, dof) * 1.01))
