"""The parameters of a Gaussian mixture, and the conversions between their forms."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, cast

import numpy as np
from numpy.typing import DTypeLike
from scipy.linalg import LinAlgError
from scipy.linalg.lapack import dpotrf, dtrtri

from gaussmix._core import dispatch
from gaussmix._core.density import Density, factors_shape
from gaussmix._core.types import FloatArray, Structure


class NotPositiveDefiniteError(ValueError):
    """A matrix has no Cholesky factor. `component` says whose (None: the tied matrix)."""

    def __init__(self, component: int | None) -> None:
        self.component = component
        owner = "the tied matrix" if component is None else f"the matrix of component {component}"
        super().__init__(f"{owner} is not positive definite")


@dataclass(frozen=True)
class Parameters:
    """Weights (K,), means (K, D), covariances and upper precision Cholesky factors U, P = U U'.

    Covariances and factors have the shapes of the structure: full (K, D, D), tied (D, D),
    diag (K, D), spherical (K,). All float64 and C-contiguous.
    """

    structure: Structure
    weights: FloatArray
    means: FloatArray
    covariances: FloatArray
    precisions_cholesky: FloatArray

    @classmethod
    def unset(cls, structure: Structure, n_components: int, n_features: int) -> Self:
        """Parameters of that many components and features, of any values, to be set."""
        spread = factors_shape(structure, n_components, n_features)
        weights, means = np.empty(n_components), np.empty((n_components, n_features))
        return cls(structure, weights, means, np.empty(spread), np.empty(spread))

    @classmethod
    def from_covariances(
        cls, structure: Structure, weights: FloatArray, means: FloatArray, covariances: FloatArray
    ) -> Self:
        """Parameters with their factors computed; raises NotPositiveDefiniteError."""
        factors = precision_factors(structure, covariances)
        return cls(structure, weights, means, covariances, factors)

    @classmethod
    def from_precisions(
        cls, structure: Structure, weights: FloatArray, means: FloatArray, precisions: FloatArray
    ) -> Self:
        """Parameters from inverse covariances; raises NotPositiveDefiniteError."""
        factors = factors_of_precisions(structure, precisions)
        return cls.from_factors(structure, weights, means, factors)

    @classmethod
    def from_factors(
        cls, structure: Structure, weights: FloatArray, means: FloatArray, factors: FloatArray
    ) -> Self:
        """Parameters from upper precision factors; raises NotPositiveDefiniteError."""
        return cls(structure, weights, means, _inverses(structure, factors), factors)

    @property
    def n_components(self) -> int:
        """K."""
        return len(self.means)

    @property
    def n_features(self) -> int:
        """D."""
        return int(self.means.shape[1])

    @property
    def precisions(self) -> FloatArray:
        """Inverse covariances, P = U U', in the structure's shape."""
        factors = self.precisions_cholesky
        if self.structure in ("full", "tied"):
            return factors @ factors.swapaxes(-1, -2)
        return factors**2

    def density(self, dtype: DTypeLike = np.float64) -> Density:
        """The constants that a pass over rows of a dtype needs."""
        center, means = np.empty(self.n_features), np.empty(self.means.shape)
        log_scales = np.empty(self.n_components)
        factors = np.ascontiguousarray(self.precisions_cholesky)
        dispatch.estimates().density_constants(
            self.structure, self.weights, self.means, factors, dtype, center, means, log_scales
        )
        return Density(self.structure, center, means, factors, log_scales)

    def full_covariances(self) -> FloatArray:
        """Covariance matrices (K, D, D) whatever the structure."""
        shape = (self.n_components, self.n_features, self.n_features)
        if self.structure in ("full", "tied"):
            return np.broadcast_to(self.covariances, shape).copy()
        variances = self.covariances
        if self.structure == "spherical":
            variances = np.repeat(variances[:, None], self.n_features, axis=1)
        return variances[:, :, None] * np.eye(self.n_features)

    def n_free(self) -> int:
        """Number of free parameters: means, covariances, and weights that sum to one."""
        k, d = self.n_components, self.n_features
        matrix = d * (d + 1) // 2
        covariances = {"full": k * matrix, "tied": matrix, "diag": k * d, "spherical": k}
        return k * d + covariances[self.structure] + k - 1


def precision_factors(structure: Structure, covariances: FloatArray) -> FloatArray:
    """Upper factors U with inv(covariance) = U U': from C = L L', U = inv(L)'.

    Raises NotPositiveDefiniteError, naming the component.
    """
    factors = factors_where_definite(structure, covariances)
    if not np.isfinite(factors).all():
        component = int(np.argwhere(~np.isfinite(factors))[0, 0])
        raise NotPositiveDefiniteError(None if structure == "tied" else component)
    return factors


def factors_where_definite(structure: Structure, covariances: FloatArray) -> FloatArray:
    """Upper factors of the precisions; NaN or infinite where a covariance is not definite."""
    if structure in ("diag", "spherical"):
        with np.errstate(divide="ignore", invalid="ignore"):
            return 1.0 / np.sqrt(covariances)
    matrices = np.ascontiguousarray(covariances).reshape(-1, *covariances.shape[-2:])
    factors = np.empty(matrices.shape)
    dispatch.estimates().precision_factors(matrices, factors)
    return factors.reshape(covariances.shape)


def factors_of_precisions(structure: Structure, precisions: FloatArray) -> FloatArray:
    """Upper factors U of precisions P = U U'; raises NotPositiveDefiniteError.

    An upper factor of P is a lower one of P with rows and columns reversed.
    """
    if structure in ("diag", "spherical"):
        return np.reciprocal(precision_factors(structure, precisions))
    return _per_matrix(structure, precisions, lambda p: _cholesky(p[::-1, ::-1])[::-1, ::-1])


def _per_matrix(
    structure: Structure, matrices: FloatArray, function: Callable[[FloatArray], FloatArray]
) -> FloatArray:
    """Apply a function to the tied matrix or to each component's, naming the one that fails."""
    if structure == "tied":
        try:
            return np.ascontiguousarray(function(matrices))
        except LinAlgError:
            raise NotPositiveDefiniteError(None) from None
    out = np.empty_like(matrices)
    for k, matrix in enumerate(matrices):
        try:
            out[k] = function(matrix)
        except LinAlgError:
            raise NotPositiveDefiniteError(k) from None
    return out


def _cholesky(matrix: FloatArray) -> FloatArray:
    """Lower L with matrix = L L'. LAPACK itself: SciPy's wrapper costs ten times a small matrix."""
    lower, info = dpotrf(matrix, lower=True, clean=True)
    if info or not (lower.diagonal() > 0).all():  # it lets NaN pass
        raise LinAlgError
    return cast(FloatArray, lower)


def _triangle_inverse(lower: FloatArray) -> FloatArray:
    inverse, info = dtrtri(lower, lower=True)
    if info:
        raise LinAlgError
    return cast(FloatArray, inverse)


def _inverses(structure: Structure, factors: FloatArray) -> FloatArray:
    """Covariances from precision factors: C = inv(U)' inv(U)."""
    if structure in ("diag", "spherical"):
        return factors**-2.0

    def inverse(upper: FloatArray) -> FloatArray:
        lower = _triangle_inverse(upper.T)
        return lower @ lower.T

    return _per_matrix(structure, factors, inverse)
