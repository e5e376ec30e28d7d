"""The M-step: from sufficient statistics to the parameters that maximise their likelihood."""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gaussmix._core import dispatch
from gaussmix._core.density import EMPTY, PIVOT_NOISE, RESOLUTION
from gaussmix._core.types import FloatArray
from gaussmix.model.covariance import CovarianceStructure
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import Statistics
from gaussmix.model.structures import FULL, Variances
from gaussmix.validation import aligned, check_real

RIDGE = 1e-6
"""First part of the pooled variance that is added to a singular covariance: what scikit-learn's
default reg_covar is to standardised features."""

Flags: TypeAlias = NDArray[np.bool_]


class _Scale(NamedTuple):
    """What is rounding error in a variance, and the data's spread, by feature."""

    noise: FloatArray  # (K or 1, D or 1)
    within: FloatArray  # (D or 1,), the components' mean variance
    total: FloatArray  # (D or 1,), the data's variance
    center: FloatArray  # (D or 1,), the data's mean

    @property
    def typical(self) -> FloatArray:
        """What a variance should be, if it has to be made: positive, (D or 1,)."""
        # Where no component has any spread the data's own is taken, and 1 where it has none either.
        spread = np.where(self.within > RESOLUTION**2 * self.total, self.within, self.total)
        constant = self.total <= (RESOLUTION * self.center) ** 2
        return np.where(constant, 1.0, spread)


def m_step(statistics: Statistics, reg_covar: float) -> tuple[Parameters, tuple[int, ...]]:
    r"""Maximise the expected log-likelihood that the statistics describe.

    With :math:`\delta_k = first_k / n_k` (Bishop, PRML, 9.24 to 9.26, about a shift)

    .. math::
        mean_k = shift_k + \delta_k, \qquad
        \Sigma_k = second_k / n_k - \delta_k \delta_k^T + reg\_covar\, I

    Tied covariances are the average of the components' weighted by n_k, spherical ones that over
    features. A structure that asks for more makes its covariances from these by `constrain`. As in
    scikit-learn, 10 eps of a row's mean weight are added to every n_k.

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
    if not statistics.weight > 0:
        raise ValueError(f"statistics must have a positive weight, got {statistics.weight:g}")
    found = Parameters.unset(statistics.structure, *statistics.shift.shape)
    row_weight = statistics.weight / statistics.n_samples
    sound = dispatch.estimates().maximise(
        found.structure.form,
        aligned(np.ascontiguousarray(statistics.shift)),
        aligned(np.ascontiguousarray(statistics.n_k)),
        aligned(np.ascontiguousarray(statistics.first)),
        aligned(np.ascontiguousarray(statistics.second)),
        row_weight,
        reg_covar,
        found.weights,
        found.means,
        found.covariances,
        found.precisions_cholesky,
    )
    if sound and found.structure.is_general:
        return found, ()
    collapsed = _regularise_collapsed(statistics, found, row_weight)
    if not np.isfinite(found.precisions_cholesky).all():
        raise ValueError(
            "the second moments of X overflow: scale its features, and means_init with them, so "
            "that rows lie within 1e150 of the means and of 0 (1e18 if X is float32); the largest "
            f"mean is {np.abs(statistics.shift).max():.3g}, the mean sample_weight "
            f"{row_weight:.3g}"
        )
    return found, tuple(collapsed.nonzero()[0].tolist())


@np.errstate(over="ignore", invalid="ignore")  # then there are no factors
def _regularise_collapsed(statistics: Statistics, found: Parameters, row_weight: float) -> Flags:
    """Give covariances their structure and make them sound, in place: which components collapsed.

    Where moments are not finite, or their noise is not, factors are not finite either.
    """
    structure, covariances = found.structure, found.covariances
    empty: Flags = statistics.n_k < EMPTY * row_weight
    pool = not structure.shared and bool(empty.any())
    if pool:
        covariances[empty] = np.tensordot(found.weights, covariances, axes=1)
    if not structure.is_general:
        covariances[...] = structure.constrain(found.weights, covariances)
    if pool or not structure.is_general:
        found.precisions_cholesky[...] = structure.factors_where_definite(covariances)
    scale = _scale(found, statistics.shift)
    if not (np.isfinite(statistics.second).all() and np.isfinite(scale.noise).all()):
        found.precisions_cholesky.fill(np.nan)
        return empty
    return empty | _make_sound(structure, covariances, found.precisions_cholesky, scale)


def _scale(found: Parameters, shift: FloatArray) -> _Scale:
    """Tell rounding error from what the variances are, and what the means' moves took off them."""
    structure, weights, means = found.structure, found.weights, found.means
    variances = structure.diagonals(found.covariances)
    moved = structure.mean_squares(weights, means - shift)
    within = np.maximum(structure.pooled(weights, variances), 0.0)
    center = weights @ means
    total = within + weights @ (means - center) ** 2
    squares, center, total = structure.resolved(means**2, center, total)
    noise = PIVOT_NOISE * np.maximum(variances + moved, 0) + RESOLUTION**2 * (squares + total)
    return _Scale(noise, within, total, center)


def _make_sound(
    structure: CovarianceStructure, covariances: FloatArray, factors: FloatArray, scale: _Scale
) -> Flags:
    """Make covariances positive definite, and their factors right, in place: which changed."""
    if isinstance(structure, Variances):
        variances = structure.diagonals(covariances)
        bad: Flags = ~(variances > scale.noise)
        lifted = np.maximum(variances, 0.0) + RIDGE * scale.typical + scale.noise
        variances[bad] = lifted[bad]
        factors[:] = structure.precision_factors(covariances)
        changed: Flags = np.logical_or.reduce(bad, axis=1)
        return changed
    shape = -1, *covariances.shape[-2:]
    return _regularise(covariances.reshape(shape), factors.reshape(shape), scale)


def _regularise(matrices: FloatArray, factors: FloatArray, scale: _Scale) -> Flags:
    """Add to the variances of bad matrices, more and more, until they have factors: which had."""
    variances = FULL.diagonals(matrices)
    steps = RIDGE * scale.typical + scale.noise
    changed = ~_sound(factors, scale.noise)
    bad = changed.nonzero()[0]
    while len(bad) and np.isfinite(steps).all():
        variances[bad] += steps[bad]
        factors[bad] = FULL.factors_where_definite(matrices[bad])
        bad = bad[~_sound(factors[bad], scale.noise[bad])]
        steps *= 10
    return changed


def _sound(factors: FloatArray, noise: FloatArray) -> Flags:
    """Whether every pivot is larger than rounding error: (K,).

    A pivot, the variance that the features before it leave unexplained, is 1 / U_jj^2.
    """
    pivots = FULL.diagonals(factors) ** -2.0
    sound: Flags = np.logical_and.reduce(pivots > noise, axis=1)
    return sound
