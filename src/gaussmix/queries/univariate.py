"""Distribution function and quantiles of a mixture of one feature, exact far into the tails."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from gaussmix._core.density import LOG_2_PI
from gaussmix._core.types import FloatArray
from gaussmix.model.parameters import Parameters

BLOCK_VALUES = 1 << 17  # points times components looked at together
MAX_STEPS = 200  # twice what halving alone needs
SETTLED = 4 * float(np.finfo(float).eps)


class Line(NamedTuple):
    """A mixture on the line: the weights (K,) that are not 0, means and standard deviations."""

    weights: FloatArray
    means: FloatArray
    sigmas: FloatArray

    def standard(self, x: FloatArray) -> FloatArray:
        """Points (n,) in units of every component: (n, K)."""
        with np.errstate(over="ignore"):  # infinitely many
            return (x[:, None] - self.means) / self.sigmas

    def mirrored(self) -> "Line":
        """The mixture of -x."""
        return Line(self.weights, -self.means, self.sigmas)


def line(parameters: Parameters) -> Line:
    """A mixture of one feature as three vectors."""
    used = parameters.weights > 0
    weights = parameters.weights[used] / parameters.weights.sum()
    variances = parameters.full_covariances()[used, 0, 0]
    return Line(weights, parameters.means[used, 0], np.sqrt(variances))


def cdf(mixture: Line, x: FloatArray) -> FloatArray:
    """P(X <= x): sum_k weight_k Phi((x - mean_k) / sigma_k), at points of any shape."""
    return _blockwise(
        lambda part: np.minimum(ndtr(mixture.standard(part)) @ mixture.weights, 1.0), mixture, x
    )


def quantile(mixture: Line, p: FloatArray) -> FloatArray:
    """The x with P(X <= x) = p, at probabilities of any shape; 0 and 1 give -inf and inf.

    Solved for the smaller tail: a p above 1/2 is the 1 - p of the mixture seen in a mirror.
    """
    out = np.where(p < 0.5, -np.inf, np.inf)
    for side, tail, sign in ((mixture, p, 1), (mixture.mirrored(), 1 - p, -1)):
        inside = (tail > 0) & ((tail < 0.5) | ((tail == 0.5) & (sign > 0)))
        out[inside] = sign * _blockwise(lambda q, s=side: _solve(s, q), mixture, tail[inside])  # type: ignore[misc]
    return out


def log_density(mixture: Line, x: FloatArray) -> FloatArray:
    """Log-density at points (n,)."""
    scales = np.log(mixture.weights / mixture.sigmas) - 0.5 * LOG_2_PI
    values = scales - 0.5 * mixture.standard(x) ** 2
    largest = values.max(axis=1)
    return np.asarray(largest + np.log(np.exp(values - largest[:, None]).sum(axis=1)))


def _solve(mixture: Line, p: FloatArray) -> FloatArray:
    """Newton's method on log P(X <= x) = log p, kept in a bracket that is halved where it fails.

    The quantile lies between the smallest and the largest of the components' own.
    """
    own = mixture.means + mixture.sigmas * ndtri(p)[:, None]
    margin = 1e-9 * mixture.sigmas.max()
    low, high, target = own.min(axis=1) - margin, own.max(axis=1) + margin, np.log(p)
    x = 0.5 * (low + high)
    last = high - low
    active = np.arange(len(p))
    for _ in range(MAX_STEPS):
        here = x[active]
        reached = ndtr(mixture.standard(here)) @ mixture.weights
        with np.errstate(divide="ignore"):
            excess = np.log(reached) - target[active]
        low[active] = np.where(excess < 0, here, low[active])
        high[active] = np.where(excess < 0, high[active], here)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            step = -excess * reached / np.exp(log_density(mixture, here))
        new = here + step
        poor = ~((low[active] <= new) & (new <= high[active]) & (abs(step) < 0.5 * last[active]))
        new = np.where(poor, 0.5 * (low[active] + high[active]), new)
        moved = abs(new - here)
        x[active], last[active] = new, moved
        active = active[moved > SETTLED * np.maximum(abs(new), mixture.sigmas.min())]
        if not len(active):
            break
    return np.asarray(x)


def _blockwise(
    function: Callable[[FloatArray], FloatArray], mixture: Line, values: FloatArray
) -> FloatArray:
    """Apply a function of points (n,) to points of any shape, in blocks of bounded size."""
    flat, out = values.reshape(-1), np.empty(values.size)
    size = max(BLOCK_VALUES // len(mixture.means), 1)
    for start in range(0, len(flat), size):
        out[start : start + size] = function(flat[start : start + size])
    return out.reshape(values.shape)
