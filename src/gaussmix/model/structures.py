"""Covariance structures: one object each holds all that depends on the form of covariances.

The kernels know four forms of covariances, precision factors and second moments:

=========  ==========  ==========================================================
form       shape       one component
=========  ==========  ==========================================================
full       (K, D, D)   a matrix of its own
tied       (D, D)      the matrix of all; second moments are summed over components
diag       (K, D)      a variance for each feature
spherical  (K,)        one variance; second moments are summed over features
=========  ==========  ==========================================================

Each form is a class, and its most general structure an instance, with the form's name. A structure
with fewer free parameters is an instance of a subclass of its form: see `CovarianceStructure`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError
from scipy.linalg.lapack import dpotrf, dtrtri

from gaussmix._core import dispatch
from gaussmix._core.density import factors_shape
from gaussmix._core.types import FloatArray
from gaussmix._core.types import Structure as Form
from gaussmix.validation import check_choice

SYMMETRY = 1e-8  # by how much of its largest entry a given matrix may differ from its transpose


class NotPositiveDefiniteError(ValueError):
    """A matrix has no Cholesky factor. `component` says whose (None: the tied matrix)."""

    def __init__(self, component: int | None) -> None:
        self.component = component
        owner = "the tied matrix" if component is None else f"the matrix of component {component}"
        super().__init__(f"{owner} is not positive definite")


@dataclass(frozen=True, eq=False, repr=False)
class CovarianceStructure(ABC):
    """What distinguishes one structure of covariances from the others.

    Every structure is one object, in `STRUCTURES`. Copies and unpickled ones are that object, so
    structures are compared by identity. In the methods K is the number of components and D that of
    features. Covariances, precisions, factors and second moments have the shape of the form.

    A new structure is a subclass of its form. It overrides `n_free` and `constrain`, sometimes
    `fewest_rows`, and its instance stands in `STRUCTURES`. Everything else comes from the form.

    Attributes
    ----------
    name : str
        What users write as `covariance_type`, and what files hold.
    form : {'full', 'tied', 'diag', 'spherical'}
        The form that the kernels compute with.
    shared : bool
        Whether one array without an axis of components serves all components.
    """

    name: str

    form: ClassVar[Form]
    shared: ClassVar[bool] = False

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> "tuple[Callable[[str], CovarianceStructure], tuple[str]]":
        return structure_named, (self.name,)

    # --- What a new structure says of itself ------------------------------------------------------

    @abstractmethod
    def n_free(self, n_components: int, n_features: int) -> int:
        """Return the number of free parameters of the covariances."""

    @abstractmethod
    def fewest_rows(self, n_features: int) -> int:
        """Return the rows that a component needs to be believed.

        They are twice as many as a covariance needs to be definite, 0 if any row is enough.
        """

    def constrain(self, weights: FloatArray, covariances: FloatArray) -> FloatArray:
        """Return the covariances of this structure that suit the most general ones of its form.

        This is the M-step of a structure that is not the most general one. With S_k the scatter of
        component k about its mean, `covariances` are S_k / n_k + reg_covar I, and `weights` (K,)
        are n_k / sum(n_k). So n_k covariances_k is proportional to the scatter, which is all that
        an M-step needs to know.
        """
        raise NotImplementedError(f"{self.name} is the most general structure of its form")

    # --- The form ---------------------------------------------------------------------------------

    @property
    def is_general(self) -> bool:
        """Whether it is the most general structure of its form: the kernels know its M-step."""
        return self.name == self.form

    @property
    def general(self) -> "CovarianceStructure":
        """The most general structure of the form.

        Marginals and conditionals have it, since they may leave a structure that asks for more.
        """
        return STRUCTURES[self.form]

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        """Return the shape of covariances, precisions, factors and second moments."""
        return factors_shape(self.form, n_components, n_features)

    def representative(self, n_components: int, n_features: int) -> "CovarianceStructure":
        """Return the structure that stands for all that are the same model at this size."""
        return self

    @abstractmethod
    def n_products(self, n_features: int) -> int:
        """Return how many products of features a kernel computes for a row and a component."""

    @abstractmethod
    def identity(self, n_features: int) -> FloatArray:
        """Return unit variance of every feature, to add to covariances of any K."""

    @abstractmethod
    def alike(self, matrix: FloatArray, n_components: int) -> FloatArray:
        """Return covariances that are all a matrix (D, D), as far as the form can hold it."""

    @abstractmethod
    def diagonals(self, arrays: FloatArray) -> FloatArray:
        """Return diagonals of covariances or factors: (K, D), tied (1, D), spherical (K, 1).

        A view, if the arrays are C-contiguous.
        """

    @abstractmethod
    def as_matrices(self, arrays: FloatArray, n_components: int, n_features: int) -> FloatArray:
        """Return covariances, precisions or factors as new matrices (K, D, D)."""

    # --- Factors of precisions --------------------------------------------------------------------

    def precision_factors(self, covariances: FloatArray) -> FloatArray:
        """Return upper factors U with inv(covariance) = U U': from C = L L', U = inv(L)'.

        Raises NotPositiveDefiniteError, naming the component.
        """
        factors = self.factors_where_definite(covariances)
        if not np.isfinite(factors).all():
            component = int(np.argwhere(~np.isfinite(factors))[0, 0])
            raise NotPositiveDefiniteError(None if self.shared else component)
        return factors

    @abstractmethod
    def factors_where_definite(self, covariances: FloatArray) -> FloatArray:
        """Return upper factors of the precisions, not finite where a covariance is not definite."""

    @abstractmethod
    def factors_of_precisions(self, precisions: FloatArray) -> FloatArray:
        """Return upper factors U of precisions P = U U'; raises NotPositiveDefiniteError."""

    @abstractmethod
    def precisions_of_factors(self, factors: FloatArray) -> FloatArray:
        """Return precisions P = U U'."""

    @abstractmethod
    def covariances_of_factors(self, factors: FloatArray) -> FloatArray:
        """Return covariances C = inv(U)' inv(U); raises NotPositiveDefiniteError."""

    @abstractmethod
    def is_upper(self, factors: FloatArray) -> bool:
        """Whether factors are 0 below their diagonals."""

    @abstractmethod
    def checked_pivots(self, name: str, matrices: FloatArray) -> FloatArray:
        """Return the squared diagonals of the factors of finite matrices that a user gives.

        Raises ValueError, which names the matrices, if they are not positive definite.
        """

    @abstractmethod
    def mean_trace(self, factors: FloatArray, weights: FloatArray, n_features: int) -> float:
        """Return the mean of the traces of the precisions under weights (K,)."""

    @abstractmethod
    def roots(self, factors: FloatArray, n_components: int, n_features: int) -> FloatArray:
        """Return L' of every covariance C = L L', (K, D, D), or standard deviations (K, D)."""

    # --- Second moments ---------------------------------------------------------------------------

    @abstractmethod
    def add_moments(
        self, second: FloatArray, k: int, weight: FloatArray, deviations: FloatArray
    ) -> None:
        """Add those of rows, deviations (B, D) from the shift, to component k, in place."""

    @abstractmethod
    def change_of_shift(self, n_k: FloatArray, first: FloatArray, step: FloatArray) -> FloatArray:
        """Return by how much second moments change if every deviation changes by step (K, D)."""

    @abstractmethod
    def remembered(
        self, covariances: FloatArray, n_k: FloatArray, weight: float, n_features: int
    ) -> FloatArray:
        """Return second moments about the means of rows with these covariances.

        `weight` is the sum of n_k (K,).
        """

    # --- Variances and rounding error in the M-step -----------------------------------------------

    def mean_squares(self, weights: FloatArray, moves: FloatArray) -> FloatArray:
        """Return what moves (K, D) of the means add to the diagonals, in the shape of these."""
        return moves**2

    def pooled(self, weights: FloatArray, diagonals: FloatArray) -> FloatArray:
        """Return the components' mean variance: (D,), spherical (1,)."""
        return weights @ diagonals

    def resolved(
        self, squares: FloatArray, center: FloatArray, total: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return what rounding error depends on, as the form's diagonals have it.

        These are squares of the means (K, D), the data's mean (D,) and its variance (D,).
        """
        return squares, center, total

    # --- Log-Cholesky coordinates about reference factors -----------------------------------------

    @abstractmethod
    def information_roots(self, weights: FloatArray, n_features: int) -> FloatArray:
        """Return square roots of a row's information about each coordinate: an array of any shape.

        Weights are those of the reference.
        """

    @abstractmethod
    def in_units(self, reference: FloatArray, deviations: FloatArray) -> FloatArray:
        """Return deviations (K, D) from the means in standard deviations: U' deviation."""

    @abstractmethod
    def out_of_units(self, reference: FloatArray, deviations: FloatArray) -> FloatArray:
        """Return what `in_units` does the other way round."""

    @abstractmethod
    def log_relative(self, reference: FloatArray, factors: FloatArray) -> FloatArray:
        """Return T = inv(U0) U, its diagonal as logarithms; of matrices the upper triangle."""

    @abstractmethod
    def from_log_relative(self, reference: FloatArray, coordinates: FloatArray) -> FloatArray:
        """Return the factors of which `log_relative` gives these coordinates, flat."""


class Matrices(CovarianceStructure):
    """Forms whose covariances are matrices."""

    def identity(self, n_features: int) -> FloatArray:
        return np.eye(n_features)

    def diagonals(self, arrays: FloatArray) -> FloatArray:
        n_features = arrays.shape[-1]
        return arrays.reshape(-1, n_features**2)[:, :: n_features + 1]

    def as_matrices(self, arrays: FloatArray, n_components: int, n_features: int) -> FloatArray:
        return np.broadcast_to(arrays, (n_components, n_features, n_features)).copy()

    def factors_where_definite(self, covariances: FloatArray) -> FloatArray:
        matrices = np.ascontiguousarray(covariances).reshape(-1, *covariances.shape[-2:])
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

    def roots(self, factors: FloatArray, n_components: int, n_features: int) -> FloatArray:
        shape = n_components, n_features, n_features
        return np.broadcast_to(np.linalg.inv(factors), shape)

    def in_units(self, reference: FloatArray, deviations: FloatArray) -> FloatArray:
        return (deviations[:, None, :] @ reference)[:, 0]

    def out_of_units(self, reference: FloatArray, deviations: FloatArray) -> FloatArray:
        transposed = np.swapaxes(reference, -1, -2)
        solved = np.linalg.solve(transposed, deviations[..., None])
        return np.asarray(solved[..., 0], np.float64)

    def log_relative(self, reference: FloatArray, factors: FloatArray) -> FloatArray:
        triangle, on_diagonal = _triangle(factors.shape[-1])
        solved = np.asarray(np.linalg.solve(reference, factors), np.float64)
        relative = np.asarray(solved[(..., *triangle)])
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

    @abstractmethod
    def of_features(self, arrays: FloatArray, features: NDArray[np.intp]) -> FloatArray:
        """Return variances, or factors, of some features, in their order."""

    def roots(self, factors: FloatArray, n_components: int, n_features: int) -> FloatArray:
        return np.broadcast_to(1 / self.diagonals(factors), (n_components, n_features))

    def in_units(self, reference: FloatArray, deviations: FloatArray) -> FloatArray:
        return deviations * self.diagonals(reference)

    def out_of_units(self, reference: FloatArray, deviations: FloatArray) -> FloatArray:
        return deviations / self.diagonals(reference)

    def log_relative(self, reference: FloatArray, factors: FloatArray) -> FloatArray:
        return np.log(factors / reference)

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
        return np.repeat(matrix.diagonal()[None], n_components, axis=0)

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
        return np.repeat(matrix.diagonal().mean(keepdims=True), n_components)

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

STRUCTURES: dict[str, CovarianceStructure] = {
    structure.name: structure for structure in (FULL, TIED, DIAG, SPHERICAL)
}
"""All structures, by name."""

AnyStructure: TypeAlias = CovarianceStructure | str
"""A structure or its name: what functions that make parameters or statistics take."""


def structure_named(name: object, argument: str = "covariance_type") -> CovarianceStructure:
    """Return the structure of a name.

    Raises ParameterError, which names the argument, if there is no such structure.
    """
    return STRUCTURES[check_choice(argument, name, tuple(STRUCTURES))]


def structure_of(structure: AnyStructure) -> CovarianceStructure:
    """Return a structure itself, or that of a name."""
    if isinstance(structure, CovarianceStructure):
        return structure
    return structure_named(structure, "structure")


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
