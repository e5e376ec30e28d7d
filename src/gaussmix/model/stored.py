"""Checks of parameters from a file, whose checksums say nothing of what they mean."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.model.checks import check_floats, check_means, check_weights
from gaussmix.model.covariance import CovarianceStructure
from gaussmix.model.parameters import Noise, Parameters

Read: TypeAlias = Callable[[str, tuple[int, ...]], FloatArray]
"""Returns an array of a name and a shape, from wherever it is kept."""

CONTRADICTION = 1e-3
"""By how much covariances and those of their factors may differ, in standard deviations of the two
features. Rounding leaves up to some 1e-8 times the number of features where a covariance is just
about definite."""


def check_stored(
    structure: CovarianceStructure,
    weights: FloatArray,
    means: FloatArray,
    covariances: FloatArray,
    factors: FloatArray,
    names: tuple[str, str, str, str],
    noise: Noise | None = None,
) -> Parameters:
    """Return parameters of which every array is sound, and which agree with each other.

    Covariances are not factored anew: one that EM could just factor may fail another time.

    Parameters
    ----------
    structure : CovarianceStructure
    weights, means, covariances, factors : ndarray
    names : tuple of str
        What errors call the arrays.
    noise : Noise, optional

    Raises
    ------
    ValueError
        If an array has another shape or values than parameters have, or the covariances are not
        those of the factors.
    """
    n_components, n_features = means.shape
    shape = structure.shape(n_components, n_features)
    check_floats(names[2], covariances, shape)
    check_floats(names[3], factors, shape)
    if not (structure.diagonals(covariances) > 0).all():
        raise ValueError(f"{names[2]} must have positive variances")
    if not ((structure.diagonals(factors) > 0).all() and structure.is_upper(factors)):
        raise ValueError(f"{names[3]} must be upper triangular, with a positive diagonal")
    parameters = Parameters(
        structure,
        check_weights(weights, n_components, names[0], 1.0 - (noise.weight if noise else 0.0)),
        check_means(means, n_components, n_features, names[1]),
        covariances,
        factors,
        noise=noise,
    )
    if not _agree(parameters):
        raise ValueError(f"{names[2]} and {names[3]} contradict each other")
    return parameters


def _agree(parameters: Parameters) -> bool:
    """Whether the covariances are those of the factors."""
    structure, covariances = parameters.structure, parameters.covariances
    with np.errstate(all="ignore"):  # what overflows or is NaN does not agree
        implied = structure.covariances_of_factors(parameters.precisions_cholesky)
        unit = _units(structure.diagonals(covariances), covariances)
        return bool((np.abs(implied - covariances) <= CONTRADICTION * unit).all())


def _units(variances: FloatArray, covariances: FloatArray) -> FloatArray:
    """Return the products of standard deviations that each covariance is measured in."""
    if variances.size == covariances.size:
        return variances.reshape(covariances.shape)
    deviations = np.sqrt(variances)
    return (deviations[:, :, None] * deviations[:, None, :]).reshape(covariances.shape)
