"""How far a posterior is from its prior: what the evidence lower bound takes off the likelihood."""

import numpy as np
from scipy.special import digamma, gammaln

from gaussmix._core.types import FloatArray
from gaussmix.bayes.posterior import Posterior


def divergence(posterior: Posterior, prior: Posterior) -> float:
    r"""Return the Kullback-Leibler divergence of a posterior from its prior, in nats.

    It is the sum of those of the weights, of the means given the precisions, and of the precisions
    (Bishop, PRML, 10.72 to 10.77, and B.78 to B.82 of appendix B).
    """
    weights = _of_dirichlets(posterior.concentration, prior.concentration)
    components = _of_means(posterior, prior) + _of_precisions(posterior, prior)
    return weights + float(np.broadcast_to(components, len(posterior.means)).sum())


def _of_dirichlets(concentration: FloatArray, before: FloatArray) -> float:
    """Return the divergence of a Dirichlet from another, or of the Beta of every stick."""
    shape = (-1, 1) if concentration.ndim == 1 else concentration.shape
    after, before = concentration.reshape(shape), before.reshape(shape)
    totals, before_totals = after.sum(axis=0), before.sum(axis=0)
    change = gammaln(totals) - gammaln(before_totals)
    change += (gammaln(before) - gammaln(after)).sum(axis=0)
    change += ((after - before) * (digamma(after) - digamma(totals))).sum(axis=0)
    return float(change.sum())


def _of_means(posterior: Posterior, prior: Posterior) -> FloatArray:
    """Return the expected divergence of each mean's normal from the prior's: (K,)."""
    ratio = prior.mean_precision / posterior.mean_precision
    distances = prior.mean_precision * posterior.squared_distances(prior.means)
    spread = posterior.n_features * (ratio - 1 - np.log(ratio))
    return np.asarray((spread + distances) / 2)


def _of_precisions(posterior: Posterior, prior: Posterior) -> FloatArray:
    """Return the divergence of each precision's Wishart from the prior's: (K,), tied (1,)."""
    freedom, n_features = posterior.degrees_of_freedom, posterior.n_features
    gained = (freedom - prior.degrees_of_freedom) * posterior.expected_log_determinants()
    traces = posterior.traces_with(prior.scales) - freedom * n_features
    return _log_norm(posterior) - _log_norm(prior) + (gained + traces) / 2


def _log_norm(wisharts: Posterior) -> FloatArray:
    """Return log B(W, nu), what normalises a Wishart's density (Bishop, PRML, B.79)."""
    freedom, n_features = wisharts.degrees_of_freedom, wisharts.n_features
    log_determinants = wisharts.log_determinants() - n_features * np.log(freedom / 2)
    halves = (freedom - np.arange(n_features)[:, None]) / 2
    log_gammas = gammaln(halves).sum(axis=0) + n_features * (n_features - 1) / 4 * np.log(np.pi)
    return np.asarray(-freedom / 2 * log_determinants - log_gammas)
