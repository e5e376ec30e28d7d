"""What a covariance structure is: one object that holds all that depends on it.

The kernels know four forms of covariances, precision factors and second moments:

=========  ==========  ==========================================================
form       shape       one component
=========  ==========  ==========================================================
full       (K, D, D)   a matrix of its own
tied       (D, D)      the matrix of all; second moments are summed over components
diag       (K, D)      a variance for each feature
spherical  (K,)        one variance; second moments are summed over features
=========  ==========  ==========================================================

`gaussmix.model.structures` has a class for each form and its most general structure,
`gaussmix.model.families` the narrower ones.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.density import factors_shape
from gaussmix._core.types import FloatArray
from gaussmix._core.types import Structure as Form
from gaussmix.validation import check_choice

Flags: TypeAlias = NDArray[np.bool_]


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
    `fewest_rows` and `determined`, and its instance stands in `STRUCTURES`. Everything else comes
    from the form.

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

    def __reduce__(self) -> "tuple[Callable[..., CovarianceStructure], tuple[object, ...]]":
        return structure_named, (self.name,)

    def goes_by(self, name: object) -> bool:
        """Whether this is its name or a synonym of it."""
        return isinstance(name, str) and SYNONYMS.get(name, name) == self.name

    @property
    def described(self) -> str:
        """What a user has to write to get it."""
        return f"covariance_type={self.name!r}"

    # --- What a new structure says of itself ------------------------------------------------------

    @abstractmethod
    def n_free(self, n_components: int, n_features: int) -> int:
        """Return the number of free parameters of the covariances."""

    @abstractmethod
    def fewest_rows(self, n_features: int) -> int:
        """Return the rows that a component needs to be believed.

        They are twice as many as a covariance needs to be definite, 0 if any row is enough.
        """

    def constrain(
        self, weights: FloatArray, covariances: FloatArray, previous: FloatArray | None = None
    ) -> FloatArray:
        """Return the covariances of this structure that suit the most general ones of its form.

        This is the M-step of a structure that is not the most general one. With S_k the scatter of
        component k about its mean, `covariances` are S_k / n_k + reg_covar I, and `weights` (K,)
        are n_k / sum(n_k), all positive. So weight_k covariances_k is proportional to the scatter,
        which is all that an M-step needs to know. `previous` are the covariances of the E-step,
        from which an M-step without a closed form begins. If it begins nowhere it has to search.
        """
        raise NotImplementedError(f"{self.name} is the most general structure of its form")

    def determined(self, covariances: FloatArray, noise: FloatArray) -> Flags:
        """Return which components' general covariances are enough for an M-step: (K,).

        `noise` is what is rounding error in a variance, in a shape that broadcasts to the
        diagonals. What is not enough is given more before `constrain` sees it.
        """
        del noise
        return np.ones(len(self.diagonals(covariances)), dtype=np.bool_)

    def nearest(
        self, weights: FloatArray, covariances: FloatArray, previous: FloatArray | None = None
    ) -> FloatArray:
        """Return the covariances of this structure that are nearest to those of its form.

        They minimise the sum of the Kullback-Leibler divergences from Gaussians with the given
        covariances, weighted by `weights` (K,). Covariances of the structure are their own nearest.
        """
        if self.is_general:
            return covariances
        positive = np.maximum(weights, np.finfo(np.float64).eps)
        return self.constrain(positive / positive.sum(), covariances, previous)

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
        """Return equal covariances: those of the form that come closest to a matrix (D, D)."""

    @abstractmethod
    def of_variances(self, variances: FloatArray, n_components: int) -> FloatArray:
        """Return equal covariances without correlations, of these variances (D,)."""

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
            raise self.not_definite(factors)
        return factors

    def not_definite(self, factors: FloatArray) -> NotPositiveDefiniteError:
        """Return an error for the first component whose factors are not finite and positive."""
        diagonals = self.diagonals(factors)
        finite = np.isfinite(factors).reshape(len(diagonals), -1).all(axis=1)
        component = int(np.argmin(finite & (diagonals > 0).all(axis=1)))
        return NotPositiveDefiniteError(None if self.shared else component)

    @abstractmethod
    def factors_where_definite(self, covariances: FloatArray) -> FloatArray:
        """Return upper factors of the precisions, not finite where a covariance is not definite."""

    def definite(self, factors: FloatArray, noise: FloatArray) -> Flags:
        """Return whether every pivot is larger than rounding error: (K,), (1,) if shared.

        A pivot, the variance that the features before it leave unexplained, is 1 / U_jj^2.
        """
        pivots = self.diagonals(factors) ** -2.0
        return np.asarray(np.logical_and.reduce(pivots > noise, axis=1))

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
    def disagreement(self, covariances: FloatArray, factors: FloatArray) -> float:
        """Return by how much covariances differ from those of precision factors, as a part of them.

        Rounding in what a user computed from nearly singular covariances counts little.
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
        """Return deviations (K, D) from the means in standard deviations: U' deviation.

        With the inverse of the reference it goes the other way round.
        """

    @abstractmethod
    def inverses(self, factors: FloatArray) -> FloatArray:
        """Return the inverse of every factor."""

    @abstractmethod
    def log_relative(self, inverses: FloatArray, factors: FloatArray) -> FloatArray:
        """Return T = inv(U0) U, its diagonal as logarithms; of matrices the upper triangle.

        What is given are the inverses of the reference, inv(U0).
        """

    @abstractmethod
    def from_log_relative(self, reference: FloatArray, coordinates: FloatArray) -> FloatArray:
        """Return the factors of which `log_relative` gives these coordinates, flat."""


STRUCTURES: dict[str, CovarianceStructure] = {}
"""All structures, by name; `gaussmix.model.structures` and `families` fill it."""

SYNONYMS: dict[str, str] = {}
"""Other names of structures; `gaussmix.model.families` fills it."""

AnyStructure: TypeAlias = CovarianceStructure | str
"""A structure or its name: what functions that make parameters or statistics take."""


def structure_named(name: object, argument: str = "covariance_type") -> CovarianceStructure:
    """Return the structure of a name or synonym.

    Raises ParameterError, which names the argument, if there is no such structure.
    """
    found = check_choice(argument, name, structure_names())
    return STRUCTURES[SYNONYMS.get(found, found)]


def structure_names() -> tuple[str, ...]:
    """Return all names that structures go by."""
    return *STRUCTURES, *SYNONYMS


def structure_of(structure: AnyStructure) -> CovarianceStructure:
    """Return a structure itself, or that of a name."""
    if isinstance(structure, CovarianceStructure):
        return structure
    return structure_named(structure, "structure")
