"""Variational Bayes between passes in plain NumPy, to be read beside the formulas.

The functions have the names, signatures and errors of the compiled module `bayesian`. Precisions
are Wishart and means are normal given those (Bishop, PRML, 10.2.1):

    precision_k ~ W(W_k, nu_k),     mean_k ~ N(m_k, inv(beta_k precision_k))

The weights are Dirichlet, or component k takes a part v_k ~ Beta(a_k, b_k) of the stick that those
before it left (Blei & Jordan, 2006).
"""

import numpy as np
from numpy.typing import DTypeLike
from scipy.special import digamma, gammaln

from gaussmix._core import reference_estimates
from gaussmix._core.checks import FLOAT64, require_array, require_moments
from gaussmix._core.conjugate import (
    Conjugate,
    require_concentration,
    require_pair,
    require_posterior,
)
from gaussmix._core.density import EPS, LEAST_WEIGHT, LOG_2_PI
from gaussmix._core.reference_estimates import Ascent, Moments, Numbers
from gaussmix._core.types import FloatArray


@np.errstate(over="ignore", invalid="ignore")  # the returned value tells
def maximise_bound(
    prior: Conjugate,
    shift: FloatArray,
    n_k: FloatArray,
    first: FloatArray,
    second: FloatArray,
    row_weight: float,
    reg_covar: float,
    posterior: Conjugate,
) -> bool:
    r"""The M-step: the posterior of largest evidence lower bound (Bishop, PRML, 10.58 to 10.63).

    IN: a prior; moments as `accumulate` adds them up, about a shift (K, D); row_weight, the mean
    weight of a row; reg_covar, added to every variance of every row. OUT: the posterior. With the
    mean xbar_k and the scatter n_k S_k of a component's rows

        m_k = m_0 + n_k / (beta_0 + n_k) (xbar_k - m_0)
        A_k = inv(W_0) + n_k (S_k + reg_covar I)
              + beta_0 n_k / (beta_0 + n_k) (xbar_k - m_0)(xbar_k - m_0)'

    and inv(W_k) = A_k; diag: its diagonal; spherical: the mean of that; tied: the mean of all A_k.
    The rest is as in `add_counts`. As in scikit-learn, 10 eps of row_weight are added to every n_k.

    Returns whether all factors are finite and positive.
    """
    require_moments(prior.structure, shift, n_k, first, second)
    require_pair(posterior, prior)
    require_array("shift", shift, posterior.means.shape, FLOAT64)
    counts = n_k + 10 * EPS * row_weight
    moved = first / counts[:, None]
    away = shift + moved - prior.means
    total = prior.mean_precision + counts
    posterior.means[:] = prior.means + (counts / total)[:, None] * away
    outer = moved[:, :, None] * moved[:, None, :] * (n_k - 2 * counts)[:, None, None]
    outer += (
        away[:, :, None] * away[:, None, :] * (prior.mean_precision * counts / total)[:, None, None]
    )
    outer += reg_covar * counts[:, None, None] * np.eye(len(moved.T))
    if prior.structure == "full":
        scatter = second + outer
    elif prior.structure == "tied":
        scatter = (second + outer.sum(axis=0)) / len(n_k)
    elif prior.structure == "diag":
        scatter = second + np.einsum("kii->ki", outer)
    else:
        scatter = (second + np.einsum("kii->k", outer)) / len(moved.T)
    _count(prior, counts, posterior)
    unscaled = _like(prior.degrees_of_freedom, prior.covariances) * prior.covariances + scatter
    posterior.covariances[...] = unscaled / _like(posterior.degrees_of_freedom, scatter)
    return _factorise(posterior)


def add_counts(prior: Conjugate, counts: FloatArray, posterior: Conjugate) -> bool:
    """The posterior of components that have had so many rows more.

    IN: a prior, counts (K,), means and covariances of the posterior. OUT: all else of it. With the
    counts n_k: beta_k = beta_0 + n_k; nu_k = nu_0 + n_k, tied: nu_0 and the mean of all n_k; a
    Dirichlet has alpha_k = alpha_0 + n_k, and sticks have a_k = a_0 + n_k and
    b_k = b_0 + sum_{j > k} n_j.

    Returns whether all factors are finite and positive.
    """
    require_pair(posterior, prior)
    require_array("counts", counts, posterior.weights.shape, FLOAT64)
    _count(prior, counts, posterior)
    return _factorise(posterior)


def expected_weights(concentration: FloatArray, weights: FloatArray) -> None:
    """E[weight_k], with sum 1, and never 0.

    IN: concentration (K,), or (2, K) of sticks. OUT: weights (K,). What a stick leaves beyond the
    last component, next to nothing, is shared out.
    """
    require_concentration(concentration, weights)
    if concentration.ndim == 1:
        weights[:] = concentration
    else:
        weights[:], left = concentration / concentration.sum(axis=0)
        weights[1:] *= left[:-1].cumprod()
    weights[:] = np.maximum(weights / weights.sum(), LEAST_WEIGHT)


def expected_constants(
    posterior: Conjugate,
    dtype: DTypeLike,
    center: FloatArray,
    deviations: FloatArray,
    log_scales: FloatArray,
) -> None:
    """What `Density` holds of expected log-densities, which do not integrate to one.

    As `reference_estimates.density_constants`, but with (Bishop, PRML, 10.46, 10.64 to 10.66)

        log_scales_k = E[log weight_k] + E[log |precision_k|] / 2 - D / 2 (log 2 pi + 1 / beta_k)
    """
    require_posterior(posterior)
    parts = posterior.structure, posterior.weights, posterior.means, posterior.factors
    reference_estimates.density_constants(*parts, dtype, center, deviations, log_scales)
    spread = len(posterior.means.T) * (LOG_2_PI + 1 / posterior.mean_precision)
    log_scales[:] = _expected_log_weights(posterior.concentration)
    log_scales += (_expected_log_determinants(posterior) - spread) / 2


def divergence(posterior: Conjugate, prior: Conjugate) -> float:
    """The Kullback-Leibler divergence of a posterior from its prior, in nats.

    It is the sum of those of the weights, of the means given the precisions, and of the precisions
    (Bishop, PRML, 10.72 to 10.77, and B.78 to B.82 of appendix B). Under a tied Wishart every
    component has a precision of its own.
    """
    require_pair(posterior, prior)
    sticks = posterior.concentration.T, prior.concentration.T  # (K, 2), or (K,)
    components = _of_means(posterior, prior) + _of_precisions(posterior, prior)
    return _of_weights(*sticks) + float(components.sum())


class EvidenceAscent(Ascent):
    """The evidence lower bound of all rows, which `maximise_bound` raises."""

    def __init__(self, prior: Conjugate, posterior: Conjugate, reg_covar: float) -> None:
        """IN: prior and reg_covar, as for `maximise_bound`. INOUT: posterior, the point."""
        require_pair(posterior, prior)
        super().__init__(posterior.structure, posterior.arrays(), reg_covar)
        self._prior, self._posterior = prior, posterior

    def bound(self, log_likelihood: float, _weight: float) -> float:
        """The value at the point, under which all rows have this log-likelihood."""
        return log_likelihood - divergence(self._posterior, self._prior)

    def _find_constants(
        self, dtype: DTypeLike, center: FloatArray, deviations: FloatArray, log_scales: FloatArray
    ) -> None:
        expected_constants(self._posterior, dtype, center, deviations, log_scales)

    def _maximise(self, moments: Moments, row_weight: float, image: Numbers) -> bool:
        reached = Conjugate(self._structure, *image)
        return maximise_bound(self._prior, *moments, row_weight, self._reg_covar, reached)


def _like(values: FloatArray, array: FloatArray) -> FloatArray:
    """Values of components, to multiply what has more axes."""
    return values.reshape(values.shape + (1,) * (array.ndim - values.ndim))


def _count(prior: Conjugate, counts: FloatArray, posterior: Conjugate) -> None:
    """Find all that follows from counts."""
    posterior.mean_precision[:] = prior.mean_precision + counts
    more = counts.mean() if prior.structure == "tied" else counts
    posterior.degrees_of_freedom[...] = prior.degrees_of_freedom + more
    posterior.concentration[...] = prior.concentration
    if prior.is_process:
        posterior.concentration[0] += counts
        posterior.concentration[1, :-1] += counts[:0:-1].cumsum()[::-1]
    else:
        posterior.concentration[:] += counts
    expected_weights(posterior.concentration, posterior.weights)


def _factorise(posterior: Conjugate) -> bool:
    """Find the factors: whether all are finite and positive."""
    covariances, factors = posterior.covariances, posterior.factors
    if posterior.structure in ("full", "tied"):
        shape = -1, *covariances.shape[-2:]
        reference_estimates.precision_factors(covariances.reshape(shape), factors.reshape(shape))
    else:
        with np.errstate(divide="ignore", invalid="ignore"):
            factors[:] = 1 / np.sqrt(covariances)
    diagonals = _diagonals(posterior)
    return bool((np.isfinite(diagonals) & (diagonals > 0)).all())


def _diagonals(given: Conjugate) -> FloatArray:
    """Factors on the diagonals: (K, D), tied (1, D)."""
    n_features = given.means.shape[1]
    if given.structure in ("full", "tied"):
        return given.factors.reshape(-1, n_features**2)[:, :: n_features + 1]
    each = given.factors if given.structure == "diag" else given.factors[:, None]
    return np.broadcast_to(each, given.means.shape)


def _halves(given: Conjugate) -> FloatArray:
    """(nu_k - i) / 2 for every feature i: (K, D), tied (1, D)."""
    return np.asarray(
        (np.atleast_1d(given.degrees_of_freedom)[:, None] - np.arange(given.means.shape[1])) / 2
    )


def _log_determinants(given: Conjugate) -> FloatArray:
    """Those of 2 W_k: (K,), tied (1,)."""
    halves = np.log(_halves(given)[:, 0])
    return np.asarray(2 * np.log(_diagonals(given)).sum(axis=1) - given.means.shape[1] * halves)


def _expected_log_determinants(given: Conjugate) -> FloatArray:
    """E[log |precision_k|]: (K,), tied (1,) (Bishop, PRML, 10.65)."""
    return np.asarray(digamma(_halves(given)).sum(axis=1) + _log_determinants(given))


def _expected_log_weights(concentration: FloatArray) -> FloatArray:
    """E[log weight_k]: (K,) (Bishop, PRML, 10.66)."""
    parts = digamma(concentration) - digamma(concentration.sum(axis=0))
    if parts.ndim == 2:
        parts[0, 1:] += parts[1, :-1].cumsum()
        parts = parts[0]
    return np.asarray(parts)


def _of_weights(given: FloatArray, prior: FloatArray) -> float:
    """Return the divergence of Dirichlets from others: each is along the last axis."""
    sums, prior_sums = given.sum(axis=-1), prior.sum(axis=-1)
    gained = (given - prior) * (digamma(given) - digamma(sums)[..., None])
    parts = gained - gammaln(given) + gammaln(prior)
    return float(parts.sum() + (gammaln(sums) - gammaln(prior_sums)).sum())


def _of_means(posterior: Conjugate, prior: Conjugate) -> FloatArray:
    """Return the expected divergence of each mean's normal from the prior's: (K,)."""
    ratio = prior.mean_precision / posterior.mean_precision
    away = posterior.means - prior.means
    if posterior.structure in ("full", "tied"):
        away = (away[:, None, :] @ posterior.factors)[:, 0]
    else:
        away = away * _diagonals(posterior)
    spread = posterior.means.shape[1] * (ratio - 1 - np.log(ratio))
    return np.asarray((spread + prior.mean_precision * (away**2).sum(axis=1)) / 2)


def _of_precisions(posterior: Conjugate, prior: Conjugate) -> FloatArray:
    """Return the divergence of each precision's Wishart from the prior's: (K,), tied (1,).

    The part of the norms of Wisharts that is one for all is left out.
    """
    freedom, before = (np.atleast_1d(c.degrees_of_freedom) for c in (posterior, prior))
    norms = [
        -halves[:, 0] * _log_determinants(given) - gammaln(halves).sum(axis=1)
        for given in (posterior, prior)
        for halves in [_halves(given)]
    ]
    gained = (freedom - before) * _expected_log_determinants(posterior)
    n_features, factors = posterior.means.shape[1], posterior.factors
    if posterior.structure in ("full", "tied"):
        products = prior.covariances * (factors @ factors.swapaxes(-1, -2))
        traces = products.reshape(-1, n_features**2).sum(axis=1)
    else:
        variances = prior.covariances.reshape(len(prior.means), -1)
        traces = (variances * _diagonals(posterior) ** 2).sum(axis=1)
    return np.asarray(norms[0] - norms[1] + (gained + before * traces - freedom * n_features) / 2)
