"""A distribution over the parameters of a mixture: what variational Bayes has instead of them."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.special import digamma, gammaln

from gaussmix._core.density import LOG_2_PI, Density
from gaussmix._core.types import FloatArray
from gaussmix.model.covariance import CovarianceStructure
from gaussmix.model.parameters import Parameters

LOG_PI = math.log(math.pi)
LEAST_WEIGHT = float(np.finfo(np.float64).tiny)  # sticks far down the process have next to nothing


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
        n_features = self.n_features
        log_scales = (
            self.expected_log_weights()
            + self.expected_log_determinants / 2
            - n_features * (LOG_2_PI + 1 / self.mean_precision) / 2
        )
        return super().density(dtype, gaps=gaps)._replace(log_scales=log_scales)

    def expected_log_weights(self) -> FloatArray:
        """Return E[log weight_k]: (K,) (Bishop, PRML, 10.66)."""
        parts = self.expected_log_parts
        if parts.ndim == 1:
            return parts
        found = parts[0].copy()
        found[1:] += parts[1, :-1].cumsum()
        return np.asarray(found)

    @cached_property
    def expected_log_parts(self) -> FloatArray:
        """E[log weight_k], (K,), or E[log v_k] and E[log(1 - v_k)] of the sticks, (2, K)."""
        return np.asarray(digamma(self.concentration) - digamma(self.concentration.sum(axis=0)))

    @cached_property
    def log_norm_of_weights(self) -> float:
        """What normalises the density of the weights, or of all parts of sticks, as a logarithm."""
        concentration = self.concentration
        return float(gammaln(concentration.sum(axis=0)).sum() - gammaln(concentration).sum())

    @cached_property
    def expected_log_determinants(self) -> FloatArray:
        """E[log |precision_k|]: (K,), tied (1,) (Bishop, PRML, 10.65)."""
        return np.asarray(digamma(self._halves).sum(axis=0) + self._log_determinants)

    @cached_property
    def log_norms_of_precisions(self) -> FloatArray:
        """What normalises a Wishart, log B(W_k, nu_k): (K,), tied (1,) (Bishop, PRML, B.79)."""
        log_gammas = gammaln(self._halves).sum(axis=0)
        log_gammas += self.n_features * (self.n_features - 1) / 4 * LOG_PI
        return np.asarray(self._halves[0] * -self._log_determinants - log_gammas)

    @cached_property
    def _halves(self) -> FloatArray:
        """(nu_k - i) / 2 for every feature i: (D, K), tied (D, 1)."""
        return np.asarray((self.degrees_of_freedom - np.arange(self.n_features)[:, None]) / 2)

    @cached_property
    def _log_determinants(self) -> FloatArray:
        """Those of 2 W_k: (K,), tied (1,)."""
        diagonals = self.structure.diagonals(self.precisions_cholesky)
        halves = self.n_features * np.log(self._halves[0])
        return np.asarray(2 * self._over_features(np.log(diagonals)) - halves)

    def traces_with(self, scale: FloatArray) -> FloatArray:
        """Return tr(S nu_k W_k) for matrices S in the shape of covariances: (K,), tied (1,)."""
        products = scale * self.precisions
        if self.structure.shared:
            products = products[None]
        return self._over_features(products.reshape(len(products), -1))

    def squared_distances(self, means: FloatArray) -> FloatArray:
        """Return those of the means from others (K, D), under expected precisions: (K,)."""
        away = self.structure.in_units(self.precisions_cholesky, self.means - means)
        return np.asarray((away**2).sum(axis=1))

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

        Means and covariances are those of the posterior.
        """
        return self.of(
            self.structure,
            self.concentration_after(counts),
            self.mean_precision + counts,
            means,
            self.degrees_after(counts),
            covariances,
        )

    def concentration_after(self, counts: FloatArray) -> FloatArray:
        """Return the concentration when components have had so many rows (K,) more."""
        if self.concentration.ndim == 1:
            return np.asarray(self.concentration + counts)
        found = self.concentration.copy()
        found[0] += counts
        found[1, :-1] += counts[:0:-1].cumsum()[::-1]
        return found

    def degrees_after(self, counts: FloatArray) -> FloatArray:
        """Return the degrees of freedom when components have had so many rows (K,) more."""
        more = counts.mean() if self.structure.shared else counts
        return np.asarray(self.degrees_of_freedom + more)

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

    def _over_features(self, values: FloatArray) -> FloatArray:
        """Add up what each component has for its features, or once for all of them: (K,)."""
        repeats = self.n_features if values.shape[1] == 1 else 1
        return np.asarray(values.sum(axis=1) * repeats)


def expected_weights(concentration: FloatArray) -> FloatArray:
    """Return E[weight_k], with sum 1: (K,).

    What a stick leaves beyond the last component, next to nothing, is shared out.
    """
    if concentration.ndim == 1:
        weights = concentration
    else:
        weights, left = concentration / concentration.sum(axis=0)
        weights[1:] *= left[:-1].cumprod()
    return np.asarray(np.maximum(weights / weights.sum(), LEAST_WEIGHT))
