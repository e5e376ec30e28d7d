"""A distribution over mixtures, as numbers: what variational Bayes has instead of one mixture."""

from dataclasses import dataclass

import numpy as np

from gaussmix._core.checks import FLOAT64, require_array
from gaussmix._core.density import STRUCTURES, factors_shape
from gaussmix._core.types import FloatArray, Structure


@dataclass(frozen=True)
class Conjugate:
    """Arrays of a posterior of K components in D dimensions, or of a prior (Bishop, PRML, 10.2.1).

    Where a prior is the same for all components, its arrays but weights and concentration may have
    one row that stands for all. All are float64 and C-contiguous. That the arrays fit together is
    checked here, once: three functions take a posterior in every iteration.
    """

    structure: Structure
    weights: FloatArray  # (K,), expected
    means: FloatArray  # (K, D), m
    covariances: (
        FloatArray  # inv(nu_k W_k): full (K, D, D), tied (D, D), diag (K, D), spherical (K,)
    )
    factors: FloatArray  # upper factors U of the expected precisions nu_k W_k = U U', as large
    concentration: FloatArray  # of a Dirichlet (K,), or of the Beta of every stick's part (2, K)
    mean_precision: FloatArray  # (K,), beta
    degrees_of_freedom: FloatArray  # (K,), tied (): nu

    def __post_init__(self) -> None:
        structure, shape = self.structure, self.means.shape
        if structure not in STRUCTURES:
            raise ValueError(f"structure must be one of {STRUCTURES}, got {structure!r}")
        n_components = len(self.weights)
        if len(shape) != 2 or 0 in shape or shape[0] not in (1, n_components):
            raise ValueError(
                f"means must have shape ({n_components}, D) or (1, D), D at least 1, got {shape}"
            )
        each, spread = shape[:1], factors_shape(structure, *shape)
        require_concentration(self.concentration, self.weights)
        require_array("means", self.means, shape, FLOAT64)
        require_array("covariances", self.covariances, spread, FLOAT64)
        require_array("factors", self.factors, spread, FLOAT64)
        require_array("mean_precision", self.mean_precision, each, FLOAT64)
        freedom = () if structure == "tied" else each
        require_array("degrees_of_freedom", self.degrees_of_freedom, freedom, FLOAT64)

    def arrays(self) -> tuple[FloatArray, ...]:
        """All arrays, in order."""
        return (
            self.weights, self.means, self.covariances, self.factors,
            self.concentration, self.mean_precision, self.degrees_of_freedom,
        )  # fmt: skip

    def blank(self) -> "Conjugate":
        """Return one of the same structure and size, of any values, to be set."""
        return Conjugate(self.structure, *(np.empty(array.shape) for array in self.arrays()))

    @property
    def is_process(self) -> bool:
        """Whether the weights come from breaking a stick."""
        return self.concentration.ndim == 2


def require_concentration(concentration: FloatArray, weights: FloatArray) -> None:
    """Raise unless these are a concentration and weights of as many components."""
    each = weights.shape[:1]
    require_array("weights", weights, each, FLOAT64)
    shape = (2, *each) if concentration.ndim == 2 else each
    require_array("concentration", concentration, shape, FLOAT64)


def require_posterior(given: object) -> None:
    """Raise unless it is a distribution of components each of which has its own numbers."""
    if not isinstance(given, Conjugate):
        raise TypeError(f"posterior must be Conjugate, got {type(given).__name__}")
    if len(given.means) != len(given.weights):
        raise ValueError(
            f"means of a posterior must be {len(given.weights)}, got {len(given.means)}"
        )


def require_pair(posterior: Conjugate, prior: Conjugate) -> None:
    """Raise unless these are a posterior, and a prior of as many components."""
    require_posterior(posterior)
    if not isinstance(prior, Conjugate):
        raise TypeError(f"prior must be Conjugate, got {type(prior).__name__}")
    kinds = [
        (given.structure, given.concentration.shape, given.means.shape[1])
        for given in (posterior, prior)
    ]
    if kinds[0] != kinds[1]:
        raise ValueError(
            "structure, concentration and features of a posterior must be its prior's, "
            f"{kinds[1]}, got {kinds[0]}"
        )
