"""The rows that a start looks at: enough of them to be as good as all, however many there are."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.types import FloatArray, Rows

START_ROWS = 16384
START_ROWS_PER_CLUSTER = 256
"""A start looks at no more rows than the larger of START_ROWS and this for every cluster. The mean
of 256 rows lies within sigma / 16 of its group's, which the first passes over all rows correct; and
K-means on 16384 rows costs less than one such pass over a million."""

BLOCK_WEIGHTS = 1 << 16  # added up at a time when rows are drawn by weight


class Sample(NamedTuple):
    """The rows a start looks at, and their weights."""

    rows: Rows
    weight: FloatArray | None

    @property
    def weights(self) -> FloatArray:
        """Their weights as numbers, 1 where none are given."""
        return np.ones(len(self.rows)) if self.weight is None else self.weight

    def counted(self, least: int) -> "Sample":
        """Only the rows of positive weight, if there are at least so many."""
        if self.weight is None or np.count_nonzero(self.weight) < least:
            return self
        counted = self.weight > 0
        return Sample(self.rows[counted], self.weight[counted])


def subsample(
    X: Rows,
    sample_weight: FloatArray | None,
    n_clusters: int,
    random_state: np.random.RandomState,
    most: int | None = None,
) -> Sample:
    """All rows if no more than `most`, else a stratified sample of them, in the order of X.

    Without weights it has one random row of each of m equal strides. With weights a row is drawn
    at random from every m-th of the summed weight, a row that is drawn r times has weight r, and a
    few rows of weight 0 see to it that there are at least as many as groups. A row at every m-th
    step exactly would fall in with data that have a period. By default `most` is the larger of
    START_ROWS and START_ROWS_PER_CLUSTER for each cluster.
    """
    n_rows = most or most_rows(n_clusters)
    if len(X) <= n_rows:
        return Sample(X, sample_weight)
    rows, counts = stratified(len(X), sample_weight, n_clusters, random_state, n_rows)
    return Sample(X[rows], counts)


def most_rows(n_clusters: int) -> int:
    """Return how many rows a start looks at, at most."""
    return max(START_ROWS, START_ROWS_PER_CLUSTER * n_clusters)


def stratified(
    n_samples: int,
    sample_weight: FloatArray | None,
    n_clusters: int,
    random_state: np.random.RandomState,
    n_rows: int,
) -> tuple[NDArray[np.int64], FloatArray | None]:
    """Return which rows a stratified sample takes, in order, and their weights in it."""
    if sample_weight is None:
        return _strided(n_samples, n_rows, random_state), None
    drawn = _drawn_by_weight(sample_weight, n_rows, random_state)
    spare = _strided(n_samples, n_clusters, random_state)
    rows, position = np.unique(np.concatenate([drawn, spare]), return_inverse=True)
    counts = np.bincount(position[: len(drawn)], minlength=len(rows))
    return rows, counts.astype(np.float64)


class Reservoir:
    """A random sample of rows whose number is not known, from one reading.

    It is priority sampling (Duffield, Lund & Thorup, 2007): row i gets the priority
    w_i / u_i with a uniform u_i. The `most` rows of the largest priorities are kept, with weights
    max(w_i, t), where t is the largest priority that was not kept. Sums over
    the sample are then unbiased estimates of those over all rows. Reservoirs add up, by +, to
    one of all their rows. Rows of weight 0 are kept only if there are too few others.
    """

    def __init__(self, most: int, seed: int) -> None:
        self._most = most
        self._random_state = np.random.RandomState(seed)
        self._parts: list[tuple[Rows, FloatArray, FloatArray]] = []
        self._weighted = False
        self._n_waiting = 0
        self._floor = -1.0  # rows of smaller priority have lost already

    def add(self, rows: Rows, weight: FloatArray | None) -> None:
        """Let the next rows take part."""
        uniform = 1.0 - self._random_state.uniform(size=len(rows))  # never 0
        self._weighted |= weight is not None
        weights = np.ones(len(rows)) if weight is None else weight
        priority = weights / uniform
        chosen = np.flatnonzero(priority > self._floor)
        self._take(rows[chosen], weights[chosen], priority[chosen])

    def __add__(self, other: "Reservoir") -> "Reservoir":
        merged = Reservoir(self._most, 0)
        merged._weighted = self._weighted or other._weighted
        for part in (*self._parts, *other._parts):
            merged._take(*part)
        return merged.result()

    def result(self) -> "Reservoir":
        """Return this reservoir, with no rows to spare: with `add` it is a pass over rows."""
        if self._n_waiting > self._most + 1:
            self._shrink()
        return self

    def sample(self) -> Sample:
        """Return the rows kept; their weights are None if all rows had the same."""
        self._shrink()
        rows, weights, priority = self._parts[0]
        if len(rows) > self._most:
            smallest = priority.argmin()
            weights = np.maximum(weights, priority[smallest])
            kept = np.arange(len(rows)) != smallest
            rows, weights = rows[kept], weights[kept]
        return Sample(rows, weights if self._weighted else None)

    def _take(self, rows: Rows, weights: FloatArray, priority: FloatArray) -> None:
        self._parts.append((rows, weights, priority))
        self._n_waiting += len(rows)
        if self._n_waiting > 2 * self._most:
            self._shrink()

    def _shrink(self) -> None:
        """Keep one row more than wanted: its priority is the threshold, in their order."""
        rows, weights, priority = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        if len(rows) > self._most + 1:
            kept = np.argpartition(-priority, self._most)[: self._most + 1]
            kept.sort()
            rows, weights, priority = rows[kept], weights[kept], priority[kept]
            self._floor = priority.min()
        self._parts = [(rows, weights, priority)]
        self._n_waiting = len(rows)


def _strided(n_samples: int, n_rows: int, random_state: np.random.RandomState) -> NDArray[np.int64]:
    edges = np.arange(n_rows + 1, dtype=np.int64) * n_samples // n_rows
    return random_state.randint(edges[:-1], edges[1:], dtype=np.int64)


def _drawn_by_weight(
    weight: FloatArray, n_rows: int, random_state: np.random.RandomState
) -> NDArray[np.int64]:
    """Rows where the summed weight passes a random point of each of n_rows equal steps."""
    starts = range(0, len(weight), BLOCK_WEIGHTS)
    totals = np.array([weight[start : start + BLOCK_WEIGHTS].sum() for start in starts])
    reached = np.concatenate([[0.0], np.cumsum(totals)])
    points = (random_state.uniform(size=n_rows) + np.arange(n_rows)) * (reached[-1] / n_rows)
    drawn = []
    for i, start in enumerate(starts):
        sums = reached[i] + np.cumsum(weight[start : start + BLOCK_WEIGHTS])
        first, last = np.searchsorted(points, reached[i : i + 2])
        inside = np.searchsorted(sums, points[first:last], side="right")
        heaviest = np.flatnonzero(np.diff(sums, prepend=reached[i]) > 0)[-1:]
        drawn.append(start + np.minimum(inside, heaviest))
    return np.concatenate(drawn)
