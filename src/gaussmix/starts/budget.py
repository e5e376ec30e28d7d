"""How much work a search for a start may do, counted and not measured, so that it repeats."""

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.model.covariance import CovarianceStructure

PART = 1 / 3
"""Part of the time of scikit-learn's default fit that the whole fit may take."""

FIT_MICROSECONDS = 700
"""What a fit does before and after the search."""

TOL = 1e-3  # scikit-learn's default
LEAST_EXPECTED, MOST_EXPECTED = 3, 20  # iterations of scikit-learn's fit
EXPECTED_PART, EXPECTED_PART_MANY = 0.6, 0.85
"""scikit-learn's fit takes this part of the iterations that the first runs promise to take. The
second number is for MANY components."""

ROWS_PER_PARAMETER = 8  # divided by these it takes no more than rows per free parameter
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
    n_rows: int, n_features: int, n_components: int, structure: CovarianceStructure
) -> float:
    """Microseconds of an EM iteration."""
    d, pairs, form = n_features, n_rows * n_components * 1e-3, structure.form
    if form == "tied":
        return 4 + d**3 / 300 + pairs * (2.2 + 0.15 * (1 + 2 * d)) + 0.15e-3 * n_rows * d * d
    n_terms = 1 + d + structure.n_products(d)
    factors = n_components * d**3 / 300 if form == "full" else 0.0
    return 4 + factors + pairs * (2.2 + 0.15 * n_terms)


def rival_cost(
    n_rows: int, n_components: int, structure: CovarianceStructure, n_iter: float
) -> float:
    """Microseconds of scikit-learn's default fit, if it takes so many iterations."""
    k, pairs = n_components, n_rows * n_components * 1e-3
    each = {"full": 300 + 130 * k + 180 * pairs, "tied": 300 + 200 * pairs}
    return 3000 + 400 * pairs + n_iter * each.get(structure.form, 250 + 80 * pairs)


def allowed(
    n_rows: int,
    n_features: int,
    n_components: int,
    structure: CovarianceStructure,
    promised: float = 0.0,
) -> float:
    """Microseconds that a search may take, where first runs promise so many iterations."""
    k, d = n_components, n_features
    most = max(2.0, ROWS_PER_PARAMETER * n_rows / n_free(d, k, structure))
    part = EXPECTED_PART if k < MANY else EXPECTED_PART_MANY
    n_iter = min(max(LEAST_EXPECTED, part * promised), most)
    last_passes = 2 * pass_cost(n_rows, d, k, structure)
    return PART * rival_cost(n_rows, k, structure, n_iter) - FIT_MICROSECONDS - last_passes


def iterations_promised(gains: FloatArray) -> float:
    """Iterations until a run gains less than TOL, if its gains go on to shrink as they did."""
    below = np.flatnonzero(gains < TOL)
    if len(below):
        return float(below[0] + 2)
    if len(gains) < 3 or not np.isfinite(gains).all():
        return LEAST_EXPECTED
    ratio = min(max((gains[-1] / gains[-3]) ** 0.5, 0.5), 0.95)
    return float(min(MOST_EXPECTED, len(gains) + 1 + np.log(TOL / gains[-1]) / np.log(ratio)))
