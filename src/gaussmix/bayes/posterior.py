"""A distribution over the parameters of a mixture: what variational Bayes has instead of them."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gaussmix._core import dispatch
from gaussmix._core.checks import aligned
from gaussmix._core.conjugate import Conjugate
from gaussmix._core.density import Density
from gaussmix._core.types import FloatArray
from gaussmix.model.covariance import CovarianceStructure
from gaussmix.model.parameters import Parameters


@dataclass(frozen=True)
class Posterior(Parameters):
    r"""Independent distributions of the weights and of each component (Bishop, PRML, 10.2.1).

    The precision of component k is Wishart, and its mean is normal given that:

        precision_k ~ W(W_k, nu_k),     mean_k ~ N(m_k, inv(beta_k precision_k))

    The weights are Dirichlet, with a concentration (K,), or come from breaking a stick: component
    k takes a part v_k ~ Beta(a_k, b_k) of what those before it left, with concentration (2, K)
    (Blei & Jordan, 2006).

    As parameters of a mixture, they are the expected weights and means, and the inverses of the
    expected precisions, nu_k W_k. A prior is of this class too. Where it is the same for all
    components, its arrays but the concentration have one row that stands for all.

    W_k has the shape of the structure: with diag and spherical a Wishart's scale matrix is
    diagonal, or a multiple of the identity, and with tied all components have one. That is what
    scikit-learn's updates maximise over, see `gaussmix.bayes.m_step`.

    References
    ----------
    Blei & Jordan (2006), Variational inference for Dirichlet process mixtures, Bayesian Analysis 1,
    121-143.
    """

    concentration: FloatArray
    mean_precision: FloatArray  # (K,), beta
    degrees_of_freedom: FloatArray  # (K,), tied (): nu

    @classmethod
    def of(
        cls,
        structure: CovarianceStructure,
        concentration: FloatArray,
        mean_precision: FloatArray,
        means: FloatArray,
        degrees_of_freedom: FloatArray,
        covariances: FloatArray,
    ) -> Self:
        """Return a posterior, from inv(nu_k W_k); raises NotPositiveDefiniteError."""
        return cls(
            structure,
            expected_weights(concentration),
            means,
            covariances,
            structure.precision_factors(covariances),
            concentration,
            mean_precision,
            degrees_of_freedom,
        )

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "conjugate"}

    def arrays(self) -> dict[str, FloatArray]:
        """All arrays, by name."""
        return {
            **super().arrays(),
            "concentration": self.concentration,
            "mean_precision": self.mean_precision,
            "degrees_of_freedom": self.degrees_of_freedom,
        }

    def density(self, dtype: DTypeLike = np.float64, *, gaps: bool = False) -> Density:
        r"""Return constants of the expected log-densities, which do not integrate to one.

        These are E[log weight_k] + E[log N(x | mean_k, inv(precision_k))] (Bishop, PRML, 10.46,
        10.64 to 10.66).
        """
        center, means = np.empty(self.n_features), np.empty(self.means.shape)
        log_scales, given = np.empty(self.n_components), self.conjugate
        dispatch.bayesian().expected_constants(given, dtype, center, means, log_scales)
        return Density(given.structure, center, means, given.factors, log_scales, None, gaps)

    @cached_property
    def conjugate(self) -> Conjugate:
        """The arrays, as compiled code takes them."""
        arrays = (
            self.weights, self.means, self.covariances, self.precisions_cholesky,
            self.concentration, self.mean_precision, self.degrees_of_freedom,
        )  # fmt: skip
        # what was sent to another process may lie anywhere in what it received
        laid_out = (aligned(np.asarray(array, order="C")) for array in arrays)
        return Conjugate(self.structure.form, *laid_out)

    def divergence(self, prior: "Posterior") -> float:
        """Return the Kullback-Leibler divergence of this posterior from its prior, in nats."""
        return dispatch.bayesian().divergence(self.conjugate, prior.conjugate)

    @cached_property
    def scales(self) -> FloatArray:
        """inv(W_k), in the shape of covariances."""
        freedom, own = self.degrees_of_freedom, self.covariances
        return np.asarray(freedom.reshape(freedom.shape + (1,) * (own.ndim - 1)) * own)

    def counts_beyond(self, prior: "Posterior") -> FloatArray:
        """Return how many rows each component has had since the prior: (K,)."""
        return np.asarray(self.mean_precision - prior.mean_precision)

    def after(self, counts: FloatArray, means: FloatArray, covariances: FloatArray) -> Self:
        """Return a posterior whose components have had so many rows (K,) since this prior.

        Means and covariances are those of the posterior. Raises NotPositiveDefiniteError.
        """
        found = replace(self.unset_after(), means=means, covariances=covariances)
        sound = dispatch.bayesian().add_counts(self.conjugate, counts, found.conjugate)
        if not sound:
            raise found.structure.not_definite(found.precisions_cholesky)
        return found

    def unset_after(self) -> Self:
        """Return a posterior of this prior, of any values, to be set."""
        n_components, n_features = len(self.weights), self.n_features
        spread = self.structure.shape(n_components, n_features)
        return self.__class__(
            self.structure,
            np.empty(n_components),
            np.empty((n_components, n_features)),
            np.empty(spread),
            np.empty(spread),
            np.empty(self.concentration.shape),
            np.empty(n_components),
            np.empty(() if self.structure.shared else n_components),
        )

    def of_components(self, chosen: NDArray[np.intp]) -> Self:
        """Return the distribution of some of the components, by their numbers."""
        own, shared = self.covariances, self.structure.shared
        return self.of(
            self.structure,
            self.concentration[..., chosen],
            self.mean_precision[chosen],
            self.means[chosen],
            self.degrees_of_freedom if shared else self.degrees_of_freedom[chosen],
            own if shared else own[chosen],
        )


def expected_weights(concentration: FloatArray) -> FloatArray:
    """Return E[weight_k], with sum 1: (K,).

    What a stick leaves beyond the last component, next to nothing, is shared out.
    """
    weights = np.empty(concentration.shape[-1])
    dispatch.bayesian().expected_weights(aligned(np.ascontiguousarray(concentration)), weights)
    return weights
