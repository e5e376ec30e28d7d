"""What is done for a mixture, not for each row, in plain NumPy: to be read beside the formulas.

The functions have the names, signatures and errors of the compiled module `estimates`.
"""

from abc import ABC, abstractmethod
from typing import TypeAlias

import numpy as np
from numpy.typing import DTypeLike
from scipy.linalg.lapack import dpotrf, dtrtri

from gaussmix._core.checks import (
    FLOAT64,
    require_array,
    require_estimates,
    require_matrices,
    require_moments,
)
from gaussmix._core.density import (
    EMPTY,
    EPS,
    LOG_2_PI,
    PIVOT_NOISE,
    RESOLUTION,
    Density,
    rounded,
)
from gaussmix._core.types import FloatArray, Structure

Numbers: TypeAlias = tuple[FloatArray, ...]
"""The arrays of a point."""

Moments: TypeAlias = tuple[FloatArray, FloatArray, FloatArray, FloatArray]
"""What an M-step takes: shift, n_k, first and second."""


class Ascent(ABC):
    """What `em` climbs from a point, and how it gets on between passes over the rows."""

    def __init__(self, structure: Structure, point: Numbers, reg_covar: float) -> None:
        """IN: structure; reg_covar, as for the M-step. INOUT: point, which was checked.

        A point begins with weights, means, covariances and factors.
        """
        self._structure, self._point, self._reg_covar = structure, point, reg_covar
        _, means, _, self._factors, *_ = point
        self.n_components, self.n_features = means.shape

    def density(self, dtype: DTypeLike) -> Density:
        """The density of the point, for rows of a precision."""
        size = self.n_components, self.n_features
        center, deviations, log_scales = np.empty(size[1]), np.empty(size), np.empty(size[0])
        self._find_constants(dtype, center, deviations, log_scales)
        return Density(self._structure, center, deviations, self._factors, log_scales)

    @abstractmethod
    def bound(self, log_likelihood: float, weight: float) -> float:
        """The value at the point, under which all rows have this log-likelihood."""

    def move(
        self,
        shift: FloatArray,
        n_k: FloatArray,
        first: FloatArray,
        second: FloatArray,
        row_weight: float,
    ) -> bool:
        """Go where the M-step leads, or stay and return False where something is wrong there."""
        image = tuple(np.empty_like(array) for array in self._point)
        if not self._maximise((shift, n_k, first, second), row_weight, image):
            return False
        for old, new in zip(self._point, image, strict=True):
            old[...] = new
        return True

    @abstractmethod
    def _find_constants(
        self, dtype: DTypeLike, center: FloatArray, deviations: FloatArray, log_scales: FloatArray
    ) -> None:
        """Set what `Density` holds of the point."""

    @abstractmethod
    def _maximise(self, moments: Moments, row_weight: float, image: Numbers) -> bool:
        """Set the image, where the M-step leads; return whether nothing is wrong there."""


class LikelihoodAscent(Ascent):
    """The mean log-likelihood of a row, which `maximise` raises."""

    def __init__(
        self,
        structure: Structure,
        weights: FloatArray,
        means: FloatArray,
        covariances: FloatArray,
        factors: FloatArray,
        reg_covar: float,
    ) -> None:
        """INOUT: the point, in arrays as `maximise` finds them. IN: reg_covar, as there."""
        require_estimates(structure, means.shape, weights, means, covariances, factors)
        super().__init__(structure, (weights, means, covariances, factors), reg_covar)

    def bound(self, log_likelihood: float, weight: float) -> float:
        """The value at the point, under which all rows have this log-likelihood."""
        return log_likelihood / weight

    def _find_constants(
        self, dtype: DTypeLike, center: FloatArray, deviations: FloatArray, log_scales: FloatArray
    ) -> None:
        weights, means, _, factors = self._point
        found = center, deviations, log_scales
        density_constants(self._structure, weights, means, factors, dtype, *found)

    def _maximise(self, moments: Moments, row_weight: float, image: Numbers) -> bool:
        return maximise(self._structure, *moments, row_weight, self._reg_covar, *image)


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # the returned value tells
def maximise(
    structure: Structure,
    shift: FloatArray,
    n_k: FloatArray,
    first: FloatArray,
    second: FloatArray,
    row_weight: float,
    reg_covar: float,
    weights: FloatArray,
    means: FloatArray,
    covariances: FloatArray,
    factors: FloatArray,
) -> bool:
    r"""The M-step: parameters that maximise the expected log-likelihood (Bishop, PRML, 9.24-26).

    IN: moments as `accumulate` adds them up, about a shift (K, D); row_weight, the mean weight of a
    row; reg_covar, added to every variance. OUT, in the structure's shapes: weights, means,
    covariances and upper factors of the precisions. With delta_k = first_k / n_k

        mean_k = shift_k + delta_k,   C_k = second_k / n_k - delta_k delta_k' + reg_covar I;

    tied: the average of the C_k, weighted by n_k; diag, spherical: of the variances, and their mean
    over features. As in scikit-learn, 10 eps of row_weight are added to every n_k.

    Returns whether nothing is wrong: every component has rows, second moments are finite, and no
    pivot of a covariance may be rounding error. A component without rows keeps its mean, the shift.
    """
    require_moments(structure, shift, n_k, first, second)
    require_estimates(structure, shift.shape, weights, means, covariances, factors)
    empty = n_k < EMPTY * row_weight
    n_k = n_k + 10 * EPS * row_weight
    weights[:] = n_k / n_k.sum()
    delta = first / n_k[:, None]
    delta[empty] = 0
    means[:] = shift + delta
    if structure == "full":
        covariances[:] = second / n_k[:, None, None] - delta[:, :, None] * delta[:, None, :]
    elif structure == "tied":
        covariances[:] = second / n_k.sum() - (weights[:, None] * delta).T @ delta
    elif structure == "diag":
        covariances[:] = second / n_k[:, None] - delta**2
    else:
        covariances[:] = (second / n_k - (delta**2).sum(axis=1)) / len(delta.T)
    if structure in ("full", "tied"):
        matrices = -1, *covariances.shape[-2:]
        np.einsum("...ii->...i", covariances)[:] += reg_covar
        precision_factors(covariances.reshape(matrices), factors.reshape(matrices))
    else:
        covariances += reg_covar
        factors[:] = 1 / np.sqrt(covariances)
    if empty.any() or not np.isfinite(second).all():
        return False
    largest = covariances.max() + (delta**2).max()
    noise = 2 * PIVOT_NOISE * largest + 3 * (RESOLUTION * np.abs(means).max()) ** 2
    return bool(factors.max() ** -2 > noise)


def density_constants(
    structure: Structure,
    weights: FloatArray,
    means: FloatArray,
    factors: FloatArray,
    dtype: DTypeLike,
    center: FloatArray,
    deviations: FloatArray,
    log_scales: FloatArray,
) -> None:
    """What `Density` holds of a mixture, for rows of a precision.

    IN: weights (K,), means (K, D), factors of the precisions in the structure's shape. OUT: center
    (D,), the mixture's mean, so that no look at the data is needed; deviations (K, D), the means
    relative to it, both rounded to the precision, so that moments are about what a kernel really
    subtracts; log_scales (K,) = log weight_k + log det U_k - D/2 log 2 pi.
    """
    n_components, n_features = means.shape
    require_estimates(structure, (n_components, n_features), weights, means, None, factors)
    require_array("center", center, (n_features,), FLOAT64)
    require_array("deviations", deviations, (n_components, n_features), FLOAT64)
    require_array("log_scales", log_scales, (n_components,), FLOAT64)
    center[:] = rounded(weights @ means / weights.sum(), dtype)
    deviations[:] = rounded(means - center, dtype)
    if structure in ("full", "tied"):
        log_determinants = np.log(factors.diagonal(axis1=-2, axis2=-1)).sum(axis=-1)
    elif structure == "diag":
        log_determinants = np.log(factors).sum(axis=1)
    else:
        log_determinants = n_features * np.log(factors)
    with np.errstate(divide="ignore"):  # a weight of 0 has log-density -inf
        log_scales[:] = np.log(weights) + log_determinants - 0.5 * n_features * LOG_2_PI


def precision_factors(covariances: FloatArray, factors: FloatArray) -> None:
    """Upper factors of the inverses, from C = L L' U = inv(L)', into `factors` (M, D, D).

    IN: covariances (M, D, D). Where one is not positive definite all of its factor is NaN.
    """
    require_matrices(covariances)
    require_array("factors", factors, covariances.shape, FLOAT64)
    for covariance, factor in zip(covariances, factors, strict=True):
        lower, failed = dpotrf(covariance, lower=True, clean=True)
        definite = not failed and (lower.diagonal() > 0).all()  # LAPACK lets NaN pass
        factor[...] = dtrtri(lower, lower=True)[0].T if definite else np.nan
