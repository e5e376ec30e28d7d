"""What rows that lack values need to know of a density, beside what it holds for the others.

Let o be the features that a row has and m those that it lacks, and d its deviation from a
component's mean, 0 in m. With P = U U' the precision and g = P d, the most probable values in m are

    d_m = -inv(P_mm) g_m,

the conditional covariance is inv(P_mm), and with these values the quadratic form |U' d|^2 is that
of the marginal density of o, whose determinant is |P| / |P_mm|.
"""

from typing import NamedTuple

import numpy as np

from gaussmix._core.density import LOG_2_PI, Density
from gaussmix._core.types import FloatArray


class Margins(NamedTuple):
    """Constants for rows that lack values, of K components, or of M = 1 that all share.

    Features have one more after them, D, that no row has. It fills lists of features that are
    shorter than others.
    """

    factors: FloatArray  # (M, W, W), U, and zeros from feature D on
    precisions: FloatArray  # (M, D + 1, D + 1), P scaled to a diagonal of ones, and 0
    inverse_roots: FloatArray  # (K, D + 1), P_ii^(-1/2), and 1
    log_scales: FloatArray  # (K, D + 1), (log 2 pi - log P_ii) / 2, and 0
    log_weights: FloatArray  # (K,)


def margins(density: Density, width: int) -> Margins:
    """Return the constants of a density, with factors of `width` rows and columns.

    Where covariances are variances there are neither factors nor precisions, (0, 0, 0).
    """
    n_components, n_features = density.means.shape
    factors, precisions = np.zeros((0, 0, 0)), np.zeros((0, 0, 0))
    if density.structure in ("full", "tied"):
        given = density.factors.reshape(-1, n_features, n_features)
        diagonals = np.abs(given.diagonal(axis1=1, axis2=2))
        factors = np.zeros((len(given), width, width))
        factors[:, :n_features, :n_features] = given
        # of unit rows, so that no product leaves the range of numbers
        lengths = np.sqrt(np.einsum("mij,mij->mi", given, given))
        scaled = given / lengths[:, :, None]
        precisions = np.zeros((len(given), n_features + 1, n_features + 1))
        precisions[:, :-1, :-1] = scaled @ scaled.transpose(0, 2, 1)
        roots = lengths
    elif density.structure == "diag":
        roots = diagonals = density.factors
    else:
        roots = diagonals = np.repeat(density.factors[:, None], n_features, axis=1)
    inverse_roots, log_scales = np.ones((2, n_components, n_features + 1))
    inverse_roots[:, :-1] = 1 / roots
    log_scales[:, :-1] = 0.5 * LOG_2_PI - np.log(roots)
    log_scales[:, -1] = 0
    log_weights = density.log_scales - np.log(diagonals).sum(axis=1) + 0.5 * n_features * LOG_2_PI
    return Margins(factors, precisions, inverse_roots, log_scales, log_weights)


def lane_tables(
    constants: Margins, density: Density, n_lanes: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the constants for rows that lack the same, with components last, `n_lanes` of them.

    These are what features are divided by for a precision with a diagonal of ones, (D, K), the
    means, (D, K), and U' of that precision, (D, D, K). Unit matrices fill the lanes of no
    component. Where covariances are variances there is no U' (0, 0, 0).
    """
    n_components, n_features = density.means.shape
    lengths, means = np.ones((n_features, n_lanes)), np.zeros((n_features, n_lanes))
    lengths[:, :n_components] = 1 / constants.inverse_roots[:, :-1].T
    means[:, :n_components] = density.means.T
    if not len(constants.factors):
        return lengths, means, np.zeros((0, 0, 0))
    factors = constants.factors[:, :n_features, :n_features]
    roots = np.repeat(np.eye(n_features)[:, :, None], n_lanes, axis=2)
    roots[:, :, :n_components] = factors.transpose(2, 1, 0)
    roots[:, :, :n_components] /= lengths[:, :n_components]
    return lengths, means, roots
