"""The covariance structures.

Each form of the kernels is a class, and its most general structure an instance, with the form's
name. A structure with fewer free parameters is an instance of a subclass of its form: see
`CovarianceStructure`, and `gaussmix.model.families`.
"""

from abc import abstractmethod
from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError
from scipy.linalg.lapack import dpotrf, dtrtri

from gaussmix._core import dispatch
from gaussmix._core.checks import aligned
from gaussmix._core.density import EPS
from gaussmix._core.types import FloatArray
from gaussmix.model.covariance import (
    STRUCTURES,
    CovarianceStructure,
    NotPositiveDefiniteError,
)

SYMMETRY = 1e-8  # by how much of its largest entry a given matrix may differ from its transpose


class Matrices(CovarianceStructure):
    """Forms whose covariances are matrices."""

    def identity(self, n_features: int) -> FloatArray:
        return np.eye(n_features)

    def of_variances(self, variances: FloatArray, n_components: int) -> FloatArray:
        return self.alike(np.diag(variances), n_components)

    def diagonals(self, arrays: FloatArray) -> FloatArray:
        n_features = arrays.shape[-1]
        return arrays.reshape(-1, n_features**2)[:, :: n_features + 1]

    def as_matrices(self, arrays: FloatArray, n_components: int, n_features: int) -> FloatArray:
        return np.broadcast_to(arrays, (n_components, n_features, n_features)).copy()

    def factors_where_definite(self, covariances: FloatArray) -> FloatArray:
        matrices = aligned(np.ascontiguousarray(covariances))
        matrices = matrices.reshape(-1, *covariances.shape[-2:])
        factors = np.empty(matrices.shape)
        dispatch.estimates().precision_factors(matrices, factors)
        return factors.reshape(covariances.shape)

    def factors_of_precisions(self, precisions: FloatArray) -> FloatArray:
        # An upper factor of P is a lower one of P with rows and columns reversed.
        return self._each(precisions, lambda p: _cholesky(p[::-1, ::-1])[::-1, ::-1])

    def precisions_of_factors(self, factors: FloatArray) -> FloatArray:
        return factors @ factors.swapaxes(-1, -2)

    def covariances_of_factors(self, factors: FloatArray) -> FloatArray:
        def inverse(upper: FloatArray) -> FloatArray:
            lower = _triangle_inverse(upper.T)
            return lower @ lower.T

        return self._each(factors, inverse)

    @abstractmethod
    def _each(
        self, matrices: FloatArray, function: Callable[[FloatArray], FloatArray]
    ) -> FloatArray:
        """Apply a function to every matrix. Where it fails NotPositiveDefiniteError says whose."""

    def is_upper(self, factors: FloatArray) -> bool:
        return not np.tril(factors, -1).any()

    def checked_pivots(self, name: str, matrices: FloatArray) -> FloatArray:
        scale = np.abs(matrices).max(axis=(-2, -1), keepdims=True)
        problem = "is not symmetric"
        if not (np.abs(matrices - np.swapaxes(matrices, -2, -1)) > SYMMETRY * scale).any():
            try:
                return self.diagonals(self.factors_of_precisions(matrices)) ** 2
            except NotPositiveDefiniteError as error:
                problem = str(error)
        raise ValueError(f"'{name}' should be symmetric, positive-definite, but {problem}")

    def disagreement(self, covariances: FloatArray, factors: FloatArray) -> float:
        # U'CU is the identity. The units of the features are taken out first, so that what is left
        # of |C| |P| is the condition number, to which rounding errors are proportional.
        deviations = np.sqrt(self.diagonals(covariances)).reshape(*covariances.shape[:-1], 1)
        factors = deviations * factors
        correlations = covariances / (deviations * deviations.swapaxes(-1, -2))
        products = factors.swapaxes(-1, -2) @ correlations @ factors
        errors = np.abs(products - np.eye(products.shape[-1])).max(axis=(-2, -1))
        conditions = len(products.T) * (factors**2).sum(axis=(-2, -1))
        return float((errors - EPS * conditions).max())

    def roots(self, factors: FloatArray, n_components: int, n_features: int) -> FloatArray:
        shape = n_components, n_features, n_features
        return np.broadcast_to(np.linalg.inv(factors), shape)

    def in_units(self, reference: FloatArray, deviations: FloatArray) -> FloatArray:
        return (deviations[:, None, :] @ reference)[:, 0]

    def inverses(self, factors: FloatArray) -> FloatArray:
        return np.asarray(np.linalg.inv(factors), np.float64)

    def log_relative(self, inverses: FloatArray, factors: FloatArray) -> FloatArray:
        triangle, on_diagonal = _triangle(factors.shape[-1])
        relative = np.asarray((inverses @ factors)[(..., *triangle)])
        relative[..., on_diagonal] = np.log(relative[..., on_diagonal])
        return relative

    def from_log_relative(self, reference: FloatArray, coordinates: FloatArray) -> FloatArray:
        triangle, on_diagonal = _triangle(reference.shape[-1])
        entries = coordinates.reshape(*reference.shape[:-2], -1).copy()
        entries[..., on_diagonal] = np.exp(entries[..., on_diagonal])
        relative = np.zeros_like(reference)
        relative[(..., *triangle)] = entries
        return reference @ relative


class Variances(CovarianceStructure):
    """Forms whose covariances are variances of every component."""

    def fewest_rows(self, n_features: int) -> int:
        return 4

    def representative(self, n_components: int, n_features: int) -> CovarianceStructure:
        return FULL if n_features == 1 and self.is_general else self

    def n_products(self, n_features: int) -> int:
        return n_features

    def identity(self, n_features: int) -> FloatArray:
        return np.ones(1)

    def diagonals(self, arrays: FloatArray) -> FloatArray:
        return arrays.reshape(len(arrays), -1)

    def as_matrices(self, arrays: FloatArray, n_components: int, n_features: int) -> FloatArray:
        variances = np.broadcast_to(self.diagonals(arrays), (n_components, n_features))
        return variances[:, :, None] * np.eye(n_features)

    def factors_where_definite(self, covariances: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return 1.0 / np.sqrt(covariances)

    def factors_of_precisions(self, precisions: FloatArray) -> FloatArray:
        return np.reciprocal(self.precision_factors(precisions))

    def precisions_of_factors(self, factors: FloatArray) -> FloatArray:
        return factors**2

    def covariances_of_factors(self, factors: FloatArray) -> FloatArray:
        return factors**-2.0

    def is_upper(self, factors: FloatArray) -> bool:
        return True

    def checked_pivots(self, name: str, matrices: FloatArray) -> FloatArray:
        if (matrices <= 0).any():
            raise ValueError(f"'{name}' should be positive, but got {matrices.min():g}")
        return matrices

    def disagreement(self, covariances: FloatArray, factors: FloatArray) -> float:
        return float(np.abs(covariances * factors**2 - 1).max())

    @abstractmethod
    def of_features(self, arrays: FloatArray, features: NDArray[np.intp]) -> FloatArray:
        """Return variances, or factors, of some features, in their order."""

    def roots(self, factors: FloatArray, n_components: int, n_features: int) -> FloatArray:
        return np.broadcast_to(1 / self.diagonals(factors), (n_components, n_features))

    def in_units(self, reference: FloatArray, deviations: FloatArray) -> FloatArray:
        return deviations * self.diagonals(reference)

    def inverses(self, factors: FloatArray) -> FloatArray:
        return 1 / factors

    def log_relative(self, inverses: FloatArray, factors: FloatArray) -> FloatArray:
        return np.log(inverses * factors)

    def from_log_relative(self, reference: FloatArray, coordinates: FloatArray) -> FloatArray:
        return reference * np.exp(coordinates.reshape(reference.shape))


class Full(Matrices):
    """A matrix for each component."""

    form = "full"

    def n_free(self, n_components: int, n_features: int) -> int:
        return n_components * (n_features * (n_features + 1) // 2)

    def fewest_rows(self, n_features: int) -> int:
        return 2 * (n_features + 1)

    def n_products(self, n_features: int) -> int:
        return n_features * (n_features + 1) // 2

    def alike(self, matrix: FloatArray, n_components: int) -> FloatArray:
        return np.repeat(matrix[None], n_components, axis=0)

    def mean_trace(self, factors: FloatArray, weights: FloatArray, n_features: int) -> float:
        return float(weights @ (factors**2).reshape(len(weights), -1).sum(axis=1))

    def add_moments(
        self, second: FloatArray, k: int, weight: FloatArray, deviations: FloatArray
    ) -> None:
        second[k] += (weight[:, None] * deviations).T @ deviations

    def change_of_shift(self, n_k: FloatArray, first: FloatArray, step: FloatArray) -> FloatArray:
        return _change_of_matrices(n_k, first, step)

    def remembered(
        self, covariances: FloatArray, n_k: FloatArray, weight: float, n_features: int
    ) -> FloatArray:
        return n_k[:, None, None] * covariances

    def information_roots(self, weights: FloatArray, n_features: int) -> FloatArray:
        _, on_diagonal = _triangle(n_features)
        return np.outer(np.sqrt(weights), np.where(on_diagonal, np.sqrt(2), 1))

    def _each(
        self, matrices: FloatArray, function: Callable[[FloatArray], FloatArray]
    ) -> FloatArray:
        out = np.empty_like(matrices)
        for k, matrix in enumerate(matrices):
            try:
                out[k] = function(matrix)
            except LinAlgError:
                raise NotPositiveDefiniteError(k) from None
        return out


class Tied(Matrices):
    """One matrix for all components."""

    form = "tied"
    shared = True

    def n_free(self, n_components: int, n_features: int) -> int:
        return n_features * (n_features + 1) // 2

    def fewest_rows(self, n_features: int) -> int:
        return 0

    def representative(self, n_components: int, n_features: int) -> CovarianceStructure:
        return FULL if n_components == 1 and self.is_general else self

    def n_products(self, n_features: int) -> int:
        return n_features

    def alike(self, matrix: FloatArray, n_components: int) -> FloatArray:
        return matrix

    def mean_trace(self, factors: FloatArray, weights: FloatArray, n_features: int) -> float:
        return float((factors**2).sum())

    def add_moments(
        self, second: FloatArray, k: int, weight: FloatArray, deviations: FloatArray
    ) -> None:
        second += (weight[:, None] * deviations).T @ deviations

    def change_of_shift(self, n_k: FloatArray, first: FloatArray, step: FloatArray) -> FloatArray:
        return np.asarray(_change_of_matrices(n_k, first, step).sum(axis=0))

    def remembered(
        self, covariances: FloatArray, n_k: FloatArray, weight: float, n_features: int
    ) -> FloatArray:
        return weight * covariances

    def mean_squares(self, weights: FloatArray, moves: FloatArray) -> FloatArray:
        return (weights @ moves**2)[None]

    def pooled(self, weights: FloatArray, diagonals: FloatArray) -> FloatArray:
        return np.asarray(diagonals[0])

    def resolved(
        self, squares: FloatArray, center: FloatArray, total: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        return squares.max(axis=0, keepdims=True), center, total

    def information_roots(self, weights: FloatArray, n_features: int) -> FloatArray:
        _, on_diagonal = _triangle(n_features)
        return np.where(on_diagonal, np.sqrt(2), 1.0)

    def _each(
        self, matrices: FloatArray, function: Callable[[FloatArray], FloatArray]
    ) -> FloatArray:
        try:
            return np.ascontiguousarray(function(matrices))
        except LinAlgError:
            raise NotPositiveDefiniteError(None) from None


class Diag(Variances):
    """A variance for each component and feature."""

    form = "diag"

    def n_free(self, n_components: int, n_features: int) -> int:
        return n_components * n_features

    def alike(self, matrix: FloatArray, n_components: int) -> FloatArray:
        return self.of_variances(matrix.diagonal(), n_components)

    def of_variances(self, variances: FloatArray, n_components: int) -> FloatArray:
        return np.repeat(variances[None], n_components, axis=0)

    def of_features(self, arrays: FloatArray, features: NDArray[np.intp]) -> FloatArray:
        return np.ascontiguousarray(arrays[:, features])

    def mean_trace(self, factors: FloatArray, weights: FloatArray, n_features: int) -> float:
        return float(weights @ (factors**2).sum(axis=1))

    def add_moments(
        self, second: FloatArray, k: int, weight: FloatArray, deviations: FloatArray
    ) -> None:
        second[k] += weight @ deviations**2

    def change_of_shift(self, n_k: FloatArray, first: FloatArray, step: FloatArray) -> FloatArray:
        return _change_of_squares(n_k, first, step)

    def remembered(
        self, covariances: FloatArray, n_k: FloatArray, weight: float, n_features: int
    ) -> FloatArray:
        return n_k[:, None] * covariances

    def information_roots(self, weights: FloatArray, n_features: int) -> FloatArray:
        return np.asarray(np.repeat(np.sqrt(weights), n_features) * np.sqrt(2))


class Spherical(Variances):
    """A variance for each component, the same for all features."""

    form = "spherical"

    def n_free(self, n_components: int, n_features: int) -> int:
        return n_components

    def alike(self, matrix: FloatArray, n_components: int) -> FloatArray:
        return self.of_variances(matrix.diagonal(), n_components)

    def of_variances(self, variances: FloatArray, n_components: int) -> FloatArray:
        return np.repeat(variances.mean(keepdims=True), n_components)

    def of_features(self, arrays: FloatArray, features: NDArray[np.intp]) -> FloatArray:
        return arrays

    def mean_trace(self, factors: FloatArray, weights: FloatArray, n_features: int) -> float:
        return float(weights @ (factors**2 * n_features))

    def add_moments(
        self, second: FloatArray, k: int, weight: FloatArray, deviations: FloatArray
    ) -> None:
        second[k] += (weight @ deviations**2).sum()

    def change_of_shift(self, n_k: FloatArray, first: FloatArray, step: FloatArray) -> FloatArray:
        return np.asarray(_change_of_squares(n_k, first, step).sum(axis=1))

    def remembered(
        self, covariances: FloatArray, n_k: FloatArray, weight: float, n_features: int
    ) -> FloatArray:
        return n_k * n_features * covariances

    def mean_squares(self, weights: FloatArray, moves: FloatArray) -> FloatArray:
        return np.asarray((moves**2).mean(axis=1, keepdims=True))

    def resolved(
        self, squares: FloatArray, center: FloatArray, total: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        return (
            squares.mean(axis=1, keepdims=True),
            np.sqrt((center**2).mean(keepdims=True)),
            total.mean(keepdims=True),
        )

    def information_roots(self, weights: FloatArray, n_features: int) -> FloatArray:
        return np.asarray(np.sqrt(weights) * np.sqrt(2 * n_features))


FULL = Full("full")
TIED = Tied("tied")
DIAG = Diag("diag")
SPHERICAL = Spherical("spherical")

STRUCTURES.update({structure.name: structure for structure in (FULL, TIED, DIAG, SPHERICAL)})


# --- Pieces ---------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _triangle(n_features: int) -> tuple[tuple[Any, ...], NDArray[np.bool_]]:
    """Return the indices of the upper triangle, and which of them are on the diagonal."""
    indices = np.triu_indices(n_features)
    return indices, indices[0] == indices[1]


def _change_of_matrices(n_k: FloatArray, first: FloatArray, step: FloatArray) -> FloatArray:
    cross = first[:, :, None] * step[:, None, :]
    square = n_k[:, None, None] * step[:, :, None] * step[:, None, :]
    return np.asarray(cross + cross.transpose(0, 2, 1) + square)  # (K, D, D)


def _change_of_squares(n_k: FloatArray, first: FloatArray, step: FloatArray) -> FloatArray:
    return np.asarray(step * (2 * first + n_k[:, None] * step))  # (K, D)


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
