"""The M-step: from sufficient statistics to the parameters that maximise their likelihood."""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.constants import FloatArray, Structure
from gaussmix.parameters import NotPositiveDefiniteError, Parameters, precision_factors
from gaussmix.statistics import Statistics
from gaussmix.validation import check_real

EPS = float(np.finfo(np.float64).eps)

EMPTY = 1e-10
"""A component with less than this part of one row has no rows: 10 eps would show in its mean."""

PIVOT_NOISE = 1e-14
"""Moments of 1e6 rows in 100 dimensions carry a relative rounding error of a few 1e-15."""

RESOLUTION = 16 * EPS
"""A distance below this part of a coordinate, or of the data's spread, is rounding error."""

RIDGE = 1e-6
"""First part of the pooled variance that is added to a singular covariance: what scikit-learn's
default reg_covar is to standardised features."""

Flags: TypeAlias = NDArray[np.bool_]


class _Scale(NamedTuple):
    """What is rounding error in a variance, and what a variance should be, if it has to be made."""

    noise: FloatArray  # (K or 1, D or 1)
    typical: FloatArray  # (D or 1,), positive


def m_step(statistics: Statistics, reg_covar: float) -> tuple[Parameters, tuple[int, ...]]:
    r"""Maximise the expected log-likelihood that the statistics describe.

    With :math:`\delta_k = first_k / n_k` (Bishop, PRML, 9.24 to 9.26, about a shift)

    .. math::
        mean_k = shift_k + \delta_k, \qquad
        \Sigma_k = second_k / n_k - \delta_k \delta_k^T + reg\_covar\, I

    Tied covariances are the average of the components' weighted by n_k, spherical ones that over
    features. As in scikit-learn, 10 eps of a row's mean weight are added to every n_k.

    A component that holds no rows keeps its mean, the shift, and gets the pooled covariance. A
    covariance that is not positive definite beyond rounding error gets a growing part of the
    pooled variance of every feature added until it is.

    Parameters
    ----------
    statistics : Statistics
    reg_covar : float
        Non-negative variance added to every feature.

    Returns
    -------
    parameters : Parameters
    collapsed : tuple of int
        Components that held no rows or had to be regularised, in increasing order.

    Raises
    ------
    ValueError
        If the statistics hold no rows, or have overflowed, or `reg_covar` is negative.
    """
    reg_covar = check_real("reg_covar", reg_covar, 0)
    _check(statistics)
    structure = statistics.structure
    row_weight = statistics.weight / statistics.n_samples
    n_k = statistics.n_k + 10 * EPS * row_weight
    weights = n_k / n_k.sum()
    empty = statistics.n_k < EMPTY * row_weight
    delta = np.where(empty[:, None], 0.0, statistics.first / n_k[:, None])
    means = statistics.shift + delta
    raw = _per_weight(structure, statistics.second, n_k, means.shape[1])
    covariances = raw - _squares(structure, weights, delta)
    _add_to_diagonal(structure, covariances, reg_covar)
    if structure != "tied":
        covariances[empty] = np.tensordot(weights, covariances, axes=1)
    scale = _scale(structure, weights, means, raw, covariances)
    covariances, factors, regularised = _sound(structure, covariances, scale)
    collapsed = np.flatnonzero(empty | regularised)
    return Parameters(structure, weights, means, covariances, factors), tuple(collapsed.tolist())


def _check(statistics: Statistics) -> None:
    if not statistics.weight > 0:
        raise ValueError(f"statistics must have a positive weight, got {statistics.weight:g}")
    if not np.isfinite(statistics.second).all():
        raise ValueError(
            "the second moments of X overflow: scale its features, and means_init with them, so "
            "that rows lie within 1e150 of the means (1e18 if X is float32); the largest mean is "
            f"{np.abs(statistics.shift).max():.3g}, the mean sample_weight "
            f"{statistics.weight / statistics.n_samples:.3g}"
        )


def _per_weight(
    structure: Structure, second: FloatArray, n_k: FloatArray, n_features: int
) -> FloatArray:
    """Second moments about the shift, for a unit of weight."""
    if structure == "full":
        return second / n_k[:, None, None]
    if structure == "tied":
        return second / float(n_k.sum())
    if structure == "diag":
        return second / n_k[:, None]
    return second / (n_k * n_features)


def _squares(structure: Structure, weights: FloatArray, delta: FloatArray) -> FloatArray:
    """Return what second moments lose when they are taken about the mean: delta delta'."""
    if structure == "full":
        return delta[:, :, None] * delta[:, None, :]
    if structure == "tied":
        return (weights[:, None] * delta).T @ delta
    return delta**2 if structure == "diag" else (delta**2).mean(axis=1)


def _add_to_diagonal(structure: Structure, covariances: FloatArray, value: float) -> None:
    if structure in ("full", "tied"):
        diagonal = np.arange(covariances.shape[-1])
        covariances[..., diagonal, diagonal] += value
    else:
        covariances += value


def _variances(structure: Structure, covariances: FloatArray) -> FloatArray:
    """Return the diagonals: (K, D), tied (1, D), spherical (K, 1)."""
    if structure in ("full", "tied"):
        n_features = covariances.shape[-1]
        return np.diagonal(covariances, axis1=-2, axis2=-1).reshape(-1, n_features)
    return covariances.reshape(len(covariances), -1)


def _scale(
    structure: Structure,
    weights: FloatArray,
    means: FloatArray,
    raw: FloatArray,
    covariances: FloatArray,
) -> _Scale:
    variances = _variances(structure, covariances)
    within = np.maximum(variances[0] if structure == "tied" else weights @ variances, 0.0)
    center = weights @ means
    squares = means**2
    total = within + weights @ (means - center) ** 2
    if structure == "spherical":
        center, total = np.sqrt((center**2).mean(keepdims=True)), total.mean(keepdims=True)
        squares = squares.mean(axis=1, keepdims=True)
    elif structure == "tied":
        squares = squares.max(axis=0, keepdims=True)
    size = np.maximum(_variances(structure, raw), variances)
    noise = PIVOT_NOISE * size + RESOLUTION**2 * (squares + total)
    # Where no component has any spread the data's own is taken, and 1 where it has none either.
    typical = np.where(within > RESOLUTION**2 * total, within, total)
    constant = total <= (RESOLUTION * center) ** 2
    return _Scale(noise, np.where(constant, 1.0, typical))


def _sound(
    structure: Structure, covariances: FloatArray, scale: _Scale
) -> tuple[FloatArray, FloatArray, Flags]:
    """Covariances made positive definite, their precision factors, and which were changed."""
    if structure in ("diag", "spherical"):
        variances = _variances(structure, covariances)
        bad: Flags = ~(variances > scale.noise)
        lifted = np.maximum(variances, 0.0) + RIDGE * scale.typical + scale.noise
        sound: FloatArray = np.where(bad, lifted, variances)
        sound = sound.reshape(covariances.shape)
        return sound, precision_factors(structure, sound), np.logical_or.reduce(bad, axis=1)
    shape = covariances.shape
    results = [
        _sound_matrix(matrix, noise, scale.typical)
        for matrix, noise in zip(covariances.reshape(-1, *shape[-2:]), scale.noise, strict=True)
    ]
    matrices, factors = (np.array([result[i] for result in results]) for i in (0, 1))
    changed = np.array([result[2] for result in results])
    return matrices.reshape(shape), factors.reshape(shape), changed


def _sound_matrix(
    covariance: FloatArray, noise: FloatArray, typical: FloatArray
) -> tuple[FloatArray, FloatArray, bool]:
    factor = _factor(covariance, noise)
    if factor is not None:
        return covariance, factor, False
    step = np.diag(RIDGE * typical + noise)
    while factor is None:
        covariance = covariance + step
        step = 10 * step
        factor = _factor(covariance, noise)
    return covariance, factor, True


def _factor(covariance: FloatArray, noise: FloatArray) -> FloatArray | None:
    """Precision factor, None if a pivot is no larger than rounding error.

    A pivot, the variance that the features before it leave unexplained, is 1 / U_jj^2.
    """
    try:
        factor = precision_factors("tied", covariance)
    except NotPositiveDefiniteError:
        return None
    pivots = np.diagonal(factor) ** -2.0
    return factor if (pivots > noise).all() else None
