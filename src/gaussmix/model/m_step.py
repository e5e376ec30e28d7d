"""The M-step: from sufficient statistics to the parameters that maximise their likelihood."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from gaussmix._core import dispatch
from gaussmix._core.checks import aligned
from gaussmix._core.density import EMPTY, EPS, PIVOT_NOISE, RESOLUTION
from gaussmix._core.types import FloatArray
from gaussmix.model.covariance import CovarianceStructure, Flags
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import Statistics
from gaussmix.model.structures import FULL, Variances
from gaussmix.validation import check_real

RIDGE = 1e-6
"""First part of the pooled variance that is added to a singular covariance: what scikit-learn's
default reg_covar is to standardised features."""


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


def m_step(
    statistics: Statistics, reg_covar: float, previous: Parameters | None = None
) -> tuple[Parameters, tuple[int, ...]]:
    r"""Maximise the expected log-likelihood that the statistics describe.

    With d_k = first_k / n_k (Bishop, PRML, 9.24 to 9.26, about a shift)

        mean_k = shift_k + d_k
        covariance_k = second_k / n_k - d_k d_k' + reg_covar I

    Tied covariances are the average of the components', weighted by n_k. Spherical ones are the
    average over features. A structure that asks for more makes its covariances from these by
    `constrain`. As in scikit-learn, 10 eps of a row's mean weight are added to every n_k.

    A component that holds no rows keeps its mean, the shift, and gets the pooled covariance. A
    covariance that is not positive definite beyond rounding error gets a growing part of the
    pooled variance of every feature added until it is. Where the structure asks for more, that is
    added before `constrain`, so that the result is still of the structure.

    Where `previous` has noise, so has the result: it keeps its density, and its weight is its part
    of the rows' weight. If that is all of it, the components stay where they were.

    Parameters
    ----------
    statistics : Statistics
    reg_covar : float
        Non-negative variance added to every feature.
    previous : Parameters, optional
        Those of the E-step, of the same structure. An M-step without a closed form begins there
        and then does not lower the expected log-likelihood. It is searched for otherwise.

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
    noise = None if previous is None else previous.noise
    if previous is not None and noise is not None and _empty(statistics).all():
        # As in a mixture without noise, 10 eps of a row are left to each.
        shares = np.full(len(statistics.n_k), 10 * EPS / statistics.n_samples)
        found = replace(previous, weights=shares, noise=noise._replace(weight=1 - shares.sum()))
        return found, tuple(range(len(shares)))
    found, collapsed = _without_noise(statistics, reg_covar, previous)
    if noise is None:
        return found, collapsed
    weight = statistics.n_noise / (statistics.n_noise + statistics.n_k.sum())
    return found.with_noise(float(weight), noise.log_density), collapsed


def _empty(statistics: Statistics) -> Flags:
    """Return which components hold no rows."""
    return statistics.n_k < EMPTY * statistics.weight / statistics.n_samples


def _without_noise(
    statistics: Statistics, reg_covar: float, previous: Parameters | None
) -> tuple[Parameters, tuple[int, ...]]:
    """Do the M-step of the components alone."""
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
    begin = None if previous is None else previous.covariances
    collapsed = _regularise_collapsed(statistics, found, begin)
    if not np.isfinite(found.precisions_cholesky).all():
        raise ValueError(
            "the second moments of X overflow: scale its features, and means_init with them, so "
            "that rows lie within 1e150 of the means and of 0 (1e18 if X is float32); the largest "
            f"mean is {np.abs(statistics.shift).max():.3g}, the mean sample_weight "
            f"{row_weight:.3g}"
        )
    return found, tuple(collapsed.nonzero()[0].tolist())


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # then there are no factors
def _regularise_collapsed(
    statistics: Statistics, found: Parameters, begin: FloatArray | None
) -> Flags:
    """Give covariances their structure and make them sound, in place: which components collapsed.

    Where moments are not finite, or their noise is not, factors are not finite either.
    """
    structure, covariances = found.structure, found.covariances
    empty = _empty(statistics)
    pool = not structure.shared and bool(empty.any())
    if pool:
        covariances[empty] = np.tensordot(found.weights, covariances, axes=1)
        found.precisions_cholesky[...] = structure.factors_where_definite(covariances)
    scale = _scale(found, statistics.shift)
    if not (np.isfinite(statistics.second).all() and np.isfinite(scale.noise).all()):
        found.precisions_cholesky.fill(np.nan)
        return empty
    if not structure.is_general:
        return empty | _constrain(found, statistics.shift, scale, begin)
    return empty | _make_sound(structure, covariances, found.precisions_cholesky, scale)


def _constrain(
    found: Parameters, shift: FloatArray, scale: _Scale, begin: FloatArray | None
) -> Flags:
    """Give covariances their structure, in place: which components had to be regularised.

    More and more is added to the general covariances of bad components, until those of the
    structure are sound. There are no finite factors if none are.
    """
    structure, general = found.structure, found.covariances.copy()
    steps = RIDGE * scale.typical + scale.noise
    bad = ~structure.determined(general, scale.noise)
    changed = bad
    while np.isfinite(steps).all():
        if not bad.any():
            found.covariances[...] = structure.constrain(found.weights, general, begin)
            factors = structure.factors_where_definite(found.covariances)
            found.precisions_cholesky[...] = factors
            bad = ~structure.definite(factors, _scale(found, shift).noise)
            if not bad.any():
                return changed
        structure.diagonals(general)[bad] += steps[bad]
        changed = changed | bad
        bad = ~structure.determined(general, scale.noise)
        steps = 10 * steps
    found.precisions_cholesky.fill(np.nan)
    return changed


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
    changed = ~FULL.definite(factors, scale.noise)
    bad = changed.nonzero()[0]
    while len(bad) and np.isfinite(steps).all():
        variances[bad] += steps[bad]
        factors[bad] = FULL.factors_where_definite(matrices[bad])
        bad = bad[~FULL.definite(factors[bad], scale.noise[bad])]
        steps *= 10
    return changed
