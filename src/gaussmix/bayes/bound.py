"""How far a posterior is from its prior: what the evidence lower bound takes off the likelihood."""

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.bayes.posterior import Posterior


def divergence(posterior: Posterior, prior: Posterior) -> float:
    r"""Return the Kullback-Leibler divergence of a posterior from its prior, in nats.

    It is the sum of those of the weights, of the means given the precisions, and of the precisions
    (Bishop, PRML, 10.72 to 10.77, and B.78 to B.82 of appendix B).
    """
    components = _of_means(posterior, prior) + _of_precisions(posterior, prior)
    return _of_weights(posterior, prior) + float(components.sum())


def _of_weights(posterior: Posterior, prior: Posterior) -> float:
    """Return the divergence of a Dirichlet from another, or of the Beta of every stick."""
    gained = (posterior.concentration - prior.concentration) * posterior.expected_log_parts
    return posterior.log_norm_of_weights - prior.log_norm_of_weights + float(gained.sum())


def _of_means(posterior: Posterior, prior: Posterior) -> FloatArray:
    """Return the expected divergence of each mean's normal from the prior's: (K,)."""
    ratio = prior.mean_precision / posterior.mean_precision
    distances = prior.mean_precision * posterior.squared_distances(prior.means)
    spread = posterior.n_features * (ratio - 1 - np.log(ratio))
    return np.asarray((spread + distances) / 2)


def _of_precisions(posterior: Posterior, prior: Posterior) -> FloatArray:
    """Return the divergence of each precision's Wishart from the prior's: (K,), tied (1,)."""
    freedom = posterior.degrees_of_freedom
    gained = (freedom - prior.degrees_of_freedom) * posterior.expected_log_determinants
    traces = posterior.traces_with(prior.scales) - freedom * posterior.n_features
    norms = posterior.log_norms_of_precisions - prior.log_norms_of_precisions
    return np.asarray(norms + (gained + traces) / 2)
