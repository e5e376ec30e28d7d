r"""How far apart the components of a mixture are, every pair in closed form.

For components i and j let s be the singular values of U_j' L_i, with C_i = L_i L_i' and
inv(C_j) = U_j U_j', and y the difference of their means in the basis of the left singular vectors
of U_j' L_i, in units of j: there j is standard normal, and i has the standard deviations s.
"""

from collections.abc import Callable, Iterator

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.model.parameters import Parameters
from gaussmix.model.structures import Variances


def kullback_leibler(parameters: Parameters) -> FloatArray:
    r"""KL(i || j), what is lost when j stands for i (Kullback & Leibler, 1951): (K, K).

    1/2 sum_d (s_d^2 - 1 - log s_d^2 + y_d^2).
    """

    def divergence(s: FloatArray, y: FloatArray) -> FloatArray:
        return 0.5 * np.asarray(((s - 1) * (s + 1) - 2 * np.log(s) + y**2).sum(axis=1))

    return _pairwise(divergence, parameters)


def bhattacharyya(parameters: Parameters) -> FloatArray:
    r"""Bhattacharyya's distance, minus the logarithm of the overlap (Bhattacharyya, 1943): (K, K).

    sum_d (1/4 y_d^2 / (1 + s_d^2) + 1/2 log(1/2 (s_d + 1 / s_d))).
    """
    upper = np.triu(_pairwise(_bhattacharyya, parameters))
    return upper + upper.T


def bhattacharyya_from(i: int, means: FloatArray, factors: FloatArray) -> FloatArray:
    """Bhattacharyya's distances of a Gaussian from all with means (K, D): (K,).

    Factors (K, D, D) are upper ones of the precisions, with diagonals of any sign.
    """
    return _bhattacharyya(*_relative_to_all(i, means, factors))


def bhattacharyya_of_variances(i: int, variances: FloatArray) -> FloatArray:
    """Bhattacharyya's distances of a Gaussian from all, of one mean and variances (K, D): (K,)."""
    s = np.sqrt(variances[i] / variances)
    return _bhattacharyya(s, np.zeros(1))


def hellinger(parameters: Parameters) -> FloatArray:
    """Hellinger's distance, from 0 to 1: sqrt(1 - exp(-Bhattacharyya's)): (K, K)."""
    return np.sqrt(-np.expm1(-bhattacharyya(parameters)))


DISTANCES: dict[str, Callable[[Parameters], FloatArray]] = {
    "kl": kullback_leibler,
    "bhattacharyya": bhattacharyya,
    "hellinger": hellinger,
}


def _pairwise(
    function: Callable[[FloatArray, FloatArray], FloatArray], parameters: Parameters
) -> FloatArray:
    """A function of s and y (K, D), of one component and all, as rows; 0 on the diagonal."""
    out = np.stack([function(s, y) for s, y in _relative(parameters)])
    np.fill_diagonal(out, 0.0)
    return out


def _relative(parameters: Parameters) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Yield s and y of every component i seen from all components j: (K, D) each."""
    means, factors = parameters.means, parameters.precisions_cholesky
    structure = parameters.structure
    if structure.shared:
        ones = np.ones_like(means)
        yield from ((ones, (mean - means) @ factors) for mean in means)
    elif not isinstance(structure, Variances):
        yield from (_relative_to_all(i, means, factors) for i in range(len(means)))
    else:
        inverse = np.broadcast_to(structure.diagonals(factors), means.shape)
        for mean, scale in zip(means, inverse, strict=True):
            yield inverse / scale, (mean - means) * inverse


def _relative_to_all(
    i: int, means: FloatArray, factors: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return s and y of component i seen from all, whose factors are matrices (K, D, D)."""
    transposed = np.swapaxes(factors, 1, 2)
    left, s, _ = np.linalg.svd(transposed @ np.linalg.inv(factors[i]).T)
    y = transposed @ (means[i] - means)[:, :, None]
    return s, (np.swapaxes(left, 1, 2) @ y)[:, :, 0]


def _bhattacharyya(s: FloatArray, y: FloatArray) -> FloatArray:
    spread = np.log1p((1 - s) ** 2 / (2 * s))
    return np.asarray((0.25 * y**2 / (1 + s**2) + 0.5 * spread).sum(axis=1))
