"""Passes in float32 over rows of float64: where they pay, and how far they can be believed."""

from collections.abc import Callable

import numpy as np

from gaussmix.data.base import Data
from gaussmix.data.told import ToldData
from gaussmix.model.parameters import Parameters
from gaussmix.model.reach import is_suspicious, rounding_errors
from gaussmix.model.statistics import Statistics, n_terms

SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
EPS = float(np.finfo(SINGLE).epsneg)

LEAST_TERMS = 32
"""Terms of all components that a row has, at least. With fewer the time goes into reading rows and
converting them: at D = 1, K = 2 a pass in float32 took 1.3 times as long."""

LEAST_FLOPS = 3e7
"""Work of a pass, at least: a pass in float64 takes 1 to 2 ms then."""

NEGLIGIBLE = 0.1
"""An error of float32 beyond this part of tol keeps a change from float32 to float64 from saying
that EM has converged."""

MOST_LOST = 1e-3
"""Estimate of the mean log-likelihood of a row that an M-step may lose by the rounding of second
moments. It lost a tenth of the estimate, or all where components had a handful of rows."""

FARTHEST = 1e15
"""Distances in a mixture must lie between the inverse of this and this: float32 holds squares of
them, sums of these over a group of rows, and squares of rows that lie much farther out."""


def single_pays(data: Data | ToldData, start: Parameters) -> bool:
    """Whether passes over rows save time in float32, and tell where EM goes from a start."""
    n_components, n_features = start.means.shape
    terms = n_components * n_terms(start.structure, n_features)
    return (
        data.dtype == DOUBLE
        and not data.gaps
        and terms >= LEAST_TERMS
        and 4.0 * data.n_samples * terms >= LEAST_FLOPS
        and bool(np.isfinite(error_of_single(start, 0.0)))
    )


def error_of_single(parameters: Parameters, lower_bound: float) -> float:
    """Return about how much float32 changes the mean log-likelihood of rows; inf if it is no use.

    Measured errors were a tenth of it (benchmarks/NOTES.md, 56).
    """
    deviations = np.sqrt(parameters.structure.diagonals(parameters.covariances))
    longest = float(np.ptp(parameters.means, axis=0).max() + deviations.max())
    if not (longest <= FARTHEST and deviations.min() >= 1 / FARTHEST):
        return np.inf
    errors = rounding_errors(parameters, SINGLE)
    return float(parameters.weights @ errors + EPS * abs(lower_bound))


def holds_moments(parameters: Parameters, n_samples: int) -> bool:
    """Whether float32 holds the second moments of rows well enough for an M-step.

    Moments of n rows are known to an eps / sqrt(n) of the variances of the features. In units of a
    covariance S = (U U')^-1 that is delta = eps / sqrt(n) (|U|' s)^2, with the standard deviations
    s. A variance that is 1 + delta times too large costs a row log(1 + delta) / 2 at most. This
    is much where a component has hardly any variance in some direction.
    """
    structure, weights = parameters.structure, parameters.weights
    deviations = np.sqrt(structure.diagonals(parameters.covariances))
    lengths = structure.in_units(np.abs(parameters.precisions_cholesky), deviations)
    n_rows = np.maximum(weights * n_samples, 1.0)[:, None]
    losses = np.log1p(EPS / np.sqrt(n_rows) * lengths**2).sum(axis=-1) / 2
    return bool(weights @ losses < MOST_LOST)


def e_step(
    collect: Callable[[bool], Statistics], parameters: Parameters, n_samples: int, *, single: bool
) -> Statistics:
    """Return what `collect` finds, told whether to do so in float32.

    Where float32 would not hold second moments well enough, it is not used. Where it turns out not
    to hold the squares of rows, the rows are gone over once more.
    """
    if single and holds_moments(parameters, n_samples):
        found = collect(True)
        if is_sound(found):
            return found
    return collect(False)


def is_sound(statistics: Statistics) -> bool:
    """Whether all squared distances of a pass stayed in float32's range."""
    if not np.isfinite(statistics.second).all():
        return False
    return not is_suspicious(np.array([statistics.mean_log_likelihood]), SINGLE)
