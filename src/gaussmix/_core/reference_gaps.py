r"""Rows that lack values, in plain NumPy: a part of `reference`.

Let o be the features that a row x has and m those that it lacks, mu and C a component's mean and
covariance, both split accordingly. The row's density is that of what it has, N(x_o | mu_o, C_oo).
What it says of the rest (Bishop, PRML, 2.81, 2.82; Ghahramani & Jordan, 1994) is

    E[x_m | x_o] = mu_m + C_mo inv(C_oo) (x_o - mu_o),  cov[x_m | x_o] = C_mm - C_mo inv(C_oo) C_om.
"""

from typing import NamedTuple

import numpy as np

from gaussmix._core.density import LOG_2_PI, Density
from gaussmix._core.types import FloatArray


class Filled(NamedTuple):
    """Rows (B, D) as each of K components sees them."""

    log_prob: FloatArray  # (B, K), weighted log-densities of the values that a row has
    deviations: FloatArray  # (K, B, D), expectations less the component's mean
    covariances: FloatArray  # (K, B, D, D), of what a row lacks, given what it has; 0 elsewhere


@np.errstate(over="ignore", invalid="ignore")  # a square may overflow: it is bounded later
def filled(z: FloatArray, density: Density) -> Filled:
    """Fill in centred rows for every component."""
    n_components, n_features = density.means.shape
    log_prob = np.empty((len(z), n_components))
    deviations = z - density.means[:, None, :]
    covariances = np.zeros((n_components, len(z), n_features, n_features))
    log_weights = density.log_scales + 0.5 * n_features * LOG_2_PI
    patterns, pattern_of_row = np.unique(~np.isnan(z), axis=0, return_inverse=True)
    for k, factor in enumerate(_factors(density)):
        log_weights[k] -= np.log(np.abs(factor.diagonal())).sum()
        root = np.linalg.inv(factor)
        covariance = root.T @ root
        for pattern, known in enumerate(patterns):
            rows, lacking = (pattern_of_row.ravel() == pattern).nonzero()[0], ~known
            here, there = covariance[np.ix_(known, known)], covariance[np.ix_(lacking, lacking)]
            across = covariance[np.ix_(known, lacking)]
            own = deviations[k][np.ix_(rows, known)]
            slopes = np.linalg.solve(here, across)
            whitened = np.linalg.solve(np.linalg.cholesky(here), own.T)
            log_determinant = np.linalg.slogdet(here)[1]
            log_prob[rows, k] = log_weights[k] - 0.5 * (
                log_determinant + known.sum() * LOG_2_PI + (whitened**2).sum(axis=0)
            )
            deviations[k][np.ix_(rows, lacking)] = own @ slopes
            covariances[k][np.ix_(rows, lacking, lacking)] = there - across.T @ slopes
    return Filled(log_prob, deviations, covariances)


def _factors(density: Density) -> FloatArray:
    """Return every component's factor of the precision as a matrix: (K, D, D)."""
    n_components, n_features = density.means.shape
    factors = density.factors
    if density.structure == "spherical":
        factors = np.repeat(factors[:, None], n_features, axis=1)
    if density.structure in ("diag", "spherical"):
        factors = factors[:, :, None] * np.eye(n_features)
    return np.broadcast_to(factors, (n_components, n_features, n_features))
