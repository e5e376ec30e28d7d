"""What a mixture says of each row, and passes that add such scores up.

With `gaps` rows may lack values, which are NaN then, and are scored by those that they have.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._core import dispatch
from gaussmix._core.density import GROUP_ROWS, Density
from gaussmix._core.told import Told
from gaussmix._core.types import FloatArray, Labels, Rows
from gaussmix.model.gaps import keep, parts, target
from gaussmix.model.parameters import Parameters
from gaussmix.model.reach import (
    assign_within_reach,
    find_log_likelihoods,
    require_mean_within_reach,
    require_reach,
    responsibilities_within_reach,
)
from gaussmix.model.statistics import threads_for

BLOCK_VALUES = 256 * GROUP_ROWS  # responsibilities held at a time: 2 MB


def assign(
    parameters: Parameters,
    rows: Rows,
    n_threads: int | None = None,
    told: Told | None = None,
    *,
    gaps: bool = False,
) -> Labels:
    """Return the most probable component of each row, (N,); -1 is the noise."""
    labels = np.empty(len(rows), dtype=np.int32)
    count = threads_for(n_threads, rows, parameters)
    density = parameters.density(rows.dtype, gaps=gaps)
    assign_within_reach(rows, density, labels, count, told=told)
    if parameters.noise is not None:
        labels[labels == parameters.n_components] = -1
    return labels


def responsibilities(
    parameters: Parameters,
    rows: Rows,
    n_threads: int | None = None,
    told: Told | None = None,
    *,
    gaps: bool = False,
) -> Rows:
    """Return the posterior probability of each component, and the noise, for each row, (N, T)."""
    density = parameters.density(rows.dtype, gaps=gaps)
    resp = np.empty((len(rows), density.n_terms), dtype=rows.dtype)
    count = threads_for(n_threads, rows, parameters)
    responsibilities_within_reach(rows, density, resp, count, told)
    return resp


def log_likelihoods(
    parameters: Parameters,
    rows: Rows,
    n_threads: int | None = None,
    told: Told | None = None,
    *,
    gaps: bool = False,
) -> Rows:
    """Return the log-likelihood of each row, (N,)."""
    out = np.empty(len(rows), dtype=rows.dtype)
    count = threads_for(n_threads, rows, parameters)
    density = parameters.density(rows.dtype, gaps=gaps)
    find_log_likelihoods(rows, density, out, count, told)
    require_reach(out, rows, density)
    return out


def log_densities(
    parameters: Parameters, rows: Rows, n_threads: int | None = None, *, gaps: bool = False
) -> Rows:
    """Return the log-density of each row under each component, whatever its weight, (N, K)."""
    out = np.empty((len(rows), parameters.n_components), dtype=rows.dtype)
    count = threads_for(n_threads, rows, parameters)
    alone = replace(parameters, weights=np.ones(parameters.n_components))
    density = alone.density(rows.dtype, gaps=gaps)
    for part in parts(rows, density):
        found = target(out, part)
        dispatch.kernels(part.rows).log_density(part.rows, part.density, found, count)
        keep(out, part, found)
    require_reach(out, rows, density)
    return out


def class_probabilities(
    owners: Labels,
    parameters: Parameters,
    rows: Rows,
    n_threads: int | None = None,
    told: Told | None = None,
    *,
    gaps: bool = False,
) -> Rows:
    """Return the posterior probability of each class, and of noise, for each row: (N, C or C + 1).

    That of a class is the sum of its components' (K,), whose classes are `owners`.
    """
    resp = responsibilities(parameters, rows, n_threads, told, gaps=gaps)
    n_classes, n_components = int(owners.max()) + 1, len(owners)
    found = np.zeros((len(rows), n_classes + resp.shape[1] - n_components), dtype=rows.dtype)
    for k, owner in enumerate(owners):
        found[:, owner] += resp[:, k]
    found[:, n_classes:] = resp[:, n_components:]
    return found


def assign_class(
    owners: Labels,
    names: NDArray[Any],
    parameters: Parameters,
    rows: Rows,
    n_threads: int | None = None,
    told: Told | None = None,
    *,
    gaps: bool = False,
) -> NDArray[Any]:
    """Return the name of the most probable class of each row.

    Noise is -1, or None beside strings.
    """
    chances = class_probabilities(owners, parameters, rows, n_threads, told, gaps=gaps)
    best = chances.argmax(axis=1)
    if parameters.noise is None:
        return np.asarray(names[best])
    if names.dtype.kind in "iu":
        return np.asarray(np.append(names, [-1])[best])
    return np.asarray(np.append(names.astype(object), [None])[best])


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
        self._add_next(rows, weight, None)

    def add_told(self, rows: Rows, weight: FloatArray | None, told: Told) -> None:
        """Add the log-likelihoods of the next rows, of which something is told."""
        self._add_next(rows, weight, told)

    def _add_next(self, rows: Rows, weight: FloatArray | None, told: Told | None) -> None:
        if self._density is None:
            self._density = self._parameters.density(rows.dtype, gaps=self._gaps)
        count = threads_for(self._n_threads, rows, self._parameters)
        self._add(rows, weight, self._density, count, told)

    def result(self) -> Score:
        """Return the sum over all rows."""
        return Score(*self._totals.tolist())

    def _add(
        self,
        rows: Rows,
        weight: FloatArray | None,
        density: Density,
        n_threads: int,
        told: Told | None,
    ) -> None:
        for place, part, own in parts(rows, density):
            chosen = None if weight is None else weight[place]
            some = None if told is None else told[place]
            kernels = dispatch.kernels(part)
            kernels.accumulate_likelihood(part, chosen, own, self._totals, n_threads, some)
        require_mean_within_reach(self._totals, rows, weight, density, told)


class UncertaintyPass(LikelihoodPass):
    """Adds up minus the logarithms of the largest responsibility of each row."""

    def _add(
        self,
        rows: Rows,
        weight: FloatArray | None,
        density: Density,
        n_threads: int,
        told: Told | None,
    ) -> None:
        n_terms = density.n_terms
        n_rows = max(1, BLOCK_VALUES // n_terms // GROUP_ROWS) * GROUP_ROWS
        for start in range(0, len(rows), n_rows):
            part = slice(start, start + n_rows)
            resp = np.empty((len(rows[part]), n_terms), dtype=rows.dtype)
            some = None if told is None else told[part]
            responsibilities_within_reach(rows[part], density, resp, n_threads, some)
            self._add_groups(resp.max(axis=1), None if weight is None else weight[part])

    def _add_groups(self, largest: Rows, weight: FloatArray | None) -> None:
        """Add sums over groups of rows, in order: the bits do not depend on how rows were cut."""
        starts = np.arange(0, len(largest), GROUP_ROWS)
        weights = np.ones(len(largest)) if weight is None else weight
        uncertainty = -np.log(largest, dtype=np.float64) * weights
        for group in np.add.reduceat([uncertainty, weights], starts, axis=1).T:
            self._totals += group
