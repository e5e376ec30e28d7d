"""Highest-density regions: the smallest sets that hold a given probability (Hyndman, 1996)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv, ndtr

from gaussmix._core import dispatch
from gaussmix._core.types import FloatArray
from gaussmix.model.parameters import Parameters
from gaussmix.queries.sampling import draw
from gaussmix.queries.univariate import Line, line, log_density, quantile

GRID = np.linspace(-6, 6, 97)  # in sigmas, around every component: where to look for extremes
HALVINGS = 64  # of an interval: down to neighbouring numbers

LEVEL_SAMPLES = 1 << 18
"""Rows that are drawn for a level: of a region of probability 0.99 the last percent of them, 2600,
lie outside, and its true probability is 0.99 to within 0.0002 (one standard deviation)."""


def hdr_levels(
    parameters: Parameters,
    p: FloatArray,
    n_samples: int,
    random_state: np.random.RandomState,
    n_threads: int,
) -> FloatArray:
    """Log-densities (P,) above which lie the regions of probabilities p (P,).

    One Gaussian and mixtures of one feature have a solution; of others n_samples rows are drawn,
    and the probability of a region differs from p by about sqrt(p (1 - p) / n_samples).
    """
    if parameters.n_components == 1:
        return _gaussian_levels(parameters, p)
    if parameters.n_features == 1:
        mixture = line(parameters)
        extremes = _extremes(mixture)
        return np.array([_line_level(mixture, extremes, value) for value in p])
    rows, _ = draw(parameters, n_samples, random_state, n_threads)
    log_likelihood = np.empty(n_samples)
    dispatch.kernels(rows).log_likelihood(rows, parameters.density(), log_likelihood, n_threads)
    return np.asarray(np.quantile(log_likelihood, 1 - p))


def _gaussian_levels(parameters: Parameters, p: FloatArray) -> FloatArray:
    """Squared distances from the mean are chi-squared with D degrees of freedom."""
    return np.asarray(parameters.density().log_scales - gammaincinv(parameters.n_features / 2, p))


def _line_level(mixture: Line, extremes: FloatArray, p: float) -> float:
    """The level of a mixture on the line, found as a root.

    Between its extremes the density is monotone, so what lies below a level is an interval at most
    in each piece, and its probability rises with the level.
    """
    from scipy.optimize import brentq

    tail = np.array([0.5 * (1 - p)])  # on either side, so that p lies between the ends
    ends = np.concatenate([quantile(mixture, tail), -quantile(mixture.mirrored(), tail)])
    between = extremes[(ends[0] < extremes) & (extremes < ends[1])]
    low = log_density(mixture, np.concatenate([ends, between])).min()  # 1 - p at most is below
    edges = _edges(mixture, extremes, low)

    def excess(level: float) -> float:
        return _mass_below(mixture, edges, level) - (1 - p)

    high = log_density(mixture, extremes).max()
    if excess(low) >= 0 or excess(high) <= 0:  # p is 1 or 0 to within rounding
        return float(low if excess(low) >= 0 else high)
    return float(brentq(excess, low, high, xtol=1e-13, rtol=1e-14))


def _edges(mixture: Line, extremes: FloatArray, level: float) -> FloatArray:
    """The extremes between two points beyond which the log-density is below a level."""
    bound = np.log((mixture.weights / mixture.sigmas).sum())  # the log-density is nowhere larger
    reach = mixture.sigmas.max() * np.sqrt(2 * (bound - level) + 1)
    ends = mixture.means.min() - reach, mixture.means.max() + reach
    return np.concatenate([ends[:1], extremes, ends[1:]])


def _mass_below(mixture: Line, edges: FloatArray, level: float) -> float:
    """Probability of the points whose log-density is below a level."""
    left, right = edges[:-1], edges[1:]
    values = log_density(mixture, edges)
    rising = values[:-1] < values[1:]
    ends = _bisect(lambda x: (log_density(mixture, x) < level) == rising, left, right)
    starts = np.concatenate([[-np.inf], np.where(rising, left, ends), edges[-1:]])
    stops = np.concatenate([edges[:1], np.where(rising, ends, right), [np.inf]])
    return float(_mass(mixture, starts, stops).sum())


def _mass(mixture: Line, start: FloatArray, stop: FloatArray) -> FloatArray:
    """Probability of intervals, from the nearer tail."""
    left, right = mixture.standard(start), mixture.standard(stop)
    above = left > 0
    mass = ndtr(np.where(above, -left, right)) - ndtr(np.where(above, -right, left))
    return np.asarray(mass @ mixture.weights)


def _extremes(mixture: Line) -> FloatArray:
    """Points where the density is largest or smallest among its neighbours, in order."""
    grid = np.unique((mixture.means[:, None] + mixture.sigmas[:, None] * GRID).ravel())
    rising = _rises(mixture, grid)
    turns = np.flatnonzero(rising[:-1] != rising[1:])
    before = rising[turns]
    return _bisect(lambda x: _rises(mixture, x) == before, grid[turns], grid[turns + 1])


def _rises(mixture: Line, x: FloatArray) -> NDArray[np.bool_]:
    """Whether the density has a positive slope at points (n,)."""
    z = mixture.standard(x)
    log_parts = np.log(mixture.weights / mixture.sigmas) - 0.5 * z**2
    parts = np.exp(log_parts - log_parts.max(axis=1, keepdims=True))
    return np.asarray((parts * z / mixture.sigmas).sum(axis=1) < 0)


def _bisect(
    holds: Callable[[FloatArray], NDArray[np.bool_]], left: FloatArray, right: FloatArray
) -> FloatArray:
    """Where a property ends in each interval that may hold on its left, all of it or nothing."""
    low, high = left.copy(), right.copy()
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        inside = holds(middle)
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return np.where(holds(right), right, low)
