"""How much work a search for a start may do, counted and not measured, so that it repeats."""

import math

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.model.covariance import CovarianceStructure

PART = 0.30
"""Part of the time of scikit-learn's default fit that the whole fit aims at."""

FIT_MICROSECONDS = 750
"""What a fit does before and after the search."""

TOL = 1e-3  # scikit-learn's default
LEAST_EXPECTED = 3  # iterations of scikit-learn's fit
SHORTEST = 2  # of one that begins with groups that are far apart
MOST_EXPECTED, MOST_EXPECTED_MANY = 10, 20
"""The second number is for MANY components."""

EXPECTED_PART, EXPECTED_ROOT = 0.6, 2.0
"""scikit-learn's fit takes this part of the iterations that the first runs promise to take, or this
many times their square root, whichever is less. Of MANY components it takes as many as promised."""

MANY = 5  # components


def n_free(n_features: int, n_components: int, structure: CovarianceStructure) -> int:
    """Return the number of free parameters of a mixture."""
    k, d = n_components, n_features
    return k * d + structure.n_free(k, d) + k - 1


class Work:
    """Work done and allowed, in microseconds of a typical machine."""

    def __init__(self, most: float) -> None:
        self.done = 0.0
        self.most = most

    def add(self, cost: float) -> None:
        """Count work."""
        self.done += cost

    @property
    def left(self) -> float:
        """What may still be done."""
        return self.most - self.done


def pass_cost(
    n_rows: int,
    n_features: int,
    n_components: int,
    structure: CovarianceStructure,
    *,
    single: bool = False,
) -> float:
    """Microseconds of an EM iteration, in float32 if `single`."""
    d, pairs, form = n_features, n_rows * n_components * 1e-3, structure.form
    base, each, term = (2.0, 0.8, 0.078) if single else (4.0, 1.9, 0.13)
    if form == "tied":
        own, n_terms = factor_cost(d) + 0.6e-3 * term * n_rows * d * d, 1 + 2 * d
    else:
        own = n_components * factor_cost(d) if form == "full" else 0.0
        n_terms = 1 + d + structure.n_products(d)
    return base + own + pairs * (each + term * n_terms)


def factor_cost(n_features: int) -> float:
    """Microseconds of the precision factor of a covariance, or about that of its determinant."""
    return 0.0135 * n_features**2


def eigenvectors_cost(n_features: int) -> float:
    """Microseconds of the eigenvectors of a covariance of all features."""
    return 10 + n_features**2 * (0.12 + n_features / 1500)


def seeding_cost(n_rows: int, n_features: int, n_clusters: int, n_trials: int) -> float:
    """Microseconds of greedy k-means++."""
    return n_rows * n_clusters * (5.5e-3 + n_trials * (8e-4 + 5e-5 * n_features))


def kmeans_cost(n_rows: int, n_features: int, n_clusters: int, n_passes: int) -> float:
    """Microseconds of K-means after its first centres are chosen."""
    each = 1.5e-3 + 6e-4 * n_features + n_clusters * (2.5e-4 + 6e-5 * n_features)
    return n_passes * (1 + n_rows * each)


def rival_cost(
    n_rows: int,
    n_features: int,
    n_components: int,
    structure: CovarianceStructure,
    n_iter: float,
) -> float:
    """Microseconds of scikit-learn's default fit, if it takes so many iterations."""
    d, k, pairs, form = n_features, n_components, n_rows * n_components * 1e-3, structure.form
    if form == "full":
        each = 380 + 118 * k + (103 + 10 * d) * pairs
    else:
        each = 500 + 17 * d * pairs if form == "tied" else 300 + 71 * pairs
    return 2850 + 0.95 * n_rows + 80 * pairs + n_iter * each


def allowed(
    n_rows: int,
    n_features: int,
    n_components: int,
    structure: CovarianceStructure,
    n_iter: float,
) -> float:
    """Microseconds that a search may take, if scikit-learn's fit takes so many iterations."""
    size = n_rows, n_features, n_components, structure
    return PART * rival_cost(*size, n_iter) - FIT_MICROSECONDS - 2 * pass_cost(*size)


def expected(promised: float, n_components: int, *, told: bool = False) -> float:
    """Return how many iterations scikit-learn's fit takes, where the first runs promise so many.

    It takes as many as promised, up to a bound, if a run has `told` that begins as that fit does.
    """
    many = n_components >= MANY
    most = MOST_EXPECTED_MANY if many else MOST_EXPECTED
    if told:
        return max(SHORTEST, min(promised, most))
    if not many:
        promised = min(EXPECTED_PART * promised, EXPECTED_ROOT * math.sqrt(promised))
    return max(LEAST_EXPECTED, min(promised, most))


def iterations_promised(gains: FloatArray) -> float:
    """Iterations until a run gains less than TOL, if its gains go on to shrink as they did."""
    below = np.flatnonzero(gains < TOL)
    if len(below):
        return float(below[0] + 2)
    if len(gains) < 3 or not np.isfinite(gains).all():
        return LEAST_EXPECTED
    ratio = min(max((gains[-1] / gains[-3]) ** 0.5, 0.5), 0.95)
    return float(len(gains) + 1 + np.log(TOL / gains[-1]) / np.log(ratio))
