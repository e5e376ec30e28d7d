"""What a mixture says of each row, and passes that add such scores up.

With `gaps` rows may lack values, which are NaN then, and are scored by those that they have.
"""

from dataclasses import dataclass

import numpy as np

from gaussmix._core import dispatch, threads
from gaussmix._core.density import GROUP_ROWS, Density
from gaussmix._core.types import FloatArray, Labels, Rows
from gaussmix.model.gaps import parts
from gaussmix.model.parameters import Parameters
from gaussmix.model.reach import (
    assign_within_reach,
    find_log_likelihoods,
    require_mean_within_reach,
    require_reach,
    responsibilities_within_reach,
)
from gaussmix.model.statistics import pass_flops

BLOCK_VALUES = 256 * GROUP_ROWS  # responsibilities held at a time: 2 MB


def assign(
    parameters: Parameters, rows: Rows, n_threads: int | None = None, *, gaps: bool = False
) -> Labels:
    """Return the most probable component of each row, (N,)."""
    labels = np.empty(len(rows), dtype=np.int32)
    count = threads.for_work(n_threads, pass_flops(rows, parameters))
    assign_within_reach(rows, parameters.density(rows.dtype, gaps=gaps), labels, count)
    return labels


def responsibilities(
    parameters: Parameters, rows: Rows, n_threads: int | None = None, *, gaps: bool = False
) -> Rows:
    """Return the posterior probability of each component for each row, (N, K)."""
    resp = np.empty((len(rows), parameters.n_components), dtype=rows.dtype)
    count = threads.for_work(n_threads, pass_flops(rows, parameters))
    density = parameters.density(rows.dtype, gaps=gaps)
    responsibilities_within_reach(rows, density, resp, count)
    return resp


def log_likelihoods(
    parameters: Parameters, rows: Rows, n_threads: int | None = None, *, gaps: bool = False
) -> Rows:
    """Return the log-likelihood of each row, (N,)."""
    out = np.empty(len(rows), dtype=rows.dtype)
    count = threads.for_work(n_threads, pass_flops(rows, parameters))
    density = parameters.density(rows.dtype, gaps=gaps)
    find_log_likelihoods(rows, density, out, count)
    require_reach(out, rows, density)
    return out


@dataclass(frozen=True)
class Score:
    """A weighted sum over rows, and their weight."""

    total: float
    weight: float

    @property
    def mean(self) -> float:
        """Weighted mean over the rows."""
        return self.total / self.weight

    def aic(self, n_free: int) -> float:
        """Return Akaike's criterion of a model with `n_free` parameters, of log-likelihoods."""
        return -2 * self.total + 2 * n_free

    def bic(self, n_free: int) -> float:
        """Return the Bayesian information criterion, of log-likelihoods."""
        return -2 * self.total + n_free * float(np.log(self.weight))

    def __add__(self, other: "Score") -> "Score":
        if not isinstance(other, Score):
            return NotImplemented
        return Score(self.total + other.total, self.weight + other.weight)


class LikelihoodPass:
    """Adds up the log-likelihoods of rows, which may lack values with `gaps`."""

    def __init__(
        self, parameters: Parameters, n_threads: int | None = None, *, gaps: bool = False
    ) -> None:
        self._parameters = parameters
        self._gaps = gaps
        self._n_threads = n_threads
        self._density: Density | None = None
        self._totals = np.zeros(2)

    def add(self, rows: Rows, weight: FloatArray | None) -> None:
        """Add the log-likelihoods of the next rows."""
        if self._density is None:
            self._density = self._parameters.density(rows.dtype, gaps=self._gaps)
        count = threads.for_work(self._n_threads, pass_flops(rows, self._parameters))
        self._add(rows, weight, self._density, count)

    def result(self) -> Score:
        """Return the sum over all rows."""
        return Score(*self._totals.tolist())

    def _add(self, rows: Rows, weight: FloatArray | None, density: Density, n_threads: int) -> None:
        for place, part, own in parts(rows, density):
            chosen = None if weight is None else weight[place]
            kernels = dispatch.kernels(part)
            kernels.accumulate_likelihood(part, chosen, own, self._totals, n_threads)
        require_mean_within_reach(self._totals, rows, weight, density)


class UncertaintyPass(LikelihoodPass):
    """Adds up minus the logarithms of the largest responsibility of each row."""

    def _add(self, rows: Rows, weight: FloatArray | None, density: Density, n_threads: int) -> None:
        n_components = len(density.means)
        n_rows = max(1, BLOCK_VALUES // n_components // GROUP_ROWS) * GROUP_ROWS
        for start in range(0, len(rows), n_rows):
            part = slice(start, start + n_rows)
            resp = np.empty((len(rows[part]), n_components), dtype=rows.dtype)
            responsibilities_within_reach(rows[part], density, resp, n_threads)
            self._add_groups(resp.max(axis=1), None if weight is None else weight[part])

    def _add_groups(self, largest: Rows, weight: FloatArray | None) -> None:
        """Add sums over groups of rows, in order: the bits do not depend on how rows were cut."""
        starts = np.arange(0, len(largest), GROUP_ROWS)
        weights = np.ones(len(largest)) if weight is None else weight
        uncertainty = -np.log(largest, dtype=np.float64) * weights
        for group in np.add.reduceat([uncertainty, weights], starts, axis=1).T:
            self._totals += group
