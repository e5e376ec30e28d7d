"""The parameters of a Gaussian mixture."""

from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import DTypeLike

from gaussmix._core import dispatch
from gaussmix._core.checks import aligned
from gaussmix._core.density import Density
from gaussmix._core.types import FloatArray
from gaussmix.model import families as _families  # noqa: F401, names of structures are known then
from gaussmix.model.covariance import AnyStructure, CovarianceStructure, structure_of


class Noise(NamedTuple):
    """A component of constant density."""

    weight: float
    log_density: float


@dataclass(frozen=True)
class Parameters:
    """Weights (K,), means (K, D), covariances and upper precision Cholesky factors U, P = U U'.

    Covariances and factors have the shapes of the structure's form: full (K, D, D), tied (D, D),
    diag (K, D), spherical (K,). All float64 and C-contiguous. The class methods take a structure
    or its name. Where there is noise the weights are those of the components, and with its own they
    sum to one.
    """

    structure: CovarianceStructure
    weights: FloatArray
    means: FloatArray
    covariances: FloatArray
    precisions_cholesky: FloatArray
    noise: Noise | None = field(default=None, kw_only=True)

    @classmethod
    def unset(cls, structure: AnyStructure, n_components: int, n_features: int) -> Self:
        """Parameters of that many components and features, of any values, to be set."""
        structure = structure_of(structure)
        spread = structure.shape(n_components, n_features)
        weights, means = np.empty(n_components), np.empty((n_components, n_features))
        return cls(structure, weights, means, np.empty(spread), np.empty(spread))

    @classmethod
    def from_covariances(
        cls,
        structure: AnyStructure,
        weights: FloatArray,
        means: FloatArray,
        covariances: FloatArray,
    ) -> Self:
        """Parameters with their factors computed; raises NotPositiveDefiniteError."""
        structure = structure_of(structure)
        factors = structure.precision_factors(covariances)
        return cls(structure, weights, means, covariances, factors)

    @classmethod
    def from_precisions(
        cls, structure: AnyStructure, weights: FloatArray, means: FloatArray, precisions: FloatArray
    ) -> Self:
        """Parameters from inverse covariances; raises NotPositiveDefiniteError."""
        structure = structure_of(structure)
        factors = structure.factors_of_precisions(precisions)
        return cls.from_factors(structure, weights, means, factors)

    @classmethod
    def from_factors(
        cls, structure: AnyStructure, weights: FloatArray, means: FloatArray, factors: FloatArray
    ) -> Self:
        """Parameters from upper precision factors; raises NotPositiveDefiniteError."""
        structure = structure_of(structure)
        covariances = structure.covariances_of_factors(factors)
        return cls(structure, weights, means, covariances, factors)

    def arrays(self) -> dict[str, FloatArray]:
        """All arrays, by the names that files have for them."""
        return {
            "weights": self.weights,
            "means": self.means,
            "covariances": self.covariances,
            "factors": self.precisions_cholesky,
        }

    def copied(self) -> Self:
        """Return the same numbers in arrays of its own."""
        own: dict[str, Any] = {part.name: getattr(self, part.name) for part in fields(self)}
        arrays = {name: value for name, value in own.items() if isinstance(value, np.ndarray)}
        return replace(self, **own | {name: array.copy() for name, array in arrays.items()})

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
        return self.structure.precisions_of_factors(self.precisions_cholesky)

    def density(self, dtype: DTypeLike = np.float64, *, gaps: bool = False) -> Density:
        """The constants that a pass over rows of a dtype needs, of which some may lack values."""
        center, means = np.empty(self.n_features), np.empty(self.means.shape)
        log_scales = np.empty(self.n_components)
        # what was sent to another process may lie anywhere in what it received
        factors = aligned(np.ascontiguousarray(self.precisions_cholesky))
        given = aligned(self.weights), aligned(self.means), factors
        form = self.structure.form
        dispatch.estimates().density_constants(form, *given, dtype, center, means, log_scales)
        return Density(form, center, means, factors, log_scales, self._log_noise(), gaps)

    def full_covariances(self) -> FloatArray:
        """Covariance matrices (K, D, D) whatever the structure."""
        shape = self.n_components, self.n_features
        return self.structure.as_matrices(self.covariances, *shape)

    def n_free(self) -> int:
        """Number of free parameters: means, covariances, and weights that sum to one.

        The noise counts as two, its weight and its volume, as in mclust.
        """
        k, d = self.n_components, self.n_features
        return k * d + self.structure.n_free(k, d) + k - 1 + 2 * (self.noise is not None)

    def without_noise(self) -> Self:
        """The Gaussian components alone, with weights that sum to one; itself if there is no noise.

        Components that have no weight beside the noise all get the same.
        """
        if self.noise is None:
            return self
        total = float(self.weights.sum())
        k = self.n_components
        shares = self.weights / total if total > 0 else np.full(k, 1 / k)
        return replace(self, weights=shares, noise=None)

    def with_noise(self, weight: float, log_density: float) -> Self:
        """The same components beside noise of this weight."""
        shares = self.weights * ((1 - weight) / self.weights.sum())
        return replace(self, weights=shares, noise=Noise(weight, log_density))

    def _log_noise(self) -> float | None:
        if self.noise is None:
            return None
        with np.errstate(divide="ignore"):
            return float(np.log(self.noise.weight)) + self.noise.log_density
